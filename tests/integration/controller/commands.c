/* SPDX-License-Identifier: Apache-2.0 */
/* If a command is lost, done twice or told wrongly, operators cannot trust the one place from which
 * they work. A real controller carries commands to nodes that lose, repeat, return and vanish. */
#include <stdio.h>
#include <string.h>

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

static void test_commands__a_node_answers__its_receipts_are_passed_on(void **state)
{
    const struct container_view web = rig_view("web", 1, CT_RUNNING);

    (void)state;
    node_open(&a, "a", 7);

    client_command(&client, "r1", VERB_START, "web", "");
    const char *request = node_accept(&a, VERB_START, "web");
    assert_string_equal(request, "r1");
    node_receipt(&a, "r1", PHASE_DONE, &web);

    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    const struct receipt *receipt = client_receipt(&client, "r1", PHASE_DONE);
    assert_true(receipt->has_container);
    assert_string_equal(receipt->container.name, "web");
    assert_string_equal(receipt->container.node, "a");
}

static void test_commands__the_same_request_again__first_result_and_nothing_done(void **state)
{
    static struct client other; /* rig_stop() closes it */

    (void)state;
    node_open(&a, "a", 7);
    client_command(&client, "r1", VERB_KILL, "web", "");
    (void)node_accept(&a, VERB_KILL, "web");
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);

    client_open(&other); /* one more who wants to know, while it is on its way */
    client_command(&other, "r1", VERB_KILL, "web", "");
    (void)client_receipt(&other, "r1", PHASE_ACCEPTED);
    node_receipt(&a, "r1", PHASE_DONE, NULL);
    (void)client_receipt(&client, "r1", PHASE_DONE);
    (void)client_receipt(&other, "r1", PHASE_DONE);

    client_command(&client, "r1", VERB_KILL, "web", "");
    (void)client_receipt(&client, "r1", PHASE_DONE);
    client_command(&client, "r1", VERB_STOP, "web", "");
    assert_int_equal(client_receipt(&client, "r1", PHASE_FAILED)->fault.status,
                     STATUS_REQUEST_ID_REUSED);
    assert_true(node_is_quiet(&a, CONTROL));
}

static void test_commands__a_datagram_is_lost__it_is_sent_again_once(void **state)
{
    (void)state;
    node_open(&a, "a", 7);
    a.wires[CONTROL].lose = 1;

    client_command(&client, "r1", VERB_STOP, "web", "");
    (void)node_accept(&a, VERB_STOP, "web");
    node_receipt(&a, "r1", PHASE_UNCHANGED, NULL);

    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    (void)client_receipt(&client, "r1", PHASE_UNCHANGED);
    rig_settle();
    assert_true(node_is_quiet(&a, CONTROL));
}

static void test_commands__a_receipt_comes_twice__it_is_told_once(void **state)
{
    (void)state;
    node_open(&a, "a", 7);
    client_command(&client, "r1", VERB_STOP, "web", "");
    (void)node_accept(&a, VERB_STOP, "web");

    node_receipt(&a, "r1", PHASE_DONE, NULL);
    node_receipt(&a, "r1", PHASE_DONE, NULL); /* as an agent answers a command that came again */
    client_command(&client, "r2", VERB_KILL, "web", "");
    (void)node_accept(&a, VERB_KILL, "web");

    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    (void)client_receipt(&client, "r1", PHASE_DONE);
    (void)client_receipt(&client, "r2", PHASE_ACCEPTED);
}

static void test_commands__the_agent_is_restarted__it_hears_the_open_command_again(void **state)
{
    (void)state;
    node_open(&a, "a", 7);
    client_command(&client, "r1", VERB_REBOOT, "web", "");
    (void)node_expect(&a, CONTROL, MESSAGE_COMMAND);

    node_close(&a);
    a.started_wall_ns = 0;
    node_open(&a, "a", 8);
    (void)node_accept(&a, VERB_REBOOT, "web");
    node_receipt(&a, "r1", PHASE_DONE, NULL);

    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    (void)client_receipt(&client, "r1", PHASE_DONE);
}

static void test_commands__the_node_says_nothing__it_is_asked_again(void **state)
{
    (void)state;
    node_open(&a, "a", 7);
    client_command(&client, "r1", VERB_START, "web", "");
    (void)node_expect(&a, CONTROL, MESSAGE_COMMAND); /* its receipt found no room */

    (void)node_accept(&a, VERB_START, "web");
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
}

/* The whole way of a node that is lost under a command. */
static void test_commands__the_node_is_lost__unknown_then_not_sent_then_told_after_all(void **state)
{
    const struct receipt *receipt;

    (void)state;
    node_open(&a, "a", 7);
    client_command(&client, "r1", VERB_STOP, "web", "");
    (void)node_accept(&a, VERB_STOP, "web");
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    node_close(&a);

    receipt = client_receipt(&client, "r1", PHASE_RESULT_UNKNOWN);
    assert_int_equal(receipt->fault.status, STATUS_UNREACHABLE);
    assert_string_equal(receipt->fault.node, "a");
    client_command(&client, "r2", VERB_STOP, "web", "");
    receipt = client_receipt(&client, "r2", PHASE_NOT_SENT);
    assert_int_equal(receipt->fault.status, STATUS_UNREACHABLE);

    node_open(&a, "a", 8);
    client_command(&client, "r1", VERB_STOP, "web", ""); /* the same again: how did it end? */
    assert_string_equal(node_accept(&a, VERB_STOP, "web"), "r1");
    node_receipt(&a, "r1", PHASE_DONE, NULL);
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    (void)client_receipt(&client, "r1", PHASE_DONE);
}

/* ---- which node ---- */

static void open_both(const struct container_view *of_a, const struct container_view *of_b)
{
    a.containers = of_a;
    a.container_count = 1;
    b.containers = of_b;
    b.container_count = 1;
    node_open(&a, "a", 7);
    node_open(&b, "b", 8);
}

static void test_commands__a_name_on_two_nodes__refused_with_the_candidates(void **state)
{
    const struct container_view web = rig_view("web", 1, CT_STOPPED);
    const struct container_view also_web = rig_view("web", 2, CT_STOPPED);

    (void)state;
    open_both(&web, &also_web);

    client_command(&client, "r1", VERB_START, "web", "");
    const struct receipt *receipt = client_receipt(&client, "r1", PHASE_FAILED);
    assert_int_equal(receipt->fault.status, STATUS_INVALID);
    assert_non_null(strstr(receipt->fault.text, "web@a, web@b"));

    client_command(&client, "r2", VERB_START, "web@b", "");
    (void)node_accept(&b, VERB_START, "web");
    client_command(&client, "r3", VERB_STOP, "web", "a");
    (void)node_accept(&a, VERB_STOP, "web");
    (void)client_receipt(&client, "r2", PHASE_ACCEPTED);
    (void)client_receipt(&client, "r3", PHASE_ACCEPTED);
}

static void test_commands__an_id__goes_to_its_node(void **state)
{
    const struct container_view web = rig_view("web", 1, CT_STOPPED);
    const struct container_view also_web = rig_view("web", 2, CT_STOPPED);

    (void)state;
    open_both(&web, &also_web);

    client_command(&client, "r1", VERB_KILL, "02010203-0000-0000-0000-000000000000", "");
    (void)node_accept(&b, VERB_KILL, "02010203-0000-0000-0000-000000000000");
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
}

static void test_commands__an_unknown_name__all_nodes_are_asked_first(void **state)
{
    const struct container_view web = rig_view("web", 1, CT_STOPPED);
    const struct container_view db = rig_view("db", 2, CT_STOPPED);
    const struct container_view made = rig_view("new", 3, CT_STOPPED);

    (void)state;
    open_both(&web, &db);

    client_command(&client, "r1", VERB_START, "new", ""); /* made on b's own socket just now */
    node_list(&a, NULL, 0);
    node_list(&b, &made, 1);
    (void)node_accept(&b, VERB_START, "new");
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);

    client_command(&client, "r2", VERB_START, "none", "");
    node_list(&a, NULL, 0);
    node_list(&b, NULL, 0);
    assert_int_equal(client_receipt(&client, "r2", PHASE_FAILED)->fault.status, STATUS_NOT_FOUND);

    client_command(&client, "r3", VERB_START, "web", "c");
    assert_int_equal(client_receipt(&client, "r3", PHASE_FAILED)->fault.status, STATUS_NOT_FOUND);

    const struct message leave = {.kind = MESSAGE_RESET, .reset = b.wires[CONTROL].session.id};
    node_post(&b, CONTROL, &leave); /* it ends, and cannot be asked */
    rig_settle();
    client_command(&client, "r4", VERB_START, "none", "");
    node_list(&a, NULL, 0);
    const struct receipt *receipt = client_receipt(&client, "r4", PHASE_FAILED);
    assert_int_equal(receipt->fault.status, STATUS_NOT_FOUND);
    assert_string_equal(receipt->fault.hint, "as far as is known: node b is down");
}

static void test_commands__creates_without_a_node__spread_and_keep_to_their_name(void **state)
{
    const struct container_view web = rig_view("web", 1, CT_STOPPED);
    const struct container_view of_b[] = {rig_view("db", 2, CT_STOPPED),
                                          rig_view("mail", 3, CT_STOPPED)};

    (void)state;
    open_both(&web, of_b);
    b.container_count = 2;
    node_hello(&b, CONTROL);

    client_command(&client, "r1", VERB_CREATE, "one", ""); /* a: 1, b: 2 */
    (void)node_accept(&a, VERB_CREATE, "one");
    client_command(&client, "r2", VERB_CREATE, "two", ""); /* a: 1 and one on its way, b: 2 */
    (void)node_accept(&a, VERB_CREATE, "two");
    client_command(&client, "r3", VERB_CREATE, "three", "");
    (void)node_accept(&b, VERB_CREATE, "three");
    client_command(&client, "r4", VERB_CREATE, "three", ""); /* is being made there */
    (void)node_accept(&b, VERB_CREATE, "three");
    client_command(&client, "r5", VERB_CREATE, "mail", ""); /* exists there */
    (void)node_accept(&b, VERB_CREATE, "mail");
    client_command(&client, "r6", VERB_CREATE, "mail", "a");
    (void)node_accept(&a, VERB_CREATE, "mail");
}

static void test_commands__nobody_has_spoken__refused_in_words(void **state)
{
    (void)state;
    client_command(&client, "r1", VERB_CREATE, "web", "");
    assert_int_equal(client_receipt(&client, "r1", PHASE_NOT_SENT)->fault.status,
                     STATUS_UNREACHABLE);
    client_command(&client, "r2", VERB_START, "web", "");
    assert_int_equal(client_receipt(&client, "r2", PHASE_NOT_SENT)->fault.status,
                     STATUS_UNREACHABLE);
    client_command(&client, "", VERB_START, "web", "");
    assert_int_equal(client_receipt(&client, "", PHASE_FAILED)->fault.status, STATUS_INVALID);
}

static void test_commands__a_storm__each_hears_its_end(void **state)
{
    enum { COUNT = 2000 };
    char name[16];

    (void)state;
    node_open(&a, "a", 7);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        client_command(&client, name, VERB_START, name, "");
    }
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        (void)node_accept(&a, VERB_START, name);
        node_receipt(&a, name, PHASE_DONE, NULL);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        (void)client_receipt(&client, name, PHASE_ACCEPTED);
        (void)client_receipt(&client, name, PHASE_DONE);
    }
    assert_true(client_is_quiet(&client));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_commands__a_node_answers__its_receipts_are_passed_on),
        TEST(test_commands__the_same_request_again__first_result_and_nothing_done),
        TEST(test_commands__a_datagram_is_lost__it_is_sent_again_once),
        TEST(test_commands__a_receipt_comes_twice__it_is_told_once),
        TEST(test_commands__the_agent_is_restarted__it_hears_the_open_command_again),
        TEST(test_commands__the_node_says_nothing__it_is_asked_again),
        TEST(test_commands__the_node_is_lost__unknown_then_not_sent_then_told_after_all),
        TEST(test_commands__a_name_on_two_nodes__refused_with_the_candidates),
        TEST(test_commands__an_id__goes_to_its_node),
        TEST(test_commands__an_unknown_name__all_nodes_are_asked_first),
        TEST(test_commands__creates_without_a_node__spread_and_keep_to_their_name),
        TEST(test_commands__nobody_has_spoken__refused_in_words),
        TEST(test_commands__a_storm__each_hears_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
