/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a command done twice, or an event lost, because the wire drops, doubles and reorders.
 * Two ends talk over such a wire under virtual time, seed by seed, until all has arrived; and each
 * rule of the numbering is tried alone. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "prng.h"
#include "samples.h"
#include "session.h"

#define ID UINT64_C(0x5e55104)
#define START_NS UINT64_C(1000000000000)
#define MS_NS UINT64_C(1000000)
#define S_NS UINT64_C(1000000000)

/* The wire. Datagrams in no order; the earliest arrives next. */

#define FLYING_MAX 16384
#define RECORDS 100 /* each way */
#define SEEDS 40
#define ROUNDS_MAX 1000000

struct datagram {
    uint64_t arrival_ns;
    uint8_t *data;
    size_t size_bytes;
    unsigned to;
};

struct end {
    struct session session;
    uint64_t posted;
    uint64_t taken; /* in order, from 1 */
    uint64_t ack_ns;
};

struct wire {
    struct prng prng;
    unsigned loss; /* percent, as the next */
    unsigned doubling;
    uint64_t now_ns;
    struct datagram flying[FLYING_MAX];
    size_t flying_count;
    struct end ends[2];
    struct arena arena;
    struct buffer buffer;
};

static struct wire wire;
static uint64_t seed;

static bool happens(unsigned percent)
{
    return prng_below(&wire.prng, 100) < percent;
}

/* What is in the buffer goes to the other end, or not, or twice. */
static void fly(unsigned from)
{
    unsigned copies = happens(wire.loss) ? 0 : happens(wire.doubling) ? 2 : 1;

    for (; copies > 0; copies--) {
        if (wire.flying_count == FLYING_MAX)
            fail_msg("seed %llu: the wire is full", (unsigned long long)seed);
        struct datagram *at = &wire.flying[wire.flying_count++];
        at->to = 1 - from;
        at->arrival_ns = wire.now_ns + 1 + prng_below(&wire.prng, 300 * MS_NS);
        at->size_bytes = wire.buffer.size_bytes;
        at->data = malloc(at->size_bytes);
        assert_non_null(at->data);
        memcpy(at->data, wire.buffer.data, at->size_bytes);
    }
    buffer_consume(&wire.buffer, wire.buffer.size_bytes);
}

/* Records of any length: their contents say which they are. */
static void post_some(unsigned side)
{
    static const uint8_t filling[1000];
    struct end *end = &wire.ends[side];

    for (unsigned some = 0; some < 20 && end->posted < RECORDS; some++) {
        size_t size_bytes = prng_below(&wire.prng, sizeof(filling));
        struct message message = {.kind = MESSAGE_STREAM_FRAME,
                                  .stream_frame = {.stream = end->posted + 1,
                                                   .lane = LANE_STDOUT,
                                                   .data = {filling, size_bytes}}};
        if (!session_has_room(&end->session, size_bytes + 100))
            return;
        assert_int_equal(session_post(&end->session, &message, wire.now_ns, &wire.buffer), 0);
        end->posted++;
        fly(side);
    }
}

static void arrive(size_t index)
{
    struct datagram datagram = wire.flying[index];
    struct end *end = &wire.ends[datagram.to];
    struct message message;

    wire.flying[index] = wire.flying[--wire.flying_count];
    arena_reset(&wire.arena);
    assert_int_equal(codec_decode(datagram.data, datagram.size_bytes, &wire.arena, &message), 0);
    free(datagram.data);
    bool was_owed = end->session.is_ack_owed;
    enum session_verdict verdict = session_accept(&end->session, &message, wire.now_ns);
    if (verdict == SESSION_FOREIGN)
        fail_msg("seed %llu: foreign", (unsigned long long)seed);
    if (verdict == SESSION_TAKE && message.kind == MESSAGE_STREAM_FRAME)
        if (message.stream_frame.stream != ++end->taken)
            fail_msg("seed %llu: %llu instead of %llu", (unsigned long long)seed,
                     (unsigned long long)message.stream_frame.stream,
                     (unsigned long long)end->taken);
    if (end->session.is_ack_owed && !was_owed)
        end->ack_ns = wire.now_ns + prng_below(&wire.prng, 50 * MS_NS);
}

static void say_what_is_due(unsigned side)
{
    struct end *end = &wire.ends[side];
    struct message pong = {.kind = MESSAGE_PONG};

    while (session_due(&end->session, wire.now_ns, &wire.buffer))
        fly(side);
    assert_true(end->session.due_ns > wire.now_ns);
    if (end->session.is_ack_owed && wire.now_ns >= end->ack_ns) {
        assert_int_equal(session_post(&end->session, &pong, wire.now_ns, &wire.buffer), 0);
        fly(side);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_ns(size_t *ret_index)
{
    uint64_t next = UINT64_MAX;

    *ret_index = SIZE_MAX;
    for (unsigned side = 0; side < 2; side++) {
        struct end *end = &wire.ends[side];
        next = earlier(next, end->session.due_ns);
        if (end->session.is_ack_owed)
            next = earlier(next, end->ack_ns);
    }
    for (size_t i = 0; i < wire.flying_count; i++) {
        if (wire.flying[i].arrival_ns <= next) {
            next = wire.flying[i].arrival_ns;
            *ret_index = i;
        }
    }
    return next;
}

static bool is_settled(void)
{
    for (unsigned side = 0; side < 2; side++)
        if (wire.ends[side].posted < RECORDS || wire.ends[side].session.kept_count != 0)
            return false;
    return true;
}

static void run_wire(void)
{
    wire.prng.state = seed;
    wire.loss = (unsigned)prng_below(&wire.prng, 60);
    wire.doubling = (unsigned)prng_below(&wire.prng, 50);
    wire.now_ns = START_NS;
    for (unsigned side = 0; side < 2; side++) {
        wire.ends[side] = (struct end){0};
        session_init(&wire.ends[side].session, ID, wire.now_ns);
    }
    for (unsigned round = 0; !is_settled(); round++) {
        size_t index;

        if (round == ROUNDS_MAX)
            fail_msg("seed %llu: not settled", (unsigned long long)seed);
        for (unsigned side = 0; side < 2; side++) {
            post_some(side);
            say_what_is_due(side);
        }
        uint64_t next = next_ns(&index);
        if (next > wire.now_ns)
            wire.now_ns = next;
        if (index != SIZE_MAX)
            arrive(index);
    }
}

static void test_session__any_wire__all_arrive_once_and_in_order(void **state)
{
    (void)state;
    for (seed = 1; seed <= SEEDS; seed++) {
        run_wire();

        for (unsigned side = 0; side < 2; side++) {
            struct session *session = &wire.ends[side].session;
            if (wire.ends[side].taken != RECORDS)
                fail_msg("seed %llu: %llu taken", (unsigned long long)seed,
                         (unsigned long long)wire.ends[side].taken);
            assert_int_equal(session->kept_bytes, 0);
            assert_true(session->due_ns == UINT64_MAX);
            session_close(session);
        }
        while (wire.flying_count > 0)
            free(wire.flying[--wire.flying_count].data);
    }
    arena_close(&wire.arena);
    buffer_close(&wire.buffer);
}

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

static void test_due__not_received__after_1_2_4_8_and_8_seconds(void **state)
{
    static const uint64_t waits_s[] = {1, 2, 4, 8, 8, 8};
    uint64_t now_ns = START_NS;
    (void)state;
    (void)post(MESSAGE_EVENT_ACK, now_ns);
    session.ping_ns = UINT64_MAX;
    for (size_t i = 0; i < sizeof(waits_s) / sizeof(waits_s[0]); i++) {
        now_ns += waits_s[i] * S_NS;
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
    (void)hear(0, 2, START_NS);

    for (uint64_t number = 3; number <= 6; number++) {
        assert_true(session_due(&session, START_NS + S_NS + 5 * MS_NS, &out));
        assert_int_equal(said().number, number);
        if (number == 4)
            (void)hear(0, 4, START_NS); /* while it stands at the next one */
    }
    assert_false(session_due(&session, START_NS + S_NS + 5 * MS_NS, &out));
    assert_true(session.due_ns == START_NS + S_NS + 6 * MS_NS);
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
    }
    assert_true(least >= 3 * S_NS);
    assert_true(most < 5 * S_NS);
    assert_true(most - least > S_NS); /* not in step */
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
        cmocka_unit_test(test_session__any_wire__all_arrive_once_and_in_order),
        TEST(test_post__kinds_of_content__are_numbered_and_kept),
        TEST(test_post__before_the_session_stands__only_greetings_go),
        TEST(test_post__what_cannot_be_sent__spends_no_number),
        TEST(test_post__octets_of_the_window_spent__enobufs_until_received),
        TEST(test_post__records_of_the_window_spent__enobufs_until_received),
        TEST(test_accept__numbers__are_judged),
        TEST(test_accept__of_another_life__is_foreign_and_changes_nothing),
        TEST(test_post__stamps__what_was_received_and_committed),
        TEST(test_due__again__with_the_acknowledgements_of_that_moment),
        TEST(test_due__not_received__after_1_2_4_8_and_8_seconds),
        TEST(test_due__of_many__only_those_whose_time_has_come_in_order),
        TEST(test_ping__when_due__lies_within_a_quarter_of_4_s),
        TEST(test_dead__nothing_heard_for_10_s__until_then_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
