/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deadlines.h — which container's timer is due next, out of thousands.
 *
 * Shape    a binary heap of slot indices over fixed arrays; each slot is in it once or not at all.
 * Units    *_ns CLOCK_MONOTONIC; 0 is "none".
 * Errors   none.
 * Owner    struct node.
 * Context  pure.
 */
#ifndef DROVER_DEADLINES_H
#define DROVER_DEADLINES_H

#include <stdbool.h>
#include <stdint.h>

#include "node_limits.h"

struct deadlines {
    uint32_t count;
    uint32_t heap[CT_MAX];
    uint32_t place[CT_MAX]; /* position in heap + 1; 0: not in it */
    uint64_t due_ns[CT_MAX];
};

/* Set, move or (0) remove one slot's due time. O(log n); no change is O(1). */
void deadlines_set(struct deadlines *deadlines, uint32_t index, uint64_t due_ns);
/* 0: none is set. */
uint64_t deadlines_next(const struct deadlines *deadlines);
/* A slot that is due at now_ns; false: none. It stays in until it is set anew. */
bool deadlines_find_due(const struct deadlines *deadlines, uint64_t now_ns, uint32_t *ret_index);

#endif
