/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: an event that never reaches the controller, or reaches it as something else, because
 * one of the two ends forgot what it knew. Each case of the protocol is tried alone against what a
 * ledger would show. */
#include "uplink_rig.h"

static const struct uplink_head no_head;

static void take_gap(enum uplink_reason reason, uint64_t after, uint64_t count, uint64_t above)
{
    struct uplink_gap gap;

    assert_true(uplink_take_gap(&uplink, &gap));
    assert_false(uplink_take_gap(&uplink, &gap));
    assert_int_equal(gap.reason, reason);
    assert_int_equal(gap.after, after);
    assert_int_equal(gap.count, count);
    assert_int_equal(gap.above, above);
}

/* ---- upstream was put back ---- */

static void test_uplink__upstream_forgot__is_sent_again(void **state)
{
    const struct uplink_head head = {E1, 30};
    struct uplink_look question;

    (void)state;
    begin(100, 80);
    uplink_up(&uplink, &head);
    /* Nothing beyond 30 may be pruned from now on, and only then is looked what is left. */
    assert_false(uplink_wants_look(&uplink, &question));
    store_acked(30);
    question = ask();
    struct uplink_look look = whole(&question, 20, 100, E1);
    uplink_looked(&uplink, &look);

    assert_int_equal(uplink.state, UPLINK_SENDING);
    assert_int_equal(uplink.sent, 30);
}

static void test_uplink__new_upstream__has_all_from_the_first(void **state)
{
    (void)state;
    begin(100, 80);
    uplink_up(&uplink, &no_head);
    store_acked(0);
    struct uplink_look question = ask();
    struct uplink_look look = whole(&question, 1, 100, E1);
    uplink_looked(&uplink, &look);

    assert_int_equal(uplink.state, UPLINK_SENDING);
    assert_int_equal(uplink.sent, 0);
}

static void test_uplink__upstream_forgot_what_is_pruned_here__is_a_counted_gap(void **state)
{
    const struct uplink_head head = {E1, 30};
    char detail[EVENT_DETAIL_BYTES];

    (void)state;
    begin(100, 80);
    uplink_up(&uplink, &head);
    store_acked(30);
    struct uplink_look question = ask();
    struct uplink_look look = whole(&question, 51, 100, E1);
    uplink_looked(&uplink, &look);
    take_gap(UPLINK_PRUNED, 30, 20, 0);
    uplink_gap_format(&uplink.gap, detail);
    assert_string_equal(detail, "pruned: 20 events after 30");
    uplink_gap_numbered(&uplink, 103);
    uplink_committed(&uplink, 102);
    assert_int_equal(uplink_room(&uplink), 0); /* not before the gap is durable */
    uplink_committed(&uplink, 103);

    question = ask();
    look = whole(&question, 51, 103, E1);
    uplink_look_at_gap(&look, detail);
    uplink_looked(&uplink, &look);
    assert_int_equal(uplink.state, UPLINK_SENDING);
    assert_int_equal(uplink.sent, 30);
    went(103, 53);
    assert_int_equal(uplink_acknowledge(&uplink, 103), UPLINK_ACK_NEW);
}

/* The agent was killed after the gap was durable: it finds it. */
static void test_uplink__gap_of_an_earlier_life__is_not_told_again(void **state)
{
    const struct uplink_head head = {E1, 30};

    (void)state;
    begin(103, 30);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look look = whole(&question, 51, 103, E1);
    uplink_look_at_gap(&look, "pruned: 7 events after 12"); /* another one */
    assert_false(look.is_pruned_told);
    uplink_look_at_gap(&look, "pruned: 20 events after 30");
    uplink_looked(&uplink, &look);

    assert_int_equal(uplink.state, UPLINK_SENDING);
    assert_int_equal(uplink.sent, 30);
}

/* Upstream was put back twice to the same copy, and more had gone from here in between. */
static void test_uplink__more_pruned_since_the_gap__is_counted_in_another(void **state)
{
    const struct uplink_head head = {E1, 30};

    (void)state;
    begin(103, 30);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look look = whole(&question, 55, 103, E1);
    uplink_look_at_gap(&look, "pruned: 20 events after 30");
    uplink_looked(&uplink, &look);

    take_gap(UPLINK_PRUNED, 50, 4, 0);
}

static void test_uplink__session_lost_before_the_gap_is_durable__is_told_once(void **state)
{
    const struct uplink_head head = {E1, 30};
    struct uplink_look question;

    (void)state;
    begin(100, 80);
    uplink_up(&uplink, &head);
    store_acked(30);
    question = ask();
    struct uplink_look look = whole(&question, 51, 100, E1);
    uplink_looked(&uplink, &look);
    take_gap(UPLINK_PRUNED, 30, 20, 0);
    uplink_gap_numbered(&uplink, 101);
    uplink_down(&uplink);
    uplink_up(&uplink, &head);
    assert_false(uplink_wants_look(&uplink, &question));
    uplink_committed(&uplink, 101);
    question = ask();
    look = whole(&question, 51, 101, E1);
    uplink_look_at_gap(&look, "pruned: 20 events after 30");
    uplink_looked(&uplink, &look);

    assert_int_equal(uplink.state, UPLINK_SENDING);
}

static void test_uplink__session_lost_before_the_gap_was_taken__is_told_in_the_next(void **state)
{
    const struct uplink_head head = {E1, 30};
    struct uplink_gap gap;

    (void)state;
    begin(100, 30);
    for (int session = 0; session < 2; session++) {
        uplink_down(&uplink);
        assert_false(uplink_take_gap(&uplink, &gap));
        uplink_up(&uplink, &head);
        struct uplink_look question = ask();
        struct uplink_look look = whole(&question, 51, 100, E1);
        uplink_looked(&uplink, &look);
        assert_int_equal(uplink.state, UPLINK_GAP);
    }
    take_gap(UPLINK_PRUNED, 30, 20, 0);
}

/* Seqs would go on above it, and end. */
static void test_uplink__head_that_cannot_be__is_not_believed(void **state)
{
    const struct uplink_head head = {E1, UINT64_MAX};

    (void)state;
    begin(100, 0);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look look = whole(&question, 1, 100, E1);
    uplink_looked(&uplink, &look);

    assert_int_equal(uplink.state, UPLINK_SENDING);
    assert_int_equal(uplink.sent, 0);
    assert_int_equal(uplink.strange_acks, 1);
}

/* ---- the ledger was put back ---- */

/* Beyond: 60 of 100 are left, and five new ones. */
static void set_up_rolled_back(uint64_t last, uint64_t epoch_at, uint64_t acked)
{
    const struct uplink_head head = {E1, 100};

    begin(last, acked);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look look = question;
    look.first = 1;
    look.last = last;
    look.epoch_at = epoch_at;
    look.last_of_epoch = 60;
    uplink_looked(&uplink, &look);
}

static void test_uplink__ledger_ends_below_the_head__is_a_gap_above_it(void **state)
{
    char detail[EVENT_DETAIL_BYTES];

    (void)state;
    set_up_rolled_back(65, 0, 55);
    take_gap(UPLINK_ROLLED_BACK, 60, 40, 100);
    uplink_gap_format(&uplink.gap, detail);
    assert_string_equal(detail, "ledger_rolled_back: 40 events after 60");
    uplink_gap_numbered(&uplink, 101);
    store_acked(60);
    uplink_committed(&uplink, 66); /* of a turn before it */
    assert_int_equal(uplink.state, UPLINK_TELLING);
    uplink_committed(&uplink, 102);
    struct uplink_look question = ask();
    struct uplink_look look = whole(&question, 1, 102, E2);
    look.epoch_at = 0; /* 67..100 never were */
    uplink_look_at_gap(&look, detail);
    uplink_looked(&uplink, &look);

    assert_int_equal(uplink.state, UPLINK_SENDING);
    assert_int_equal(uplink.sent, 60);
    assert_int_equal(uplink_room(&uplink), UPLINK_EVENTS_IN_FLIGHT);
    went(102, 8);
    assert_int_equal(uplink_acknowledge(&uplink, 66), UPLINK_ACK_NEW);
    store_acked(66);
}

/* Overtaken: the new ledger has an event 100 as well, of another epoch. */
static void test_uplink__head_is_of_another_epoch_here__is_a_gap(void **state)
{
    (void)state;
    set_up_rolled_back(120, E2, 55);
    take_gap(UPLINK_ROLLED_BACK, 60, 40, 100);
}

/* Of an acknowledgement that came after, nothing can be concluded: it is the head itself, which an
 * earlier life noted before it died. All is sent again. */
static void test_uplink__head_was_noted_by_an_earlier_life__proves_nothing(void **state)
{
    const struct uplink_head head = {E2, 40};

    (void)state;
    for (int life = 0; life < 2; life++) {
        uplink_init(&uplink, 60, life == 0 ? &(struct uplink_head){E1, 50} : &head);
        uplink_up(&uplink, &head);
        if (life == 0)
            store_acked(40);
    }
    struct uplink_look question = ask();
    struct uplink_look look = question;
    look.first = 1;
    look.last = 60;
    look.epoch_at = E1;
    uplink_looked(&uplink, &look);
    take_gap(UPLINK_ROLLED_BACK, 0, 40, 40);
    store_acked(0);
}

/* Of the epoch nothing is left, but what was acknowledged before the copy was made is common. */
static void test_uplink__epoch_is_not_in_the_ledger__what_was_acknowledged_is_common(void **state)
{
    const struct uplink_head head = {E2, 100};

    (void)state;
    begin(60, 50);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look look = whole(&question, 1, 60, E1);
    uplink_looked(&uplink, &look);
    take_gap(UPLINK_ROLLED_BACK, 50, 50, 100);
}

static void test_uplink__ledger_is_new__all_of_the_head_is_gap(void **state)
{
    const struct uplink_head head = {E1, 100};

    (void)state;
    begin(0, 0);
    uplink_up(&uplink, &head);
    struct uplink_look empty = ask();
    uplink_looked(&uplink, &empty);
    take_gap(UPLINK_ROLLED_BACK, 0, 100, 100);
}

static void test_uplink__rollback_was_told_in_an_earlier_life__is_sent_from_there(void **state)
{
    const struct uplink_head head = {E1, 100};

    (void)state;
    begin(110, 63);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look look = question;
    look.first = 1;
    look.last = 110;
    look.last_of_epoch = 60;
    uplink_look_at_gap(&look, "ledger_rolled_back: 30 events after 60"); /* of another head */
    assert_false(look.is_rollback_told);
    uplink_look_at_gap(&look, "ledger_rolled_back: 40 events after 60");
    uplink_looked(&uplink, &look);

    assert_int_equal(uplink.state, UPLINK_SENDING);
    assert_int_equal(uplink.sent, 60);
}

/* Both at once: node.db was put back, and what was common was pruned since. */
static void test_uplink__rolled_back_and_pruned__are_two_gaps(void **state)
{
    const struct uplink_head head = {E1, 100};

    (void)state;
    begin(110, 63);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look look = question;
    look.first = 62;
    look.last = 110;
    uplink_look_at_gap(&look, "ledger_rolled_back: 40 events after 60");
    uplink_looked(&uplink, &look);
    take_gap(UPLINK_PRUNED, 60, 1, 0);
    uplink_gap_numbered(&uplink, 111);
    uplink_committed(&uplink, 111);
    question = ask();
    look.number = question.number;
    look.last = 111;
    uplink_look_at_gap(&look, "pruned: 1 events after 60");
    uplink_looked(&uplink, &look);
    assert_int_equal(uplink.state, UPLINK_SENDING);
    assert_int_equal(uplink.sent, 60);
}

/* What a bounded ledger gave up leaves holes that are no rollback. */
static void test_uplink__head_was_given_up_here__is_no_rollback(void **state)
{
    const struct uplink_head head = {E1, 40};

    (void)state;
    begin(100, 30);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look look = whole(&question, 1, 100, E1);
    look.epoch_at = 0;
    look.last_of_epoch = 39;
    uplink_looked(&uplink, &look);
    assert_int_equal(uplink.state, UPLINK_SENDING);
    assert_int_equal(uplink.sent, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uplink__upstream_forgot__is_sent_again),
        cmocka_unit_test(test_uplink__new_upstream__has_all_from_the_first),
        cmocka_unit_test(test_uplink__upstream_forgot_what_is_pruned_here__is_a_counted_gap),
        cmocka_unit_test(test_uplink__gap_of_an_earlier_life__is_not_told_again),
        cmocka_unit_test(test_uplink__more_pruned_since_the_gap__is_counted_in_another),
        cmocka_unit_test(test_uplink__session_lost_before_the_gap_is_durable__is_told_once),
        cmocka_unit_test(test_uplink__session_lost_before_the_gap_was_taken__is_told_in_the_next),
        cmocka_unit_test(test_uplink__head_that_cannot_be__is_not_believed),
        cmocka_unit_test(test_uplink__ledger_ends_below_the_head__is_a_gap_above_it),
        cmocka_unit_test(test_uplink__head_is_of_another_epoch_here__is_a_gap),
        cmocka_unit_test(test_uplink__epoch_is_not_in_the_ledger__what_was_acknowledged_is_common),
        cmocka_unit_test(test_uplink__head_was_noted_by_an_earlier_life__proves_nothing),
        cmocka_unit_test(test_uplink__ledger_is_new__all_of_the_head_is_gap),
        cmocka_unit_test(test_uplink__rollback_was_told_in_an_earlier_life__is_sent_from_there),
        cmocka_unit_test(test_uplink__rolled_back_and_pruned__are_two_gaps),
        cmocka_unit_test(test_uplink__head_was_given_up_here__is_no_rollback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
