/* SPDX-License-Identifier: Apache-2.0 */
/* What happened to one container is asked most when something went wrong with it, also when it is
 * gone. Its events are found by a chain from the newest back, compared here with a plain filter. */
#include "rig.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "cleanup.h"
#include "clock.h"

#define EVENTS 9000
#define CTS 7
#define PAGE 100

static struct event events[PAGE];

struct asked {
    const uint8_t *uuid;
    const char *name;
    uint64_t after_wall_ns;
    size_t max; /* of a page */
};

/* Pages through it all; each event must be one that `is_meant` says, and none may be missing. */
static uint64_t page_through(const struct asked *asked, uint64_t after, uint64_t last,
                             bool (*is_meant)(uint64_t seq))
{
    uint64_t seq = after;
    uint64_t found = 0;
    size_t count;

    do {
        assert_int_equal(
            store_read_events(rig.store,
                              &(struct store_query){.after = seq,
                                                    .after_wall_ns = asked->after_wall_ns,
                                                    .uuid = asked->uuid,
                                                    .name = asked->name},
                              events, asked->max, &count),
            0);
        assert_true(count <= asked->max);
        for (size_t i = 0; i < count; i++, found++) {
            do
                seq++;
            while (seq < events[i].seq && !is_meant(seq));
            assert_int_equal(seq, events[i].seq);
            assert_true(is_meant(seq));
        }
    } while (count > 0);
    while (++seq <= last)
        assert_false(is_meant(seq));
    return found;
}

static void fill(void)
{
    rig_open();
    for (uint64_t seq = 1; seq <= EVENTS; seq += 300)
        rig_post_events(seq, seq + 299, CTS);
    rig_settle();
}

static bool is_of_3(uint64_t seq)
{
    return seq % CTS == 3;
}

static bool is_late_of_3(uint64_t seq)
{
    return seq % CTS == 3 && seq > 5000;
}

static bool is_any(uint64_t seq)
{
    return seq > 0;
}

static bool is_late(uint64_t seq)
{
    return seq > 5000;
}

static bool is_none(uint64_t seq)
{
    return seq == 0;
}

static void test_history__by_uuid_or_name__is_every_event_of_it_in_order(void **state)
{
    static const size_t pages[] = {1, 7, PAGE};
    uint8_t uuid[UUID_BYTES];

    (void)state;
    fill();
    rig_uuid(3, uuid);
    for (size_t i = 0; i < COUNT_OF(pages); i++) {
        struct asked asked = {.uuid = uuid, .max = pages[i]};

        assert_int_equal(page_through(&asked, 0, EVENTS, is_of_3), (EVENTS - 3) / CTS + 1);
        asked.name = "web-3";
        (void)page_through(&asked, 0, EVENTS, is_of_3);
        asked.uuid = NULL;
        (void)page_through(&asked, 0, EVENTS, is_of_3);
        (void)page_through(&asked, 4321, EVENTS, is_of_3);
    }
    rig_close();
    rig_open();
    (void)page_through(&(struct asked){.name = "web-3", .max = PAGE}, 0, EVENTS, is_of_3);
}

static void test_history__unknown_or_contradictory__is_empty(void **state)
{
    static char long_name[4 * NAME_BYTES];
    uint8_t uuid[UUID_BYTES];

    (void)state;
    fill();
    rig_uuid(4, uuid);
    memset(long_name, 'x', sizeof(long_name) - 1);

    (void)page_through(&(struct asked){.name = "web", .max = PAGE}, 0, EVENTS, is_none);
    (void)page_through(&(struct asked){.name = "", .max = PAGE}, 0, EVENTS, is_none);
    (void)page_through(&(struct asked){.name = long_name, .max = PAGE}, 0, EVENTS, is_none);
    (void)page_through(&(struct asked){.name = "web-3", .uuid = uuid, .max = PAGE}, 0, EVENTS,
                       is_none);
}

static void test_history__after_a_time__begins_there(void **state)
{
    struct asked asked = {.max = PAGE};
    struct store_change change = rig_event(5000, 0);

    (void)state;
    fill();
    asked.after_wall_ns = change.event.time_wall_ns;

    (void)page_through(&asked, 0, EVENTS, is_late);
    (void)page_through(&asked, 7000, EVENTS, is_late);
    asked.name = "web-3";
    (void)page_through(&asked, 0, EVENTS, is_late_of_3);
    asked.after_wall_ns = 0;
    (void)page_through(&asked, 0, EVENTS, is_of_3);
    asked.name = NULL;
    (void)page_through(&asked, 0, EVENTS, is_any);
}

static void test_history__written_while_it_is_paged__has_the_new_ones_too(void **state)
{
    struct asked asked = {.name = "web-3", .max = 10};
    uint64_t after = 0;
    size_t count;

    (void)state;
    fill();
    for (unsigned page = 0; page < 5; page++) {
        assert_int_equal(store_read_events(rig.store,
                                           &(struct store_query){.after = after, .name = "web-3"},
                                           events, 10, &count),
                         0);
        assert_int_equal(count, 10);
        after = events[count - 1].seq;
    }
    rig_post_events(EVENTS + 1, EVENTS + 500, CTS);
    rig_settle();

    (void)page_through(&asked, after, EVENTS + 500, is_of_3);
}

/* ---- names that outlive their containers ---- */

static void test_history__of_a_container_that_is_gone__is_found_by_its_name(void **state)
{
    struct store_change change = rig_row(3);

    (void)state;
    fill();
    rig_post_one(&change);
    change = rig_delete(3);
    rig_post_one(&change);
    rig_settle();
    rig_close();
    rig_open();

    (void)page_through(&(struct asked){.name = "web-3", .max = PAGE}, 0, EVENTS, is_of_3);
}

static bool is_of_3_or_4(uint64_t seq)
{
    return seq % CTS == 3 || seq % CTS == 4;
}

static void test_history__of_a_name_two_had__is_of_both_in_order(void **state)
{
    struct store_change change;
    uint8_t uuid[UUID_BYTES];

    (void)state;
    rig_open();
    for (uint64_t seq = 1; seq <= EVENTS; seq++) {
        change = rig_event(seq, (uint32_t)(seq % CTS));
        if (seq % CTS == 4)
            (void)snprintf(change.event.name, sizeof(change.event.name), "web-3");
        rig_post_one(&change);
    }
    rig_settle();
    rig_uuid(3, uuid);

    (void)page_through(&(struct asked){.name = "web-3", .max = 13}, 0, EVENTS, is_of_3_or_4);
    (void)page_through(&(struct asked){.name = "web-3", .uuid = uuid, .max = 13}, 0, EVENTS,
                       is_of_3);
    (void)page_through(&(struct asked){.name = "web-4", .max = 13}, 0, EVENTS, is_none);
}

static void test_history__after_a_change_of_name__is_whole_by_uuid(void **state)
{
    struct store_change change;
    uint8_t uuid[UUID_BYTES];
    size_t count;

    (void)state;
    rig_open();
    rig_uuid(3, uuid);
    change = rig_row(3);
    rig_post_one(&change);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        change = rig_event(seq, 3);
        if (seq > 10)
            (void)snprintf(change.event.name, sizeof(change.event.name), "new");
        rig_post_one(&change);
        if (seq == 10) {
            change = rig_row(3);
            (void)snprintf(change.row.name, sizeof(change.row.name), "new");
            rig_post_one(&change);
        }
    }
    rig_settle();

    (void)page_through(&(struct asked){.uuid = uuid, .max = 3}, 0, 20, is_any);
    assert_int_equal(
        store_read_events(rig.store, &(struct store_query){.name = "web-3"}, events, PAGE, &count),
        0);
    assert_int_equal(count, 10);
    assert_string_equal(events[9].name, "web-3");
    assert_int_equal(
        store_read_events(rig.store, &(struct store_query){.name = "new"}, events, PAGE, &count),
        0);
    assert_int_equal(count, 10);
    assert_int_equal(events[0].seq, 11);
}

static void test_history__of_the_node__is_apart(void **state)
{
    static const uint8_t nobody[UUID_BYTES];
    struct store_change change;

    (void)state;
    rig_open();
    for (uint64_t seq = 1; seq <= 1000; seq++) {
        change = rig_event(seq, (uint32_t)(seq % CTS));
        if (seq % CTS == 3) {
            memset(change.event.uuid, 0, UUID_BYTES);
            change.event.name[0] = '\0';
        }
        rig_post_one(&change);
    }
    rig_settle();

    (void)page_through(&(struct asked){.uuid = nobody, .max = 9}, 0, 1000, is_of_3);
}

/* ---- pruning under the reader ---- */

static uint64_t first_kept;

static bool is_kept_of_3(uint64_t seq)
{
    return seq % CTS == 3 && seq >= first_kept;
}

static void test_history__pruned_meanwhile__goes_on_with_what_is_kept(void **state)
{
    struct asked asked = {.name = "web-3", .max = 10};
    struct store_limits limits = store_limits_default;
    struct store_change ack = rig_ack(EVENTS - 1000);
    struct store_heads heads;
    size_t count;

    (void)state;
    rig_open();
    limits.history_min_bytes = limits.history_max_bytes = 0;
    store_set_limits(rig.store, &limits);
    for (uint64_t seq = 1; seq <= EVENTS; seq += 300)
        rig_post_events(seq, seq + 299, CTS);
    rig_settle();
    assert_int_equal(
        store_read_events(rig.store, &(struct store_query){.name = "web-3"}, events, 10, &count),
        0);
    assert_int_equal(count, 10);

    for (unsigned i = 0; i < 200; i++) { /* a few go with each transaction */
        rig_post_one(&ack);
        rig_settle();
    }
    assert_int_equal(store_read_heads(rig.store, &heads), 0);
    first_kept = heads.first_seq;
    assert_true(first_kept > 2000);

    (void)page_through(&asked, 0, EVENTS, is_kept_of_3);
}

/* ---- longer than one walk remembers ---- */

#define LONG 150000

static void test_history__very_long__is_paged_through(void **state)
{
    uint64_t began_ns;

    (void)state;
    rig_open();
    for (uint64_t seq = 1; seq <= LONG; seq += 1000)
        rig_post_events(seq, seq + 999, 1);
    rig_settle();

    began_ns = clock_monotonic_ns();
    uint64_t found = page_through(&(struct asked){.name = "web-0", .max = PAGE}, 0, LONG, is_any);

    assert_int_equal(found, LONG);
    print_message("history of %d events in pages of %d: %lu ms\n", LONG, PAGE,
                  (unsigned long)((clock_monotonic_ns() - began_ns) / NS_PER_MS));
}

/* ---- an agent that ends does not wait for it ---- */

static atomic_uint stop_at; /* the reading is stopped after this many statements; 0: it is not */
static atomic_uint steps;

int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __real_sqlite3_step(sqlite3_stmt *statement);

int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
    int code = __real_sqlite3_step(statement);

    if (atomic_fetch_add(&steps, 1) + 1 == stop_at)
        store_stop_reading(rig.store);
    return code;
}

static void test_history__stopped_between_two_statements__ends_early(void **state)
{
    const struct store_query query = {.name = "web-0"};
    size_t count;

    (void)state;
    rig_open();
    for (uint64_t seq = 1; seq <= LONG; seq += 1000)
        rig_post_events(seq, seq + 999, 1);
    rig_settle();
    atomic_store(&steps, 0);
    atomic_store(&stop_at, 1); /* BEGIN */

    assert_int_equal(store_read_events(rig.store, &query, events, PAGE, &count), -ECANCELED);

    assert_true(atomic_load(&steps) < 1000);
    atomic_store(&stop_at, 0);
    assert_int_equal(store_read_events(rig.store, &query, events, PAGE, &count), -ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_make, rig_remove)
        RIG_TEST(test_history__by_uuid_or_name__is_every_event_of_it_in_order),
        RIG_TEST(test_history__unknown_or_contradictory__is_empty),
        RIG_TEST(test_history__after_a_time__begins_there),
        RIG_TEST(test_history__written_while_it_is_paged__has_the_new_ones_too),
        RIG_TEST(test_history__of_a_container_that_is_gone__is_found_by_its_name),
        RIG_TEST(test_history__of_a_name_two_had__is_of_both_in_order),
        RIG_TEST(test_history__after_a_change_of_name__is_whole_by_uuid),
        RIG_TEST(test_history__of_the_node__is_apart),
        RIG_TEST(test_history__pruned_meanwhile__goes_on_with_what_is_kept),
        RIG_TEST(test_history__very_long__is_paged_through),
        RIG_TEST(test_history__stopped_between_two_statements__ends_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
