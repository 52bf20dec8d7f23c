/* SPDX-License-Identifier: Apache-2.0 */
/* If an event is lost, told twice or out of order, whoever acts on it acts wrongly. Nodes that the
 * test plays tell a real controller, with repeats and restarts; readers of every kind follow. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "rig.h"

static struct node a;
static struct node b;
static struct client client;
static struct client other;

static int start(const char *const *options)
{
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    rig_start(options);
    client_open(&client);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return start(NULL);
}

static int set_up_small(void **state)
{
    static const char *const options[] = {"--events-max", "1000", NULL};

    (void)state;
    return start(options);
}

static void ask_events(struct client *asker, const char *request, enum since since, bool is_follow)
{
    struct message message = {.kind = MESSAGE_QUERY};

    message.query = (struct query){
        .request_id = request, .kind = QUERY_EVENTS, .since = since, .is_follow = is_follow};
    client_send(asker, &message);
}

/* Passes the events of the controller's own, which have no seq. */
static const struct event_view *next_of_node(struct client *reader, const char *request)
{
    for (;;) {
        const struct event_view *view = client_event(reader, request);
        if (view->event.seq != 0)
            return view;
    }
}

static void tell(struct node *node, uint64_t epoch, uint64_t seq)
{
    const struct event event = rig_event(epoch, seq, "web", 1);

    node_events(node, &event, 1);
}

static void expect_ack(struct node *node, uint64_t seq)
{
    assert_int_equal(node_expect(node, CONTROL, MESSAGE_EVENT_ACK)->event_ack, seq);
}

static void test_events__a_node_tells__followers_hear_it_and_it_is_acknowledged(void **state)
{
    struct event event = rig_event(7, 5, "web", 1);

    (void)state;
    ask_events(&client, "f", SINCE_NOW, true);
    node_open(&a, "a", 7);
    assert_int_equal(client_event(&client, "f")->event.type, EVENT_NODE_UP);

    event.cause = CAUSE_GUEST_REBOOT;
    event.has_status = true;
    event.wait_status = 1;
    (void)snprintf(event.request, sizeof(event.request), "r9");
    (void)snprintf(event.detail, sizeof(event.detail), "words");
    node_events(&a, &event, 1);
    const struct event_view *view = client_event(&client, "f");
    assert_string_equal(view->node, "a");
    assert_int_equal(view->event.seq, 5);
    assert_int_equal(view->event.epoch, 7);
    assert_int_equal(view->event.time_wall_ns, event.time_wall_ns);
    assert_int_equal(view->event.cause, CAUSE_GUEST_REBOOT);
    assert_int_equal(view->event.wait_status, 1);
    assert_string_equal(view->event.name, "web");
    assert_string_equal(view->event.request, "r9");
    assert_string_equal(view->event.detail, "words");
    assert_memory_equal(view->event.uuid, event.uuid, UUID_BYTES);
    assert_string_not_equal(view->cursor, "");
    expect_ack(&a, 5);
}

static void test_events__told_again_after_a_reconnect__known_ones_are_passed_over(void **state)
{
    (void)state;
    ask_events(&client, "f", SINCE_NOW, true);
    node_open(&a, "a", 7);
    for (uint64_t seq = 1; seq <= 3; seq++)
        tell(&a, 7, seq);
    for (uint64_t seq = 1; seq <= 3; seq++)
        assert_int_equal(next_of_node(&client, "f")->event.seq, seq);

    node_hello(&a, CONTROL); /* as if no acknowledgement had come: it starts from 2 */
    assert_int_equal(a.wires[CONTROL].answer.acknowledged, 3);
    for (uint64_t seq = 2; seq <= 4; seq++)
        tell(&a, 7, seq);
    assert_int_equal(next_of_node(&client, "f")->event.seq, 4);
}

static void test_events__a_ledger_was_put_back__its_events_are_new(void **state)
{
    (void)state;
    ask_events(&client, "f", SINCE_NOW, true);
    node_open(&a, "a", 7);
    tell(&a, 7, 9);
    assert_int_equal(next_of_node(&client, "f")->event.seq, 9);

    node_close(&a);
    node_open(&a, "a", 8);
    tell(&a, 8, 4); /* an older database, another life */
    const struct event_view *view = next_of_node(&client, "f");
    assert_int_equal(view->event.seq, 4);
    assert_int_equal(view->event.epoch, 8);
    expect_ack(&a, 4);
}

static void test_events__a_cursor__goes_on_after_it(void **state)
{
    char cursor[32];
    struct message message = {.kind = MESSAGE_QUERY};

    (void)state;
    node_open(&a, "a", 7);
    ask_events(&client, "f", SINCE_NOW, true);
    for (uint64_t seq = 1; seq <= 3; seq++)
        tell(&a, 7, seq);
    (void)next_of_node(&client, "f");
    (void)snprintf(cursor, sizeof(cursor), "%s", next_of_node(&client, "f")->cursor);
    (void)next_of_node(&client, "f");

    client_open(&other);
    message.query = (struct query){
        .request_id = "c", .kind = QUERY_EVENTS, .since = SINCE_CURSOR, .since_cursor = cursor};
    client_send(&other, &message);
    const struct answer *answer = client_answer(&other, "c");
    assert_true(answer->is_last);
    assert_int_equal(answer->event_count, 1);
    assert_int_equal(answer->events[0].event.seq, 3);

    message.query.since_cursor = "nonsense";
    client_send(&other, &message);
    assert_int_equal(client_answer(&other, "c")->fault.status, STATUS_INVALID);
}

static void test_events__all_that_is_kept__then_it_ends(void **state)
{
    (void)state;
    node_open(&a, "a", 7);
    for (uint64_t seq = 1; seq <= 3; seq++)
        tell(&a, 7, seq);
    while (node_expect(&a, CONTROL, MESSAGE_EVENT_ACK)->event_ack < 3)
        ;

    client_open(&other);
    ask_events(&other, "all", SINCE_ALL, false);
    const struct answer *answer = client_answer(&other, "all");
    assert_true(answer->is_last);
    assert_int_equal(answer->event_count, 4);
    assert_int_equal(answer->events[0].event.type, EVENT_NODE_UP);
    uint64_t before = 0;
    for (size_t i = 0; i < answer->event_count; i++) {
        uint64_t cursor = strtoull(answer->events[i].cursor, NULL, 10);
        assert_true(cursor > before);
        before = cursor;
    }
}

static void test_events__by_node_and_by_container__others_are_left_out(void **state)
{
    const struct event db = rig_event(8, 1, "db", 2);
    const struct container_view web = rig_view("web", 1, CT_RUNNING);
    struct message message = {.kind = MESSAGE_QUERY};

    (void)state;
    a.containers = &web;
    a.container_count = 1;
    node_open(&a, "a", 7);
    node_open(&b, "b", 8);
    tell(&a, 7, 1);
    expect_ack(&a, 1);
    node_events(&b, &db, 1);
    expect_ack(&b, 1);

    client_open(&other);
    message.query = (struct query){.request_id = "n", .kind = QUERY_EVENTS, .node = "b"};
    client_send(&other, &message);
    const struct answer *answer = client_answer(&other, "n");
    assert_int_equal(answer->event_count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(answer->events[i].node, "b");
    client_query(&other, "h", QUERY_HISTORY, "web");
    answer = client_answer(&other, "h");
    assert_true(answer->is_last);
    assert_int_equal(answer->event_count, 1);
    assert_string_equal(answer->events[0].event.name, "web");
    message.query = (struct query){.request_id = "x", .kind = QUERY_EVENTS, .node = "none"};
    client_send(&other, &message);
    assert_int_equal(client_answer(&other, "x")->fault.status, STATUS_NOT_FOUND);
}

static void test_events__since_a_time__only_later_ones(void **state)
{
    struct event event = rig_event(7, 1, "web", 1);
    struct message message = {.kind = MESSAGE_QUERY};

    (void)state;
    node_open(&a, "a", 7);
    event.time_wall_ns = 1000;
    node_events(&a, &event, 1);
    expect_ack(&a, 1);
    event.seq = 2;
    event.time_wall_ns = 1001;
    node_events(&a, &event, 1);
    expect_ack(&a, 2);

    message.query = (struct query){.request_id = "t",
                                   .kind = QUERY_EVENTS,
                                   .node = "a",
                                   .since = SINCE_TIME,
                                   .since_number = 1000};
    client_open(&other);
    client_send(&other, &message);
    const struct answer *answer = client_answer(&other, "t");
    assert_int_equal(answer->event_count, 2); /* and node_up, of now */
    assert_int_equal(answer->events[1].event.seq, 2);
}

static void test_events__they_change_the_copy__a_list_need_not_be_asked_for(void **state)
{
    const struct container_view web = rig_view("web", 1, CT_BOOTING);
    struct event event = rig_event(7, 2, "web", 1);

    (void)state;
    a.containers = &web;
    a.container_count = 1;
    a.ledger_last = 1;
    node_open(&a, "a", 7);
    event.from = CT_RUNNING;
    event.to = CT_CLEANING;
    event.cause = CAUSE_GUEST_HALT;
    event.has_status = true;
    event.wait_status = 2;
    node_events(&a, &event, 1);
    expect_ack(&a, 2);
    client_query(&client, "q", QUERY_NODES, "");
    assert_int_equal(client_answer(&client, "q")->nodes[0].running, 0);

    event = rig_event(7, 3, "web", 1);
    event.type = EVENT_DESTROYED;
    node_events(&a, &event, 1);
    expect_ack(&a, 3);
    client_query(&client, "q", QUERY_NODES, "");
    assert_int_equal(client_answer(&client, "q")->nodes[0].containers, 0);

    event = rig_event(7, 4, "new", 2);
    event.type = EVENT_CREATED;
    node_events(&a, &event, 1);
    expect_ack(&a, 4);
    client_query(&client, "q", QUERY_NODES, "");
    assert_int_equal(client_answer(&client, "q")->nodes[0].containers, 1);
}

/* More than one client is owed unread: the reader loses its place, and nobody else is held up. */
static void test_events__a_slow_reader__is_told_of_its_gap_and_holds_up_nobody(void **state)
{
    enum { EVENTS = 60000, BATCH = 200 };
    struct event events[BATCH];

    (void)state;
    node_open(&a, "a", 7);
    client_open(&other);
    ask_events(&client, "slow", SINCE_NOW, true);
    ask_events(&other, "fast", SINCE_NOW, true);
    rig_settle();
    client_pause(&client, true);
    uint64_t heard = 0;
    for (uint64_t seq = 1; seq <= EVENTS; seq += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++) {
            events[i] = rig_event(7, seq + i, "web", 1);
            memset(events[i].detail, 'x', sizeof(events[i].detail) - 1);
        }
        node_events(&a, events, BATCH);
        while (heard < seq + BATCH - 1)
            assert_int_equal(next_of_node(&other, "fast")->event.seq, ++heard);
    }

    client_pause(&client, false);
    uint64_t last = 0;
    uint64_t cursor = 0;
    bool has_gap = false;
    while (last < EVENTS) {
        const struct answer *answer = client_answer(&client, "slow");
        for (size_t i = 0; i < answer->event_count; i++) {
            const struct event_view *view = &answer->events[i];
            uint64_t next = strtoull(view->cursor, NULL, 10);
            assert_true(next > cursor);
            cursor = next;
            if (view->event.type == EVENT_GAP) {
                has_gap = true;
                assert_true(strtoull(view->event.detail, NULL, 10) > 0);
            }
            if (view->event.seq == 0)
                continue;
            assert_true(view->event.seq == last + 1 || has_gap);
            last = view->event.seq;
        }
    }
    assert_true(has_gap);
}

/* Not asserted, but printed: how long a fact takes from the node's hand to the operator's. */
static void test_events__one_at_a_time__each_comes_by_itself(void **state)
{
    enum { COUNT = 500 };
    uint64_t began_ns;

    (void)state;
    node_open(&a, "a", 7);
    ask_events(&client, "f", SINCE_NOW, true);
    rig_settle();
    began_ns = clock_monotonic_ns();
    for (uint64_t seq = 1; seq <= COUNT; seq++) {
        tell(&a, 7, seq);
        assert_int_equal(next_of_node(&client, "f")->event.seq, seq);
    }
    print_message("%" PRIu64 " us from node to subscriber\n",
                  (clock_monotonic_ns() - began_ns) / COUNT / 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_events__a_node_tells__followers_hear_it_and_it_is_acknowledged),
        TEST(test_events__told_again_after_a_reconnect__known_ones_are_passed_over),
        TEST(test_events__a_ledger_was_put_back__its_events_are_new),
        TEST(test_events__a_cursor__goes_on_after_it),
        TEST(test_events__all_that_is_kept__then_it_ends),
        TEST(test_events__by_node_and_by_container__others_are_left_out),
        TEST(test_events__since_a_time__only_later_ones),
        TEST(test_events__they_change_the_copy__a_list_need_not_be_asked_for),
        cmocka_unit_test_setup_teardown(
            test_events__a_slow_reader__is_told_of_its_gap_and_holds_up_nobody, set_up_small,
            rig_stop),
        TEST(test_events__one_at_a_time__each_comes_by_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
