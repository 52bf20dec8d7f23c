/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-ledger DIR CONTAINERS EVENTS GROUP LONE: how fast node.db takes events, each with the row
 * of its container, in transactions of at most GROUP; and how long one alone takes beside an append
 * of as many octets to a file of the same file system and its fdatasync, in turns.
 *
 * Prints `per_s`, `commit_p50_ms`, `commit_p99_ms`, `commit_max_ms`, `lone_ms`, `append_ms`,
 * `ratio` (of the two medians) and `lone_kib`. What a commit takes is from its post to its being
 * told, with the checkpoint that it met.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "cleanup.h"
#include "clock.h"
#include "measure.h"
#include "store.h"

#define COMMITS_MAX 200000
#define APPEND_BYTES (64 * 1024)

struct bench {
    uv_loop_t loop;
    struct store *store;
    char dir[PATH_MAX - 32];
    unsigned containers;
    uint64_t seq;
    uint64_t began_ns; /* of the commit under way */
    double *took_ms;
    size_t count;
    bool is_told;
};

static struct bench bench;

static _Noreturn void die(const char *what, int error)
{
    (void)fprintf(stderr, "bench-ledger: %s: %s\n", what, strerror(error));
    exit(1);
}

static void on_committed(struct store *store, void *context)
{
    (void)store;
    (void)context;
    if (bench.count < COMMITS_MAX)
        bench.took_ms[bench.count++] = (double)(clock_monotonic_ns() - bench.began_ns) / 1e6;
    bench.is_told = true;
}

static void on_failed(struct store *store, const struct fault *fault)
{
    (void)store;
    die(fault->text, fault->error);
}

static void name_container(unsigned number, uint8_t uuid[UUID_BYTES], char name[NAME_BYTES])
{
    memset(uuid, 0xc7, UUID_BYTES);
    memcpy(uuid, &number, sizeof(number));
    (void)snprintf(name, NAME_BYTES, "customer-%05u", number);
}

/* A boot of a guest goes through five such. */
static void add_event(struct store_batch *batch)
{
    struct store_change change = {.kind = STORE_ADD_EVENT};
    struct event *event = &change.event;
    unsigned number = (unsigned)(++bench.seq * 7919 % bench.containers);

    *event = (struct event){.epoch = UINT64_C(0x7123456789abcdef),
                            .seq = bench.seq,
                            .time_wall_ns = clock_wall_ns(),
                            .generation = bench.seq / bench.containers,
                            .type = EVENT_CHANGED,
                            .from = CT_BOOTING,
                            .to = CT_RUNNING};
    name_container(number, event->uuid, event->name);
    (void)snprintf(event->request, sizeof(event->request), "7b0c5f0e-2d1a-4f6b-9c3d-%012u", number);
    store_batch_add(batch, &change);

    struct store_row row = {.revision = 1,
                            .generation = event->generation,
                            .state = CT_RUNNING,
                            .is_wanted_running = true,
                            .uid_base = 0x70000000 + number * 65536,
                            .created_wall_ns = event->time_wall_ns,
                            .started_wall_ns = event->time_wall_ns};
    name_container(number, row.uuid, row.name);
    memcpy(row.request, event->request, sizeof(row.request));
    store_batch_add(batch, &(struct store_change){.kind = STORE_PUT_ROW, .row = row});
}

static struct store_batch *make_batch(uint64_t group)
{
    struct store_batch *batch = store_batch_new();

    for (uint64_t i = 0; i < group; i++)
        add_event(batch);
    /* Without a controller an event counts as acknowledged at its commit. */
    struct store_change ack = {.kind = STORE_ACK_EVENTS};
    ack.ack.epoch = 1;
    ack.ack.seq = bench.seq;
    ack.ack.is_own = true;
    store_batch_add(batch, &ack);
    return batch;
}

static void post(struct store_batch *batch)
{
    bench.is_told = false;
    bench.began_ns = clock_monotonic_ns();
    store_post(bench.store, batch, NULL);
}

static void await(void)
{
    while (!bench.is_told)
        (void)uv_run(&bench.loop, UV_RUN_ONCE);
}

static void print_groups(uint64_t events, uint64_t group)
{
    uint64_t began_ns = clock_monotonic_ns();
    uint64_t last = bench.seq + events;

    bench.count = 0;
    post(make_batch(group));
    while (bench.seq < last) {
        struct store_batch *next = make_batch(group); /* meanwhile, as a turn would */

        await();
        post(next);
    }
    await();
    measure_print("per_s", (double)events * 1e9 / (double)(clock_monotonic_ns() - began_ns));
    measure_print("commit_p50_ms", measure_percentile(bench.took_ms, bench.count, 50));
    measure_print("commit_p99_ms", measure_percentile(bench.took_ms, bench.count, 99));
    measure_print("commit_max_ms", measure_percentile(bench.took_ms, bench.count, 100));
}

/* What this process wrote so far: frames of the log while it makes lone commits. */
static uint64_t written_bytes(void)
{
    char line[128];
    uint64_t bytes = 0;
    FILE *file = fopen("/proc/self/io", "re");

    if (file == NULL)
        die("/proc/self/io", errno);
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "wchar: ", 7) == 0)
            bytes = strtoull(line + 7, NULL, 10);
    (void)fclose(file); /* it was only read */
    return bytes;
}

static uint64_t measure_lone_bytes(void)
{
    uint64_t before_bytes = written_bytes();

    for (unsigned i = 0; i < 16; i++) {
        post(make_batch(1));
        await();
    }
    return (written_bytes() - before_bytes) / 16;
}

static double append(int fd, size_t size_bytes)
{
    static uint8_t octets[APPEND_BYTES];
    uint64_t began_ns = clock_monotonic_ns();

    if (write(fd, octets, size_bytes) != (ssize_t)size_bytes || fdatasync(fd) < 0)
        die("append", errno);
    return (double)(clock_monotonic_ns() - began_ns) / 1e6;
}

static void print_lone(unsigned count)
{
    char path[PATH_MAX];
    double *append_ms = calloc(count, sizeof(*append_ms));

    (void)snprintf(path, sizeof(path), "%s/append", bench.dir);
    AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (append_ms == NULL || fd < 0)
        die(path, errno);
    uint64_t size_bytes = measure_lone_bytes();
    if (size_bytes > APPEND_BYTES)
        die("a lone commit writes too much", EFBIG);
    bench.count = 0;
    for (unsigned i = 0; i < count; i++) { /* in turns, so that both meet the same disk */
        append_ms[i] = append(fd, (size_t)size_bytes);
        post(make_batch(1));
        await();
    }
    double lone = measure_percentile(bench.took_ms, bench.count, 50);
    double appended = measure_percentile(append_ms, count, 50);
    measure_print("lone_ms", lone);
    measure_print("append_ms", appended);
    measure_print("ratio", lone / appended);
    measure_print("lone_kib", (double)size_bytes / 1024);
    (void)unlink(path);
    free(append_ms);
}

int main(int argc, char **argv)
{
    struct fault fault = {0};

    if (argc != 6) {
        (void)fprintf(stderr, "usage: bench-ledger DIR CONTAINERS EVENTS GROUP LONE\n");
        return 2;
    }
    (void)snprintf(bench.dir, sizeof(bench.dir), "%s", argv[1]);
    bench.containers = measure_count(argv[2], 100000);
    unsigned events = measure_count(argv[3], 100000000);
    unsigned group = measure_count(argv[4], STORE_BATCH_EVENTS_MAX);
    unsigned lone = measure_count(argv[5], COMMITS_MAX);
    bench.took_ms = calloc(COMMITS_MAX, sizeof(*bench.took_ms));
    if (bench.took_ms == NULL || uv_loop_init(&bench.loop) < 0 ||
        store_open(bench.dir, &bench.loop, on_committed, on_failed, &bench.store, &fault) < 0)
        die(fault.text, fault.error);
    for (unsigned i = 0; i < bench.containers; i += group) { /* all of them are there */
        post(make_batch(group));
        await();
    }
    print_groups(events, group);
    print_lone(lone);
    store_close(bench.store);
    free(bench.took_ms);
    return 0;
}
