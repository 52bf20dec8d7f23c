/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's start: what adopt.c does with descriptors. */
#include "node_life.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "ensure.h"

void adopt_failure(const struct kw_record *record, struct fault *ret_fault)
{
    if (record->failed_step == KW_STEP_ABORTED)
        fault_set(ret_fault, STATUS_INTERRUPTED, record->failed_errno, "interrupted");
    else
        fault_set(ret_fault, STATUS_FAILED, record->failed_errno, "its start failed");
}

uint64_t adopt_number(struct sim *sim, uint32_t index)
{
    uint64_t number = (sim->agent->launch_last / CT_MAX + 1) * CT_MAX + index;

    sim->agent->launch_last = number;
    return number;
}

static void tell_console_lost(struct sim *sim, const struct ct *ct)
{
    struct event *event = turn_core_event(&sim->agent->core);

    *event = (struct event){
        .time_wall_ns = sim->now.wall_ns, .generation = ct->generation, .type = EVENT_CONSOLE_LOST};
    memcpy(event->uuid, ct->uuid, UUID_BYTES);
    memcpy(event->name, ct->name, NAME_BYTES);
}

/* The pidfd is opened first, its cgroup looked at then: a number that was given again is not it. */
static bool adopt_at_keeper(struct sim *sim, uint32_t index, pid_t pid)
{
    const struct ct *ct = node_get(sim->agent->node, index);
    struct keeper_packet packet = {.order = KEEPER_ADOPT};
    char leaf[LEAF_BYTES];
    int proc = kernel_find_pid(sim->kernel, pid);

    kernel_leaf_name(ct->name, ct->generation, leaf);
    bool is_in_cgroup = proc >= 0 && sim->kernel->procs[proc].leaf >= 0 &&
                        strcmp(sim->kernel->leaves[sim->kernel->procs[proc].leaf].name, leaf) == 0;
    if (!adopt_is_its_init(proc >= 0, is_in_cgroup))
        return false;
    checks_watched(sim, ct, &sim->kernel->procs[proc]);
    packet.launch = sim->agent->slots[index].launch = adopt_number(sim, index);
    sim->agent->slots[index].seen.change = 0;
    memcpy(packet.labels.uuid, ct->uuid, UUID_BYTES);
    packet.labels.generation = ct->generation;
    memcpy(packet.labels.name, ct->name, NAME_BYTES);
    packet.birth = sim->kernel->procs[proc].birth;
    keeper_send(sim, &packet);
    return true;
}

/* ---- rows ---- */

struct adoption {
    struct sim *sim;
    bool is_other_boot;
    bool is_used[KEEPER_HELD_MAX]; /* by slot of the keeper's table */
};

static struct entry *find_held(struct adoption *adoption, const struct store_row *row)
{
    struct table *table = adoption->sim->keeper->table;

    for (uint32_t i = 0; i < table->high; i++)
        if (table->numbers[i] != 0 && adopt_is_of(&table->entries[i].record, row)) {
            adoption->is_used[i] = true;
            return &table->entries[i];
        }
    return NULL;
}

static void read_slot(const struct store_row *row, struct sim_slot *slot)
{
    struct arena arena = {0};
    struct config config;
    uint8_t *copy = malloc(row->config.size_bytes + 1);

    ENSURE(copy != NULL);
    memcpy(copy, row->config.data, row->config.size_bytes);
    *slot = (struct sim_slot){.config = {copy, row->config.size_bytes},
                              .uid_base = row->uid_base,
                              .is_ready_on_exec = row->is_ready_on_exec,
                              .generation = row->generation,
                              .oom_kills = row->oom_kills};
    int result = codec_decode_config(copy, row->config.size_bytes, &arena, &config);
    ENSURE(result == 0);
    slot->policy =
        (struct ct_policy){config.restart, config.is_reboot_denied, config.stop_grace_ns};
    arena_close(&arena);
}

static uint64_t hash_of(struct sim *sim, const struct store_row *row)
{
    const struct result *result = results_find(&sim->agent->results, row->request);

    return result == NULL ? 0 : result->hash;
}

/* As the earlier agent had it: what was observed already is not told again. */
static void feed(struct sim *sim, uint32_t index, const struct kw_record *record)
{
    struct sim_slot *slot = &sim->agent->slots[index];
    struct record_news news;

    slot->launch = record->launch;
    record_adopt(&slot->seen, record);
    if (slot->seen.is_ended)
        turn_core_owe_ack(&sim->agent->core, index, record);
    record_observe(&slot->seen, record, &sim->now, &news);
    ENSURE(news.count == 0);
    if (slot->has_cgroup && !slot->seen.is_ended)
        effects_watch(sim, index);
}

static bool on_row(const struct store_row *row, void *context)
{
    struct adoption *adoption = context;
    struct sim *sim = adoption->sim;
    struct entry *held = find_held(adoption, row);
    struct kw_record record;
    struct sim_slot slot;
    struct ct_found found;
    struct fault failure = {0};
    char leaf[LEAF_BYTES];

    read_slot(row, &slot);
    kernel_leaf_name(row->name, row->generation, leaf);
    int leaf_index = kernel_find_leaf(sim->kernel, leaf);
    slot.has_cgroup = row->generation != 0 && leaf_index >= 0;
    struct adopt_facts facts = {.row = row,
                                .policy = slot.policy,
                                .command_hash = hash_of(sim, row),
                                .command_origin = ORIGIN_UPSTREAM,
                                .is_other_boot = adoption->is_other_boot,
                                .is_ready_on_exec = slot.is_ready_on_exec};
    if (held != NULL) {
        record = held->record;
        facts.record = &record;
        adopt_failure(&record, &failure);
        facts.failure = &failure;
    }
    if (adopt_must_look(row, facts.record, slot.has_cgroup))
        facts.pid = kernel_find_init(sim->kernel, leaf_index);
    if (slot.has_cgroup)
        facts.is_frozen = sim->kernel->leaves[leaf_index].is_frozen;
    if (slot.has_cgroup)
        facts.oom_kills = sim->kernel->leaves[leaf_index].oom_kills;
    adopt_find(&facts, &sim->now, &found);
    uint32_t index = node_adopt(sim->agent->node, &found, &sim->now, &sim->agent->core.out);
    ENSURE(index < AGENT_SLOTS_MAX);
    sim->agent->slots[index] = slot;
    if (held != NULL) {
        feed(sim, index, &record);
    } else if (found.is_live) {
        (void)adopt_at_keeper(sim, index, found.pid);
        sim->agent->slots[index].seen.is_booted = true;
        sim->agent->slots[index].seen.is_ready = found.is_ready;
        tell_console_lost(sim, node_get(sim->agent->node, index));
        effects_watch(sim, index);
    }
    agent_finish(sim);
    return true;
}

static bool on_result(const struct store_result *stored, void *context)
{
    struct sim *sim = context;
    struct result *result =
        results_add(&sim->agent->results, stored->request, stored->command_hash);

    if (result == NULL)
        return false;
    result->receipt.verb = stored->verb;
    result->receipt.phase = stored->phase;
    result->receipt.fault.status = stored->status;
    result->receipt.fault.error = stored->error;
    memcpy(result->uuid, stored->uuid, UUID_BYTES);
    result->generation = stored->generation;
    (void)result_listen(result, ORIGIN_UPSTREAM);
    return true;
}

/* ---- leftovers ---- */

static void drop_leaves(struct sim *sim)
{
    for (int i = 0; i < LEAVES_MAX; i++)
        if (sim->kernel->leaves[i].is_used &&
            !adopt_keeps_leaf(sim->agent->node, sim->kernel->leaves[i].name))
            (void)kernel_remove_leaf(sim, i); /* only if it is empty */
}

static void settle_unclaimed(struct adoption *adoption)
{
    struct sim *sim = adoption->sim;
    struct table *table = sim->keeper->table;

    for (uint32_t i = 0; i < table->high; i++) {
        const struct kw_record *record = &table->entries[i].record;
        struct keeper_packet packet = {.order = KEEPER_ACK,
                                       .ack = {.launch = record->launch,
                                               .generation = record->labels.generation,
                                               .change = record->change}};

        if (table->numbers[i] != 0 && !adoption->is_used[i] && record_is_final(record))
            keeper_send(sim, &packet);
    }
}

void adopt_rows(struct sim *sim)
{
    struct agent *agent = sim->agent;
    struct adoption adoption = {.sim = sim,
                                .is_other_boot = agent->has_boot_noted &&
                                                 agent->boot_id != sim->kernel->boot_id};
    int result = store_reader_results(&agent->store.reader, on_result, sim);

    ENSURE(sim->keeper->table->high <= KEEPER_HELD_MAX);
    if (result == 0)
        result = store_reader_rows(&agent->store.reader, on_row, &adoption);
    ENSURE(result == 0);
    drop_leaves(sim);
    settle_unclaimed(&adoption);
    agent->boot_id = sim->kernel->boot_id;
    agent->has_boot_noted = true;
}

/* ---- the keeper died under us ---- */

void adopt_keeper_lost(struct sim *sim)
{
    struct agent *agent = sim->agent;

    keeper_start(sim);
    keeper_connect(sim);
    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        const struct ct *ct = node_get(agent->node, i);
        struct observation seen;

        if (!adopt_is_at_keeper(ct))
            continue;
        if (ct->has_init && agent->slots[i].has_cgroup && adopt_at_keeper(sim, i, ct->pid)) {
            tell_console_lost(sim, ct);
            continue;
        }
        adopt_lose(ct, &seen);
        agent_observe(sim, &seen);
    }
    agent_wake(sim);
}
