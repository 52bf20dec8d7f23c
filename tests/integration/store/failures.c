/* SPDX-License-Identifier: Apache-2.0 */
/* What was told must be there after any crash, and after a failed commit nothing may be told. A
 * child that writes is killed at random moments; a file system is filled while the store writes. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "prng.h"

#define KILLS 25
#define CTS 5
#define PAGE 256

static struct event events[PAGE];

/* ---- killed ---- */

static int report;             /* the child's end of the pipe */
static uint64_t ends[1 << 16]; /* by a batch's number: its last seq */

/* Where a batch begins can be told from where the one before ended. */
static uint64_t batch_events(uint64_t first)
{
    return 1 + first * UINT64_C(2654435761) % 50;
}

/* The row says what the last event of its batch is: together, or neither. */
static void post_batch(uint64_t first)
{
    struct store_batch *batch = store_batch_new();
    uint64_t last = first + batch_events(first) - 1;
    struct store_change change;

    for (uint64_t seq = first; seq <= last; seq++) {
        change = rig_event(seq, (uint32_t)(seq % CTS));
        store_batch_add(batch, &change);
    }
    change = rig_row(1);
    change.row.revision = last;
    change.row.has_config = true;
    change.row.config = (struct octets){(const uint8_t *)&last, sizeof(last)};
    store_batch_add(batch, &change);
    rig_post(batch);
    ends[rig.posted % COUNT_OF(ends)] = last;
}

static void report_told(uint64_t number)
{
    uint64_t last = ends[number % COUNT_OF(ends)];

    if (write(report, &last, sizeof(last)) != (ssize_t)sizeof(last))
        _exit(2);
}

static _Noreturn void write_until_killed(uint64_t last)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (uv_loop_init(&rig.loop) < 0)
        _exit(3);
    rig_open();
    rig.on_told = report_told;
    for (;;) {
        post_batch(last + 1);
        last = ends[rig.posted % COUNT_OF(ends)];
        while (rig.posted - rig.told > 6 && rig.failures == 0)
            (void)uv_run(&rig.loop, UV_RUN_ONCE);
        if (rig.failures > 0)
            _exit(4);
    }
}

/* Returns the highest seq that the child said is durable. */
static uint64_t run_and_kill(uint64_t last, unsigned reports)
{
    int pipe_fds[2];
    uint64_t said = last;
    uint64_t told = last;
    int status;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        report = pipe_fds[1];
        write_until_killed(last);
    }
    (void)close(pipe_fds[1]);
    for (unsigned i = 0; read(pipe_fds[0], &said, sizeof(said)) == (ssize_t)sizeof(said); i++) {
        told = said;
        if (i == reports)
            assert_int_equal(kill(pid, SIGKILL), 0);
    }
    (void)close(pipe_fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    return told;
}

static bool on_row(const struct store_row *row, void *context)
{
    uint64_t *last = context;

    assert_int_equal(row->config.size_bytes, sizeof(*last));
    assert_memory_equal(row->config.data, &row->revision, sizeof(row->revision));
    *last = row->revision;
    return true;
}

/* Whole batches, without a gap; each chain as long as the ledger says. Returns the last seq. */
static uint64_t check_whole(uint64_t told)
{
    struct store_heads heads;
    uint64_t last_of_row = 0;
    uint64_t seq = 0;
    uint64_t end = 0;
    uint64_t of_1 = 0;
    size_t count;

    assert_int_equal(store_read_heads(rig.store, &heads), 0);
    assert_true(heads.last_seq >= told);
    assert_int_equal(store_read_rows(rig.store, on_row, &last_of_row), 0);
    assert_int_equal(last_of_row, heads.last_seq);
    do {
        assert_int_equal(
            store_read_events(rig.store, &(struct store_query){.after = seq}, events, PAGE, &count),
            0);
        for (size_t i = 0; i < count; i++, of_1 += seq % CTS == 1) {
            if (seq == end)
                end += batch_events(seq + 1);
            seq++;
            rig_check_event(&events[i], seq, (uint32_t)(seq % CTS));
        }
    } while (count > 0);
    assert_int_equal(seq, heads.last_seq);
    assert_int_equal(end, heads.last_seq);
    for (seq = 0, count = 1; count > 0; of_1 -= count) {
        assert_int_equal(store_read_events(rig.store,
                                           &(struct store_query){.after = seq, .name = "web-1"},
                                           events, PAGE, &count),
                         0);
        seq = count > 0 ? events[count - 1].seq : seq;
    }
    assert_int_equal(of_1, 0);
    return heads.last_seq;
}

static void test_store__killed_while_it_writes__has_all_that_was_told(void **state)
{
    struct prng prng = {.state = (uint64_t)getpid()};
    uint64_t last = 0;

    (void)state;
    print_message("seed %lu\n", (unsigned long)prng.state);
    for (unsigned i = 0; i < KILLS; i++) {
        uint64_t told = run_and_kill(last, (unsigned)prng_below(&prng, 60));

        rig_open();
        last = check_whole(told);
        rig_close();
    }
    assert_true(last > 0);
}

/* ---- a log that is torn ---- */

#define TORN_BATCHES 30
#define TORN_EVENTS 10
#define FRAME_BYTES (4096 + 24)

/* Leaves the log behind as kill -9 does. */
static void write_and_vanish(void)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (uv_loop_init(&rig.loop) < 0)
            _exit(1);
        rig_open();
        for (uint64_t i = 0; i < TORN_BATCHES; i++) {
            rig_post_events(i * TORN_EVENTS + 1, (i + 1) * TORN_EVENTS, CTS);
            rig_settle();
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void tear_log(off_t offset, bool is_cut)
{
    static const uint8_t octets[100] = {0xff};
    AUTO_FD fd = open(rig_path("node.db-wal"), O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    if (is_cut)
        assert_int_equal(ftruncate(fd, offset), 0);
    else
        assert_int_equal(pwrite(fd, octets, sizeof(octets), offset), sizeof(octets));
}

/* The checksums of its frames end it where it is torn: whole transactions up to there. */
static void test_store__log_is_torn__has_what_is_whole(void **state)
{
    uint64_t fewest = UINT64_MAX;
    uint64_t most = 0;

    for (unsigned frame = 1; frame < 200; frame += 23) {
        struct store_heads heads;

        write_and_vanish();
        tear_log((off_t)frame * FRAME_BYTES + 1234, frame % 2 == 0);

        rig_open();
        assert_int_equal(store_read_heads(rig.store, &heads), 0);
        assert_int_equal(heads.last_seq % TORN_EVENTS, 0);
        fewest = heads.last_seq < fewest ? heads.last_seq : fewest;
        most = heads.last_seq > most ? heads.last_seq : most;
        rig_post_events(heads.last_seq + 1, heads.last_seq + 1, CTS);
        rig_settle();
        assert_int_equal(rig.told, 1);
        assert_int_equal(rig_remove(state), 0);
        assert_int_equal(rig_make(state), 0);
    }
    assert_true(fewest < most && most <= (uint64_t)TORN_BATCHES * TORN_EVENTS);
}

/* ---- a file system that is full ---- */

static bool mount_small(const char *size)
{
    if (unshare(CLONE_NEWNS) < 0)
        return false;
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("store", rig.directory, "tmpfs", MS_NOSUID | MS_NODEV, size), 0);
    return true;
}

static uint64_t fill_until_failure(void)
{
    uint64_t seq = 0;

    for (unsigned i = 0; i < 5000 && rig.failures == 0; i++) {
        rig_post_events(seq + 1, seq + 10, CTS);
        seq += 10;
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    }
    return seq;
}

static void check_kept(uint64_t told_events)
{
    struct store_heads heads;
    size_t count = 0;

    assert_int_equal(mount("store", rig.directory, "tmpfs", MS_REMOUNT, "size=64m"), 0);
    rig_open();
    assert_int_equal(store_read_heads(rig.store, &heads), 0);
    assert_true(heads.last_seq >= told_events);
    assert_int_equal(store_read_events(rig.store, &(struct store_query){.after = told_events - 1},
                                       events, 1, &count),
                     0);
    assert_int_equal(count, 1);
    rig_check_event(&events[0], told_events, (uint32_t)(told_events % CTS));
    rig_post_events(heads.last_seq + 1, heads.last_seq + 1000, CTS);
    rig_settle();
    assert_int_equal(rig.told, 1);
    rig_close();
    assert_int_equal(umount2(rig.directory, MNT_DETACH), 0);
}

static void test_store__disk_full__fails_once_and_tells_no_more(void **state)
{
    uint64_t seq;
    uint64_t told;

    (void)state;
    if (!mount_small("size=1m"))
        skip();
    rig_open();
    seq = fill_until_failure();
    rig_settle();
    assert_int_equal(rig.failures, 1);
    assert_int_equal(rig.fault.status, STATUS_STORE_FULL);
    assert_int_equal(rig.fault.error, ENOSPC);
    assert_non_null(strstr(rig.fault.text, "node.db: its file system is full"));
    assert_string_not_equal(rig.fault.hint, "");
    told = rig.told;
    assert_true(told > 0);

    /* Room comes back, but what was promised has failed: nothing is tried again. */
    assert_int_equal(mount("store", rig.directory, "tmpfs", MS_REMOUNT, "size=64m"), 0);
    for (unsigned i = 0; i < 50; i++) {
        rig_post_events(seq + i + 1, seq + i + 1, CTS);
        rig_post(store_batch_new());
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    }
    rig_close();
    assert_int_equal(rig.told, told);
    assert_int_equal(rig.failures, 1);

    check_kept(told * 10);
}

static void test_store__disk_full_at_close__fails_there(void **state)
{
    uint64_t seq = 0;

    (void)state;
    if (!mount_small("size=1m"))
        skip();
    rig_open();
    rig_post_events(1, 10, CTS);
    for (seq = 10; seq < 20000; seq += 1000)
        rig_post_events(seq + 1, seq + 1000, CTS);

    rig_close();

    assert_int_equal(rig.failures, 1);
    assert_int_equal(rig.fault.status, STATUS_STORE_FULL);
    assert_true(rig.told < rig.posted);
    assert_int_equal(umount2(rig.directory, MNT_DETACH), 0);
}

/* Every size from one that is too small even for a new file up to one that is enough. */
static void test_store__disk_too_small__is_refused_or_works(void **state)
{
    char size[32];
    unsigned opened = 0;
    unsigned refused = 0;

    (void)state;
    for (unsigned kib = 4; kib <= 256; kib += 4) {
        struct fault fault = {0};

        (void)snprintf(size, sizeof(size), "size=%uk", kib);
        if (!mount_small(size))
            skip();
        if (rig_try_open(&fault) == 0) {
            opened++;
            rig_post_events(1, 1, 1);
            rig_settle();
            assert_int_equal(rig.told + rig.failures, 1);
            rig_close();
        } else {
            refused++;
            assert_string_not_equal(fault.text, "");
            assert_true(fault.error == ENOSPC);
            (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
        }
        assert_int_equal(umount2(rig.directory, MNT_DETACH), 0);
    }
    assert_true(opened > 0);
    assert_true(refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_make, rig_remove)
        RIG_TEST(test_store__killed_while_it_writes__has_all_that_was_told),
        RIG_TEST(test_store__log_is_torn__has_what_is_whole),
        RIG_TEST(test_store__disk_full__fails_once_and_tells_no_more),
        RIG_TEST(test_store__disk_full_at_close__fails_there),
        RIG_TEST(test_store__disk_too_small__is_refused_or_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
