/* SPDX-License-Identifier: Apache-2.0 */
/* An event that was told and is not in the ledger, or is there twice, breaks what upstream builds
 * on it. Batches of all sizes go to a real file and are read back, by a thread meanwhile too. */
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "uuid.h"

#define PAGE 256

static struct event events[PAGE];

static void check_events(uint64_t first, uint64_t last, uint32_t cts)
{
    uint64_t seq = first;
    size_t count = 1;

    while (count > 0) {
        assert_int_equal(store_read_events(rig.store, &(struct store_query){.after = seq - 1},
                                           events, PAGE, &count),
                         0);
        for (size_t i = 0; i < count; i++, seq++)
            rig_check_event(&events[i], seq, (uint32_t)(seq % cts));
    }
    assert_int_equal(seq, last + 1);
}

static void check_heads(uint64_t first, uint64_t last, uint64_t acked)
{
    struct store_heads heads;

    assert_int_equal(store_read_heads(rig.store, &heads), 0);
    assert_int_equal(heads.first_seq, first);
    assert_int_equal(heads.last_seq, last);
    assert_int_equal(heads.acked_seq, acked);
    assert_int_equal(heads.acked_epoch, acked == 0 ? 0 : 99);
}

static void test_ledger__new__has_an_id_of_its_own_for_ever(void **state)
{
    char first[UUID_TEXT_BYTES];
    uint8_t uuid[UUID_BYTES];
    struct stat status;

    rig_open();
    check_heads(0, 0, 0);
    (void)snprintf(first, sizeof(first), "%s", store_ledger_id(rig.store));
    assert_true(uuid_parse(first, uuid));
    assert_int_equal(stat(rig_path("node.db"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(stat(rig_path("node.db-wal"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);

    rig_close();
    rig_open();
    assert_string_equal(store_ledger_id(rig.store), first);

    assert_int_equal(rig_remove(state), 0);
    assert_int_equal(rig_make(state), 0);
    rig_open();
    assert_string_not_equal(store_ledger_id(rig.store), first);
}

static void test_ledger__batches_of_all_sizes__are_told_in_order_and_kept(void **state)
{
    uint64_t seq = 0;

    (void)state;
    rig_open();
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t count = i % 7 == 0 ? 0 : i % 100 == 1 ? STORE_BATCH_EVENTS_MAX : i % 5;

        rig_post_events(seq + 1, seq + count, 37);
        seq += count;
        if (i % 50 == 0)
            (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    }
    rig_settle();
    assert_int_equal(rig.told, 3000);
    check_heads(1, seq, 0);
    check_events(1, seq, 37);

    rig_close();
    rig_open();

    check_heads(1, seq, 0);
    check_events(1, seq, 37);
}

static void test_ledger__limits_of_texts__come_back_whole(void **state)
{
    struct store_change change = rig_event(1, 1);

    (void)state;
    rig_open();
    memset(change.event.name, 'n', NAME_BYTES - 1);
    memset(change.event.request, 'r', REQUEST_ID_BYTES - 1);
    memset(change.event.detail, '\'', EVENT_DETAIL_BYTES - 1);
    change.event.wait_status = -1;
    change.event.has_status = true;
    change.event.epoch = UINT64_MAX;
    rig_post_one(&change);
    rig_settle();
    size_t count = 0;

    assert_int_equal(store_read_events(rig.store, &(struct store_query){.name = change.event.name},
                                       events, 2, &count),
                     0);

    assert_int_equal(count, 1);
    assert_string_equal(events[0].name, change.event.name);
    assert_string_equal(events[0].request, change.event.request);
    assert_string_equal(events[0].detail, change.event.detail);
    assert_int_equal(events[0].wait_status, -1);
    assert_true(events[0].has_status);
    assert_int_equal(events[0].epoch, UINT64_MAX);
}

static void test_ledger__empty_batch_alone__is_told_without_a_write(void **state)
{
    struct stat before;
    struct stat after;

    (void)state;
    rig_open();
    rig_post_events(1, 3, 1);
    rig_settle();
    assert_int_equal(stat(rig_path("node.db-wal"), &before), 0);

    for (unsigned i = 0; i < 100; i++) {
        rig_post(store_batch_new());
        rig_settle();
    }

    assert_int_equal(rig.told, 101);
    assert_int_equal(stat(rig_path("node.db-wal"), &after), 0);
    assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

static void post_more(uint64_t number)
{
    if (number > 20)
        return;
    rig_post(store_batch_new());
    rig_post_events(number, number, 3);
}

static void test_ledger__callback_posts__is_told_after_what_was_before(void **state)
{
    (void)state;
    rig_open();
    rig.on_told = post_more;
    rig_post(store_batch_new());

    rig_settle();

    assert_int_equal(rig.told, 41);
    check_heads(1, 20, 0);
}

static void test_ledger__closed_at_once__commits_and_tells_what_was_posted(void **state)
{
    (void)state;
    rig_open();
    for (uint64_t seq = 1; seq <= 400; seq++)
        rig_post_events(seq, seq, 5);
    rig_post(store_batch_new());

    rig_close(); /* runs no loop before its end */

    assert_int_equal(rig.told, 401);
    rig_open();
    check_events(1, 400, 5);
}

/* ---- what may go ---- */

static void open_small(uint64_t min_bytes, uint64_t max_bytes)
{
    struct store_limits limits = store_limits_default;

    rig_open();
    limits.history_min_bytes = min_bytes;
    limits.history_max_bytes = max_bytes;
    store_set_limits(rig.store, &limits);
}

static uint64_t read_first(void)
{
    struct store_heads heads;

    assert_int_equal(store_read_heads(rig.store, &heads), 0);
    return heads.first_seq;
}

static void test_ledger__old_acknowledged_and_enough__is_pruned_up_to_there(void **state)
{
    struct store_change ack = rig_ack(6000);

    (void)state;
    open_small(UINT64_C(64) << 10, UINT64_C(1) << 30);
    rig_post_events(1, 10000, 9);
    rig_settle();
    assert_int_equal(read_first(), 1); /* not acknowledged: none goes */

    rig_post_one(&ack);
    for (uint64_t seq = 10001; seq <= 14000; seq++)
        rig_post_events(seq, seq, 9);
    rig_settle();

    assert_int_equal(read_first(), 6001);
    check_heads(6001, 14000, 6000);
    check_events(6001, 14000, 9);
}

static void test_ledger__little_or_new__stays_though_acknowledged(void **state)
{
    struct store_change change = rig_event(5001, 1);

    (void)state;
    open_small(UINT64_C(64) << 10, UINT64_C(1) << 30);
    for (uint64_t seq = 1; seq <= 5000; seq++) {
        change = rig_event(seq, 1);
        change.event.time_wall_ns = clock_wall_ns(); /* new */
        rig_post_one(&change);
    }
    change = rig_ack(5000);
    rig_post_one(&change);
    rig_post_events(5001, 6000, 1);
    rig_settle();
    assert_int_equal(read_first(), 1);
    rig_close();

    open_small(UINT64_C(64) << 20, UINT64_C(1) << 30); /* and now it is little */
    rig_post_events(6001, 7000, 1);
    change = rig_ack(7000);
    rig_post_one(&change);
    rig_settle();
    assert_int_equal(read_first(), 1);
    rig_close();

    open_small(UINT64_C(64) << 10, UINT64_C(128) << 10); /* new, but too much */
    rig_post_events(7001, 7001, 1);
    rig_settle();
    assert_true(read_first() > 1);
}

static void test_ledger__all_acknowledged__keeps_the_newest_for_its_number(void **state)
{
    struct store_change ack = rig_ack(500);

    (void)state;
    open_small(0, 0);
    rig_post_events(1, 500, 3);
    for (unsigned i = 0; i < 100; i++) { /* a few go with each transaction */
        rig_post_one(&ack);
        rig_settle();
    }

    check_heads(500, 500, 500);
    rig_close();
    rig_open();
    check_heads(500, 500, 500);
}

static void come_and_go(uint32_t first, uint32_t last, uint64_t *seq)
{
    for (uint32_t ct = first; ct <= last; ct++) {
        struct store_batch *batch = store_batch_new();
        struct store_change change;

        for (unsigned i = 0; i < 8; i++) {
            change = rig_event(++*seq, ct);
            store_batch_add(batch, &change);
            change = i < 7 ? rig_row(ct) : rig_delete(ct);
            change.row.has_config = i == 0;
            change.row.config = (struct octets){(const uint8_t *)rig.directory, 40};
            store_batch_add(batch, &change);
        }
        change = rig_ack(*seq);
        store_batch_add(batch, &change);
        rig_post(batch);
    }
    rig_settle();
}

static void test_ledger__containers_come_and_go__does_not_grow(void **state)
{
    uint64_t seq = 0;
    uint64_t settled_bytes;

    (void)state;
    open_small(UINT64_C(256) << 10, UINT64_C(1) << 30);
    come_and_go(1, 2000, &seq);
    rig_close();
    settled_bytes = rig_file_bytes("node.db");

    open_small(UINT64_C(256) << 10, UINT64_C(1) << 30);
    come_and_go(2001, 12000, &seq);
    rig_close();

    print_message("node.db after 2000 containers %lu KiB, after 12000 %lu KiB\n",
                  (unsigned long)settled_bytes / 1024,
                  (unsigned long)rig_file_bytes("node.db") / 1024);
    assert_true(rig_file_bytes("node.db") < settled_bytes + (1 << 20)); /* of 8 it would have */
    rig_open();
    check_heads(read_first(), seq, seq);
}

static void test_ledger__much_written__log_begins_again(void **state)
{
    uint64_t log_bytes;
    size_t count;

    (void)state;
    rig_open();
    log_bytes = rig_file_bytes("node.db-wal");
    for (uint64_t seq = 1; seq <= 300000; seq += 500) {
        rig_post_events(seq, seq + 499, 600);
        if (seq % 5000 == 1) {
            rig_settle();
            assert_int_equal(store_read_events(rig.store, &(struct store_query){.name = "web-5"},
                                               events, PAGE, &count),
                             0);
        }
    }
    rig_settle();

    assert_true(rig_file_bytes("node.db") > log_bytes);
    assert_true(rig_file_bytes("node.db-wal") < log_bytes + log_bytes / 4);
    rig_close();
    assert_int_equal(access(rig_path("node.db-wal"), F_OK), -1);
}

/* ---- reading meanwhile ---- */

static atomic_bool is_reading_done;

static void *read_meanwhile(void *context)
{
    static struct event seen[PAGE];
    unsigned *rounds = context;
    uint64_t last = 0;
    size_t count = 0;

    while (!atomic_load(&is_reading_done) || count > 0) {
        if (store_read_events(rig.store, &(struct store_query){.after = last}, seen, PAGE, &count) <
            0)
            return "reading failed";
        for (size_t i = 0; i < count; i++)
            if (seen[i].seq != ++last)
                return "a gap in what is read meanwhile";
        if (*rounds % 3 == 0 && store_read_events(rig.store, &(struct store_query){.name = "web-1"},
                                                  seen, PAGE, &count) < 0)
            return "history failed";
        ++*rounds;
    }
    return NULL;
}

static void test_ledger__read_by_another_thread__has_no_gap(void **state)
{
    unsigned rounds = 0;
    void *words = NULL;
    pthread_t thread;

    (void)state;
    rig_open();
    atomic_store(&is_reading_done, false);
    assert_int_equal(pthread_create(&thread, NULL, read_meanwhile, &rounds), 0);
    for (uint64_t seq = 1; seq <= 30000; seq += 10) {
        rig_post_events(seq, seq + 9, 100);
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    }
    rig_settle();
    atomic_store(&is_reading_done, true);
    assert_int_equal(pthread_join(thread, &words), 0);

    if (words != NULL)
        fail_msg("%s", (const char *)words);
    assert_true(rounds > 0);
}

/* ---- how fast, for the reader of the log ---- */

static void post_group(uint64_t *seq, unsigned count)
{
    struct store_batch *batch = store_batch_new();

    for (unsigned i = 0; i < count; i++) {
        uint32_t ct = (uint32_t)(++*seq % 500);
        struct store_change change = rig_event(*seq, ct);

        store_batch_add(batch, &change);
        change = rig_row(ct);
        store_batch_add(batch, &change);
    }
    rig_post(batch);
}

static void test_ledger__speed__is_printed(void **state)
{
    uint64_t seq = 0;
    uint64_t began_ns;

    (void)state;
    rig_open();
    began_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < 1000; i++) {
        post_group(&seq, 64);
        while (rig.posted - rig.told > 4)
            (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    rig_settle();
    print_message("groups of 64: %lu events with their rows a second\n",
                  (unsigned long)(seq * NS_PER_S / (clock_monotonic_ns() - began_ns)));

    began_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < 500; i++) {
        post_group(&seq, 1);
        rig_settle();
    }
    print_message("a lone commit: %lu us\n",
                  (unsigned long)((clock_monotonic_ns() - began_ns) / 500 / 1000));
    assert_int_equal(rig.told, 1500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_make, rig_remove)
        RIG_TEST(test_ledger__new__has_an_id_of_its_own_for_ever),
        RIG_TEST(test_ledger__batches_of_all_sizes__are_told_in_order_and_kept),
        RIG_TEST(test_ledger__limits_of_texts__come_back_whole),
        RIG_TEST(test_ledger__empty_batch_alone__is_told_without_a_write),
        RIG_TEST(test_ledger__callback_posts__is_told_after_what_was_before),
        RIG_TEST(test_ledger__closed_at_once__commits_and_tells_what_was_posted),
        RIG_TEST(test_ledger__old_acknowledged_and_enough__is_pruned_up_to_there),
        RIG_TEST(test_ledger__little_or_new__stays_though_acknowledged),
        RIG_TEST(test_ledger__all_acknowledged__keeps_the_newest_for_its_number),
        RIG_TEST(test_ledger__containers_come_and_go__does_not_grow),
        RIG_TEST(test_ledger__much_written__log_begins_again),
        RIG_TEST(test_ledger__read_by_another_thread__has_no_gap),
        RIG_TEST(test_ledger__speed__is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
