/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent holds of a container beside the model's part: its configuration, its range of ids,
 * and its row in the store.
 */
#include "agent.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ensure.h"

static uint32_t free_range(const struct agent *agent)
{
    uint32_t count = agent->options->uid_count / UID_RANGE;

    for (uint32_t range = 0; range < count; range++) {
        uint32_t base = agent->options->uid_base + range * UID_RANGE;
        bool is_free = true;

        for (uint32_t i = 0; node_next(agent->node, &i) && is_free; i++)
            is_free = agent->slots[i].uid_base != base;
        if (is_free)
            return base;
    }
    return 0;
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
    return result;
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
    free((void *)(uintptr_t)slot->config.data);
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
    int result = slot_fill(slot, config);
    ENSURE(result == 0); /* encoded by us a moment ago */
    slot->is_config_new = true;
    if (!slot->view.is_privileged)
        slot->uid_base = free_range(agent);
}

void slot_row(const struct agent *agent, uint32_t index, struct store_row *row)
{
    const struct slot *slot = &agent->slots[index];

    row->config = slot->config;
    row->has_config = slot->is_config_new;
    row->revision = slot->revision;
    row->uid_base = slot->uid_base;
    row->family = slot->family;
    row->is_ready_on_exec = slot->is_ready_on_exec;
}
