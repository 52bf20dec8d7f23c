/* SPDX-License-Identifier: Apache-2.0 */
#include "container.h"

#include <string.h>
#include <sys/wait.h>

#include "container_actions.h"
#include "ensure.h"

static const struct restart_policy restart_limits = {
    .base_ns = RESTART_BASE_NS,
    .cap_ns = RESTART_CAP_NS,
    .window_ns = RESTART_WINDOW_NS,
    .limit = RESTART_LIMIT,
};

bool ct_state_has_init(enum ct_state state)
{
    return state == CT_BOOTING || state == CT_RUNNING || state == CT_FROZEN ||
           state == CT_STOPPING || state == CT_KILLING || state == CT_STUCK;
}

bool ct_state_waits(enum ct_state state)
{
    return state != CT_STOPPED && state != CT_RUNNING && state != CT_FROZEN && state != CT_STUCK;
}

/* A guest that ends by itself and is to boot again, sooner or later, or never. */
static void decide_restart(struct ct *ct, uint64_t ended_ns)
{
    bool has_run = ct->booted_ns != 0 && ended_ns > ct->booted_ns;
    uint64_t lasted_ns = has_run ? ended_ns - ct->booted_ns : 0;

    if (!restart_step(&ct->restart, &restart_limits, lasted_ns, &ct->wait_ns)) {
        ct->cause = CAUSE_CRASH_LOOP;
        ct->after = AFTER_STOP;
        return;
    }
    ct->after = ct->wait_ns == 0 ? AFTER_AGAIN : AFTER_WAIT;
}

static bool is_failure(const struct ct *ct)
{
    return !(ct->cause == CAUSE_EXITED && ct->has_status && WEXITSTATUS(ct->wait_status) == 0);
}

/* A guest that ran and was to be rebooted is wanted, whoever dies in between. */
static bool is_reboot(const struct ct *ct)
{
    return (ct->has_command && ct->command.verb == VERB_REBOOT) || ct_is_set_restart(ct);
}

static void decide_after(struct ct *ct, uint64_t ended_ns)
{
    bool is_policy = ct->policy.restart == RESTART_ALWAYS ||
                     (ct->policy.restart == RESTART_ON_FAILURE && is_failure(ct));

    ct->after = AFTER_STOP;
    if (ct->has_command && ct->command.verb == VERB_DESTROY) {
        ct->after = AFTER_DESTROY;
        return;
    }
    if (!ct->is_wanted)
        return; /* an operator's stop or kill beats whatever the guest or the policy would do */
    switch (ct->cause) {
    case CAUSE_GUEST_REBOOT:
        decide_restart(ct, ended_ns);
        break;
    case CAUSE_OPERATOR_REBOOT:
        ct->after = AFTER_AGAIN;
        break;
    case CAUSE_START_FAILED: /* a person's start fails to him; only what began by itself goes on */
        if (ct->fault.status == STATUS_INTERRUPTED && (ct->is_automatic || is_reboot(ct)))
            ct->after = AFTER_AGAIN; /* the agent died over it: what stood behind it still does */
        else if (ct->is_automatic && is_policy)
            decide_restart(ct, ended_ns);
        break;
    case CAUSE_EXITED:
    case CAUSE_SIGNALLED:
    case CAUSE_OOM:
    case CAUSE_BOOT_TIMEOUT:
    case CAUSE_UNKNOWN:
        if (is_policy)
            decide_restart(ct, ended_ns);
        break;
    case CAUSE_UNSET:
    case CAUSE_GUEST_HALT:
    case CAUSE_OPERATOR_STOP:
    case CAUSE_OPERATOR_KILL:
    case CAUSE_REBOOT_DENIED:
    case CAUSE_CRASH_LOOP:
    case CAUSE_NODE_DOWN:
    case CAUSE_LEASE_LOST:
        break;
    case CAUSE_COUNT:
        ENSURE(false);
    }
}

static enum cause cause_of(const struct ct *ct, const struct observation *observation,
                           uint64_t ended_ns)
{
    if (observation->is_node_down)
        return CAUSE_NODE_DOWN;
    if (observation->kind == IN_ENDED) {
        struct ending ending = {.wait_status = observation->wait_status,
                                .is_status_known = observation->has_status,
                                .is_killed_by_us = ct->is_kill_sent,
                                .is_oom_kill_seen = ended_ns <= ct->oom_until_ns,
                                .is_reboot_allowed = !ct->policy.is_reboot_denied,
                                .order = ct->order};
        return cause_decide(&ending);
    }
    if (ct->order == ORDER_STOP)
        return CAUSE_OPERATOR_STOP;
    if (ct->order == ORDER_KILL)
        return CAUSE_OPERATOR_KILL;
    return CAUSE_START_FAILED;
}

/* The generation is over: its evidence becomes a cause, and what follows is decided. */
static void end(struct ct *ct, const struct observation *observation, const struct now *now)
{
    uint64_t ended_ns = observation->at_ns != 0 ? observation->at_ns : now->ns;
    ENSURE(ct->is_open);

    ct->cause = cause_of(ct, observation, ended_ns);
    ct->has_status = observation->has_status;
    ct->wait_status = observation->wait_status;
    ct->ended_wall_ns = observation->at_wall_ns != 0 ? observation->at_wall_ns : now->wall_ns;
    if (ct->ended_wall_ns < ct->started_wall_ns)
        ct->ended_wall_ns = ct->started_wall_ns; /* as ct_started() */
    if (observation->fault.status != STATUS_UNSET)
        ct->fault = observation->fault;
    decide_after(ct, ended_ns);
    ct->is_restart_owed = ct->after == AFTER_AGAIN || ct->after == AFTER_WAIT;
    ct->is_wanted = ct->is_restart_owed;
    ct->late_keys = 0;
    ct->is_open = false;
    ct->has_init = false;
    ct->is_ready = false;
    ct->pid = 0;
}

static uint64_t deadline_of(const struct ct *ct, enum ct_state state)
{
    switch (state) {
    case CT_UNSET:
        return CREATE_DEADLINE_NS;
    case CT_PREPARING:
        return QUEUE_DEADLINE_NS;
    case CT_LAUNCHING:
        return LAUNCH_DEADLINE_NS;
    case CT_BOOTING:
        return ct_ready_ns(ct);
    case CT_STOPPING: /* without an init there is nobody to be graceful to */
        return ct->has_init || ct->grace_ns < LAUNCH_DEADLINE_NS ? ct->grace_ns
                                                                 : LAUNCH_DEADLINE_NS;
    case CT_KILLING:
        return KILL_DEADLINE_NS;
    case CT_CLEANING:
        return CLEAN_DEADLINE_NS;
    case CT_BACKOFF:
        return ct->wait_ns;
    case CT_STOPPED:
    case CT_RUNNING:
    case CT_FROZEN:
    case CT_STUCK:
        return 0;
    case CT_STATE_COUNT:
        break;
    }
    ENSURE(false);
    return 0;
}

static void move(struct ct *ct, enum ct_state next, const struct observation *observation,
                 const struct now *now, struct out *out)
{
    enum ct_state from = ct->state;
    bool is_end = next == CT_CLEANING && ct->is_open;
    uint64_t wait_ns = deadline_of(ct, next);

    if (is_end)
        end(ct, observation, now);
    if (next != CT_RUNNING && next != CT_FROZEN) /* on the way down other clocks count */
        ct->limit_ns = 0;
    ct->step_ns = 0;
    ct->moves[ct->move_count++ % CT_MOVES_KEPT] =
        (struct ct_move){from, next, observation->kind, now->ns};
    ct->state = next;
    ct->state_since_ns = now->ns;
    ct->deadline_ns = wait_ns == 0 ? 0 : now->ns + wait_ns;
    ct->is_dirty = true;
    if (from == CT_UNSET)
        return; /* `created` says it */

    struct event *event = ct_tell(out, ct, EVENT_CHANGED, now);
    event->from = from;
    event->to = next;
    if (is_end) {
        event->time_wall_ns = ct->ended_wall_ns;
        event->cause = ct->cause;
        event->has_status = ct->has_status;
        event->wait_status = ct->wait_status;
        if (ct->cause == CAUSE_START_FAILED)
            memcpy(event->detail, ct->fault.text, EVENT_DETAIL_BYTES);
    }
}

enum verdict ct_step(struct ct *ct, const struct observation *observation, const struct now *now,
                     struct out *out)
{
    ENSURE((unsigned)ct->state < CT_STATE_COUNT);
    ENSURE((unsigned)observation->kind < CT_INPUT_COUNT);

    const struct ct_rule *rule = &ct_rules[ct->state][observation->kind];
    ENSURE(rule->verdict != VERDICT_UNSET);
    ENSURE(rule->verdict != VERDICT_BUG);

    if (rule->verdict != VERDICT_MOVE && rule->verdict != VERDICT_ACT)
        return rule->verdict;

    /* A new generation's first event carries its number; so queueing comes before the move. */
    bool is_new = rule->action == ACT_QUEUE || rule->action == ACT_AGAIN;
    struct step step = {.ct = ct, .seen = observation, .now = now, .out = out};

    if (is_new)
        ct_actions[rule->action](&step);
    if (rule->verdict == VERDICT_MOVE)
        move(ct, rule->next, observation, now, out);
    if (!is_new)
        ct_actions[rule->action](&step);
    /* A boot that hangs gives its place up; one that is only to end keeps it till then. */
    ct->is_in_flight = ct->is_in_flight && ct->is_open && !ct->has_init && ct->state != CT_STUCK;
    return rule->verdict;
}

enum verb ct_row_verb(const struct ct *ct)
{
    if (!ct->has_command)
        return VERB_UNSET;
    return ct_is_set_restart(ct) ? VERB_REBOOT : ct->command.verb;
}

enum ct_input ct_cleaned_input(const struct ct *ct)
{
    switch (ct->after) {
    case AFTER_STOP:
        return IN_CLEANED_STOP;
    case AFTER_AGAIN:
        return IN_CLEANED_AGAIN;
    case AFTER_WAIT:
        return IN_CLEANED_WAIT;
    case AFTER_DESTROY:
        return IN_CLEANED_DESTROY;
    }
    ENSURE(false);
    return IN_CLEANED_STOP;
}
