/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a staged child says, what it waits for, and which descriptors it holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/close_range.h>

#include "stage_steps.h"
#include "sys.h"

/* What is not heard must not be done: the keeper would wait for it, or take it for something else.
 * A child that dies without a word is told as such. */
static void say(const struct stage *stage, const struct stage_report *report, const int *fds,
                size_t fd_count)
{
    if (sys_send_fds(stage->report, report, sizeof(*report), fds, fd_count) < 0)
        _exit(1);
}

void stage_say(const struct stage *stage, enum stage_report_kind kind, int error, int detail,
               const int *fds, size_t fd_count)
{
    const struct stage_report report = {.kind = (uint32_t)kind, .error = error, .detail = detail};
    say(stage, &report, fds, fd_count);
}

_Noreturn void stage_fail(const struct stage *stage, enum kw_step step, int error, int detail)
{
    const struct stage_report report = {
        .kind = STAGE_FAILED, .step = (uint32_t)step, .error = error, .detail = detail};
    say(stage, &report, NULL, 0);
    _exit(1);
}

void stage_check(const struct stage *stage, enum kw_step step, int rc)
{
    if (rc < 0)
        stage_fail(stage, step, -rc, STAGE_NO_DETAIL);
}

void stage_wait(const struct stage *stage, char word)
{
    char said;
    ssize_t size;
    do
        size = read(stage->go, &said, 1);
    while (size < 0 && errno == EINTR);
    if (size != 1 || said != word)
        _exit(1);
}

int stage_next_fd(const struct stage *stage, enum kw_role role, size_t *index)
{
    for (; *index < stage->fd_count; (*index)++)
        if ((stage->roles[*index] & ~KW_FD_IDMAP) == (unsigned)role && stage->fds[*index] >= 0)
            return stage->fds[(*index)++];
    return -1;
}

int stage_find_fd(const struct stage *stage, enum kw_role role)
{
    size_t index = 0;
    return stage_next_fd(stage, role, &index);
}

static int close_from_to(int first, int last, unsigned flags)
{
    if (first > last)
        return 0;
    return syscall(SYS_close_range, (unsigned)first, (unsigned)last, flags) < 0 ? -errno : 0;
}

int stage_keep_own(const struct stage *stage)
{
    int kept[KW_FDS_MAX + 3];
    size_t count = 0;

    /* Sorted by insertion; what lies between two of them is closed. */
    for (size_t i = 0; i < stage->fd_count + 3; i++) {
        int fd = i < stage->fd_count        ? stage->fds[i]
                 : i == stage->fd_count     ? stage->report
                 : i == stage->fd_count + 1 ? stage->go
                                            : stage->slave;
        if (fd < 0)
            continue;
        if (fd <= STDERR_FILENO || count == KW_FDS_MAX + 3)
            return -EBADF; /* these are replaced at the end */
        size_t place = count++;
        for (; place > 0 && kept[place - 1] > fd; place--)
            kept[place] = kept[place - 1];
        kept[place] = fd;
    }

    /* Who shares its parent's descriptors copies those below, and from then on has a table of its
     * own: nothing was closed before. */
    int first = STDERR_FILENO + 1;
    int rc = close_from_to(count > 0 ? kept[count - 1] + 1 : first, INT_MAX,
                           stage->is_sharing ? CLOSE_RANGE_UNSHARE : 0);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = close_from_to(first, kept[i] - 1, 0);
        first = kept[i] + 1;
    }
    return rc;
}

void stage_keep_report(const struct stage *stage, int other)
{
    int first = other >= 0 && other < stage->report ? other : stage->report;
    int second = other > stage->report ? other : stage->report;

    /* Cannot fail: it did not when the stage began. */
    (void)close_from_to(STDERR_FILENO + 1, first - 1, 0);
    (void)close_from_to(first + 1, second - 1, 0);
    (void)close_from_to(second + 1, INT_MAX, 0);
}

int stage_take_standard(const int fds[3], int null)
{
    for (int i = 0; i < 3; i++) {
        int fd = fds[i] >= 0 ? fds[i] : null;
        if (fd < 0)
            (void)close(i); /* nothing is better than what our parent has there */
        else if (dup2(fd, i) < 0)
            return -errno;
    }
    return 0;
}
