/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper_start.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boundary.h"
#include "cleanup.h"

#define STARTS_MAX 3 /* one that is killed while it starts is no reason to give up its guests */
#define FD_FIRST 3   /* of those that the keeper inherits, beside 0, 1, 2 */

extern char **environ;

static int bind_path(const char *path, int *ret_socket, struct fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path) + 1);
    (void)unlink(path); /* of a keeper that is gone; our lock says that nobody else is here */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(path, 0600) < 0 || listen(fd, 8) < 0) {
        fault_set(fault, STATUS_FAILED, errno, "cannot listen on %s", path);
        return -fault->error;
    }
    *ret_socket = take_fd(&fd);
    return 0;
}

/* Moved above all targets first: dup2 onto a number that is still to be copied would lose it. */
static int add_fd(posix_spawn_file_actions_t *actions, int fd, int target, int *ret_high)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST + CGROUP_HIERARCHIES_MAX + 1);

    if (high < 0)
        return -errno;
    *ret_high = high;
    return -posix_spawn_file_actions_adddup2(actions, high, target);
}

static int spawn(int listener, const char *binary, const struct cgroups *cgroups)
{
    posix_spawn_file_actions_t actions;
    int highs[CGROUP_HIERARCHIES_MAX + 1];
    char numbers[CGROUP_HIERARCHIES_MAX + 1][12];
    const char *argv[8 + 2 * CGROUP_HIERARCHIES_MAX] = {binary, "--listen-fd", numbers[0],
                                                        "--cgroup", cgroups->path};
    size_t argc = 5;
    size_t high_count = 0;
    pid_t pid;

    int result = -posix_spawn_file_actions_init(&actions);
    if (result < 0)
        return result;
    for (size_t i = 0; result == 0 && i <= cgroups->count; i++) {
        int fd = i == 0 ? listener : cgroups->hierarchies[i - 1].root;

        (void)snprintf(numbers[i], sizeof(numbers[i]), "%d", FD_FIRST + (int)i);
        result = add_fd(&actions, fd, FD_FIRST + (int)i, &highs[high_count]);
        if (result == 0)
            high_count++;
        if (i > 0) {
            argv[argc++] = "--hierarchy";
            argv[argc++] = numbers[i];
        }
    }
    if (result == 0)
        result =
            -posix_spawn(&pid, binary, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    for (size_t i = 0; i < high_count; i++)
        (void)close(highs[i]);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (result < 0)
        return result;

    /* It forks, and its parent half ends when the other is set up. */
    int status = 0;
    if (waitpid(pid, &status, 0) < 0)
        return -errno;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    (void)fprintf(stderr, "drover-agent: the keeper ended before it was set up (status %#x)\n",
                  (unsigned)status);
    return -ECHILD;
}

int keeper_start(const char *path, const char *binary, const struct cgroups *cgroups,
                 struct fault *fault)
{
    AUTO_FD listener = -1;
    int result = bind_path(path, &listener, fault);

    if (result < 0)
        return result;
    boundary(keeper_bound);
    for (int i = 0; i == 0 || (result == -ECHILD && i < STARTS_MAX); i++)
        result = spawn(listener, binary, cgroups);
    boundary(keeper_spawned);
    if (result < 0)
        fault_set(fault, STATUS_FAILED, -result, "cannot start %s", binary);
    return result;
}
