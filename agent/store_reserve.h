/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_reserve.h — room that is kept for when there is none.
 *
 * Shape    a file beside node.db that holds nothing, and is removed when a write finds no room.
 * Units    octets.
 * Errors   none: it is there or not.
 * Owner    struct store.
 * Context  the writer's thread, or before it runs.
 */
#ifndef DROVER_STORE_RESERVE_H
#define DROVER_STORE_RESERVE_H

#include <limits.h>
#include <stdbool.h>

struct store_reserve {
    char path[PATH_MAX + 16];
    bool is_held;
};

/* Beside `path`: held if it is there already. */
void store_reserve_open(struct store_reserve *reserve, const char *path);
/* Makes it where there is room for it; costs nothing where it is held. */
void store_reserve_renew(struct store_reserve *reserve);
/* True: there is more room than before. */
bool store_reserve_spend(struct store_reserve *reserve);

#endif
