/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking up containers where an earlier agent left them. What is alive goes on; what ended meanwhile
 * is fed to the rule table as if it were seen now, with its own time; what never reached exec is
 * over. An intent is finished or failed, never begun a second time.
 */
#include "node.h"

#include <string.h>

#include "container_actions.h"
#include "ensure.h"

static void fill(struct ct *ct, const struct ct_found *found)
{
    memcpy(ct->uuid, found->uuid, UUID_BYTES);
    memcpy(ct->name, found->name, NAME_BYTES);
    ct->policy = found->policy;
    ct->state = found->state;
    ct->generation = found->generation;
    ct->is_announced = found->state != CT_UNSET;
    ct->is_wanted = found->is_wanted;
    ct->is_restart_owed = found->is_restart_owed;
    ct->created_wall_ns = found->created_wall_ns;
    ct->started_wall_ns = found->started_wall_ns;
    ct->ended_wall_ns = found->ended_wall_ns;
    ct->cause = found->cause;
    ct->has_status = found->has_status;
    ct->wait_status = found->wait_status;
    ct->has_command = found->has_command;
    ct->command = found->command;
    ct->is_automatic = !found->has_command;
    ct->is_ready_on_exec = found->is_ready_on_exec;
    /* A cause is written when the generation ends, and cleared when one begins. */
    ct->is_open = found->state != CT_UNSET && found->state != CT_STOPPED &&
                  found->state != CT_BACKOFF && found->cause == CAUSE_UNSET;
}

static void fill_live(struct ct *ct, const struct ct_found *found)
{
    ct->has_init = ct_state_has_init(ct->state);
    ct->pid = found->pid;
    ct->booted_ns = found->booted_ns;
    ct->is_ready = found->is_ready || ct->state == CT_RUNNING || ct->state == CT_FROZEN;
}

static void fill_order(struct ct *ct)
{
    ct->grace_ns = ct->policy.grace_ns != 0 ? ct->policy.grace_ns : GRACE_DEFAULT_NS;
    if (!ct->has_command)
        return;
    if (ct->command.grace_ns != 0)
        ct->grace_ns = ct->command.grace_ns;
    if (ct->state != CT_STOPPING && ct->state != CT_KILLING && ct->state != CT_STUCK)
        return;
    if (ct->command.verb == VERB_STOP)
        ct->order = ORDER_STOP;
    if (ct->command.verb == VERB_KILL || ct->command.verb == VERB_DESTROY)
        ct->order = ORDER_KILL;
    if (ct->command.verb == VERB_REBOOT && ct->state == CT_STOPPING)
        ct->order = ORDER_REBOOT;
}

static void feed(struct node *node, const struct ct *ct, enum ct_input kind,
                 const struct observation *like, const struct now *now, struct out *out)
{
    struct input input = {.kind = INPUT_OBSERVATION};

    if (like != NULL)
        input.observation = *like;
    input.observation.kind = kind;
    input.observation.ct = ct->index;
    input.observation.generation = ct->generation;
    node_step(node, &input, now, out);
}

static void order(struct out *out, const struct ct *ct, enum effect_kind kind)
{
    ENSURE(out->effect_count < OUT_MAX);
    out->effects[out->effect_count++] =
        (struct effect){.kind = kind, .ct = ct->index, .generation = ct->generation};
}

static void interrupted(struct fault *fault, const struct ct *ct, const char *what)
{
    fault_set(fault, STATUS_INTERRUPTED, 0, "%s: the agent ended during %s", ct->name, what);
    fault_hint(fault, "give the command again");
}

/* Its generation never reached exec, and never will. */
static void fail_start(struct node *node, const struct ct *ct, const struct now *now,
                       struct out *out)
{
    struct observation seen = {0};

    interrupted(&seen.fault, ct, "its start");
    feed(node, ct, ct->state == CT_LAUNCHING ? IN_LAUNCH_FAILED : IN_PREPARE_FAILED, &seen, now,
         out);
}

static void resume_cleaning(struct ct *ct, struct out *out)
{
    ct->after = AFTER_STOP;
    if (ct->is_restart_owed)
        ct->after = AFTER_AGAIN;
    if (ct->has_command && ct->command.verb == VERB_DESTROY)
        ct->after = AFTER_DESTROY;
    order(out, ct, EFFECT_CLEAN);
}

/* A freeze or thaw in progress: the level that holds now is its result. */
static void settle_freezer(struct ct *ct, bool is_frozen, const struct now *now, struct out *out)
{
    if (ct->state != CT_RUNNING && ct->state != CT_FROZEN)
        return;
    ct->state = is_frozen ? CT_FROZEN : CT_RUNNING;
    if (!ct->has_command)
        return;

    bool is_done = (ct->command.verb == VERB_FREEZE && is_frozen) ||
                   ((ct->command.verb == VERB_THAW || ct->command.verb == VERB_START) && !is_frozen);
    struct fault fault;
    interrupted(&fault, ct, verb_name(ct->command.verb));
    ct_finish(ct, is_done ? PHASE_DONE : PHASE_FAILED, is_done ? NULL : &fault, now, out);
}

static void resume_live(struct node *node, struct ct *ct, const struct ct_found *found,
                        const struct now *now, struct out *out)
{
    struct observation seen = {.pid = found->pid,
                               .at_ns = found->booted_ns,
                               .at_wall_ns = found->started_wall_ns};

    if (ct->state == CT_PREPARING) {
        /* Its launch was sent, and the agent died before it could write so down. */
        struct event *event = ct_tell(out, ct, EVENT_CHANGED, now);
        event->from = CT_PREPARING;
        event->to = ct->state = CT_LAUNCHING;
        ct->is_dirty = true;
        ct->deadline_ns = now->ns + LAUNCH_DEADLINE_NS;
    }
    if (!found->has_ended)
        settle_freezer(ct, found->is_frozen, now, out);
    if (ct->state == CT_LAUNCHING && node->in_flight < node->in_flight_max) {
        ct->is_in_flight = true;
        node->in_flight++;
    }
    if (ct->state == CT_LAUNCHING && found->is_staged) {
        feed(node, ct, IN_BOOTED, &seen, now, out);
    }
    if (ct->state == CT_BOOTING && found->is_ready)
        feed(node, ct, IN_READY, NULL, now, out);
    if (found->has_ended) {
        feed(node, ct, ct->state == CT_LAUNCHING ? IN_LAUNCH_FAILED : IN_ENDED, &found->ended, now,
             out);
        return;
    }
    if (ct->state == CT_STOPPING && ct->has_init) {
        order(out, ct, EFFECT_ASK);
        ct->step_ns = now->ns + STOP_STEP_NS;
    }
    if (ct->state == CT_KILLING || ct->state == CT_STUCK)
        order(out, ct, EFFECT_KILL);
}

static void resume(struct node *node, struct ct *ct, const struct ct_found *found,
                   const struct now *now, struct out *out)
{
    struct observation gone = {.is_node_down = found->is_node_down};

    if (ct->state == CT_STOPPED)
        return;
    if (ct->state == CT_UNSET) { /* a create whose directory nobody vouches for */
        struct fault fault;

        interrupted(&fault, ct, "its making");
        ct_finish(ct, PHASE_FAILED, &fault, now, out);
        ct->state = CT_CLEANING;
        ct->after = AFTER_DESTROY;
        order(out, ct, EFFECT_REMOVE);
        return;
    }
    if (ct->state == CT_BACKOFF)
        return;
    if (!ct->is_open) { /* CLEANING, or STUCK in it */
        resume_cleaning(ct, out);
        return;
    }
    if (found->is_live || found->is_launching || found->has_ended)
        resume_live(node, ct, found, now, out);
    else if (ct->state == CT_PREPARING || ct->state == CT_LAUNCHING || !ct_state_has_init(ct->state))
        fail_start(node, ct, now, out);
    else
        feed(node, ct, IN_ENDED, &gone, now, out);
}

static void arm(struct ct *ct, const struct now *now)
{
    ct->state_since_ns = now->ns;
    switch (ct->state) {
    case CT_LAUNCHING:
        ct->deadline_ns = now->ns + LAUNCH_DEADLINE_NS;
        break;
    case CT_BOOTING:
        ct->deadline_ns = now->ns + BOOT_DEADLINE_NS;
        break;
    case CT_STOPPING:
        ct->deadline_ns = now->ns + ct->grace_ns;
        break;
    case CT_KILLING:
        ct->deadline_ns = now->ns + KILL_DEADLINE_NS;
        break;
    case CT_UNSET:
    case CT_PREPARING:
    case CT_CLEANING:
        ct->deadline_ns = now->ns + CLEAN_DEADLINE_NS;
        break;
    case CT_BACKOFF:
        ct->deadline_ns = now->ns + RESTART_BASE_NS;
        break;
    case CT_STUCK:
        ct->step_ns = now->ns + STUCK_RETRY_NS;
        break;
    case CT_STOPPED:
    case CT_RUNNING:
    case CT_FROZEN:
        break;
    case CT_STATE_COUNT:
        ENSURE(false);
    }
}

uint32_t node_adopt(struct node *node, const struct ct_found *found, const struct now *now,
                    struct out *out)
{
    ENSURE(node_has_room(out));
    struct ct *ct = node_take_slot(node);
    ENSURE(ct != NULL);

    fill(ct, found);
    if (found->is_live || found->has_ended)
        fill_live(ct, found);
    fill_order(ct);
    arm(ct, now);
    node_keep_in_line(node, ct);
    resume(node, ct, found, now, out);
    node_keep_in_line(node, ct);
    return ct->index;
}
