/* SPDX-License-Identifier: Apache-2.0 */
/* If the controller forgets with its death what it had acknowledged or answered, events are lost
 * and commands done twice. A real one is killed by -9, at moments of its choice and of a seed's,
 * and started again on what is left. */
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "prng.h"
#include "rig.h"

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

static void kill_and_restart(void)
{
    rig_kill();
    RIG_UNTIL(client.is_over);
    client_close(&client);
    rig_restart();
    client_open(&client);
}

/* On connections of its own making: those of old wait before they are tried again. */
static void come_back(struct node *node)
{
    node_close(node);
    node_open(node, node->name, node->epoch);
}

static void tell(struct node *node, uint64_t epoch, uint64_t first, uint64_t count)
{
    struct event events[EVENT_BATCH_MAX];

    for (uint64_t i = 0; i < count; i++)
        events[i] = rig_event(epoch, first + i, "web", 1);
    node_events(node, events, count);
}

static void await_ack(struct node *node, uint64_t seq)
{
    while (node_expect(node, CONTROL, MESSAGE_EVENT_ACK)->event_ack < seq)
        ;
}

/* Returns how many there are, and checks that they are each there once and in order. */
static uint64_t count_events(uint64_t epoch, char last_cursor[32])
{
    struct message message = {.kind = MESSAGE_QUERY};
    uint64_t count = 0;
    uint64_t cursor = 0;
    bool is_last = false;

    message.query = (struct query){.request_id = "all", .kind = QUERY_EVENTS};
    client_send(&client, &message);
    while (!is_last) {
        const struct answer *answer = client_answer(&client, "all");

        for (size_t i = 0; i < answer->event_count; i++) {
            const struct event_view *view = &answer->events[i];
            assert_true(strtoull(view->cursor, NULL, 10) > cursor);
            cursor = strtoull(view->cursor, NULL, 10);
            (void)snprintf(last_cursor, 32, "%s", view->cursor);
            if (view->event.epoch == epoch)
                assert_int_equal(view->event.seq, ++count);
        }
        is_last = answer->is_last;
    }
    return count;
}

/* ---- events ---- */

static void test_durable__killed__what_was_acknowledged_is_there(void **state)
{
    char cursor[32] = "";
    struct message message = {.kind = MESSAGE_QUERY};

    (void)state;
    node_open(&a, "a", 7);
    tell(&a, 7, 1, 200);
    await_ack(&a, 200);
    kill_and_restart();
    assert_int_equal(count_events(7, cursor), 200);

    come_back(&a);
    assert_int_equal(a.wires[CONTROL].answer.acknowledged, 200);
    assert_int_equal(a.wires[CONTROL].answer.acknowledged_epoch, 7);
    tell(&a, 7, 150, 60); /* as if its acknowledgements had been lost */
    await_ack(&a, 209);
    message.query = (struct query){
        .request_id = "c", .kind = QUERY_EVENTS, .since = SINCE_CURSOR, .since_cursor = cursor};
    client_send(&client, &message);
    const struct answer *answer = client_answer(&client, "c");
    uint64_t seq = 200;
    for (size_t i = 0; i < answer->event_count; i++)
        if (answer->events[i].event.epoch == 7)
            assert_int_equal(answer->events[i].event.seq, ++seq);
    assert_int_equal(seq, 209);
}

static void test_durable__killed__a_follower_goes_on_from_its_cursor(void **state)
{
    struct message message = {.kind = MESSAGE_QUERY};
    char cursor[32];

    (void)state;
    node_open(&a, "a", 7);
    message.query = (struct query){.request_id = "f", .kind = QUERY_EVENTS, .is_follow = true};
    client_send(&client, &message);
    tell(&a, 7, 1, 3);
    const struct event_view *view = client_event(&client, "f");
    while (view->event.seq != 2)
        view = client_event(&client, "f");
    (void)snprintf(cursor, sizeof(cursor), "%s", view->cursor);
    await_ack(&a, 3);

    kill_and_restart();
    memset(&client.events, 0, sizeof(client.events));
    message.query.since = SINCE_CURSOR;
    message.query.since_cursor = cursor;
    client_send(&client, &message);
    assert_int_equal(client_event(&client, "f")->event.seq, 3);
    come_back(&a);
    tell(&a, 7, 4, 1);
    for (view = client_event(&client, "f"); view->event.seq == 0;) /* the node's coming */
        view = client_event(&client, "f");
    assert_int_equal(view->event.seq, 4);
}

/* An event that was acknowledged is never lost; one that is not durable is never acknowledged. */
static void test_durable__killed_at_random__never_lost_never_twice(void **state)
{
    enum { ROUNDS = 5 };
    struct prng prng = {.state = 0x5eed};
    char cursor[32];
    uint64_t told = 0;
    uint64_t acked = 0;

    (void)state;
    node_open(&a, "a", 7);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t turns = prng_below(&prng, 400);

        for (uint64_t n = 0; n < turns; n++) {
            uint64_t count = 1 + prng_below(&prng, 32);
            if (session_has_room(&a.wires[CONTROL].session, MESSAGE_BYTES_MAX)) {
                tell(&a, 7, told + 1, count);
                told += count;
            }
            rig_turn();
            while (!node_is_quiet(&a, CONTROL))
                acked = node_expect(&a, CONTROL, MESSAGE_EVENT_ACK)->event_ack;
        }
        kill_and_restart();
        while (!node_is_quiet(&a, CONTROL))
            acked = node_expect(&a, CONTROL, MESSAGE_EVENT_ACK)->event_ack;
        uint64_t kept = count_events(7, cursor);
        assert_true(kept >= acked);
        come_back(&a);
        assert_int_equal(a.wires[CONTROL].answer.acknowledged, kept);
        told = kept; /* the node goes on from there */
    }
    assert_true(told > 0);
}

/* It ends rather than promise what is not durable, and what it promised is there. */
static void test_durable__no_room__ends_with_its_code_and_goes_on_with_room(void **state)
{
    char dir[96];
    char cursor[32];
    uint64_t told = 0;
    uint64_t acked = 0;

    (void)state;
    if (unshare(CLONE_NEWNS) < 0) {
        print_message("no mount namespace of our own: skipped\n");
        skip();
    }
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    rig_kill();
    RIG_UNTIL(client.is_over);
    client_close(&client);
    (void)snprintf(dir, sizeof(dir), "%s/state", rig_dir());
    assert_int_equal(mount("state", dir, "tmpfs", 0, "size=1M,mode=0700"), 0);
    rig_restart();
    client_open(&client);
    node_open(&a, "a", 7);
    while (!client.is_over) { /* hung up by its end */
        if (session_has_room(&a.wires[CONTROL].session, MESSAGE_BYTES_MAX)) {
            tell(&a, 7, told + 1, 50);
            told += 50;
        }
        rig_turn();
        while (!node_is_quiet(&a, CONTROL))
            acked = node_expect(&a, CONTROL, MESSAGE_EVENT_ACK)->event_ack;
    }
    assert_int_equal(rig_await_end(), status_exit_code(STATUS_STORE_FULL));
    assert_true(acked > 0);

    assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT, "size=64M"), 0);
    client_close(&client);
    rig_restart();
    client_open(&client);
    uint64_t kept = count_events(7, cursor);
    assert_true(kept >= acked);
    come_back(&a);
    assert_int_equal(a.wires[CONTROL].answer.acknowledged, kept);
    tell(&a, 7, kept + 1, 100);
    await_ack(&a, kept + 100);
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

/* ---- what nodes hold ---- */

static void test_durable__killed__lists_and_shows_what_nodes_last_told(void **state)
{
    const struct pair label = {"tier", "front"};
    struct container_view web = rig_view("web", 1, CT_RUNNING);
    const struct config config = {.template_name = "tiny", .pids_max = 64};
    struct message message = {.kind = MESSAGE_ANSWER};

    (void)state;
    web.labels = &label;
    web.label_count = 1;
    a.containers = &web;
    a.container_count = 1;
    node_open(&a, "a", 7);
    client_query(&client, "s", QUERY_SHOW, "web");
    const struct query *query = &node_expect(&a, CONTROL, MESSAGE_QUERY)->query;
    message.answer = (struct answer){.request_id = query->request_id,
                                     .is_last = true,
                                     .containers = &web,
                                     .container_count = 1,
                                     .config = &config};
    node_post(&a, CONTROL, &message);
    (void)client_answer(&client, "s");
    tell(&a, 7, 1, 1);
    await_ack(&a, 1); /* what came before it is durable, too */

    kill_and_restart();
    client_query(&client, "l", QUERY_LIST, "");
    const struct answer *answer = client_answer(&client, "l");
    assert_int_equal(answer->container_count, 1);
    assert_string_equal(answer->containers[0].name, "web");
    assert_string_equal(answer->containers[0].node, "a");
    assert_int_equal(answer->containers[0].state, CT_RUNNING);
    assert_string_equal(answer->containers[0].labels[0].value, "front");
    client_query(&client, "n", QUERY_NODES, "");
    answer = client_answer(&client, "n");
    assert_string_equal(answer->nodes[0].state, "down");
    assert_string_equal(answer->nodes[0].agent_version, "rig");
    client_query(&client, "s", QUERY_SHOW, "web");
    answer = client_answer(&client, "s");
    assert_int_equal(answer->fault.status, STATUS_UNREACHABLE);
    assert_int_equal(answer->container_count, 1);
    assert_non_null(answer->config);
    assert_int_equal(answer->config->pids_max, 64);
    client_query(&client, "b", QUERY_BOOT, "web");
    assert_int_equal(client_answer(&client, "b")->fault.status, STATUS_UNREACHABLE);
}

static void test_durable__killed__history_is_told_without_its_node(void **state)
{
    const struct container_view web = rig_view("web", 1, CT_RUNNING);

    (void)state;
    a.containers = &web;
    a.container_count = 1;
    node_open(&a, "a", 7);
    tell(&a, 7, 1, 3);
    await_ack(&a, 3);
    kill_and_restart();
    client_query(&client, "h", QUERY_HISTORY, "web");
    const struct answer *answer = client_answer(&client, "h");
    assert_true(answer->is_last);
    assert_int_equal(answer->event_count, 3);
}

static void test_durable__destroyed__its_history_is_told_by_name_and_by_id(void **state)
{
    static const char *const names[] = {"web", "web@a", "01010203-0000-0000-0000-000000000000"};
    struct event destroyed = rig_event(7, 4, "web", 1);
    const struct container_view web = rig_view("web", 1, CT_RUNNING);

    (void)state;
    a.containers = &web;
    a.container_count = 1;
    node_open(&a, "a", 7);
    node_open(&b, "b", 8);
    tell(&a, 7, 1, 3);
    destroyed.type = EVENT_DESTROYED;
    node_events(&a, &destroyed, 1);
    await_ack(&a, 4);
    kill_and_restart();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        client_query(&client, "h", QUERY_HISTORY, names[i]);
        const struct answer *answer = client_answer(&client, "h");
        assert_int_equal(answer->event_count, 4);
        assert_int_equal(answer->events[3].event.type, EVENT_DESTROYED);
    }
    client_query(&client, "h", QUERY_HISTORY, "never");
    assert_int_equal(client_answer(&client, "h")->fault.status, STATUS_NOT_FOUND);
}

/* ---- commands ---- */

static void test_durable__killed__the_same_request_id_is_answered_as_before(void **state)
{
    const struct container_view web = rig_view("web", 1, CT_RUNNING);

    (void)state;
    node_open(&a, "a", 7);
    client_command(&client, "r1", VERB_START, "web", "");
    (void)node_accept(&a, VERB_START, "web");
    node_receipt(&a, "r1", PHASE_DONE, &web);
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    (void)client_receipt(&client, "r1", PHASE_DONE);

    kill_and_restart();
    client_command(&client, "r1", VERB_START, "web", ""); /* while its node is not back */
    const struct receipt *receipt = client_receipt(&client, "r1", PHASE_DONE);
    assert_true(receipt->has_container);
    assert_string_equal(receipt->container.name, "web");
    client_command(&client, "r1", VERB_STOP, "web", "");
    assert_int_equal(client_receipt(&client, "r1", PHASE_FAILED)->fault.status,
                     STATUS_REQUEST_ID_REUSED);

    come_back(&a);
    client_command(&client, "r1", VERB_START, "web", "");
    (void)client_receipt(&client, "r1", PHASE_DONE);
    client_command(&client, "r1", VERB_STOP, "web", "");
    assert_int_equal(client_receipt(&client, "r1", PHASE_FAILED)->fault.status,
                     STATUS_REQUEST_ID_REUSED);
    rig_settle();
    assert_true(node_is_quiet(&a, CONTROL));
}

/* Nobody has the container any more, and nobody need be asked: what was done was done. */
static void test_durable__of_a_container_that_is_gone__still_answered(void **state)
{
    struct container_view web = rig_view("web", 1, CT_STOPPED);

    (void)state;
    a.containers = &web;
    a.container_count = 1;
    node_open(&a, "a", 7);
    node_open(&b, "b", 8);
    client_command(&client, "r1", VERB_DESTROY, "web", "");
    (void)node_accept(&a, VERB_DESTROY, "web");
    node_receipt(&a, "r1", PHASE_DONE, &web);
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    (void)client_receipt(&client, "r1", PHASE_DONE);
    client_command(&client, "r1", VERB_DESTROY, "web", "");
    (void)client_receipt(&client, "r1", PHASE_DONE);
    kill_and_restart();
    client_command(&client, "r1", VERB_DESTROY, "web", "");
    (void)client_receipt(&client, "r1", PHASE_DONE);
}

static void test_durable__killed_under_a_command__it_is_sent_again_and_told(void **state)
{
    (void)state;
    node_open(&a, "a", 7);
    client_command(&client, "r1", VERB_REBOOT, "web", "");
    (void)node_accept(&a, VERB_REBOOT, "web");
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);

    kill_and_restart();
    client_command(&client, "r1", VERB_REBOOT, "web", ""); /* whoever asks hears how far it is */
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    come_back(&a);
    assert_string_equal(node_accept(&a, VERB_REBOOT, "web"), "r1");
    node_receipt(&a, "r1", PHASE_DONE, NULL);
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    (void)client_receipt(&client, "r1", PHASE_DONE);
}

static void run_sql(const char *sql)
{
    char path[128];
    sqlite3 *db = NULL;

    (void)snprintf(path, sizeof(path), "%s/state/controller.db", rig_dir());
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_durable__first_issued_13_hours_ago__expired_and_never_sent(void **state)
{
    (void)state;
    node_open(&a, "a", 7);
    client_command(&client, "r1", VERB_REBOOT, "web", "");
    (void)node_accept(&a, VERB_REBOOT, "web");
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);

    rig_kill();
    run_sql("UPDATE command SET issued_wall_ns = issued_wall_ns - 13*3600*1000000000");
    RIG_UNTIL(client.is_over);
    client_close(&client);
    rig_restart();
    client_open(&client);
    come_back(&a);
    for (unsigned n = 0; n < 2; n++) {
        client_command(&client, "r1", VERB_REBOOT, "web", "");
        assert_int_equal(client_receipt(&client, "r1", PHASE_RESULT_UNKNOWN)->fault.status,
                         STATUS_EXPIRED);
    }
    rig_settle();
    assert_true(node_is_quiet(&a, CONTROL));
}

static void test_durable__killed_past_its_time__not_sent_and_unknown(void **state)
{
    struct message message = {.kind = MESSAGE_COMMAND};

    (void)state;
    node_open(&a, "a", 7);
    message.command = (struct command){
        .request_id = "r1", .verb = VERB_STOP, .container = "web", .time_left_ns = 60 * NS_PER_S};
    client_send(&client, &message);
    (void)node_accept(&a, VERB_STOP, "web");
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);

    rig_kill();
    run_sql("UPDATE command SET deadline_wall_ns = deadline_wall_ns - 120*1000000000");
    RIG_UNTIL(client.is_over);
    client_close(&client);
    rig_restart();
    client_open(&client);
    client_send(&client, &message);
    const struct receipt *receipt = &client_expect(&client, MESSAGE_RECEIPT)->receipt;
    if (receipt->phase == PHASE_ACCEPTED) /* it was not closed yet */
        receipt = &client_expect(&client, MESSAGE_RECEIPT)->receipt;
    assert_int_equal(receipt->phase, PHASE_RESULT_UNKNOWN);
}

/* ---- nodes that die ---- */

/* By its broken connection, not by its silence, which takes 10 s. */
static void test_durable__a_node_is_killed__its_commands_are_unknown_soon(void **state)
{
    uint64_t began_ns;

    (void)state;
    node_open(&a, "a", 7);
    node_open(&b, "b", 8);
    client_command(&client, "r1", VERB_STOP, "web", "a");
    (void)node_accept(&a, VERB_STOP, "web");
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    began_ns = clock_monotonic_ns();
    node_close(&a);
    assert_int_equal(client_receipt(&client, "r1", PHASE_RESULT_UNKNOWN)->fault.status,
                     STATUS_UNREACHABLE);
    uint64_t took_ns = clock_monotonic_ns() - began_ns;
    print_message("unknown after %u ms\n", (unsigned)(took_ns / NS_PER_MS));
    assert_true(took_ns < 8 * NS_PER_S);

    client_query(&client, "n", QUERY_NODES, "");
    const struct answer *answer = client_answer(&client, "n");
    assert_string_equal(answer->nodes[0].state, "down");
    assert_string_equal(answer->nodes[1].state, "up"); /* it was asked, and gave its word */
}

static void turn_for(uint64_t ns)
{
    uint64_t until_ns = clock_monotonic_ns() + ns;

    RIG_UNTIL(clock_monotonic_ns() >= until_ns);
}

/* The word that it owes was asked of its former life. */
static void test_durable__a_node_is_killed_and_comes_back__it_is_not_taken_for_dead(void **state)
{
    struct message message = {.kind = MESSAGE_QUERY};

    (void)state;
    node_open(&a, "a", 7);
    node_close(&a);
    turn_for(1300 * NS_PER_MS); /* the counters are read each second */
    node_open(&a, "a", 8);
    turn_for(2500 * NS_PER_MS);
    message.query = (struct query){.request_id = "all", .kind = QUERY_EVENTS};
    client_send(&client, &message);
    const struct answer *answer = client_answer(&client, "all");
    assert_true(answer->is_last);
    for (size_t i = 0; i < answer->event_count; i++)
        assert_int_not_equal(answer->events[i].event.type, EVENT_NODE_DOWN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_durable__killed__what_was_acknowledged_is_there),
        TEST(test_durable__killed__a_follower_goes_on_from_its_cursor),
        TEST(test_durable__killed_at_random__never_lost_never_twice),
        TEST(test_durable__no_room__ends_with_its_code_and_goes_on_with_room),
        TEST(test_durable__killed__lists_and_shows_what_nodes_last_told),
        TEST(test_durable__killed__history_is_told_without_its_node),
        TEST(test_durable__destroyed__its_history_is_told_by_name_and_by_id),
        TEST(test_durable__killed__the_same_request_id_is_answered_as_before),
        TEST(test_durable__of_a_container_that_is_gone__still_answered),
        TEST(test_durable__killed_under_a_command__it_is_sent_again_and_told),
        TEST(test_durable__first_issued_13_hours_ago__expired_and_never_sent),
        TEST(test_durable__killed_past_its_time__not_sent_and_unknown),
        TEST(test_durable__a_node_is_killed__its_commands_are_unknown_soon),
        TEST(test_durable__a_node_is_killed_and_comes_back__it_is_not_taken_for_dead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
