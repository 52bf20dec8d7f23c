/* SPDX-License-Identifier: Apache-2.0 */
/*
 * await_end PID...          return when these processes have ended
 * await_end --empty DIR     return when no process is left below this v2 cgroup
 * await_end --populated DIR return when there is one
 * await_end --file PATH     return when it is there; its directory may be to come, too
 * await_end --console PID   return when /dev/console of this guest can be opened
 *
 * Exits 0 then, 1 after 30 s. Waits for levels (pidfd, cgroup.events, inotify, mountinfo), not for
 * time.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#define END_MS 30000

static int left_ms(void)
{
    static struct timespec end;
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (end.tv_sec == 0)
        end = (struct timespec){now.tv_sec + END_MS / 1000, now.tv_nsec};
    long ms = (end.tv_sec - now.tv_sec) * 1000 + (end.tv_nsec - now.tv_nsec) / 1000000;
    return ms < 0 ? 0 : (int)ms;
}

static int await_process(pid_t pid)
{
    struct pollfd fd = {.fd = pidfd_open(pid, 0), .events = POLLIN};

    if (fd.fd < 0)
        return errno == ESRCH ? 0 : 1;
    return poll(&fd, 1, left_ms()) == 1 ? 0 : 1;
}

/* wanted: "populated 0" or 1. What is removed is empty. */
static int await_population(const char *dir, const char *wanted)
{
    char text[256];
    char path[4096];
    bool is_empty_wanted = strcmp(wanted, "populated 0") == 0;

    (void)snprintf(path, sizeof(path), "%s/cgroup.events", dir);
    struct pollfd fd = {.fd = open(path, O_RDONLY | O_CLOEXEC), .events = POLLPRI};
    if (fd.fd < 0)
        return errno == ENOENT && is_empty_wanted ? 0 : 1;
    for (;;) {
        ssize_t n = pread(fd.fd, text, sizeof(text) - 1, 0);
        if (n < 0)
            return is_empty_wanted ? 0 : 1;
        text[n] = '\0';
        if (strstr(text, wanted) != NULL)
            return 0;
        if (poll(&fd, 1, left_ms()) != 1)
            return 1;
    }
}

/* What is made in the nearest directory that exists may be the file, or a directory on the way. */
static bool wait_for_change(int inotify, const char *path)
{
    struct pollfd fd = {.fd = inotify, .events = POLLIN};
    char event[sizeof(struct inotify_event) + 256];
    char dir[4096];
    char *slash;
    int watch = -1;

    (void)snprintf(dir, sizeof(dir), "%s", path);
    while (watch < 0 && (slash = strrchr(dir, '/')) != NULL && slash != dir) {
        *slash = '\0';
        watch = inotify_add_watch(inotify, dir, IN_CREATE | IN_MOVED_TO);
    }
    if (watch < 0)
        return false;
    if (access(path, F_OK) == 0)
        return true;
    /* A directory on the way may have come before it was watched: its parent has told. */
    char next[4096];
    size_t length = strlen(dir) + 1;
    (void)snprintf(next, sizeof(next), "%.*s", (int)(length + strcspn(path + length, "/")), path);
    bool is_told = access(next, F_OK) == 0 || poll(&fd, 1, left_ms()) == 1;
    while (poll(&fd, 1, 0) == 1 && read(inotify, event, sizeof(event)) > 0)
        ;
    return is_told;
}

static int await_file(const char *path)
{
    int inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    while (access(path, F_OK) != 0)
        if (left_ms() == 0 || !wait_for_change(inotify, path))
            return 1;
    return 0;
}

/* A dead pty is replaced by a mount over it, which the guest's mountinfo tells (proc(5)). */
static int await_console(const char *pid)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%s/mountinfo", pid);
    struct pollfd fd = {.fd = open(path, O_RDONLY | O_CLOEXEC), .events = POLLPRI};
    (void)snprintf(path, sizeof(path), "/proc/%s/root/dev/console", pid);
    while (fd.fd >= 0) {
        int console = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (console >= 0)
            return 0;
        if (poll(&fd, 1, left_ms()) != 1)
            return 1;
    }
    return 1;
}

int main(int argc, char **argv)
{
    const char *what = argc == 3 ? argv[1] : "";

    if (strcmp(what, "--empty") == 0)
        return await_population(argv[2], "populated 0");
    if (strcmp(what, "--populated") == 0)
        return await_population(argv[2], "populated 1");
    if (strcmp(what, "--file") == 0)
        return await_file(argv[2]);
    if (strcmp(what, "--console") == 0)
        return await_console(argv[2]);
    for (int i = 1; i < argc; i++)
        if (await_process((pid_t)strtol(argv[i], NULL, 10)) != 0)
            return 1;
    return argc > 1 ? 0 : 2;
}
