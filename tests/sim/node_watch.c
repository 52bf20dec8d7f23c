/* SPDX-License-Identifier: Apache-2.0 */
/* What watch.c does: the freezer's level, and kills for memory. */
#include "node_life.h"

#include "checks_commands.h"
#include "checks_moves.h"
#include "faults.h"

int effects_leaf(const struct sim *sim, uint32_t index)
{
    char leaf[LEAF_BYTES];

    kernel_leaf_name(node_get(sim->agent->node, index)->name, sim->agent->slots[index].generation,
                     leaf);
    return kernel_find_leaf(sim->kernel, leaf);
}

/* As read_freezer() of watch.c. */
static void read_freezer(struct sim *sim, uint32_t index)
{
    struct sim_slot *slot = &sim->agent->slots[index];
    struct observation seen = {.ct = index,
                               .generation = node_get(sim->agent->node, index)->generation};
    int leaf = effects_leaf(sim, index);

    if (!slot->has_cgroup || leaf < 0)
        return;
    bool is_frozen = sim->kernel->leaves[leaf].is_frozen;
    if (slot->is_freezing && is_frozen) {
        slot->is_freezing = false;
        seen.kind = IN_FROZEN;
        checks_freezer_reached(sim, node_get(sim->agent->node, index));
        agent_observe(sim, &seen);
    }
    if (slot->is_thawing && !is_frozen) {
        slot->is_thawing = false;
        seen.kind = IN_THAWED;
        checks_freezer_reached(sim, node_get(sim->agent->node, index));
        agent_observe(sim, &seen);
    }
}

void effects_freeze(struct sim *sim, const struct effect *effect)
{
    struct sim_slot *slot = &sim->agent->slots[effect->ct];
    struct observation seen = {.ct = effect->ct, .generation = effect->generation};
    int leaf = effects_leaf(sim, effect->ct);

    if (!slot->has_cgroup || leaf < 0)
        return;
    if (effect->waits_commit && faults_fail_effect(sim)) { /* LIMIT: an undoing does not fail */
        slot->is_freezing = slot->is_thawing = false;
        effects_fail(&seen, IN_FREEZE_FAILED);
        checks_freezer_failed(sim, node_get(sim->agent->node, effect->ct));
        agent_observe(sim, &seen);
        return;
    }
    slot->is_freezing = effect->kind == EFFECT_FREEZE;
    slot->is_thawing = effect->kind == EFFECT_THAW;
    kernel_freeze_leaf(sim, leaf, slot->is_freezing);
    read_freezer(sim, effect->ct); /* it may hold already */
}

void agent_on_freezer(struct sim *sim, int leaf)
{
    struct agent *agent = sim->agent;

    for (uint32_t i = 0; agent->is_alive && i < agent->node->slots_end; i++)
        if (agent->slots[i].has_watch && effects_leaf(sim, i) == leaf)
            read_freezer(sim, i);
}

void effects_watch(struct sim *sim, uint32_t index)
{
    struct sim_slot *slot = &sim->agent->slots[index];
    int found = effects_leaf(sim, index);

    slot->has_watch = found >= 0;
    slot->is_freezing = slot->is_thawing = false;
    effects_read_oom(sim, index); /* and tells of those before us */
}

void effects_read_oom(struct sim *sim, uint32_t index)
{
    struct sim_slot *slot = &sim->agent->slots[index];
    struct observation seen = {.kind = IN_OOM, .ct = index};
    int found = effects_leaf(sim, index);

    seen.generation = node_get(sim->agent->node, index)->generation;
    if (!slot->has_watch || found < 0 || sim->kernel->leaves[found].oom_kills <= slot->oom_kills)
        return;
    seen.count = sim->kernel->leaves[found].oom_kills - slot->oom_kills;
    slot->oom_kills = sim->kernel->leaves[found].oom_kills;
    checks_oom_seen(sim, node_get(sim->agent->node, index), seen.count);
    agent_observe(sim, &seen);
}

void agent_on_oom(struct sim *sim, int leaf)
{
    struct agent *agent = sim->agent;

    if (!agent->is_alive || sim_chance(sim, 500))
        return; /* its record may be read before the notification is */
    for (uint32_t i = 0; i < agent->node->slots_end; i++)
        if (agent->slots[i].has_watch && effects_leaf(sim, i) == leaf)
            effects_read_oom(sim, i);
}
