/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/sim/run's program: seeds, one after the other or in processes side by side, and what all of
 * them came to. At stake: what a crash, a lost packet or a bad disk can do to what was promised.
 */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cells.h"
#include "reach.h"
#include "sim.h"

#define TURNS_DEFAULT 1000
#define JOBS_MAX 64
#define LIST_MAX 1024
#define SEED_SECONDS 20 /* of CPU, and one more each 1000 turns: a seed takes some 0.05 */

struct call {
    uint64_t first, last;
    uint64_t list[LIST_MAX]; /* instead, if there are any */
    uint64_t list_count;
    unsigned jobs;
    unsigned reached_most; /* seeds that are told of each cell */
    bool is_forever;
    bool must_reach_all;
    bool is_told; /* prints tables */
    struct sim_options options;
};

/* What a process found, for its parent. */
struct found {
    uint64_t seeds, turns, hash;
    struct reach reach;
};

static char last_words[96]; /* of a seed that breaks an assertion */

static void on_signal(int number)
{
    if (number == SIGVTALRM)
        memcpy(last_words + strlen("sim: "), "hang   ", strlen("ENSURE "));
    (void)!write(STDERR_FILENO, last_words, strlen(last_words));
    (void)signal(number, SIG_DFL);
    _exit(1);
}

static void say_last_words(uint64_t seed)
{
    (void)snprintf(last_words, sizeof(last_words),
                   "sim: ENSURE seed=%" PRIu64 " turn=?: see above\n", seed);
}

/* A turn that never ends is broken as much as one that ends wrongly. */
static void arm_patience(const struct call *call)
{
    time_t patience_s = SEED_SECONDS + (time_t)(call->options.turns / 1000);
    const struct itimerval timer = {.it_value.tv_sec = patience_s};

    (void)setitimer(ITIMER_VIRTUAL, &timer, NULL);
}

static void walk(const struct call *call, unsigned job, struct found *found)
{
    uint64_t count = call->list_count > 0 ? call->list_count : call->last - call->first + 1;
    uint64_t hash;

    for (uint64_t i = job; i < count; i += call->jobs) {
        uint64_t seed = call->list_count > 0 ? call->list[i] : call->first + i;

        say_last_words(seed);
        arm_patience(call);
        found->turns += sim_run(seed, &call->options, &hash);
        found->hash ^= hash * (seed | 1);
        found->seeds++;
        if (call->reached_most > 0)
            reach_tell(stdout, seed, call->reached_most);
    }
    found->reach = *reach_table();
}

/* ---- processes side by side ---- */

static int read_all(int fd, void *to, size_t size_bytes)
{
    size_t got = 0;

    while (got < size_bytes) {
        ssize_t n = read(fd, (char *)to + got, size_bytes - got);

        if (n <= 0)
            return -1;
        got += (size_t)n;
    }
    return 0;
}

static pid_t start(const struct call *call, unsigned job, int *ret_fd)
{
    int fds[2];

    if (pipe(fds) < 0)
        return -1;
    pid_t pid = fork();
    if (pid != 0) {
        (void)close(fds[1]);
        *ret_fd = fds[0];
        return pid;
    }
    static struct found found;
    walk(call, job, &found);
    _exit(write(fds[1], &found, sizeof(found)) == (ssize_t)sizeof(found) ? 0 : 2);
}

static int walk_side_by_side(const struct call *call, struct found *found)
{
    static struct found part;
    int fds[JOBS_MAX];
    pid_t pids[JOBS_MAX];
    int result = 0;

    for (unsigned i = 0; i < call->jobs; i++)
        pids[i] = start(call, i, &fds[i]);
    for (unsigned i = 0; i < call->jobs; i++) {
        int status = -1;

        if (pids[i] > 0 && read_all(fds[i], &part, sizeof(part)) == 0) {
            found->seeds += part.seeds;
            found->turns += part.turns;
            found->hash ^= part.hash;
            reach_add(&found->reach, &part.reach);
        }
        if (pids[i] <= 0 || waitpid(pids[i], &status, 0) < 0 || !WIFEXITED(status) ||
            WEXITSTATUS(status) != 0)
            result = 1;
    }
    return result;
}

static int walk_all(const struct call *call, struct found *found)
{
    if (call->jobs > 1)
        return walk_side_by_side(call, found);
    walk(call, 0, found);
    return 0;
}

/* ---- what came of it ---- */

static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int tell(const struct call *call, const struct found *found, double took_s)
{
    unsigned reached;
    unsigned cells;

    reach_count(&found->reach, &reached, &cells);
    if (call->is_told)
        reach_print(&found->reach, stdout);
    (void)printf("sim: hash=%016" PRIx64 " turns/s=%.0f\n", found->hash,
                 (double)found->turns / (took_s > 0 ? took_s : 1));
    (void)printf("sim: seeds=%" PRIu64 " turns=%" PRIu64 " cells=%u/%u\n", found->seeds,
                 found->turns, reached, cells);
    if (call->must_reach_all && reached < cells) {
        (void)fprintf(stderr, "sim: cells seed=0 turn=0: %u cells were never reached\n",
                      cells - reached);
        return 1;
    }
    return 0;
}

/* ---- how it is called ---- */

static const char usage[] =
    "usage: test.sim [--seed=N | --seeds=A..B | --list=N,N... | --forever] [--turns=N] [--jobs=N]\n"
    "                [--trace] [--no-fsync] [--table] [--all-cells] [--reached=MOST]\n"
    "                [--rule=STATE,INPUT,FIELD] [--rules]\n"
    "A seed that breaks a promise prints `sim: CHECKER seed=N turn=N: ...` and ends it with 1.\n";

static int take_list(struct call *call, const char *value)
{
    char *rest = NULL;

    for (const char *at = value; call->list_count < LIST_MAX; at = rest + 1) {
        call->list[call->list_count++] = strtoull(at, &rest, 10);
        if (*rest != ',')
            return *rest == '\0' && rest != at ? 0 : -1;
    }
    return -1;
}

static int take_option(struct call *call, int option, const char *value)
{
    char *rest = NULL;

    switch (option) {
    case 's':
        call->first = call->last = strtoull(value, NULL, 10);
        return 0;
    case 'r':
        call->first = strtoull(value, &rest, 10);
        if (strncmp(rest, "..", 2) != 0)
            return -1;
        call->last = strtoull(rest + 2, NULL, 10);
        return 0;
    case 'i':
        return take_list(call, value);
    case 'e':
        call->reached_most = (unsigned)strtoul(value, NULL, 10);
        return 0;
    case 't':
        call->options.turns = strtoull(value, NULL, 10);
        return 0;
    case 'j':
        call->jobs = (unsigned)strtoul(value, NULL, 10);
        return call->jobs == 0 || call->jobs > JOBS_MAX ? -1 : 0;
    case 'f':
        call->is_forever = true;
        return 0;
    case 'v':
        call->options.is_traced = true;
        return 0;
    case 'n':
        call->options.is_sync_noop = true;
        return 0;
    case 'p':
        call->is_told = true;
        return 0;
    case 'a':
        call->must_reach_all = call->is_told = true;
        return 0;
    case 'm':
        return cells_mutate(value) ? 0 : -1;
    case 'l':
        cells_list(stdout);
        exit(0);
    }
    return -1;
}

static int take_options(struct call *call, int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},    {"seeds", required_argument, NULL, 'r'},
        {"turns", required_argument, NULL, 't'},   {"jobs", required_argument, NULL, 'j'},
        {"forever", no_argument, NULL, 'f'},       {"trace", no_argument, NULL, 'v'},
        {"no-fsync", no_argument, NULL, 'n'},      {"table", no_argument, NULL, 'p'},
        {"all-cells", no_argument, NULL, 'a'},     {"rule", required_argument, NULL, 'm'},
        {"rules", no_argument, NULL, 'l'},         {"list", required_argument, NULL, 'i'},
        {"reached", required_argument, NULL, 'e'}, {0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (take_option(call, option, optarg) < 0)
            return -1;
    return optind == argc ? 0 : -1;
}

/* Seeds that nobody has seen, a thousand at a time. */
static int walk_forever(struct call *call)
{
    static struct found found;

    call->first = (uint64_t)time(NULL) * 1000000;
    for (;;) {
        double began_s = seconds();

        call->last = call->first + 999;
        memset(&found, 0, sizeof(found));
        int result = walk_all(call, &found);
        if (result != 0)
            return result;
        (void)tell(call, &found, seconds() - began_s);
        (void)fflush(stdout);
        call->first += 1000;
    }
}

int main(int argc, char **argv)
{
    static struct found found;
    static struct call call = {
        .first = 1, .last = 1, .jobs = 1, .options = {.turns = TURNS_DEFAULT}};

    if (take_options(&call, argc, argv) < 0) {
        (void)fputs(usage, stderr);
        return 2;
    }
    /* What each start of an agent has cleared and hardly uses comes clear from the kernel. */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)signal(SIGABRT, on_signal);
    (void)signal(SIGSEGV, on_signal);
    (void)signal(SIGVTALRM, on_signal);
    if (call.options.is_traced || call.reached_most > 0)
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (call.is_forever)
        return walk_forever(&call);
    double began_s = seconds();
    int result = walk_all(&call, &found);
    return result != 0 ? result : tell(&call, &found, seconds() - began_s);
}
