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
    bool is_used[KEEPER_HELD_MAX]; /* of keeper->held */
};

/* Of several the latest. */
static const struct kw_record *find_held(const struct sim *sim, const struct store_row *row)
{
    const struct kw_record *latest = NULL;

    for (uint32_t i = 0; i < sim->keeper->held_count; i++) {
        const struct kw_record *held = &sim->keeper->held[i];

        if (adopt_is_of(held, row) &&
            (latest == NULL || held->labels.generation > latest->labels.generation))
            latest = held;
    }
    return latest;
}

static void read_slot(const struct store_row *row, struct sim_slot *slot)
{
    struct arena arena = {0};
    struct config config;
    uint8_t *copy = malloc(row->config.size_bytes + 1);

    ENSURE(copy != NULL);
    memcpy(copy, row->config.data, row->config.size_bytes);
    *slot = (struct sim_slot){.config = {copy, row->config.size_bytes},
                              .revision = row->revision,
                              .uid_base = row->uid_base,
                              .is_ready_on_exec = row->is_ready_on_exec,
                              .generation = row->generation,
                              .oom_kills = row->oom_kills};
    int result = codec_decode_config(copy, row->config.size_bytes, &arena, &config);
    ENSURE(result == 0);
    slot->policy = config_policy(&config);
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
    record_adopt(&slot->seen, record, node_get(sim->agent->node, index)->is_ready);
    if (slot->seen.is_ended)
        turn_core_owe_ack(&sim->agent->core, index, record);
    record_observe(&slot->seen, record, &sim->now, &news);
    ENSURE(news.count == 0);
    if (slot->has_cgroup && !slot->seen.is_ended)
        effects_watch(sim, index);
}

static uint64_t generation_of(const struct leaf *leaf, const char *name)
{
    size_t length = strlen(name);

    if (strncmp(leaf->name, name, length) != 0 || leaf->name[length] != '.')
        return 0;
    return strtoull(leaf->name + length + 1, NULL, 10);
}

/* A later generation than the row's that no keeper can tell of. */
static void look_for_later(struct sim *sim, struct adopt_facts *facts)
{
    uint64_t highest = 0;
    int at = -1;

    for (int i = 0; i < LEAVES_MAX; i++) {
        const struct leaf *leaf = &sim->kernel->leaves[i];
        uint64_t generation = leaf->is_used ? generation_of(leaf, facts->row->name) : 0;

        if (generation > highest) {
            highest = generation;
            at = i;
        }
    }
    facts->spent = highest;
    if (highest <= adopt_generation(facts))
        return;
    pid_t pid = kernel_find_init(sim->kernel, at);
    int proc = kernel_find_pid(sim->kernel, pid);
    if (pid == 0 || memcmp(sim->kernel->procs[proc].uuid, facts->row->uuid, UUID_BYTES) != 0 ||
        !sim->kernel->procs[proc].is_init)
        return; /* nobody's that lives, another's of that name, or a stage */
    facts->pid = pid;
    facts->pid_generation = highest;
    facts->record = NULL;
}

static void look_at_cgroup(struct sim *sim, struct sim_slot *slot, struct adopt_facts *facts)
{
    char leaf[LEAF_BYTES];

    kernel_leaf_name(facts->row->name, slot->generation, leaf);
    int at = kernel_find_leaf(sim->kernel, leaf);
    slot->has_cgroup = slot->generation != 0 && at >= 0;
    if (!slot->has_cgroup)
        return;
    pid_t pid = kernel_find_init(sim->kernel, at);
    int proc = kernel_find_pid(sim->kernel, pid);
    if (facts->pid == 0 && facts->record == NULL && pid != 0) {
        slot->is_leaf_taken =
            memcmp(sim->kernel->procs[proc].uuid, facts->row->uuid, UUID_BYTES) != 0;
        slot->has_cgroup = !slot->is_leaf_taken;
        if (slot->is_leaf_taken)
            return; /* node.db was put back, and the name and number given since */
        if (adopt_must_look(facts->row, facts->record, slot->has_cgroup))
            facts->pid = pid;
    }
    facts->is_frozen = sim->kernel->leaves[at].is_freeze_wanted;
    facts->oom_kills = sim->kernel->leaves[at].oom_kills;
}

static void take_orphan(struct sim *sim, uint32_t index, pid_t pid)
{
    const struct ct *ct = node_get(sim->agent->node, index);
    struct observation seen;

    if (pid != 0 && adopt_at_keeper(sim, index, pid)) {
        tell_console_lost(sim, ct);
        return;
    }
    adopt_lose(ct, &seen);
    agent_observe(sim, &seen);
}

static void take_up(struct sim *sim, struct sim_slot *slot, const struct adopt_facts *facts)
{
    struct ct_found found;

    adopt_find(facts, &sim->now, &found);
    uint32_t index = node_adopt(sim->agent->node, &found, &sim->now, &sim->agent->core.out);
    ENSURE(index < AGENT_SLOTS_MAX);
    sim->agent->slots[index] = *slot;
    if (facts->record != NULL) {
        feed(sim, index, facts->record);
    } else if (found.is_live) {
        take_orphan(sim, index, found.pid);
        sim->agent->slots[index].seen.is_booted = true;
        sim->agent->slots[index].seen.is_ready = found.is_ready;
        effects_watch(sim, index);
    }
    agent_finish(sim);
}

static bool on_row(const struct store_row *row, void *context)
{
    struct adoption *adoption = context;
    struct sim *sim = adoption->sim;
    const struct kw_record *held = find_held(sim, row);
    struct sim_slot slot;
    struct fault failure = {0};

    read_slot(row, &slot);
    struct adopt_facts facts = {.row = row,
                                .policy = slot.policy,
                                .command_hash = hash_of(sim, row),
                                .command_origin = ORIGIN_UPSTREAM,
                                .is_other_boot = adoption->is_other_boot,
                                .is_ready_on_exec = slot.is_ready_on_exec};
    if (held != NULL) {
        facts.record = held;
        adopt_failure(held, &failure);
        facts.failure = &failure;
    }
    look_for_later(sim, &facts);
    for (uint32_t i = 0; i < sim->keeper->held_count; i++)
        adopt_note_spent(&facts, &sim->keeper->held[i]);
    if (facts.record != NULL)
        adoption->is_used[held - sim->keeper->held] = true;
    slot.generation = adopt_generation(&facts);
    if (slot.generation > row->generation)
        slot.oom_kills = 0;
    look_at_cgroup(sim, &slot, &facts);
    take_up(sim, &slot, &facts);
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

/* What is empty goes; what lives and is not known is shown to people, not ended. */
static void settle_leaves(struct sim *sim)
{
    for (int i = 0; i < LEAVES_MAX; i++) {
        struct leaf *leaf = &sim->kernel->leaves[i];

        if (!leaf->is_used || adopt_keeps_leaf(sim->agent->node, leaf->name))
            continue;
        leaf->is_stray = kernel_remove_leaf(sim, i) < 0;
        int proc = kernel_find_pid(sim->kernel, kernel_find_init(sim->kernel, i));
        if (leaf->is_stray && proc >= 0 && !sim->kernel->procs[proc].is_init)
            kernel_kill_leaf(sim, i);
    }
}

static void settle_unclaimed(const struct adoption *adoption)
{
    struct sim *sim = adoption->sim;

    for (uint32_t i = 0; i < sim->keeper->held_count; i++) {
        const struct kw_record *record = &sim->keeper->held[i];
        struct keeper_packet packet = {.order = KEEPER_ACK,
                                       .ack = {.launch = record->launch,
                                               .generation = record->labels.generation,
                                               .change = record->change}};

        if (!adoption->is_used[i] && record_is_final(record))
            keeper_send(sim, &packet);
    }
}

/* Not before all that ended with the machine is durable as that. */
static void note_boot(struct sim *sim)
{
    sim->agent->boot_id = sim->kernel->boot_id;
    sim->agent->has_boot_noted = true;
}

void adopt_on_committed(struct sim *sim)
{
    struct agent *agent = sim->agent;

    if (agent->adopted_unsaved > 0 && --agent->adopted_unsaved == 0 && agent->is_adopted)
        note_boot(sim);
}

static void order_boot(struct sim *sim)
{
    struct agent *agent = sim->agent;

    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        struct arena arena = {0};
        struct config config;
        const struct octets *octets = &agent->slots[i].config;

        int result = codec_decode_config(octets->data, octets->size_bytes, &arena, &config);
        ENSURE(result == 0);
        for (size_t at = 0; at < config.depend_count; at++)
            node_boot_after(agent->node, i, config.depends[at]);
        arena_close(&arena);
    }
    node_set_boot_parallel(agent->node, BOOTS_MAX);
}

void adopt_rows(struct sim *sim)
{
    struct agent *agent = sim->agent;
    struct adoption adoption = {.sim = sim,
                                .is_other_boot = agent->has_boot_noted &&
                                                 agent->boot_id != sim->kernel->boot_id};
    int result = store_reader_results(&agent->store.reader, on_result, sim);

    if (result == 0)
        result = store_reader_rows(&agent->store.reader, on_row, &adoption);
    ENSURE(result == 0);
    settle_leaves(sim);
    order_boot(sim);
    while (turn_core_close_intents(&agent->core, &sim->now))
        agent_finish(sim);
    settle_unclaimed(&adoption);
    agent->is_adopted = true;
    if (agent->adopted_unsaved == 0)
        note_boot(sim);
}

/* ---- the keeper died under us ---- */

void adopt_keeper_lost(struct sim *sim)
{
    struct agent *agent = sim->agent;

    keeper_start(sim);
    keeper_connect(sim);
    effects_keeper_lost(sim);
    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        const struct ct *ct = node_get(agent->node, i);

        if (!adopt_is_at_keeper(ct))
            continue;
        take_orphan(sim, i, ct->has_init && agent->slots[i].has_cgroup ? ct->pid : 0);
    }
    agent_wake(sim);
}
