/* SPDX-License-Identifier: Apache-2.0 */
#include "turn_core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ensure.h"

int turn_core_init(struct turn_core *core, struct node *node, struct results *results,
                   const struct turn_ops *ops, void *context)
{
    core->node = node;
    core->results = results;
    core->ops = ops;
    core->context = context;
    core->ended = calloc(CT_MAX, sizeof(*core->ended));
    core->ended_ct = calloc(CT_MAX, sizeof(*core->ended_ct));
    return core->ended == NULL || core->ended_ct == NULL ? -ENOMEM : 0;
}

void turn_core_close(struct turn_core *core)
{
    free(core->ended);
    free(core->ended_ct);
    core->ended = NULL;
    core->ended_ct = NULL;
}

/* ---- inputs ---- */

bool turn_core_step(struct turn_core *core, struct inbox *inbox, const struct now *now)
{
    const struct out *out = &core->out;
    struct input input;

    while (node_has_room(out) && inbox_take(inbox, &input))
        node_step(core->node, &input, now, &core->out);
    while (node_tick(core->node, now, &core->out))
        ;
    return out->effect_count + out->event_count + out->receipt_count > 0 ||
           core->node->dirty_count > 0 || core->is_ack_due || core->has_loose_ack;
}

struct event *turn_core_event(struct turn_core *core)
{
    ENSURE(core->out.event_count < OUT_MAX);
    return &core->out.events[core->out.event_count++];
}

uint64_t turn_core_gap(struct turn_core *core, uint64_t above, const char *detail, uint64_t wall_ns)
{
    struct event *event = turn_core_event(core);

    *event = (struct event){.type = EVENT_GAP, .time_wall_ns = wall_ns};
    (void)strncpy(event->detail, detail, EVENT_DETAIL_BYTES - 1);
    if (core->seq < above)
        core->seq = above;
    return core->seq + core->out.event_count;
}

void turn_core_ack_events(struct turn_core *core, uint64_t epoch, uint64_t seq)
{
    core->is_ack_due = true;
    core->ack_epoch = epoch;
    core->ack_seq = seq;
}

void turn_core_owe_ack(struct turn_core *core, uint32_t index, const struct kw_record *record)
{
    if (core->ended_count == CT_MAX)
        return; /* it is told again to the next agent */
    core->has_loose_ack = core->has_loose_ack || index == TURN_CORE_NOBODY;
    core->ended_ct[core->ended_count] = index;
    core->ended[core->ended_count++] = (struct kw_ack){.launch = record->launch,
                                                       .generation = record->labels.generation,
                                                       .change = record->change};
}

static bool is_of_a_container(const struct node *node, const struct result *result)
{
    for (uint32_t i = 0; node_next(node, &i); i++)
        if (memcmp(node_get(node, i)->uuid, result->uuid, UUID_BYTES) == 0)
            return true;
    return false;
}

static void close_intent(struct turn_core *core, struct result *result, const struct now *now)
{
    struct ct_receipt *receipt = &core->out.receipts[core->out.receipt_count++];
    struct event *event = turn_core_event(core);

    result->receipt.phase = PHASE_FAILED;
    *receipt = result->receipt;
    receipt->hash = result->hash;
    fault_set(&receipt->fault, STATUS_INTERRUPTED, 0, "the agent ended during this command");
    if (result->listener_count > 0)
        receipt->origin = result->listeners[0];
    *event = (struct event){.type = EVENT_RESULT,
                            .time_wall_ns = now->wall_ns,
                            .generation = result->generation,
                            .result = STATUS_INTERRUPTED};
    memcpy(event->uuid, result->uuid, UUID_BYTES);
    memcpy(event->request, receipt->request, REQUEST_ID_BYTES);
    memcpy(event->detail, receipt->fault.text, EVENT_DETAIL_BYTES);
}

bool turn_core_close_intents(struct turn_core *core, const struct now *now)
{
    bool is_any = false;

    for (uint32_t i = 0; i < core->results->high && node_has_room(&core->out); i++) {
        struct result *result = &core->results->ring[i];

        if (result->receipt.phase != PHASE_ACCEPTED || is_of_a_container(core->node, result))
            continue;
        close_intent(core, result, now);
        is_any = true;
    }
    return is_any;
}

/* ---- one batch ---- */

static void row_of(const struct ct *ct, struct store_row *ret_row)
{
    *ret_row = (struct store_row){.revision = ct->revision,
                                  .late_keys = ct->late_keys,
                                  .generation = ct->generation,
                                  .state = ct->state,
                                  .is_wanted_running = ct->is_wanted,
                                  .is_restart_owed = ct->is_restart_owed,
                                  .boot = ct->boot,
                                  .created_wall_ns = ct->created_wall_ns,
                                  .started_wall_ns = ct->started_wall_ns,
                                  .ended_wall_ns = ct->ended_wall_ns,
                                  .cause = ct->cause,
                                  .has_status = ct->has_status,
                                  .wait_status = ct->wait_status,
                                  .oom_kills = ct->oom_kills};
    memcpy(ret_row->uuid, ct->uuid, UUID_BYTES);
    memcpy(ret_row->name, ct->name, NAME_BYTES);
    if (ct->has_command) {
        memcpy(ret_row->request, ct->command.request, REQUEST_ID_BYTES);
        ret_row->request_verb = ct_row_verb(ct);
    }
}

static void add_rows(struct turn_core *core, struct store_batch *batch)
{
    uint32_t index;

    while (node_take_dirty(core->node, &index)) {
        const struct ct *ct = node_get(core->node, index);
        bool is_freed = !ct->is_used;
        struct store_change change = {.kind = is_freed ? STORE_DELETE_ROW : STORE_PUT_ROW};

        row_of(ct, &change.row);
        core->ops->fill_row(core->context, index, &change.row);
        store_batch_add(batch, &change);
        core->ops->row_taken(core->context, index, is_freed);
    }
}

static void add_ack(struct turn_core *core, struct store_batch *batch, struct told *told)
{
    struct store_change change = {.kind = STORE_ACK_EVENTS};

    change.ack.is_own = core->is_acked_by_self && core->out.event_count > 0;
    if (!core->is_ack_due && !change.ack.is_own)
        return;
    change.ack.epoch = change.ack.is_own ? core->epoch : core->ack_epoch;
    change.ack.seq = change.ack.is_own ? core->seq : core->ack_seq;
    store_batch_add(batch, &change);
    told->is_acking = core->is_ack_due;
    told->ack_seq = core->ack_seq;
    core->is_ack_due = false;
}

static void add_events(struct turn_core *core, struct store_batch *batch)
{
    struct store_change change = {.kind = STORE_ADD_EVENT};

    for (size_t i = 0; i < core->out.event_count; i++) {
        struct event *event = &core->out.events[i];

        event->epoch = core->epoch;
        event->seq = ++core->seq;
        change.event = *event;
        store_batch_add(batch, &change);
    }
}

/* Accepted commands open an intent, final words close it; what holds already, and a refusal, is
 * opened and closed at once. */
static void add_result(struct turn_core *core, struct store_batch *batch,
                       const struct ct_receipt *receipt, const struct now *now)
{
    struct store_change change = {.kind = STORE_PUT_INTENT};
    struct result *result = results_find(core->results, receipt->request);

    if (result == NULL)
        return;
    if (receipt->has_ct) { /* else it is of no container: result->uuid stays empty */
        const struct ct *ct = node_get(core->node, receipt->ct);

        memcpy(result->uuid, ct->uuid, UUID_BYTES);
        result->generation = ct->generation;
    }
    if (receipt->phase != PHASE_ACCEPTED)
        change.kind = STORE_PUT_RESULT;
    change.result = (struct store_result){.command_hash = receipt->hash,
                                          .verb = receipt->verb,
                                          .generation = result->generation,
                                          .phase = receipt->phase,
                                          .status = receipt->fault.status,
                                          .error = receipt->fault.error,
                                          .time_wall_ns = now->wall_ns,
                                          .applied = receipt->applied,
                                          .at_next_start = receipt->at_next_start};
    results_keep_keys(result, &change.result);
    memcpy(change.result.request, receipt->request, REQUEST_ID_BYTES);
    memcpy(change.result.uuid, result->uuid, UUID_BYTES);
    memcpy(change.result.text, receipt->fault.text, FAULT_TEXT_BYTES);
    store_batch_add(batch, &change);
}

/* Has the model heard of this end? */
static bool is_stepped(const struct turn_core *core, size_t at)
{
    if (core->ended_ct[at] == TURN_CORE_NOBODY)
        return true;
    const struct ct *ct = node_get(core->node, core->ended_ct[at]);
    return ct->generation != core->ended[at].generation || !ct->is_open;
}

/* Ends that this batch makes durable: the keeper may forget them after it. */
static size_t take_acks(struct turn_core *core, struct kw_ack *acks)
{
    size_t count = 0;
    size_t kept = 0;

    for (size_t i = 0; i < core->ended_count; i++) {
        if (is_stepped(core, i)) {
            acks[count++] = core->ended[i];
            continue;
        }
        core->ended_ct[kept] = core->ended_ct[i];
        core->ended[kept++] = core->ended[i];
    }
    core->ended_count = kept;
    core->has_loose_ack = false;
    return count;
}

static void *room_for(size_t size_bytes)
{
    void *room = malloc(size_bytes + 1);

    ENSURE(room != NULL);
    return room;
}

static void *copy(const void *from, size_t size_bytes)
{
    return memcpy(room_for(size_bytes), from, size_bytes);
}

/* Effects that stand on nothing new go at once; those of an intent wait with the rest, but for what
 * a PREPARE makes that harms nobody (prepare.h). */
static void split_effects(struct turn_core *core, struct told *told)
{
    told->effects = room_for(core->out.effect_count * sizeof(*told->effects));
    for (size_t i = 0; i < core->out.effect_count; i++) {
        const struct effect *effect = &core->out.effects[i];

        if (effect->kind == EFFECT_PREPARE)
            core->ops->begin(core->context, effect); /* nothing runs before its commit */
        if (effect->waits_commit)
            told->effects[told->effect_count++] = *effect;
        else
            core->ops->apply(core->context, effect);
    }
}

struct told *turn_core_compose(struct turn_core *core, const struct now *now,
                               struct store_batch *batch)
{
    struct out *out = &core->out;
    struct told *told = calloc(1, sizeof(*told));

    ENSURE(told != NULL);
    told->core = core;
    for (size_t i = 0; i < out->receipt_count; i++) {
        if (out->receipts[i].verb == VERB_CREATE || out->receipts[i].verb == VERB_SET)
            core->ops->settle_config(core->context, &out->receipts[i]);
        add_result(core, batch, &out->receipts[i], now);
    }
    for (uint32_t i = 0; i < core->node->dirty_count; i++) /* before effects look at it */
        core->ops->configure(core->context, core->node->dirty[i]);
    add_events(core, batch);
    add_ack(core, batch, told);
    told->acks = room_for(core->ended_count * sizeof(*told->acks));
    told->ack_count = take_acks(core, told->acks);
    told->events = copy(out->events, out->event_count * sizeof(*out->events));
    told->event_count = out->event_count;
    told->receipts = copy(out->receipts, out->receipt_count * sizeof(*out->receipts));
    told->receipt_count = out->receipt_count;
    split_effects(core, told);
    add_rows(core, batch); /* last: a freed slot is read until here */
    out->effect_count = out->event_count = out->receipt_count = 0;
    return told;
}

/* ---- after its commit ---- */

void turn_core_tell(struct told *told_consumed)
{
    struct told *told = told_consumed;
    struct turn_core *core = told->core;

    for (size_t i = 0; i < told->effect_count; i++)
        core->ops->apply(core->context, &told->effects[i]);
    for (size_t i = 0; i < told->ack_count; i++)
        core->ops->ack(core->context, &told->acks[i]);
    if (told->is_acking)
        core->ops->acked(core->context, told->ack_seq);
    core->ops->publish(core->context, told->events, told->event_count);
    for (size_t i = 0; i < told->receipt_count; i++)
        core->ops->answer(core->context, &told->receipts[i]);
    told_free(told);
}

void told_free(struct told *told)
{
    if (told == NULL)
        return;
    free(told->effects);
    free(told->events);
    free(told->receipts);
    free(told->acks);
    free(told);
}
