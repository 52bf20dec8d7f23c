/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The turn: inputs that callbacks left in the inbox go through the model; what comes out is made
 * durable in one batch, and only then told: receipts, events, acknowledgements to the keeper, and
 * the effects that stand on an intent.
 */
#include "agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "prepare.h"

/* What waits for a batch's commit; freed when it was told. */
struct told {
    struct agent *agent;
    size_t effect_count, event_count, receipt_count, ack_count;
    struct effect *effects;
    struct event *events;
    struct ct_receipt *receipts;
    struct kw_ack *acks;
};

static void add_rows(struct agent *agent, struct store_batch *batch)
{
    uint32_t index;

    while (node_take_dirty(agent->node, &index)) {
        const struct ct *ct = node_get(agent->node, index);
        struct store_change change = {.kind = ct->is_used ? STORE_PUT_ROW : STORE_DELETE_ROW};

        slot_row(agent, index, &change.row);
        store_batch_add(batch, &change);
        agent->slots[index].is_config_new = false;
        if (!ct->is_used)
            slot_empty(&agent->slots[index]);
    }
}

/* With no controller to acknowledge it, an event counts as acknowledged at its commit. */
static void add_own_ack(struct agent *agent, struct store_batch *batch)
{
    struct store_change change = {.kind = STORE_ACK_EVENTS};

    if (agent->options->controller_count > 0 || agent->out.event_count == 0)
        return;
    change.ack.epoch = agent->epoch;
    change.ack.seq = agent->seq;
    store_batch_add(batch, &change);
}

static void add_events(struct agent *agent, struct store_batch *batch)
{
    struct store_change change = {.kind = STORE_ADD_EVENT};

    for (size_t i = 0; i < agent->out.event_count; i++) {
        struct event *event = &agent->out.events[i];

        event->epoch = agent->epoch;
        event->seq = ++agent->seq;
        change.event = *event;
        store_batch_add(batch, &change);
    }
    add_own_ack(agent, batch);
}

/* Accepted commands open an intent, final words close it; what holds already is opened and closed
 * at once; refusals leave no trace. */
static void add_result(struct agent *agent, struct store_batch *batch,
                       const struct ct_receipt *receipt)
{
    struct store_change change = {.kind = STORE_PUT_INTENT};
    struct result *result = results_find(&agent->results, receipt->request);

    if (result == NULL)
        return;
    if (receipt->phase == PHASE_ACCEPTED || receipt->phase == PHASE_UNCHANGED)
        result->is_accepted = true;
    if (!result->is_accepted)
        return;
    const struct ct *ct = node_get(agent->node, receipt->ct);
    memcpy(result->uuid, ct->uuid, UUID_BYTES);
    result->generation = ct->generation;
    if (receipt->phase != PHASE_ACCEPTED)
        change.kind = STORE_PUT_RESULT;
    change.result = (struct store_result){.command_hash = receipt->hash,
                                          .verb = receipt->verb,
                                          .generation = ct->generation,
                                          .phase = receipt->phase,
                                          .status = receipt->fault.status,
                                          .error = receipt->fault.error,
                                          .time_wall_ns = clock_wall_ns()};
    memcpy(change.result.request, receipt->request, REQUEST_ID_BYTES);
    memcpy(change.result.uuid, ct->uuid, UUID_BYTES);
    memcpy(change.result.text, receipt->fault.text, FAULT_TEXT_BYTES);
    store_batch_add(batch, &change);
}

void turn_owe_ack(struct agent *agent, uint32_t index, const struct kw_record *record)
{
    ENSURE(agent->ended_count < CT_MAX);
    agent->ended_ct[agent->ended_count] = index;
    agent->ended[agent->ended_count++] = (struct kw_ack){.launch = record->launch,
                                                         .generation = record->labels.generation,
                                                         .change = record->change};
}

/* Ends that this batch makes durable: the keeper may forget them after it. */
static size_t take_acks(struct agent *agent, struct kw_ack *acks)
{
    size_t count = 0;
    size_t kept = 0;

    for (size_t i = 0; i < agent->ended_count; i++) {
        const struct ct *ct = node_get(agent->node, agent->ended_ct[i]);
        bool is_stepped = ct->generation != agent->ended[i].generation || !ct->is_open;

        if (is_stepped) {
            acks[count++] = agent->ended[i];
            continue;
        }
        agent->ended_ct[kept] = agent->ended_ct[i];
        agent->ended[kept++] = agent->ended[i];
    }
    agent->ended_count = kept;
    return count;
}

static void *copy(const void *from, size_t size_bytes)
{
    void *to = malloc(size_bytes + 1);

    ENSURE(to != NULL);
    memcpy(to, from, size_bytes);
    return to;
}

static void log_moves(const struct agent *agent)
{
    for (size_t i = 0; i < agent->out.event_count; i++) {
        const struct event *event = &agent->out.events[i];

        if (event->type != EVENT_CHANGED)
            continue;
        (void)fprintf(
            stderr, "ct=%s gen=%" PRIu64 " from=%s to=%s cause=%s seq=%" PRIu64 " req=%s\n",
            event->name, event->generation, ct_state_name(event->from), ct_state_name(event->to),
            event->cause == CAUSE_UNSET ? "-" : cause_name(event->cause), event->seq,
            event->request[0] == '\0' ? "-" : event->request);
    }
}

/* Effects that stand on nothing new go at once; those of an intent wait with the rest. */
static void split_effects(struct agent *agent, struct told *told)
{
    told->effects = malloc((agent->out.effect_count + 1) * sizeof(*told->effects));
    ENSURE(told->effects != NULL);
    for (size_t i = 0; i < agent->out.effect_count; i++) {
        const struct effect *effect = &agent->out.effects[i];

        if (effect->kind == EFFECT_PREPARE && !agent->is_ending)
            prepare_begin(agent, effect); /* nothing runs before its commit */
        if (effect->waits_commit)
            told->effects[told->effect_count++] = *effect;
        else
            effects_apply(agent, effect);
    }
}

static void tell(struct told *told)
{
    struct agent *agent = told->agent;
    uint64_t now_ns = clock_monotonic_ns();

    for (size_t i = 0; i < told->effect_count; i++) {
        if (told->effects[i].kind == EFFECT_PREPARE)
            agent->slots[told->effects[i].ct].times.done_ns[BOOT_commit] = now_ns;
        effects_apply(agent, &told->effects[i]);
    }
    for (size_t i = 0; i < told->ack_count; i++)
        keeper_client_ack(&agent->keeper, told->acks[i].launch, told->acks[i].generation,
                          told->acks[i].change);
    publisher_post(&agent->publisher, told->events, told->event_count);
    for (size_t i = 0; i < told->receipt_count; i++)
        requests_answer_receipt(agent, &told->receipts[i]);
    free(told->effects);
    free(told->events);
    free(told->receipts);
    free(told->acks);
    free(told);
}

void turn_on_committed(struct store *store, void *context)
{
    (void)store;
    if (context != NULL)
        tell(context);
}

static void note_boots(struct agent *agent, uint64_t now_ns)
{
    for (size_t i = 0; i < agent->out.event_count; i++) {
        const struct event *event = &agent->out.events[i];
        const struct ct *ct;

        if (event->type != EVENT_CHANGED || event->to != CT_PREPARING)
            continue;
        ct = node_find(agent->node, event->name);
        if (ct != NULL)
            agent->slots[ct->index].times = (struct boot_times){.accepted_ns = now_ns};
    }
}

void turn_finish(struct agent *agent, const struct now *now)
{
    struct out *out = &agent->out;
    struct told *told = calloc(1, sizeof(*told));
    struct store_batch *batch = store_batch_new();

    ENSURE(told != NULL);
    told->agent = agent;
    for (size_t i = 0; i < out->receipt_count; i++) {
        if (out->receipts[i].verb == VERB_CREATE)
            slot_settle_config(agent, &out->receipts[i]);
        add_result(agent, batch, &out->receipts[i]);
    }
    note_boots(agent, now->ns);
    add_events(agent, batch);
    log_moves(agent);
    told->acks = malloc((agent->ended_count + 1) * sizeof(*told->acks));
    ENSURE(told->acks != NULL);
    told->ack_count = take_acks(agent, told->acks);
    told->events = copy(out->events, out->event_count * sizeof(*out->events));
    told->event_count = out->event_count;
    told->receipts = copy(out->receipts, out->receipt_count * sizeof(*out->receipts));
    told->receipt_count = out->receipt_count;
    split_effects(agent, told);
    add_rows(agent, batch); /* last: a freed slot is read until here */
    out->effect_count = out->event_count = out->receipt_count = 0;
    store_post(agent->store, batch, told);
}

static void on_due(uv_timer_t *timer)
{
    (void)timer; /* the turn that follows looks at the deadlines itself */
}

static void arm(struct agent *agent, uint64_t now_ns)
{
    uint64_t next_ns = node_next_deadline(agent->node);

    if (next_ns == 0) {
        (void)uv_timer_stop(&agent->timer);
        return;
    }
    uv_update_time(&agent->loop);
    (void)uv_timer_start(&agent->timer, on_due,
                         next_ns <= now_ns ? 0 : (next_ns - now_ns) / 1000000 + 1, 0);
}

void turn_run(struct agent *agent)
{
    struct now now = {clock_monotonic_ns(), clock_wall_ns()};
    struct input input;

    while (node_has_room(&agent->out) && inbox_take(&agent->inbox, &input))
        node_step(agent->node, &input, &now, &agent->out);
    while (node_tick(agent->node, &now, &agent->out))
        ;
    if (agent->out.effect_count + agent->out.event_count + agent->out.receipt_count > 0 ||
        agent->node->dirty_count > 0)
        turn_finish(agent, &now);
    arm(agent, now.ns);
    if (!inbox_is_empty(&agent->inbox))
        agent_wake(agent);
}
