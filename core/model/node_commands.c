/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a command: refused with its reason, fulfilled already, or taken; then it
 * displaces what may be displaced, and the rule table obeys.
 */
#include "node_parts.h"

#include <string.h>

#include "container_actions.h"
#include "ensure.h"

static struct ct_receipt *answer(struct out *out, const struct ct_command *command,
                                 enum phase phase, const struct ct *ct)
{
    ENSURE(out->receipt_count < OUT_MAX);

    struct ct_receipt *receipt = &out->receipts[out->receipt_count++];
    *receipt = (struct ct_receipt){
        .origin = command->origin, .hash = command->hash, .verb = command->verb, .phase = phase};
    memcpy(receipt->request, command->request, REQUEST_ID_BYTES);
    if (ct != NULL) {
        receipt->has_ct = true;
        receipt->ct = ct->index;
    }
    return receipt;
}

static void create(struct node *node, const struct ct_command *command, const struct now *now,
                   struct out *out)
{
    if (node_find(node, command->container) != NULL) {
        fault_set(&answer(out, command, PHASE_FAILED, NULL)->fault, STATUS_EXISTS, 0,
                  "%s exists already", command->container);
        return;
    }

    struct ct *ct = node_take_slot(node);
    if (ct == NULL) {
        fault_set(&answer(out, command, PHASE_FAILED, NULL)->fault, STATUS_NO_CAPACITY, 0,
                  "this node holds %u containers, its limit", (uint64_t)CT_MAX);
        return;
    }
    memcpy(ct->uuid, command->uuid, UUID_BYTES);
    memcpy(ct->name, command->container, NAME_BYTES);
    ct->policy = command->policy;
    ct->revision = 1;
    ct->has_command = true;
    ct->command = *command;
    ct->state_since_ns = now->ns;
    ct->deadline_ns = now->ns + CREATE_DEADLINE_NS;
    ct->is_dirty = true;
    (void)answer(out, command, PHASE_ACCEPTED, ct);
    (void)ct_order_after_commit(out, ct, EFFECT_MAKE);
    node_keep_in_line(node, ct);
}

static bool may_displace(const struct ct *ct, const struct ct_command *command)
{
    enum verb running = ct->command.verb;
    bool is_boot = running == VERB_START || running == VERB_REBOOT || running == VERB_CREATE ||
                   ct_is_set_restart(ct);

    if (!ct->is_announced || ct->awaited == EFFECT_REMOVE)
        return false; /* of what is half made or half removed nothing can be stopped */
    if (command->verb == VERB_STOP)
        return is_boot;
    if (command->verb == VERB_DESTROY)
        return command->is_forced && running != VERB_DESTROY && running != VERB_KILL;
    return command->verb == VERB_KILL;
}

/* A generation was made from its configuration, or is being made from it. */
static bool is_in_use(const struct ct *ct)
{
    return ct->is_open && !ct->is_queued;
}

/* What a stop would bring into force: what differs, and what was stored for the next start. */
static uint64_t stop_keys(const struct ct *ct, const struct ct_set *set)
{
    return is_in_use(ct) ? set->stop_keys | (set->keys & ct->late_keys) : 0;
}

static enum ct_input input_of_set(const struct ct *ct, const struct ct_set *set)
{
    if (set->when == SET_RESTART && stop_keys(ct, set) != 0)
        return IN_SET_RESTART;
    return set->limit_keys != 0 && is_in_use(ct) ? IN_SET_LIMITS : IN_SET;
}

static enum ct_input input_of(const struct ct *ct, const struct ct_command *command)
{
    switch (command->verb) {
    case VERB_START:
        return IN_START;
    case VERB_STOP:
        return IN_STOP;
    case VERB_KILL:
        return IN_KILL;
    case VERB_REBOOT:
        return IN_REBOOT;
    case VERB_FREEZE:
        return IN_FREEZE;
    case VERB_THAW:
        return IN_THAW;
    case VERB_DESTROY:
        if (ct->state == CT_STOPPED || ct->state == CT_CLEANING || ct->state == CT_BACKOFF)
            return IN_DESTROY;
        return command->is_forced ? IN_KILL : IN_DESTROY;
    case VERB_SET:
        return input_of_set(ct, &command->set);
    case VERB_UNSET:
    case VERB_CREATE:
    case VERB_COUNT:
        break;
    }
    ENSURE(false);
    return IN_UNSET;
}

static void take_stop(struct ct *ct, const struct ct_command *command, bool is_reboot)
{
    /* What was killed already keeps the reason for which it was. */
    if (ct->order != ORDER_KILL && ct->order != ORDER_BOOT_TIMEOUT)
        ct->order = is_reboot ? ORDER_REBOOT : ORDER_STOP;
    ct->stop_step = 0;
    ct->grace_ns = command->grace_ns != 0 ? command->grace_ns : ct->policy.grace_ns;
    if (ct->grace_ns == 0)
        ct->grace_ns = GRACE_DEFAULT_NS;
}

/* Whoever ends it ends its part in the node's boot, too, unless that is what it is ended for. */
static void leave_boot(struct ct *ct, const struct ct_command *command)
{
    bool was_up = ct->is_wanted || ct->is_restart_owed || ct->boot != CT_BOOT_NONE;
    enum ct_boot boot = command->is_for_shutdown && was_up ? CT_BOOT_NEXT : CT_BOOT_NONE;

    ct->is_dirty = ct->is_dirty || ct->boot != boot;
    ct->boot = boot;
}

/* From now on SET_RESTART says that it is carried out, and no more that it may be. */
static void take_set(struct ct *ct, const struct ct_command *command, enum ct_input input)
{
    if (input != IN_SET_RESTART && ct->command.set.when == SET_RESTART)
        ct->command.set.when = SET_NEXT_START;
    ct->has_set = true;
    ct->set = ct->command.set;
    ct->set_policy = command->policy;
}

/* What the command orders beyond its rule's action: evidence for the cause, and what follows. */
static void take_command(struct ct *ct, const struct ct_command *command, enum ct_input input)
{
    ct->has_command = true;
    ct->command = *command;
    ct->is_dirty = true;
    if (command->verb == VERB_SET)
        take_set(ct, command, input);
    bool is_reboot = input == IN_REBOOT || input == IN_SET_RESTART;
    if (input == IN_STOP || is_reboot)
        take_stop(ct, command, is_reboot);
    if (is_reboot && ct->is_open)
        ct->is_restart_owed = true; /* so that it is carried out though the agent may die */
    if (input == IN_KILL)
        ct->order = ORDER_KILL;
    if (input == IN_STOP || input == IN_KILL || input == IN_DESTROY) {
        leave_boot(ct, command);
        ct->is_wanted = false;
        ct->is_restart_owed = false;
        ct->after = command->verb == VERB_DESTROY ? AFTER_DESTROY : AFTER_STOP;
    }
    if (input == IN_START)
        ct->restart.streak = 0; /* a person's start begins a new count */
}

static bool is_start_disabled(const struct ct *ct, const struct ct_command *command)
{
    return command->verb == VERB_START && !ct->is_open && ct->policy.is_start_disabled &&
           !command->is_forced;
}

static void refuse(const struct ct *ct, const struct ct_command *command, struct out *out)
{
    struct fault *fault = &answer(out, command, PHASE_FAILED, ct)->fault;

    fault_set(fault, STATUS_WRONG_STATE, 0, "%s is %s", ct->name, ct_state_name(ct->state));
    if (is_start_disabled(ct, command)) {
        fault_set(fault, STATUS_START_DISABLED, 0, "%s: its start is disabled", ct->name);
        fault_hint(fault, "--force starts it once; `drover set` of autostart enables it");
    }
    if (command->verb == VERB_DESTROY)
        fault_hint(fault, "stop it first, or --force");
    else if (command->verb == VERB_REBOOT && ct->state == CT_STOPPED)
        fault_hint(fault, "start it");
}

/* Is there no rule by which this state obeys? */
static bool is_refused(const struct ct *ct, const struct ct_command *command, enum ct_input input)
{
    if (ct_rules[ct->state][input].verdict == VERDICT_REJECT)
        return true;
    if (ct->awaited == EFFECT_REMOVE && command->verb != VERB_DESTROY)
        return true; /* a destroy that was late, and goes on */
    if (is_start_disabled(ct, command))
        return true;
    return input == IN_DESTROY && ct->is_restart_owed && !command->is_forced;
}

static void supersede(struct ct *ct, const struct ct_command *command, const struct now *now,
                      struct out *out)
{
    struct fault fault;

    if (!ct->has_command)
        return;
    fault_set(&fault, STATUS_SUPERSEDED, 0, "%s: %s took its place", ct->name,
              verb_name(command->verb));
    ct_finish(ct, PHASE_SUPERSEDED, &fault, now, out);
}

/* A SET that is answered before anything of it is done. */
static bool answer_set(const struct ct *ct, const struct ct_command *command, struct out *out)
{
    const struct ct_set *set = &command->set;
    struct fault fault = {0};
    bool is_stop_refused = is_in_use(ct) && set->stop_keys != 0 &&
                           (set->when == SET_UNSET || set->when == SET_AT_ONCE);
    bool is_conflict = set->asked_base != 0 && set->asked_base != ct->revision;

    if (is_conflict || set->base != ct->revision) {
        fault_set(&fault, is_conflict ? STATUS_CONFLICT : STATUS_BUSY, 0,
                  "%s: its configuration is at revision %u, not %u", ct->name, ct->revision,
                  is_conflict ? set->asked_base : set->base);
        fault_hint(&fault, "look at what it is now, and give the command again");
    } else if (ct->awaited == EFFECT_LIMIT) {
        fault_set(&fault, STATUS_BUSY, 0, "%s: its limits are still being written", ct->name);
    } else if (is_stop_refused) {
        fault_set(&fault, STATUS_WRONG_STATE, 0, "%s is %s, and this takes a stop", ct->name,
                  ct_state_name(ct->state));
        fault_hint(&fault, "nothing was changed; --next-start stores it, --restart performs it");
    } else if (!set->is_same || (set->when == SET_RESTART && stop_keys(ct, set) != 0)) {
        return false;
    }
    struct ct_receipt *receipt =
        answer(out, command, fault.status == STATUS_UNSET ? PHASE_UNCHANGED : PHASE_FAILED, ct);
    receipt->fault = fault;
    if (fault.status == STATUS_UNSET) {
        receipt->fault.status = STATUS_UNCHANGED;
        ct_tell_keys(ct, set, receipt);
    } else if (is_stop_refused) {
        receipt->at_next_start = set->stop_keys;
    }
    return true;
}

static void obey(struct node *node, struct ct *ct, const struct ct_command *command,
                 const struct now *now, struct out *out)
{
    enum ct_input input = input_of(ct, command);

    if (command->verb == VERB_SET && answer_set(ct, command, out))
        return;
    if (ct_rules[ct->state][input].verdict == VERDICT_UNCHANGED) {
        answer(out, command, PHASE_UNCHANGED, ct)->fault.status = STATUS_UNCHANGED;
        if (input == IN_STOP || input == IN_KILL)
            leave_boot(ct, command); /* nor is it to come up by itself */
        node_note_boot(node, ct);
        node_keep_in_line(node, ct);
        return;
    }
    if (is_refused(ct, command, input)) {
        refuse(ct, command, out);
        return;
    }
    supersede(ct, command, now, out);
    take_command(ct, command, input);
    struct ct_receipt *accepted = answer(out, command, PHASE_ACCEPTED, ct);
    if (input == IN_SET_RESTART)
        accepted->applied = command->set.keys; /* another agent may end it, and not know them */
    if (input == IN_SET_RESTART)
        ct_configure(ct, now, out); /* before the move: the next generation is made from it */

    /* Held back in the queue, it has nothing to undo: its preparation is over before it began. */
    bool was_queued = ct->is_queued;
    node_step_kind(node, ct, input, now, out);
    if (was_queued && ct->state != CT_PREPARING) {
        node_dequeue(node, ct);
        node_step_kind(node, ct, IN_PREPARE_FAILED, now, out);
    }
    if (ct->state == CT_STUCK && ct->has_command) {
        ct->deadline_ns = now->ns + KILL_DEADLINE_NS; /* of the command, not of the state */
        node_keep_in_line(node, ct);
    }
}

void node_command(struct node *node, const struct ct_command *command, const struct now *now,
                  struct out *out)
{
    if (command->verb == VERB_CREATE) {
        create(node, command, now, out);
        return;
    }

    struct ct *ct = (struct ct *)node_find(node, command->container);
    if (ct == NULL || (!ct->is_announced && !ct->has_command)) {
        fault_set(&answer(out, command, PHASE_FAILED, NULL)->fault, STATUS_NOT_FOUND, 0,
                  "no container %s", command->container);
        return;
    }
    if (ct->has_command && !may_displace(ct, command)) {
        fault_set(&answer(out, command, PHASE_FAILED, ct)->fault, STATUS_BUSY, 0,
                  "%s is busy with %s (request %s)", ct->name, verb_name(ct->command.verb),
                  ct->command.request);
        return;
    }
    obey(node, ct, command, now, out);
}
