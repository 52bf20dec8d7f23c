/* SPDX-License-Identifier: Apache-2.0 */
#include "world_kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "ensure.h"
#include "node_life.h"
#include "world_keeper.h"

/* What a guest does next; in the high half of `arg`. */
enum deed { DEED_STAGED, DEED_EXEC, DEED_READY, DEED_END, DEED_DIE, DEED_DEADLINE, DEED_COUNT };

#define DEED_ARG(deed, proc) (((uint32_t)(deed) << 16) | (uint32_t)(proc))

static void plan(struct sim *sim, int index, enum deed deed, uint64_t delay_ns)
{
    sim_after(sim, delay_ns, HAPPENING_GUEST, sim->kernel->procs[index].birth,
              DEED_ARG(deed, index));
}

void kernel_open(struct sim *sim)
{
    struct kernel *kernel = sim->kernel;

    memset(kernel, 0, sizeof(*kernel));
    kernel->last_pid = 1;
    kernel->boot_id = prng_next(&sim->prng);
}

void kernel_crash(struct sim *sim)
{
    struct kernel *kernel = sim->kernel;

    for (int i = 0; i < PROCS_MAX; i++)
        if (kernel->procs[i].is_used)
            checks_power_lost(sim, &kernel->procs[i]);
    memset(kernel->procs, 0, sizeof(kernel->procs));
    memset(kernel->leaves, 0, sizeof(kernel->leaves));
    kernel->boot_id = prng_next(&sim->prng);
}

/* ---- cgroups ---- */

void kernel_leaf_name(const char *name, uint64_t generation, char *ret_leaf)
{
    (void)snprintf(ret_leaf, LEAF_BYTES, "%s.%" PRIu64, name, generation);
}

int kernel_find_leaf(const struct kernel *kernel, const char *leaf)
{
    for (int i = 0; i < LEAVES_MAX; i++)
        if (kernel->leaves[i].is_used && strcmp(kernel->leaves[i].name, leaf) == 0)
            return i;
    return -1;
}

int kernel_find_stray(const struct kernel *kernel, const char *name)
{
    size_t length = strlen(name);

    for (int i = 0; i < LEAVES_MAX; i++) {
        const struct leaf *leaf = &kernel->leaves[i];

        if (leaf->is_used && leaf->is_stray && leaf->population > 0 &&
            strncmp(leaf->name, name, length) == 0 && leaf->name[length] == '.')
            return i;
    }
    return -1;
}

int kernel_make_leaf(struct sim *sim, const char *leaf)
{
    struct kernel *kernel = sim->kernel;
    int found = kernel_find_leaf(kernel, leaf);

    if (found >= 0)
        return kernel->leaves[found].population == 0 ? found : -EEXIST;
    for (int i = 0; i < LEAVES_MAX; i++) {
        if (kernel->leaves[i].is_used)
            continue;
        kernel->leaves[i] =
            (struct leaf){.is_used = true, .has_limits = true, .birth = ++kernel->births};
        (void)snprintf(kernel->leaves[i].name, LEAF_BYTES, "%s", leaf);
        return i;
    }
    sim_fail(sim, "I2", "cgroups pile up: %s is one too many", leaf);
}

int kernel_remove_leaf(struct sim *sim, int leaf)
{
    if (sim->kernel->leaves[leaf].population > 0)
        return -EBUSY;
    sim->kernel->leaves[leaf].is_used = false;
    return 0;
}

void kernel_kill(struct sim *sim, int index)
{
    struct proc *proc = &sim->kernel->procs[index];
    uint64_t usual_ns = proc->is_stubborn && !sim->is_calm ? 60 * SECOND_NS : MS_NS;

    if (proc->is_killed)
        return;
    proc->is_dying = proc->is_killed = true;
    proc->status = SIGKILL;
    plan(sim, index, DEED_DIE, sim_below(sim, usual_ns));
}

void kernel_kill_leaf(struct sim *sim, int leaf)
{
    for (int i = 0; i < PROCS_MAX; i++)
        if (sim->kernel->procs[i].is_used && sim->kernel->procs[i].leaf == leaf)
            kernel_kill(sim, i);
}

void kernel_freeze_leaf(struct sim *sim, int leaf, bool is_frozen)
{
    struct leaf *of = &sim->kernel->leaves[leaf];
    bool is_slow = !sim->is_calm && sim_chance(sim, 150); /* one of its tasks hangs in the kernel */

    of->is_freeze_wanted = is_frozen;
    sim_after(sim, is_slow ? 15 * SECOND_NS : sim_delay(sim, MS_NS), HAPPENING_FREEZER, of->birth,
              (uint32_t)leaf);
}

void kernel_freezer(struct sim *sim, uint32_t leaf)
{
    struct leaf *of = &sim->kernel->leaves[leaf];

    if (of->is_frozen && !of->is_freeze_wanted)
        of->thawed_ns = sim->now.ns;
    of->is_frozen = of->is_freeze_wanted;
    agent_on_freezer(sim, (int)leaf);
}

pid_t kernel_find_init(const struct kernel *kernel, int leaf)
{
    for (int i = 0; leaf >= 0 && i < PROCS_MAX; i++)
        if (kernel->procs[i].is_used && kernel->procs[i].leaf == leaf)
            return kernel->procs[i].pid;
    return 0;
}

/* ---- processes ---- */

static pid_t take_pid(struct kernel *kernel)
{
    do
        kernel->last_pid = kernel->last_pid == PID_LAST ? 2 : kernel->last_pid + 1;
    while (kernel_find_pid(kernel, kernel->last_pid) >= 0);
    return kernel->last_pid;
}

static int take_proc(struct sim *sim)
{
    struct kernel *kernel = sim->kernel;

    for (int i = 0; i < PROCS_MAX; i++) {
        if (kernel->procs[i].is_used)
            continue;
        kernel->procs[i] = (struct proc){
            .is_used = true, .pid = take_pid(kernel), .birth = ++kernel->births, .leaf = -1};
        return i;
    }
    sim_fail(sim, "I2", "processes pile up");
}

int kernel_fork(struct sim *sim, int leaf, uint32_t keeper)
{
    int index = take_proc(sim);
    struct proc *proc = &sim->kernel->procs[index];

    proc->leaf = leaf;
    proc->parent = keeper;
    proc->is_stubborn = sim_chance(sim, 60);
    sim->kernel->leaves[leaf].population++;
    bool is_hung = !sim->is_calm && sim_chance(sim, 25);
    plan(sim, index, DEED_STAGED, is_hung ? 600 * SECOND_NS : sim_delay(sim, 2 * MS_NS));
    plan(sim, index, DEED_DEADLINE, STAGE_DEADLINE_NS);
    return index;
}

void kernel_go(struct sim *sim, int index)
{
    struct proc *proc = &sim->kernel->procs[index];

    proc->is_at_go = true;
    if (proc->is_staged)
        plan(sim, index, DEED_EXEC, sim_delay(sim, 100 * US_NS));
}

static struct proc *fork_foreign(struct sim *sim)
{
    int index = take_proc(sim);

    sim->kernel->procs[index].is_foreign = true;
    plan(sim, index, DEED_DIE, sim_between(sim, SECOND_NS, 60 * SECOND_NS));
    return &sim->kernel->procs[index];
}

void kernel_fork_foreign(struct sim *sim)
{
    (void)fork_foreign(sim);
}

bool kernel_end_init(struct sim *sim, const uint8_t uuid[UUID_BYTES], uint64_t generation,
                     int status)
{
    for (int i = 0; i < PROCS_MAX; i++) {
        const struct proc *proc = &sim->kernel->procs[i];

        if (proc->is_used && proc->is_init && !proc->is_dying && proc->generation == generation &&
            memcmp(proc->uuid, uuid, UUID_BYTES) == 0) {
            kernel_end(sim, i, status);
            return true;
        }
    }
    return false;
}

bool kernel_replace_init(struct sim *sim)
{
    uint32_t from = (uint32_t)sim_below(sim, PROCS_MAX);

    for (uint32_t i = 0; i < PROCS_MAX; i++) {
        int index = (int)((from + i) % PROCS_MAX);
        const struct proc *proc = &sim->kernel->procs[index];
        pid_t pid = proc->pid;

        if (!proc->is_used || !proc->is_init)
            continue;
        kernel_end(sim, index, SIGKILL);
        fork_foreign(sim)->pid = pid;
        return true;
    }
    return false;
}

int kernel_find_pid(const struct kernel *kernel, pid_t pid)
{
    for (int i = 0; i < PROCS_MAX; i++)
        if (kernel->procs[i].is_used && kernel->procs[i].pid == pid)
            return i;
    return -1;
}

static void note_asked(const struct sim *sim, struct proc *proc)
{
    if (proc->asked_count == 0 || proc->asked_life != sim->agent->life) {
        proc->asked_count = 0;
        proc->asked_life = sim->agent->life;
        proc->asked_ns = sim->now.ns;
    }
    proc->asked_count++;
}

void kernel_ask(struct sim *sim, int leaf, bool is_reboot)
{
    struct kernel *kernel = sim->kernel;
    unsigned deaf = sim->is_calm ? 0 : 250;

    if (leaf < 0)
        return;
    for (int i = 0; i < PROCS_MAX; i++) {
        struct proc *proc = &kernel->procs[i];

        if (!proc->is_used || proc->leaf != leaf || !proc->is_init)
            continue;
        note_asked(sim, proc);
        if (proc->is_dying || sim_chance(sim, deaf))
            continue;
        proc->is_dying = true;
        proc->status = is_reboot && !sim_chance(sim, 100) ? SIGHUP : SIGINT;
        plan(sim, i, DEED_DIE, sim_delay(sim, 300 * MS_NS));
    }
}

/* A stray's group goes with its last process, as strays.c has it. */
static void leave(struct sim *sim, struct leaf *leaf)
{
    leaf->population--;
    if (leaf->is_stray && leaf->population == 0 && sim->agent->is_alive)
        leaf->is_used = false;
}

void kernel_end(struct sim *sim, int index, int status)
{
    struct proc *proc = &sim->kernel->procs[index];
    struct proc was = *proc;

    proc->is_used = false;
    if (was.leaf >= 0)
        leave(sim, &sim->kernel->leaves[was.leaf]);
    sim_trace(sim, "  pid %d ends with %#x", was.pid, (unsigned)status);
    if (!was.is_foreign)
        keeper_on_end(sim, &was, status);
}

void kernel_orphan(struct sim *sim, uint32_t keeper)
{
    for (int i = 0; i < PROCS_MAX; i++) {
        struct proc *proc = &sim->kernel->procs[i];

        if (proc->is_used && proc->parent == keeper && !proc->is_init && !proc->is_at_go)
            kernel_kill(sim, i); /* its GO pipe closes */
        if (proc->is_used && proc->parent == keeper)
            proc->parent = 0;
        if (proc->is_used && proc->watcher == keeper)
            proc->watcher = 0;
    }
}

/* ---- what guests do ---- */

/* How it will end by itself, if nobody asks for it. */
static int draw_end(struct sim *sim)
{
    static const int statuses[] = {SIGHUP, SIGHUP, SIGHUP,         SIGINT,
                                   0,      7 << 8, SIGSEGV | 0x80, SIGKILL};

    return statuses[sim_below(sim, sizeof(statuses) / sizeof(statuses[0]))];
}

static void guest_exec(struct sim *sim, int index)
{
    struct proc *proc = &sim->kernel->procs[index];

    if (!sim->is_calm && sim_chance(sim, 60)) {
        keeper_on_exec_failed(sim, proc);
        kernel_end(sim, index, 127 << 8);
        return;
    }
    proc->is_init = true;
    checks_init_runs(sim, proc);
    keeper_on_exec(sim, proc);
    if (!proc->is_ready_on_exec && (sim->is_calm || !sim_chance(sim, 60)))
        plan(sim, index, DEED_READY, sim_delay(sim, 200 * MS_NS));
    if (!sim->is_calm && sim_chance(sim, 550)) {
        proc->status = draw_end(sim);
        /* Now and then before anybody was told that it runs. */
        plan(sim, index, DEED_END,
             sim_chance(sim, 150) ? sim_between(sim, 1, 500 * US_NS)
                                  : sim_between(sim, MS_NS, 40 * SECOND_NS));
    }
}

static void guest_end(struct sim *sim, int index)
{
    struct proc *proc = &sim->kernel->procs[index];
    int status = proc->status;

    if (proc->is_dying)
        return;
    if (sim->kernel->leaves[proc->leaf].is_frozen) {
        plan(sim, index, DEED_END, SECOND_NS);
        return;
    }
    if (status == SIGKILL) {
        sim->kernel->leaves[proc->leaf].oom_kills++;
        agent_on_oom(sim, proc->leaf);
    }
    kernel_end(sim, index, status);
}

bool kernel_is_guest_current(const struct kernel *kernel, uint32_t birth, uint32_t arg)
{
    const struct proc *proc = &kernel->procs[arg & 0xffff];

    return proc->is_used && proc->birth == birth;
}

void kernel_guest(struct sim *sim, uint32_t birth, uint32_t arg)
{
    int index = (int)(arg & 0xffff);
    struct proc *proc = &sim->kernel->procs[index];

    (void)birth;
    switch ((enum deed)(arg >> 16)) {
    case DEED_STAGED:
        proc->is_staged = true;
        if (proc->is_at_go && !proc->is_dying)
            guest_exec(sim, index);
        else
            keeper_on_staged(sim, proc);
        return;
    case DEED_EXEC:
        if (!proc->is_dying)
            guest_exec(sim, index);
        return;
    case DEED_READY:
        keeper_on_ready(sim, proc);
        return;
    case DEED_END:
        if (!sim->is_calm)
            guest_end(sim, index);
        return;
    case DEED_DIE:
        if (!proc->is_killed && !proc->is_foreign && sim->kernel->leaves[proc->leaf].is_frozen)
            plan(sim, index, DEED_DIE, SECOND_NS); /* it was asked, and frozen before it could */
        else
            kernel_end(sim, index, proc->status);
        return;
    case DEED_DEADLINE:
        if (!proc->is_init)
            keeper_on_stage_late(sim, index);
        return;
    case DEED_COUNT:
        break;
    }
    ENSURE(false);
}

/* ---- directories ---- */

static uint32_t find_directory(const struct kernel *kernel, const uint8_t uuid[UUID_BYTES])
{
    uint32_t i = 0;

    while (i < kernel->directory_count && memcmp(kernel->directories[i], uuid, UUID_BYTES) != 0)
        i++;
    return i;
}

bool kernel_has_directory(const struct kernel *kernel, const uint8_t uuid[UUID_BYTES])
{
    return find_directory(kernel, uuid) < kernel->directory_count;
}

void kernel_make_directory(struct sim *sim, const uint8_t uuid[UUID_BYTES])
{
    struct kernel *kernel = sim->kernel;

    if (kernel_has_directory(kernel, uuid))
        return;
    ENSURE(kernel->directory_count < DIRECTORIES_MAX);
    memcpy(kernel->directories[kernel->directory_count++], uuid, UUID_BYTES);
}

void kernel_remove_directory(struct sim *sim, const uint8_t uuid[UUID_BYTES])
{
    struct kernel *kernel = sim->kernel;
    uint32_t at = find_directory(kernel, uuid);

    if (at == kernel->directory_count)
        return;
    memcpy(kernel->directories[at], kernel->directories[--kernel->directory_count], UUID_BYTES);
}
