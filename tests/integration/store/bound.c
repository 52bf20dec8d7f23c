/* SPDX-License-Identifier: Apache-2.0 */
/* A controller that stays away must not fill the disk, and what has to go must stand counted, once.
 * Ledgers with small bounds are overfilled, read, acknowledged in part, opened again, and taken up
 * by a stand-in for upstream that must end with each event, or with a gap that counts it. */
#include "rig.h"

#include <inttypes.h>
#include <stdlib.h>

#include "cleanup.h"
#include "clock.h"
#include "prng.h"
#include "store_parts.h"

#define CTS 20
#define PAGE 256
#define WINDOW 64
#define BOUND_BYTES (UINT64_C(1) << 20)
#define SEQ_MAX 200000
#define IDLE_NS (20 * NS_PER_S)

static struct event events[PAGE];
static unsigned ends_every; /* which events are ends of generations */

static struct store_limits small_limits(void)
{
    struct store_limits limits = store_limits_default;

    limits.history_min_bytes = BOUND_BYTES / 16;
    limits.history_max_bytes = BOUND_BYTES / 2;
    limits.ledger_max_bytes = BOUND_BYTES;
    limits.window_events = WINDOW;
    return limits;
}

static void open_small(void)
{
    struct store_limits limits = small_limits();

    rig_open();
    store_set_limits(rig.store, &limits);
}

/* What the writer's thread does while nobody posts, done to its end: nothing moves from here on. */
static void come_to_rest(void)
{
    struct store_writer writer;
    struct fault fault = {0};
    sqlite3 *db = NULL;

    rig_close();
    assert_int_equal(store_db_open(rig_path("node.db"), &db, &fault), 0);
    assert_int_equal(store_writer_open(&writer, db), SQLITE_OK);
    writer.limits = small_limits();
    do {
        assert_int_equal(store_writer_begin(&writer, clock_monotonic_ns(), clock_wall_ns()),
                         SQLITE_OK);
        writer.added = STORE_IDLE_ADDED;
        assert_int_equal(store_writer_commit(&writer), SQLITE_OK);
    } while (writer.is_behind);
    store_writer_close(&writer, true);
    open_small();
}

static bool is_end(uint64_t seq)
{
    return seq % ends_every == 0;
}

static void post(uint64_t first, uint64_t last)
{
    struct store_batch *batch = store_batch_new();

    for (uint64_t seq = first; seq <= last; seq++) {
        struct store_change change = rig_event(seq, (uint32_t)(seq % CTS));

        change.event.cause = is_end(seq) ? CAUSE_EXITED : CAUSE_UNSET;
        store_batch_add(batch, &change);
    }
    rig_post(batch);
}

static void fill(uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last; seq += 100) {
        post(seq, seq + 99 < last ? seq + 99 : last);
        if (seq % 1000 < 100)
            rig_settle();
    }
    rig_settle();
}

static void acknowledge(uint64_t seq)
{
    struct store_change change = rig_ack(seq);

    rig_post_one(&change);
    rig_settle();
}

/* How many a gap counts, itself stands for one of them; 0: no gap. */
static uint64_t gap_count(const struct event *event)
{
    uint64_t count;
    uint64_t after;

    if (event->type != EVENT_GAP)
        return 0;
    assert_int_equal(
        sscanf(event->detail, "ledger_full: %" SCNu64 " events after %" SCNu64, &count, &after), 2);
    assert_int_equal(after, event->seq - 1);
    assert_string_equal(event->name, "");
    assert_true(count > 0);
    return count;
}

struct kept {
    uint64_t first;
    uint64_t last;
    uint64_t count;
    uint64_t ends;
    uint64_t gaps;
    uint64_t gone; /* what gaps count and no event stands for */
    uint64_t first_gap;
};

static struct kept read_kept(uint64_t after)
{
    struct kept kept = {.last = after};
    size_t count;

    do {
        assert_int_equal(store_read_events(rig.store, &(struct store_query){.after = kept.last},
                                           events, PAGE, &count),
                         0);
        for (size_t i = 0; i < count; i++) {
            uint64_t gone = gap_count(&events[i]);

            kept.first = kept.first == 0 ? events[i].seq : kept.first;
            kept.first_gap = gone > 0 && kept.gaps == 0 ? events[i].seq : kept.first_gap;
            kept.gaps += gone > 0;
            kept.gone += gone > 0 ? gone - 1 : 0;
            kept.ends += gone == 0 && is_end(events[i].seq);
            kept.last = events[i].seq;
        }
        kept.count += count;
    } while (count > 0);
    return kept;
}

static void check_accounted(const struct kept *kept, uint64_t after, uint64_t last)
{
    assert_int_equal(kept->last, last);
    assert_int_equal(kept->count + kept->gone, last - after);
}

static uint64_t count_of(const char *name)
{
    uint64_t total = 0;
    uint64_t seq = 0;
    size_t count;

    do {
        assert_int_equal(store_read_events(rig.store,
                                           &(struct store_query){.after = seq, .name = name},
                                           events, PAGE, &count),
                         0);
        for (size_t i = 0; i < count; i++)
            assert_true(events[i].type == EVENT_GAP || strcmp(events[i].name, name) == 0);
        seq = count > 0 ? events[count - 1].seq : seq;
        total += count;
    } while (count > 0);
    return total;
}

static void check_chains(const struct kept *kept)
{
    char name[NAME_BYTES];
    uint64_t total = 0;

    for (unsigned ct = 0; ct < CTS; ct++) {
        (void)snprintf(name, sizeof(name), "web-%u", ct);
        total += count_of(name);
    }
    assert_int_equal(total, kept->count);
}

static void test_bound__upstream_is_away__keeps_ends_and_counts_the_rest_once(void **state)
{
    const uint64_t last = 40000;

    (void)state;
    ends_every = 50;
    open_small();
    fill(1, 1000);
    assert_false(store_is_full(rig.store));
    fill(1001, last);

    assert_true(store_is_full(rig.store));
    struct fault fault = {0};
    store_full_fault(rig.store, &fault);
    assert_int_equal(fault.status, STATUS_STORE_FULL);
    assert_non_null(strstr(fault.text, "node.db has reached its bound"));
    come_to_rest();
    struct kept kept = read_kept(0);
    check_accounted(&kept, 0, last);
    assert_int_equal(kept.first, 1);
    assert_int_equal(kept.gaps, 1);
    assert_int_equal(kept.first_gap, WINDOW + 1);
    assert_int_equal(kept.ends, last / ends_every); /* all of them */
    check_chains(&kept);
    rig_close();
    assert_true(rig_file_bytes("node.db") < BOUND_BYTES + BOUND_BYTES / 4);

    open_small();
    fill(last + 1, last + 5000);
    come_to_rest();
    kept = read_kept(0);
    check_accounted(&kept, 0, last + 5000);
    assert_int_equal(kept.gaps, 1);
    check_chains(&kept);
}

static void test_bound__nothing_but_ends__drops_the_oldest_of_them(void **state)
{
    const uint64_t last = 40000;

    (void)state;
    ends_every = 1;
    open_small();
    fill(1, last);
    come_to_rest();

    struct kept kept = read_kept(0);
    check_accounted(&kept, 0, last);
    assert_int_equal(kept.gaps, 1);
    assert_true(kept.count > 1000);
    size_t count = 0;
    assert_int_equal(store_read_events(rig.store, &(struct store_query){.after = last - 1000},
                                       events, PAGE, &count),
                     0);
    assert_int_equal(events[0].seq, last - 999); /* the newest are all there */
    check_chains(&kept);
    rig_close();
    assert_true(rig_file_bytes("node.db") < BOUND_BYTES + BOUND_BYTES / 4);
}

static void test_bound__gap_that_may_have_been_told__is_not_changed(void **state)
{
    struct event told;
    size_t count = 0;

    (void)state;
    ends_every = 50;
    open_small();
    fill(1, 20000);
    acknowledge(WINDOW / 2); /* the gap is within the window now */
    assert_int_equal(
        store_read_events(rig.store, &(struct store_query){.after = WINDOW}, &told, 1, &count), 0);
    assert_int_equal(told.type, EVENT_GAP);

    fill(20001, 40000);
    come_to_rest();

    struct event again;
    assert_int_equal(
        store_read_events(rig.store, &(struct store_query){.after = WINDOW}, &again, 1, &count), 0);
    assert_string_equal(again.detail, told.detail);
    struct kept kept = read_kept(0);
    assert_int_equal(kept.first, WINDOW / 2 + 1);
    check_accounted(&kept, WINDOW / 2, 40000);
    assert_int_equal(kept.gaps, 2);
    check_chains(&kept);
}

static void test_bound__all_is_acknowledged__has_room_again_by_itself(void **state)
{
    (void)state;
    ends_every = 50;
    open_small();
    fill(1, 40000);
    assert_true(store_is_full(rig.store));

    acknowledge(40000);

    uint64_t until_ns = clock_monotonic_ns() + IDLE_NS; /* with nothing posted meanwhile */
    while (store_is_full(rig.store) && clock_monotonic_ns() < until_ns)
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    assert_false(store_is_full(rig.store));
    fill(40001, 41000);
    acknowledge(41000);
    struct kept kept = read_kept(0);
    assert_int_equal(kept.last, 41000);
}

static int64_t read_number(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;

    assert_int_equal(sqlite3_open(rig_path("node.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

static void come_and_go(uint32_t ct, uint64_t *seq)
{
    struct store_batch *batch = store_batch_new();

    for (unsigned i = 0; i < 4; i++) {
        struct store_change change = rig_event(++*seq, ct);

        change.event.cause = i == 2 ? CAUSE_EXITED : CAUSE_UNSET;
        store_batch_add(batch, &change);
        change = i < 3 ? rig_row(ct) : rig_delete(ct);
        store_batch_add(batch, &change);
    }
    rig_post(batch);
}

/* The names that are gone lose their rows with their last event, be it a part of a gap. */
static void test_bound__containers_come_and_go__forgets_their_names(void **state)
{
    uint64_t seq = 0;

    (void)state;
    ends_every = 10;
    open_small();
    for (uint32_t ct = 1; ct <= 20000; ct++) {
        come_and_go(ct, &seq);
        if (ct % 100 == 0)
            rig_settle();
    }
    acknowledge(seq);
    come_to_rest();
    for (unsigned i = 0; i < 200; i++)
        acknowledge(seq); /* each looks at some of the names */
    rig_close();

    int64_t rows = read_number("SELECT count(*) FROM container");
    int64_t named = read_number("SELECT count(DISTINCT container) FROM event");
    print_message("%" PRId64 " names of %" PRId64 " that events have\n", rows, named);
    assert_true(rows >= named && rows < named + 10);
    assert_true(rig_file_bytes("node.db") < 4 * BOUND_BYTES);
}

/* ---- on its way up meanwhile ---- */

static struct {
    bool has[SEQ_MAX + 1];
    char detail[SEQ_MAX + 1][64]; /* of gaps: the first that was told stands */
    uint64_t gone;
    uint64_t count;
    uint64_t acked; /* as node.db has it, durable */
    uint64_t seen;  /* last that was told in this session */
    uint64_t in_flight;
} upstream;

static void take_event(const struct event *event)
{
    uint64_t gone = gap_count(event);

    upstream.in_flight++;
    upstream.seen = event->seq;
    if (upstream.has[event->seq]) {
        if (gone > 0)
            assert_string_equal(upstream.detail[event->seq], event->detail);
        return;
    }
    upstream.has[event->seq] = true;
    upstream.count++;
    upstream.gone += gone > 0 ? gone - 1 : 0;
    if (gone > 0)
        (void)snprintf(upstream.detail[event->seq], sizeof(upstream.detail[0]), "%.63s",
                       event->detail);
}

static void take_up(size_t max)
{
    size_t count = 0;

    if (max > WINDOW - upstream.in_flight)
        max = WINDOW - upstream.in_flight;
    assert_int_equal(store_read_events(rig.store, &(struct store_query){.after = upstream.seen},
                                       events, max, &count),
                     0);
    for (size_t i = 0; i < count; i++)
        take_event(&events[i]);
}

static void acknowledge_seen(void)
{
    acknowledge(upstream.seen);
    upstream.acked = upstream.seen;
    upstream.in_flight = 0;
}

static void lose_session(void)
{
    upstream.seen = upstream.acked;
    upstream.in_flight = 0;
}

static void walk_up(struct prng *prng, uint64_t *seq)
{
    uint64_t more = 1 + prng_below(prng, 400);

    if (*seq + more > SEQ_MAX)
        more = SEQ_MAX - *seq;
    if (more > 0)
        post(*seq + 1, *seq + more);
    *seq += more;
    rig_settle();
    for (uint64_t n = prng_below(prng, 3); n > 0; n--)
        take_up(prng_below(prng, WINDOW + 1));
    if (prng_below(prng, 3) == 0)
        acknowledge_seen();
    if (prng_below(prng, 6) == 0)
        lose_session();
    if (prng_below(prng, 40) == 0) {
        rig_close();
        open_small();
        lose_session();
    }
}

static void test_bound__taken_up_slowly__each_event_is_there_or_counted_once(void **state)
{
    struct prng prng = {.state = clock_monotonic_ns()};

    (void)state;
    print_message("seed %" PRIu64 "\n", prng.state);
    ends_every = 7;
    memset(&upstream, 0, sizeof(upstream));
    open_small();
    for (uint64_t seq = 0; seq < SEQ_MAX / 2;)
        walk_up(&prng, &seq);
    struct store_heads heads;
    assert_int_equal(store_read_heads(rig.store, &heads), 0);
    while (upstream.seen < heads.last_seq) {
        take_up(WINDOW);
        acknowledge_seen();
    }

    print_message("%" PRIu64 " events, %" PRIu64 " there, %" PRIu64 " counted\n", heads.last_seq,
                  upstream.count, upstream.gone);
    assert_true(upstream.gone > 1000);
    assert_int_equal(upstream.count + upstream.gone, heads.last_seq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_make, rig_remove)
        RIG_TEST(test_bound__upstream_is_away__keeps_ends_and_counts_the_rest_once),
        RIG_TEST(test_bound__nothing_but_ends__drops_the_oldest_of_them),
        RIG_TEST(test_bound__gap_that_may_have_been_told__is_not_changed),
        RIG_TEST(test_bound__all_is_acknowledged__has_room_again_by_itself),
        RIG_TEST(test_bound__containers_come_and_go__forgets_their_names),
        RIG_TEST(test_bound__taken_up_slowly__each_event_is_there_or_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
