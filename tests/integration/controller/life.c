/* SPDX-License-Identifier: Apache-2.0 */
/* If anyone who reaches a socket can stop or confuse the controller, the cluster is blind.
 * Strangers, rivals and ruins of messages come to a real one, which must go on until it is asked to
 * end. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "rig.h"

static struct node a;
static struct node rival;
static struct client client;

static int set_up(void **state)
{
    (void)state;
    memset(&a, 0, sizeof(a));
    memset(&rival, 0, sizeof(rival));
    rig_start(NULL);
    client_open(&client);
    return 0;
}

static int connect_tcp(unsigned above)
{
    unsigned port = (unsigned)strtoul(strrchr(rig_url(), ':') + 1, NULL, 10) + above;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void put(int fd, const void *data, size_t size_bytes)
{
    (void)!send(fd, data, size_bytes, MSG_NOSIGNAL); /* it may have hung up by now */
}

/* What the socket's other end knows as a peer of the same protocol: REQ's greeting (RFC draft
 * sp-tcp-mapping-01), then a frame of 8 octets of length and that many of body. */
static void put_frame(int fd, uint64_t claimed_bytes, const void *body, size_t size_bytes)
{
    uint8_t length[8];

    for (unsigned i = 0; i < 8; i++)
        length[i] = (uint8_t)(claimed_bytes >> (56 - 8 * i));
    put(fd, length, sizeof(length));
    put(fd, body, size_bytes);
}

static void greet(int fd)
{
    static const uint8_t greeting[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    uint8_t answer[8];

    put(fd, greeting, sizeof(greeting));
    assert_int_equal(recv(fd, answer, sizeof(answer), MSG_WAITALL), sizeof(answer));
}

static void expect_alive(void)
{
    client_command(&client, "alive", VERB_KILL, "web", "");
    (void)node_accept(&a, VERB_KILL, "web");
    (void)client_receipt(&client, "alive", PHASE_ACCEPTED);
}

static void test_life__strangers_on_the_tcp_ports__are_passed_over(void **state)
{
    uint8_t junk[4096];
    uint32_t seed = 12345;

    (void)state;
    node_open(&a, "a", 7);
    for (size_t i = 0; i < sizeof(junk); i++) {
        seed = seed * 1664525 + 1013904223;
        junk[i] = (uint8_t)(seed >> 24);
    }
    for (unsigned above = 0; above < 2; above++) {
        AUTO_FD http = connect_tcp(above);
        put(http, "GET / HTTP/1.1\r\n\r\n", 18);
        AUTO_FD noise = connect_tcp(above);
        put(noise, junk, sizeof(junk));
        AUTO_FD records = connect_tcp(above);
        greet(records);
        for (size_t size_bytes = 0; size_bytes < 512; size_bytes += 7)
            put_frame(records, size_bytes, junk + size_bytes, size_bytes);
        AUTO_FD oversize = connect_tcp(above);
        greet(oversize);
        put_frame(oversize, UINT64_C(1) << 40, junk, sizeof(junk));
        AUTO_FD silent = connect_tcp(above);
        (void)silent;
    }
    expect_alive();
}

static void test_life__broken_records_of_a_node__are_passed_over(void **state)
{
    static const uint8_t junk[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0x01};
    struct message message = {.kind = MESSAGE_EVENTS};
    struct buffer out = {0};

    (void)state;
    node_open(&a, "a", 7);
    for (int kind = 0; kind < LINKS; kind++) {
        node_send_raw(&a, kind, junk, sizeof(junk));
        node_send_raw(&a, kind, "", 0);
        message.session = a.wires[kind].session.id ^ 1; /* the other channel's */
        message.number = 1;
        out.size_bytes = 0;
        assert_int_equal(codec_encode(&message, &out), 0);
        node_send_raw(&a, kind, out.data, out.size_bytes);
        RIG_UNTIL(a.wires[kind].resets == 1);
        node_send_raw(&a, kind, out.data, out.size_bytes); /* not hinted at twice in a second */
    }
    buffer_close(&out);
    expect_alive();
    assert_int_equal(a.wires[CONTROL].resets, 1);
}

static void test_life__names_that_are_none__are_not_admitted(void **state)
{
    static const char *const names[] = {"", "UPPER", "a b", "../x", "-a"};
    struct message message = {.kind = MESSAGE_HELLO};

    (void)state;
    node_open(&a, "a", 7);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct buffer out = {0};
        message.hello = (struct hello){.version = MESSAGE_VERSION, .node = names[i], .epoch = 3};
        assert_int_equal(codec_encode(&message, &out), 0);
        node_send_raw(&a, CONTROL, out.data, out.size_bytes);
        buffer_close(&out);
    }
    expect_alive();
    client_query(&client, "n", QUERY_NODES, "");
    assert_int_equal(client_answer(&client, "n")->node_count, 1);
}

static void test_life__two_agents_of_one_name__the_newer_session_stands(void **state)
{
    struct message message = {.kind = MESSAGE_PING};
    struct buffer out = {0};

    (void)state;
    node_open(&a, "a", 7);
    node_open(&rival, "a", 8);
    message.session = a.wires[CONTROL].session.id;
    assert_int_equal(codec_encode(&message, &out), 0);
    node_send_raw(&a, CONTROL, out.data, out.size_bytes);
    buffer_close(&out);
    RIG_UNTIL(a.wires[CONTROL].resets == 1);

    client_command(&client, "r1", VERB_START, "web", "");
    (void)node_accept(&rival, VERB_START, "web");
    (void)client_receipt(&client, "r1", PHASE_ACCEPTED);
    assert_true(node_is_quiet(&a, CONTROL));

    node_hello(&a, CONTROL); /* and takes it back */
    client_command(&client, "r2", VERB_STOP, "web", "");
    const struct message *again = node_expect(&a, CONTROL, MESSAGE_COMMAND);
    assert_string_equal(again->command.request_id, "r1");
    (void)node_accept(&a, VERB_STOP, "web");
}

static void test_life__clients_that_break_the_rules__are_told_or_hung_up(void **state)
{
    static const uint8_t oversize[] = {0xff, 0xff, 0xff, 0x7f, 1, 2, 3};
    struct message message = {.kind = MESSAGE_HELLO};
    static struct client rude[3]; /* rig_stop() closes them */

    (void)state;
    node_open(&a, "a", 7);
    for (size_t i = 0; i < COUNT_OF(rude); i++)
        client_open(&rude[i]);
    assert_int_equal(buffer_append(&rude[0].out, oversize, sizeof(oversize)), 0);
    client_pause(&rude[0], false);
    assert_int_equal(client_answer(&rude[0], "")->fault.status, STATUS_INVALID);
    RIG_UNTIL(rude[0].is_over);

    message.hello.node = "a"; /* an agent's word */
    client_send(&rude[1], &message);
    RIG_UNTIL(rude[1].is_over);

    message.kind = MESSAGE_STREAM_FRAME; /* of a stream that was never opened */
    message.stream_frame = (struct stream_frame){.stream = 9, .number = 1, .lane = LANE_STDIN};
    client_send(&rude[2], &message);
    client_query(&rude[2], "v", QUERY_VERSION, "");
    assert_int_equal(client_answer(&rude[2], "v")->fault.status, STATUS_UNSET);
    expect_alive();
}

/* Ends with everything still open; rig_stop() looks at how. */
static void test_life__a_signal_amid_it_all__ends_well(void **state)
{
    struct message message = {.kind = MESSAGE_STREAM_OPEN};

    (void)state;
    node_open(&a, "a", 7);
    client_command(&client, "r1", VERB_START, "web", "");
    (void)node_accept(&a, VERB_START, "web");
    message.stream_open =
        (struct stream_open){.stream = 1, .kind = STREAM_CONSOLE, .container = "web"};
    client_send(&client, &message);
    (void)node_expect(&a, BULK, MESSAGE_STREAM_OPEN);
    message.kind = MESSAGE_QUERY;
    message.query = (struct query){.request_id = "f", .kind = QUERY_EVENTS, .is_follow = true};
    client_send(&client, &message);
    client_query(&client, "l", QUERY_LIST, "");
    (void)node_expect(&a, CONTROL, MESSAGE_QUERY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_life__strangers_on_the_tcp_ports__are_passed_over),
        TEST(test_life__broken_records_of_a_node__are_passed_over),
        TEST(test_life__names_that_are_none__are_not_admitted),
        TEST(test_life__two_agents_of_one_name__the_newer_session_stands),
        TEST(test_life__clients_that_break_the_rules__are_told_or_hung_up),
        TEST(test_life__a_signal_amid_it_all__ends_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
