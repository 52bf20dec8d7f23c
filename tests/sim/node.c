/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's life: what agent.c and turn.c do with a loop. */
#include "node_life.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks_moves.h"
#include "ensure.h"
#include "faults.h"
#include "operators.h"
#include "reach.h"
#include "vfs.h"

/* ---- what turn_core asks of the agent ---- */

static void settle_config(void *context, const struct ct_receipt *receipt)
{
    requests_settle_config(context, receipt);
}

static void configure(void *context, uint32_t index)
{
    requests_configure(context, index);
}

static void fill_row(void *context, uint32_t index, struct store_row *row)
{
    struct sim *sim = context;
    const struct sim_slot *slot = &sim->agent->slots[index];

    row->config = slot->config;
    row->has_config = slot->is_config_new;
    row->uid_base = slot->uid_base;
    row->is_ready_on_exec = slot->is_ready_on_exec;
}

static void empty_slot(struct sim_slot *slot)
{
    free((void *)(uintptr_t)slot->config.data);
    free((void *)(uintptr_t)slot->next.data);
    *slot = (struct sim_slot){0};
}

static void row_taken(void *context, uint32_t index, bool is_freed)
{
    struct sim *sim = context;

    sim->agent->slots[index].is_config_new = false;
    if (is_freed)
        empty_slot(&sim->agent->slots[index]);
}

static void begin(void *context, const struct effect *effect)
{
    effects_begin(context, effect);
}

static void apply(void *context, const struct effect *effect)
{
    struct sim *sim = context;

    if (!sim->agent->is_alive)
        return; /* it died between two effects of one commit */
    checks_effect(sim, effect);
    checks_order(sim, effect);
    effects_apply(sim, effect);
}

static void ack(void *context, const struct kw_ack *ended)
{
    struct keeper_packet packet = {.order = KEEPER_ACK, .ack = *ended};

    keeper_send(context, &packet);
}

static void publish(void *context, const struct event *events, size_t count)
{
    struct sim *sim = context;

    checks_published(sim, events, count);
    if (count > 0 && sim->agent->is_alive)
        up_published(sim, events[count - 1].seq);
}

static void acked(void *context, uint64_t seq)
{
    struct sim *sim = context;

    uplink_acked_committed(&sim->agent->up.uplink, seq);
    agent_wake(sim); /* a look may have waited for it */
}

static void answer(void *context, const struct ct_receipt *receipt)
{
    requests_answer(context, receipt);
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

/* ---- life ---- */

void agent_open(struct sim *sim)
{
    struct agent *agent = sim->agent;

    if (agent->node == NULL) /* kept for all seeds, as long as the process lives */
        agent->node = calloc(1, sizeof(*agent->node));
    ENSURE(agent->node != NULL);
    agent->is_alive = agent->is_disk_made = agent->has_boot_noted = false;
    agent->life = 0;
}

/* Only pages that were used are cleared: a node of 4096 slots is some MiB. */
static void clear_node(struct node *node)
{
    uint32_t end = node->slots_end;

    memset(node->slots, 0, end * sizeof(*node->slots));
    memset((char *)node + offsetof(struct node, count), 0,
           sizeof(*node) - offsetof(struct node, count));
}

static void forget(struct agent *agent)
{
    for (uint32_t i = 0; i < AGENT_SLOTS_MAX; i++)
        empty_slot(&agent->slots[i]);
    memset(agent->works, 0, sizeof(agent->works));
    inbox_close(&agent->inbox);
    configs_close(&agent->configs);
    results_close(&agent->results);
    turn_core_close(&agent->core);
    agent->core.ended_count = 0;
    agent->core.out.effect_count = agent->core.out.event_count = agent->core.out.receipt_count = 0;
    agent->is_woken = agent->is_adopted = false;
    agent->adopted_unsaved = 0;
    agent->timer_ns = 0;
    agent->launch_last = 0;
    clear_node(agent->node);
}

void agent_close(struct sim *sim)
{
    struct agent *agent = sim->agent;

    if (agent->is_alive) {
        up_close(sim);
        agent_store_close(sim, false);
        forget(agent);
    }
}

uint32_t agent_life(const struct sim *sim)
{
    return sim->agent->life;
}

static int open_memory(struct sim *sim)
{
    struct agent *agent = sim->agent;
    int result = results_open(&agent->results);

    if (result == 0)
        result = turn_core_init(&agent->core, agent->node, &agent->results, &ops, sim);
    agent->core.epoch = (prng_next(&sim->prng) & INT64_MAX) | 1;
    agent->core.is_acked_by_self = !faults_has_controller(sim);
    node_init(agent->node, prng_next(&sim->prng));
    agent->node->in_flight_max = BOOTS_MAX;
    return result;
}

void agent_start(struct sim *sim)
{
    struct agent *agent = sim->agent;
    struct store_heads heads;

    if (agent->is_alive)
        return;
    agent->life++;
    if (agent_store_open(sim) < 0) { /* a full disk, say: the service manager tries again */
        simvfs_kill(DISK_NODE);
        sim_after(sim, SECOND_NS, HAPPENING_AGENT_START, 0, 0);
        return;
    }
    int result = open_memory(sim);
    ENSURE(result == 0);
    agent->is_alive = true;
    if (!sim->keeper->is_alive)
        keeper_start(sim);
    keeper_connect(sim);
    agent->launch_last = sim->keeper->launch_last;
    result = store_reader_heads(&agent->store.reader, &heads);
    ENSURE(result == 0);
    agent->core.seq = heads.last_seq;
    checks_agent_started(sim, &heads);
    sim_trace(sim, "  agent %" PRIu32 " starts after seq %" PRIu64, agent->life, heads.last_seq);
    up_open(sim, &heads);
    adopt_rows(sim);
    agent_wake(sim);
}

void agent_crash(struct sim *sim, const char *why)
{
    struct agent *agent = sim->agent;

    if (!agent->is_alive)
        return;
    sim_trace(sim, "  agent %" PRIu32 " dies: %s", agent->life, why);
    agent->is_alive = false;
    agent->life++;
    up_close(sim);
    agent_store_close(sim, false);
    keeper_disconnect(sim);
    forget(agent);
    sim_after(sim, sim_delay(sim, 100 * MS_NS), HAPPENING_AGENT_START, 0, 0);
}

/* ---- the turn ---- */

void agent_wake(struct sim *sim)
{
    struct agent *agent = sim->agent;

    if (agent->is_woken || !agent->is_alive)
        return;
    agent->is_woken = true;
    sim_after(sim, sim_below(sim, 100 * US_NS), HAPPENING_AGENT_TURN, agent->life, 1);
}

void agent_observe(struct sim *sim, const struct observation *seen)
{
    struct input input = {.kind = INPUT_OBSERVATION, .observation = *seen};

    inbox_post(&sim->agent->inbox, &input);
    agent_wake(sim);
}

void agent_finish(struct sim *sim)
{
    struct agent *agent = sim->agent;
    struct store_batch *batch = store_batch_new();
    struct told *told = turn_core_compose(&agent->core, &sim->now, batch);

    agent->adopted_unsaved += !agent->is_adopted;
    agent_store_post(sim, batch, told);
}

static void arm(struct sim *sim)
{
    struct agent *agent = sim->agent;
    uint64_t next_ns = node_next_deadline(agent->node);

    if (next_ns == 0)
        return;
    if (next_ns < sim->now.ns)
        next_ns = sim->now.ns;
    if (agent->timer_ns != 0 && agent->timer_ns <= next_ns)
        return; /* woken before anyway */
    agent->timer_ns = next_ns;
    sim_at(sim, next_ns, HAPPENING_AGENT_TURN, agent->life, 0);
}

void agent_turn(struct sim *sim)
{
    struct agent *agent = sim->agent;

    if (agent->timer_ns <= sim->now.ns)
        agent->timer_ns = 0;
    agent->is_woken = false;
    up_turn(sim);
    if (turn_core_step(&agent->core, &agent->inbox, &sim->now))
        agent_finish(sim);
    node_check(agent->node);
    for (uint32_t i = 0; node_next(agent->node, &i); i++)
        if (node_get(agent->node, i)->state == CT_KILLING && !node_get(agent->node, i)->has_command)
            operators_poke(sim, node_get(agent->node, i)->name);
    arm(sim);
    if (!inbox_is_empty(&agent->inbox))
        agent_wake(sim);
}

/* ---- the keeper's records ---- */

static uint32_t find_slot(const struct agent *agent, uint64_t launch)
{
    for (uint32_t i = 0; launch != 0 && i < agent->node->slots_end; i++)
        if (agent->slots[i].launch == launch)
            return i;
    return UINT32_MAX;
}

static void acknowledge(struct sim *sim, const struct kw_record *record)
{
    struct keeper_packet packet = {.order = KEEPER_ACK,
                                   .ack = {.launch = record->launch,
                                           .generation = record->labels.generation,
                                           .change = record->change}};

    keeper_send(sim, &packet);
}

static void on_refused(struct sim *sim, const struct kw_record *record, bool is_of_go)
{
    uint32_t index = find_slot(sim->agent, record->launch);
    struct observation seen = {.kind = IN_LAUNCH_FAILED, .ct = index};

    if (index == UINT32_MAX)
        return;
    if (is_of_go) {
        effects_go_refused(sim, index);
        return;
    }
    seen.generation = sim->agent->slots[index].generation;
    fault_set(&seen.fault, STATUS_KEEPER_FULL, 0, "the keeper refused");
    if (!effects_keeps(sim, index, &seen))
        agent_observe(sim, &seen);
}

static void on_record(struct sim *sim, const struct kw_record *record)
{
    uint32_t index = find_slot(sim->agent, record->launch);
    struct record_news news;

    if (index == UINT32_MAX) {
        if (record_is_final(record)) { /* of a container that is gone, or said again */
            turn_core_owe_ack(&sim->agent->core, TURN_CORE_NOBODY, record);
            agent_wake(sim);
        }
        return;
    }
    record_observe(&sim->agent->slots[index].seen, record, &sim->now, &news);
    if (news.ack == RECORD_ACK_OWED)
        turn_core_owe_ack(&sim->agent->core, index, record);
    if (record->phase == KW_PHASE_STAGED)
        effects_said_staged(sim, index);
    for (size_t i = 0; i < news.count; i++) {
        struct observation *seen = &news.list[i];

        if (seen->kind == IN_ENDED || seen->kind == IN_LAUNCH_FAILED)
            effects_read_oom(sim, index);
        if (seen->kind == IN_LAUNCH_FAILED)
            adopt_failure(record, &seen->fault);
        seen->ct = index;
        if (seen->kind == IN_LAUNCH_FAILED && effects_keeps(sim, index, seen))
            continue;
        if (seen->kind == IN_BOOTED)
            checks_booted_seen(sim, node_get(sim->agent->node, index));
        agent_observe(sim, seen);
    }
    if (news.ack == RECORD_ACK_NOW)
        acknowledge(sim, record);
}

void agent_record(struct sim *sim)
{
    struct keeper_word word;

    if (keeper_receive(sim, &word)) {
        if (word.is_refusal)
            on_refused(sim, &word.record, word.is_of_go);
        else
            on_record(sim, &word.record);
        return;
    }
    if (!sim->keeper->is_alive)
        adopt_keeper_lost(sim);
}
