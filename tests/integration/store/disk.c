/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that is full must cost commands, not ends of guests; one that fails a sync must cost the
 * agent, as what it lost is not known. Each write finds no room once, each sync fails once, below
 * the real store; a real file system is filled until only the reserve is left. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "shim.h"

#define CTS 5
#define BATCHES 12
#define PER_BATCH 40
#define PAGE 256

static struct event events[PAGE];

static int set_up(void **state)
{
    shim_put();
    return rig_make(state);
}

static int tear_down(void **state)
{
    int result;

    shim.write_from = shim.sync_from = 0;
    result = rig_remove(state);
    shim_remove();
    return result;
}

static int begin_anew(void **state)
{
    shim.write_from = shim.sync_from = 0;
    return rig_remove(state) == 0 ? rig_make(state) : -1;
}

static void open_with_short_log(void)
{
    struct store_limits limits = store_limits_default;

    rig_open();
    limits.wal_frames = 20; /* checkpoints in between */
    store_set_limits(rig.store, &limits);
}

static void count_anew(void)
{
    atomic_store(&shim.writes, 0);
    atomic_store(&shim.syncs, 0);
}

/* Rows come with their events, one batch a transaction. */
static void work(void)
{
    for (uint64_t seq = 1; seq <= BATCHES * PER_BATCH && rig.failures == 0; seq += PER_BATCH) {
        struct store_change change = rig_row((uint32_t)(seq % CTS));

        rig_post_events(seq, seq + PER_BATCH - 1, CTS);
        rig_settle(); /* each a transaction of its own, in every run */
        rig_post_one(&change);
        rig_settle();
    }
}

/* All that was told, in order and nothing twice. */
static void check_kept(uint64_t at_least)
{
    uint64_t last = 0;
    size_t count;

    do {
        assert_int_equal(store_read_events(rig.store, &(struct store_query){.after = last}, events,
                                           PAGE, &count),
                         0);
        for (size_t i = 0; i < count; i++)
            rig_check_event(&events[i], last + i + 1, (uint32_t)((last + i + 1) % CTS));
        last += count;
    } while (count > 0);
    assert_true(last >= at_least);
}

/* How many writes or syncs of files with this suffix the work makes. */
static unsigned count_of(const char *suffix, atomic_uint *counter)
{
    shim.suffix = suffix;
    open_with_short_log();
    count_anew();
    work();
    assert_int_equal(rig.told, 2 * BATCHES);
    unsigned count = atomic_load(counter); /* what is done at the end has nobody to tell it to */
    rig_close();
    return count;
}

static void test_disk__each_write_finds_no_room_once__goes_on_with_the_reserve(void **state)
{
    static const char *const suffixes[] = {"-wal", "node.db"};

    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        unsigned writes = count_of(suffixes[i], &shim.writes);

        print_message("%u writes of %s\n", writes, suffixes[i]);
        assert_true(writes > 10);
        for (unsigned number = 1; number <= writes; number += 1 + writes / 20) {
            assert_int_equal(begin_anew(state), 0);
            open_with_short_log();
            assert_int_equal(rig_file_bytes("node.db.reserve"), STORE_RESERVE_BYTES);
            count_anew();
            shim.write_fate = SHIM_FULL;
            shim.write_count = 1;
            shim.write_from = number;

            work();

            assert_int_equal(rig.failures, 0);
            assert_int_equal(rig.told, 2 * BATCHES);
            assert_true(atomic_load(&shim.writes) >= number); /* it was met */
            check_kept(BATCHES * PER_BATCH);
            assert_false(store_is_full(rig.store)); /* there is room: it was made again */
            assert_int_equal(rig_file_bytes("node.db.reserve"), STORE_RESERVE_BYTES);
            rig_close();
            rig_open();
            check_kept(BATCHES * PER_BATCH);
        }
        assert_int_equal(begin_anew(state), 0);
    }
}

static void test_disk__no_room_even_without_the_reserve__fails_once(void **state)
{
    for (unsigned number = 1; number <= 40; number += 13) {
        open_with_short_log();
        shim.suffix = "-wal";
        count_anew();
        shim.write_fate = SHIM_FULL;
        shim.write_count = UINT16_MAX;
        shim.write_from = number;

        work();

        assert_int_equal(rig.failures, 1);
        assert_int_equal(rig.fault.status, STATUS_STORE_FULL);
        assert_int_equal(access(rig_path("node.db.reserve"), F_OK), -1);
        uint64_t told = rig.told;
        rig_close();
        shim.write_from = 0;
        rig_open();
        check_kept(told / 2 * PER_BATCH);
        assert_int_equal(begin_anew(state), 0);
    }
}

/* After some 4000 frames the log's index needs more of its own file. */
static void test_disk__index_of_the_log_finds_no_room__goes_on_with_the_reserve(void **state)
{
    struct store_limits limits = store_limits_default;
    uint64_t seq = 0;

    (void)state;
    rig_open();
    limits.wal_frames = 100000;
    store_set_limits(rig.store, &limits);
    shim.is_index_full = true;
    for (unsigned i = 0; i < 1000 && shim.is_index_full; i++) {
        rig_post_events(seq + 1, seq + 1000, CTS);
        seq += 1000;
        rig_settle();
    }
    rig_settle();

    assert_false(shim.is_index_full); /* it was met */
    assert_int_equal(rig.failures, 0);
    assert_int_equal(rig.told, seq / 1000);
    check_kept(seq);
}

/* ---- a sync that fails ---- */

static void fail_sync(void **state, const char *suffix, int error)
{
    unsigned syncs = count_of(suffix, &shim.syncs);

    print_message("%u syncs of %s\n", syncs, suffix);
    assert_true(syncs >= 2);
    for (unsigned number = 1; number <= syncs; number++) {
        assert_int_equal(begin_anew(state), 0);
        open_with_short_log();
        count_anew();
        shim.sync_fate = SHIM_FAIL;
        shim.sync_errno = error;
        shim.sync_count = 1; /* it would do the next time */
        shim.sync_from = number;

        work();
        if (rig.failures == 0)
            rig_settle(); /* the last checkpoint's */
        uint64_t told = rig.told;
        rig_post_events(BATCHES * PER_BATCH + 1, BATCHES * PER_BATCH + 1, CTS);
        rig_close();

        assert_int_equal(rig.failures, 1);
        assert_int_equal(rig.told, told);
        assert_int_equal(atomic_load(&shim.syncs), number); /* never tried again */
        assert_int_equal(access(rig_path("node.db.reserve"), F_OK), 0);
        assert_non_null(strstr(rig.fault.text, "cannot write"));
        assert_string_not_equal(rig.fault.hint, "");
        shim.sync_from = 0;
        rig_open();
        check_kept(told / 2 * PER_BATCH);
    }
    assert_int_equal(begin_anew(state), 0);
}

static void test_disk__sync_of_the_log_fails__ends_it_at_once(void **state)
{
    fail_sync(state, "-wal", EIO);
}

static void test_disk__sync_of_the_database_fails__ends_it_at_once(void **state)
{
    fail_sync(state, "node.db", EIO);
}

/* With quotas and over the network a sync may be the first to say it; what it lost is lost. */
static void test_disk__sync_says_no_room__ends_it_all_the_same(void **state)
{
    fail_sync(state, "-wal", ENOSPC);
}

static void test_disk__sync_fails_at_the_start__is_refused(void **state)
{
    struct store_change change = rig_row(1);
    struct fault fault = {0};

    (void)state;
    rig_open();
    rig_post_events(1, 100, CTS);
    rig_post_one(&change);
    rig_settle();
    shim.suffix = "-wal";
    count_anew();
    shim.sync_fate = SHIM_FAIL;
    shim.sync_errno = EIO;
    shim.sync_count = 1;
    shim.sync_from = 1;
    rig_post_events(101, 101, CTS); /* its failure leaves the log as it is, not synced */
    rig_settle();
    assert_int_equal(rig.failures, 1);
    rig_close();
    count_anew();

    assert_int_equal(rig_try_open(&fault), -EIO);

    assert_non_null(strstr(fault.text, "cannot open"));
    assert_string_not_equal(fault.hint, "");
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    rig_open();
    check_kept(100);
}

/* The log is extended before all else; what refuses that is no lack of room. */
static void test_disk__log_cannot_be_extended__is_refused(void **state)
{
    struct rlimit before;
    struct fault fault = {0};

    (void)state;
    rig_open();
    rig_post_events(1, 100, CTS);
    rig_settle();
    rig_close();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {.rlim_cur = 4 << 20, .rlim_max = before.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);

    int result = rig_try_open(&fault);

    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(result, -EFBIG);
    assert_non_null(strstr(fault.text, "cannot make the log of"));
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    rig_open();
    check_kept(100);
}

/* ---- a real file system ---- */

static void fill_up(void)
{
    static uint8_t octets[64 * 1024];
    AUTO_FD fd = open(rig_path("copy"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    while (write(fd, octets, sizeof(octets)) > 0)
        ;
    assert_int_equal(errno, ENOSPC);
}

static void test_disk__full__refuses_commands_writes_on_and_recovers(void **state)
{
    uint64_t seq = 0;

    (void)state;
    if (unshare(CLONE_NEWNS) < 0)
        skip();
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("store", rig.directory, "tmpfs", MS_NOSUID | MS_NODEV, "size=100m"), 0);
    rig_open();
    assert_false(store_is_full(rig.store));
    fill_up();

    while (!store_is_full(rig.store) && rig.failures == 0) {
        rig_post_events(seq + 1, seq + 500, CTS);
        seq += 500;
        rig_settle();
    }
    assert_int_equal(rig.failures, 0);
    struct fault fault = {0};
    store_full_fault(rig.store, &fault);
    assert_int_equal(fault.status, STATUS_STORE_FULL);
    assert_non_null(strstr(fault.text, "is full"));
    for (unsigned i = 0; i < 20; i++) { /* ends of guests */
        rig_post_events(seq + 1, seq + 10, CTS);
        seq += 10;
        rig_settle();
    }
    assert_int_equal(rig.failures, 0);
    assert_true(store_is_full(rig.store));

    assert_int_equal(unlink(rig_path("copy")), 0);
    rig_post_events(seq + 1, seq + 1, CTS);
    seq++;
    rig_settle();
    assert_false(store_is_full(rig.store));
    fill_up();
    while (rig.failures == 0) { /* and now to the end */
        rig_post_events(seq + 1, seq + 500, CTS);
        seq += 500;
        rig_settle();
    }
    assert_int_equal(rig.fault.status, STATUS_STORE_FULL);
    rig_close();
    assert_int_equal(unlink(rig_path("copy")), 0);
    rig_open();
    assert_false(store_is_full(rig.store));
    check_kept(seq - 500);
    rig_close();
    assert_int_equal(umount2(rig.directory, MNT_DETACH), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define DISK_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        DISK_TEST(test_disk__each_write_finds_no_room_once__goes_on_with_the_reserve),
        DISK_TEST(test_disk__no_room_even_without_the_reserve__fails_once),
        DISK_TEST(test_disk__index_of_the_log_finds_no_room__goes_on_with_the_reserve),
        DISK_TEST(test_disk__sync_of_the_log_fails__ends_it_at_once),
        DISK_TEST(test_disk__sync_of_the_database_fails__ends_it_at_once),
        DISK_TEST(test_disk__sync_says_no_room__ends_it_all_the_same),
        DISK_TEST(test_disk__sync_fails_at_the_start__is_refused),
        DISK_TEST(test_disk__log_cannot_be_extended__is_refused),
        DISK_TEST(test_disk__full__refuses_commands_writes_on_and_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
