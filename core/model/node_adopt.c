/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking up containers where an earlier agent left them. What is alive goes on; what ended
 * meanwhile is fed to the rule table as if it were seen now, with its own time; what never reached
 * exec is over. An intent is finished or failed, never begun a second time.
 */
#include "node_parts.h"

#include <string.h>

#include "container_actions.h"
#include "ensure.h"

/* What is to come up with the node, now that it has gone down, or is coming up still. */
static enum ct_boot find_boot(const struct ct_found *found)
{
    bool was_up = found->is_wanted || found->is_restart_owed || found->boot != CT_BOOT_NONE;

    if (found->is_live || found->is_launching) /* it came up, though the row may not know */
        return found->boot == CT_BOOT_DUE ? CT_BOOT_NONE : found->boot;
    if (!found->is_node_down || found->state == CT_UNSET)
        return found->boot;
    switch (found->policy.autostart) {
    case AUTOSTART_YES:
        return CT_BOOT_DUE;
    case AUTOSTART_UNSET:
    case AUTOSTART_DEFAULT:
        return was_up ? CT_BOOT_DUE : CT_BOOT_NONE;
    case AUTOSTART_NO:
    case AUTOSTART_DISABLED:
        return CT_BOOT_NONE;
    case AUTOSTART_COUNT:
        break;
    }
    ENSURE(false);
    return CT_BOOT_NONE;
}

static void fill(struct ct *ct, const struct ct_found *found)
{
    memcpy(ct->uuid, found->uuid, UUID_BYTES);
    memcpy(ct->name, found->name, NAME_BYTES);
    ct->policy = found->policy;
    ct->revision = found->revision;
    ct->late_keys = found->late_keys;
    ct->state = found->state;
    ct->generation = found->generation;
    ct->spent = found->spent;
    ct->is_announced = found->state != CT_UNSET;
    ct->is_wanted = found->is_wanted;
    ct->is_restart_owed = found->is_restart_owed;
    ct->created_wall_ns = found->created_wall_ns;
    ct->started_wall_ns = found->started_wall_ns;
    ct->ended_wall_ns = found->ended_wall_ns;
    ct->cause = found->cause;
    ct->has_status = found->has_status;
    ct->wait_status = found->wait_status;
    if (found->is_node_down && !found->is_live && !found->is_launching)
        ct->is_wanted = ct->is_restart_owed = false; /* its autostart alone decides */
    ct->boot = find_boot(found);
    ct->is_dirty = ct->boot != found->boot;
    ct->has_command = found->has_command;
    ct->command = found->command;
    ct->is_automatic = !found->has_command;
    ct->is_ready_on_exec = found->is_ready_on_exec;
    ct->oom_kills = found->oom_kills;
    ct->oom_until_ns = found->is_init_oom ? UINT64_MAX : 0;
    /* A cause is written when the generation ends, and cleared when one begins. */
    ct->is_open = found->generation != 0 && found->cause == CAUSE_UNSET;
    if (ct->is_open && found->is_staged && !found->is_boot_unseen)
        ct_started(ct, found->started_wall_ns);
}

static void fill_live(struct ct *ct, const struct ct_found *found)
{
    ct->has_init =
        ct->is_open && ct_state_has_init(ct->state) && (found->is_live || found->is_staged);
    ct->pid = found->pid;
    ct->booted_ns = found->booted_ns;
    ct->is_ready = found->is_ready || ct->state == CT_RUNNING || ct->state == CT_FROZEN;
}

/* Why it was on its way down: a row has no order, but what was ordered left its marks. */
static enum order find_order(const struct ct *ct)
{
    if (ct->state != CT_STOPPING && ct->state != CT_KILLING && ct->state != CT_STUCK)
        return ORDER_NONE;
    if (!ct->is_wanted) /* a stop, kill or destroy, though it may have been given up since */
        return ct->state == CT_STOPPING ? ORDER_STOP : ORDER_KILL;
    if (ct->is_restart_owed)
        return ORDER_REBOOT;
    return ORDER_BOOT_TIMEOUT; /* nobody asked for it */
}

static void fill_order(struct ct *ct)
{
    ct->order = find_order(ct);
    ct->is_kill_sent = ct->state == CT_KILLING || ct->state == CT_STUCK;
    ct->grace_ns = ct->policy.grace_ns != 0 ? ct->policy.grace_ns : GRACE_DEFAULT_NS;
    if (ct->has_command && ct->command.grace_ns != 0)
        ct->grace_ns = ct->command.grace_ns;
}

static void interrupted(struct fault *fault, const struct ct *ct, const char *what)
{
    fault_set(fault, STATUS_INTERRUPTED, 0, "%s: the agent ended during %s", ct->name, what);
    fault_hint(fault, "give the command again");
}

/* Its generation never reached exec, and never will. */
static void fail_start(struct node *node, struct ct *ct, const struct now *now, struct out *out)
{
    struct observation seen = {.kind = ct->state == CT_LAUNCHING ? IN_LAUNCH_FAILED
                                                                 : IN_PREPARE_FAILED};

    interrupted(&seen.fault, ct, "its start");
    node_feed(node, ct, &seen, now, out);
}

static void resume_cleaning(struct ct *ct, struct out *out)
{
    ct->after = AFTER_STOP;
    if (ct->is_restart_owed)
        ct->after = AFTER_AGAIN;
    else if (ct_has_boot_command(ct))
        interrupted(&ct->fault, ct, "its start");
    if (ct->has_command && ct->command.verb == VERB_DESTROY)
        ct->after = AFTER_DESTROY;
    (void)ct_order(out, ct, ct->generation == 0 ? EFFECT_REMOVE : EFFECT_CLEAN);
}

/* What it wrote of its limits nobody knows; those of the row are written again, and it has failed
 * when they are: an agent that ends before leaves it to the next. */
static void settle_set(struct ct *ct, const struct now *now, struct out *out)
{
    struct fault fault;

    bool is_up = ct->state == CT_BOOTING || ct->state == CT_RUNNING || ct->state == CT_FROZEN;

    if (!ct->has_command || ct->command.verb != VERB_SET || !is_up || !ct->has_init)
        return;
    if (ct_is_setting(ct)) {
        ct->limit_ns = now->ns + LIMIT_DEADLINE_NS;
        (void)ct_order(out, ct, EFFECT_LIMIT);
        return;
    }
    interrupted(&fault, ct, "set");
    ct_finish(ct, PHASE_FAILED, &fault, now, out);
}

/* A freeze or thaw in progress: the level that its group was asked for last, reached or not, is its
 * result; it is asked for again, so that it is waited for. */
static void settle_freezer(struct node *node, struct ct *ct, bool is_frozen, const struct now *now,
                           struct out *out)
{
    struct fault fault;

    if (ct->state == CT_STOPPING && is_frozen)
        (void)ct_order(out, ct, EFFECT_THAW); /* else it cannot hear what it is asked */
    if (ct->state == CT_RUNNING && is_frozen) {
        node_step_kind(node, ct, IN_FROZEN, now, out);
        (void)ct_order(out, ct, EFFECT_FREEZE);
    } else if (ct->state == CT_FROZEN && !is_frozen) {
        node_step_kind(node, ct, IN_THAWED, now, out);
        (void)ct_order(out, ct, EFFECT_THAW);
    }
    if (!ct->has_command || (ct->state != CT_RUNNING && ct->state != CT_FROZEN))
        return;
    if (ct->command.verb == VERB_SET)
        return; /* it ends by its limits */
    interrupted(&fault, ct, verb_name(ct->command.verb));
    ct_finish(ct, PHASE_FAILED, &fault, now, out);
}

static void feed_end(struct node *node, struct ct *ct, const struct ct_found *found,
                     const struct now *now, struct out *out)
{
    struct observation seen = found->ended;

    seen.kind = found->is_staged ? IN_ENDED : IN_LAUNCH_FAILED;
    if (found->is_oom_seen) /* told before: it explains the end */
        ct->oom_until_ns = (seen.at_ns != 0 ? seen.at_ns : now->ns) + OOM_WINDOW_NS;
    node_feed(node, ct, &seen, now, out);
}

/* By its row alone: nobody is left who saw more. */
static bool was_executed(const struct ct *ct)
{
    if (ct->state == CT_PREPARING || ct->state == CT_LAUNCHING)
        return false;
    if (ct->state == CT_BOOTING || ct->state == CT_RUNNING || ct->state == CT_FROZEN)
        return true;
    return ct->started_wall_ns > ct->ended_wall_ns; /* the present generation wrote it last */
}

static void resume_live(struct node *node, struct ct *ct, const struct ct_found *found,
                        const struct now *now, struct out *out)
{
    struct observation booted = {.kind = IN_BOOTED,
                                 .pid = found->pid,
                                 .at_ns = found->booted_ns,
                                 .at_wall_ns = found->started_wall_ns};

    ct->is_boot_unseen = found->is_boot_unseen && !was_executed(ct);
    if (ct->state == CT_PREPARING) /* the agent died before it could write the launch down */
        node_step_kind(node, ct, IN_LAUNCHED, now, out);
    if (!found->has_ended)
        settle_set(ct, now, out);
    if (ct->state != CT_STUCK && !ct->has_init && node->in_flight < node->in_flight_max) {
        ct->is_in_flight = true;
        node->in_flight++;
    }
    if (ct->state == CT_LAUNCHING && found->is_staged)
        node_feed(node, ct, &booted, now, out);
    if (ct->state == CT_BOOTING && found->is_ready)
        node_step_kind(node, ct, IN_READY, now, out);
    if (found->has_ended) {
        feed_end(node, ct, found, now, out);
        return;
    }
    /* Where node.db is older, a freeze that it does not know may hold a boot, or be on its way. */
    if (found->is_frozen ? ct->state == CT_BOOTING : found->is_outgrown)
        (void)ct_order(out, ct, EFFECT_THAW);
    settle_freezer(node, ct, found->is_frozen, now, out);
    if (ct->state == CT_STOPPING && ct->has_init)
        ct_ask(ct, now, out);
    if (ct->state == CT_KILLING || ct->state == CT_STUCK)
        (void)ct_order(out, ct, EFFECT_KILL);
}

/* A create whose directory nobody vouches for: it is taken away, unseen. */
static void resume_unmade(struct ct *ct, const struct now *now, struct out *out)
{
    struct fault fault;

    interrupted(&fault, ct, "its making");
    ct_finish(ct, PHASE_FAILED, &fault, now, out);
    (void)ct_order(out, ct, EFFECT_REMOVE);
}

static void resume(struct node *node, struct ct *ct, const struct ct_found *found,
                   const struct now *now, struct out *out)
{
    struct observation gone = {.kind = IN_ENDED, .is_node_down = found->is_node_down};

    if (ct->state == CT_UNSET)
        resume_unmade(ct, now, out);
    else if (ct->state == CT_BACKOFF && found->is_node_down)
        node_step_kind(node, ct, IN_STOP, now, out); /* it waits for its autostart instead */
    else if (ct->state == CT_STOPPED || ct->state == CT_BACKOFF)
        return;
    else if (!ct->is_open) /* CLEANING, or STUCK in it */
        resume_cleaning(ct, out);
    else if (found->is_live || found->is_launching || found->has_ended)
        resume_live(node, ct, found, now, out);
    else if (was_executed(ct))
        node_feed(node, ct, &gone, now, out);
    else
        fail_start(node, ct, now, out);
}

/* What the row did not know is one move to those who follow its events (I4), and the end of the
 * command that it knew (I3). */
static void outgrow(struct ct *ct, const struct ct_found *found, const struct now *now,
                    struct out *out)
{
    struct fault fault;

    if (found->outgrown == CT_UNSET) { /* it was made after all */
        ct->created_wall_ns = now->wall_ns;
        (void)ct_tell(out, ct, EVENT_CREATED, now);
    }
    struct event *event = ct_tell(out, ct, EVENT_CHANGED, now);
    event->from = found->outgrown == CT_UNSET ? CT_STOPPED : found->outgrown;
    event->to = ct->state;
    fault_set(&fault, STATUS_INTERRUPTED, 0, "%s: node.db was put back to before this boot",
              ct->name);
    memcpy(event->detail, fault.text, EVENT_DETAIL_BYTES);
    ct->is_dirty = true;
    if (found->is_command_lost)
        ct_finish(ct, PHASE_FAILED, &fault, now, out);
}

static void arm(struct ct *ct, const struct now *now)
{
    ct->state_since_ns = now->ns;
    switch (ct->state) {
    case CT_LAUNCHING:
        ct->deadline_ns = now->ns + LAUNCH_DEADLINE_NS;
        break;
    case CT_BOOTING:
        ct->deadline_ns = now->ns + ct_ready_ns(ct);
        break;
    case CT_STOPPING:
        ct->deadline_ns = now->ns + ct->grace_ns;
        break;
    case CT_KILLING:
        ct->deadline_ns = now->ns + KILL_DEADLINE_NS;
        break;
    case CT_PREPARING:
    case CT_CLEANING:
        ct->deadline_ns = now->ns + CLEAN_DEADLINE_NS;
        break;
    case CT_BACKOFF:
        ct->deadline_ns = now->ns + RESTART_BASE_NS;
        break;
    case CT_STUCK:
        ct->step_ns = now->ns + STUCK_RETRY_NS;
        if (ct->has_command)
            ct->deadline_ns = now->ns + KILL_DEADLINE_NS;
        break;
    case CT_UNSET:
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
    if (found->is_outgrown)
        outgrow(ct, found, now, out);
    resume(node, ct, found, now, out);
    node_join_boot(node, ct);
    node_keep_in_line(node, ct);
    return ct->index;
}
