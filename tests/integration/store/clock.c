/* SPDX-License-Identifier: Apache-2.0 */
/* A clock that is set back or forth must neither keep what is old for ever nor forget a result
 * while its command may still be repeated. The writer gets its time from the caller: it jumps. */
#include "rig.h"

#include "clock.h"
#include "database.h"
#include "store_parts.h"

#define HOUR_NS (3600 * NS_PER_S)
#define DAY_NS (24 * HOUR_NS)
#define BEGAN_WALL_NS (UINT64_C(1700000000) * NS_PER_S)

static struct store_writer writer;
static struct store_reader reader;
static uint64_t now_ns;
static uint64_t now_wall_ns;
static uint64_t seq;

static void open_at(uint64_t wall_ns)
{
    struct fault fault = {0};
    sqlite3 *db = NULL;

    now_ns = HOUR_NS; /* since the host's boot */
    now_wall_ns = wall_ns;
    if (store_db_open(rig_path("node.db"), &db, &fault) < 0)
        fail_msg("%s", fault.text);
    assert_int_equal(store_writer_open(&writer, db), SQLITE_OK);
    writer.limits.history_min_bytes = 0;
    memset(&reader, 0, sizeof(reader));
    assert_int_equal(database_open_reader(rig_path("node.db"), &db), 0);
    assert_int_equal(store_reader_open(&reader, db), 0);
}

static void close_it(void)
{
    store_reader_close(&reader);
    store_writer_close(&writer, true);
}

static int set_up(void **state)
{
    seq = 0;
    return rig_make(state);
}

static void pass(uint64_t passed_ns)
{
    now_ns += passed_ns;
    now_wall_ns += passed_ns;
}

static void jump(int64_t wall_ns)
{
    now_wall_ns += (uint64_t)wall_ns;
}

static void commit(const struct store_change *changes, size_t count)
{
    struct store_batch *batch = store_batch_new();

    for (size_t i = 0; i < count; i++)
        store_batch_add(batch, &changes[i]);
    assert_int_equal(store_writer_begin(&writer, now_ns, now_wall_ns), SQLITE_OK);
    assert_int_equal(store_writer_apply(&writer, batch), SQLITE_OK);
    assert_int_equal(store_writer_commit(&writer), SQLITE_OK);
    store_batch_free(batch);
}

/* A result with its event, acknowledged at once. */
static void add_result(const char *request)
{
    struct store_change changes[3] = {rig_event(++seq, 1), {.kind = STORE_PUT_RESULT}, {0}};

    changes[0].event.time_wall_ns = now_wall_ns;
    changes[1].result = (struct store_result){.phase = PHASE_DONE, .time_wall_ns = now_wall_ns};
    (void)snprintf(changes[1].result.request, REQUEST_ID_BYTES, "%s", request);
    changes[2] = rig_ack(seq);
    commit(changes, 3);
}

static void add_events(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        seq++;
        struct store_change changes[2] = {rig_event(seq, 1), rig_ack(seq)};

        changes[0].event.time_wall_ns = now_wall_ns;
        commit(changes, 2);
    }
}

static bool is_known(const char *request)
{
    struct store_result result;

    return store_reader_result(&reader, request, &result) == 0;
}

static uint64_t first_seq(void)
{
    struct store_heads heads;

    assert_int_equal(store_reader_heads(&reader, &heads), 0);
    return heads.first_seq;
}

static void test_clock__goes_on__forgets_a_result_after_its_time(void **state)
{
    (void)state;
    open_at(BEGAN_WALL_NS);
    add_result("one");
    pass(DAY_NS - NS_PER_S);
    commit(NULL, 0);
    assert_true(is_known("one"));

    pass(2 * NS_PER_S);
    commit(NULL, 0);

    assert_false(is_known("one"));
    close_it();
}

static void test_clock__set_forth__keeps_a_result_that_is_new(void **state)
{
    (void)state;
    open_at(BEGAN_WALL_NS);
    add_result("one");
    pass(60 * NS_PER_S);

    jump((int64_t)(400 * DAY_NS));
    commit(NULL, 0);
    assert_true(is_known("one"));
    for (unsigned hour = 0; hour < 23; hour++) {
        pass(HOUR_NS);
        commit(NULL, 0);
        assert_true(is_known("one"));
    }

    pass(2 * HOUR_NS);
    commit(NULL, 0);
    assert_false(is_known("one"));
    close_it();
}

static void test_clock__set_back__forgets_all_the_same(void **state)
{
    (void)state;
    open_at(BEGAN_WALL_NS + 400 * DAY_NS);
    add_result("one");
    add_result("two");

    jump(-(int64_t)(400 * DAY_NS));
    add_result("three");
    pass(23 * HOUR_NS);
    commit(NULL, 0);
    assert_true(is_known("one") && is_known("two") && is_known("three"));
    pass(2 * HOUR_NS);
    commit(NULL, 0);

    assert_false(is_known("one") || is_known("two") || is_known("three"));
    close_it();
}

/* While nobody ran: the new agent finds results of times to come. */
static void test_clock__set_back_between_two_agents__forgets_all_the_same(void **state)
{
    (void)state;
    open_at(BEGAN_WALL_NS + 400 * DAY_NS);
    add_result("one");
    close_it();

    open_at(BEGAN_WALL_NS);
    commit(NULL, 0);
    add_result("two");
    pass(23 * HOUR_NS);
    commit(NULL, 0);
    assert_true(is_known("one") && is_known("two"));
    pass(2 * HOUR_NS);
    commit(NULL, 0);

    assert_false(is_known("one") || is_known("two"));
    close_it();
}

static void test_clock__jump_in_a_commit_that_failed__is_not_forgotten(void **state)
{
    (void)state;
    open_at(BEGAN_WALL_NS);
    add_result("one");
    jump((int64_t)(400 * DAY_NS));
    assert_int_equal(store_writer_begin(&writer, now_ns, now_wall_ns), SQLITE_OK);
    assert_int_equal(store_writer_rollback(&writer), SQLITE_OK);

    commit(NULL, 0);

    assert_true(is_known("one"));
    close_it();
}

static void test_clock__was_ahead_for_a_while__events_go_with_those_behind(void **state)
{
    (void)state;
    open_at(BEGAN_WALL_NS + 4000 * DAY_NS);
    add_events(10);
    jump(-(int64_t)(4000 * DAY_NS));
    add_events(200);
    assert_int_equal(first_seq(), 1);

    pass(6 * DAY_NS);
    add_events(100);
    assert_int_equal(first_seq(), 1); /* none is a week old */
    pass(2 * DAY_NS);
    add_events(100);

    assert_true(first_seq() > 200 && first_seq() <= 211);
    close_it();
}

static void test_clock__many_times_to_come__are_bounded_by_what_they_take(void **state)
{
    (void)state;
    open_at(BEGAN_WALL_NS + 4000 * DAY_NS);
    add_events(500);
    jump(-(int64_t)(4000 * DAY_NS));
    pass(8 * DAY_NS);
    add_events(200);
    assert_int_equal(first_seq(), 1);

    writer.limits.history_max_bytes = 0;
    add_events(100);

    assert_true(first_seq() > 500);
    close_it();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CLOCK_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, rig_remove)
        CLOCK_TEST(test_clock__goes_on__forgets_a_result_after_its_time),
        CLOCK_TEST(test_clock__set_forth__keeps_a_result_that_is_new),
        CLOCK_TEST(test_clock__set_back__forgets_all_the_same),
        CLOCK_TEST(test_clock__set_back_between_two_agents__forgets_all_the_same),
        CLOCK_TEST(test_clock__jump_in_a_commit_that_failed__is_not_forgotten),
        CLOCK_TEST(test_clock__was_ahead_for_a_while__events_go_with_those_behind),
        CLOCK_TEST(test_clock__many_times_to_come__are_bounded_by_what_they_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
