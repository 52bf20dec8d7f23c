/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <linux/securebits.h>

#include "cleanup.h"
#include "sys.h"

#define KEPT_FROM 1024 /* what 40 launches at once hold lies below */

int cargo_find(const struct cargo *cargo, enum kw_role role)
{
    for (size_t i = 0; i < cargo->count; i++)
        if ((cargo->roles[i] & ~KW_FD_IDMAP) == (unsigned)role)
            return (int)i;
    return -1;
}

size_t cargo_count(const struct cargo *cargo, enum kw_role role)
{
    size_t count = 0;
    for (size_t i = 0; i < cargo->count; i++)
        count += (cargo->roles[i] & ~KW_FD_IDMAP) == (unsigned)role;
    return count;
}

int cargo_take(struct cargo *cargo, enum kw_role role)
{
    int index = cargo_find(cargo, role);
    return index < 0 ? -1 : take_fd(&cargo->fds[index]);
}

void cargo_close(struct cargo *cargo)
{
    for (size_t i = 0; i < cargo->count; i++)
        fd_closep(&cargo->fds[i]);
    cargo->count = 0;
}

const struct kp_header *child_plan(const struct cargo *cargo)
{
    /* A copy: the memfd's maker may write to it while we read. One is enough, as the child takes
     * its own with the clone; only the pages that a plan needs are ever touched. */
    static _Alignas(8) char plan[KP_BYTES_MAX];
    struct stat stat;
    int index = cargo_find(cargo, KW_FD_PLAN);

    if (index < 0 || fstat(cargo->fds[index], &stat) < 0 || !S_ISREG(stat.st_mode))
        return NULL;
    if (stat.st_size < (off_t)sizeof(struct kp_header) || stat.st_size > (off_t)sizeof(plan))
        return NULL;
    if (fcntl(cargo->fds[index], F_GET_SEALS) < 0) /* not a memfd: reading it could block */
        return NULL;
    size_t size_bytes = (size_t)stat.st_size;
    if (pread(cargo->fds[index], plan, size_bytes, 0) != (ssize_t)size_bytes)
        return NULL;
    if (kp_check(plan, size_bytes) < 0)
        return NULL;
    return (const struct kp_header *)(const void *)plan;
}

/* The owner of a user namespace is charged for its inotify instances, signals and queues: guests
 * owned by root would share one limit. The raw calls leave the capabilities, under the
 * securebit. */
static int take_ids(uid_t uid)
{
    if (uid != 0 && prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
        return -errno;
    if (syscall(SYS_setresgid, -1, uid, -1) < 0 || syscall(SYS_setresuid, -1, uid, -1) < 0)
        return -errno;
    if (uid == 0)
        (void)prctl(PR_SET_SECUREBITS, 0, 0, 0, 0); /* was allowed a moment ago */
    return 0;
}

static pid_t clone_into(const struct child_order *order, int *ret_pidfd)
{
    int pidfd = -1;
    int cgroup = cargo_find(order->cargo, KW_FD_CGROUP);
    struct clone_args args = {
        .flags = order->flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND |
                 (order->lent != NULL ? CLONE_FILES : 0u),
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)order->cargo->fds[cgroup];
    }

    uid_t owner = order->is_owned_by_range ? order->plan->uid_base : 0;
    int rc = owner != 0 ? take_ids(owner) : 0;
    pid_t pid = rc < 0 ? rc : sys_clone3(&args);
    if (pid == 0)
        return 0;
    if (owner != 0 && take_ids(0) < 0)
        abort(); /* we would go on as a guest's user: nothing after that can be right */
    *ret_pidfd = pidfd;
    return pid;
}

pid_t child_clone(const struct child_order *order, struct birth *birth, int *ret_pidfd)
{
    int pair[2];
    int pipe[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    AUTO_FD report = pair[0];
    AUTO_FD childs_report = pair[1];
    if (pipe2(pipe, O_CLOEXEC) < 0)
        return -errno;
    AUTO_FD childs_go = pipe[0];
    AUTO_FD go = pipe[1];

    pid_t pid = clone_into(order, ret_pidfd);
    if (pid == 0) {
        const struct stage stage = {
            .plan = order->plan,
            .fds = order->cargo->fds,
            .roles = order->cargo->roles,
            .fd_count = order->cargo->count,
            .slave = order->slave,
            .is_quiet = order->is_quiet,
            .is_sharing = order->lent != NULL,
            .report = childs_report,
            .go = childs_go,
        };
        order->body(&stage);
        _exit(1);
    }
    if (pid < 0)
        return pid;
    *birth = (struct birth){.report = take_fd(&report), .go = take_fd(&go)};
    if (order->lent != NULL)
        *order->lent = (struct lent){
            .fds = {take_fd(&childs_report), take_fd(&childs_go), order->slave}, .count = 3};
    return pid;
}

void child_take_back(struct lent *lent)
{
    for (size_t i = 0; i < lent->count; i++)
        fd_closep(&lent->fds[i]);
    lent->count = 0;
}

void child_keep_above(int *fd)
{
    int above = *fd < 0 ? -1 : fcntl(*fd, F_DUPFD_CLOEXEC, KEPT_FROM);

    if (above < 0)
        return;
    (void)close(*fd);
    *fd = above;
}

static int limit_one(pid_t pid, const struct kp_rlimit *limit)
{
    struct rlimit64 wanted = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
    struct rlimit64 now;
    if (prlimit64(pid, (enum __rlimit_resource)limit->resource, &wanted, NULL) == 0)
        return 0;
    if (errno != EPERM)
        return -errno;

    /* Without CAP_SYS_RESOURCE a hard limit cannot be raised: take what there is. */
    if (prlimit64(pid, (enum __rlimit_resource)limit->resource, NULL, &now) < 0)
        return -errno;
    if (wanted.rlim_max > now.rlim_max)
        wanted.rlim_max = now.rlim_max;
    if (wanted.rlim_cur > wanted.rlim_max)
        wanted.rlim_cur = wanted.rlim_max;
    return prlimit64(pid, (enum __rlimit_resource)limit->resource, &wanted, NULL) < 0 ? -errno : 0;
}

int child_limit(pid_t pid, const struct kp_header *plan)
{
    const struct kp_rlimit *limits =
        (const struct kp_rlimit *)(const void *)((const char *)plan + plan->rlimits);
    char path[64];
    char text[16];

    /* Without CAP_SYS_RESOURCE of our own it is the owner of the child's user namespace who may. */
    uid_t owner = (plan->flags & KP_USERNS) != 0 ? plan->uid_base : 0;
    int rc = owner != 0 && plan->rlimit_count > 0 ? take_ids(owner) : 0;
    bool is_owner = rc == 0 && owner != 0 && plan->rlimit_count > 0;
    for (uint32_t i = 0; i < plan->rlimit_count && rc == 0; i++)
        rc = limit_one(pid, &limits[i]);
    if (is_owner && take_ids(0) < 0)
        abort(); /* as after a clone */
    if (rc < 0)
        return rc;
    (void)snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
    (void)snprintf(text, sizeof(text), "%d", plan->oom_score_adj);
    rc = sys_write_text_at(AT_FDCWD, path, text);
    return rc == -EACCES || rc == -EPERM ? 0 : rc; /* lowering it may be withheld */
}

int child_say(const struct birth *birth, const char *text)
{
    size_t length = strlen(text);
    return write(birth->go, text, length) == (ssize_t)length ? 0 : -EPIPE;
}

bool child_has_executed(pid_t pid)
{
    return sys_has_executed(pid) != 0; /* not told: the protocol of the report socket has to do */
}

int child_read(struct birth *birth, struct stage_report *report, int *fds, size_t fd_max,
               size_t *ret_fd_count)
{
    ssize_t size;
    do
        size = sys_receive_fds(birth->report, report, sizeof(*report), fds, fd_max, ret_fd_count);
    while (size == -EMSGSIZE);
    if (size < 0) /* no memory for now is no end: what is there is read in the next turn */
        return -EAGAIN;
    if (size != (ssize_t)sizeof(*report)) {
        for (size_t i = 0; i < *ret_fd_count; i++)
            (void)close(fds[i]);
        *ret_fd_count = 0;
        return 0;
    }
    if (report->kind == STAGE_TRY)
        birth->is_trying = true;
    if (report->kind == STAGE_ERRNO || report->kind == STAGE_FAILED)
        birth->is_trying = false;
    return 1;
}
