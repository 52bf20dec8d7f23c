/* SPDX-License-Identifier: Apache-2.0 */
/*
 * await_end PID...         return when these processes have ended
 * await_end --empty DIR    return when no process is left below this v2 cgroup
 *
 * Exits 0 then, 1 after 30 s. Waits for levels (pidfd, cgroup.events), not for time.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define END_MS 30000

static int await_process(pid_t pid)
{
    struct pollfd fd = {.fd = pidfd_open(pid, 0), .events = POLLIN};

    if (fd.fd < 0)
        return errno == ESRCH ? 0 : 1;
    return poll(&fd, 1, END_MS) == 1 ? 0 : 1;
}

static int await_empty(const char *dir)
{
    char text[256];
    char path[4096];

    (void)snprintf(path, sizeof(path), "%s/cgroup.events", dir);
    struct pollfd fd = {.fd = open(path, O_RDONLY | O_CLOEXEC), .events = POLLPRI};
    if (fd.fd < 0)
        return errno == ENOENT ? 0 : 1;
    for (;;) {
        ssize_t n = pread(fd.fd, text, sizeof(text) - 1, 0);
        if (n < 0)
            return 0; /* removed meanwhile */
        text[n] = '\0';
        if (strstr(text, "populated 0") != NULL)
            return 0;
        if (poll(&fd, 1, END_MS) != 1)
            return 1;
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--empty") == 0)
        return await_empty(argv[2]);
    for (int i = 1; i < argc; i++)
        if (await_process((pid_t)strtol(argv[i], NULL, 10)) != 0)
            return 1;
    return argc > 1 ? 0 : 2;
}
