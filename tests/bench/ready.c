/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-ready SOCKET N GROUPS COMMAND [ARGUMENT…]
 *
 * Starts N commands at once ({} becomes 0 … N-1), each told NOTIFY_SOCKET=SOCKET and moved into
 * what GROUPS, a list of directories parted by colons, names: `seconds` from the first of them to
 * the Nth READY=1. Then ends them by SIGTERM, those that do not hear it by cgroup.kill and SIGKILL,
 * and waits for all.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "measure.h"
#include "sys.h"

#define COMMANDS_MAX 256
#define ARGS_MAX 32
#define TEXT_BYTES 512
#define READY_PATIENCE_MS 120000
#define END_PATIENCE_MS 20000

struct commands {
    char *const *argv; /* with {} in it */
    char *groups;      /* likewise */
    int sock;
    unsigned count;
    pid_t pids[COMMANDS_MAX];
    unsigned started;
};

static volatile sig_atomic_t is_interrupted;

static void on_signal(int number)
{
    (void)number;
    is_interrupted = 1;
}

static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        return fd < 0 ? -errno : -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    (void)unlink(path);
    return bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : take_fd(&fd);
}

static void fill(char *text, const char *from, unsigned index)
{
    const char *mark = strstr(from, "{}");

    if (mark == NULL)
        (void)snprintf(text, TEXT_BYTES, "%s", from);
    else
        (void)snprintf(text, TEXT_BYTES, "%.*s%u%s", (int)(mark - from), from, index, mark + 2);
}

/* Each directory of the list that this command belongs to. */
static int in_groups(const struct commands *commands, unsigned index, const char *file,
                     const char *text)
{
    char list[TEXT_BYTES];
    char *rest = list;
    char *group;
    int worst = 0;

    (void)snprintf(list, sizeof(list), "%s", commands->groups);
    while ((group = strsep(&rest, ":")) != NULL) {
        char dir[TEXT_BYTES];
        char path[TEXT_BYTES + 32];
        fill(dir, group, index);
        (void)snprintf(path, sizeof(path), "%s/%s", dir, file);
        int rc = sys_write_text_at(AT_FDCWD, path, text);
        worst = rc < 0 ? rc : worst;
    }
    return worst;
}

static _Noreturn void become(const struct commands *commands, unsigned index)
{
    static char texts[ARGS_MAX][TEXT_BYTES];
    char *argv[ARGS_MAX + 1] = {NULL};
    int null = open("/dev/null", O_RDWR);

    for (unsigned i = 0; i < ARGS_MAX && commands->argv[i] != NULL; i++) {
        fill(texts[i], commands->argv[i], index);
        argv[i] = texts[i];
    }
    int rc = in_groups(commands, index, "cgroup.procs", "0");
    if (rc == 0 && null >= 0 && dup2(null, 0) >= 0 && dup2(null, 1) >= 0)
        (void)execvp(argv[0], argv);
    (void)fprintf(stderr, "%s: %s\n", argv[0], strerror(rc < 0 ? -rc : errno));
    _exit(127);
}

static int start_all(struct commands *commands)
{
    for (; commands->started < commands->count; commands->started++) {
        pid_t pid = fork();
        if (pid < 0)
            return -errno;
        if (pid == 0)
            become(commands, commands->started);
        commands->pids[commands->started] = pid;
    }
    return 0;
}

/* Does one of the lines of a datagram say it? */
static bool is_ready(const char *text)
{
    const char *at = strstr(text, "READY=1");
    return at != NULL && (at == text || at[-1] == '\n');
}

static unsigned await_ready(const struct commands *commands, uint64_t deadline_ns)
{
    unsigned ready = 0;

    while (ready < commands->count && !is_interrupted) {
        struct pollfd readable = {.fd = commands->sock, .events = POLLIN};
        char text[4096];
        uint64_t now_ns = clock_monotonic_ns();
        if (now_ns >= deadline_ns ||
            poll(&readable, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1) <= 0)
            break;
        ssize_t bytes = recv(commands->sock, text, sizeof(text) - 1, MSG_DONTWAIT);
        text[bytes > 0 ? bytes : 0] = '\0';
        ready += is_ready(text);
    }
    return ready;
}

static void end_all(const struct commands *commands)
{
    const uint64_t deadline_ns = clock_monotonic_ns() + END_PATIENCE_MS * NS_PER_MS;

    for (unsigned i = 0; i < commands->started; i++)
        (void)kill(commands->pids[i], SIGTERM);
    for (unsigned i = 0; i < commands->started; i++) {
        AUTO_FD pidfd = pidfd_open(commands->pids[i], 0);
        struct pollfd end = {.fd = pidfd, .events = POLLIN};
        uint64_t now_ns = clock_monotonic_ns();
        int left_ms = now_ns < deadline_ns ? (int)((deadline_ns - now_ns) / NS_PER_MS) : 0;
        if (poll(&end, 1, left_ms) != 1) {
            (void)in_groups(commands, i, "cgroup.kill", "1"); /* there is none in v1 */
            (void)kill(commands->pids[i], SIGKILL);
        }
        (void)waitpid(commands->pids[i], NULL, 0);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 4 + ARGS_MAX) {
        (void)fputs("usage: bench-ready SOCKET N GROUPS COMMAND…\n", stderr);
        return 2;
    }
    struct commands commands = {.argv = argv + 4,
                                .groups = argv[3],
                                .sock = open_socket(argv[1]),
                                .count = measure_count(argv[2], COMMANDS_MAX)};
    if (commands.sock < 0 || setenv("NOTIFY_SOCKET", argv[1], 1) < 0) {
        (void)fprintf(stderr, "%s: %s\n", argv[1], strerror(-commands.sock));
        return 1;
    }
    (void)signal(SIGTERM, on_signal);
    (void)signal(SIGINT, on_signal);
    const uint64_t first_ns = clock_monotonic_ns();
    int rc = start_all(&commands);
    unsigned ready = await_ready(&commands, first_ns + READY_PATIENCE_MS * NS_PER_MS);
    const uint64_t last_ns = clock_monotonic_ns();

    if (rc == 0 && ready == commands.count)
        measure_print("seconds", (double)(last_ns - first_ns) / NS_PER_S);
    else
        (void)fprintf(stderr, "%s: %u of %u said READY\n", argv[4], ready, commands.count);
    end_all(&commands);
    (void)unlink(argv[1]);
    return rc == 0 && ready == commands.count ? 0 : 1;
}
