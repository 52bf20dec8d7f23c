/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_order.h"

#include <string.h>

#include "ensure.h"

static uint32_t *count_of(struct boot_order *order, enum boot_phase phase)
{
    switch (phase) {
    case BOOT_PHASE_HELD:
        return &order->held;
    case BOOT_PHASE_WAITING:
        return &order->waiting;
    case BOOT_PHASE_GOING:
        return &order->going;
    case BOOT_PHASE_NONE:
    case BOOT_PHASE_OVER:
        break;
    }
    return NULL;
}

static void enter(struct boot_order *order, struct boot_item *item, enum boot_phase phase)
{
    uint32_t *left = count_of(order, item->phase);
    uint32_t *entered = count_of(order, phase);

    if (left != NULL)
        (*left)--;
    if (entered != NULL)
        (*entered)++;
    item->phase = phase;
}

void boot_order_add(struct boot_order *order, uint32_t item, uint32_t rank, enum boot_phase phase)
{
    uint32_t at = order->line_count;

    ENSURE(item < CT_MAX);
    ENSURE(order->items[item].phase == BOOT_PHASE_NONE);
    ENSURE(phase != BOOT_PHASE_NONE);
    while (at > 0 && order->items[order->line[at - 1]].rank < rank)
        at--;
    memmove(&order->line[at + 1], &order->line[at],
            (order->line_count - at) * sizeof(order->line[0]));
    order->line[at] = item;
    order->line_count++;
    order->items[item].rank = rank;
    enter(order, &order->items[item], phase);
}

bool boot_order_need(struct boot_order *order, uint32_t item, uint32_t needed)
{
    ENSURE(item < CT_MAX && needed < CT_MAX);
    ENSURE(order->items[item].phase != BOOT_PHASE_NONE);
    if (order->need_count == BOOT_NEEDS_MAX)
        return false;
    order->needs[order->need_count++] =
        (struct boot_need){.item = needed, .next = order->items[item].needs};
    order->items[item].needs = order->need_count;
    return true;
}

static bool is_held_up(const struct boot_order *order, const struct boot_item *item)
{
    for (uint32_t at = item->needs; at != 0; at = order->needs[at - 1].next) {
        enum boot_phase phase = order->items[order->needs[at - 1].item].phase;

        if (phase == BOOT_PHASE_HELD || phase == BOOT_PHASE_WAITING || phase == BOOT_PHASE_GOING)
            return true;
    }
    return false;
}

bool boot_order_next(const struct boot_order *order, uint32_t *ret_item)
{
    bool is_circle = order->going == 0 && order->held == 0; /* unless one of them needs none */

    if (order->waiting == 0 || order->going >= order->going_max)
        return false;
    for (uint32_t pass = 0; pass < (is_circle ? 2 : 1); pass++)
        for (uint32_t i = 0; i < order->line_count; i++) {
            const struct boot_item *item = &order->items[order->line[i]];

            if (item->phase != BOOT_PHASE_WAITING || (pass == 0 && is_held_up(order, item)))
                continue;
            *ret_item = order->line[i];
            return true;
        }
    return false;
}

void boot_order_note(struct boot_order *order, uint32_t item, enum boot_phase phase)
{
    ENSURE(item < CT_MAX);
    struct boot_item *at = &order->items[item];

    if (at->phase == BOOT_PHASE_NONE || at->phase == phase ||
        (at->phase == BOOT_PHASE_OVER && phase != BOOT_PHASE_WAITING))
        return;
    enter(order, at, phase);
}
