/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_file.h — node.db as a file, and the room that is kept beside it.
 *
 * Shape    the file is made beside its place and renamed; the reserve is a file of its own.
 * Units    octets.
 * Errors   -errno and a fault in words; the reserve has none, it is there or not.
 * Owner    struct store.
 * Context  the writer's thread, or before it runs.
 */
#ifndef DROVER_STORE_FILE_H
#define DROVER_STORE_FILE_H

#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>

#include "fault.h"

/* Opens STATE/node.db, or makes it if nothing is there; checks it whole. */
int store_file_open(const char *path, sqlite3 **ret_db, struct fault *fault);
int store_file_open_reader(const char *path, sqlite3 **ret_db);

/* Makes durable what the directory of `path` lists. */
int store_file_sync_directory(const char *path);

/* store_reserve.c: for when there is no room. */ struct store_reserve {
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
