/* SPDX-License-Identifier: Apache-2.0 */
#include "node.h"

#include <string.h>

#include "ensure.h"

void node_init(struct node *node, uint64_t seed)
{
    node->seed = seed;
    node->in_flight_max = BOOTS_IN_FLIGHT_MAX;
}

bool node_has_room(const struct out *out)
{
    return out->effect_count + CT_OUT_PER_STEP <= OUT_MAX &&
           out->event_count + CT_OUT_PER_STEP <= OUT_MAX &&
           out->receipt_count + CT_OUT_PER_STEP <= OUT_MAX;
}

/* ---- slots ---- */

static bool uuid_is(const char *text, const uint8_t uuid[UUID_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;

    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            if (text[at++] != '-')
                return false;
        if (text[at] != digits[uuid[i] >> 4])
            return false;
        if (text[at + 1] != digits[uuid[i] & 15])
            return false;
        at += 2;
    }
    return text[at] == '\0';
}

const struct ct *node_find(const struct node *node, const char *name_or_uuid)
{
    for (uint32_t i = 0; i < node->slots_end; i++) {
        const struct ct *ct = &node->slots[i];

        if (ct->is_used &&
            (strcmp(ct->name, name_or_uuid) == 0 || uuid_is(name_or_uuid, ct->uuid)))
            return ct;
    }
    return NULL;
}

const struct ct *node_get(const struct node *node, uint32_t index)
{
    ENSURE(index < CT_MAX);
    return &node->slots[index];
}

bool node_next(const struct node *node, uint32_t *index)
{
    for (; *index < node->slots_end; (*index)++)
        if (node->slots[*index].is_used)
            return true;
    return false;
}

/* A freed slot whose row is not yet deleted is not given away: its data are still read. */
struct ct *node_take_slot(struct node *node)
{
    for (uint32_t i = 0; i < CT_MAX; i++) {
        struct ct *ct = &node->slots[i];

        if (ct->is_used || ct->is_listed)
            continue;
        *ct = (struct ct){.is_used = true, .index = i};
        ct->restart.prng.state = node->seed + i;
        node->seed = prng_next(&ct->restart.prng);
        node->count++;
        if (i >= node->slots_end)
            node->slots_end = i + 1;
        return ct;
    }
    return NULL;
}

bool node_take_dirty(struct node *node, uint32_t *ret_index)
{
    if (node->dirty_count == 0)
        return false;
    *ret_index = node->dirty[--node->dirty_count];
    node->slots[*ret_index].is_dirty = false;
    node->slots[*ret_index].is_listed = false;
    return true;
}

/* ---- admission ---- */

static void enqueue(struct node *node, struct ct *ct)
{
    ENSURE(node->queue_count < CT_MAX);
    node->queue[(node->queue_first + node->queue_count++) % CT_MAX] = ct->index;
    ct->is_queued = true;
}

static void dequeue(struct node *node, struct ct *ct)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < node->queue_count; i++) {
        uint32_t index = node->queue[(node->queue_first + i) % CT_MAX];

        if (index != ct->index)
            node->queue[(node->queue_first + kept++) % CT_MAX] = index;
    }
    node->queue_count = kept;
    ct->is_queued = false;
}

/* ---- one step and what the node must keep in line with it ---- */

void node_keep_in_line(struct node *node, struct ct *ct)
{
    uint64_t due_ns = ct->deadline_ns;

    if (ct->step_ns != 0 && (due_ns == 0 || ct->step_ns < due_ns))
        due_ns = ct->step_ns;
    deadlines_set(&node->deadlines, ct->index, ct->is_used ? due_ns : 0);
    if (ct->state == CT_PREPARING && !ct->is_in_flight && !ct->is_queued && ct->is_open)
        enqueue(node, ct);
    if (ct->is_dirty && !ct->is_listed) {
        ct->is_listed = true;
        node->dirty[node->dirty_count++] = ct->index;
    }
}

static enum verdict step(struct node *node, struct ct *ct, const struct observation *seen,
                         const struct now *now, struct out *out)
{
    bool was_in_flight = ct->is_in_flight;
    enum verdict verdict = ct_step(ct, seen, now, out);

    if (was_in_flight && !ct->is_in_flight)
        node->in_flight--;
    if (!ct->is_used)
        node->count--;
    node_keep_in_line(node, ct);
    return verdict;
}

static enum verdict step_kind(struct node *node, struct ct *ct, enum ct_input kind,
                              const struct now *now, struct out *out)
{
    struct observation seen = {.kind = kind, .ct = ct->index, .generation = ct->generation};

    return step(node, ct, &seen, now, out);
}

/* ---- observations ---- */

static void observe(struct node *node, const struct observation *given, const struct now *now,
                    struct out *out)
{
    struct observation seen = *given;
    ENSURE(seen.ct < CT_MAX);
    struct ct *ct = &node->slots[seen.ct];

    if (!ct->is_used || ct->generation != seen.generation)
        return; /* of a generation that is over: late, and of no consequence */
    if (seen.kind == IN_CLEANED_STOP)
        seen.kind = ct_cleaned_input(ct);
    (void)step(node, ct, &seen, now, out);

    if (seen.kind == IN_BOOTED && ct->state == CT_BOOTING && ct->is_ready_on_exec)
        (void)step_kind(node, ct, IN_READY, now, out);
    if (seen.kind == IN_MADE && ct->state == CT_STOPPED && ct->has_command)
        (void)step_kind(node, ct, IN_START, now, out); /* create --start */
}

/* ---- commands ---- */

static struct ct_receipt *answer(struct out *out, const struct ct_command *command,
                                 enum phase phase, const struct ct *ct)
{
    ENSURE(out->receipt_count < OUT_MAX);

    struct ct_receipt *receipt = &out->receipts[out->receipt_count++];
    *receipt = (struct ct_receipt){.origin = command->origin,
                                   .hash = command->hash,
                                   .verb = command->verb,
                                   .phase = phase};
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
    ct->has_command = true;
    ct->command = *command;
    ct->state_since_ns = now->ns;
    ct->deadline_ns = now->ns + CREATE_DEADLINE_NS;
    ct->is_dirty = true;
    (void)answer(out, command, PHASE_ACCEPTED, ct);
    ENSURE(out->effect_count < OUT_MAX);
    out->effects[out->effect_count++] =
        (struct effect){.kind = EFFECT_MAKE, .ct = ct->index, .waits_commit = true};
    node_keep_in_line(node, ct);
}

static bool may_displace(const struct ct *ct, const struct ct_command *command)
{
    enum verb running = ct->command.verb;
    bool is_boot = running == VERB_START || running == VERB_REBOOT ||
                   (running == VERB_CREATE && ct->is_announced);
    bool is_last_word = command->verb == VERB_KILL ||
                        (command->verb == VERB_DESTROY && command->is_forced);

    if (command->verb == VERB_STOP)
        return is_boot;
    return is_last_word && running != VERB_DESTROY && running != VERB_KILL &&
           !(running == VERB_CREATE && !ct->is_announced);
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
    case VERB_UNSET:
    case VERB_CREATE:
    case VERB_COUNT:
        break;
    }
    ENSURE(false);
    return IN_UNSET;
}

/* What the command orders beyond its rule's action: evidence for the cause, and what comes after. */
static void take_command(struct ct *ct, const struct ct_command *command, enum ct_input input)
{
    ct->has_command = true;
    ct->command = *command;
    ct->is_dirty = true;
    if (input == IN_STOP || input == IN_REBOOT) {
        ct->order = input == IN_STOP ? ORDER_STOP : ORDER_REBOOT;
        ct->stop_step = 0;
        ct->grace_ns = command->grace_ns != 0 ? command->grace_ns : ct->policy.grace_ns;
        if (ct->grace_ns == 0)
            ct->grace_ns = GRACE_DEFAULT_NS;
    }
    if (input == IN_KILL)
        ct->order = ORDER_KILL;
    if (input == IN_STOP || input == IN_KILL) {
        ct->is_wanted = false;
        ct->is_restart_owed = false;
        ct->after = command->verb == VERB_DESTROY ? AFTER_DESTROY : AFTER_STOP;
    }
    if (input == IN_START)
        ct->restart.streak = 0; /* a person's start begins a new count */
}

static void refuse(const struct ct *ct, const struct ct_command *command, struct out *out)
{
    struct fault *fault = &answer(out, command, PHASE_FAILED, ct)->fault;

    fault_set(fault, STATUS_WRONG_STATE, 0, "%s is %s", ct->name, ct_state_name(ct->state));
    if (command->verb == VERB_DESTROY)
        fault_hint(fault, "stop it first, or --force");
    else if (ct->state == CT_FROZEN)
        fault_hint(fault, "thaw it first");
}

static void command_step(struct node *node, const struct ct_command *command,
                         const struct now *now, struct out *out)
{
    if (command->verb == VERB_CREATE) {
        create(node, command, now, out);
        return;
    }

    struct ct *ct = (struct ct *)node_find(node, command->container);
    if (ct == NULL) {
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

    enum ct_input input = input_of(ct, command);
    enum verdict verdict = ct_rules[ct->state][input].verdict;
    if (verdict == VERDICT_UNCHANGED) {
        answer(out, command, PHASE_UNCHANGED, ct)->fault.status = STATUS_UNCHANGED;
        return;
    }
    if (verdict == VERDICT_REJECT ||
        (input == IN_DESTROY && ct->state == CT_BACKOFF && !command->is_forced)) {
        refuse(ct, command, out);
        return;
    }

    if (ct->has_command) {
        struct fault fault;

        fault_set(&fault, STATUS_SUPERSEDED, 0, "%s: %s took its place", ct->name,
                  verb_name(command->verb));
        ct_finish(ct, PHASE_SUPERSEDED, &fault, now, out);
    }
    take_command(ct, command, input);
    (void)answer(out, command, PHASE_ACCEPTED, ct);

    /* Held back in the queue, it has nothing to undo: its preparation is over before it began. */
    bool was_queued = ct->is_queued;
    (void)step_kind(node, ct, input, now, out);
    if (was_queued && ct->state != CT_PREPARING) {
        dequeue(node, ct);
        (void)step_kind(node, ct, IN_PREPARE_FAILED, now, out);
    }
    if (ct->state == CT_STUCK) {
        ct->deadline_ns = now->ns + KILL_DEADLINE_NS; /* of the command, not of the state */
        node_keep_in_line(node, ct);
    }
}

void node_step(struct node *node, const struct input *input, const struct now *now,
               struct out *out)
{
    ENSURE(node_has_room(out));

    switch (input->kind) {
    case INPUT_COMMAND:
        command_step(node, &input->command, now, out);
        return;
    case INPUT_OBSERVATION:
        observe(node, &input->observation, now, out);
        return;
    }
    ENSURE(false);
}

/* ---- time ---- */

static bool step_due(struct node *node, const struct now *now, struct out *out)
{
    uint32_t index;

    if (!deadlines_find_due(&node->deadlines, now->ns, &index))
        return false;

    struct ct *ct = &node->slots[index];
    if (ct->step_ns != 0 && ct->step_ns <= now->ns) {
        ct->step_ns = 0;
        (void)step_kind(node, ct, IN_STEP, now, out);
        return true;
    }
    ct->deadline_ns = 0;
    bool was_queued = ct->is_queued;
    (void)step_kind(node, ct, IN_DEADLINE, now, out);
    if (was_queued && ct->state == CT_STUCK) {
        struct observation late = {
            .kind = IN_PREPARE_FAILED, .ct = index, .generation = ct->generation};

        fault_set(&late.fault, STATUS_NO_CAPACITY, 0, "%s waited %u s for its turn to boot",
                  ct->name, QUEUE_DEADLINE_NS / SECOND_NS);
        dequeue(node, ct);
        (void)step(node, ct, &late, now, out);
    }
    return true;
}

bool node_tick(struct node *node, const struct now *now, struct out *out)
{
    if (!node_has_room(out))
        return false;
    if (step_due(node, now, out))
        return true;
    if (node->queue_count == 0 || node->in_flight >= node->in_flight_max ||
        node->is_admission_stopped)
        return false;

    struct ct *ct = &node->slots[node->queue[node->queue_first]];
    node->queue_first = (node->queue_first + 1) % CT_MAX;
    node->queue_count--;
    ct->is_queued = false;
    ct->is_in_flight = true;
    node->in_flight++;
    (void)step_kind(node, ct, IN_ADMITTED, now, out);
    return true;
}

uint64_t node_next_deadline(const struct node *node)
{
    return deadlines_next(&node->deadlines);
}

void node_stop_admission(struct node *node, bool is_stopped)
{
    node->is_admission_stopped = is_stopped;
}

/* ---- invariants ---- */

static void check_slot(const struct node *node, const struct ct *ct)
{
    ENSURE((unsigned)ct->state < CT_STATE_COUNT);
    if (ct_state_waits(ct->state) && !(ct->state == CT_UNSET && !ct->has_command))
        ENSURE(ct->deadline_ns != 0 || ct->state == CT_STUCK);
    if (ct->state == CT_STUCK)
        ENSURE(ct->step_ns != 0);
    if (ct->has_init)
        ENSURE(ct_state_has_init(ct->state));
    if (ct->has_init)
        ENSURE(ct->is_open);
    if (ct->state == CT_STOPPED)
        ENSURE(!ct->is_open);
    if (ct->is_in_flight)
        ENSURE(ct->state == CT_PREPARING || ct->state == CT_LAUNCHING);
    if (ct->is_queued)
        ENSURE(ct->state == CT_PREPARING);
    if (ct->has_command && ct->command.verb != VERB_CREATE)
        ENSURE(ct->is_announced);
    ENSURE(node->deadlines.place[ct->index] != 0 || (ct->deadline_ns == 0 && ct->step_ns == 0));
}

void node_check(const struct node *node)
{
    uint32_t in_flight = 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < node->slots_end; i++) {
        const struct ct *ct = &node->slots[i];

        if (!ct->is_used)
            continue;
        count++;
        in_flight += ct->is_in_flight;
        check_slot(node, ct);
        for (uint32_t j = 0; j < i; j++)
            if (node->slots[j].is_used)
                ENSURE(strcmp(node->slots[j].name, ct->name) != 0);
    }
    ENSURE(count == node->count);
    ENSURE(in_flight == node->in_flight);
    ENSURE(node->in_flight <= node->in_flight_max);
}
