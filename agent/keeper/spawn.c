/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPAWN: one command beside a guest or in it. It belongs to the agent that asked: it is told to no
 * other, and ends when that agent's connection does.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "keeper.h"

static bool check_cargo(const struct cargo *cargo)
{
    static const uint8_t roles[] = {KW_FD_PLAN,   KW_FD_CGROUP, KW_FD_TARGET, KW_FD_STDIN,
                                    KW_FD_STDOUT, KW_FD_STDERR, KW_FD_KILL,   KW_FD_PROGRAM};
    size_t known = cargo_count(cargo, KW_FD_TASKS);

    for (size_t i = 0; i < cargo->count; i++)
        if ((cargo->roles[i] & KW_FD_IDMAP) != 0)
            return false;
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        size_t count = cargo_count(cargo, roles[i]);
        if (count > 1)
            return false;
        known += count;
    }
    return known == cargo->count && cargo_count(cargo, KW_FD_PLAN) == 1;
}

static bool check_plan(const struct kp_header *plan, const struct cargo *cargo)
{
    const uint32_t joins = KP_JOIN_USER | KP_JOIN_PID | KP_JOIN_MNT | KP_JOIN_NET | KP_JOIN_UTS |
                           KP_JOIN_IPC | KP_JOIN_CGROUP | KP_JOIN_TIME;
    if (plan->argv_count == 0)
        return false;
    if ((plan->flags & joins) != 0 && cargo_find(cargo, KW_FD_TARGET) < 0)
        return false;
    return (plan->flags & KP_RELAY) == 0 ||
           (cargo_find(cargo, KW_FD_STDIN) >= 0 && cargo_find(cargo, KW_FD_STDOUT) >= 0 &&
            cargo_find(cargo, KW_FD_STDERR) >= 0 && cargo_find(cargo, KW_FD_TARGET) >= 0);
}

struct spawn *spawn_find(struct keeper *k, uint64_t number)
{
    for (uint32_t i = 0; number != 0 && i < k->spawn_high; i++)
        if (k->spawns[i].number == number && !k->spawns[i].is_orphan)
            return &k->spawns[i];
    return NULL;
}

struct spawn *spawn_find_pid(struct keeper *k, pid_t pid)
{
    for (uint32_t i = 0; pid > 0 && i < k->spawn_high; i++)
        if (k->spawns[i].pid == pid || k->spawns[i].relay == pid)
            return &k->spawns[i];
    return NULL;
}

bool spawn_is_any(const struct keeper *k, bool only_staging)
{
    for (uint32_t i = 0; i < k->spawn_high; i++)
        if (k->spawns[i].pid != 0 && (!only_staging || k->spawns[i].phase == KW_PHASE_STAGING))
            return true;
    return false;
}

static struct spawn *add_spawn(struct keeper *k, uint64_t number)
{
    uint32_t i = 0;
    while (i < k->spawn_high && k->spawns[i].phase != KW_PHASE_UNSET)
        i++;
    if (i == KW_SPAWNS_MAX)
        return NULL;
    if (i == k->spawn_high)
        k->spawn_high++;
    k->spawns[i] = (struct spawn){
        .number = number,
        .phase = KW_PHASE_STAGING,
        .pidfd = -1,
        .pty = -1,
        .kill = -1,
        .birth = {.report = -1, .go = -1},
    };
    return &k->spawns[i];
}

static void remove_spawn(struct keeper *k, struct spawn *spawn)
{
    fd_closep(&spawn->pty);
    *spawn = (struct spawn){.pidfd = -1, .pty = -1, .kill = -1, .birth = {-1, -1, false}};
    while (k->spawn_high > 0 && k->spawns[k->spawn_high - 1].phase == KW_PHASE_UNSET)
        k->spawn_high--;
}

static void mark(struct spawn *spawn)
{
    spawn->change++;
    spawn->is_unsent = !spawn->is_orphan;
}

/* Both processes are gone, and so is what the leaf was for. */
static void conclude(struct keeper *k, struct spawn *spawn)
{
    bool has_run = spawn->phase == KW_PHASE_BOOTED || spawn->phase == KW_PHASE_DRAINING;

    spawn->phase = has_run ? KW_PHASE_ENDED : KW_PHASE_FAILED;
    if (spawn->is_orphan)
        remove_spawn(k, spawn);
    else
        mark(spawn);
}

static void end_spawn(struct keeper *k, struct spawn *spawn)
{
    watch_close(k, &spawn->birth.report);
    fd_closep(&spawn->birth.go);
    fd_closep(&spawn->pidfd);
    fd_closep(&spawn->kill);
    spawn->deadline_ns = 0;
    spawn->pid = 0;
    k->is_timer_stale = true;
    if (spawn->relay == 0 || spawn->is_orphan) {
        conclude(k, spawn);
    } else if (spawn->phase == KW_PHASE_BOOTED) {
        spawn->phase = KW_PHASE_DRAINING;
        mark(spawn);
    } /* one that failed is told with its relay's end, which has nothing to wait for */
}

/* The whole tree by its cgroup where the agent gave one, and the child in any case. */
static void kill_spawn(struct spawn *spawn)
{
    if (spawn->pid == 0)
        return;
    if (spawn->kill >= 0)
        (void)!write(spawn->kill, "1", 1); /* the leaf may be gone: then nobody is in it */
    (void)syscall(SYS_pidfd_send_signal, spawn->pidfd, SIGKILL, NULL, 0); /* may be dead */
}

static void run_stage(const struct stage *stage)
{
    stage_spawn(stage);
}

static void run_relay(const struct stage *stage)
{
    stage_relay(stage);
}

static void run_rebind(const struct stage *stage)
{
    stage_rebind(stage);
}

/* A pid namespace is joined by its children only: enter it, clone, come back. */
static int clone_command(struct keeper *k, struct spawn *spawn, const struct child_order *order)
{
    const struct cargo *cargo = order->cargo;
    bool joins_pid = (order->plan->flags & KP_JOIN_PID) != 0;

    if (joins_pid && setns(cargo->fds[cargo_find(cargo, KW_FD_TARGET)], CLONE_NEWPID) < 0)
        return -errno;
    pid_t pid = child_clone(order, &spawn->birth, &spawn->pidfd);
    if (joins_pid && setns(k->pid_ns, CLONE_NEWPID) < 0)
        abort(); /* every later launch would be a guest's child */
    if (pid < 0)
        return pid;
    spawn->pid = pid;
    return watch_add(k, WATCH_SPAWN, spawn->birth.report, (uint32_t)(spawn - k->spawns),
                     spawn->number);
}

/* In the command's leaf, but in our namespaces, where no guest sees it. It has neither report nor
 * go: it lives as long as it has something to pass on.
 * Like us it is none that the guest's lack of memory could end. */
static int clone_relay(struct spawn *spawn, const struct child_order *command, int end)
{
    struct cargo cargo = *command->cargo; /* borrowed */
    const struct child_order order = {
        .plan = command->plan, .cargo = &cargo, .slave = end, .body = run_relay};
    struct birth birth = {.report = -1, .go = -1};
    AUTO_FD pidfd = -1;

    cargo.fds[cargo_find(&cargo, KW_FD_TARGET)] = spawn->pidfd;
    pid_t pid = child_clone(&order, &birth, &pidfd);
    if (pid < 0)
        return pid;
    fd_closep(&birth.report);
    fd_closep(&birth.go);
    spawn->relay = pid;
    return 0;
}

/* The command, and its relay where one is wanted. */
static int clone_both(struct keeper *k, struct spawn *spawn, struct child_order *order)
{
    int pair[2] = {-1, -1};

    if ((order->plan->flags & KP_RELAY) != 0 &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    AUTO_FD commands = pair[0];
    AUTO_FD relays = pair[1];
    order->slave = commands;
    int rc = clone_command(k, spawn, order);
    if (rc == 0 && relays >= 0)
        rc = clone_relay(spawn, order, relays);
    return rc;
}

/* Says that it may go on, or ends it where that was not to be: rc is why. */
static void release(struct keeper *k, struct spawn *spawn, int rc)
{
    spawn->exec_errno = -rc;
    if (spawn->pid == 0) {
        end_spawn(k, spawn);
        return;
    }
    if (rc < 0) {
        kill_spawn(spawn);
        return;
    }
    spawn->failed_step = KW_STEP_NONE;
    (void)child_say(&spawn->birth, "G"); /* died already: its end tells */
    fd_closep(&spawn->birth.go);
    mark(spawn);
}

/* One in the making, or why there is none. */
static enum kw_refusal make_spawn(struct keeper *k, uint64_t number, uint64_t deadline_ns,
                                  struct spawn **ret_spawn)
{
    if (spawn_find(k, number) != NULL)
        return KW_REFUSED_DUPLICATE;
    struct spawn *spawn = k->check_pid != 0 ? NULL : add_spawn(k, number);
    if (spawn == NULL)
        return KW_REFUSED_FULL;
    spawn->deadline_ns = deadline_ns;
    spawn->failed_step = KW_STEP_CLONE;
    k->is_timer_stale = true;
    *ret_spawn = spawn;
    return 0;
}

enum kw_refusal spawn_begin(struct keeper *k, const struct kw_spawn *record, struct cargo *cargo)
{
    struct spawn *spawn;

    if (record->spawn == 0 || !check_cargo(cargo))
        return KW_REFUSED_MALFORMED;
    const struct kp_header *plan = child_plan(cargo);
    if (plan == NULL || !check_plan(plan, cargo))
        return KW_REFUSED_MALFORMED;
    enum kw_refusal refusal = make_spawn(k, record->spawn, record->deadline_ns, &spawn);
    if (refusal != 0)
        return refusal;

    struct child_order order = {.plan = plan, .cargo = cargo, .slave = -1, .body = run_stage};
    int rc = clone_both(k, spawn, &order);
    if (rc == 0) {
        spawn->failed_step = KW_STEP_LIMITS;
        rc = child_limit(spawn->pid, plan);
    }
    if (spawn->pid != 0)
        spawn->kill = cargo_take(cargo, KW_FD_KILL);
    release(k, spawn, rc);
    return 0;
}

enum kw_refusal spawn_rebind(struct keeper *k, const struct kw_console *record,
                             const struct entry *entry, const struct kp_header *plan)
{
    struct spawn *spawn;
    AUTO_FD group = home_open_helpers(k);
    const struct cargo cargo = {.fds = {entry->pidfd, group},
                                .roles = {KW_FD_TARGET, KW_FD_CGROUP},
                                .count = group < 0 ? 1 : 2};
    const struct child_order order = {
        .plan = plan, .cargo = &cargo, .slave = entry->slave, .body = run_rebind};
    enum kw_refusal refusal = make_spawn(k, record->spawn, record->deadline_ns, &spawn);

    if (refusal != 0)
        return refusal;
    release(k, spawn, clone_command(k, spawn, &order));
    return 0;
}

static void take_report(struct spawn *spawn, const struct stage_report *report, int *fds,
                        size_t fd_count)
{
    if (report->kind == STAGE_PTY && fd_count > 0 && spawn->pty < 0)
        spawn->pty = take_fd(&fds[0]);
    if (report->kind == STAGE_DONE)
        spawn->phase = KW_PHASE_BOOTED;
    if (report->kind == STAGE_ERRNO) {
        spawn->failed_step = KW_STEP_EXEC;
        spawn->exec_errno = report->error;
    }
    if (report->kind == STAGE_FAILED) {
        spawn->failed_step = report->step < KW_STEP_COUNT ? report->step : (uint32_t)KW_STEP_NONE;
        spawn->exec_errno = report->error;
    }
}

void spawn_reports(struct keeper *k, struct spawn *spawn)
{
    struct stage_report report;
    int fds[1];
    size_t fd_count;

    while (spawn->birth.report >= 0) {
        int rc = child_read(&spawn->birth, &report, fds, COUNT_OF(fds), &fd_count);
        if (rc == -EAGAIN)
            return;
        if (rc == 0) {
            watch_close(k, &spawn->birth.report);
            break;
        }
        take_report(spawn, &report, fds, fd_count);
        for (size_t i = 0; i < fd_count; i++)
            fd_closep(&fds[i]);
    }
    if (spawn->phase != KW_PHASE_STAGING || !spawn->birth.is_trying ||
        !child_has_executed(spawn->pid))
        return;
    spawn->phase = KW_PHASE_BOOTED;
    spawn->failed_step = KW_STEP_NONE;
    spawn->exec_errno = 0;
    mark(spawn);
}

void spawn_reaped(struct keeper *k, struct spawn *spawn, pid_t pid, int wait_status)
{
    if (pid == spawn->relay) {
        spawn->relay = 0;
        if (spawn->pid == 0)
            conclude(k, spawn);
        return;
    }
    spawn->wait_status = wait_status;
    end_spawn(k, spawn);
}

void spawn_agent_lost(struct keeper *k)
{
    for (uint32_t i = k->spawn_high; i-- > 0;) {
        struct spawn *spawn = &k->spawns[i];
        if (spawn->phase == KW_PHASE_UNSET)
            continue;
        spawn->is_orphan = true;
        spawn->is_unsent = false;
        kill_spawn(spawn);
        if (spawn->pid == 0)
            remove_spawn(k, spawn);
    }
}

void spawn_deadlines(struct keeper *k, uint64_t now_ns)
{
    for (uint32_t i = 0; i < k->spawn_high; i++) {
        struct spawn *spawn = &k->spawns[i];
        if (spawn->pid == 0 || spawn->deadline_ns == 0 || spawn->deadline_ns > now_ns)
            continue;
        spawn->is_timed_out = true;
        spawn->deadline_ns = 0;
        if (spawn->phase == KW_PHASE_STAGING && spawn->failed_step == KW_STEP_NONE)
            spawn->failed_step = KW_STEP_DEADLINE;
        kill_spawn(spawn);
    }
}

enum kw_refusal spawn_ack(struct keeper *k, const struct kw_ack *ack)
{
    struct spawn *spawn = spawn_find(k, ack->launch);
    if (spawn == NULL)
        return KW_REFUSED_UNKNOWN;
    if (ack->change > spawn->change)
        return KW_REFUSED_PHASE;
    if (ack->change < spawn->change)
        return 0; /* something newer is on its way */
    spawn->is_unsent = false;
    if (spawn->phase == KW_PHASE_FAILED || spawn->phase == KW_PHASE_ENDED)
        remove_spawn(k, spawn);
    return 0;
}
