/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: an event that is sent without end, or never, or taken for acknowledged. Windows,
 * acknowledgements and lost sessions are tried one by one; uplink_restored.c has ends that
 * forgot. */
#include "uplink_rig.h"

/* A session of a ledger and an upstream that know each other. */
static void set_up_sending(uint64_t last, uint64_t acked)
{
    const struct uplink_head head = {E1, acked};

    begin(last, acked);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look look = whole(&question, 1, last, E1);
    uplink_looked(&uplink, &look);
    assert_int_equal(uplink.state, UPLINK_SENDING);
    assert_int_equal(uplink.sent, acked);
}

/* ---- sending ---- */

static void test_uplink__no_session__nothing_goes(void **state)
{
    struct uplink_look question;
    struct uplink_gap gap;
    struct uplink_head acked;

    (void)state;
    begin(10, 5);
    assert_int_equal(uplink_room(&uplink), 0);
    assert_false(uplink_wants_look(&uplink, &question));
    assert_false(uplink_take_gap(&uplink, &gap));
    assert_false(uplink_take_acked(&uplink, &acked));
    assert_int_equal(uplink_acknowledge(&uplink, 7), UPLINK_ACK_STRANGE);
}

/* It repeats what it said in its answer to the greeting, be that nothing. */
static void test_uplink__acknowledged_before_the_look__is_old(void **state)
{
    const struct uplink_head head = {E1, 30};

    (void)state;
    begin(100, 30);
    uplink_up(&uplink, &head);
    assert_int_equal(uplink_acknowledge(&uplink, 0), UPLINK_ACK_OLD);
    assert_int_equal(uplink_acknowledge(&uplink, 30), UPLINK_ACK_OLD);
    assert_int_equal(uplink_acknowledge(&uplink, 31), UPLINK_ACK_STRANGE);
    assert_int_equal(uplink.strange_acks, 1);
}

static void test_uplink__upstream_has_some__the_rest_follows(void **state)
{
    (void)state;
    set_up_sending(100, 40);
    assert_int_equal(uplink_room(&uplink), UPLINK_EVENTS_IN_FLIGHT);
    went(100, 60);

    assert_int_equal(uplink_room(&uplink), 0); /* there are no more */
    uplink_committed(&uplink, 101);
    assert_int_equal(uplink_room(&uplink), UPLINK_EVENTS_IN_FLIGHT - 60);
    assert_int_equal(uplink.sent, 100);
}

/* The acknowledgement was lost with the session before, its commit was not. */
static void test_uplink__head_is_beyond_what_was_acknowledged__is_stored(void **state)
{
    const struct uplink_head head = {E1, 70};

    (void)state;
    begin(100, 40);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look look = whole(&question, 1, 100, E1);
    uplink_looked(&uplink, &look);

    assert_int_equal(uplink.sent, 70);
    store_acked(70);
}

static void test_uplink__full_window__waits_for_acknowledgements(void **state)
{
    uint64_t seq = 0;

    (void)state;
    set_up_sending(1000000, 0);
    while (uplink_room(&uplink) > 0) {
        size_t count = uplink_room(&uplink) < 256 ? uplink_room(&uplink) : 256;
        seq += count;
        went(seq, count);
    }
    assert_int_equal(seq, UPLINK_EVENTS_IN_FLIGHT);

    assert_int_equal(uplink_acknowledge(&uplink, 255), UPLINK_ACK_NEW); /* of no whole batch */
    assert_int_equal(uplink_room(&uplink), 0);
    assert_int_equal(uplink_acknowledge(&uplink, 513), UPLINK_ACK_NEW); /* of two */
    assert_int_equal(uplink_room(&uplink), 512);
    store_acked(513);
}

static void test_uplink__many_small_batches__are_bounded_too(void **state)
{
    (void)state;
    set_up_sending(1000, 0);
    for (uint64_t seq = 1; seq <= UPLINK_BATCHES_IN_FLIGHT; seq++)
        went(seq, 1);
    assert_int_equal(uplink_room(&uplink), 0);
    for (uint64_t seq = 1; seq <= UPLINK_BATCHES_IN_FLIGHT; seq++) /* round the ring */
        assert_int_equal(uplink_acknowledge(&uplink, seq), UPLINK_ACK_NEW);
    assert_int_equal(uplink_room(&uplink), UPLINK_EVENTS_IN_FLIGHT);
    assert_int_equal(uplink.batch_count, 0);
}

/* Seqs have holes where a restored ledger went on above upstream's, and where events were pruned:
 * what is in flight is counted in events. */
static void test_uplink__hole_in_the_seqs__takes_no_room(void **state)
{
    (void)state;
    set_up_sending(100000, 0);
    went(4000, 3);
    assert_int_equal(uplink_room(&uplink), UPLINK_EVENTS_IN_FLIGHT - 3);
}

/* What node.db does not know as acknowledged it drops at its bound, but for so many. */
static void test_uplink__acknowledged_and_not_stored__waits_for_the_disk(void **state)
{
    uint64_t seq = 0;

    (void)state;
    set_up_sending(100000, 0);
    for (size_t room; (room = uplink_room(&uplink)) > 0;) {
        seq += room < 100 ? room : 100;
        went(seq, room < 100 ? room : 100);
        assert_int_equal(uplink_acknowledge(&uplink, seq), UPLINK_ACK_NEW);
    }
    assert_int_equal(seq, UPLINK_SEQS_AHEAD);
    store_acked(seq);
    assert_int_equal(uplink_room(&uplink), UPLINK_EVENTS_IN_FLIGHT);
}

/* It may go with the next write, but for what holds others up: the window, and a head below it. */
static void test_uplink__acknowledged__is_urgent_where_something_waits_for_it(void **state)
{
    const struct uplink_head head = {E1, 20};
    uint64_t seq = 0;

    (void)state;
    set_up_sending(100000, 0);
    assert_false(uplink_has_acked(&uplink));
    while (!uplink_is_acked_urgent(&uplink)) {
        assert_in_range(seq, 0, UPLINK_SEQS_AHEAD / 2);
        went(seq += 64, 64);
        assert_int_equal(uplink_acknowledge(&uplink, seq), UPLINK_ACK_NEW);
        assert_true(uplink_has_acked(&uplink));
    }
    assert_true(uplink_room(&uplink) > 0);
    store_acked(seq);
    assert_false(uplink_has_acked(&uplink));
    uplink_down(&uplink);
    uplink_up(&uplink, &head);
    assert_true(uplink_is_acked_urgent(&uplink));
}

static void test_uplink__acknowledged_twice_or_back__is_old(void **state)
{
    struct uplink_head acked;

    (void)state;
    set_up_sending(100, 0);
    went(50, 50);
    assert_int_equal(uplink_acknowledge(&uplink, 50), UPLINK_ACK_NEW);
    store_acked(50);
    assert_int_equal(uplink_acknowledge(&uplink, 50), UPLINK_ACK_OLD);
    assert_int_equal(uplink_acknowledge(&uplink, 20), UPLINK_ACK_OLD);
    assert_int_equal(uplink_acknowledge(&uplink, 0), UPLINK_ACK_OLD);
    assert_false(uplink_take_acked(&uplink, &acked));
}

/* It would be forgotten here untold. */
static void test_uplink__acknowledged_what_was_never_sent__is_not_believed(void **state)
{
    struct uplink_head acked;

    (void)state;
    set_up_sending(100, 0);
    went(50, 50);
    assert_int_equal(uplink_acknowledge(&uplink, 51), UPLINK_ACK_STRANGE);
    assert_int_equal(uplink_acknowledge(&uplink, UINT64_MAX), UPLINK_ACK_STRANGE);
    assert_int_equal(uplink.strange_acks, 2);
    assert_false(uplink_take_acked(&uplink, &acked));
    assert_int_equal(uplink.acked.seq, 0);
}

static void test_uplink__session_lost_in_the_middle__goes_on_after_upstreams_head(void **state)
{
    const struct uplink_head head = {E1, 64};

    (void)state;
    set_up_sending(1000, 0);
    went(64, 64);
    went(128, 64);
    uplink_down(&uplink);
    assert_int_equal(uplink_room(&uplink), 0);
    assert_int_equal(uplink_acknowledge(&uplink, 128), UPLINK_ACK_STRANGE);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look look = whole(&question, 1, 1000, E1);
    uplink_looked(&uplink, &look);

    assert_int_equal(uplink.sent, 64);
    assert_int_equal(uplink_room(&uplink), UPLINK_EVENTS_IN_FLIGHT);
}

static void test_uplink__look_of_a_lost_session__is_not_taken(void **state)
{
    const struct uplink_head head = {E1, 10};
    const struct uplink_head later = {E1, 20};

    (void)state;
    begin(100, 10);
    uplink_up(&uplink, &head);
    struct uplink_look question = ask();
    struct uplink_look late = whole(&question, 1, 100, E1);
    uplink_down(&uplink);
    uplink_looked(&uplink, &late);
    assert_int_equal(uplink.state, UPLINK_DOWN);
    uplink_up(&uplink, &later);
    question = ask();
    uplink_looked(&uplink, &late);
    assert_int_equal(uplink.state, UPLINK_LOOKING);
    struct uplink_look look = whole(&question, 1, 100, E1);
    uplink_looked(&uplink, &look);
    assert_int_equal(uplink.sent, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uplink__no_session__nothing_goes),
        cmocka_unit_test(test_uplink__acknowledged_before_the_look__is_old),
        cmocka_unit_test(test_uplink__upstream_has_some__the_rest_follows),
        cmocka_unit_test(test_uplink__head_is_beyond_what_was_acknowledged__is_stored),
        cmocka_unit_test(test_uplink__full_window__waits_for_acknowledgements),
        cmocka_unit_test(test_uplink__many_small_batches__are_bounded_too),
        cmocka_unit_test(test_uplink__hole_in_the_seqs__takes_no_room),
        cmocka_unit_test(test_uplink__acknowledged_and_not_stored__waits_for_the_disk),
        cmocka_unit_test(test_uplink__acknowledged__is_urgent_where_something_waits_for_it),
        cmocka_unit_test(test_uplink__acknowledged_twice_or_back__is_old),
        cmocka_unit_test(test_uplink__acknowledged_what_was_never_sent__is_not_believed),
        cmocka_unit_test(test_uplink__session_lost_in_the_middle__goes_on_after_upstreams_head),
        cmocka_unit_test(test_uplink__look_of_a_lost_session__is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
