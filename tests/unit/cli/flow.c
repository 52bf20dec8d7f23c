/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: octets of a stream lost, doubled or taken for whole when they are not. Messages are fed
 * in by hand, good and bad, and what is posted is decoded again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "flow.h"

static const uint8_t octets[STREAM_FRAME_BYTES_MAX];

struct stage {
    struct wire wire;
    struct flow flow;
    struct fault fault;
    struct arena arena;
    struct message posted;
};

static int open_stage(void **state)
{
    static struct stage stage;
    struct stream_open open = {.kind = STREAM_EXEC, .request_id = "r1", .container = "web"};

    stage = (struct stage){.wire = WIRE_EMPTY};
    assert_int_equal(flow_open(&stage.flow, &stage.wire, &open, &stage.fault), 0);
    *state = &stage;
    return 0;
}

static int close_stage(void **state)
{
    struct stage *stage = *state;

    wire_close(&stage->wire);
    arena_close(&stage->arena);
    return 0;
}

/* The oldest message that was posted and not looked at yet. */
static const struct message *next_posted(struct stage *stage)
{
    int64_t size_bytes = codec_frame_find(&stage->wire.out);

    if (size_bytes == 0)
        return NULL;
    arena_reset(&stage->arena);
    assert_true(size_bytes > 0);
    assert_int_equal(
        codec_decode(stage->wire.out.data + 4, (size_t)size_bytes, &stage->arena, &stage->posted),
        0);
    buffer_consume(&stage->wire.out, 4 + (size_t)size_bytes);
    return &stage->posted;
}

static int take_frame(struct stage *stage, uint64_t number, size_t size_bytes)
{
    struct message message = {.kind = MESSAGE_STREAM_FRAME};
    struct stream_frame frame;

    message.stream_frame = (struct stream_frame){.stream = stage->flow.number,
                                                 .number = number,
                                                 .lane = LANE_STDOUT,
                                                 .data = {octets, size_bytes}};
    return flow_take(&stage->flow, &message, &frame, &stage->fault);
}

static int take_end(struct stage *stage, uint64_t bytes, enum status status, int32_t code)
{
    struct message message = {.kind = MESSAGE_STREAM_END};
    struct stream_frame frame;

    message.stream_end = (struct stream_end){
        .stream = stage->flow.number,
        .bytes = bytes,
        .exit_code = code,
        .fault = {.status = status, .text = "why", .hint = "", .container = "web", .node = "n1"}};
    return flow_take(&stage->flow, &message, &frame, &stage->fault);
}

static void test_flow__opened__says_what_was_asked(void **state)
{
    struct stage *stage = *state;
    const struct message *message = next_posted(stage);

    assert_non_null(message);
    assert_int_equal(message->kind, MESSAGE_STREAM_OPEN);
    assert_int_equal(message->stream_open.stream, stage->flow.number);
    assert_string_equal(message->stream_open.container, "web");
    assert_null(next_posted(stage));
}

static void test_flow__sending__stays_within_credit_and_counts(void **state)
{
    struct stage *stage = *state;
    struct message more = {.kind = MESSAGE_STREAM_CREDIT};
    struct stream_frame frame;
    uint64_t sent = 0;

    (void)next_posted(stage);
    for (size_t room; (room = flow_room(&stage->flow)) > 0; sent += room)
        assert_int_equal(flow_send(&stage->flow, LANE_STDIN, (struct octets){octets, room}, false,
                                   &stage->fault),
                         0);
    assert_int_equal(sent, STREAM_CREDIT_BYTES);
    for (uint64_t number = 1; number <= STREAM_CREDIT_BYTES / STREAM_FRAME_BYTES_MAX; number++) {
        const struct message *message = next_posted(stage);
        assert_non_null(message);
        assert_int_equal(message->stream_frame.number, number);
    }

    more.stream_credit = (struct stream_credit){stage->flow.number, STREAM_CREDIT_BYTES + 10};
    assert_int_equal(flow_take(&stage->flow, &more, &frame, &stage->fault), 0);
    assert_int_equal(flow_room(&stage->flow), 10);
    more.stream_credit.bytes = 5; /* credit is never taken back */
    assert_int_equal(flow_take(&stage->flow, &more, &frame, &stage->fault), 0);
    assert_int_equal(flow_room(&stage->flow), 10);
}

static void test_flow__frames_in_order__are_handed_on_and_granted_again(void **state)
{
    struct stage *stage = *state;
    uint64_t number = 0;

    (void)next_posted(stage);
    for (; number < STREAM_CREDIT_BYTES / STREAM_FRAME_BYTES_MAX; number++)
        assert_int_equal(take_frame(stage, number + 1, STREAM_FRAME_BYTES_MAX), 1);
    assert_int_equal(flow_done(&stage->flow, STREAM_FRAME_BYTES_MAX, &stage->fault), 0);
    const struct message *message = next_posted(stage);
    assert_non_null(message);
    assert_int_equal(message->kind, MESSAGE_STREAM_CREDIT);
    assert_int_equal(message->stream_credit.bytes, STREAM_CREDIT_BYTES + STREAM_FRAME_BYTES_MAX);
    assert_int_equal(take_frame(stage, number + 1, STREAM_FRAME_BYTES_MAX), 1);
}

static void test_flow__a_hole_a_repeat_or_too_much__ends_it(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(take_frame(stage, 1, 100), 1);
    assert_true(take_frame(stage, 3, 100) < 0);
    assert_int_equal(stage->fault.status, STATUS_STREAM_LOST);
    assert_true(take_frame(stage, 1, 100) < 0);
    stage->flow.in_bytes = STREAM_CREDIT_BYTES;
    assert_true(take_frame(stage, 2, 1) < 0);
    assert_int_equal(stage->fault.status, STATUS_STREAM_LOST);
}

static void test_flow__an_end__is_whole_or_lost(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(take_frame(stage, 1, 100), 1);
    assert_true(take_end(stage, 101, STATUS_UNSET, 0) < 0);
    assert_int_equal(stage->fault.status, STATUS_STREAM_LOST);
    assert_false(stage->flow.is_over);
    assert_int_equal(take_end(stage, 100, STATUS_UNSET, 7), 0);
    assert_true(stage->flow.is_over);
    assert_int_equal(stage->flow.exit_code, 7);
    assert_int_equal(flow_room(&stage->flow), 0);
    assert_int_equal(take_frame(stage, 9, 100), 0); /* what comes behind it is nothing to us */
}

static void test_flow__an_end_with_a_fault__keeps_its_words(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(take_end(stage, 0, STATUS_TIMEOUT, 124), 0);
    assert_int_equal(stage->flow.fault.status, STATUS_TIMEOUT);
    assert_string_equal(stage->flow.fault.text, "why");
    assert_string_equal(stage->flow.node, "n1");
}

static void test_flow__other_streams_and_requests__are_passed_over(void **state)
{
    struct stage *stage = *state;
    struct message message = {.kind = MESSAGE_STREAM_END};
    struct stream_frame frame;

    message.stream_end = (struct stream_end){.stream = stage->flow.number + 1};
    assert_int_equal(flow_take(&stage->flow, &message, &frame, &stage->fault), 0);
    assert_false(stage->flow.is_over);

    message = (struct message){.kind = MESSAGE_ANSWER};
    message.answer = (struct answer){.request_id = "other", .version = ""};
    message.answer.fault = (struct fault_view){
        .status = STATUS_BUSY, .text = "full", .hint = "", .container = "", .node = ""};
    assert_int_equal(flow_take(&stage->flow, &message, &frame, &stage->fault), 0);
    message.answer.request_id = ""; /* the whole connection */
    assert_true(flow_take(&stage->flow, &message, &frame, &stage->fault) < 0);
    assert_int_equal(stage->fault.status, STATUS_BUSY);
}

int main(void)
{
#define STAGED(test) cmocka_unit_test_setup_teardown(test, open_stage, close_stage)
    const struct CMUnitTest tests[] = {
        STAGED(test_flow__opened__says_what_was_asked),
        STAGED(test_flow__sending__stays_within_credit_and_counts),
        STAGED(test_flow__frames_in_order__are_handed_on_and_granted_again),
        STAGED(test_flow__a_hole_a_repeat_or_too_much__ends_it),
        STAGED(test_flow__an_end__is_whole_or_lost),
        STAGED(test_flow__an_end_with_a_fault__keeps_its_words),
        STAGED(test_flow__other_streams_and_requests__are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
