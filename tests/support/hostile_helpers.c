/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of the host's that is in a guest's namespaces before it becomes a command: what of it
 * can the guest's root get at? It is stopped while that is tried, which the root may.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"

static bool is_helper(long pid)
{
    char path[64];
    char name[32] = "";
    (void)snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, name, sizeof(name) - 1);
    (void)close(fd);
    return size > 0 && strcmp(name, "drover-keeper\n") == 0;
}

/* A signal to stop is only sent when kill() returns; one that is traced stands already (t), for a
 * while. False: it is gone, or goes on. */
static bool is_stopped(long pid)
{
    char path[64];
    char stat[128];
    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    for (int i = 0; i < 100000; i++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return false;
        ssize_t size = read(fd, stat, sizeof(stat) - 1);
        (void)close(fd);
        stat[size > 0 ? size : 0] = '\0';
        const char *state = strstr(stat, ") ");
        if (state == NULL || state[2] == 'Z' || state[2] == 'X')
            return false;
        if (state[2] == 'T' || state[2] == 't')
            return true;
        (void)sched_yield();
    }
    return false;
}

/* Was it one, still, when it had been looked at? */
static bool attack(long pid)
{
    static const struct {
        const char *file;
        int flags;
    } ways[] = {{"exe", O_RDONLY},  {"exe", O_WRONLY},  {"mem", O_RDWR},
                {"fd/3", O_RDONLY}, {"fd", O_RDONLY},   {"root", O_RDONLY},
                {"cwd", O_RDONLY},  {"maps", O_RDONLY}, {"environ", O_RDONLY}};
    enum { WAYS = sizeof(ways) / sizeof(ways[0]) };
    int met[WAYS];
    char path[64];

    /* Held still, so that it is one of the host's while it is looked at. */
    (void)kill((pid_t)pid, SIGSTOP);
    bool is_one = is_stopped(pid) && is_helper(pid);
    for (size_t i = 0; is_one && i < WAYS; i++) {
        (void)snprintf(path, sizeof(path), "/proc/%ld/%s", pid, ways[i].file);
        int fd = open(path, ways[i].flags | O_CLOEXEC);
        met[i] = fd < 0 ? errno : 0;
    }
    is_one = is_one && is_helper(pid);
    (void)kill((pid_t)pid, SIGCONT);
    for (size_t i = 0; is_one && i < WAYS; i++) {
        if (met[i] == 0)
            (void)printf("%s %d done\n", ways[i].file, ways[i].flags);
        else
            (void)printf("%s %s\n", ways[i].file, strerrorname_np(met[i]));
    }
    return is_one;
}

int helpers(long wanted)
{
    long last = 0;
    while (wanted > 0) {
        DIR *proc = opendir("/proc");
        const struct dirent *entry;
        while (proc != NULL && (entry = readdir(proc)) != NULL) {
            long pid = strtol(entry->d_name, NULL, 10);
            if (pid <= 1 || pid == last || !is_helper(pid))
                continue;
            last = pid;
            if (attack(pid))
                wanted--;
        }
        if (proc != NULL)
            (void)closedir(proc);
    }
    (void)fflush(stdout);
    return 0;
}
