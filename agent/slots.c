/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent holds of a container beside the model's part: its configuration, its range of ids,
 * and its row in the store.
 */
#include "slots.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ensure.h"

uint32_t slot_uid_count(const struct slot *slot)
{
    if (slot->view.is_privileged || (slot->is_config_bad && slot->uid_base == 0))
        return 0;
    return slot->view.is_nested || slot->is_config_bad ? UID_RANGE_NESTED : UID_RANGE;
}

static bool is_overlap(const struct slot *slot, uint32_t base, uint32_t count)
{
    return slot->uid_base != 0 && slot->uid_base < base + count &&
           base < slot->uid_base + slot_uid_count(slot);
}

void slot_choose_range(struct agent *agent, struct slot *slot)
{
    uint32_t count = slot_uid_count(slot);
    uint32_t end = agent->options->uid_base + agent->options->uid_count;

    slot->uid_base = 0;
    for (uint32_t base = agent->options->uid_base; count != 0 && count <= end - base;
         base += UID_RANGE) {
        bool is_free = true;

        for (uint32_t i = 0; node_next(agent->node, &i) && is_free; i++)
            is_free = !is_overlap(&agent->slots[i], base, count);
        if (!is_free)
            continue;
        slot->uid_base = base;
        return;
    }
}

struct octets octets_copy(const struct octets *octets)
{
    uint8_t *copy = malloc(octets->size_bytes + 1);

    ENSURE(copy != NULL);
    memcpy(copy, octets->data, octets->size_bytes);
    return (struct octets){copy, octets->size_bytes};
}

int slot_fill(struct slot *slot, struct octets config_consumed)
{
    *slot = (struct slot){.config = config_consumed, .pty = -1, .output = -1};
    int result =
        codec_decode_config(slot->config.data, slot->config.size_bytes, &slot->arena, &slot->view);
    slot->revision = 1;
    if (result == 0)
        return 0;
    slot->is_config_bad = true;
    arena_close(&slot->arena);
    slot->arena = (struct arena){0};
    ENSURE(codec_decode_config((const uint8_t *)"", 0, &slot->arena, &slot->view) == 0);
    return result;
}

const struct config *slot_made(const struct slot *slot)
{
    return slot->is_made_other ? &slot->made : &slot->view;
}

enum ready slot_ready(const struct slot *slot)
{
    return slot->is_ready_unknown ? READY_EXEC : slot_made(slot)->ready;
}

void slot_make(struct slot *slot)
{
    slot->is_ready_unknown = false;
    arena_close(&slot->made_arena);
    slot->made_arena = (struct arena){0};
    slot->is_made_other = false;
}

/* It may be of a generation that still has hooks to run, and commands. */
static void keep_made(struct slot *slot)
{
    if (slot->is_made_other) {
        arena_close(&slot->arena);
        return;
    }
    slot->made = slot->view;
    slot->made_arena = slot->arena;
    slot->is_made_other = true;
}

void slot_close_console(struct slot *slot)
{
    if (slot->pty >= 0)
        (void)close(slot->pty);
    if (slot->output >= 0)
        (void)close(slot->output);
    slot->pty = slot->output = -1;
}

void slot_empty(struct slot *slot)
{
    slot_close_console(slot);
    arena_close(&slot->arena);
    arena_close(&slot->made_arena);
    free((void *)(uintptr_t)slot->config.data);
    free((void *)(uintptr_t)slot->next.data);
    free(slot->held_end);
    *slot = (struct slot){.pty = -1, .output = -1};
}

void slot_settle_config(struct agent *agent, const struct ct_receipt *receipt)
{
    struct octets config = configs_take(&agent->configs, receipt->request);

    if (config.data == NULL)
        return;
    if (receipt->phase != PHASE_ACCEPTED) {
        free((void *)(uintptr_t)config.data);
        return;
    }
    struct slot *slot = &agent->slots[receipt->ct];
    if (receipt->verb == VERB_SET) {
        free((void *)(uintptr_t)slot->next.data); /* of one that failed */
        slot->next = config;
        return;
    }
    int result = slot_fill(slot, config);
    ENSURE(result == 0); /* encoded by us a moment ago */
    slot->is_config_new = true;
    slot_choose_range(agent, slot);
}

void slot_configure(struct agent *agent, uint32_t index)
{
    const struct ct *ct = node_get(agent->node, index);
    struct slot *slot = &agent->slots[index];

    if (!ct->is_used || ct->revision == slot->revision || slot->next.data == NULL)
        return;
    keep_made(slot);
    free((void *)(uintptr_t)slot->config.data);
    slot->config = slot->next;
    slot->next = (struct octets){0};
    slot->arena = (struct arena){0};
    int result =
        codec_decode_config(slot->config.data, slot->config.size_bytes, &slot->arena, &slot->view);
    ENSURE(result == 0); /* encoded by us a moment ago */
    slot->is_config_new = true;
    slot->revision = ct->revision;
}

void slot_row(const struct agent *agent, uint32_t index, struct store_row *row)
{
    const struct slot *slot = &agent->slots[index];

    row->config = slot->config;
    row->has_config = slot->is_config_new;
    row->uid_base = slot->uid_base;
    row->family = slot->family;
    row->is_ready_on_exec = slot->is_ready_on_exec;
}
