/* SPDX-License-Identifier: Apache-2.0 */
/* If octets are lost, repeated or pile up between a guest and an operator, neither can be trusted.
 * A real controller relays between clients and nodes that the test plays, well and badly. */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "rig.h"

#define STREAM 77

static struct node a;
static struct node b;
static struct client client;

static int set_up(void **state)
{
    (void)state;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    rig_start(NULL);
    client_open(&client);
    return 0;
}

static void open_stream(enum stream_kind kind, const char *container, const char *node)
{
    static const char *const argv[] = {"/bin/cat", "-"};
    struct message message = {.kind = MESSAGE_STREAM_OPEN};

    message.stream_open = (struct stream_open){.stream = STREAM,
                                               .request_id = "s",
                                               .node = node,
                                               .container = container,
                                               .kind = kind,
                                               .argv = argv,
                                               .argv_count = kind == STREAM_EXEC ? 2 : 0};
    client_send(&client, &message);
}

/* Returns the stream's number at the node. */
static uint64_t expect_open(struct node *node, enum stream_kind kind, const char *container)
{
    const struct stream_open *open = &node_expect(node, BULK, MESSAGE_STREAM_OPEN)->stream_open;

    assert_int_equal(open->kind, kind);
    assert_string_equal(open->container, container);
    assert_string_equal(open->node, node->name);
    return open->stream;
}

static struct message frame(uint64_t stream, uint64_t number, enum lane lane, const void *data,
                            size_t size_bytes)
{
    struct message message = {.kind = MESSAGE_STREAM_FRAME};

    message.stream_frame = (struct stream_frame){
        .stream = stream, .number = number, .lane = lane, .data = {data, size_bytes}};
    return message;
}

static void client_frame(uint64_t number, const char *text)
{
    const struct message message = frame(STREAM, number, LANE_STDIN, text, strlen(text));

    client_send(&client, &message);
}

static void node_frame(struct node *node, uint64_t stream, uint64_t number, const char *text)
{
    const struct message message = frame(stream, number, LANE_STDOUT, text, strlen(text));

    node_post(node, BULK, &message);
}

static void expect_frame(const struct stream_frame *got, uint64_t stream, uint64_t number,
                         const char *text)
{
    assert_int_equal(got->stream, stream);
    assert_int_equal(got->number, number);
    assert_int_equal(got->data.size_bytes, strlen(text));
    assert_memory_equal(got->data.data, text, strlen(text));
}

static void node_credit(struct node *node, uint64_t stream, uint64_t bytes)
{
    struct message message = {.kind = MESSAGE_STREAM_CREDIT, .stream_credit = {stream, bytes}};

    node_post(node, BULK, &message);
}

static void node_end(struct node *node, uint64_t stream, enum status status, int32_t exit_code)
{
    struct message message = {.kind = MESSAGE_STREAM_END};

    message.stream_end = (struct stream_end){.stream = stream, .exit_code = exit_code};
    message.stream_end.fault.status = status;
    node_post(node, BULK, &message);
}

static const struct stream_end *expect_end(enum status status)
{
    const struct stream_end *end = &client_expect(&client, MESSAGE_STREAM_END)->stream_end;

    assert_int_equal(end->stream, STREAM);
    assert_int_equal(end->fault.status, status);
    return end;
}

static uint64_t open_exec(void)
{
    node_open(&a, "a", 7);
    open_stream(STREAM_EXEC, "web", "");
    return expect_open(&a, STREAM_EXEC, "web");
}

/* ---- one node ---- */

static void test_streams__an_exec__goes_both_ways_and_ends_with_its_code(void **state)
{
    struct message credit = {.kind = MESSAGE_STREAM_CREDIT, .stream_credit = {STREAM, 70000}};

    (void)state;
    uint64_t number = open_exec();
    client_frame(1, "in");
    expect_frame(&node_expect(&a, BULK, MESSAGE_STREAM_FRAME)->stream_frame, number, 1, "in");
    node_frame(&a, number, 1, "out");
    expect_frame(&client_expect(&client, MESSAGE_STREAM_FRAME)->stream_frame, STREAM, 1, "out");
    node_credit(&a, number, 90000);
    assert_int_equal(client_expect(&client, MESSAGE_STREAM_CREDIT)->stream_credit.bytes, 90000);
    client_send(&client, &credit);
    assert_int_equal(node_expect(&a, BULK, MESSAGE_STREAM_CREDIT)->stream_credit.bytes, 70000);

    node_end(&a, number, STATUS_UNSET, 3);
    assert_int_equal(expect_end(STATUS_UNSET)->exit_code, 3);
    client_frame(2, "late"); /* to a stream that is over: passed over */
    rig_settle();
    assert_true(node_is_quiet(&a, BULK));
}

static void test_streams__the_client_ends_it__its_node_hears(void **state)
{
    struct message end = {.kind = MESSAGE_STREAM_END, .stream_end = {.stream = STREAM}};

    (void)state;
    uint64_t number = open_exec();
    client_send(&client, &end);
    assert_int_equal(node_expect(&a, BULK, MESSAGE_STREAM_END)->stream_end.stream, number);
    node_frame(&a, number, 1, "late");
    rig_settle();
    assert_true(client_is_quiet(&client));
}

static void test_streams__the_client_is_gone__its_node_hears(void **state)
{
    (void)state;
    uint64_t number = open_exec();
    client_close(&client);
    assert_int_equal(node_expect(&a, BULK, MESSAGE_STREAM_END)->stream_end.stream, number);
}

static void test_streams__an_unknown_name__what_is_typed_meanwhile_is_kept(void **state)
{
    const struct container_view web = rig_view("web", 1, CT_RUNNING);

    (void)state;
    node_open(&a, "a", 7);
    node_open(&b, "b", 8);
    open_stream(STREAM_EXEC, "web", "");
    client_frame(1, "early");
    client_frame(2, "bird");
    node_list(&a, NULL, 0);
    node_list(&b, &web, 1);

    uint64_t number = expect_open(&b, STREAM_EXEC, "web");
    expect_frame(&node_expect(&b, BULK, MESSAGE_STREAM_FRAME)->stream_frame, number, 1, "early");
    expect_frame(&node_expect(&b, BULK, MESSAGE_STREAM_FRAME)->stream_frame, number, 2, "bird");
    assert_true(node_is_quiet(&a, BULK));
}

static void test_streams__nobody_has_it__ends_as_our_failure(void **state)
{
    (void)state;
    node_open(&a, "a", 7);
    node_open(&b, "b", 8);
    open_stream(STREAM_EXEC, "web", "");
    node_list(&a, NULL, 0);
    node_list(&b, NULL, 0);

    const struct stream_end *end = expect_end(STATUS_NOT_FOUND);
    assert_int_equal(end->exit_code, 125);
    assert_string_equal(end->fault.container, "web");
}

static void test_streams__bulk_comes_later_than_control__the_stream_waits(void **state)
{
    (void)state;
    a.name = "a";
    a.epoch = 7;
    node_connect(&a, CONTROL);
    node_hello(&a, CONTROL);
    open_stream(STREAM_LOGS, "web", "");
    client_frame(1, "early");
    rig_settle();
    node_connect(&a, BULK);
    node_hello(&a, BULK);

    uint64_t number = expect_open(&a, STREAM_LOGS, "web");
    expect_frame(&node_expect(&a, BULK, MESSAGE_STREAM_FRAME)->stream_frame, number, 1, "early");
}

static void test_streams__bulk_never_comes__unreachable(void **state)
{
    (void)state;
    a.name = "a";
    a.epoch = 7;
    node_connect(&a, CONTROL);
    node_hello(&a, CONTROL);
    open_stream(STREAM_LOGS, "web", "");

    const struct stream_end *end = expect_end(STATUS_UNREACHABLE);
    assert_string_equal(end->fault.node, "a");
}

static void test_streams__bulk_is_lost__stream_lost(void **state)
{
    (void)state;
    (void)open_exec();
    node_hello(&a, BULK); /* a new session */
    const struct stream_end *end = expect_end(STATUS_STREAM_LOST);
    assert_int_equal(end->exit_code, 125);
    assert_string_equal(end->fault.node, "a");
    assert_non_null(strstr(end->fault.text, "connect anew"));

    open_stream(STREAM_EXEC, "web", ""); /* the next one is well */
    (void)expect_open(&a, STREAM_EXEC, "web");
}

/* The connection's end tells it, and not that its pings are missed. */
static void test_streams__the_agent_is_killed__ends_before_pings_are_missed(void **state)
{
    (void)state;
    (void)open_exec();
    uint64_t before_ns = clock_monotonic_ns();
    node_close(&a);
    const struct stream_end *end = expect_end(STATUS_STREAM_LOST);
    assert_non_null(strstr(end->fault.text, "went down"));
    assert_true(clock_monotonic_ns() - before_ns < SESSION_DEAD_NS * 3 / 4);
}

/* Killed and back before it was missed: it was never down, and what ran for the exec is dead. */
static void test_streams__the_agent_is_restarted__agent_lost(void **state)
{
    (void)state;
    (void)open_exec();
    a.epoch = 8;
    node_hello(&a, CONTROL);
    const struct stream_end *end = expect_end(STATUS_AGENT_LOST);
    assert_int_equal(end->exit_code, 125);
    assert_string_equal(end->fault.node, "a");

    node_hello(&a, BULK);
    open_stream(STREAM_LOGS, "web", "");
    (void)expect_open(&a, STREAM_LOGS, "web");
    a.epoch = 9;
    node_hello(&a, CONTROL);
    (void)expect_end(STATUS_STREAM_LOST);
}

/* Its bulk session ended here while the agent was stopped, which cannot know, as nothing is said
 * there: it is hinted at as soon as it greets on control. */
static void test_streams__the_agent_was_stopped__its_bulk_is_asked_to_greet(void **state)
{
    (void)state;
    node_open(&a, "a", 7);
    a.is_mute = true;
    for (bool is_down = false; !is_down;) {
        client_query(&client, "n", QUERY_NODES, "");
        is_down = strcmp(client_answer(&client, "n")->nodes[0].state, "down") == 0;
        rig_turn(); /* a tick of the rig's */
    }
    a.is_mute = false;
    assert_int_equal(a.wires[BULK].resets, 0);
    node_hello(&a, CONTROL);
    RIG_UNTIL(a.wires[BULK].resets == 1);
}

static void test_streams__a_hole__ends_both_sides(void **state)
{
    (void)state;
    uint64_t number = open_exec();
    node_frame(&a, number, 1, "one");
    node_frame(&a, number, 3, "three");

    (void)client_expect(&client, MESSAGE_STREAM_FRAME);
    assert_int_equal(expect_end(STATUS_STREAM_LOST)->exit_code, 125);
    assert_int_equal(node_expect(&a, BULK, MESSAGE_STREAM_END)->stream_end.stream, number);

    open_stream(STREAM_EXEC, "web", "");
    number = expect_open(&a, STREAM_EXEC, "web");
    client_frame(2, "two");
    (void)expect_end(STATUS_STREAM_LOST);
    assert_int_equal(node_expect(&a, BULK, MESSAGE_STREAM_END)->stream_end.stream, number);
}

static void test_streams__more_than_was_granted__ends_it(void **state)
{
    static const uint8_t zeros[STREAM_FRAME_BYTES_MAX];
    uint64_t number = open_exec();

    (void)state;
    for (uint64_t i = 1; i <= STREAM_CREDIT_BYTES / sizeof(zeros); i++) {
        const struct message message = frame(STREAM, i, LANE_STDIN, zeros, sizeof(zeros));
        client_send(&client, &message);
        (void)node_expect(&a, BULK, MESSAGE_STREAM_FRAME);
    }
    client_frame(STREAM_CREDIT_BYTES / sizeof(zeros) + 1, "x");
    (void)expect_end(STATUS_STREAM_LOST);
    assert_int_equal(node_expect(&a, BULK, MESSAGE_STREAM_END)->stream_end.stream, number);
}

/* A client that granted much and reads nothing: its octets wait here, and then come whole. */
static void test_streams__a_slow_reader__all_comes_in_order(void **state)
{
    enum { FRAMES = 450, GRANT = 16 * 1024 * 1024 };
    static uint8_t data[STREAM_FRAME_BYTES_MAX];
    struct message credit = {.kind = MESSAGE_STREAM_CREDIT, .stream_credit = {STREAM, GRANT}};

    (void)state;
    uint64_t number = open_exec();
    client_send(&client, &credit);
    (void)node_expect(&a, BULK, MESSAGE_STREAM_CREDIT);
    client_pause(&client, true);
    for (uint64_t i = 1; i <= FRAMES; i++) {
        memset(data, (int)i, sizeof(data));
        const struct message message = frame(number, i, LANE_STDOUT, data, sizeof(data));
        node_post(&a, BULK, &message);
    }
    node_end(&a, number, STATUS_UNSET, 0);
    RIG_UNTIL(a.wires[BULK].session.kept_count == 0);
    client_pause(&client, false);

    for (uint64_t i = 1; i <= FRAMES; i++) {
        const struct stream_frame *got =
            &client_expect(&client, MESSAGE_STREAM_FRAME)->stream_frame;
        memset(data, (int)i, sizeof(data));
        assert_int_equal(got->number, i);
        assert_int_equal(got->data.size_bytes, sizeof(data));
        assert_memory_equal(got->data.data, data, sizeof(data));
    }
    assert_int_equal(expect_end(STATUS_UNSET)->exit_code, 0);
}

static void test_streams__datagrams_are_lost__no_octet_is(void **state)
{
    enum { FRAMES = 100 };
    char text[16];

    (void)state;
    uint64_t number = open_exec();
    a.wires[BULK].lose = 5;
    for (uint64_t i = 1; i <= FRAMES; i++) {
        (void)snprintf(text, sizeof(text), "%u", (unsigned)i);
        client_frame(i, text);
    }
    for (uint64_t i = 1; i <= FRAMES; i++) {
        (void)snprintf(text, sizeof(text), "%u", (unsigned)i);
        expect_frame(&node_expect(&a, BULK, MESSAGE_STREAM_FRAME)->stream_frame, number, i, text);
    }
}

/* ---- imports to all ---- */

static void open_import(uint64_t *of_a, uint64_t *of_b)
{
    node_open(&a, "a", 7);
    node_open(&b, "b", 8);
    open_stream(STREAM_IMPORT, "tiny", "");
    *of_a = expect_open(&a, STREAM_IMPORT, "tiny");
    *of_b = expect_open(&b, STREAM_IMPORT, "tiny");
}

static void test_streams__an_import__goes_to_all_at_the_pace_of_the_slowest(void **state)
{
    uint64_t of_a;
    uint64_t of_b;

    (void)state;
    open_import(&of_a, &of_b);
    client_frame(1, "tar");
    expect_frame(&node_expect(&a, BULK, MESSAGE_STREAM_FRAME)->stream_frame, of_a, 1, "tar");
    expect_frame(&node_expect(&b, BULK, MESSAGE_STREAM_FRAME)->stream_frame, of_b, 1, "tar");

    node_credit(&a, of_a, 200000);
    RIG_UNTIL(a.wires[BULK].session.kept_count == 0);
    assert_true(client_is_quiet(&client));
    node_credit(&b, of_b, 150000);
    assert_int_equal(client_expect(&client, MESSAGE_STREAM_CREDIT)->stream_credit.bytes, 150000);

    node_end(&b, of_b, STATUS_UNSET, 0);
    assert_int_equal(client_expect(&client, MESSAGE_STREAM_CREDIT)->stream_credit.bytes, 200000);
    node_end(&a, of_a, STATUS_UNSET, 0);
    assert_int_equal(expect_end(STATUS_UNSET)->exit_code, 0);
}

static void test_streams__an_import_fails_on_one_node__on_no_other_it_goes_on(void **state)
{
    uint64_t of_a;
    uint64_t of_b;

    (void)state;
    open_import(&of_a, &of_b);
    node_end(&b, of_b, STATUS_EXISTS, 4);

    const struct stream_end *end = expect_end(STATUS_EXISTS);
    assert_string_equal(end->fault.node, "b");
    assert_int_equal(end->exit_code, 4);
    assert_int_equal(node_expect(&a, BULK, MESSAGE_STREAM_END)->stream_end.stream, of_a);
}

static void test_streams__an_import_to_one_node__leaves_the_other(void **state)
{
    (void)state;
    node_open(&a, "a", 7);
    node_open(&b, "b", 8);
    open_stream(STREAM_IMPORT, "tiny", "b");
    uint64_t number = expect_open(&b, STREAM_IMPORT, "tiny");
    node_end(&b, number, STATUS_UNSET, 0);
    (void)expect_end(STATUS_UNSET);
    assert_true(node_is_quiet(&a, BULK));

    open_stream(STREAM_IMPORT, "tiny", "c");
    assert_int_equal(expect_end(STATUS_NOT_FOUND)->exit_code, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_streams__an_exec__goes_both_ways_and_ends_with_its_code),
        TEST(test_streams__the_client_ends_it__its_node_hears),
        TEST(test_streams__the_client_is_gone__its_node_hears),
        TEST(test_streams__an_unknown_name__what_is_typed_meanwhile_is_kept),
        TEST(test_streams__nobody_has_it__ends_as_our_failure),
        TEST(test_streams__bulk_comes_later_than_control__the_stream_waits),
        TEST(test_streams__bulk_never_comes__unreachable),
        TEST(test_streams__bulk_is_lost__stream_lost),
        TEST(test_streams__the_agent_is_killed__ends_before_pings_are_missed),
        TEST(test_streams__the_agent_is_restarted__agent_lost),
        TEST(test_streams__the_agent_was_stopped__its_bulk_is_asked_to_greet),
        TEST(test_streams__a_hole__ends_both_sides),
        TEST(test_streams__more_than_was_granted__ends_it),
        TEST(test_streams__a_slow_reader__all_comes_in_order),
        TEST(test_streams__datagrams_are_lost__no_octet_is),
        TEST(test_streams__an_import__goes_to_all_at_the_pace_of_the_slowest),
        TEST(test_streams__an_import_fails_on_one_node__on_no_other_it_goes_on),
        TEST(test_streams__an_import_to_one_node__leaves_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
