/* SPDX-License-Identifier: Apache-2.0 */
#include "container_actions.h"

#include <assert.h>
#include <string.h>

#include "ensure.h"

static_assert(EVENT_DETAIL_BYTES == FAULT_TEXT_BYTES, "words are copied from the one to the other");

static bool is_awaited(enum effect_kind kind)
{
    return kind == EFFECT_MAKE || kind == EFFECT_PREPARE || kind == EFFECT_CLEAN ||
           kind == EFFECT_REMOVE || kind == EFFECT_LIMIT;
}

struct effect *ct_order(struct out *out, struct ct *ct, enum effect_kind kind)
{
    ENSURE(out->effect_count < OUT_MAX);

    if (is_awaited(kind)) {
        ENSURE(ct->awaited == EFFECT_UNSET); /* each works on what the one before left */
        ct->awaited = kind;
    }
    struct effect *effect = &out->effects[out->effect_count++];
    *effect = (struct effect){.kind = kind, .ct = ct->index, .generation = ct->generation};
    return effect;
}

/* An effect on behalf of a command: only once its intent is durable. */
struct effect *ct_order_after_commit(struct out *out, struct ct *ct, enum effect_kind kind)
{
    struct effect *effect = ct_order(out, ct, kind);
    effect->waits_commit = true;
    return effect;
}

struct event *ct_tell(struct out *out, const struct ct *ct, enum event_type type,
                      const struct now *now)
{
    ENSURE(out->event_count < OUT_MAX);

    struct event *event = &out->events[out->event_count++];
    *event =
        (struct event){.time_wall_ns = now->wall_ns, .generation = ct->generation, .type = type};
    memcpy(event->uuid, ct->uuid, UUID_BYTES);
    memcpy(event->name, ct->name, NAME_BYTES);
    if (ct->has_command)
        memcpy(event->request, ct->command.request, REQUEST_ID_BYTES);
    return event;
}

void ct_finish(struct ct *ct, enum phase phase, const struct fault *fault, const struct now *now,
               struct out *out)
{
    ENSURE(phase != PHASE_ACCEPTED);
    if (!ct->has_command)
        return;
    ENSURE(out->receipt_count < OUT_MAX);

    struct ct_receipt *receipt = &out->receipts[out->receipt_count++];
    *receipt = (struct ct_receipt){.origin = ct->command.origin,
                                   .hash = ct->command.hash,
                                   .verb = ct->command.verb,
                                   .phase = phase,
                                   .has_ct = true,
                                   .ct = ct->index};
    memcpy(receipt->request, ct->command.request, REQUEST_ID_BYTES);
    if (fault != NULL)
        receipt->fault = *fault;
    if (phase == PHASE_DONE && ct->command.verb == VERB_SET)
        ct_tell_keys(ct, &ct->command.set, receipt);

    struct event *event = ct_tell(out, ct, EVENT_RESULT, now);
    event->result = fault != NULL ? fault->status : STATUS_DONE;
    if (fault != NULL)
        memcpy(event->detail, fault->text, EVENT_DETAIL_BYTES);
    ct->has_command = false;
    ct->limit_ns = 0;
    ct->is_dirty = true;
}

static void finish_done(struct ct *ct, const struct now *now, struct out *out)
{
    ct_finish(ct, PHASE_DONE, NULL, now, out);
}

bool ct_has_boot_command(const struct ct *ct)
{
    return ct->has_command && (ct->command.verb == VERB_START || ct->command.verb == VERB_REBOOT ||
                               ct->command.verb == VERB_CREATE || ct_is_set_restart(ct));
}

static void queue(struct ct *ct, bool is_automatic)
{
    ct->generation = (ct->spent > ct->generation ? ct->spent : ct->generation) + 1;
    ct->is_open = true;
    ct->is_automatic = is_automatic;
    ct->is_wanted = true;
    ct->boot = CT_BOOT_NONE;
    ct->is_restart_owed = false;
    ct->has_init = false;
    ct->is_boot_unseen = false;
    ct->is_ready = false;
    ct->pid = 0;
    ct->booted_ns = 0;
    ct->order = ORDER_NONE;
    ct->is_kill_sent = false;
    ct->oom_until_ns = 0;
    ct->oom_kills = 0;
    ct->cause = CAUSE_UNSET;
    ct->has_status = false;
    ct->after = AFTER_STOP;
    ct->retries = 0;
    ct->fault = (struct fault){0};
}

void ct_started(struct ct *ct, uint64_t wall_ns)
{
    ct->started_wall_ns = wall_ns > ct->ended_wall_ns ? wall_ns : ct->ended_wall_ns + 1;
}

static void note_boot(struct ct *ct, const struct observation *observation)
{
    ct->has_init = true;
    ct->pid = observation->pid;
    ct->booted_ns = observation->at_ns;
    ct_started(ct, observation->at_wall_ns);
    ct->is_dirty = true;
}

void ct_ask(struct ct *ct, const struct now *now, struct out *out)
{
    struct effect *effect = ct_order_after_commit(out, ct, EFFECT_ASK);

    effect->step = ct->stop_step;
    effect->is_reboot = ct->order == ORDER_REBOOT;
    ct->step_ns = ct->stop_step + 1 < STOP_STEPS_MAX ? now->ns + STOP_STEP_NS : 0;
}

static void kill_all(struct ct *ct, struct out *out)
{
    ct->is_kill_sent = true;
    (void)ct_order_after_commit(out, ct, EFFECT_KILL);
}

static void set_stuck(const struct ct *ct, struct fault *fault)
{
    const char *words = ct->is_open ? "its processes do not end" : "its cgroups cannot be removed";

    if (ct->awaited == EFFECT_PREPARE)
        words = "preparing it does not return";
    if (ct->awaited == EFFECT_REMOVE)
        words = "removing its directory does not return";
    if (ct->awaited == EFFECT_LIMIT)
        words = "writing its limits does not return";
    if (fault->status == STATUS_UNSET)
        fault_set(fault, STATUS_TIMEOUT, 0, "%s: %s", ct->name, words);
    fault_hint(fault, "it is retried until that is gone");
}

static void act_none(struct step *step)
{
    (void)step; /* a move that needs no more than its event */
}

static void act_created(struct step *step)
{
    struct ct *ct = step->ct;

    ct->is_announced = true;
    ct->created_wall_ns = step->now->wall_ns;
    (void)ct_tell(step->out, ct, EVENT_CREATED, step->now);
    if (!ct->has_command || !ct->command.is_started)
        finish_done(ct, step->now, step->out);
}

static void act_forget(struct step *step)
{
    struct ct *ct = step->ct;

    ct_finish(ct, PHASE_FAILED, &step->seen->fault, step->now, step->out);
    ct->is_used = false;
    ct->is_dirty = true;
    ct->deadline_ns = 0;
    ct->step_ns = 0;
}

static void act_late(struct step *step)
{
    struct ct *ct = step->ct;
    struct fault fault;

    fault_set(&fault, STATUS_TIMEOUT, 0, "%s: making its directory does not return", ct->name);
    ct_finish(ct, PHASE_FAILED, &fault, step->now, step->out);
    ct->deadline_ns = 0;
}

static void act_join(struct step *step)
{
    struct ct *ct = step->ct;

    if (ct->has_init && ct->command.wait == WAIT_FOR_EXEC)
        finish_done(ct, step->now, step->out);
}

static void act_start_after(struct step *step)
{
    step->ct->after = AFTER_AGAIN;
}

static void act_queue(struct step *step)
{
    queue(step->ct, false);
}

static void act_again(struct step *step)
{
    queue(step->ct, !step->ct->has_command);
}

static void act_prepare(struct step *step)
{
    struct ct *ct = step->ct;

    ct->deadline_ns = step->now->ns + PREPARE_DEADLINE_NS;
    (void)ct_order_after_commit(step->out, ct, EFFECT_PREPARE);
}

static void act_launch(struct step *step)
{
    step->ct->is_ready_on_exec = step->seen->is_ready_on_exec;
    (void)ct_order(step->out, step->ct, EFFECT_LAUNCH);
}

static void act_launch_late(struct step *step)
{
    struct ct *ct = step->ct;

    ct->order = ORDER_BOOT_TIMEOUT;
    fault_set(&ct->fault, STATUS_TIMEOUT, 0, "%s: no word of its launch within %u s", ct->name,
              LAUNCH_DEADLINE_NS / SECOND_NS);
    kill_all(ct, step->out);
}

static void act_note_ready(struct step *step)
{
    step->ct->is_ready = true;
}

static void act_booted(struct step *step)
{
    struct ct *ct = step->ct;

    note_boot(ct, step->seen);
    if (ct_has_boot_command(ct) && ct->command.wait == WAIT_FOR_EXEC)
        finish_done(ct, step->now, step->out);
}

static void act_ready(struct step *step)
{
    step->ct->is_ready = true;
    if (ct_has_boot_command(step->ct))
        finish_done(step->ct, step->now, step->out);
}

static void act_note_boot(struct step *step)
{
    note_boot(step->ct, step->seen);
    kill_all(step->ct, step->out); /* the order may have come before its cgroup was entered */
}

static void act_note_boot_ask(struct step *step)
{
    struct ct *ct = step->ct;

    note_boot(ct, step->seen);
    ct->deadline_ns = ct->state_since_ns + ct->grace_ns;
    ct_ask(ct, step->now, step->out);
}

static void act_ask(struct step *step)
{
    struct ct *ct = step->ct;

    ct->deadline_ns = step->now->ns + ct->grace_ns;
    if (ct->has_init)
        ct_ask(ct, step->now, step->out);
}

static void act_thaw_ask(struct step *step)
{
    (void)ct_order_after_commit(step->out, step->ct, EFFECT_THAW);
    ct_ask(step->ct, step->now, step->out);
}

/* As it was before the command: what it wanted to end is wanted, and ends only by itself. */
static void act_unasked(struct step *step)
{
    struct ct *ct = step->ct;

    ct->order = ORDER_NONE;
    ct->stop_step = 0;
    ct->is_wanted = true;
    ct->boot = CT_BOOT_NONE;
    ct->is_restart_owed = false;
    ct->is_ready = ct->state == CT_RUNNING;
    (void)ct_order(step->out, ct, EFFECT_THAW); /* that of the stop may have failed */
    ct_finish(ct, PHASE_FAILED, &step->seen->fault, step->now, step->out);
}

static void act_escalate(struct step *step)
{
    struct ct *ct = step->ct;

    ct->stop_step++;
    ENSURE(ct->stop_step < STOP_STEPS_MAX);
    ct_ask(ct, step->now, step->out);

    struct fault words = {0}; /* borrowed for its small formatter */
    const char *why =
        step->seen->fault.status != STATUS_UNSET ? step->seen->fault.text : "it does not go down";
    fault_set(&words, STATUS_UNSET, 0, "asked again, way %u of %u: %s", (uint64_t)ct->stop_step + 1,
              (uint64_t)STOP_STEPS_MAX, why);
    struct event *event = ct_tell(step->out, ct, EVENT_ESCALATED, step->now);
    memcpy(event->detail, words.text, EVENT_DETAIL_BYTES);
}

static void act_grace_over(struct step *step)
{
    struct ct *ct = step->ct;
    struct event *event = ct_tell(step->out, ct, EVENT_ESCALATED, step->now);
    struct fault words = {0};

    bool is_whole = ct->grace_ns % SECOND_NS == 0;
    fault_set(&words, STATUS_UNSET, 0,
              is_whole ? "grace of %u s is over: killed" : "grace of %u ms is over: killed",
              ct->grace_ns / (is_whole ? SECOND_NS : SECOND_NS / 1000));
    if (step->seen->fault.status != STATUS_UNSET) /* it cannot be asked: nothing to wait for */
        fault_set(&words, STATUS_UNSET, 0, "no way of asking is left: killed (%s)",
                  step->seen->fault.text);
    memcpy(event->detail, words.text, EVENT_DETAIL_BYTES);
    kill_all(ct, step->out);
}

static void set_unready(const struct ct *ct, struct fault *fault)
{
    uint64_t ready_ns = ct_ready_ns(ct);
    bool is_whole = ready_ns % SECOND_NS == 0;

    fault_set(fault, STATUS_TIMEOUT, 0,
              is_whole ? "%s was not ready within %u s" : "%s was not ready within %u ms", ct->name,
              ready_ns / (is_whole ? SECOND_NS : SECOND_NS / 1000));
}

static void act_boot_late(struct step *step)
{
    struct ct *ct = step->ct;

    ct->order = ORDER_BOOT_TIMEOUT;
    set_unready(ct, &ct->fault);
    kill_all(ct, step->out);
}

static void act_keep(struct step *step)
{
    struct ct *ct = step->ct;
    struct fault fault;

    set_unready(ct, &fault);
    fault_hint(&fault, "it goes on, as --ready-policy keep says");
    ct->deadline_ns = step->now->ns + ct_ready_ns(ct);
    if (ct_has_boot_command(ct))
        ct_finish(ct, PHASE_FAILED, &fault, step->now, step->out);
}

static void act_kill(struct step *step)
{
    kill_all(step->ct, step->out);
}

/* While its limits are being written its files are in use: whoever removes them would wait, and
 * others with him. */
static void act_clean(struct step *step)
{
    if (step->ct->awaited == EFFECT_UNSET && !step->ct->is_open)
        (void)ct_order(step->out, step->ct, EFFECT_CLEAN);
}

static void act_end(struct step *step)
{
    struct ct *ct = step->ct;

    act_clean(step);
    if (ct_is_setting(ct))
        ct_end_set(step);
    if (!ct->has_command || (ct->command.verb != VERB_FREEZE && ct->command.verb != VERB_THAW))
        return; /* a stop is not done before all is gone; a start may yet be fulfilled */

    struct fault fault;
    fault_set(&fault, STATUS_WRONG_STATE, 0, "%s ended before %s was done: %s", ct->name,
              verb_name(ct->command.verb), cause_name(ct->cause));
    ct_finish(ct, PHASE_FAILED, &fault, step->now, step->out);
}

/* At rest. What the command asked for decides whether that is success. */
static void act_settle(struct step *step)
{
    struct ct *ct = step->ct;
    struct fault fault = ct->fault;

    ct->is_restart_owed = false;
    ct->is_wanted = false;
    if (!ct_has_boot_command(ct)) {
        finish_done(ct, step->now, step->out);
        return;
    }
    if (fault.status == STATUS_UNSET)
        fault_set(&fault, STATUS_FAILED, 0, "%s ended before it was ready: %s", ct->name,
                  cause_name(ct->cause));
    ct_finish(ct, PHASE_FAILED, &fault, step->now, step->out);
}

/* The command ends with why the boot failed, if it did; what is waited for stays to be shown. */
static void act_stuck(struct step *step)
{
    struct ct *ct = step->ct;
    struct fault why = step->seen->fault;
    bool is_told_more = ct_has_boot_command(ct) && ct->fault.status != STATUS_UNSET;

    set_stuck(ct, &why);
    ct_finish(ct, PHASE_FAILED, is_told_more ? &ct->fault : &why, step->now, step->out);
    ct->fault = why;
    ct->retries = 0;
    ct->step_ns = step->now->ns + STUCK_RETRY_NS;
}

static void arm_retry(struct ct *ct, const struct now *now)
{
    uint64_t wait_ns = STUCK_RETRY_NS;

    for (uint32_t i = 0; i < ct->retries && wait_ns < STUCK_RETRY_MAX_NS; i++)
        wait_ns *= 2;
    ct->retries++;
    ct->step_ns = now->ns + (wait_ns < STUCK_RETRY_MAX_NS ? wait_ns : STUCK_RETRY_MAX_NS);
}

static void act_retry(struct step *step)
{
    struct ct *ct = step->ct;

    arm_retry(ct, step->now);
    if (ct->awaited != EFFECT_UNSET && !(ct->is_open && ct->awaited == EFFECT_LIMIT))
        return; /* what was ordered may still return; twice at once it would only queue up */
    (void)ct_order(step->out, ct, ct->is_open ? EFFECT_KILL : EFFECT_CLEAN);
    ct->is_kill_sent = ct->is_kill_sent || ct->is_open;
}

static void act_note_fault(struct step *step)
{
    if (step->seen->fault.status != STATUS_UNSET)
        step->ct->fault = step->seen->fault;
}

static void act_give_up(struct step *step)
{
    struct fault fault = step->ct->fault;

    set_stuck(step->ct, &fault);
    ct_finish(step->ct, PHASE_FAILED, &fault, step->now, step->out);
}

static void act_remove(struct step *step)
{
    struct ct *ct = step->ct;

    ct->after = AFTER_DESTROY;
    ct->deadline_ns = step->now->ns + REMOVE_DEADLINE_NS;
    (void)ct_order_after_commit(step->out, ct, EFFECT_REMOVE);
}

static void act_remove_later(struct step *step)
{
    arm_retry(step->ct, step->now);
}

static void act_removed(struct step *step)
{
    struct ct *ct = step->ct;

    if (ct->is_announced)
        (void)ct_tell(step->out, ct, EVENT_DESTROYED, step->now);
    finish_done(ct, step->now, step->out);
    ct->is_used = false;
    ct->is_dirty = true;
    ct->deadline_ns = 0;
    ct->step_ns = 0;
}

static void act_freeze(struct step *step)
{
    step->ct->step_ns = step->now->ns + FREEZER_DEADLINE_NS;
    (void)ct_order_after_commit(step->out, step->ct, EFFECT_FREEZE);
}

static void act_thaw(struct step *step)
{
    step->ct->step_ns = step->now->ns + FREEZER_DEADLINE_NS;
    (void)ct_order_after_commit(step->out, step->ct, EFFECT_THAW);
}

static void act_freezer_late(struct step *step)
{
    struct ct *ct = step->ct;
    struct fault fault;

    if (!ct->has_command)
        return;
    fault_set(&fault, STATUS_TIMEOUT, 0, "%s: %s was not reached within %u s", ct->name,
              verb_name(ct->command.verb), FREEZER_DEADLINE_NS / SECOND_NS);
    if (ct->state == CT_RUNNING)
        (void)ct_order(step->out, ct, EFFECT_THAW);
    ct_finish(ct, PHASE_FAILED, &fault, step->now, step->out);
}

static void act_finish(struct step *step)
{
    finish_done(step->ct, step->now, step->out);
}

static void act_fail(struct step *step)
{
    step->ct->step_ns = 0;
    ct_finish(step->ct, PHASE_FAILED, &step->seen->fault, step->now, step->out);
}

static void act_oom(struct step *step)
{
    struct ct *ct = step->ct;
    struct fault words = {0};

    uint64_t until_ns = step->seen->is_init_dying ? UINT64_MAX : step->now->ns + OOM_WINDOW_NS;
    if (ct->oom_until_ns < until_ns)
        ct->oom_until_ns = until_ns;
    ct->oom_kills += step->seen->count;
    ct->is_dirty = true; /* with the event: what was told must not explain a later end */
    fault_set(&words, STATUS_UNSET, 0, "%u killed for memory", step->seen->count);
    memcpy(ct_tell(step->out, ct, EVENT_OOM, step->now)->detail, words.text, EVENT_DETAIL_BYTES);
}

void (*const ct_actions[ACT_COUNT])(struct step *step) = {
    [ACT_NONE] = act_none,
    [ACT_CREATED] = act_created,
    [ACT_FORGET] = act_forget,
    [ACT_LATE] = act_late,
    [ACT_JOIN] = act_join,
    [ACT_START_AFTER] = act_start_after,
    [ACT_QUEUE] = act_queue,
    [ACT_AGAIN] = act_again,
    [ACT_PREPARE] = act_prepare,
    [ACT_UNQUEUE] = act_none, /* the node takes it out of its queue, or an answer is to come */
    [ACT_LAUNCH] = act_launch,
    [ACT_LAUNCH_LATE] = act_launch_late,
    [ACT_NOTE_READY] = act_note_ready,
    [ACT_BOOTED] = act_booted,
    [ACT_READY] = act_ready,
    [ACT_NOTE_BOOT] = act_note_boot,
    [ACT_NOTE_BOOT_ASK] = act_note_boot_ask,
    [ACT_ASK] = act_ask,
    [ACT_THAW_ASK] = act_thaw_ask,
    [ACT_UNASKED] = act_unasked,
    [ACT_ESCALATE] = act_escalate,
    [ACT_GRACE_OVER] = act_grace_over,
    [ACT_BOOT_LATE] = act_boot_late,
    [ACT_KEEP] = act_keep,
    [ACT_KILL] = act_kill,
    [ACT_END] = act_end,
    [ACT_SETTLE] = act_settle,
    [ACT_BACKOFF] = act_none, /* its deadline is the wait */
    [ACT_STUCK] = act_stuck,
    [ACT_RETRY] = act_retry,
    [ACT_NOTE_FAULT] = act_note_fault,
    [ACT_GIVE_UP] = act_give_up,
    [ACT_REMOVE] = act_remove,
    [ACT_REMOVED] = act_removed,
    [ACT_REMOVE_FAILED] = act_fail,
    [ACT_REMOVE_LATER] = act_remove_later,
    [ACT_FREEZE] = act_freeze,
    [ACT_THAW] = act_thaw,
    [ACT_FREEZER_LATE] = act_freezer_late,
    [ACT_CONFIGURE] = ct_act_configure,
    [ACT_LIMIT] = ct_act_limit,
    [ACT_LIMITED] = ct_act_limited,
    [ACT_LIMIT_FAILED] = ct_act_limit_failed,
    [ACT_LIMIT_LATE] = ct_act_limit_late,
    [ACT_CLEAN] = act_clean,
    [ACT_FINISH] = act_finish,
    [ACT_FAIL] = act_fail,
    [ACT_OOM] = act_oom,
};
