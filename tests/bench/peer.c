/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-peer REPORTS PREFIX N GAP_MS|storm COMMAND [ARGUMENT…]
 *
 * Starts N guests PREFIX0 … with another product's own command ({} becomes the name) and hears
 * their inits. With storm at most four commands run at once: `per_s` from the first command to the
 * last init's report. With GAP_MS one by one and so far apart: `median_ms` and `p95_ms` from the
 * command to init's first instruction. `resident` and `pss_kib` are what stays beside a guest: its
 * init's parent, where that is neither the host's init nor an ancestor of this process. Ends all
 * guests before it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "measure.h"
#include "sys.h"

#define GUESTS_MAX 4096
#define PARALLEL 4
#define ARGS_MAX 32
#define PATIENCE_MS 30000

struct peer {
    const char *prefix;
    char *const *command;
    int sock;
    unsigned count;
    int running; /* commands that have not ended */
    unsigned reported;
    int inits[GUESTS_MAX]; /* pidfds of the guests, in the order of their reports */
    pid_t init_pids[GUESTS_MAX];
    int residents[GUESTS_MAX]; /* pidfds of what stays beside them */
    unsigned resident_count;
    double took_ms[GUESTS_MAX];
};

static struct peer peer;

static int start(unsigned index)
{
    char name[64];
    char texts[ARGS_MAX][256];
    char *argv[ARGS_MAX + 1] = {NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;

    (void)snprintf(name, sizeof(name), "%s%u", peer.prefix, index);
    for (size_t i = 0; i < ARGS_MAX && peer.command[i] != NULL; i++) {
        const char *mark = strstr(peer.command[i], "{}");
        int before = mark == NULL ? (int)strlen(peer.command[i]) : (int)(mark - peer.command[i]);
        (void)snprintf(texts[i], sizeof(texts[i]), "%.*s%s%s", before, peer.command[i],
                       mark == NULL ? "" : name, mark == NULL ? "" : mark + 2);
        argv[i] = texts[i];
    }
    if (argv[0] == NULL)
        return -EINVAL;
    int rc = posix_spawn_file_actions_init(&actions);
    for (int fd = 0; rc == 0 && fd < 2; fd++)
        rc = posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    if (rc == 0)
        rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (rc != 0)
        (void)fprintf(stderr, "%s: %s\n", argv[0], strerror(rc));
    else
        peer.running++;
    return -rc;
}

/* Take in one report. Returns its instant, 0 if none came in time. */
static uint64_t hear(int timeout_ms)
{
    struct report report;

    int rc = reports_next(peer.sock, timeout_ms, &report);
    if (rc != 1 || !report.is_ready || peer.reported == peer.count)
        return 0;
    peer.init_pids[peer.reported] = report.pid;
    peer.inits[peer.reported] = pidfd_open(report.pid, 0);
    peer.reported++;
    return report.wall_ns;
}

static void reap(void)
{
    while (peer.running > 0 && waitpid(-1, NULL, WNOHANG) > 0)
        peer.running--;
}

static int storm(void)
{
    const uint64_t first_ns = clock_wall_ns();
    uint64_t last_ns = first_ns;
    unsigned started = 0;

    while (peer.reported < peer.count) {
        reap();
        while (started < peer.count && peer.running < PARALLEL)
            if (start(started++) < 0)
                return -1;
        /* 1 ms: a command that ended is followed by the next one even if nobody reports. */
        if (hear(1) != 0)
            last_ns = clock_wall_ns();
        else if (clock_wall_ns() - last_ns > PATIENCE_MS * NS_PER_MS)
            return -1;
    }
    measure_print("per_s", peer.count / ((double)(last_ns - first_ns) / NS_PER_S));
    return 0;
}

static int apart(unsigned gap_ms)
{
    uint64_t next_ns = clock_wall_ns();

    for (unsigned i = 0; i < peer.count; i++, next_ns += gap_ms * NS_PER_MS) {
        measure_sleep_until(next_ns);
        uint64_t start_ns = clock_wall_ns();
        if (start(i) < 0)
            return -1;
        uint64_t ready_ns = hear(PATIENCE_MS);
        if (ready_ns == 0)
            return -1;
        peer.took_ms[i] = (double)(ready_ns - start_ns) / NS_PER_MS;
        reap();
    }
    measure_print("median_ms", measure_percentile(peer.took_ms, peer.count, 50));
    measure_print("p95_ms", measure_percentile(peer.took_ms, peer.count, 95));
    return 0;
}

static long field_of(pid_t pid, const char *file, const char *name)
{
    char path[64];
    char text[8192];

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    if (sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) < 0)
        return 0;
    const char *line = strstr(text, name);
    return line == NULL ? 0 : strtol(line + strlen(name), NULL, 10);
}

static bool is_ancestor(pid_t pid)
{
    for (pid_t at = getpid(); at > 1; at = (pid_t)field_of(at, "status", "\nPPid:"))
        if (at == pid)
            return true;
    return pid <= 1;
}

static void count_residents(void)
{
    long pss_kib = 0;

    for (unsigned i = 0; i < peer.reported; i++) {
        pid_t parent = (pid_t)field_of(peer.init_pids[i], "status", "\nPPid:");
        if (is_ancestor(parent))
            continue;
        peer.residents[peer.resident_count++] = pidfd_open(parent, 0);
        pss_kib += field_of(parent, "smaps_rollup", "\nPss:");
    }
    measure_print("resident", peer.resident_count);
    measure_print("pss_kib", (double)pss_kib);
}

static void wait_for_ends(const int *pidfds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct pollfd end = {.fd = pidfds[i], .events = POLLIN};
        (void)poll(&end, 1, PATIENCE_MS);
    }
}

static void end_guests(void)
{
    for (unsigned i = 0; i < peer.reported; i++)
        if (peer.inits[i] >= 0)
            (void)pidfd_send_signal(peer.inits[i], SIGKILL, NULL, 0);
    wait_for_ends(peer.inits, peer.reported);
    wait_for_ends(peer.residents, peer.resident_count);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

int main(int argc, char **argv)
{
    if (argc < 6 || argc > 5 + ARGS_MAX) {
        (void)fputs("usage: bench-peer REPORTS PREFIX N GAP_MS|storm COMMAND…\n", stderr);
        return 2;
    }
    peer.prefix = argv[2];
    peer.count = measure_count(argv[3], GUESTS_MAX);
    peer.command = argv + 5;
    peer.sock = reports_open(argv[1]);
    if (peer.sock < 0) {
        (void)fprintf(stderr, "%s/sock: %s\n", argv[1], strerror(-peer.sock));
        return 1;
    }
    int rc = strcmp(argv[4], "storm") == 0 ? storm() : apart(measure_count(argv[4], 10000));
    if (rc < 0)
        (void)fprintf(stderr, "%s: %u of %u guests reported\n", argv[5], peer.reported, peer.count);
    else
        count_residents();
    end_guests();
    return rc < 0 ? 1 : 0;
}
