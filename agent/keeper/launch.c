/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From LAUNCH to the exec result: one clone, what only the parent can do for the child, GO.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "keeper.h"
#include "sys.h"

static bool is_datagram_socket(int fd)
{
    int type;
    socklen_t size = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
}

/* The roles of a LAUNCH, each as often as it makes sense. */
static bool check_cargo(const struct cargo *cargo)
{
    size_t known = 0;
    for (unsigned role = KW_FD_PLAN; role <= KW_FD_RING; role++)
        known += cargo_count(cargo, (enum kw_role)role);
    if (known != cargo->count || cargo_count(cargo, KW_FD_PLAN) != 1 ||
        cargo_count(cargo, KW_FD_CGROUP) != 1 || cargo_count(cargo, KW_FD_NOTIFY) > 1 ||
        cargo_count(cargo, KW_FD_RING) > 1)
        return false;
    int notify = cargo_find(cargo, KW_FD_NOTIFY);
    if (notify >= 0 && !is_datagram_socket(cargo->fds[notify]))
        return false;

    size_t uppers = cargo_count(cargo, KW_FD_UPPER);
    if (cargo_count(cargo, KW_FD_ROOT) == 1)
        return uppers == 0 && cargo_count(cargo, KW_FD_LOWER) == 0;
    return cargo_count(cargo, KW_FD_ROOT) == 0 && uppers == 1 &&
           cargo_count(cargo, KW_FD_LOWER) >= 1;
}

static bool check_plan(const struct kp_header *plan, const struct cargo *cargo)
{
    const struct kp_mount *mounts =
        (const struct kp_mount *)(const void *)((const char *)plan + plan->mounts);
    bool is_mapped = (plan->flags & KP_USERNS) != 0;

    if (plan->candidate_count == 0 || plan->candidate_count > KW_CANDIDATES_MAX)
        return false;
    if (is_mapped && (plan->uid_base == 0 || plan->uid_count == 0 ||
                      plan->uid_base > UINT32_MAX - plan->uid_count))
        return false;
    for (uint32_t i = 0; i < plan->mount_count; i++)
        if (mounts[i].kind == KP_ATTACH &&
            (mounts[i].fd_index < 0 || (size_t)mounts[i].fd_index >= cargo->count ||
             (cargo->roles[mounts[i].fd_index] & ~KW_FD_IDMAP) != KW_FD_MOUNT))
            return false;
    for (size_t i = 0; i < cargo->count; i++) {
        unsigned role = cargo->roles[i] & ~KW_FD_IDMAP;
        bool is_mount = (role >= KW_FD_LOWER && role <= KW_FD_ROOT) || role == KW_FD_MOUNT;
        if ((cargo->roles[i] & KW_FD_IDMAP) != 0 && !(is_mapped && is_mount))
            return false;
    }
    return true;
}

static struct launch_stage *stage_of(struct keeper *k, const struct entry *entry)
{
    return entry->stage == 0 ? NULL : &k->stages[entry->stage - 1];
}

static struct launch_stage *add_stage(struct keeper *k)
{
    for (size_t i = 0; i < KW_STAGES_MAX; i++)
        if (!k->stages[i].is_used)
            return &k->stages[i];
    return NULL;
}

static int write_map(pid_t pid, const char *name, const struct kp_header *plan)
{
    char path[64];
    char text[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    (void)snprintf(text, sizeof(text), "0 %u %u\n", plan->uid_base, plan->uid_count);
    return sys_write_text_at(AT_FDCWD, path, text);
}

/* EPERM from inside, so it is done here. Tells which descriptor failed. */
static int map_mounts(pid_t pid, const struct cargo *cargo, int32_t *ret_index)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
    AUTO_FD user_ns = open(path, O_RDONLY | O_CLOEXEC);
    if (user_ns < 0)
        return -errno;

    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)user_ns};
    for (size_t i = 0; i < cargo->count; i++) {
        if ((cargo->roles[i] & KW_FD_IDMAP) == 0)
            continue;
        if (syscall(SYS_mount_setattr, cargo->fds[i], "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
            *ret_index = (int32_t)i;
            return -errno;
        }
    }
    return 0;
}

/* What the child cannot do for itself. Answers the step that failed. */
static int order_from_outside(struct entry *entry, const struct kp_header *plan,
                              const struct cargo *cargo, enum kw_step *ret_step)
{
    pid_t pid = entry->record.pid;
    int rc = 0;

    *ret_step = KW_STEP_IDMAP;
    if ((plan->flags & KP_USERNS) != 0) {
        rc = write_map(pid, "uid_map", plan);
        if (rc == 0)
            rc = write_map(pid, "gid_map", plan);
        if (rc == 0)
            rc = map_mounts(pid, cargo, &entry->record.failed_detail);
    }
    if (rc < 0)
        return rc;
    *ret_step = KW_STEP_LIMITS;
    return child_limit(pid, plan);
}

static int open_console(struct keeper *k, struct entry *entry, const struct kp_header *plan)
{
    uint32_t slot = table_slot(&k->table, entry);
    int rc = entry->ring >= 0 ? console_open_ring(entry) : 0;
    if (rc == 0 && (plan->flags & KP_PTY) != 0) {
        rc = console_open(entry, plan);
        child_keep_above(&entry->master);
        child_keep_above(&entry->slave);
        if (rc == 0)
            rc = watch_add(k, WATCH_PTY, entry->master, slot, entry->record.launch);
    }
    if (entry->notify >= 0)
        notify_refuse_rights(entry->notify);
    if (rc == 0 && entry->notify >= 0)
        rc = watch_add(k, WATCH_NOTIFY, entry->notify, slot, entry->record.launch);
    if (rc < 0)
        return rc;
    entry->output = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (entry->output < 0)
        return -errno;
    child_keep_above(&entry->output);
    return 0;
}

static void run_stage(const struct stage *stage)
{
    stage_launch(stage);
}

static int clone_init(struct keeper *k, struct entry *entry, const struct kp_header *plan)
{
    struct launch_stage *stage = stage_of(k, entry);
    AUTO_FD slave = entry->slave < 0 ? -1 : fcntl(entry->slave, F_DUPFD_CLOEXEC, 0);
    if (slave < 0 && entry->slave >= 0)
        return -errno;
    const struct child_order order = {
        .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC |
                 ((plan->flags & KP_USERNS) != 0 ? CLONE_NEWUSER : 0u),
        .plan = plan,
        .cargo = &stage->cargo,
        .slave = slave,
        .lent = &stage->lent,
        .is_quiet = stage->is_quiet,
        .is_owned_by_range = (plan->flags & KP_USERNS) != 0,
        .body = run_stage,
    };
    pid_t pid = child_clone(&order, &stage->birth, &entry->pidfd);
    if (pid < 0)
        return pid;
    (void)take_fd(&slave);
    child_keep_above(&entry->pidfd);
    entry->record.cloned_ns = clock_monotonic_ns();
    table_set_pid(&k->table, entry, pid);
    k->table.living++;
    return watch_add(k, WATCH_STAGE, stage->birth.report, stage->slot, entry->record.launch);
}

/* Steps from here on have an entry: what goes wrong is told as its end. */
static void begin_stage(struct keeper *k, struct entry *entry, const struct kp_header *plan)
{
    struct launch_stage *stage = stage_of(k, entry);
    enum kw_step step = KW_STEP_CLONE;
    int rc = open_console(k, entry, plan);
    if (rc == 0)
        rc = clone_init(k, entry, plan);
    if (rc == 0)
        rc = order_from_outside(entry, plan, &stage->cargo, &step);
    if (rc < 0) {
        launch_fail(k, entry, step, -rc);
        return;
    }

    bool is_at_once = (plan->flags & KP_GO_AT_ONCE) != 0;
    entry->record.outside_ns = clock_monotonic_ns();
    if (is_at_once)
        entry->record.go_ns = entry->record.outside_ns;
    (void)child_say(&stage->birth, is_at_once ? "OG" : "O"); /* died already: its end tells */
    if (is_at_once)
        fd_closep(&stage->birth.go);
}

enum kw_refusal launch_begin(struct keeper *k, const struct kw_launch *record, struct cargo *cargo)
{
    uint64_t received_ns = clock_monotonic_ns();
    if (record->launch == 0 || !check_cargo(cargo))
        return KW_REFUSED_MALFORMED;
    if (record->launch <= k->launch_last)
        return KW_REFUSED_DUPLICATE;
    const struct kp_header *plan = child_plan(cargo);
    if (plan == NULL || !check_plan(plan, cargo))
        return KW_REFUSED_MALFORMED;
    struct launch_stage *stage = add_stage(k);
    if (stage == NULL || k->check_pid != 0)
        return KW_REFUSED_FULL;
    struct entry *entry = table_add(&k->table, record->launch);
    if (entry == NULL)
        return KW_REFUSED_FULL;

    k->launch_last = record->launch;
    entry_keep_labels(entry, &record->labels);
    entry->record.phase = KW_PHASE_STAGING;
    entry->record.received_ns = received_ns;
    entry->record.failed_detail = -1;
    entry->notify = cargo_take(cargo, KW_FD_NOTIFY);
    entry->ring = cargo_take(cargo, KW_FD_RING);
    child_keep_above(&entry->notify);
    child_keep_above(&entry->ring);
    entry->stage = (uint8_t)(1 + (stage - k->stages));
    *stage = (struct launch_stage){
        .slot = table_slot(&k->table, entry),
        .is_used = true,
        .is_quiet = k->is_go_early && record->launch != k->staged_told,
        .birth = {.report = -1, .go = -1},
        .staged = {-1, -1, -1},
        .cargo = *cargo,
        .deadline_ns = record->stage_deadline_ns,
    };
    cargo->count = 0;
    k->is_timer_stale = true;
    begin_stage(k, entry, plan);
    return 0;
}

void launch_fail(struct keeper *k, struct entry *entry, enum kw_step step, int error)
{
    if (entry->record.failed_step == KW_STEP_NONE) {
        entry->record.failed_step = step;
        entry->record.failed_errno = error;
    }
    struct launch_stage *stage = stage_of(k, entry);
    if (stage != NULL) {
        fd_closep(&stage->birth.go);
        stage->deadline_ns = 0;
    }
    if (entry->record.pid != 0) {
        (void)syscall(SYS_pidfd_send_signal, entry->pidfd, SIGKILL, NULL, 0); /* may be dead */
        return;
    }
    reap_never_born(k, entry);
}

/* What was lent: the child has its own, or has ended. */
static void take_back(struct launch_stage *stage)
{
    child_take_back(&stage->lent);
    cargo_close(&stage->cargo);
}

void launch_close_stage(struct keeper *k, struct entry *entry)
{
    struct launch_stage *stage = stage_of(k, entry);
    if (stage == NULL)
        return;
    watch_close(k, &stage->birth.report);
    fd_closep(&stage->birth.go);
    take_back(stage);
    for (size_t i = 0; i < COUNT_OF(stage->staged); i++)
        fd_closep(&stage->staged[i]);
    stage->is_used = false;
    entry->stage = 0;
    k->is_timer_stale = true;
}

static void take_staged(struct keeper *k, struct entry *entry, struct launch_stage *stage, int *fds,
                        size_t fd_count)
{
    entry->record.phase = KW_PHASE_STAGED;
    entry->record.staged_ns = clock_monotonic_ns();
    for (size_t i = 0; i < fd_count; i++)
        stage->staged[i] = take_fd(&fds[i]);
    table_mark(&k->table, entry);
}

static void take_report(struct keeper *k, struct entry *entry, const struct stage_report *report,
                        int *fds, size_t fd_count)
{
    struct launch_stage *stage = stage_of(k, entry);
    struct kw_record *record = &entry->record;
    uint32_t candidate = (uint32_t)report->detail;

    if (report->kind == STAGE_READY && record->phase == KW_PHASE_STAGING)
        take_staged(k, entry, stage, fds, fd_count);
    if (report->kind == STAGE_TRY && candidate < KW_CANDIDATES_MAX)
        record->candidate_count = candidate + 1;
    if (report->kind == STAGE_ERRNO && candidate < KW_CANDIDATES_MAX)
        record->candidate_errno[candidate] = report->error;
    if (report->kind == STAGE_FAILED && record->failed_step == KW_STEP_NONE) {
        record->failed_step = report->step < KW_STEP_COUNT ? report->step : (uint32_t)KW_STEP_NONE;
        record->failed_errno = report->error;
        record->failed_detail = report->detail;
    }
}

void launch_reports(struct keeper *k, struct entry *entry, bool is_dead)
{
    struct launch_stage *stage = stage_of(k, entry);
    struct stage_report report;
    int fds[3];
    size_t fd_count;

    while (stage != NULL && stage->birth.report >= 0) {
        int rc = child_read(&stage->birth, &report, fds, COUNT_OF(fds), &fd_count);
        if (rc == -EAGAIN && !is_dead)
            return;
        if (rc == -EAGAIN)
            break; /* the last word: a sibling that begins may hold the socket open for a moment */
        if (rc == 0) {
            watch_close(k, &stage->birth.report);
            break;
        }
        take_back(stage); /* it speaks: it has its own */
        take_report(k, entry, &report, fds, fd_count);
        for (size_t i = 0; i < fd_count; i++)
            fd_closep(&fds[i]);
    }
    /* The socket also ends when the child is killed between its last word and execve. */
    if (stage == NULL || !stage->birth.is_trying || !child_has_executed(entry->record.pid))
        return;
    entry->record.phase = KW_PHASE_BOOTED;
    entry->record.failed_step = KW_STEP_NONE; /* killed too late for that: it ends as a guest */
    entry->record.failed_errno = 0;
    entry->record.exec_ns = clock_monotonic_ns();
    launch_close_stage(k, entry);
    table_mark(&k->table, entry);
}

enum kw_refusal launch_go(struct keeper *k, uint64_t launch)
{
    struct entry *entry = table_find(&k->table, launch);
    if (entry == NULL)
        return KW_REFUSED_UNKNOWN;
    struct launch_stage *stage = stage_of(k, entry);
    if (stage == NULL || stage->birth.go < 0 ||
        (entry->record.phase != KW_PHASE_STAGED && !stage->is_quiet))
        return KW_REFUSED_PHASE;
    entry->record.go_ns = clock_monotonic_ns();
    (void)child_say(&stage->birth, "G"); /* died already: its end tells */
    fd_closep(&stage->birth.go);
    return 0;
}

enum kw_refusal launch_abort(struct keeper *k, uint64_t launch)
{
    struct entry *entry = table_find(&k->table, launch);
    if (entry == NULL)
        return KW_REFUSED_UNKNOWN;
    struct launch_stage *stage = stage_of(k, entry);
    if (stage == NULL || stage->birth.go < 0)
        return KW_REFUSED_PHASE;
    launch_fail(k, entry, KW_STEP_ABORTED, ECANCELED);
    return 0;
}

void launch_agent_lost(struct keeper *k)
{
    for (size_t i = 0; i < KW_STAGES_MAX; i++)
        if (k->stages[i].is_used && k->stages[i].birth.go >= 0)
            launch_fail(k, &k->table.entries[k->stages[i].slot], KW_STEP_ABORTED, ECANCELED);
}

void launch_deadlines(struct keeper *k, uint64_t now_ns)
{
    for (size_t i = 0; i < KW_STAGES_MAX; i++) {
        struct launch_stage *stage = &k->stages[i];
        if (stage->is_used && stage->deadline_ns != 0 && stage->deadline_ns <= now_ns)
            launch_fail(k, &k->table.entries[stage->slot], KW_STEP_DEADLINE, ETIMEDOUT);
    }
}

enum kw_refusal launch_ack(struct keeper *k, const struct kw_ack *ack)
{
    struct entry *over;
    enum kw_refusal refusal = table_acknowledge(&k->table, ack, &over);

    if (over != NULL) {
        fd_closep(&over->ring);
        table_remove(&k->table, over);
    }
    return refusal;
}
