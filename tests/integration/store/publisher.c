/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever follows events must get each once and in order, and neither his slowness nor a disk's may
 * hold up the loop. Followers that refuse, stop, leave and come late read a real ledger. */
#include "publisher.h"

#include <errno.h>
#include <malloc.h>
#include <semaphore.h>
#include <stdlib.h>

#include "cleanup.h"
#include "prng.h"
#include "rig.h"

#define CTS 7
#define LONG 100000
#define SHORT 3000

static struct publisher publisher;
static struct executor executors[8]; /* their threads outlive the test that began them */
static struct executor *executor = executors;
static bool is_executor_open;

/* One that is told, as a test sees it. */
struct sink {
    struct follower *follower;
    uint64_t seq; /* last that came */
    uint64_t count;
    uint32_t ct; /* of these alone; CTS: of all */
    bool is_shut;
    bool is_moody;
    bool is_ended;
    unsigned failures;
    int error;
};
static struct sink sinks[PUBLISHER_FOLLOWERS_MAX + 1]; /* by origin */
static struct prng prng;

static bool on_send(struct follower *follower, const struct event *events, size_t count,
                    bool is_last)
{
    struct sink *sink = &sinks[follower->origin];

    assert_false(sink->is_ended);
    assert_true(count <= PUBLISHER_CHUNK);
    if (sink->is_shut || (sink->is_moody && prng_below(&prng, 3) == 0))
        return false;
    for (size_t i = 0; i < count; i++) {
        uint64_t seq = events[i].seq;

        assert_true(seq > sink->seq);
        if (sink->ct == CTS)
            assert_int_equal(seq, sink->seq + 1);
        rig_check_event(&events[i], seq, (uint32_t)(seq % CTS));
        sink->seq = seq;
        sink->count++;
    }
    sink->is_ended = is_last;
    return true;
}

static void on_fail(struct follower *follower, int error)
{
    struct sink *sink = &sinks[follower->origin];

    assert_false(sink->is_ended);
    sink->is_ended = true;
    sink->failures++;
    sink->error = error;
}

static int set_up(void **state)
{
    if (rig_make(state) < 0)
        return -1;
    memset(&publisher, 0, sizeof(publisher));
    memset(sinks, 0, sizeof(sinks));
    for (size_t i = 0; i < COUNT_OF(sinks); i++)
        sinks[i].ct = CTS;
    prng.state = 1;
    is_executor_open = false;
    return 0;
}

static int tear_down(void **state)
{
    if (is_executor_open) {
        publisher_stop(&publisher);
        while (publisher.followers != NULL)
            publisher_remove(&publisher, publisher.followers);
        free(publisher.recent);
        uv_close((uv_handle_t *)&executor->done, NULL);
        executor++;
    }
    return rig_remove(state);
}

/* With a ledger of so many events. */
static void start(uint64_t last)
{
    rig_open();
    for (uint64_t seq = 1; seq <= last; seq += 1000)
        rig_post_events(seq, seq + 999 < last ? seq + 999 : last, CTS);
    rig_settle();
    assert_int_equal(executor_open(executor, &rig.loop), 0);
    is_executor_open = true;
    assert_int_equal(publisher_open(&publisher, NULL, rig.store, executor, last), 0);
}

/* A turn's events: committed, then told. */
static void tell(uint64_t first, uint64_t last)
{
    static struct event events[SHORT];

    rig_post_events(first, last, CTS);
    rig_settle();
    for (uint64_t seq = first; seq <= last; seq++) {
        struct store_change change = rig_event(seq, (uint32_t)(seq % CTS));

        events[seq - first] = change.event;
    }
    publisher_post(&publisher, events, (size_t)(last - first + 1));
}

static struct sink *follow(uint64_t origin, struct follower follower)
{
    follower.send = on_send;
    follower.fail = on_fail;
    follower.origin = origin;
    sinks[origin].seq = follower.seq;
    sinks[origin].follower = publisher_add(&publisher, &follower);
    return &sinks[origin];
}

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("it does not come to its end");
}

static void run_until(const struct sink *sink, uint64_t seq)
{
    static uv_timer_t guard;

    assert_int_equal(uv_timer_init(&rig.loop, &guard), 0);
    assert_int_equal(uv_timer_start(&guard, on_guard, 60000, 0), 0);
    while (!sink->is_ended && sink->seq < seq) {
        (void)uv_run(&rig.loop, sink->is_moody ? UV_RUN_NOWAIT : UV_RUN_ONCE);
        publisher_pump_origin(&publisher, (uint64_t)(sink - sinks));
    }
    uv_close((uv_handle_t *)&guard, NULL);
    (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
}

static void test_publisher__far_behind__gets_all_and_what_comes_meanwhile(void **state)
{
    (void)state;
    start(LONG);
    struct sink *sink = follow(1, (struct follower){0});
    struct sink *moody = follow(2, (struct follower){.seq = LONG / 2});
    moody->is_moody = true;
    for (uint64_t seq = LONG + 1; seq <= LONG + 2000; seq += 100)
        tell(seq, seq + 99);

    run_until(sink, LONG + 2000);
    run_until(moody, LONG + 2000);
    tell(LONG + 2001, LONG + 2001);

    assert_int_equal(sink->count, LONG + 2001);
    run_until(moody, LONG + 2001);
    assert_int_equal(moody->count, LONG / 2 + 2001);
    assert_int_equal(sink->failures + moody->failures, 0);
}

/* ---- the disk hangs ---- */

static sem_t is_held;
static sem_t may_go;

static bool hold(const struct store_row *row, void *context)
{
    (void)row;
    (void)context;
    (void)sem_post(&is_held);
    (void)sem_wait(&may_go);
    return false;
}

static void *read_for_ever(void *context)
{
    (void)context;
    (void)store_read_rows(rig.store, hold, NULL);
    return NULL;
}

static void test_publisher__ledger_cannot_be_read_now__loop_goes_on(void **state)
{
    struct store_change row = rig_row(1);
    pthread_t thread;

    (void)state;
    start(SHORT);
    rig_post_one(&row);
    rig_settle();
    assert_int_equal(sem_init(&is_held, 0, 0), 0);
    assert_int_equal(sem_init(&may_go, 0, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, read_for_ever, NULL), 0);
    assert_int_equal(sem_wait(&is_held), 0);

    /* All this comes back, though every read waits. */
    struct sink *late = follow(1, (struct follower){0});
    struct sink *new = follow(2, (struct follower){.seq = SHORT});
    struct sink *history =
        follow(3, (struct follower){.is_bounded = true, .until_seq = SHORT, .name = "web-3"});
    tell(SHORT + 1, SHORT + 10);
    assert_int_equal(new->count, 10);
    assert_int_equal(late->count, 0);
    publisher_remove(&publisher, history->follower);

    assert_int_equal(sem_post(&may_go), 0);
    run_until(late, SHORT + 10);
    assert_int_equal(late->count, SHORT + 10);
    assert_int_equal(history->count, 0); /* it left before it was read */
    assert_false(history->is_ended);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_publisher__stopped_subscriber__costs_no_more_than_a_chunk(void **state)
{
    (void)state;
    start(SHORT);
    tell(SHORT + 1, SHORT + 100);
    for (uint64_t origin = 1; origin <= 20; origin++) {
        sinks[origin].is_shut = true;
        (void)follow(origin, (struct follower){0});
    }
    struct sink *well = follow(21, (struct follower){.seq = SHORT + 100});
    (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    size_t before_bytes = mallinfo2().uordblks;
    uint64_t last = SHORT + 100;

    for (; last < LONG; last += 1000) {
        tell(last + 1, last + 1000);
        for (uint64_t origin = 1; origin <= 20; origin++)
            publisher_pump_origin(&publisher, origin);
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    }

    run_until(well, last);
    /* SQLite's caches fill up meanwhile; all that was told would be 1 GiB for 20. */
    assert_true(mallinfo2().uordblks < before_bytes + (UINT64_C(8) << 20));
    assert_int_equal(sinks[1].count, 0);
    sinks[1].is_shut = false;
    publisher_pump_origin(&publisher, 1);
    run_until(&sinks[1], last);
    assert_int_equal(sinks[1].count, last);
}

static void test_publisher__history__is_of_one_and_ends(void **state)
{
    (void)state;
    start(SHORT);
    struct sink *named =
        follow(1, (struct follower){
                      .is_bounded = true, .until_seq = SHORT, .is_sought = true, .name = "web-3"});
    struct follower by_uuid = {.is_bounded = true, .until_seq = SHORT, .has_uuid = true};
    rig_uuid(4, by_uuid.uuid);
    struct sink *known = follow(2, by_uuid);
    struct sink *none =
        follow(3, (struct follower){
                      .is_bounded = true, .until_seq = SHORT, .is_sought = true, .name = "never"});
    struct sink *empty =
        follow(4, (struct follower){.is_bounded = true, .until_seq = SHORT, .name = "never"});
    struct sink *all = follow(5, (struct follower){.is_bounded = true, .until_seq = SHORT});
    named->ct = 3;
    known->ct = 4;

    for (uint64_t origin = 1; origin <= 5; origin++)
        run_until(&sinks[origin], UINT64_MAX);

    assert_int_equal(named->count, SHORT / CTS + (SHORT % CTS >= 3));
    assert_int_equal(known->count, SHORT / CTS + (SHORT % CTS >= 4));
    assert_int_equal(none->failures, 1);
    assert_int_equal(none->error, -ENOENT);
    assert_int_equal(empty->failures + named->failures + all->failures, 0);
    assert_int_equal(empty->count, 0);
    assert_int_equal(all->count, SHORT);
    assert_int_equal(publisher.follower_count, 0);
}

/* A chunk that lies beyond the end whole is no reason to read it again, and again. */
static void test_publisher__only_later_ones_are_left__ends(void **state)
{
    (void)state;
    start(SHORT);
    rig_post_events(SHORT + 1, SHORT + 2 * PUBLISHER_CHUNK, CTS); /* durable, not told yet */
    rig_settle();
    const struct store_change last = rig_event(SHORT, SHORT % CTS);

    struct sink *sink = follow(1, (struct follower){.is_bounded = true,
                                                    .until_seq = SHORT,
                                                    .after_wall_ns = last.event.time_wall_ns});
    run_until(sink, UINT64_MAX);

    assert_int_equal(sink->count, 0);
    assert_int_equal(sink->failures, 0);
    assert_int_equal(publisher.follower_count, 0);
}

static void test_publisher__too_many__has_no_room(void **state)
{
    (void)state;
    start(10);
    for (uint64_t origin = 1; origin <= PUBLISHER_FOLLOWERS_MAX; origin++) {
        assert_true(publisher_has_room(&publisher));
        (void)follow(origin, (struct follower){.seq = 10});
    }
    assert_false(publisher_has_room(&publisher));

    publisher_remove(&publisher, sinks[1].follower);

    assert_true(publisher_has_room(&publisher));
}

static void test_publisher__stopped_while_it_reads__tells_no_more(void **state)
{
    uint64_t counts[10];

    (void)state;
    start(LONG);
    for (uint64_t origin = 0; origin < 10; origin++)
        (void)follow(origin, (struct follower){0});
    run_until(&sinks[0], 1000);

    publisher_stop(&publisher);

    for (unsigned i = 0; i < 10; i++)
        counts[i] = sinks[i].count;
    for (unsigned i = 0; i < 100; i++)
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(sinks[i].count, counts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define PUBLISHER_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        PUBLISHER_TEST(test_publisher__far_behind__gets_all_and_what_comes_meanwhile),
        PUBLISHER_TEST(test_publisher__ledger_cannot_be_read_now__loop_goes_on),
        PUBLISHER_TEST(test_publisher__stopped_subscriber__costs_no_more_than_a_chunk),
        PUBLISHER_TEST(test_publisher__history__is_of_one_and_ends),
        PUBLISHER_TEST(test_publisher__only_later_ones_are_left__ends),
        PUBLISHER_TEST(test_publisher__too_many__has_no_room),
        PUBLISHER_TEST(test_publisher__stopped_while_it_reads__tells_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
