/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <string.h>

#include "cells.h"
#include "checks_moves.h"
#include "ensure.h"
#include "node_life.h"
#include "operators.h"
#include "reach.h"
#include "upstream.h"
#include "vfs.h"
#include "wire.h"
#include "world_keeper.h"

#define STRAYS_EACH 2 /* they harm nobody, and there are many states to say them in */

const char *fault_kind_name(enum fault_kind kind)
{
    static const char *const names[FAULT_COUNT] = {
#define FAULT_NAME(upper, lower) [FAULT_##upper] = #lower,
        FAULT_LIST(FAULT_NAME)
#undef FAULT_NAME
    };

    return (unsigned)kind < FAULT_COUNT ? names[kind] : "?";
}

void faults_open(struct sim *sim)
{
    struct faults *faults = sim->faults;

    memset(faults, 0, sizeof(*faults));
    faults->has_controller = !sim_chance(sim, 80);
    /* Without one an event may go at its own commit: nobody could say what was lost. */
    faults->is_small = faults->has_controller && sim_chance(sim, 300);
    faults->effect_permille = (unsigned)sim_between(sim, 5, 80);
}

void faults_close(struct sim *sim)
{
    simvfs_snapshot_free(sim->faults->node_copy);
    simvfs_snapshot_free(sim->faults->ctl_copy);
    sim->faults->node_copy = sim->faults->ctl_copy = NULL;
}

void faults_note(struct sim *sim, enum fault_kind kind)
{
    const struct node *node = sim->agent->node;

    sim->faults->counts[kind]++;
    sim_note(sim, kind);
    reach_fault(kind, CT_UNSET);
    for (uint32_t i = 0; sim->agent->is_alive && node_next(node, &i); i++)
        reach_fault(kind, node_get(node, i)->state);
}

bool faults_fail_effect(struct sim *sim)
{
    if (sim->is_calm || !sim_chance(sim, sim->faults->effect_permille))
        return false;
    faults_note(sim, FAULT_EFFECT);
    return true;
}

bool faults_is_ack_strange(struct sim *sim)
{
    if (sim->is_calm || !sim_chance(sim, 20))
        return false;
    faults_note(sim, FAULT_STRANGE_ACK);
    return true;
}

bool faults_is_last_word(struct sim *sim)
{
    bool is_due = sim->faults->is_last_word_due && sim_chance(sim, 400);

    if (!is_due)
        return false;
    sim->faults->is_last_word_due = false;
    faults_note(sim, FAULT_BETWEEN_CRASH);
    return true;
}

bool faults_has_controller(const struct sim *sim)
{
    return sim->faults->has_controller;
}

void faults_limit_store(struct sim *sim, struct store_limits *limits)
{
    if (!sim->faults->is_small)
        return;
    limits->history_min_ns = 0;
    limits->history_min_bytes = 0;
    limits->wal_frames = 40;
}

/* ---- one fault each ---- */

static void wire_worse(struct sim *sim, enum fault_kind kind)
{
    struct wire *wire = sim->wire;

    wire->loss_permille[WIRE_UP] = (unsigned)sim_below(sim, 500);
    wire->loss_permille[WIRE_DOWN] = (unsigned)sim_below(sim, 500);
    wire->twice_permille = (unsigned)sim_below(sim, 200);
    wire->overtake_permille = (unsigned)sim_below(sim, 200);
    wire->jitter_ns = sim_chance(sim, 300) ? 3 * SECOND_NS : 50 * MS_NS;
    faults_note(sim, kind);
}

static void wire_better(struct sim *sim)
{
    struct wire *wire = sim->wire;

    memset(wire->loss_permille, 0, sizeof(wire->loss_permille));
    memset(wire->cut_until_ns, 0, sizeof(wire->cut_until_ns));
    wire->twice_permille = wire->overtake_permille = 0;
    wire->jitter_ns = MS_NS;
}

static void cut(struct sim *sim, enum fault_kind kind)
{
    uint64_t until_ns = sim->now.ns + sim_between(sim, 100 * MS_NS, 30 * SECOND_NS);

    for (unsigned way = 0; way < WIRE_WAYS; way++)
        if (sim_chance(sim, 700))
            sim->wire->cut_until_ns[way] = until_ns;
    faults_note(sim, kind);
}

static void power(struct sim *sim, enum fault_kind kind)
{
    faults_note(sim, kind);
    simvfs_crash(DISK_NODE, prng_next(&sim->prng));
    keeper_crash(sim);
    kernel_crash(sim);
    agent_crash(sim, "the node lost its power");
}

static void jump_clock(struct sim *sim, enum fault_kind kind)
{
    int64_t most = (int64_t)(7200 * SECOND_NS);

    faults_note(sim, kind);
    sim->wall_offset_ns += (int64_t)sim_below(sim, 2 * (uint64_t)most) - most;
    sim_set_time(sim, sim->now.ns);
}

/* A copy is made now, and put back some time later. */
static void restore_node(struct sim *sim, enum fault_kind kind)
{
    struct faults *faults = sim->faults;

    if (faults->node_copy == NULL) {
        if (sim->agent->is_alive && checks_copy_node(sim))
            faults->node_copy = simvfs_snapshot(DISK_NODE);
        return;
    }
    faults_note(sim, kind);
    sim->keeper->hung_until_ns = 0; /* acknowledgements on their way are of what is durable now */
    if (sim->keeper->is_alive)
        keeper_turn(sim);
    agent_crash(sim, "its node.db is put back");
    simvfs_restore(DISK_NODE, faults->node_copy);
    simvfs_snapshot_free(faults->node_copy);
    faults->node_copy = NULL;
    operators_restored(sim);
    checks_restore_node(sim);
}

static void restore_ctl(struct sim *sim, enum fault_kind kind)
{
    struct faults *faults = sim->faults;

    if (!faults->has_controller)
        return;
    if (faults->ctl_copy == NULL) {
        if (sim->ctl->is_alive && checks_copy_ctl(sim))
            faults->ctl_copy = simvfs_snapshot(DISK_CTL);
        return;
    }
    faults_note(sim, kind);
    ctl_crash(sim, "its store is put back");
    simvfs_restore(DISK_CTL, faults->ctl_copy);
    simvfs_snapshot_free(faults->ctl_copy);
    faults->ctl_copy = NULL;
    checks_restore_ctl(sim);
}

static void crash_ctl(struct sim *sim, enum fault_kind kind)
{
    if (!sim->ctl->is_alive)
        return;
    faults_note(sim, kind);
    if (kind == FAULT_CTL_COMMIT_CRASH) {
        simvfs_fail(DISK_CTL, SIMVFS_FAIL_STOP, sim_below(sim, 12));
        return;
    }
    if (kind == FAULT_CTL_POWER)
        simvfs_crash(DISK_CTL, prng_next(&sim->prng));
    ctl_crash(sim, "killed");
}

static const char *draw_disk(struct sim *sim)
{
    return sim_chance(sim, 600) || !sim->faults->has_controller ? DISK_NODE : DISK_CTL;
}

static void disk_worse(struct sim *sim, enum fault_kind kind)
{
    const char *disk = draw_disk(sim);

    faults_note(sim, kind);
    simvfs_fail(disk, kind == FAULT_SYNC ? SIMVFS_FAIL_SYNC : SIMVFS_FAIL_FULL, sim_below(sim, 30));
}

/* ---- by their kind ---- */

static void crash_agent(struct sim *sim, enum fault_kind kind)
{
    faults_note(sim, kind);
    if (kind == FAULT_COMMIT_CRASH)
        simvfs_fail(DISK_NODE, SIMVFS_FAIL_STOP, sim_below(sim, 12));
    else
        agent_crash(sim, "killed");
}

static void crash_between(struct sim *sim, enum fault_kind kind)
{
    (void)kind; /* it is counted where it happens */
    sim->faults->is_last_word_due = true;
}

static void hurt_keeper(struct sim *sim, enum fault_kind kind)
{
    faults_note(sim, kind);
    if (kind == FAULT_KEEPER_REEXEC)
        keeper_reexec(sim);
    else
        keeper_crash(sim);
    /* What dies together with its parent is told by nobody. */
    if (kind == FAULT_KEEPER_CRASH && sim_chance(sim, 300) && kernel_replace_init(sim))
        faults_note(sim, FAULT_FOREIGN);
}

static void add_foreign(struct sim *sim, enum fault_kind kind)
{
    faults_note(sim, kind);
    kernel_fork_foreign(sim);
}

static const struct ct *draw_ct(struct sim *sim)
{
    uint32_t index = (uint32_t)sim_below(sim, NAMES_MAX);

    return sim->agent->is_alive && inbox_is_empty(&sim->agent->inbox) &&
                   node_next(sim->agent->node, &index)
               ? node_get(sim->agent->node, index)
               : NULL;
}

/* What a state ignores, said to it. It is the first input of the next turn, so that the state is
 * still the one that ignores it. */
static void stray(struct sim *sim, enum fault_kind kind)
{
    static const enum ct_input words[] = {IN_BOOTED, IN_READY,         IN_LAUNCH_FAILED, IN_ENDED,
                                          IN_FROZEN, IN_FREEZE_FAILED, IN_THAWED,        IN_OOM};
    enum ct_input word = words[sim_below(sim, sizeof(words) / sizeof(*words))];
    const struct ct *ct = draw_ct(sim);

    if (ct == NULL)
        return;
    bool is_harmless = cells_rule(ct->state, word)->verdict == VERDICT_IGNORE || word == IN_OOM ||
                       (word == IN_READY && ct->state == CT_LAUNCHING);
    if (!is_harmless)
        return;
    faults_note(sim, kind);
    if (word == IN_OOM)
        checks_oom_seen(sim, ct, 1);
    if (word == IN_READY && ct->state == CT_LAUNCHING)
        checks_ready_seen(sim, ct);
    agent_observe(sim,
                  &(struct observation){
                      .kind = word, .ct = ct->index, .generation = ct->generation, .count = 1});
}

/* An end that is told in other words than usual: as a launch that failed. */
static void end_oddly(struct sim *sim, enum fault_kind kind)
{
    const struct ct *ct = draw_ct(sim);
    struct observation seen = {.kind = IN_LAUNCH_FAILED};

    if (ct == NULL || (ct->state != CT_LAUNCHING && ct->state != CT_BOOTING &&
                       ct->state != CT_RUNNING && ct->state != CT_FROZEN))
        return;
    if (!kernel_end_init(sim, ct->uuid, ct->generation, SIGKILL))
        return;
    keeper_forget(sim, sim->agent->slots[ct->index].launch);
    if (ct->state == CT_LAUNCHING) { /* its exec was not heard of yet */
        seen.kind = IN_ENDED;
        seen.has_status = true;
        seen.wait_status = SIGKILL;
    }
    checks_end_is_odd(sim, ct);
    seen.ct = ct->index;
    seen.generation = ct->generation;
    faults_note(sim, kind);
    agent_observe(sim, &seen);
}

static void hang_keeper(struct sim *sim, enum fault_kind kind)
{
    faults_note(sim, kind);
    sim->keeper->hung_until_ns = sim->now.ns + sim_between(sim, SECOND_NS, 200 * SECOND_NS);
}

static void come_by_itself(struct sim *sim, enum fault_kind kind)
{
    (void)sim;
    (void)kind;
}

static void (*const acts[FAULT_COUNT])(struct sim *sim, enum fault_kind kind) = {
    [FAULT_LOSS] = wire_worse,
    [FAULT_DUPLICATION] = wire_worse,
    [FAULT_REORDER] = wire_worse,
    [FAULT_DELAY] = wire_worse,
    [FAULT_PARTITION] = cut,
    [FAULT_AGENT_CRASH] = crash_agent,
    [FAULT_BETWEEN_CRASH] = crash_between,
    [FAULT_COMMIT_CRASH] = crash_agent,
    [FAULT_KEEPER_CRASH] = hurt_keeper,
    [FAULT_KEEPER_REEXEC] = hurt_keeper,
    [FAULT_CTL_CRASH] = crash_ctl,
    [FAULT_CTL_COMMIT_CRASH] = crash_ctl,
    [FAULT_POWER] = power,
    [FAULT_CTL_POWER] = crash_ctl,
    [FAULT_EFFECT] = come_by_itself,
    [FAULT_CLOCK] = jump_clock,
    [FAULT_RESTORE] = restore_node,
    [FAULT_CTL_RESTORE] = restore_ctl,
    [FAULT_SYNC] = disk_worse,
    [FAULT_FULL] = disk_worse,
    [FAULT_FOREIGN] = add_foreign,
    [FAULT_STRANGE_ACK] = come_by_itself,
    [FAULT_STRAY] = stray,
    [FAULT_ODD_END] = end_oddly,
    [FAULT_KEEPER_HANG] = hang_keeper,
    [FAULT_REPEATED_ID] = come_by_itself,
    [FAULT_REUSED_ID] = come_by_itself,
};

void faults_act(struct sim *sim)
{
    enum fault_kind kind = (enum fault_kind)sim_below(sim, FAULT_COUNT);

    if (sim->is_calm)
        return;
    sim_trace(sim, "  fault %s", fault_kind_name(kind));
    if (sim_chance(sim, 300))
        wire_better(sim);
    if (sim_chance(sim, 300)) {
        simvfs_heal(DISK_NODE);
        simvfs_heal(DISK_CTL);
    }
    acts[kind](sim, kind);
    for (unsigned i = 0; i < STRAYS_EACH; i++)
        stray(sim, FAULT_STRAY);
}

void faults_end(struct sim *sim)
{
    wire_better(sim);
    simvfs_heal(DISK_NODE);
    simvfs_heal(DISK_CTL);
    sim->faults->is_last_word_due = false;
    sim->keeper->hung_until_ns = 0;
}
