/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups and namespaces that the child enters itself: groups before the cgroup namespace, whose
 * root they become; network and time where the work then runs on the child's core and not the
 * keeper's.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage_steps.h"
#include "sys.h"

int stage_enter_groups(const struct stage *stage)
{
    size_t index = 0;
    int fd;
    /* `tasks`, not cgroup.procs: that waits 15 ms for a lone writer. We are one thread. */
    while ((fd = stage_next_fd(stage, KW_FD_TASKS, &index)) >= 0)
        if (write(fd, "0", 1) < 0)
            return -errno;
    return 0;
}

int stage_new_network(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    AUTO_FD any = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (any < 0 || ioctl(any, SIOCSIFFLAGS, &lo) < 0)
        return -errno;
    return 0;
}

/* What takes a clock back to 0, with the nanoseconds counted upwards, as the kernel wants them. */
static struct timespec offset_of(clockid_t clock)
{
    struct timespec now = {0};
    (void)clock_gettime(clock, &now);
    if (now.tv_nsec == 0)
        return (struct timespec){.tv_sec = -now.tv_sec};
    return (struct timespec){.tv_sec = -now.tv_sec - 1, .tv_nsec = 1000000000 - now.tv_nsec};
}

void stage_new_time(void)
{
    char text[96];
    if (unshare(CLONE_NEWTIME) < 0)
        return;
    const struct timespec monotonic = offset_of(CLOCK_MONOTONIC);
    const struct timespec boot = offset_of(CLOCK_BOOTTIME);
    (void)snprintf(text, sizeof(text), "monotonic %lld %ld\nboottime %lld %ld\n",
                   (long long)monotonic.tv_sec, monotonic.tv_nsec, (long long)boot.tv_sec,
                   boot.tv_nsec);
    /* The keeper is not dumpable when it clones for a range, and then these files are host root's.
     * Nobody is in our namespaces yet who could use the moment. */
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    int rc = sys_write_text_at(AT_FDCWD, "/proc/self/timens_offsets", text);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (rc < 0)
        return;

    /* execve enters it too, but not on Linux 6.1. Where it fails, uptime is the host's: no harm. */
    AUTO_FD time = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
    if (time >= 0)
        (void)setns(time, CLONE_NEWTIME);
}

int stage_join(const struct stage *stage)
{
    static const struct {
        uint32_t join;
        int space;
    } pairs[] = {
        {KP_JOIN_USER, CLONE_NEWUSER}, {KP_JOIN_MNT, CLONE_NEWNS},
        {KP_JOIN_NET, CLONE_NEWNET},   {KP_JOIN_UTS, CLONE_NEWUTS},
        {KP_JOIN_IPC, CLONE_NEWIPC},   {KP_JOIN_CGROUP, CLONE_NEWCGROUP},
        {KP_JOIN_TIME, CLONE_NEWTIME},
    };
    int spaces = 0;
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        if ((stage->plan->flags & pairs[i].join) != 0)
            spaces |= pairs[i].space;
    if (spaces == 0)
        return 0;
    /* All in one call: each is then allowed by what the joined user namespace may do. */
    int target = stage_find_fd(stage, KW_FD_TARGET);
    if (target < 0)
        return -EBADF;
    return setns(target, spaces) < 0 ? -errno : 0;
}
