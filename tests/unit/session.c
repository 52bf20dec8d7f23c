/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a command done twice, or an event lost, because the wire drops, doubles and reorders.
 * Each rule of the numbering is tried alone; session_wire.c tries them together. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "samples.h"
#include "session.h"

#define ID UINT64_C(0x5e55104)
#define START_NS UINT64_C(1000000000000)
#define MS_NS UINT64_C(1000000)
#define S_NS UINT64_C(1000000000)
#define FIRST_NS SESSION_RESEND_FIRST_NS

/* One end alone. */

static struct session session;
static struct arena arena;
static struct buffer out;

static int set_up(void **state)
{
    (void)state;
    session_init(&session, ID, START_NS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    session_close(&session);
    arena_close(&arena);
    buffer_close(&out);
    return 0;
}

/* What was said last. */
static struct message said(void)
{
    struct message message;

    arena_reset(&arena);
    assert_int_equal(codec_decode(out.data, out.size_bytes, &arena, &message), 0);
    buffer_consume(&out, out.size_bytes);
    return message;
}

static struct message post(enum message_kind kind, uint64_t now_ns)
{
    struct message message = {.kind = kind};

    assert_int_equal(session_post(&session, &message, now_ns, &out), 0);
    return said();
}

static enum session_verdict hear(uint64_t number, uint64_t received, uint64_t now_ns)
{
    const struct message message = {
        .session = ID, .number = number, .received = received, .kind = MESSAGE_EVENT_ACK};
    return session_accept(&session, &message, now_ns);
}

static void test_post__kinds_of_content__are_numbered_and_kept(void **state)
{
    uint64_t number = 0;
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct message message = samples[i];
        enum message_kind kind = message.kind;
        bool is_kept = kind != MESSAGE_HELLO && kind != MESSAGE_HELLO_ANSWER &&
                       kind != MESSAGE_PING && kind != MESSAGE_PONG && kind != MESSAGE_RESET;

        assert_int_equal(session_post(&session, &message, START_NS, &out), 0);

        number += is_kept ? 1 : 0;
        struct message heard = said();
        assert_int_equal(heard.number, is_kept ? number : 0);
        assert_true(heard.session == ID);
        assert_int_equal(session.kept_count, number);
    }
}

static void test_post__before_the_session_stands__only_greetings_go(void **state)
{
    struct message hello = {.kind = MESSAGE_HELLO};
    struct message command = {.kind = MESSAGE_EVENT_ACK};
    (void)state;
    session_init(&session, 0, START_NS);

    assert_int_equal(session_post(&session, &hello, START_NS, &out), 0);
    assert_int_equal(said().session, 0);
    assert_false(session_has_room(&session, 0));
    assert_int_equal(session_post(&session, &command, START_NS, &out), -ENOBUFS);

    assert_int_equal(out.size_bytes, 0);
    assert_int_equal(session.sent, 0);
    assert_true(session_next_ns(&session) == UINT64_MAX);
    assert_false(session_is_dead(&session, UINT64_MAX));
}

static void test_post__what_cannot_be_sent__spends_no_number(void **state)
{
    struct message wrong = {.kind = MESSAGE_COMMAND};
    (void)state;

    assert_int_equal(session_post(&session, &wrong, START_NS, &out), -EINVAL);

    assert_int_equal(post(MESSAGE_EVENT_ACK, START_NS).number, 1);
}

static void test_post__octets_of_the_window_spent__enobufs_until_received(void **state)
{
    static const uint8_t data[STREAM_FRAME_BYTES_MAX];
    struct message frame = {.kind = MESSAGE_STREAM_FRAME,
                            .stream_frame = {.lane = LANE_STDIN, .data = {data, sizeof(data)}}};
    int result;
    (void)state;

    while ((result = session_post(&session, &frame, START_NS, &out)) == 0)
        buffer_consume(&out, out.size_bytes);

    assert_int_equal(result, -ENOBUFS);
    assert_int_equal(out.size_bytes, 0);
    assert_true(session.kept_bytes <= SESSION_WINDOW_BYTES);
    assert_true(session.kept_bytes + sizeof(data) + 100 > SESSION_WINDOW_BYTES);
    assert_false(session_has_room(&session, sizeof(data) + 100));
    uint64_t last = session.sent;
    assert_int_equal(hear(0, 1, START_NS), SESSION_TAKE);
    assert_true(session_has_room(&session, sizeof(data)));
    assert_int_equal(session_post(&session, &frame, START_NS, &out), 0);
    assert_int_equal(said().number, last + 1);
}

static void test_post__records_of_the_window_spent__enobufs_until_received(void **state)
{
    struct message ack = {.kind = MESSAGE_EVENT_ACK};
    (void)state;
    for (unsigned i = 0; i < SESSION_RECORDS_MAX; i++)
        (void)post(MESSAGE_EVENT_ACK, START_NS);

    assert_int_equal(session_post(&session, &ack, START_NS, &out), -ENOBUFS);
    assert_int_equal(hear(0, SESSION_RECORDS_MAX, START_NS), SESSION_TAKE);

    assert_int_equal(session.kept_count, 0);
    assert_int_equal(session.kept_bytes, 0);
    assert_int_equal(post(MESSAGE_EVENT_ACK, START_NS).number, SESSION_RECORDS_MAX + 1);
}

static void test_accept__numbers__are_judged(void **state)
{
    (void)state;
    assert_int_equal(hear(2, 0, START_NS), SESSION_GAP);
    assert_false(session.is_ack_owed);
    assert_int_equal(hear(1, 0, START_NS), SESSION_TAKE);
    assert_true(session.is_ack_owed);
    assert_int_equal(hear(2, 0, START_NS), SESSION_TAKE);
    assert_int_equal(hear(0, 0, START_NS), SESSION_TAKE);
    assert_int_equal(hear(4, 0, START_NS), SESSION_GAP);
    assert_int_equal(hear(UINT64_MAX, 0, START_NS), SESSION_GAP);
    assert_int_equal(session.received, 2);

    (void)post(MESSAGE_PONG, START_NS);
    assert_false(session.is_ack_owed);
    assert_int_equal(hear(1, 0, START_NS), SESSION_DUPLICATE);
    assert_true(session.is_ack_owed); /* our word was lost: say it again */
}

static void test_accept__of_another_life__is_foreign_and_changes_nothing(void **state)
{
    const struct message other = {
        .session = ID + 1, .number = 1, .received = 1, .kind = MESSAGE_EVENT_ACK};
    (void)state;
    (void)post(MESSAGE_EVENT_ACK, START_NS);

    assert_int_equal(session_accept(&session, &other, START_NS + S_NS), SESSION_FOREIGN);
    assert_int_equal(hear(1, 2, START_NS + S_NS), SESSION_FOREIGN); /* has what was never sent */

    assert_int_equal(session.kept_count, 1);
    assert_int_equal(session.received, 0);
    assert_true(session.heard_ns == START_NS);
    session_close(&session);
    assert_int_equal(hear(1, 0, START_NS), SESSION_FOREIGN);
}

static void test_post__stamps__what_was_received_and_committed(void **state)
{
    (void)state;
    (void)hear(1, 0, START_NS);
    (void)hear(2, 0, START_NS);
    session.committed = 1;

    struct message record = post(MESSAGE_EVENT_ACK, START_NS);

    assert_int_equal(record.received, 2);
    assert_int_equal(record.committed, 1);
    assert_false(session.is_ack_owed);
}

static void test_due__again__with_the_acknowledgements_of_that_moment(void **state)
{
    (void)state;
    (void)post(MESSAGE_EVENT_ACK, START_NS);
    (void)hear(1, 0, START_NS);
    session.committed = 1;

    assert_true(session_due(&session, START_NS + S_NS, &out));

    struct message record = said();
    assert_int_equal(record.number, 1);
    assert_int_equal(record.received, 1);
    assert_int_equal(record.committed, 1);
    assert_false(session.is_ack_owed);
    assert_false(session_due(&session, START_NS + S_NS, &out));
}

static void test_due__not_received__each_half_second_then_each_two(void **state)
{
    static const unsigned waits_ms[] = {500, 500, 500, 500, 500,  500,
                                        500, 500, 500, 500, 2000, 2000};
    uint64_t now_ns = START_NS;
    (void)state;
    (void)post(MESSAGE_EVENT_ACK, now_ns);
    session.ping_ns = UINT64_MAX;
    for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
        now_ns += waits_ms[i] * MS_NS;
        assert_true(session_next_ns(&session) == now_ns);
        assert_false(session_due(&session, now_ns - 1, &out));
        assert_true(session_due(&session, now_ns, &out));
        assert_int_equal(said().number, 1);
        assert_false(session_due(&session, now_ns, &out));
    }
    (void)hear(0, 1, now_ns);
    assert_true(session_next_ns(&session) == UINT64_MAX);
    assert_false(session_due(&session, UINT64_MAX, &out));
}

static void test_due__of_many__only_those_whose_time_has_come_in_order(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        (void)post(MESSAGE_EVENT_ACK, START_NS + i * MS_NS);

    for (uint64_t number = 1; number <= 6; number++) {
        assert_true(session_due(&session, START_NS + FIRST_NS + 5 * MS_NS, &out));
        assert_int_equal(said().number, number);
    }
    assert_false(session_due(&session, START_NS + FIRST_NS + 5 * MS_NS, &out));
    assert_true(session.due_ns == START_NS + FIRST_NS + 6 * MS_NS);
}

/* Its answer took 50 ms, give and take 25: the next one is missed after 150, at least after 200. */
static void test_due__answers_are_quick__is_sent_again_soon(void **state)
{
    (void)state;
    (void)post(MESSAGE_EVENT_ACK, START_NS);
    (void)hear(0, 1, START_NS + 50 * MS_NS);
    (void)post(MESSAGE_EVENT_ACK, START_NS + S_NS);
    assert_true(session.due_ns == START_NS + S_NS + SESSION_RESEND_FIRST_MIN_NS);

    for (uint64_t i = 2; i < 40; i++) {
        (void)post(MESSAGE_EVENT_ACK, START_NS + i * S_NS);
        (void)hear(0, i + 1, START_NS + i * S_NS + 400 * MS_NS);
    }
    (void)post(MESSAGE_EVENT_ACK, START_NS + 50 * S_NS);
    assert_in_range(session.due_ns - START_NS - 50 * S_NS, 400 * MS_NS, 600 * MS_NS);
}

/* What was sent again says nothing of how long an answer takes: to which of the two was it? */
static void test_due__answer_to_a_resent_one__is_no_measure(void **state)
{
    (void)state;
    (void)post(MESSAGE_EVENT_ACK, START_NS);
    assert_true(session_due(&session, START_NS + S_NS, &out));
    (void)hear(0, 1, START_NS + S_NS + 1);
    assert_int_equal(session.rtt_ns, 0);
}

static void test_due__peer_is_heard__waits_no_longer_than_half_a_second(void **state)
{
    uint64_t now_ns = START_NS;
    (void)state;
    (void)post(MESSAGE_EVENT_ACK, now_ns);
    for (unsigned i = 0; i < 30; i++) {
        now_ns += S_NS / 4;
        (void)hear(0, 0, now_ns);
        now_ns += S_NS / 4;
        assert_true(session_due(&session, now_ns, &out));
        (void)said();
    }
}

/* Sent before what filled the hole, it was lost as well, or it would be acknowledged too. */
static void test_due__hole_is_filled__the_next_one_is_due_at_once(void **state)
{
    const uint64_t filled_ns = START_NS + FIRST_NS + 20 * MS_NS;

    (void)state;
    (void)post(MESSAGE_EVENT_ACK, START_NS);
    (void)post(MESSAGE_EVENT_ACK, START_NS + 100 * MS_NS);
    (void)post(MESSAGE_EVENT_ACK, START_NS + 100 * MS_NS);
    assert_true(session_due(&session, START_NS + FIRST_NS, &out));
    assert_int_equal(said().number, 1);
    assert_false(session_due(&session, START_NS + FIRST_NS, &out));
    (void)hear(0, 1, filled_ns);

    assert_true(session.due_ns <= filled_ns);
    assert_true(session_due(&session, filled_ns, &out));
    assert_int_equal(said().number, 2);
    assert_false(session_due(&session, filled_ns, &out)); /* of the third nothing is known */
}

/* Sent after it, it may still be on its way. */
static void test_due__sent_after_the_hole_was_filled__is_not_due_yet(void **state)
{
    (void)state;
    (void)post(MESSAGE_EVENT_ACK, START_NS);
    assert_true(session_due(&session, START_NS + S_NS, &out));
    (void)said();
    (void)post(MESSAGE_EVENT_ACK, START_NS + S_NS + MS_NS);
    (void)hear(0, 1, START_NS + S_NS + 20 * MS_NS);

    assert_false(session_due(&session, START_NS + S_NS + 20 * MS_NS, &out));
}

static void test_ping__when_due__lies_within_a_quarter_of_4_s(void **state)
{
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    (void)state;
    for (uint64_t i = 0; i < 200; i++) {
        uint64_t now_ns = START_NS + i * MS_NS;
        (void)post(MESSAGE_PING, now_ns);
        uint64_t wait_ns = session.ping_ns - now_ns;
        least = wait_ns < least ? wait_ns : least;
        most = wait_ns > most ? wait_ns : most;
        assert_true(session_next_ns(&session) == session.ping_ns);
        (void)hear(0, 0, now_ns + 1);
    }
    assert_true(least >= 3 * S_NS);
    assert_true(most < 5 * S_NS);
    assert_true(most - least > S_NS); /* not in step */
}

/* A line that loses half of all must not look like a peer that is dead. */
static void test_ping__not_answered__is_said_again_soon(void **state)
{
    (void)state;
    (void)post(MESSAGE_PING, START_NS + 1);
    for (uint64_t i = 1; i < 20; i++) {
        uint64_t now_ns = session.ping_ns;
        (void)post(MESSAGE_PING, now_ns);
        assert_true(session.ping_ns == now_ns + SESSION_PING_AGAIN_NS);
    }
    uint64_t now_ns = session.ping_ns;
    (void)hear(0, 0, now_ns);
    (void)post(MESSAGE_PING, now_ns);
    assert_true(session.ping_ns >= now_ns + 3 * S_NS);
}

/* ---- before their turn ---- */

/* The record with this number, as octets; the stream tells it too. */
static void hold(uint64_t number, size_t size_bytes)
{
    static const uint8_t filling[SESSION_WINDOW_BYTES / 2];
    assert_true(size_bytes <= sizeof(filling));
    session_hold(&session, number, filling, size_bytes);
}

static size_t next_held(void)
{
    buffer_consume(&out, out.size_bytes);
    return session_next_held(&session, &out) ? out.size_bytes : 0;
}

static void test_hold__holes_are_filled__come_in_their_order(void **state)
{
    (void)state;
    hold(5, 50);
    hold(2, 20);
    hold(3, 30);
    hold(3, 31); /* twice */
    hold(4, 40);
    hold(1, 10); /* its turn is now: nobody holds it */
    assert_int_equal(session.held_count, 4);
    assert_int_equal(next_held(), 0);
    (void)hear(1, 0, START_NS);
    for (uint64_t number = 2; number <= 3; number++) {
        assert_int_equal(next_held(), number * 10);
        assert_int_equal(hear(number, 0, START_NS), SESSION_TAKE);
    }
    (void)hear(4, 0, START_NS); /* came again, by itself */
    assert_int_equal(next_held(), 50);
    assert_int_equal(session.held_count, 0);
    assert_int_equal(session.held_bytes, 0);
    hold(4, 40); /* long gone */
    assert_int_equal(session.held_count, 0);
}

static void test_hold__more_than_the_window__is_not_kept(void **state)
{
    (void)state;
    hold(2, SESSION_WINDOW_BYTES / 2);
    hold(3, SESSION_WINDOW_BYTES / 2);
    hold(4, 1);
    assert_int_equal(session.held_count, 2);
    assert_int_equal(session.held_bytes, SESSION_WINDOW_BYTES);
    session_close(&session);
    assert_int_equal(session.held_bytes, 0);
    session_init(&session, ID, START_NS);
    for (uint64_t number = 2; number < 2 * SESSION_RECORDS_MAX; number++)
        hold(number, 0);
    assert_int_equal(session.held_count, SESSION_RECORDS_MAX);
}

static void test_dead__nothing_heard_for_10_s__until_then_not(void **state)
{
    (void)state;
    assert_false(session_is_dead(&session, START_NS + 10 * S_NS - 1));
    assert_true(session_is_dead(&session, START_NS + 10 * S_NS));
    (void)hear(0, 0, START_NS + 10 * S_NS);
    assert_false(session_is_dead(&session, START_NS + 20 * S_NS - 1));
    assert_true(session_is_dead(&session, START_NS + 20 * S_NS));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_post__kinds_of_content__are_numbered_and_kept),
        TEST(test_post__before_the_session_stands__only_greetings_go),
        TEST(test_post__what_cannot_be_sent__spends_no_number),
        TEST(test_post__octets_of_the_window_spent__enobufs_until_received),
        TEST(test_post__records_of_the_window_spent__enobufs_until_received),
        TEST(test_accept__numbers__are_judged),
        TEST(test_accept__of_another_life__is_foreign_and_changes_nothing),
        TEST(test_post__stamps__what_was_received_and_committed),
        TEST(test_due__again__with_the_acknowledgements_of_that_moment),
        TEST(test_due__not_received__each_half_second_then_each_two),
        TEST(test_due__of_many__only_those_whose_time_has_come_in_order),
        TEST(test_due__answers_are_quick__is_sent_again_soon),
        TEST(test_due__answer_to_a_resent_one__is_no_measure),
        TEST(test_due__peer_is_heard__waits_no_longer_than_half_a_second),
        TEST(test_due__hole_is_filled__the_next_one_is_due_at_once),
        TEST(test_due__sent_after_the_hole_was_filled__is_not_due_yet),
        TEST(test_hold__holes_are_filled__come_in_their_order),
        TEST(test_hold__more_than_the_window__is_not_kept),
        TEST(test_ping__not_answered__is_said_again_soon),
        TEST(test_ping__when_due__lies_within_a_quarter_of_4_s),
        TEST(test_dead__nothing_heard_for_10_s__until_then_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
