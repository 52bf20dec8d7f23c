/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in for the kernel in the target `keeper`: clone, wait, clock, timer. A child is the
 * other end of its report socket and GO pipe, and ends when the script says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "keeper_world.h"
#include "sys.h"

#define PID_FIRST 0x40000000 /* above every pid_max */

pid_t __wrap_child_clone(const struct child_order *order, struct birth *birth, int *ret_pidfd);
int __wrap_child_limit(pid_t pid, const struct kp_header *plan);
pid_t __wrap_sys_clone3(struct clone_args *args);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
pid_t __wrap_waitpid(pid_t pid, int *ret_status, int options);
uint64_t __wrap_clock_monotonic_ns(void);
int __wrap_timerfd_create(int clock, int flags);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_ioctl(int fd, unsigned long request, void *argument);
int __real_ioctl(int fd, unsigned long request, void *argument);

/* A pipe of the script's has nobody who holds it. */
void closer_give(struct keeper *keeper, const int *fds, size_t count)
{
    (void)keeper;
    for (size_t i = 0; i < count; i++)
        (void)close(fds[i]);
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    if (request == TIOCGPTPEER && world.is_slave_refused) {
        errno = EMFILE;
        return -1;
    }
    return __real_ioctl(fd, request, argument);
}

uint64_t __wrap_clock_monotonic_ns(void)
{
    return world.now_ns;
}

int __wrap_timerfd_create(int clock, int flags)
{
    (void)clock;
    (void)flags;
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before)
{
    (void)fd;
    (void)flags;
    (void)before;
    world.armed_ns = (uint64_t)when->it_value.tv_sec * NS_PER_S + (uint64_t)when->it_value.tv_nsec;
    return 0;
}

/* Whoever runs the fuzzer, the agent is root. */
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    int result = __real_getsockopt(fd, level, name, value, size);

    if (result == 0 && level == SOL_SOCKET && name == SO_PEERCRED)
        ((struct ucred *)value)->uid = 0;
    return result;
}

pid_t __wrap_child_clone(const struct child_order *order, struct birth *birth, int *ret_pidfd)
{
    int pair[2];
    int pipe[2];

    /* One of our own making has no block behind it. */
    PROMISE(order->plan->size_bytes == 0 || kp_check(order->plan, order->plan->size_bytes) == 0);
    if (world.child_count == CHILDREN_MAX || script_octet(&world.script) == 0xff)
        return -EAGAIN;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
        pipe2(pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        abort();
    struct fake_child *child = &world.children[world.child_count];
    *child = (struct fake_child){.pid = PID_FIRST + (pid_t)world.child_count,
                                 .launch = (order->flags & CLONE_NEWPID) != 0 ? k.launch_last : 0,
                                 .report = pair[1],
                                 .go = pipe[0]};
    world.child_count++;
    *birth = (struct birth){.report = pair[0], .go = pipe[1]};
    *ret_pidfd = eventfd(0, EFD_CLOEXEC);
    if (order->lent != NULL)
        *order->lent = (struct lent){.fds = {order->slave}, .count = 1};
    return child->pid;
}

int __wrap_child_limit(pid_t pid, const struct kp_header *plan)
{
    (void)pid;
    (void)plan;
    return script_octet(&world.script) == 0xff ? -EPERM : 0;
}

/* Of the new build's table check. */
pid_t __wrap_sys_clone3(struct clone_args *args)
{
    (void)args;
    return -EAGAIN;
}

static struct fake_child *next_ended(void)
{
    for (size_t i = 0; i < world.child_count; i++)
        if (world.children[i].has_ended && world.children[i].pid != 0)
            return &world.children[i];
    return NULL;
}

int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    const struct fake_child *child = next_ended();

    (void)type;
    (void)id;
    (void)options;
    info->si_pid = child == NULL ? 0 : child->pid;
    return 0;
}

pid_t __wrap_waitpid(pid_t pid, int *ret_status, int options)
{
    struct fake_child *child = next_ended();

    (void)options;
    PROMISE(child != NULL && child->pid == pid);
    *ret_status = child->status;
    child->pid = 0;
    return pid;
}

/* A group of no hierarchy: one that is withheld, or any descriptor. */
int home_open_helpers(const struct keeper *keeper)
{
    (void)keeper;
    return script_octet(&world.script) == 0xff ? -ENOENT : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int home_copy_binary(int fd)
{
    (void)fd;
    return sys_memfd_sealed("fuzz", "x", 1);
}

void stage_launch(const struct stage *stage)
{
    (void)stage;
    abort();
}

void stage_spawn(const struct stage *stage)
{
    (void)stage;
    abort();
}

void stage_relay(const struct stage *stage)
{
    (void)stage;
    abort();
}

void stage_rebind(const struct stage *stage)
{
    (void)stage;
    abort();
}

struct fake_child *kernel_pick_child(void)
{
    uint8_t which = script_octet(&world.script);
    return world.child_count == 0 ? NULL : &world.children[which % world.child_count];
}

void kernel_child_executed(struct fake_child *child)
{
    if (child == NULL)
        return;
    fd_closep(&child->report);
    fd_closep(&child->go);
}

void kernel_child_ends(struct fake_child *child, int status)
{
    if (child == NULL || child->has_ended)
        return;
    kernel_child_executed(child);
    child->has_ended = true;
    child->status = status;
    if (child->launch != 0 && child->launch < LAUNCHES) {
        world.told[child->launch].status = status;
        world.told[child->launch].has_status = true;
    }
    (void)raise(SIGCHLD); /* blocked: read by the keeper's signalfd */
}
