/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: operator, controller and agent understand each other. Each kind of message with every
 * field set goes out and comes back; what may not be sent, or not be kept, is refused or put right.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec.h"
#include "samples.h"

static struct arena arena;
static struct buffer buffer;

static int tear_down(void **state)
{
    (void)state;
    arena_close(&arena);
    buffer_close(&buffer);
    return 0;
}

static void send_to(const struct message *message, struct message *ret_message)
{
    buffer_consume(&buffer, buffer.size_bytes);
    arena_reset(&arena);
    assert_int_equal(codec_encode(message, &buffer), 0);
    assert_int_equal(codec_decode(buffer.data, buffer.size_bytes, &arena, ret_message), 0);
}

static void refused(const struct message *message, int result)
{
    buffer_consume(&buffer, buffer.size_bytes);
    assert_int_equal(buffer_append(&buffer, "before", 6), 0);
    assert_int_equal(codec_encode(message, &buffer), result);
    assert_int_equal(codec_encode_framed(message, &buffer), result);
    assert_int_equal(buffer.size_bytes, 6);
    assert_memory_equal(buffer.data, "before", 6);
}

static void test_codec__every_kind_with_every_field__comes_as_it_went(void **state)
{
    bool is_seen[MESSAGE_COUNT] = {false};
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct message message;

        send_to(&samples[i], &message);

        same_message(&samples[i], &message);
        is_seen[message.kind] = true;
    }
    for (size_t kind = 1; kind < MESSAGE_COUNT; kind++)
        assert_true(is_seen[kind]);
}

static void test_codec__config_alone__comes_as_it_went(void **state)
{
    struct config config;
    (void)state;

    assert_int_equal(codec_encode_config(&sample_config, &buffer), 0);
    assert_int_equal(codec_decode_config(buffer.data, buffer.size_bytes, &arena, &config), 0);
    same_config(&sample_config, &config);

    const struct config empty = {0};
    buffer_consume(&buffer, buffer.size_bytes);
    assert_int_equal(codec_encode_config(&empty, &buffer), 0);
    assert_int_equal(buffer.size_bytes, 0);
    assert_int_equal(codec_decode_config(buffer.data, 0, &arena, &config), 0);
    same_config(&empty, &config);
}

static void test_codec__every_word_of_each_enum__comes_as_it_went(void **state)
{
    struct event_view event = {.node = ""};
    struct message to;
    (void)state;

    for (unsigned i = 1; i < VERB_COUNT; i++) {
        static const struct setting setting = {.key = SETTING_ORDER};
        struct message from = {.kind = MESSAGE_COMMAND,
                               .command = {.verb = (enum verb)i,
                                           .config = &sample_config,
                                           .settings = &setting,
                                           .setting_count = 1}};
        send_to(&from, &to);
        assert_int_equal(to.command.verb, i);
    }
    for (unsigned i = 1; i < PHASE_COUNT; i++) {
        struct message from = {.kind = MESSAGE_RECEIPT, .receipt = {.phase = (enum phase)i}};
        send_to(&from, &to);
        assert_int_equal(to.receipt.phase, i);
    }
    for (unsigned i = 0; i < STATUS_COUNT; i++) {
        struct message from = {.kind = MESSAGE_ANSWER,
                               .answer = {.fault = {.status = (enum status)i}}};
        send_to(&from, &to);
        assert_int_equal(to.answer.fault.status, i);
    }
    for (unsigned i = 0; i < EVENT_TYPE_COUNT + CAUSE_COUNT + CT_STATE_COUNT; i++) {
        struct message from = {.kind = MESSAGE_EVENTS, .events = {.events = &event, .count = 1}};
        event.event.type = (enum event_type)(i % EVENT_TYPE_COUNT);
        event.event.cause = (enum cause)(i % CAUSE_COUNT);
        event.event.from = (enum ct_state)(i % CT_STATE_COUNT);
        send_to(&from, &to);
        assert_int_equal(to.events.events->event.type, event.event.type);
        assert_int_equal(to.events.events->event.cause, event.event.cause);
        assert_int_equal(to.events.events->event.from, event.event.from);
    }
}

static void test_codec__what_lacks_its_word__is_not_sent(void **state)
{
    static const struct message lacking[] = {
        {.kind = MESSAGE_UNSET},
        {.kind = MESSAGE_COUNT},
        {.kind = MESSAGE_COMMAND, .command = {.container = "x"}},
        {.kind = MESSAGE_COMMAND, .command = {.verb = VERB_CREATE}},
        {.kind = MESSAGE_COMMAND, .command = {.verb = VERB_SET}},
        {.kind = MESSAGE_COMMAND, .command = {.verb = VERB_SET, .config = &sample_config}},
        {.kind = MESSAGE_COMMAND, .command = {.verb = VERB_COUNT}},
        {.kind = MESSAGE_RECEIPT},
        {.kind = MESSAGE_QUERY},
        {.kind = MESSAGE_STREAM_OPEN},
        {.kind = MESSAGE_STREAM_FRAME},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lacking) / sizeof(lacking[0]); i++)
        refused(&lacking[i], -EINVAL);
}

static void test_codec__text_that_is_none__is_not_sent(void **state)
{
    static const char *const wrong[] = {
        "\xff",
        "\x80",
        "a\xc3",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe2\x82",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xf0\x9f\x90",
        "\xe2\x28\xa1",
        "\xc3\xa4\xa4",
    };
    static const char *const right[] = {"",
                                        "\x7f",
                                        "\xc2\x80",
                                        "\xdf\xbf",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf"};
    struct message to;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct message from = {.kind = MESSAGE_QUERY,
                               .query = {.kind = QUERY_SHOW, .container = wrong[i]}};
        refused(&from, -EBADMSG);
    }
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        struct message from = {.kind = MESSAGE_QUERY,
                               .query = {.kind = QUERY_SHOW, .container = right[i]}};
        send_to(&from, &to);
        assert_string_equal(to.query.container, right[i]);
    }
}

/* A guest chooses a process's name: it must not be able to make an event nobody can read. */
static void test_codec__guests_text__is_put_right(void **state)
{
    struct event_view event = {.event = {.type = EVENT_OOM, .detail = "a\xff\xc3\xa4\xc3"}};
    struct message from = {.kind = MESSAGE_EVENTS, .events = {.events = &event, .count = 1}};
    struct message fault = {
        .kind = MESSAGE_RECEIPT,
        .receipt = {.phase = PHASE_FAILED, .fault = {.status = STATUS_FAILED, .text = "\xed\xa0"}}};
    struct message to;
    (void)state;

    send_to(&from, &to);
    assert_string_equal(to.events.events->event.detail, "a?\xc3\xa4?");

    send_to(&fault, &to);
    assert_string_equal(to.receipt.fault.text, "??");
}

static void test_codec__lists_at_their_bound__pass_and_one_more_does_not(void **state)
{
    static struct event_view events[EVENT_BATCH_MAX + 1];
    struct pair pairs[CONFIG_LIST_MAX + 1];
    struct config config = {.env = pairs, .env_count = CONFIG_LIST_MAX};
    struct message create = {.kind = MESSAGE_COMMAND,
                             .command = {.verb = VERB_CREATE, .config = &config}};
    struct message batch = {.kind = MESSAGE_EVENTS,
                            .events = {.events = events, .count = EVENT_BATCH_MAX}};
    struct message to;
    (void)state;
    for (size_t i = 0; i <= CONFIG_LIST_MAX; i++)
        pairs[i] = (struct pair){.key = "K", .value = "V"};

    send_to(&create, &to);
    same_message(&create, &to);
    send_to(&batch, &to);
    same_message(&batch, &to);

    config.env_count++;
    batch.events.count++;
    refused(&create, -EBADMSG);
    refused(&batch, -EBADMSG);
    assert_int_equal(codec_encode_config(&config, &buffer), -EBADMSG);
}

static void test_codec__frame_of_a_stream__has_a_bound(void **state)
{
    static const uint8_t data[STREAM_FRAME_BYTES_MAX + 1];
    struct message frame = {
        .kind = MESSAGE_STREAM_FRAME,
        .stream_frame = {.lane = LANE_STDOUT, .data = {data, STREAM_FRAME_BYTES_MAX}}};
    struct message to;
    (void)state;

    send_to(&frame, &to);
    same_message(&frame, &to);
    frame.stream_frame.data.size_bytes++;
    refused(&frame, -EMSGSIZE);
}

static void test_codec__record_at_its_bound__passes_and_one_more_octet_does_not(void **state)
{
    char *text = malloc(MESSAGE_BYTES_MAX);
    struct message answer = {.kind = MESSAGE_ANSWER, .answer = {.version = text}};
    struct message to;
    (void)state;
    assert_non_null(text);
    memset(text, 'x', MESSAGE_BYTES_MAX);
    size_t length = MESSAGE_BYTES_MAX - 9; /* tags of 2 and 1, lengths of 3 octets */

    text[length] = '\0';
    send_to(&answer, &to);
    assert_int_equal(buffer.size_bytes, MESSAGE_BYTES_MAX);
    assert_int_equal(strlen(to.answer.version), length);

    text[length] = 'x';
    text[length + 1] = '\0';
    refused(&answer, -EMSGSIZE);
    free(text);
}

static void test_codec__frames__are_found_when_whole(void **state)
{
    struct message ping = {.kind = MESSAGE_PING, .ping_ns = 1};
    (void)state;
    assert_int_equal(codec_frame_find(&buffer), 0);
    assert_int_equal(codec_encode_framed(&ping, &buffer), 0);
    size_t one_bytes = buffer.size_bytes;
    assert_int_equal(codec_encode_framed(&ping, &buffer), 0);

    for (size_t cut = 0; cut < one_bytes; cut++) {
        const struct buffer part = {.data = buffer.data, .size_bytes = cut};
        assert_int_equal(codec_frame_find(&part), 0);
    }
    assert_int_equal(codec_frame_find(&buffer), one_bytes - 4);
    buffer_consume(&buffer, one_bytes);
    assert_int_equal(codec_frame_find(&buffer), one_bytes - 4);
    buffer_consume(&buffer, one_bytes);
    assert_int_equal(buffer.size_bytes, 0);
}

static void test_codec__frame_of_no_or_too_many_octets__is_refused(void **state)
{
    static const uint8_t prefixes[][4] = {
        {0, 0, 0, 0}, {1, 0, 0x10, 0}, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 0x80}};
    static const uint8_t largest[4] = {0, 0, 0x10, 0};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        buffer_consume(&buffer, buffer.size_bytes);
        assert_int_equal(buffer_append(&buffer, prefixes[i], 4), 0);
        assert_int_equal(codec_frame_find(&buffer), -EMSGSIZE);
    }
    buffer_consume(&buffer, buffer.size_bytes);
    assert_int_equal(buffer_append(&buffer, largest, 4), 0);
    assert_int_equal(codec_frame_find(&buffer), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_codec__every_kind_with_every_field__comes_as_it_went),
        TEST(test_codec__config_alone__comes_as_it_went),
        TEST(test_codec__every_word_of_each_enum__comes_as_it_went),
        TEST(test_codec__what_lacks_its_word__is_not_sent),
        TEST(test_codec__text_that_is_none__is_not_sent),
        TEST(test_codec__guests_text__is_put_right),
        TEST(test_codec__lists_at_their_bound__pass_and_one_more_does_not),
        TEST(test_codec__frame_of_a_stream__has_a_bound),
        TEST(test_codec__record_at_its_bound__passes_and_one_more_octet_does_not),
        TEST(test_codec__frames__are_found_when_whole),
        TEST(test_codec__frame_of_no_or_too_many_octets__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
