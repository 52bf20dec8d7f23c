/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The turn: inputs that callbacks left in the inbox go through the model; what comes out is made
 * durable in one batch, and only then told: receipts, events, acknowledgements to the keeper, and
 * the effects that stand on an intent. What is decided about that is turn_core.c; here it meets
 * loop, store and clock.
 */
#include "agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "boundary.h"
#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "prepare.h"
#include "slots.h"
#include "strays.h"

/* ---- what turn_core asks of the agent ---- */

static void settle_config(void *context, const struct ct_receipt *receipt)
{
    slot_settle_config(context, receipt);
}

static void configure(void *context, uint32_t index)
{
    slot_configure(context, index);
}

static void fill_row(void *context, uint32_t index, struct store_row *row)
{
    slot_row(context, index, row);
}

static void row_taken(void *context, uint32_t index, bool is_freed)
{
    struct agent *agent = context;

    agent->slots[index].is_config_new = false;
    if (is_freed)
        slot_empty(&agent->slots[index]);
}

static void begin(void *context, const struct effect *effect)
{
    struct agent *agent = context;

    if (!agent->is_ending)
        prepare_begin(agent, effect);
}

static void apply(void *context, const struct effect *effect)
{
    effects_apply(context, effect);
    boundary(applied);
}

static void ack(void *context, const struct kw_ack *ended)
{
    struct agent *agent = context;

    keeper_client_ack(&agent->keeper, ended->launch, ended->generation, ended->change);
    boundary(ack_sent);
}

static void publish(void *context, const struct event *events, size_t count)
{
    struct agent *agent = context;

    if (count > 0)
        upstream_on_committed(&agent->upstream, events[count - 1].seq);
    publisher_post(&agent->publisher, events, count);
    boundary(published);
}

static void acked(void *context, uint64_t seq)
{
    struct agent *agent = context;

    upstream_on_acked_committed(&agent->upstream, seq);
}

static void answer(void *context, const struct ct_receipt *receipt)
{
    requests_answer_receipt(context, receipt);
    strays_on_receipt(context, receipt);
    boundary(answered);
}

static const struct turn_ops ops = {
    .settle_config = settle_config,
    .configure = configure,
    .fill_row = fill_row,
    .row_taken = row_taken,
    .begin = begin,
    .apply = apply,
    .ack = ack,
    .publish = publish,
    .acked = acked,
    .answer = answer,
};

int turn_open(struct agent *agent)
{
    return turn_core_init(&agent->core, agent->node, &agent->results, &ops, agent);
}

/* ---- the turn ---- */

static void log_moves(const struct told *told)
{
    for (size_t i = 0; i < told->event_count; i++) {
        const struct event *event = &told->events[i];

        if (event->type != EVENT_CHANGED)
            continue;
        (void)fprintf(
            stderr, "ct=%s gen=%" PRIu64 " from=%s to=%s cause=%s seq=%" PRIu64 " req=%s\n",
            event->name, event->generation, ct_state_name(event->from), ct_state_name(event->to),
            event->cause == CAUSE_UNSET ? "-" : cause_name(event->cause), event->seq,
            event->request[0] == '\0' ? "-" : event->request);
    }
}

static void note_boots(struct agent *agent, uint64_t now_ns)
{
    const struct out *out = &agent->core.out;

    for (size_t i = 0; i < out->event_count; i++) {
        const struct event *event = &out->events[i];
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
    struct store_batch *batch = store_batch_new();

    note_boots(agent, now->ns);
    struct told *told = turn_core_compose(&agent->core, now, batch);
    agent->adopted_unsaved += !agent->is_adopted;
    boundary(turn_composed);
    store_post(agent->store, batch, told);
    log_moves(told); /* while the commit runs; it is told in a later callback of this thread */
    boundary(turn_posted);
}

void turn_on_committed(struct store *store, void *context)
{
    struct told *told = context;
    uint64_t now_ns = clock_monotonic_ns();

    (void)store;
    boundary(committed);
    struct agent *agent = container_of(told->core, struct agent, core);
    for (size_t i = 0; i < told->effect_count; i++)
        if (told->effects[i].kind == EFFECT_PREPARE)
            agent->slots[told->effects[i].ct].times.done_ns[BOOT_commit] = now_ns;
    adopt_on_committed(agent);
    turn_core_tell(told);
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

    upstream_give(&agent->upstream, &agent->core, &now);
    if (turn_core_step(&agent->core, &agent->inbox, &now)) {
        upstream_give_acked(&agent->upstream, &agent->core);
        hook_run_turn(agent);
        turn_finish(agent, &now);
    }
    arm(agent, now.ns);
    if (!inbox_is_empty(&agent->inbox))
        agent_wake(agent);
}
