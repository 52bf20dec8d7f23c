/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_order.h — many containers one after another: who is next, and who waits for whom.
 *
 * Shape    struct boot_order has an item a container, by its index. A number of them may be on
 *          their way at once; each holds its own place alone, however slow it is. What needs others
 *          waits until none of them is waiting or on its way any more, whatever became of them:
 *          what cannot come holds nobody up. Items that wait for each other in a circle go in their
 *          order once nothing else does.
 * Units    ranks: higher ones first, equal ones as they were added.
 * Errors   none.
 * Owner    the node, for its boot; drover, for the shutdown of one.
 * Context  pure. Zeroed it is empty; going_max must be set.
 */
#ifndef DROVER_BOOT_ORDER_H
#define DROVER_BOOT_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "node_limits.h"

enum boot_phase {
    BOOT_PHASE_NONE,    /* not in it */
    BOOT_PHASE_HELD,    /* its turn cannot come yet, but will */
    BOOT_PHASE_WAITING, /* for its turn */
    BOOT_PHASE_GOING,   /* it has a place */
    BOOT_PHASE_OVER     /* for this time: it holds nobody up */
};

struct boot_item {
    enum boot_phase phase;
    uint32_t rank;
    uint32_t needs; /* 1 + index of the first in needs[]; 0: none */
};

struct boot_need {
    uint32_t item;
    uint32_t next; /* as boot_item.needs */
};

struct boot_order {
    uint32_t going_max;
    uint32_t held, waiting, going; /* how many are in these phases */
    struct boot_item items[CT_MAX];
    uint32_t line[CT_MAX]; /* in the order of their turns */
    uint32_t line_count;
    struct boot_need needs[BOOT_NEEDS_MAX];
    uint32_t need_count;
};

void boot_order_add(struct boot_order *order, uint32_t item, uint32_t rank, enum boot_phase phase);
/* Both must be in it. Beyond BOOT_NEEDS_MAX it is not waited for: false. */
bool boot_order_need(struct boot_order *order, uint32_t item, uint32_t needed);

/* Whose turn it is now; false: nobody's. It stays so until a phase changes. */
bool boot_order_next(const struct boot_order *order, uint32_t *ret_item);
/* What is OVER stays so, unless it is WAITING again. */
void boot_order_note(struct boot_order *order, uint32_t item, enum boot_phase phase);

#endif
