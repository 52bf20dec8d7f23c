/* SPDX-License-Identifier: Apache-2.0 */
#include "stop_look.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "sys.h"

#define PF_SIGNALED 0x400 /* include/linux/sched.h; the 9th field of /proc/PID/stat, proc(5) */
#define CHILDREN_MAX 32   /* of runit's PID 1: its stage, and orphans that it has not reaped yet */

static uint64_t read_mask(const char *text, const char *name)
{
    const char *line = strstr(text, name);

    return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 16);
}

/* The kernel takes waited-for signals out of the blocked ones that it shows, so a PID 1 that sits
 * in sigtimedwait(2), as busybox and sinit do, seems deaf. */
static bool is_waiting_for_signals(pid_t pid)
{
    char path[64];
    char text[128];

    (void)snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
    return sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) > 0 &&
           strstr(text, "sigtimedwait") != NULL;
}

uint64_t look_heard_signals(pid_t pid)
{
    char path[64];
    char text[8192];

    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    if (sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) < 0)
        return 0;
    if (is_waiting_for_signals(pid))
        return UINT64_MAX;
    return read_mask(text, "\nSigCgt:") | read_mask(text, "\nSigBlk:");
}

/* The first of its arguments in one text, words apart by spaces. */
static bool read_arguments(pid_t pid, char *text, size_t text_bytes)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, text_bytes - 1);
    if (length <= 0)
        return false;
    for (ssize_t i = 0; i < length; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    text[length] = '\0';
    return true;
}

/* sysvinit writes its runlevel over its arguments, for which it was given room: "init [0]". */
static bool has_runlevel_of_end(pid_t pid)
{
    char text[256];

    return read_arguments(pid, text, sizeof(text)) &&
           (strstr(text, "[0]") != NULL || strstr(text, "[6]") != NULL);
}

/* runit's stages are programs that PID 1 runs, one after the other; the second becomes runsvdir. */
static bool has_second_stage(pid_t pid)
{
    char path[64];
    char children[512];
    char text[256];
    char *at = children;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
    if (sys_read_text_at(AT_FDCWD, path, children, sizeof(children)) <= 0)
        return false;
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        char *end;
        long child = strtol(at, &end, 10);

        if (end == at)
            return false;
        at = end;
        if (read_arguments((pid_t)child, text, sizeof(text)) &&
            (strstr(text, "/etc/runit/2") != NULL || strstr(text, "runsvdir") != NULL))
            return true;
    }
    return false;
}

bool look_takes_commands(enum family family, pid_t pid)
{
    if (family == FAMILY_RUNIT)
        return has_second_stage(pid);
    return look_heard_signals(pid) != 0;
}

bool look_is_going_down(enum family family, pid_t pid)
{
    switch (family) {
    case FAMILY_BUSYBOX: /* it lets go of its signals as soon as it begins */
        return (look_heard_signals(pid) >> (SIGUSR2 - 1) & 1) == 0;
    case FAMILY_SYSVINIT:
    case FAMILY_OPENRC:
        return has_runlevel_of_end(pid);
    case FAMILY_RUNIT:
    case FAMILY_UNKNOWN:
    case FAMILY_SYSTEMD:
        return false;
    case FAMILY_COUNT:
        break;
    }
    return false;
}

/* The flags of its first thread; 0 where it is gone. */
static unsigned long read_flags(pid_t pid)
{
    char path[64];
    char text[1024];
    unsigned long flags = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) < 0)
        return 0;
    const char *at = strrchr(text, ')'); /* its name may hold anything */
    if (at == NULL || sscanf(at, ") %*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
        return 0;
    return flags;
}

bool look_is_dying(pid_t pid)
{
    char path[64];
    char text[8192];

    if (pid <= 0)
        return false;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    if (sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) < 0)
        return false;
    uint64_t pending = read_mask(text, "\nSigPnd:") | read_mask(text, "\nShdPnd:");
    return (pending >> (SIGKILL - 1) & 1) != 0 || (read_flags(pid) & PF_SIGNALED) != 0;
}
