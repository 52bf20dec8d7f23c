/* SPDX-License-Identifier: Apache-2.0 */
#include "node_parts.h"

#include <string.h>

#include "container_actions.h"
#include "ensure.h"

void node_init(struct node *node, uint64_t seed)
{
    node->seed = seed;
    node->in_flight_max = BOOTS_IN_FLIGHT_MAX;
    node->boot.going_max = BOOT_PARALLEL_DEFAULT;
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

        if (ct->is_used && (strcmp(ct->name, name_or_uuid) == 0 || uuid_is(name_or_uuid, ct->uuid)))
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

void node_dequeue(struct node *node, struct ct *ct)
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

/* ---- the node's boot ---- */

static enum boot_phase boot_phase_of(const struct ct *ct)
{
    bool is_due = ct->boot == CT_BOOT_DUE;

    if (!ct->is_used)
        return BOOT_PHASE_OVER;
    switch (ct->state) {
    case CT_PREPARING:
    case CT_LAUNCHING:
    case CT_BOOTING:
        return BOOT_PHASE_GOING;
    case CT_STOPPED:
        return is_due ? BOOT_PHASE_WAITING : BOOT_PHASE_OVER;
    case CT_STOPPING:
    case CT_KILLING:
    case CT_CLEANING:
    case CT_BACKOFF: /* what ran when the machine went down is still being cleaned up */
        return is_due ? BOOT_PHASE_HELD : BOOT_PHASE_OVER;
    case CT_UNSET:
    case CT_RUNNING:
    case CT_FROZEN:
    case CT_STUCK: /* it may never end: when it does its turn has come */
        return BOOT_PHASE_OVER;
    case CT_STATE_COUNT:
        break;
    }
    ENSURE(false);
    return BOOT_PHASE_OVER;
}

void node_note_boot(struct node *node, const struct ct *ct)
{
    boot_order_note(&node->boot, ct->index, boot_phase_of(ct));
}

void node_join_boot(struct node *node, const struct ct *ct)
{
    enum boot_phase phase = boot_phase_of(ct);

    if (ct->boot == CT_BOOT_DUE || phase == BOOT_PHASE_GOING)
        boot_order_add(&node->boot, ct->index, ct->policy.order, phase);
}

void node_boot_after(struct node *node, uint32_t index, const char *name)
{
    const struct ct *needed = node_find(node, name);

    ENSURE(index < CT_MAX);
    if (needed == NULL || node->boot.items[index].phase == BOOT_PHASE_NONE ||
        node->boot.items[needed->index].phase == BOOT_PHASE_NONE)
        return;
    (void)boot_order_need(&node->boot, index, needed->index); /* LIMIT: BOOT_NEEDS_MAX */
}

void node_set_boot_parallel(struct node *node, uint32_t count)
{
    node->boot.going_max = count;
}

/* ---- one step and what the node must keep in line with it ---- */

void node_keep_in_line(struct node *node, struct ct *ct)
{
    uint64_t due_ns = ct->deadline_ns;

    if (ct->step_ns != 0 && (due_ns == 0 || ct->step_ns < due_ns))
        due_ns = ct->step_ns;
    if (ct->limit_ns != 0 && (due_ns == 0 || ct->limit_ns < due_ns))
        due_ns = ct->limit_ns;
    deadlines_set(&node->deadlines, ct->index, ct->is_used ? due_ns : 0);
    if (ct->state == CT_PREPARING && !ct->is_in_flight && !ct->is_queued)
        enqueue(node, ct);
    if (ct->is_dirty && !ct->is_listed) {
        ct->is_listed = true;
        node->dirty[node->dirty_count++] = ct->index;
    }
}

static void step(struct node *node, struct ct *ct, const struct observation *seen,
                 const struct now *now, struct out *out)
{
    bool was_in_flight = ct->is_in_flight;
    (void)ct_step(ct, seen, now, out);

    if (was_in_flight && !ct->is_in_flight)
        node->in_flight--;
    if (!ct->is_used)
        node->count--;
    if (seen->kind == IN_STEP && ct->state == CT_BOOTING) /* it is late, and kept */
        boot_order_note(&node->boot, ct->index, BOOT_PHASE_OVER);
    node_note_boot(node, ct);
    node_keep_in_line(node, ct);
}

void node_step_kind(struct node *node, struct ct *ct, enum ct_input kind, const struct now *now,
                    struct out *out)
{
    struct observation seen = {.kind = kind};

    node_feed(node, ct, &seen, now, out);
}

void node_feed(struct node *node, struct ct *ct, const struct observation *given,
               const struct now *now, struct out *out)
{
    struct observation seen = *given;

    seen.ct = ct->index;
    seen.generation = ct->generation;
    if (seen.kind == IN_CLEANED_STOP)
        seen.kind = ct_cleaned_input(ct);
    if (seen.kind == IN_MADE && !ct->has_command)
        seen.kind = IN_MADE_LATE;
    if (seen.kind == IN_UNASKED && (ct->is_ready || ct->is_ready_on_exec || seen.has_become_ready))
        seen.kind = IN_UNASKED_READY;
    step(node, ct, &seen, now, out);

    if (seen.kind == IN_BOOTED && ct->state == CT_BOOTING && (ct->is_ready_on_exec || ct->is_ready))
        node_step_kind(node, ct, IN_READY, now, out);
    if (seen.kind == IN_MADE && ct->state == CT_STOPPED && ct->has_command)
        node_step_kind(node, ct, IN_START, now, out); /* create --start */
}

/* ---- observations ---- */

/* What an answer answers; UNSET: it is none. */
static enum effect_kind effect_of(enum ct_input kind)
{
    switch ((int)kind) {
    case IN_MADE:
    case IN_MAKE_FAILED:
        return EFFECT_MAKE;
    case IN_PREPARED:
    case IN_PREPARE_FAILED:
        return EFFECT_PREPARE;
    case IN_CLEANED_STOP:
    case IN_CLEAN_FAILED:
        return EFFECT_CLEAN;
    case IN_REMOVED:
    case IN_REMOVE_FAILED:
        return EFFECT_REMOVE;
    case IN_LIMITED:
    case IN_LIMIT_FAILED:
        return EFFECT_LIMIT;
    }
    return EFFECT_UNSET;
}

static bool is_of_a_boot(enum ct_input kind)
{
    return kind == IN_BOOTED || kind == IN_READY || kind == IN_LAUNCH_FAILED || kind == IN_ENDED;
}

/* What became of asking a guest to stop. Heard: its grace is its own from here. Its hooks are done:
 * it is asked from the first way on. Not to be asked so: the next way at once, and after the last
 * there is nobody to be graceful to. */
static void observe_asking(struct node *node, struct ct *ct, const struct observation *seen,
                           const struct now *now, struct out *out)
{
    struct observation next = *seen;

    if (ct->state != CT_STOPPING || !ct->has_init)
        return;
    if (!seen->is_hooked && ct->stop_step != seen->count)
        return; /* of a way that is over */
    if (seen->is_going_down) {
        ct->step_ns = 0;
        node_keep_in_line(node, ct);
        return;
    }
    if (seen->is_hooked) {
        if (seen->fault.status != STATUS_UNSET) {
            struct event *event = ct_tell(out, ct, EVENT_ESCALATED, now);
            memcpy(event->detail, seen->fault.text, EVENT_DETAIL_BYTES);
        }
        ct->stop_step = 0;
        ct_ask(ct, now, out);
        node_keep_in_line(node, ct);
        return;
    }
    next.kind = ct->stop_step + 1 < STOP_STEPS_MAX ? IN_STEP : IN_DEADLINE;
    node_feed(node, ct, &next, now, out);
}

static void observe(struct node *node, const struct observation *seen, const struct now *now,
                    struct out *out)
{
    ENSURE(seen->ct < CT_MAX);
    struct ct *ct = &node->slots[seen->ct];
    enum effect_kind answered = effect_of(seen->kind);

    if (!ct->is_used || ct->generation != seen->generation)
        return; /* of a generation that is over: late, and of no consequence */
    if (answered != EFFECT_UNSET && ct->awaited != answered)
        return; /* an answer that was given already */
    if (is_of_a_boot(seen->kind) && (!ct->is_open || ct->awaited == EFFECT_PREPARE))
        return; /* said again by a keeper that lost our acknowledgement; or before any launch */
    if (seen->kind == IN_UNASKED && (ct->state != CT_STOPPING || !ct->has_init))
        return; /* it ended, or was killed */
    if (answered != EFFECT_UNSET)
        ct->awaited = EFFECT_UNSET;
    if (seen->kind == IN_STEP) {
        observe_asking(node, ct, seen, now, out);
        return;
    }
    node_feed(node, ct, seen, now, out);
}

void node_step(struct node *node, const struct input *input, const struct now *now, struct out *out)
{
    ENSURE(node_has_room(out));

    switch (input->kind) {
    case INPUT_COMMAND:
        node_command(node, &input->command, now, out);
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
        node_step_kind(node, ct, IN_STEP, now, out);
        return true;
    }
    if (ct->limit_ns != 0 && ct->limit_ns <= now->ns) {
        ct->limit_ns = 0;
        node_step_kind(node, ct, IN_LIMIT_LATE, now, out);
        return true;
    }
    ct->deadline_ns = 0;
    if (ct->is_queued) {
        struct observation late = {.kind = IN_PREPARE_FAILED};

        fault_set(&late.fault, STATUS_NO_CAPACITY, 0, "%s waited %u s for its turn to boot",
                  ct->name, QUEUE_DEADLINE_NS / SECOND_NS);
        node_dequeue(node, ct);
        node_feed(node, ct, &late, now, out);
        return true;
    }
    bool is_kept = ct->state == CT_BOOTING && ct->policy.is_ready_kept;
    node_step_kind(node, ct, is_kept ? IN_STEP : IN_DEADLINE, now, out);
    return true;
}

/* Whose turn it is at the node's boot. */
static bool boot_next(struct node *node, const struct now *now, struct out *out)
{
    uint32_t index;

    if (node->is_admission_stopped || !boot_order_next(&node->boot, &index))
        return false;
    node_step_kind(node, &node->slots[index], IN_BOOT, now, out);
    return true;
}

bool node_tick(struct node *node, const struct now *now, struct out *out)
{
    if (!node_has_room(out))
        return false;
    if (step_due(node, now, out))
        return true;
    if (boot_next(node, now, out))
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
    node_step_kind(node, ct, IN_ADMITTED, now, out);
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

static void check_awaited(const struct ct *ct)
{
    if (ct->awaited == EFFECT_PREPARE)
        ENSURE(ct->is_open && !ct->has_init);
    if (ct->awaited == EFFECT_CLEAN)
        ENSURE(ct->state == CT_CLEANING || ct->state == CT_STUCK);
    if (ct->state == CT_CLEANING)
        ENSURE(ct->awaited == EFFECT_CLEAN || ct->awaited == EFFECT_REMOVE ||
               ct->awaited == EFFECT_LIMIT);
    if (ct->awaited == EFFECT_CLEAN || ct->awaited == EFFECT_REMOVE)
        ENSURE(!ct->is_open);
    if (ct->state == CT_STOPPED || ct->state == CT_BACKOFF)
        ENSURE(ct->awaited == EFFECT_UNSET);
}

static void check_slot(const struct node *node, const struct ct *ct)
{
    ENSURE((unsigned)ct->state < CT_STATE_COUNT);
    if (ct_state_waits(ct->state) && !(ct->state == CT_UNSET && !ct->has_command))
        ENSURE(ct->deadline_ns != 0);
    if (ct->state == CT_STUCK)
        ENSURE(ct->step_ns != 0 && (ct->deadline_ns != 0 || !ct->has_command));
    if (ct->has_init)
        ENSURE(ct_state_has_init(ct->state));
    if (ct->has_init)
        ENSURE(ct->is_open);
    if (ct->state == CT_STOPPED)
        ENSURE(!ct->is_open);
    if (ct->state == CT_STOPPING)
        ENSURE(ct->has_command);
    if (ct->is_open)
        ENSURE(ct->state != CT_BACKOFF && ct->state != CT_CLEANING && ct->state != CT_UNSET);
    if (ct->is_in_flight)
        ENSURE(ct->is_open && !ct->has_init && !ct->is_queued);
    if (ct->is_queued)
        ENSURE(ct->state == CT_PREPARING);
    ENSURE(ct->is_announced == (ct->state != CT_UNSET));
    if (ct->has_command && ct->command.verb != VERB_CREATE)
        ENSURE(ct->is_announced);
    check_awaited(ct);
    ENSURE(node->deadlines.place[ct->index] != 0 ||
           (ct->deadline_ns == 0 && ct->step_ns == 0 && ct->limit_ns == 0));
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
