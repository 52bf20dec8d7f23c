/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: one client that talks nonsense, nothing, or reads nothing ends or stops the daemon for
 * all others. A real server on a loop, real sockets that do so; all in one process, so that nothing
 * here waits for anything but the loop. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "rig.h"

#define SILENCE_NS (50 * NS_PER_MS)
#define SHORT_NS NS_PER_MS

/* Talking */

static void test_local__octet_by_octet_or_many_at_once__every_message_is_heard(void **state)
{
    struct message ping = {.kind = MESSAGE_PING, .ping_ns = 7};
    struct buffer buffer = {0};
    struct peer *peer = open_peer(0);
    (void)state;
    assert_int_equal(codec_encode_framed(&ping, &buffer), 0);

    for (size_t i = 0; i < buffer.size_bytes; i++) {
        say_octets(peer, buffer.data + i, 1);
        turn();
    }
    hear_number(peer, 7);
    buffer_consume(&buffer, buffer.size_bytes);
    for (ping.ping_ns = 1; ping.ping_ns <= 10000; ping.ping_ns++)
        assert_int_equal(codec_encode_framed(&ping, &buffer), 0);
    say_octets(peer, buffer.data, buffer.size_bytes);
    for (uint64_t number = 1; number <= 10000; number++)
        hear_number(peer, number);

    assert_int_equal(rig.heard, 10001);
    assert_int_equal(last_client()->uid, geteuid());
    assert_int_equal(last_client()->pid, getpid());
    buffer_close(&buffer);
}

static void test_local__largest_message__comes_back(void **state)
{
    char *text = malloc(MESSAGE_BYTES_MAX);
    struct message answer = {.kind = MESSAGE_ANSWER, .answer = {.version = text}};
    struct message message;
    struct peer *peer = open_peer(0);
    (void)state;
    assert_non_null(text);
    memset(text, 'x', MESSAGE_BYTES_MAX);
    text[MESSAGE_BYTES_MAX - 9] = '\0'; /* tags and lengths */

    say(peer, &answer);
    assert_true(hear(peer, &message));

    assert_string_equal(message.answer.version, text);
    free(text);
}

static void test_local__a_client_leaves__is_told_once_and_others_go_on(void **state)
{
    struct peer *leaving = open_peer(0);
    struct peer *staying = open_peer(1);
    struct peer *mute = open_peer(2);
    (void)state;
    say_number(leaving, 1);
    hear_number(leaving, 1);
    uint64_t id = rig.last_id;
    say_number(staying, 2);
    hear_number(staying, 2);

    say_octets(leaving, "\x09\x00", 2); /* in the middle of a prefix */
    hang_up(leaving);
    hang_up(mute);
    while (rig.server.client_count > 1)
        turn();

    assert_int_equal(rig.gone, 1);
    assert_null(local_find(&rig.server, id));
    say_number(staying, 3);
    hear_number(staying, 3);
}

/* Nonsense */

static void test_local__prefix_beyond_bounds__is_refused_in_words(void **state)
{
    struct peer *huge = open_peer(0);
    struct peer *empty = open_peer(1);
    struct peer *good = open_peer(2);
    (void)state;
    say_octets(huge, "\x01\x00\x10\x00", 4);
    say_octets(empty, "\x00\x00\x00\x00more", 8);

    hear_refusal(huge, STATUS_INVALID);
    hear_refusal(empty, STATUS_INVALID);

    say_number(good, 1);
    hear_number(good, 1);
    assert_int_equal(rig.heard, 1);
    assert_int_equal(rig.gone, 0);
}

static void test_local__garbage_in_a_frame__is_refused_and_what_follows_not_heard(void **state)
{
    struct peer *peer = open_peer(0);
    (void)state;
    say_number(peer, 1);
    say_octets(peer, "\x03\x00\x00\x00???", 7);
    say_number(peer, 2);

    hear_number(peer, 1);
    hear_refusal(peer, STATUS_INVALID);

    assert_int_equal(rig.heard, 1);
    assert_int_equal(rig.gone, 1);
}

static void test_local__what_a_later_version_asks__is_unsupported_and_it_may_go_on(void **state)
{
    static const uint8_t body_40[] = {3, 0, 0, 0, 0xc2, 0x02, 0x00};
    /* command {request_id "r", verb 99} */
    static const uint8_t verb_99[] = {8, 0, 0, 0, 0xa2, 0x01, 5, 0x0a, 1, 'r', 0x28, 99};
    /* query {request_id "q", kind 99} */
    static const uint8_t kind_99[] = {8, 0, 0, 0, 0xc2, 0x01, 5, 0x0a, 1, 'q', 0x18, 99};
    /* stream_open {stream 9, kind 99} */
    static const uint8_t stream_99[] = {7, 0, 0, 0, 0xf2, 0x01, 4, 0x08, 9, 0x28, 99};
    struct message message;
    struct peer *peer = open_peer(0);
    (void)state;

    say_octets(peer, body_40, sizeof(body_40));
    assert_true(hear(peer, &message));
    assert_int_equal(message.kind, MESSAGE_ANSWER);
    assert_int_equal(message.answer.fault.status, STATUS_UNSUPPORTED);
    say_octets(peer, verb_99, sizeof(verb_99));
    assert_true(hear(peer, &message));
    assert_int_equal(message.kind, MESSAGE_RECEIPT);
    assert_string_equal(message.receipt.request_id, "r");
    assert_int_equal(message.receipt.phase, PHASE_FAILED);
    assert_int_equal(message.receipt.fault.status, STATUS_UNSUPPORTED);
    say_octets(peer, kind_99, sizeof(kind_99));
    assert_true(hear(peer, &message));
    assert_string_equal(message.answer.request_id, "q");
    say_octets(peer, stream_99, sizeof(stream_99));
    assert_true(hear(peer, &message));
    assert_int_equal(message.kind, MESSAGE_STREAM_END);
    assert_int_equal(message.stream_end.stream, 9);

    say_number(peer, 1);
    hear_number(peer, 1);
    assert_int_equal(rig.heard, 1);
}

/* Silence and slowness */

static void test_local__nothing_said__is_hung_up_and_who_spoke_is_not(void **state)
{
    (void)state;
    rig.server.silence_ns = SILENCE_NS;
    struct peer *spoke = open_peer(0);
    say_number(spoke, 1);
    hear_number(spoke, 1);
    uint64_t start_ns = clock_monotonic_ns();
    struct peer *silent = open_peer(1);
    struct peer *half = open_peer(2);
    say_octets(half, "\x09\x00\x00\x00half", 8);

    hear_refusal(silent, STATUS_TIMEOUT);
    hear_refusal(half, STATUS_TIMEOUT);

    assert_true(clock_monotonic_ns() - start_ns >= SILENCE_NS);
    say_number(spoke, 2);
    hear_number(spoke, 2);
    assert_int_equal(rig.gone, 0);
}

/* Until it says no. Returns how many were taken. */
static uint64_t send_until_full(struct local_client *client)
{
    char text[10000];
    struct message answer = {.kind = MESSAGE_ANSWER, .answer = {.version = text}};
    uint64_t sent = 0;
    int result;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    do {
        answer.number = ++sent;
        result = local_send(client, &answer);
        assert_true(client->unsent_bytes <= LOCAL_OUT_BYTES_MAX);
    } while (result == 0);
    assert_int_equal(result, -ENOBUFS);
    return sent - 1;
}

static void test_local__slow_reader__enobufs_then_drained_and_nothing_is_missing(void **state)
{
    struct message message;
    struct peer *peer = open_peer(0);
    struct peer *other = open_peer(1);
    (void)state;
    say_number(peer, 1);
    hear_number(peer, 1);
    struct local_client *client = last_client();

    uint64_t sent = send_until_full(client);
    assert_true(sent * 10000 >= LOCAL_OUT_BYTES_MAX);
    say_number(other, 2); /* which does not wait for the slow one */
    hear_number(other, 2);
    assert_int_equal(rig.drained, 0);
    for (uint64_t number = 1; number <= sent; number++) {
        assert_true(hear(peer, &message));
        assert_int_equal(message.number, number);
        assert_int_equal(strlen(message.answer.version), 9999);
    }

    assert_int_equal(rig.drained, 1);
    assert_int_equal(client->unsent_bytes, 0);
    say_number(peer, 3);
    hear_number(peer, 3);
}

static void test_local__hung_up__hears_what_was_queued_and_then_the_end(void **state)
{
    struct message message;
    struct peer *peer = open_peer(0);
    (void)state;
    say_number(peer, 1);
    hear_number(peer, 1);
    struct local_client *client = last_client();
    uint64_t sent = send_until_full(client);

    local_hang_up(client);
    assert_int_equal(local_send(client, &(struct message){.kind = MESSAGE_PING}), -EPIPE);
    say_number(peer, 2); /* is not heard */
    for (uint64_t number = 1; number <= sent; number++)
        assert_true(hear(peer, &message));

    assert_false(hear(peer, &message));
    assert_int_equal(rig.heard, 1);
    assert_int_equal(rig.gone, 1);
}

static void test_local__hung_up_and_never_reads__is_closed_at_its_deadline(void **state)
{
    struct peer *peer = open_peer(0);
    (void)state;
    say_number(peer, 1);
    hear_number(peer, 1);
    (void)send_until_full(last_client());
    rig.server.silence_ns = SHORT_NS;

    local_hang_up(last_client());
    while (rig.server.client_count > 0)
        turn();

    assert_int_equal(rig.gone, 1);
}

static void test_local__hung_up_by_its_own_message__the_rest_is_not_heard(void **state)
{
    struct message message;
    struct peer *peer = open_peer(0);
    (void)state;
    rig.is_hanging_up = true;
    say_number(peer, 1);
    say_number(peer, 2);

    hear_number(peer, 1);

    assert_false(hear(peer, &message));
    assert_int_equal(rig.heard, 1);
    assert_int_equal(rig.gone, 1);
}

static void test_local__paused__is_not_heard_until_it_goes_on(void **state)
{
    struct peer *peer = open_peer(0);
    struct peer *other = open_peer(1);
    (void)state;
    say_number(peer, 1);
    hear_number(peer, 1);
    struct local_client *client = last_client();

    local_pause(client, true);
    for (uint64_t number = 2; number <= 100; number++)
        say_number(peer, number);
    say_number(other, 1);
    hear_number(other, 1);
    assert_int_equal(rig.heard, 2);
    local_pause(client, false);

    for (uint64_t number = 2; number <= 100; number++)
        hear_number(peer, number);
    assert_int_equal(rig.heard, 101);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_local__octet_by_octet_or_many_at_once__every_message_is_heard),
        TEST(test_local__largest_message__comes_back),
        TEST(test_local__a_client_leaves__is_told_once_and_others_go_on),
        TEST(test_local__prefix_beyond_bounds__is_refused_in_words),
        TEST(test_local__garbage_in_a_frame__is_refused_and_what_follows_not_heard),
        TEST(test_local__what_a_later_version_asks__is_unsupported_and_it_may_go_on),
        TEST(test_local__nothing_said__is_hung_up_and_who_spoke_is_not),
        TEST(test_local__slow_reader__enobufs_then_drained_and_nothing_is_missing),
        TEST(test_local__hung_up__hears_what_was_queued_and_then_the_end),
        TEST(test_local__hung_up_and_never_reads__is_closed_at_its_deadline),
        TEST(test_local__hung_up_by_its_own_message__the_rest_is_not_heard),
        TEST(test_local__paused__is_not_heard_until_it_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
