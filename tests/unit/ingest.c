/* SPDX-License-Identifier: Apache-2.0 */
/* If an event counts as had that was not, or is acknowledged before it is durable, it is lost for
 * ever. Batches as nodes send them, repeats and restored ledgers included, go through the pure
 * decision; the changes that come out are looked at. */
#include "ingest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct ingest ingest;
static struct ctl_batch *batch;

static int set_up(void **state)
{
    (void)state;
    ingest_init(&ingest, 3);
    batch = ctl_batch_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ctl_batch_free(batch);
    return 0;
}

struct told {
    uint64_t epoch;
    uint64_t seq;
};

static size_t take(const struct told *told, size_t count)
{
    struct event_view views[EVENT_BATCH_MAX];

    for (size_t i = 0; i < count; i++) {
        views[i] = (struct event_view){.node = "a", .cursor = ""};
        views[i].event.epoch = told[i].epoch;
        views[i].event.seq = told[i].seq;
    }
    ctl_batch_free(batch);
    batch = ctl_batch_new();
    return ingest_take(&ingest, views, count, batch);
}

static void expect_event(size_t at, uint64_t epoch, uint64_t seq, bool is_late)
{
    assert_true(at < batch->count);
    assert_int_equal(batch->changes[at].kind, CTL_ADD_EVENT);
    assert_int_equal(batch->changes[at].add.node, 3);
    assert_int_equal(batch->changes[at].add.event.epoch, epoch);
    assert_int_equal(batch->changes[at].add.event.seq, seq);
    assert_int_equal(batch->changes[at].add.is_late, is_late);
}

static void expect_head(size_t at, uint64_t epoch, uint64_t seq, bool is_highest)
{
    assert_true(at < batch->count);
    assert_int_equal(batch->changes[at].kind, CTL_PUT_HEAD);
    assert_int_equal(batch->changes[at].head.node, 3);
    assert_int_equal(batch->changes[at].head.epoch, epoch);
    assert_int_equal(batch->changes[at].head.seq, seq);
    assert_int_equal(batch->changes[at].head.is_highest, is_highest);
}

static void expect_acknowledge(size_t at, uint64_t seq)
{
    assert_int_equal(batch->count, at + 1);
    assert_int_equal(batch->changes[at].kind, CTL_ACKNOWLEDGE);
    assert_int_equal(batch->changes[at].acknowledge.seq, seq);
}

static uint64_t commit(void)
{
    uint64_t acknowledged = 0;

    for (size_t i = 0; i < batch->count; i++) {
        uint64_t seq = ingest_committed(&ingest, &batch->changes[i]);
        acknowledged = seq != 0 ? seq : acknowledged;
    }
    return acknowledged;
}

static void test_ingest__new_events__are_added_then_their_head_then_the_word(void **state)
{
    const struct told told[] = {{7, 1}, {7, 2}};

    (void)state;
    assert_int_equal(take(told, 2), 2);
    expect_event(0, 7, 1, false);
    expect_event(1, 7, 2, false);
    expect_head(2, 7, 2, true);
    expect_acknowledge(3, 2);
}

static void test_ingest__taken_but_not_committed__a_hello_is_not_told(void **state)
{
    const struct told told[] = {{7, 1}, {7, 2}};

    (void)state;
    (void)take(told, 2);
    assert_int_equal(ingest.committed.seq, 0);
    assert_int_equal(commit(), 2);
    assert_int_equal(ingest.committed.seq, 2);
    assert_int_equal(ingest.committed.epoch, 7);
}

/* Its node may have been put back in between, and have other events under the same seqs. */
static void test_ingest__taken_in_an_earlier_session__is_not_acknowledged(void **state)
{
    const struct told told[] = {{7, 1}, {7, 2}};

    (void)state;
    ingest.session = 70;
    (void)take(told, 2);
    ingest.session = 80;
    assert_int_equal(commit(), 0);
    assert_int_equal(ingest.committed.seq, 2);
}

static void test_ingest__told_again__the_store_is_asked_and_it_is_acknowledged(void **state)
{
    const struct told told[] = {{7, 1}, {7, 2}};

    (void)state;
    (void)take(told, 2);
    assert_int_equal(take(told, 2), 0); /* before the commit of the first */
    expect_event(0, 7, 1, true);
    expect_event(1, 7, 2, true);
    expect_acknowledge(2, 2);
    assert_int_equal(commit(), 2);
}

static void test_ingest__an_older_batch_comes_later__it_is_not_passed_over(void **state)
{
    const struct told newer[] = {{7, 11}, {7, 12}};
    const struct told older[] = {{7, 9}, {7, 10}, {7, 13}};

    (void)state;
    (void)take(newer, 2);
    assert_int_equal(take(older, 3), 1);
    expect_event(0, 7, 9, true);
    expect_event(1, 7, 10, true);
    expect_event(2, 7, 13, false);
    expect_head(3, 7, 13, true);
    expect_acknowledge(4, 13);
}

static void test_ingest__a_ledger_was_put_back__its_lower_numbers_are_new(void **state)
{
    const struct told before[] = {{7, 99}, {7, 100}};
    const struct told after[] = {{8, 61}, {8, 62}};
    const struct told gap[] = {{8, 101}};

    (void)state;
    (void)take(before, 2);
    (void)commit();
    assert_int_equal(take(after, 2), 2);
    expect_event(0, 8, 61, false);
    expect_head(2, 8, 62, false);
    assert_int_equal(commit(), 62);
    assert_int_equal(ingest.committed.seq, 100);
    assert_int_equal(ingest.committed.epoch, 7);

    assert_int_equal(take(gap, 1), 1);
    expect_head(1, 8, 101, true);
    assert_int_equal(commit(), 101);
    assert_int_equal(ingest.committed.epoch, 8);
}

static void test_ingest__two_lives_as_high__the_later_goes_on(void **state)
{
    const struct told before[] = {{7, 100}};
    const struct told after[] = {{8, 100}};

    (void)state;
    (void)take(before, 1);
    (void)commit();
    (void)take(after, 1);
    expect_head(1, 8, 100, true);
    (void)commit();
    assert_int_equal(ingest.committed.epoch, 8);
    (void)take(before, 1); /* told again: the head does not go back */
    (void)commit();
    assert_int_equal(ingest.committed.epoch, 8);
}

static void test_ingest__several_lives_in_a_batch__a_head_for_each(void **state)
{
    const struct told told[] = {{7, 1}, {7, 2}, {8, 3}, {8, 4}};

    (void)state;
    assert_int_equal(take(told, 4), 4);
    expect_head(2, 7, 2, true); /* so far */
    expect_head(5, 8, 4, true);
    expect_acknowledge(6, 4);
}

static void test_ingest__no_seq_no_epoch_or_beyond_all__passed_over(void **state)
{
    const struct told told[] = {{7, 0}, {0, 5}, {7, UINT64_MAX}};

    (void)state;
    assert_int_equal(take(told, 3), 0);
    assert_int_equal(batch->count, 0);
}

static void test_ingest__more_lives_than_are_told_apart__the_store_keeps_the_rest(void **state)
{
    struct told told = {1, 1};

    (void)state;
    for (uint64_t epoch = 1; epoch <= INGEST_EPOCHS_MAX + 1; epoch++) {
        told = (struct told){epoch, epoch};
        assert_int_equal(take(&told, 1), 1);
    }
    told = (struct told){2, 2};
    assert_int_equal(take(&told, 1), 0); /* still told apart, and now the one used last */
    told = (struct told){INGEST_EPOCHS_MAX + 2, INGEST_EPOCHS_MAX + 2};
    (void)take(&told, 1);
    told = (struct told){2, 2};
    assert_int_equal(take(&told, 1), 0);
}

static void test_ingest__loaded__goes_on_where_the_store_was(void **state)
{
    const struct ctl_head old = {.node = 3, .epoch = 7, .seq = 100, .is_highest = false};
    const struct ctl_head highest = {.node = 3, .epoch = 8, .seq = 120, .is_highest = true};
    const struct told told[] = {{7, 100}, {8, 120}, {8, 121}};

    (void)state;
    ingest_load(&ingest, &old);
    ingest_load(&ingest, &highest);
    assert_int_equal(ingest.committed.seq, 120);
    assert_int_equal(take(told, 3), 1);
    expect_event(0, 7, 100, true);
    expect_event(1, 8, 120, true);
    expect_event(2, 8, 121, false);
    expect_head(3, 8, 121, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ingest__new_events__are_added_then_their_head_then_the_word),
        TEST(test_ingest__taken_but_not_committed__a_hello_is_not_told),
        TEST(test_ingest__taken_in_an_earlier_session__is_not_acknowledged),
        TEST(test_ingest__told_again__the_store_is_asked_and_it_is_acknowledged),
        TEST(test_ingest__an_older_batch_comes_later__it_is_not_passed_over),
        TEST(test_ingest__a_ledger_was_put_back__its_lower_numbers_are_new),
        TEST(test_ingest__two_lives_as_high__the_later_goes_on),
        TEST(test_ingest__several_lives_in_a_batch__a_head_for_each),
        TEST(test_ingest__no_seq_no_epoch_or_beyond_all__passed_over),
        TEST(test_ingest__more_lives_than_are_told_apart__the_store_keeps_the_rest),
        TEST(test_ingest__loaded__goes_on_where_the_store_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
