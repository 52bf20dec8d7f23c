/* SPDX-License-Identifier: Apache-2.0 */
#include "world_keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "ensure.h"
#include "node_life.h"

static void wake(struct sim *sim)
{
    sim_after(sim, sim_delay(sim, 30 * US_NS), HAPPENING_KEEPER_TURN, sim->keeper->life, 0);
}

static void mark(struct sim *sim, struct entry *entry)
{
    table_mark(sim->keeper->table, entry);
    wake(sim);
}

void keeper_open(struct sim *sim)
{
    struct keeper *keeper = sim->keeper;
    struct table *table = keeper->table;

    if (table == NULL)                     /* kept for all seeds */
        table = calloc(1, sizeof(*table)); /* pages that no launch needs are never touched */
    ENSURE(table != NULL);
    memset(keeper, 0, sizeof(*keeper));
    keeper->table = table;
    while (table->high > 0)
        table_remove(table, &table->entries[table->high - 1]);
}

void keeper_start(struct sim *sim)
{
    struct keeper *keeper = sim->keeper;

    ENSURE(!keeper->is_alive);
    keeper->is_alive = true;
    keeper->life++;
    keeper->launch_last = 0;
    keeper->is_older = sim_chance(sim, 250);
    keeper->has_agent = keeper->is_agent_lost = false;
    keeper->in_count = keeper->out_count = 0;
    while (keeper->table->high > 0)
        table_remove(keeper->table, &keeper->table->entries[keeper->table->high - 1]);
    sim_trace(sim, "  keeper %" PRIu32 " starts", keeper->life);
}

void keeper_crash(struct sim *sim)
{
    struct keeper *keeper = sim->keeper;

    if (!keeper->is_alive)
        return;
    keeper->is_alive = false;
    keeper->in_count = 0; /* what it had not read is lost with it */
    kernel_orphan(sim, keeper->life);
    sim_trace(sim, "  keeper %" PRIu32 " is killed", keeper->life);
    if (keeper->has_agent) /* it reads what was sent, then EOF */
        for (uint32_t i = 0; i <= keeper->out_count; i++)
            sim_after(sim, sim_delay(sim, 50 * US_NS), HAPPENING_AGENT_RECORD, agent_life(sim), 0);
}

void keeper_reexec(struct sim *sim)
{
    if (!sim->keeper->is_alive)
        return;
    table_mark_all(sim->keeper->table);
    wake(sim);
}

/* ---- the agent's end ---- */

void keeper_send(struct sim *sim, const struct keeper_packet *packet)
{
    struct keeper *keeper = sim->keeper;

    if (!keeper->is_alive)
        return; /* into a socket that nobody reads any more */
    ENSURE(keeper->in_count < KEEPER_IN_MAX);
    keeper->in[keeper->in_count++] = *packet;
    wake(sim);
}

bool keeper_receive(struct sim *sim, struct keeper_word *ret_word)
{
    struct keeper *keeper = sim->keeper;

    if (keeper->out_count == 0)
        return false;
    *ret_word = keeper->out[0];
    memmove(keeper->out, keeper->out + 1, --keeper->out_count * sizeof(*keeper->out));
    if (keeper->is_alive)
        wake(sim); /* there is room again */
    return true;
}

void keeper_disconnect(struct sim *sim)
{
    sim->keeper->has_agent = false;
    sim->keeper->is_agent_lost = true;
    sim->keeper->out_count = 0;
    if (sim->keeper->is_alive)
        wake(sim);
}

/* ---- its turn ---- */

static void say(struct sim *sim, const struct keeper_word *word)
{
    struct keeper *keeper = sim->keeper;

    ENSURE(keeper->out_count < KEEPER_OUT_MAX);
    keeper->out[keeper->out_count++] = *word;
    sim_after(sim, sim_delay(sim, 30 * US_NS), HAPPENING_AGENT_RECORD, agent_life(sim), 0);
}

static void launch(struct sim *sim, const struct keeper_packet *packet)
{
    struct keeper *keeper = sim->keeper;
    struct entry *entry = NULL;
    bool is_refused = !sim->is_calm && sim_chance(sim, 15);
    char leaf[LEAF_BYTES];

    if (!is_refused && table_find(keeper->table, packet->launch) == NULL)
        entry = table_add(keeper->table, packet->launch);
    if (entry == NULL) {
        struct keeper_word word = {.is_refusal = true, .record = {.launch = packet->launch}};

        if (keeper->has_agent && keeper->out_count < KEEPER_OUT_MAX)
            say(sim, &word);
        return; /* else a launch that nobody hears of: its deadline ends it */
    }
    if (keeper->launch_last < packet->launch)
        keeper->launch_last = packet->launch;
    entry_keep_labels(entry, &packet->labels);
    entry->record.phase = KW_PHASE_STAGING;
    entry->record.received_ns = sim->now.ns;
    kernel_leaf_name(packet->labels.name, packet->labels.generation, leaf);
    if (kernel_find_leaf(sim->kernel, leaf) != packet->leaf)
        sim_fail(sim, "order", "%s is launched, and its group was removed meanwhile", leaf);
    int index = kernel_fork(sim, packet->leaf, keeper->life);
    struct proc *proc = &sim->kernel->procs[index];
    memcpy(proc->uuid, packet->labels.uuid, UUID_BYTES);
    proc->generation = packet->labels.generation;
    proc->launch = packet->launch;
    proc->is_ready_on_exec = packet->is_ready_on_exec;
    table_set_pid(keeper->table, entry, proc->pid);
    mark(sim, entry);
}

static void fail_stage(struct sim *sim, struct entry *entry, int proc, enum kw_step step)
{
    entry->record.failed_step = step;
    entry->record.failed_errno = step == KW_STEP_ABORTED ? ECANCELED : ETIMEDOUT;
    kernel_kill(sim, proc);
}

/* The stage of a launch that was not told GO; -1: there is none. */
static int find_held(const struct sim *sim, const struct entry *entry)
{
    bool is_staging = entry != NULL && (entry->record.phase == KW_PHASE_STAGING ||
                                        entry->record.phase == KW_PHASE_STAGED);
    int proc = is_staging ? kernel_find_pid(sim->kernel, entry->record.pid) : -1;

    return proc >= 0 && !sim->kernel->procs[proc].is_at_go ? proc : -1;
}

static void go(struct sim *sim, uint64_t launch)
{
    struct keeper *keeper = sim->keeper;
    struct entry *entry = table_find(keeper->table, launch);
    int proc = find_held(sim, entry);

    if (proc < 0 || (keeper->is_older && entry->record.phase != KW_PHASE_STAGED)) {
        struct keeper_word word = {
            .is_refusal = true, .is_of_go = true, .record = {.launch = launch}};

        if (keeper->has_agent && keeper->out_count < KEEPER_OUT_MAX)
            say(sim, &word);
        return; /* else its deadline ends it */
    }
    entry->record.go_ns = sim->now.ns;
    kernel_go(sim, proc);
}

static void abort_stage(struct sim *sim, uint64_t launch)
{
    struct entry *entry = table_find(sim->keeper->table, launch);
    int proc = find_held(sim, entry);

    if (proc >= 0)
        fail_stage(sim, entry, proc, KW_STEP_ABORTED);
}

static void acknowledge(struct sim *sim, const struct kw_ack *ack)
{
    struct table *table = sim->keeper->table;
    struct entry *over;

    (void)table_acknowledge(table, ack, &over);
    if (over == NULL)
        return;
    checks_end_forgotten(sim, &over->record);
    table_remove(table, over);
}

static void adopt(struct sim *sim, const struct keeper_packet *packet)
{
    struct keeper *keeper = sim->keeper;
    struct entry *entry = table_add(keeper->table, packet->launch);

    ENSURE(entry != NULL);
    if (keeper->launch_last < packet->launch)
        keeper->launch_last = packet->launch;
    entry_keep_labels(entry, &packet->labels);
    entry->record.phase = KW_PHASE_BOOTED;
    entry->record.is_adopted = 1;
    mark(sim, entry);
    for (int i = 0; i < PROCS_MAX; i++) {
        struct proc *proc = &sim->kernel->procs[i];

        if (!proc->is_used || proc->birth != packet->birth)
            continue;
        proc->watcher = keeper->life;
        proc->launch = packet->launch;
        entry->record.pid = proc->pid;
        return;
    }
    /* The pidfd is readable already. */
    entry->record.phase = KW_PHASE_ENDED;
    entry->record.ended_ns = sim->now.ns;
    entry->record.ended_wall_ns = sim->now.wall_ns;
    mark(sim, entry);
}

/* A dying connection was read to its end: launches that are not yet at GO are aborted. */
static void lose_agent(struct sim *sim)
{
    struct table *table = sim->keeper->table;

    sim->keeper->is_agent_lost = false;
    for (uint32_t slot = 0; slot < table->high; slot++) {
        struct entry *entry = &table->entries[slot];
        int proc = table->numbers[slot] != 0 ? find_held(sim, entry) : -1;

        if (proc >= 0)
            fail_stage(sim, entry, proc, KW_STEP_ABORTED);
    }
}

static void read_all(struct sim *sim)
{
    struct keeper *keeper = sim->keeper;

    for (uint32_t i = 0; i < keeper->in_count; i++) {
        const struct keeper_packet *packet = &keeper->in[i];

        if (packet->order == KEEPER_LAUNCH)
            launch(sim, packet);
        else if (packet->order == KEEPER_GO)
            go(sim, packet->launch);
        else if (packet->order == KEEPER_ABORT)
            abort_stage(sim, packet->launch);
        else if (packet->order == KEEPER_ACK)
            acknowledge(sim, &packet->ack);
        else
            adopt(sim, packet);
    }
    keeper->in_count = 0;
    if (keeper->is_agent_lost)
        lose_agent(sim);
}

void keeper_turn(struct sim *sim)
{
    struct keeper *keeper = sim->keeper;
    struct entry *entry;

    if (sim->now.ns < keeper->hung_until_ns && !sim->is_calm) {
        sim_at(sim, keeper->hung_until_ns, HAPPENING_KEEPER_TURN, keeper->life, 0);
        return;
    }
    read_all(sim);
    while (keeper->has_agent && keeper->out_count < KEEPER_OUT_MAX &&
           (entry = table_next_unsent(keeper->table)) != NULL) {
        struct keeper_word word = {.record = entry->record};

        say(sim, &word);
        table_sent(keeper->table, entry);
    }
}

void keeper_connect(struct sim *sim)
{
    struct keeper *keeper = sim->keeper;
    struct entry *entry;

    read_all(sim);
    keeper->has_agent = true;
    keeper->out_count = keeper->held_count = 0;
    table_mark_all(keeper->table);
    while ((entry = table_next_unsent(keeper->table)) != NULL) { /* all of them, before SYNCED */
        ENSURE(keeper->held_count < KEEPER_HELD_MAX);
        keeper->held[keeper->held_count++] = entry->record;
        table_sent(keeper->table, entry);
    }
}

/* ---- its children ---- */

/* The entry of a process that this keeper is the parent or the watcher of. */
static struct entry *entry_of(struct sim *sim, const struct proc *proc)
{
    struct keeper *keeper = sim->keeper;

    if (!keeper->is_alive || (proc->parent != keeper->life && proc->watcher != keeper->life))
        return NULL;
    return table_find(keeper->table, proc->launch);
}

void keeper_on_staged(struct sim *sim, const struct proc *proc)
{
    struct entry *entry = entry_of(sim, proc);

    if (entry == NULL || !sim->keeper->is_older || entry->record.phase != KW_PHASE_STAGING)
        return;
    entry->record.phase = KW_PHASE_STAGED;
    mark(sim, entry);
}

void keeper_on_exec(struct sim *sim, const struct proc *proc)
{
    struct entry *entry = entry_of(sim, proc);

    if (entry == NULL)
        return;
    entry->record.phase = KW_PHASE_BOOTED;
    entry->record.exec_ns = sim->now.ns;
    mark(sim, entry);
}

void keeper_on_exec_failed(struct sim *sim, const struct proc *proc)
{
    struct entry *entry = entry_of(sim, proc);

    if (entry == NULL)
        return;
    entry->record.failed_step = KW_STEP_EXEC;
    entry->record.failed_errno = ENOENT;
}

void keeper_on_ready(struct sim *sim, const struct proc *proc)
{
    struct entry *entry = entry_of(sim, proc);

    if (entry == NULL || proc->parent != sim->keeper->life)
        return; /* its notify socket died with the keeper that bound it */
    entry->record.is_ready = 1;
    entry->record.ready_ns = sim->now.ns;
    mark(sim, entry);
}

void keeper_on_stage_late(struct sim *sim, int index)
{
    struct entry *entry = entry_of(sim, &sim->kernel->procs[index]);

    if (entry != NULL)
        fail_stage(sim, entry, index, KW_STEP_DEADLINE);
}

void keeper_on_end(struct sim *sim, const struct proc *proc, int status)
{
    struct entry *entry = entry_of(sim, proc);

    if (entry == NULL)
        return;
    entry->record.phase = entry->record.phase == KW_PHASE_BOOTED ? KW_PHASE_ENDED : KW_PHASE_FAILED;
    if (proc->parent == sim->keeper->life) {
        entry->record.is_status_known = 1;
        entry->record.wait_status = status;
    }
    entry->record.ended_ns = sim->now.ns;
    entry->record.ended_wall_ns = sim->now.wall_ns;
    table_set_pid(sim->keeper->table, entry, 0);
    mark(sim, entry);
    checks_end_known(sim, &entry->record);
}

void keeper_forget(struct sim *sim, uint64_t launch)
{
    struct entry *entry = table_find(sim->keeper->table, launch);

    if (entry != NULL)
        table_remove(sim->keeper->table, entry);
}
