/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a peer's octets end the daemon, or its memory. Every sample is cut at each octet and
 * has each of its bits turned; and octets are written by hand that no encoder would write. */
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

#define CAP_BYTES ((size_t)256 * 1024)

enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, GROUP = 3, FIXED32 = 5 };
enum { BODY_PING = 12, BODY_COMMAND = 20, BODY_RECEIPT, BODY_EVENTS, BODY_QUERY = 24 };
enum { BODY_ANSWER = 25, BODY_OPEN = 30, BODY_FRAME = 31, BODY_NOT_YET = 40 };

static struct arena arena = {.cap_bytes = CAP_BYTES};
static struct buffer buffer;

static int tear_down(void **state)
{
    (void)state;
    arena_close(&arena);
    buffer_close(&buffer);
    return 0;
}

/* In a block of its own size, so that a sanitizer sees a step beyond it. What is understood must be
 * whole: all of it is read again by encoding it. */
static int decode(const uint8_t *data, size_t size_bytes, struct message *ret_message)
{
    uint8_t *copy = malloc(size_bytes + 1);
    struct buffer again = {0};
    assert_non_null(copy);
    if (size_bytes > 0)
        memcpy(copy, data, size_bytes);
    uint8_t *octets = realloc(copy, size_bytes > 0 ? size_bytes : 1);
    assert_non_null(octets);
    arena_reset(&arena);

    int result = codec_decode(octets, size_bytes, &arena, ret_message);

    free(octets); /* nothing points there */
    assert_true(arena.used_bytes <= CAP_BYTES);
    if (result == 0)
        assert_int_equal(codec_encode(ret_message, &again), 0);
    else
        assert_true(result == -EBADMSG || result == -EMSGSIZE || result == -EOPNOTSUPP);
    buffer_close(&again);
    return result;
}

static int decode_buffer(struct message *ret_message)
{
    int result = decode(buffer.data, buffer.size_bytes, ret_message);
    buffer_consume(&buffer, buffer.size_bytes);
    return result;
}

static void put(uint8_t octet)
{
    assert_int_equal(buffer_append(&buffer, &octet, 1), 0);
}

static void put_varint(uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put((uint8_t)(value | 0x80));
    put((uint8_t)value);
}

static void put_tag(uint32_t number, unsigned wire)
{
    put_varint((uint64_t)number << 3 | wire);
}

static void put_number(uint32_t number, uint64_t value)
{
    put_tag(number, VARINT);
    put_varint(value);
}

static void put_octets(uint32_t number, const void *data, size_t size_bytes)
{
    put_tag(number, LENGTH);
    put_varint(size_bytes);
    assert_int_equal(buffer_append(&buffer, data, size_bytes), 0);
}

/* What is in the buffer becomes a field of a message around it. */
static void wrap(uint32_t number)
{
    struct buffer inner = buffer;
    buffer = (struct buffer){0};
    put_octets(number, inner.data, inner.size_bytes);
    buffer_close(&inner);
}

static void test_decode__cut_at_each_octet__never_crashes(void **state)
{
    struct message message;
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct buffer whole = {0};
        assert_int_equal(codec_encode(&samples[i], &whole), 0);
        for (size_t cut = 0; cut < whole.size_bytes; cut++)
            (void)decode(whole.data, cut, &message); /* decode() asserts */
        buffer_close(&whole);
    }
}

static void test_decode__each_bit_turned__never_crashes(void **state)
{
    struct message message;
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct buffer whole = {0};
        assert_int_equal(codec_encode(&samples[i], &whole), 0);
        for (size_t bit = 0; bit < whole.size_bytes * 8; bit++) {
            whole.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            (void)decode(whole.data, whole.size_bytes, &message);
            whole.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(decode(whole.data, whole.size_bytes, &message), 0);
        same_message(&samples[i], &message);
        buffer_close(&whole);
    }
}

static void test_decode__config_turned_and_cut__never_crashes(void **state)
{
    struct config config;
    (void)state;
    assert_int_equal(codec_encode_config(&sample_config, &buffer), 0);
    for (size_t bit = 0; bit < buffer.size_bytes * 8; bit++) {
        buffer.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        for (size_t cut = buffer.size_bytes; cut + 2 > buffer.size_bytes; cut--) {
            arena_reset(&arena);
            int result = codec_decode_config(buffer.data, cut, &arena, &config);
            assert_true(result <= 0);
            if (result == 0)
                same_config(&config, &config); /* reads all of it */
        }
        buffer.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void test_decode__nothing_or_no_body__is_refused(void **state)
{
    struct message message;
    (void)state;
    assert_int_equal(decode(NULL, 0, &message), -EBADMSG);
    put_number(1, 5);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
    put_octets(100, "x", 1); /* a later field of the envelope is no body */
    assert_int_equal(decode_buffer(&message), -EBADMSG);
}

static void test_decode__body_of_a_later_version__is_told_with_its_envelope(void **state)
{
    static const uint8_t session[] = {1, 2, 0, 0, 0, 0, 0, 0};
    struct message message;
    (void)state;
    put_number(1, 5);
    put_number(2, 6);
    put_number(3, 7);
    put_tag(4, FIXED64);
    assert_int_equal(buffer_append(&buffer, session, sizeof(session)), 0);
    put_octets(BODY_NOT_YET, "anything", 8);

    assert_int_equal(decode_buffer(&message), -EOPNOTSUPP);

    assert_int_equal(message.kind, MESSAGE_UNSET);
    assert_int_equal(message.number, 5);
    assert_int_equal(message.received, 6);
    assert_int_equal(message.committed, 7);
    assert_int_equal(message.session, 0x201);
}

static void test_decode__order_with_a_later_word__is_told_with_its_request(void **state)
{
    struct message message;
    (void)state;
    put_octets(1, "r-9", 3);
    put_number(5, 99);
    wrap(BODY_COMMAND);
    assert_int_equal(decode_buffer(&message), -EOPNOTSUPP);
    assert_int_equal(message.kind, MESSAGE_COMMAND);
    assert_string_equal(message.command.request_id, "r-9");
    assert_int_equal(message.command.verb, VERB_UNSET);

    put_number(5, UINT64_MAX); /* -1 */
    wrap(BODY_COMMAND);
    assert_int_equal(decode_buffer(&message), -EOPNOTSUPP);

    put_number(13, 4); /* config.restart */
    wrap(6);
    put_number(5, VERB_CREATE);
    wrap(BODY_COMMAND);
    assert_int_equal(decode_buffer(&message), -EOPNOTSUPP);

    put_octets(1, "q-9", 3);
    put_number(3, 99);
    wrap(BODY_QUERY);
    assert_int_equal(decode_buffer(&message), -EOPNOTSUPP);
    assert_string_equal(message.query.request_id, "q-9");

    put_number(1, 4);
    put_number(5, 99);
    wrap(BODY_OPEN);
    assert_int_equal(decode_buffer(&message), -EOPNOTSUPP);
    assert_int_equal(message.stream_open.stream, 4);
}

/* Not even the key that is known is set. */
static void test_decode__set_with_a_later_key__is_no_set(void **state)
{
    struct message message;
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        put_number(1, i == 0 ? 63 : SETTING_ORDER);
        wrap(11); /* settings */
        put_octets(11, "\x08\x11", i == 3 ? 0 : 2);
        if (i != 2)
            put_octets(6, "", 0); /* config */
        put_number(12, i == 1 ? 9 : 0);
        put_number(5, VERB_SET);
        wrap(BODY_COMMAND);
        assert_int_equal(decode_buffer(&message), i < 2 ? -EOPNOTSUPP : -EBADMSG);
    }
    put_octets(6, "", 0);
    put_number(5, VERB_SET);
    wrap(BODY_COMMAND);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
}

static void test_decode__receipt_of_a_later_key__has_those_that_are_known(void **state)
{
    struct message message;
    (void)state;
    put_number(1, 63);
    put_number(2, 1);
    wrap(5); /* settings */
    put_octets(5, "\x08\x11\x10\x01", 4);
    put_number(2, PHASE_DONE);
    wrap(BODY_RECEIPT);
    assert_int_equal(decode_buffer(&message), 0);
    assert_int_equal(message.receipt.applied, SETTING_BIT(SETTING_ORDER));
    assert_int_equal(message.receipt.at_next_start, 0);
}

static void test_decode__report_with_a_later_word__is_kept(void **state)
{
    struct message message;
    (void)state;
    put_number(8, 99);          /* type */
    put_number(9, 99);          /* from */
    put_number(10, UINT64_MAX); /* to */
    put_number(11, 99);         /* cause */
    put_octets(16, "later", 5); /* result */
    wrap(1);
    wrap(BODY_EVENTS);
    assert_int_equal(decode_buffer(&message), 0);
    const struct event *event = &message.events.events[0].event;
    assert_int_equal(event->type, EVENT_UNSET);
    assert_int_equal(event->from, CT_UNSET);
    assert_int_equal(event->to, CT_UNSET);
    assert_int_equal(event->cause, CAUSE_UNKNOWN);
    assert_int_equal(event->result, STATUS_FAILED);

    put_number(2, 99);
    wrap(BODY_RECEIPT);
    assert_int_equal(decode_buffer(&message), 0);
    assert_int_equal(message.receipt.phase, PHASE_RESULT_UNKNOWN);
}

static void test_decode__later_fields__are_passed_over(void **state)
{
    struct message message;
    (void)state;
    put_octets(1000, "later", 5);
    put_number(536870911, 1);
    put_tag(2000, FIXED32);
    assert_int_equal(buffer_append(&buffer, "1234", 4), 0);
    put_tag(1, FIXED64);
    assert_int_equal(buffer_append(&buffer, "12345678", 8), 0);
    wrap(BODY_PING);
    put_octets(500, "later", 5);
    assert_int_equal(decode_buffer(&message), 0);
    assert_int_equal(message.kind, MESSAGE_PING);
    assert_true(message.ping_ns == UINT64_C(0x3837363534333231));
}

static void test_decode__order_without_its_word__is_refused(void **state)
{
    static const uint32_t bodies[] = {BODY_COMMAND, BODY_RECEIPT, BODY_QUERY, BODY_OPEN,
                                      BODY_FRAME};
    struct message message;
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        wrap(bodies[i]);
        assert_int_equal(decode_buffer(&message), -EBADMSG);
    }
    put_number(5, VERB_CREATE); /* and no configuration */
    wrap(BODY_COMMAND);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
}

static void refuse_text(uint32_t field, uint32_t body, const char *text, size_t length)
{
    struct message message;

    put_octets(field, text, length);
    wrap(body);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
}

static void test_decode__texts_with_nul_or_not_utf8__are_refused(void **state)
{
    struct message message;
    (void)state;
    refuse_text(1, BODY_ANSWER, "a\0b", 3);
    refuse_text(1, BODY_ANSWER, "ab\0", 3);
    refuse_text(9, BODY_ANSWER, "\xff", 1);
    refuse_text(4, BODY_QUERY, "a\xc3", 2); /* of a list */

    put_octets(6, "a\0b", 3); /* argv: octets, but for NUL */
    put_number(5, STREAM_EXEC);
    wrap(BODY_OPEN);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
    put_octets(8, "\0", 1); /* cwd */
    put_number(5, STREAM_EXEC);
    wrap(BODY_OPEN);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
}

static void test_decode__texts_too_long_for_their_array__are_refused_or_cut(void **state)
{
    char text[300];
    struct message message;
    (void)state;
    memset(text, 'n', sizeof(text));
    put_octets(6, text, NAME_BYTES);
    wrap(1);
    wrap(BODY_EVENTS);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
    put_octets(13, text, REQUEST_ID_BYTES);
    wrap(1);
    wrap(BODY_EVENTS);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
    put_octets(5, text, UUID_BYTES + 1);
    wrap(1);
    wrap(BODY_EVENTS);
    assert_int_equal(decode_buffer(&message), -EBADMSG);

    memcpy(text + EVENT_DETAIL_BYTES - 3, "\xe2\x82\xac", 3); /* would not fit whole */
    put_octets(15, text, sizeof(text));
    wrap(1);
    wrap(BODY_EVENTS);
    assert_int_equal(decode_buffer(&message), 0);
    assert_int_equal(strlen(message.events.events[0].event.detail), EVENT_DETAIL_BYTES - 3);
}

static void test_decode__nul_in_a_guests_text__is_put_right(void **state)
{
    struct message message;
    (void)state;
    put_octets(15, "a\0\xff", 3);
    wrap(1);
    wrap(BODY_EVENTS);
    assert_int_equal(decode_buffer(&message), 0);
    assert_string_equal(message.events.events[0].event.detail, "a??");
}

static void test_decode__fault_without_a_status__is_none(void **state)
{
    (void)state;
    struct message message;

    put_octets(2, "words", 5); /* a fault's text */
    put_number(5, 28);         /* and errno */
    wrap(3);                   /* of a stream's end */
    wrap(33);

    assert_int_equal(decode_buffer(&message), 0);
    assert_int_equal(message.kind, MESSAGE_STREAM_END);
    assert_int_equal(message.stream_end.fault.status, STATUS_UNSET);
    assert_string_equal(message.stream_end.fault.text, "");
    assert_int_equal(message.stream_end.fault.error, 0);
}

static void test_decode__said_twice__is_refused(void **state)
{
    struct message message;
    (void)state;
    put_number(1, 5);
    put_number(1, 5);
    put_octets(BODY_PING, "", 0);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
    put_octets(BODY_PING, "", 0);
    put_octets(BODY_PING, "", 0);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
    put_octets(BODY_PING, "", 0); /* two members of one oneof */
    put_octets(BODY_ANSWER, "", 0);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
    put_octets(5, "", 0); /* two configurations in an answer */
    put_octets(5, "", 0);
    wrap(BODY_ANSWER);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
}

static void refuse_octets(const uint8_t *data, size_t size_bytes)
{
    struct message message;

    assert_int_equal(decode(data, size_bytes, &message), -EBADMSG);
}

static void test_decode__octets_that_are_no_fields__are_refused(void **state)
{
    static const uint8_t number_0[] = {0x00, 0x01};
    static const uint8_t group[] = {BODY_PING << 3 | GROUP, BODY_PING << 3 | 4};
    static const uint8_t wire_7[] = {BODY_PING << 3 | 7, 0};
    static const uint8_t wrong_wire[] = {BODY_PING << 3 | VARINT, 0};
    static const uint8_t short_64[] = {4 << 3 | FIXED64, 1, 2, 3, 4, 5, 6, 7};
    static const uint8_t long_varint[] = {8,    0xff, 0xff, 0xff, 0xff, 0xff,
                                          0xff, 0xff, 0xff, 0xff, 0xff, 1};
    static const uint8_t long_tag[] = {0xe2, 0x80, 0x80, 0x80, 0x80, 0x00, 0};
    static const uint8_t length_beyond[] = {BODY_PING << 3 | LENGTH, 1};
    static const uint8_t length_huge[] = {BODY_PING << 3 | LENGTH, 0xff, 0xff, 0xff, 0xff, 0x0f};
    static const uint8_t length_negative[] = {
        BODY_PING << 3 | LENGTH, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
    (void)state;
    refuse_octets(number_0, sizeof(number_0));
    refuse_octets(group, sizeof(group));
    refuse_octets(wire_7, sizeof(wire_7));
    refuse_octets(wrong_wire, sizeof(wrong_wire));
    refuse_octets(short_64, sizeof(short_64));
    refuse_octets(long_varint, sizeof(long_varint));
    refuse_octets(long_tag, sizeof(long_tag));
    refuse_octets(length_beyond, sizeof(length_beyond));
    refuse_octets(length_huge, sizeof(length_huge));
    refuse_octets(length_negative, sizeof(length_negative));
}

static void test_decode__lists_beyond_their_bound__are_refused(void **state)
{
    struct message message;
    (void)state;
    for (unsigned i = 0; i <= CONFIG_LIST_MAX; i++)
        put_octets(10, "", 0); /* env */
    wrap(5);
    wrap(BODY_ANSWER);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
    for (unsigned i = 0; i <= EVENT_BATCH_MAX; i++)
        put_octets(1, "", 0);
    wrap(BODY_EVENTS);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
    for (unsigned i = 0; i < MESSAGE_BYTES_MAX / 2 - 8; i++)
        put_octets(4, "", 0); /* containers */
    wrap(BODY_ANSWER);
    assert_int_equal(decode_buffer(&message), -EBADMSG);
}

static void test_decode__more_memory_than_the_cap__is_refused(void **state)
{
    struct message message;
    (void)state;
    for (unsigned i = 0; i < 10000; i++)
        put_octets(4, "", 0); /* 20 000 octets, and 1.5 MB of structs */
    wrap(BODY_ANSWER);
    assert_int_equal(decode_buffer(&message), -EMSGSIZE);
    for (unsigned i = 0; i < 100000; i++)
        put_number(15, 1); /* not known: kept by protobuf-c, 48-fold */
    wrap(BODY_PING);
    assert_int_equal(decode_buffer(&message), -EMSGSIZE);
}

static void test_decode__more_octets_than_a_record_has__is_refused(void **state)
{
    struct message message;
    uint8_t *data = calloc(1, MESSAGE_BYTES_MAX + 1);
    (void)state;
    assert_non_null(data);
    assert_int_equal(decode(data, MESSAGE_BYTES_MAX + 1, &message), -EMSGSIZE);
    free(data);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_decode__cut_at_each_octet__never_crashes),
        TEST(test_decode__each_bit_turned__never_crashes),
        TEST(test_decode__config_turned_and_cut__never_crashes),
        TEST(test_decode__nothing_or_no_body__is_refused),
        TEST(test_decode__body_of_a_later_version__is_told_with_its_envelope),
        TEST(test_decode__order_with_a_later_word__is_told_with_its_request),
        TEST(test_decode__set_with_a_later_key__is_no_set),
        TEST(test_decode__receipt_of_a_later_key__has_those_that_are_known),
        TEST(test_decode__report_with_a_later_word__is_kept),
        TEST(test_decode__later_fields__are_passed_over),
        TEST(test_decode__order_without_its_word__is_refused),
        TEST(test_decode__texts_with_nul_or_not_utf8__are_refused),
        TEST(test_decode__texts_too_long_for_their_array__are_refused_or_cut),
        TEST(test_decode__nul_in_a_guests_text__is_put_right),
        TEST(test_decode__fault_without_a_status__is_none),
        TEST(test_decode__said_twice__is_refused),
        TEST(test_decode__octets_that_are_no_fields__are_refused),
        TEST(test_decode__lists_beyond_their_bound__are_refused),
        TEST(test_decode__more_memory_than_the_cap__is_refused),
        TEST(test_decode__more_octets_than_a_record_has__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
