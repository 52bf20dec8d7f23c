/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: an answer that never comes because the window was full when it was ready, or comes
 * after what was said later. Messages are posted far beyond the window of a real session whose
 * other end acknowledges piece by piece. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "outbox.h"

#define ID UINT64_C(0x5e55104)
#define NOW_NS UINT64_C(1000000000000)
#define FILLING_BYTES 16000

static struct session session;
static struct outbox outbox;
static struct arena arena;
static struct arena scratch;
static struct buffer wire;
static uint64_t heard; /* streams, by which they are told apart */

static int set_up(void **state)
{
    (void)state;
    session_init(&session, ID, NOW_NS);
    heard = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    session_close(&session);
    outbox_close(&outbox);
    arena_close(&arena);
    arena_close(&scratch);
    buffer_close(&wire);
    return 0;
}

static int post(uint64_t stream, size_t size_bytes)
{
    static const uint8_t filling[FILLING_BYTES];
    struct message message = {
        .kind = MESSAGE_STREAM_FRAME,
        .stream_frame = {.stream = stream, .lane = LANE_STDOUT, .data = {filling, size_bytes}}};

    return outbox_post(&outbox, &session, &message, NOW_NS, &wire);
}

/* The record in `wire` is the next one, in its order. */
static void hear(void)
{
    struct message message;

    arena_reset(&arena);
    assert_int_equal(codec_decode(wire.data, wire.size_bytes, &arena, &message), 0);
    assert_int_equal(message.number, heard + 1);
    assert_int_equal(message.stream_frame.stream, ++heard);
    buffer_consume(&wire, wire.size_bytes);
}

static void acknowledge(uint64_t number)
{
    const struct message message = {.session = ID, .kind = MESSAGE_PONG, .received = number};

    assert_int_equal(session_accept(&session, &message, NOW_NS), SESSION_TAKE);
}

static void test_outbox__beyond_the_window__all_go_in_their_order(void **state)
{
    uint64_t posted = 0;

    (void)state;
    while (posted < 1000) {
        int result = post(++posted, FILLING_BYTES);
        assert_in_range(result, 0, 1);
        if (result == 1)
            hear();
    }
    assert_in_range(heard, SESSION_WINDOW_BYTES / FILLING_BYTES - 3,
                    SESSION_WINDOW_BYTES / FILLING_BYTES);
    assert_int_equal(outbox.kept_count, posted - heard);
    assert_false(outbox_next(&outbox, &session, NOW_NS, &scratch, &wire));

    while (heard < posted) {
        uint64_t before = heard;

        acknowledge(heard - 7);
        while (outbox_next(&outbox, &session, NOW_NS, &scratch, &wire))
            hear();
        assert_true(heard > before);
    }
    assert_true(outbox_is_empty(&outbox));
    assert_true(outbox.kept.room_bytes <= MESSAGE_BYTES_MAX);
}

/* Small ones would find room: they wait all the same. */
static void test_outbox__something_waits__nothing_overtakes_it(void **state)
{
    uint64_t posted = 0;

    (void)state;
    while (post(++posted, FILLING_BYTES) == 1)
        hear();
    assert_int_equal(post(++posted, 0), 0);
    assert_int_equal(outbox.kept_count, 2);
    acknowledge(heard);
    assert_true(outbox_next(&outbox, &session, NOW_NS, &scratch, &wire));
    hear();
    assert_int_equal(post(++posted, 0), 0);
    assert_true(outbox_next(&outbox, &session, NOW_NS, &scratch, &wire));
    hear();
    assert_true(outbox_next(&outbox, &session, NOW_NS, &scratch, &wire));
    hear();
    assert_int_equal(post(++posted, 0), 1);
    hear();
}

/* An acknowledgement that waited for room would keep the room from coming. */
static void test_outbox__acknowledgement__waits_for_nothing(void **state)
{
    struct message pong = {.kind = MESSAGE_PONG};
    uint64_t posted = 0;

    (void)state;
    while (post(++posted, FILLING_BYTES) == 1)
        hear();
    assert_int_equal(outbox_post(&outbox, &session, &pong, NOW_NS, &wire), 1);
}

static void test_outbox__bound__is_refused_and_nothing_is_lost(void **state)
{
    uint64_t posted = 0;
    int result;

    (void)state;
    while ((result = post(posted + 1, FILLING_BYTES)) >= 0) {
        posted++;
        if (result == 1)
            hear();
    }
    assert_int_equal(result, -ENOBUFS);
    assert_in_range(outbox.kept.size_bytes, OUTBOX_BYTES_MAX,
                    OUTBOX_BYTES_MAX + FILLING_BYTES + 100);
    while (heard < posted) {
        acknowledge(heard);
        while (outbox_next(&outbox, &session, NOW_NS, &scratch, &wire))
            hear();
    }
    assert_int_equal(post(posted + 1, FILLING_BYTES), 1);
}

static void test_outbox__no_session__is_kept_for_it(void **state)
{
    (void)state;
    session_close(&session);
    assert_int_equal(post(1, 10), 0);
    assert_false(outbox_next(&outbox, &session, NOW_NS, &scratch, &wire));
    session_init(&session, ID, NOW_NS);
    assert_true(outbox_next(&outbox, &session, NOW_NS, &scratch, &wire));
    hear();
}

static void test_outbox__what_no_codec_takes__is_refused_at_once(void **state)
{
    struct message message = {.kind = MESSAGE_STREAM_FRAME}; /* without a lane */

    (void)state;
    assert_int_equal(outbox_post(&outbox, &session, &message, NOW_NS, &wire), -EINVAL);
    assert_true(outbox_is_empty(&outbox));
    assert_int_equal(wire.size_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_outbox__beyond_the_window__all_go_in_their_order,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_outbox__something_waits__nothing_overtakes_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_outbox__acknowledgement__waits_for_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_outbox__bound__is_refused_and_nothing_is_lost, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_outbox__no_session__is_kept_for_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_outbox__what_no_codec_takes__is_refused_at_once,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
