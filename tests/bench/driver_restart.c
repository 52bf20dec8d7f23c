/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "driver.h"

#define RETRY_NS NS_PER_MS

struct listed {
    unsigned all;
    unsigned running;
};

/* A list that is whole; -1 with a fault if nobody answers. */
static int read_list(struct wire *wire, uint64_t deadline_ns, struct listed *ret_listed,
                     struct fault *fault)
{
    struct message message = {.kind = MESSAGE_QUERY};
    struct listed listed = {0};

    message.query = (struct query){.request_id = "bench-list",
                                   .node = "",
                                   .container = "",
                                   .since_cursor = "",
                                   .kind = QUERY_LIST};
    if (wire_post(wire, &message, fault) < 0)
        return -1;
    do {
        if (wire_receive(wire, &message, deadline_ns, fault) < 0)
            return -1;
        if (message.kind != MESSAGE_ANSWER)
            continue;
        for (size_t i = 0; i < message.answer.container_count; i++, listed.all++)
            listed.running += message.answer.containers[i].state == CT_RUNNING;
    } while (message.kind != MESSAGE_ANSWER || !message.answer.is_last);
    *ret_listed = listed;
    return 0;
}

static int kill_and_wait(pid_t pid)
{
    AUTO_FD pidfd = pidfd_open(pid, 0);
    struct pollfd end = {.fd = pidfd, .events = POLLIN};

    if (pidfd >= 0 && pidfd_send_signal(pidfd, SIGKILL, NULL, 0) == 0 &&
        poll(&end, 1, PATIENCE_MS) == 1)
        return 0;
    (void)fprintf(stderr, "the agent, pid %d, cannot be killed: %s\n", pid, strerror(errno));
    return -1;
}

/* A daemon of its own session whose words go to a file: whoever reads ours must not wait for it. */
static int start_daemon(const char *log, char *const *argv, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return -rc;
    rc = posix_spawnattr_init(&attributes);
    if (rc == 0)
        rc = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    for (int fd = 1; fd < 3 && rc == 0; fd++)
        rc = posix_spawn_file_actions_addopen(&actions, fd, log, O_WRONLY | O_CREAT | O_APPEND,
                                              0644);
    if (rc == 0)
        rc = posix_spawn(ret_pid, argv[0], &actions, &attributes, argv, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

int driver_restart(struct driver *driver, pid_t agent, const char *log, char *const *argv)
{
    struct fault fault = {0};
    pid_t pid = -1;
    struct listed listed = {0};

    if (kill_and_wait(agent) < 0)
        return -1;
    const uint64_t start_ns = clock_wall_ns();
    const uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_MS * NS_PER_MS;
    int rc = start_daemon(log, argv, &pid);
    if (rc < 0) {
        (void)fprintf(stderr, "%s: %s\n", argv[0], strerror(-rc));
        return -1;
    }
    (void)printf("pid %d\n", pid);
    while (listed.running < driver->count && clock_monotonic_ns() < deadline_ns) {
        wire_close(&driver->wire);
        if (wire_connect(&driver->wire, driver->socket, &fault) < 0)
            measure_sleep_until(clock_wall_ns() +
                                RETRY_NS); /* until it listens there is no event */
        else
            (void)read_list(&driver->wire, deadline_ns, &listed, &fault);
    }
    if (listed.running < driver->count) {
        (void)fprintf(stderr, "the new agent lists %u of %u as running\n", listed.running,
                      driver->count);
        return driver_complain(driver->socket, &fault);
    }
    measure_print("ms", (double)(clock_wall_ns() - start_ns) / NS_PER_MS);
    return 0;
}

int driver_list(struct driver *driver, unsigned rounds)
{
    static double took_ms[10000];
    struct fault fault = {0};

    for (unsigned i = 0; i < rounds; i++) {
        struct listed listed;
        const uint64_t start_ns = clock_monotonic_ns();
        if (read_list(&driver->wire, start_ns + PATIENCE_MS * NS_PER_MS, &listed, &fault) < 0)
            return driver_complain(driver->socket, &fault);
        took_ms[i] = (double)(clock_monotonic_ns() - start_ns) / NS_PER_MS;
        if (listed.all != driver->count) {
            (void)fprintf(stderr, "%u of %u are listed\n", listed.all, driver->count);
            return -1;
        }
    }
    measure_print("median_ms", measure_percentile(took_ms, rounds, 50));
    measure_print("p95_ms", measure_percentile(took_ms, rounds, 95));
    return 0;
}
