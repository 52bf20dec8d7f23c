/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configs.h — configurations between a create command and the slot it gets.
 *
 * Shape    a list by request id; each is the encoded form that node.db keeps.
 * Units    octets.
 * Errors   -errno and a fault: what can be said before anything is made (STATUS_INVALID).
 * Owner    the list, until configs_take().
 * Context  the loop's thread.
 */
#ifndef DROVER_CONFIGS_H
#define DROVER_CONFIGS_H

#include "codec.h"

struct configs_entry;
struct configs {
    struct configs_entry *first;
};

/* Check and keep a copy. */
int configs_expect(struct configs *configs, const char *request, const struct config *config,
                   struct fault *fault);
/* The encoded form, heap, now the caller's; NULL data: none is kept for that request. */
struct octets configs_take(struct configs *configs, const char *request);
void configs_close(struct configs *configs);

#endif
