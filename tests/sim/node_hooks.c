/* SPDX-License-Identifier: Apache-2.0 */
/* The stop hooks of some containers: what hook_inside.c and stop.c do. Until they are over the
 * guest is not asked to stop, and one that fails takes the order back. */
#include "node_life.h"

bool hooks_are_there(const uint8_t uuid[UUID_BYTES])
{
    return uuid[UUID_BYTES - 1] % 3 == 0;
}

static void observe(struct sim *sim, uint32_t index, struct observation seen)
{
    seen.ct = index;
    seen.generation = node_get(sim->agent->node, index)->generation;
    agent_observe(sim, &seen);
}

static void begin(struct sim *sim, uint32_t index)
{
    struct stop_hooks *hooks = &sim->agent->slots[index].hooks;
    uint64_t usual_ns = sim_delay(sim, 20 * MS_NS);
    /* Now and then one takes longer than many a grace. */
    bool is_slow = !sim->is_calm && sim_chance(sim, 60);

    *hooks = (struct stop_hooks){.is_running = true,
                                 .generation = node_get(sim->agent->node, index)->generation};
    hooks->due_ns =
        sim->now.ns + (is_slow ? sim_between(sim, SECOND_NS, 90 * SECOND_NS) : usual_ns);
    sim_after(sim, hooks->due_ns - sim->now.ns, HAPPENING_AGENT_HOOK, sim->agent->life, index);
}

bool hooks_ask(struct sim *sim, const struct effect *effect)
{
    const struct ct *ct = node_get(sim->agent->node, effect->ct);
    struct stop_hooks *hooks = &sim->agent->slots[effect->ct].hooks;

    if (!hooks_are_there(ct->uuid) || ct->is_boot_unseen)
        return false;
    if (hooks->generation != effect->generation)
        *hooks = (struct stop_hooks){0};
    if (effect->step != 0)
        return hooks->is_running;
    if (hooks->is_done)
        return false;
    if (!hooks->is_running)
        begin(sim, effect->ct);
    observe(sim, effect->ct, (struct observation){.kind = IN_STEP, .is_going_down = true});
    return true;
}

void hooks_over(struct sim *sim, uint32_t index)
{
    struct sim_slot *slot = &sim->agent->slots[index];
    struct observation seen = {.kind = IN_UNASKED, .has_become_ready = slot->seen.is_ready};

    if (slot->config.data == NULL || !slot->hooks.is_running || slot->hooks.due_ns != sim->now.ns ||
        slot->hooks.generation != node_get(sim->agent->node, index)->generation)
        return; /* its generation is over */
    const struct ct *ct = node_get(sim->agent->node, index);
    bool is_failed = !sim->is_calm && sim_chance(sim, 250);
    bool is_for_shutdown =
        ct->has_command && ct->command.verb == VERB_STOP && ct->command.is_for_shutdown;
    slot->hooks.is_running = false;
    slot->hooks.is_done = !is_failed || is_for_shutdown;
    if (is_failed)
        fault_set(&seen.fault, STATUS_HOOK_FAILED, 0, "hook stop exited 3");
    if (slot->hooks.is_done) {
        seen.kind = IN_STEP;
        seen.is_hooked = true;
    }
    observe(sim, index, seen);
}
