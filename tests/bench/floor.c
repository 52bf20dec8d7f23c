/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-floor ROOT REPORTS plain|userns WORK N [GAP_MS]
 *
 * The floor that drover is held against: one process starts N guests and hears their inits.
 * Without GAP_MS all at once: `per_s` from the first clone to the last init's
 * report. With GAP_MS so far apart: `median_ms` and `p95_ms` from clone to first instruction.
 */
#include "floor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "measure.h"

#define GUESTS_MAX 4096
#define PATIENCE_MS 20000

typedef pid_t (*start_fn)(const struct floor_order *order, unsigned index);

static pid_t children[GUESTS_MAX];
static double took_ms[GUESTS_MAX];

void floor_fail(const char *step)
{
    (void)fprintf(stderr, "floor: %s: %s\n", step, strerror(errno));
    _exit(1);
}

void floor_become_init(void)
{
    char *argv[] = {(char[]){"init"}, NULL};
    char *env[] = {(char[]){"container=floor"}, NULL};

    if (syscall(SYS_pivot_root, ".", ".") < 0)
        floor_fail("pivot_root");
    if (umount2(".", MNT_DETACH) < 0)
        floor_fail("umount of the old root");
    if (chdir("/") < 0)
        floor_fail("chdir /");
    (void)execve("/sbin/init", argv, env);
    floor_fail("execve /sbin/init");
}

static uint64_t hear(int sock)
{
    struct report report;
    int rc = reports_next(sock, PATIENCE_MS, &report);

    if (rc == 1 && report.is_ready)
        return report.wall_ns;
    (void)fprintf(stderr, "floor: a guest did not report: %s\n",
                  rc < 0 ? strerror(-rc) : "nothing heard");
    return 0;
}

static int storm(start_fn start, const struct floor_order *order, unsigned count, int sock)
{
    uint64_t first_ns = clock_wall_ns();

    for (unsigned i = 0; i < count; i++)
        if ((children[i] = start(order, i)) < 0)
            return -1;
    for (unsigned i = 0; i < count; i++)
        if (hear(sock) == 0)
            return -1;
    measure_print("per_s", count / ((double)(clock_wall_ns() - first_ns) / NS_PER_S));
    return 0;
}

static int apart(start_fn start, const struct floor_order *order, const unsigned counts[2],
                 int sock)
{
    const uint64_t gap_ns = counts[1] * NS_PER_MS;
    uint64_t next_ns = clock_wall_ns();

    for (unsigned i = 0; i < counts[0]; i++, next_ns += gap_ns) {
        measure_sleep_until(next_ns);
        uint64_t start_ns = clock_wall_ns();
        if ((children[i] = start(order, i)) < 0)
            return -1;
        uint64_t ready_ns = hear(sock);
        if (ready_ns == 0)
            return -1;
        took_ms[i] = (double)(ready_ns - start_ns) / NS_PER_MS;
    }
    measure_print("median_ms", measure_percentile(took_ms, counts[0], 50));
    measure_print("p95_ms", measure_percentile(took_ms, counts[0], 95));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 6 || argc > 7) {
        (void)fputs("usage: bench-floor ROOT REPORTS plain|userns WORK N [GAP_MS]\n", stderr);
        return 2;
    }
    const struct floor_order order = {.root = argv[1], .reports = argv[2], .work = argv[4]};
    start_fn start = strcmp(argv[3], "userns") == 0 ? floor_userns_start : floor_plain_start;
    const unsigned counts[2] = {measure_count(argv[5], GUESTS_MAX),
                                argc > 6 ? measure_count(argv[6], 10000) : 0};

    int sock = reports_open(order.reports);
    if (sock < 0) {
        (void)fprintf(stderr, "floor: %s/sock: %s\n", order.reports, strerror(-sock));
        return 1;
    }
    int ready = start == floor_userns_start ? floor_userns_prepare(&order, counts[0]) : 0;
    if (ready < 0) {
        (void)fprintf(stderr, "floor: %s: %s\n", order.work, strerror(-ready));
        return 1;
    }
    int rc =
        counts[1] > 0 ? apart(start, &order, counts, sock) : storm(start, &order, counts[0], sock);
    if (rc < 0 && errno != 0)
        perror("floor");
    for (unsigned i = 0; i < counts[0] && children[i] > 0; i++)
        (void)kill(children[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
    return rc < 0 ? 1 : 0;
}
