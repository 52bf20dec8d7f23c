/* SPDX-License-Identifier: Apache-2.0 */
/* If a list leaves out a container or shows one that is gone, operators act on what is not so. A
 * real controller asks nodes that the test plays, some of which are down, late or new. */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "node_limits.h"
#include "rig.h"

#define MANY 4000

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

static void expect_fault(const char *request, enum status status, const char *node)
{
    const struct answer *answer = client_answer(&client, request);

    assert_true(answer->is_last);
    assert_int_equal(answer->fault.status, status);
    assert_string_equal(answer->fault.node, node);
}

static void test_queries__no_node__empty_lists(void **state)
{
    (void)state;
    client_query(&client, "q1", QUERY_LIST, "");
    const struct answer *answer = client_answer(&client, "q1");
    assert_true(answer->is_last);
    assert_int_equal(answer->container_count, 0);
    client_query(&client, "q2", QUERY_NODES, "");
    assert_int_equal(client_answer(&client, "q2")->node_count, 0);
    client_query(&client, "q3", QUERY_SHOW, "web");
    expect_fault("q3", STATUS_UNREACHABLE, "");
    client_query(&client, "q4", QUERY_VERSION, "");
    assert_non_null(strstr(client_answer(&client, "q4")->version, "drover-controller "));
    client_query(&client, "q5", QUERY_EVENTS, "");
    answer = client_answer(&client, "q5");
    assert_true(answer->is_last);
    assert_int_equal(answer->event_count, 0);
}

static void post_list(struct node *node, const char *name, uint8_t id, bool is_last)
{
    const struct container_view view = rig_view(name, id, CT_RUNNING);
    struct message message = {.kind = MESSAGE_CONTAINERS};

    message.containers = (struct container_list){&view, 1, is_last};
    node_post(node, CONTROL, &message);
    rig_settle();
}

/* Asked until it is so: what a node sends comes by another way than questions. */
static void expect_held(uint32_t count)
{
    uint64_t late_ns = clock_monotonic_ns() + 10 * SECOND_NS;
    uint32_t held;

    do {
        client_query(&client, "n", QUERY_NODES, "");
        held = client_answer(&client, "n")->nodes[0].containers;
    } while (held != count && clock_monotonic_ns() < late_ns);
    assert_int_equal(held, count);
}

/* What was known stays known until a list that does not name it is whole. */
static void test_queries__a_list_breaks_off__the_copy_stays(void **state)
{
    const struct container_view views[] = {rig_view("web", 1, CT_RUNNING),
                                           rig_view("db", 2, CT_STOPPED)};

    (void)state;
    a.containers = views;
    a.container_count = 2;
    node_open(&a, "a", 7);
    expect_held(2);

    a.is_partial = true;
    node_hello(&a, CONTROL);
    expect_held(2);
    post_list(&a, "mail", 3, false);
    expect_held(3);
    node_hello(&a, CONTROL); /* the rest never comes */
    expect_held(3);
    post_list(&a, "mail", 3, false);
    expect_held(3);
    post_list(&a, "web", 1, true);
    expect_held(2);
    post_list(&a, "web", 1, true); /* all anew, unasked */
    expect_held(1);
}

static void test_queries__a_list__is_merged_from_nodes_in_their_order(void **state)
{
    const struct container_view of_a[] = {rig_view("zeta", 1, CT_RUNNING),
                                          rig_view("alpha", 2, CT_STOPPED)};
    const struct container_view of_b[] = {rig_view("mid", 3, CT_STOPPED)};
    const char *names[] = {"zeta", "alpha", "mid"};
    const char *nodes[] = {"a", "a", "b"};

    (void)state;
    node_open(&b, "b", 8);
    node_open(&a, "a", 7);
    client_query(&client, "q1", QUERY_LIST, "");
    node_list(&b, of_b, 1);
    assert_true(client_is_quiet(&client));
    node_list(&a, of_a, 2);

    const struct answer *answer = client_answer(&client, "q1");
    assert_true(answer->is_last);
    assert_int_equal(answer->container_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(answer->containers[i].name, names[i]);
        assert_string_equal(answer->containers[i].node, nodes[i]);
    }
    assert_int_equal(answer->containers[0].pid, 4001);
}

static void test_queries__selectors__reach_the_nodes_and_the_copy(void **state)
{
    static const char *const selectors[] = {"al*"};
    const struct container_view known[] = {rig_view("zeta", 1, CT_RUNNING),
                                           rig_view("alpha", 2, CT_STOPPED)};
    struct message message = {.kind = MESSAGE_QUERY};

    (void)state;
    a.containers = known;
    a.container_count = 2;
    node_open(&a, "a", 7);
    message.query = (struct query){
        .request_id = "q1", .kind = QUERY_LIST, .selectors = selectors, .selector_count = 1};
    client_send(&client, &message);

    const struct query *query = &node_expect(&a, CONTROL, MESSAGE_QUERY)->query;
    assert_int_equal(query->selector_count, 1);
    assert_string_equal(query->selectors[0], "al*");
    message.kind = MESSAGE_ANSWER;
    message.answer = (struct answer){.request_id = query->request_id, .is_last = true};
    node_post(&a, CONTROL, &message); /* alpha is gone; of zeta nothing was asked */

    assert_int_equal(client_answer(&client, "q1")->container_count, 0);
    client_query(&client, "q2", QUERY_NODES, "");
    assert_int_equal(client_answer(&client, "q2")->nodes[0].containers, 1);
}

static void test_queries__told_beside_a_list__is_not_forgotten_by_it(void **state)
{
    const struct container_view old = rig_view("old", 1, CT_STOPPED);
    const struct container_view new = rig_view("new", 2, CT_STOPPED);

    (void)state;
    node_open(&a, "a", 7);
    client_command(&client, "r1", VERB_CREATE, "new", "");
    (void)node_accept(&a, VERB_CREATE, "new");
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    client_query(&client, "q1", QUERY_LIST, "");
    const struct message *asked = node_expect(&a, CONTROL, MESSAGE_QUERY);
    char request[REQUEST_ID_BYTES];
    (void)snprintf(request, sizeof(request), "%s", asked->query.request_id);

    struct message message = {.kind = MESSAGE_ANSWER};
    message.answer =
        (struct answer){.request_id = request, .containers = &old, .container_count = 1};
    node_post(&a, CONTROL, &message);
    node_receipt(&a, "r1", PHASE_DONE, &new); /* between the list's two pieces */
    (void)client_receipt(&client, "r1", PHASE_DONE);
    message.answer = (struct answer){.request_id = request, .is_last = true};
    node_post(&a, CONTROL, &message);

    const struct answer *answer = client_answer(&client, "q1");
    assert_int_equal(answer->container_count, 2);
    assert_string_equal(answer->containers[0].name, "old");
    assert_string_equal(answer->containers[1].name, "new");
}

/* A node that does not answer is late after 5 s and down after 10 s; its copy is shown. */
static void test_queries__a_node_is_silent__the_copy_answers_for_it(void **state)
{
    const struct container_view of_a = rig_view("web", 1, CT_RUNNING);
    const struct container_view of_b = rig_view("db", 2, CT_RUNNING);
    static struct client other; /* rig_stop() closes it */

    (void)state;
    a.containers = &of_a;
    b.containers = &of_b;
    a.container_count = b.container_count = 1;
    node_open(&a, "a", 7);
    node_open(&b, "b", 8);
    a.is_mute = true;

    client_open(&other);
    client_query(&client, "q1", QUERY_LIST, "");
    client_query(&other, "q2", QUERY_SHOW, "web");
    node_list(&b, &of_b, 1);
    const struct answer *answer = client_answer(&other, "q2");
    assert_int_equal(answer->fault.status, STATUS_UNREACHABLE);
    assert_int_equal(client_answer(&client, "q1")->container_count, 2);

    for (bool is_down = false; !is_down;) {
        client_query(&client, "q3", QUERY_NODES, "");
        answer = client_answer(&client, "q3");
        assert_int_equal(answer->node_count, 2);
        assert_string_equal(answer->nodes[1].state, "up");
        assert_string_equal(answer->nodes[1].agent_version, "rig");
        assert_int_equal(answer->nodes[1].running, 1);
        is_down = strcmp(answer->nodes[0].state, "down") == 0;
        rig_turn(); /* a tick of the rig's */
    }
    client_query(&client, "q4", QUERY_SHOW, "web");
    expect_fault("q4", STATUS_UNREACHABLE, "a");
    client_query(&client, "q5", QUERY_LIST, "");
    node_list(&b, &of_b, 1);
    assert_int_equal(client_answer(&client, "q5")->container_count, 2);
}

static void test_queries__show_and_boot__are_the_nodes_own_answers(void **state)
{
    const struct container_view web = rig_view("web", 1, CT_RUNNING);
    const struct config config = {.template_name = "tiny", .pids_max = 64};
    const struct boot_step step = {.step = "clone", .offset_ns = 5, .duration_ns = 6};
    struct message message = {.kind = MESSAGE_ANSWER};

    (void)state;
    a.containers = &web;
    a.container_count = 1;
    node_open(&a, "a", 7);
    node_open(&b, "b", 8);

    client_query(&client, "q1", QUERY_SHOW, "web@a");
    const struct query *query = &node_expect(&a, CONTROL, MESSAGE_QUERY)->query;
    assert_int_equal(query->kind, QUERY_SHOW);
    assert_string_equal(query->container, "web");
    message.answer = (struct answer){.request_id = query->request_id,
                                     .is_last = true,
                                     .containers = &web,
                                     .container_count = 1,
                                     .config = &config};
    node_post(&a, CONTROL, &message);
    const struct answer *answer = client_answer(&client, "q1");
    assert_non_null(answer->config);
    assert_int_equal(answer->config->pids_max, 64);

    client_query(&client, "q2", QUERY_BOOT, "web");
    query = &node_expect(&a, CONTROL, MESSAGE_QUERY)->query;
    message.answer = (struct answer){
        .request_id = query->request_id, .is_last = true, .steps = &step, .step_count = 1};
    node_post(&a, CONTROL, &message);
    answer = client_answer(&client, "q2");
    assert_int_equal(answer->step_count, 1);
    assert_string_equal(answer->steps[0].step, "clone");

    client_query(&client, "q3", QUERY_SHOW, "none");
    node_list(&a, &web, 0);
    node_list(&b, NULL, 0);
    expect_fault("q3", STATUS_NOT_FOUND, "");
}

static void test_queries__the_session_is_new__the_question_is_asked_again(void **state)
{
    const struct container_view web = rig_view("web", 1, CT_RUNNING);

    (void)state;
    node_open(&a, "a", 7);
    client_query(&client, "q1", QUERY_LIST, "");
    (void)node_expect(&a, CONTROL, MESSAGE_QUERY);
    node_hello(&a, CONTROL);
    node_list(&a, &web, 1);

    assert_int_equal(client_answer(&client, "q1")->container_count, 1);
}

/* 4000 containers with labels are more than a client is owed unread: 4 MiB. */
static void test_queries__a_long_list_and_a_slow_reader__all_of_it_once(void **state)
{
    static char names[MANY][16];
    static char value[400];
    static struct container_view views[MANY];
    const struct pair label = {"note", value};
    struct message message = {.kind = MESSAGE_ANSWER};
    enum { LISTS = 6 };

    (void)state;
    memset(value, 'x', sizeof(value) - 1);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "c%u", MANY - i);
        views[i] = rig_view(names[i], 0, CT_STOPPED);
        views[i].uuid[0] = (uint8_t)(i >> 8);
        views[i].uuid[1] = (uint8_t)i;
        views[i].labels = &label;
        views[i].label_count = 1;
    }
    node_open(&a, "a", 7);
    client_pause(&client, true);
    for (unsigned n = 0; n < LISTS; n++)
        client_query(&client, "q1", QUERY_LIST, "");
    for (unsigned n = 0; n < LISTS; n++) {
        char request[REQUEST_ID_BYTES];
        (void)snprintf(request, sizeof(request), "%s",
                       node_expect(&a, CONTROL, MESSAGE_QUERY)->query.request_id);
        for (unsigned i = 0; i < MANY; i += 1000) {
            message.answer = (struct answer){.request_id = request,
                                             .is_last = i + 1000 == MANY,
                                             .containers = &views[i],
                                             .container_count = 1000};
            node_post(&a, CONTROL, &message);
        }
    }
    rig_settle();
    client_pause(&client, false);

    size_t count = 0;
    for (unsigned lasts = 0; lasts < LISTS;) {
        const struct answer *answer = client_answer(&client, "q1");
        assert_int_equal(answer->fault.status, STATUS_UNSET);
        count += answer->container_count;
        lasts += answer->is_last;
    }
    assert_int_equal(count, LISTS * MANY);
    assert_true(client_is_quiet(&client));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_queries__no_node__empty_lists),
        TEST(test_queries__a_list_breaks_off__the_copy_stays),
        TEST(test_queries__a_list__is_merged_from_nodes_in_their_order),
        TEST(test_queries__selectors__reach_the_nodes_and_the_copy),
        TEST(test_queries__told_beside_a_list__is_not_forgotten_by_it),
        TEST(test_queries__a_node_is_silent__the_copy_answers_for_it),
        TEST(test_queries__show_and_boot__are_the_nodes_own_answers),
        TEST(test_queries__the_session_is_new__the_question_is_asked_again),
        TEST(test_queries__a_long_list_and_a_slow_reader__all_of_it_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
