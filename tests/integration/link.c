/* SPDX-License-Identifier: Apache-2.0 */
/* If the link loses its place between nanomsg and libuv, a node is cut off or the process aborts.
 * Real sockets over loopback, both ends on one loop, with peers that die, return and misbehave. */
#include "link.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "cleanup.h"

#define GUARD_MS 60000
#define ECHOES 100000
#define ECHOES_IN_FLIGHT 1000
#define AGENTS 2

struct end {
    struct link link;
    struct link_peer peer; /* of the last datagram */
    uint64_t heard;        /* datagrams */
    uint64_t last;         /* number in the last one */
    size_t last_bytes;
    unsigned changes;
    bool is_open;
    bool is_echo;
    bool is_in_order;
};

static uv_loop_t loop;
static uv_timer_t guard;
static struct end controller;
static struct end agents[AGENTS];
static char url[64];

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the loop waits for something that does not come");
}

static void on_guard_closed(uv_handle_t *handle)
{
    (void)handle;
}

static void on_message(struct link *link, const struct link_peer *peer, const uint8_t *data,
                       size_t size_bytes)
{
    struct end *end = container_of(link, struct end, link);
    uint64_t number = 0;

    end->heard++;
    end->peer = *peer;
    end->last_bytes = size_bytes;
    if (size_bytes >= sizeof(number))
        memcpy(&number, data, sizeof(number));
    end->is_in_order = end->is_in_order && number == end->last + 1;
    end->last = number;
    if (end->is_echo)
        assert_int_equal(link_send(link, peer, data, size_bytes), 0);
}

static void on_changed(struct link *link)
{
    container_of(link, struct end, link)->changes++;
}

static void on_closed(struct link *link)
{
    container_of(link, struct end, link)->is_open = false;
}

static void open_controller(void)
{
    controller = (struct end){.is_open = true, .is_in_order = true};
    assert_int_equal(link_bind(&controller.link, &loop, url, on_message, on_changed), 0);
}

static void open_agent(struct end *agent)
{
    *agent = (struct end){.is_open = true, .is_in_order = true};
    assert_int_equal(link_connect(&agent->link, &loop, url, on_message, on_changed), 0);
}

static void close_end(struct end *end)
{
    if (!end->is_open)
        return;
    link_close(&end->link, on_closed);
    while (end->is_open)
        (void)uv_run(&loop, UV_RUN_ONCE);
}

static int send_number(struct end *agent, uint64_t number)
{
    return link_send(&agent->link, NULL, (const uint8_t *)&number, sizeof(number));
}

/* An agent may send once the connection stands: until then the answer is EAGAIN. */
static void say_hello(struct end *agent, uint64_t number)
{
    int result;

    while ((result = send_number(agent, number)) == -EAGAIN)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(result, 0);
}

static void wait_heard(const struct end *end, uint64_t count)
{
    while (end->heard < count)
        (void)uv_run(&loop, UV_RUN_ONCE);
}

/* A port that was free just now. */
static void choose_url(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size_bytes = sizeof(address);
    AUTO_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size_bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size_bytes), 0);
    (void)snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", ntohs(address.sin_port));
}

static int set_up(void **state)
{
    (void)state;
    memset(&controller, 0, sizeof(controller));
    memset(agents, 0, sizeof(agents));
    choose_url();
    if (uv_loop_init(&loop) < 0)
        return -1;
    (void)uv_timer_init(&loop, &guard);
    return uv_timer_start(&guard, on_guard, GUARD_MS, 0);
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < AGENTS; i++)
        close_end(&agents[i]);
    close_end(&controller);
    uv_close((uv_handle_t *)&guard, on_guard_closed);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static void test_link__100000_datagrams_echoed__all_arrive_in_order(void **state)
{
    uint64_t sent = 1;
    (void)state;
    open_controller();
    controller.is_echo = true;
    open_agent(&agents[0]);

    say_hello(&agents[0], 1);
    while (agents[0].heard < ECHOES) {
        while (sent < ECHOES && sent - agents[0].heard < ECHOES_IN_FLIGHT &&
               send_number(&agents[0], sent + 1) == 0)
            sent++;
        (void)uv_run(&loop, UV_RUN_ONCE);
    }

    assert_int_equal(controller.heard, ECHOES);
    assert_true(controller.is_in_order);
    assert_true(agents[0].is_in_order);
    assert_int_equal(agents[0].peer.size_bytes, 0);
    assert_int_equal(controller.link.dropped, 0);
}

static void test_link__two_agents__each_hears_only_what_is_for_it(void **state)
{
    struct link_peer peers[AGENTS];
    (void)state;
    open_controller();
    for (uint64_t i = 0; i < AGENTS; i++) {
        open_agent(&agents[i]);
        say_hello(&agents[i], i);
        wait_heard(&controller, i + 1);
        peers[i] = controller.peer;
    }

    assert_memory_not_equal(&peers[0], &peers[1], sizeof(peers[0]));
    for (uint64_t i = 0; i < AGENTS; i++) { /* unasked, as orders are */
        uint64_t number = 100 + i;
        assert_int_equal(
            link_send(&controller.link, &peers[i], (const uint8_t *)&number, sizeof(number)), 0);
        wait_heard(&agents[i], 1);
    }

    for (uint64_t i = 0; i < AGENTS; i++) {
        assert_int_equal(agents[i].heard, 1);
        assert_int_equal(agents[i].last, 100 + i);
    }
}

static void test_link__controller_returns__agent_is_told_and_goes_on(void **state)
{
    (void)state;
    open_controller();
    open_agent(&agents[0]);
    say_hello(&agents[0], 1);
    wait_heard(&controller, 1);
    struct link_peer before = controller.peer;
    while (agents[0].changes == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(agents[0].link.established, 1);

    close_end(&controller);
    while (agents[0].link.broken == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    unsigned changes = agents[0].changes;
    open_controller();
    while (agents[0].link.established < 2)
        (void)uv_run(&loop, UV_RUN_ONCE);

    assert_int_equal(agents[0].changes, changes + 1);
    say_hello(&agents[0], 2);
    wait_heard(&controller, 1);
    assert_int_equal(controller.last, 2);
    assert_memory_not_equal(&before, &controller.peer, sizeof(before));
}

static void test_link__agent_dies__controller_is_told_and_may_send_in_vain(void **state)
{
    uint64_t number = 7;
    (void)state;
    open_controller();
    open_agent(&agents[0]);
    say_hello(&agents[0], 1);
    wait_heard(&controller, 1);

    close_end(&agents[0]);
    while (controller.link.broken == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);

    assert_true(controller.changes > 0);
    assert_int_equal(
        link_send(&controller.link, &controller.peer, (const uint8_t *)&number, sizeof(number)),
        0); /* raw REP drops without a word */
}

static void test_link__no_connection__send_answers_eagain(void **state)
{
    (void)state;
    open_agent(&agents[0]);

    assert_int_equal(send_number(&agents[0], 1), -EAGAIN);
    assert_int_equal(agents[0].link.dropped, 1);
}

static void test_link__largest_datagram__arrives_and_one_more_octet_is_refused(void **state)
{
    AUTO_FREE uint8_t *data = calloc(1, LINK_BYTES_MAX + 1);
    (void)state;
    assert_non_null(data);
    open_controller();
    controller.is_echo = true;
    open_agent(&agents[0]);
    say_hello(&agents[0], 1);
    wait_heard(&agents[0], 1);

    assert_int_equal(link_send(&agents[0].link, NULL, data, LINK_BYTES_MAX + 1), -EMSGSIZE);
    assert_int_equal(link_send(&agents[0].link, NULL, data, LINK_BYTES_MAX), 0);
    wait_heard(&agents[0], 2);

    assert_int_equal(controller.last_bytes, LINK_BYTES_MAX);
    assert_int_equal(agents[0].last_bytes, LINK_BYTES_MAX);
    assert_int_equal(link_send(&controller.link, NULL, data, 8), -EINVAL);
}

/* The greeting of a REQ, then frames: 8 octets of length, then so many. */
static int connect_rogue(void)
{
    static const uint8_t greeting[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    uint8_t theirs[8];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    AUTO_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL), sizeof(greeting));
    assert_int_equal(recv(fd, theirs, sizeof(theirs), MSG_WAITALL), sizeof(theirs));
    return take_fd(&fd);
}

static void send_frame(int fd, uint64_t claimed_bytes, const uint8_t *data, size_t size_bytes)
{
    uint8_t head[8];
    for (size_t i = 0; i < sizeof(head); i++)
        head[i] = (uint8_t)(claimed_bytes >> (56 - 8 * i));
    assert_int_equal(send(fd, head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
    assert_int_equal(send(fd, data, size_bytes, MSG_NOSIGNAL), size_bytes);
}

static void test_link__rogue_peers__are_dropped_and_others_served(void **state)
{
    static const uint8_t no_bottom[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const uint8_t good[12] = {0x80, 0, 0, 9, 42};
    uint8_t deep[4 * (LINK_PEER_BYTES / 4 + 2)] = {0};
    (void)state;
    open_controller();
    AUTO_FD malformed = connect_rogue();
    AUTO_FD oversize = connect_rogue();

    for (unsigned i = 0; i < 3; i++)
        send_frame(malformed, sizeof(no_bottom), no_bottom, sizeof(no_bottom));
    deep[sizeof(deep) - 4] = 0x80;
    send_frame(malformed, sizeof(deep), deep, sizeof(deep));
    send_frame(malformed, 0, good, 0);
    send_frame(malformed, sizeof(good), good, sizeof(good));
    send_frame(oversize, UINT64_C(1) << 62, good, sizeof(good));
    wait_heard(&controller, 1);

    assert_int_equal(controller.heard, 1);
    assert_int_equal(controller.last, 42);
    assert_int_equal(controller.peer.size_bytes, 8);
    while (controller.link.broken == 0) /* the one that claimed too much was cut off */
        (void)uv_run(&loop, UV_RUN_ONCE);
    open_agent(&agents[0]);
    say_hello(&agents[0], 43);
    wait_heard(&controller, 2);
    assert_int_equal(controller.last, 43);
}

static uint64_t iterations;

static void on_iteration(uv_prepare_t *prepare)
{
    (void)prepare;
    iterations++;
}

static void test_link__a_burst__is_read_in_many_iterations(void **state)
{
    uv_prepare_t prepare;
    (void)state;
    open_controller();
    open_agent(&agents[0]);
    say_hello(&agents[0], 1);
    wait_heard(&controller, 1);
    for (uint64_t n = 2; n <= 1281; n++)
        say_hello(&agents[0], n);
    iterations = 0;
    (void)uv_prepare_init(&loop, &prepare);
    (void)uv_prepare_start(&prepare, on_iteration);

    wait_heard(&controller, 1281);

    assert_true(controller.is_in_order);
    assert_true(iterations >= 1280 / 64 / 2); /* say_hello() may have run some */
    uv_close((uv_handle_t *)&prepare, on_guard_closed);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void test_link__bind_beyond_loopback__is_refused(void **state)
{
    static const char *const refused[] = {
        "tcp://0.0.0.0:7700",          "tcp://[::]:7700",  "tcp://192.168.1.1:7700",
        "tcp://128.0.0.1:7700",        "tcp://[::2]:7700", "tcp://controller:7700",
        "tcp://127.0.0.1.example:7700"};
    static const char *const bound[] = {"localhost", "127.0.0.2", "[::1]"};
    (void)state;

    for (size_t i = 0; i < COUNT_OF(refused); i++)
        assert_int_equal(link_bind(&controller.link, &loop, refused[i], on_message, on_changed),
                         -EPERM);
    assert_int_equal(link_bind(&controller.link, &loop, "tcp://*:7700", on_message, on_changed),
                     -EINVAL);
    assert_int_equal(controller.link.socket, -1);
    for (size_t i = 0; i < COUNT_OF(bound); i++) {
        char port[8];
        (void)snprintf(port, sizeof(port), "%s", strrchr(url, ':') + 1);
        (void)snprintf(url, sizeof(url), "tcp://%s:%s", bound[i], port);
        open_controller();
        open_agent(&agents[0]);
        say_hello(&agents[0], 1);
        wait_heard(&controller, 1);
        close_end(&agents[0]);
        close_end(&controller);
    }
    open_controller();
    assert_int_equal(link_bind(&agents[0].link, &loop, url, on_message, on_changed), -EADDRINUSE);
}

static void test_link__urls__are_checked_and_counted_on(void **state)
{
    static const char *const good[] = {"tcp://127.0.0.1:7700", "tcp://[::1]:1",
                                       "tcp://controller.example:65535"};
    static const char *const bad[] = {"",
                                      "tcp://",
                                      "tcp://host",
                                      "tcp://host:",
                                      "tcp://host:0",
                                      "tcp://host:65536",
                                      "tcp://host:0x10",
                                      "tcp://host:77 ",
                                      "tcp://:7700",
                                      "tcp://*:7700",
                                      "tcp://a;b:7700",
                                      "tcp://::1:7700",
                                      "tcp://[1.2.3.4]:7700",
                                      "tcp://[]:7700",
                                      "ipc:///run/x:7700",
                                      "ws://host:7700"};
    char bulk[64];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(link_url_check(good[i]));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(link_url_check(bad[i]));
    assert_int_equal(link_url_bulk(good[0], bulk, sizeof(bulk)), 0);
    assert_string_equal(bulk, "tcp://127.0.0.1:7701");
    assert_int_equal(link_url_bulk(good[1], bulk, sizeof(bulk)), 0);
    assert_string_equal(bulk, "tcp://[::1]:2");
    assert_int_equal(link_url_bulk(good[2], bulk, sizeof(bulk)), -ERANGE);
    assert_int_equal(link_url_bulk("nonsense", bulk, sizeof(bulk)), -EINVAL);
    assert_int_equal(link_url_bulk(good[0], bulk, 8), -ENAMETOOLONG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link__100000_datagrams_echoed__all_arrive_in_order),
        TEST(test_link__two_agents__each_hears_only_what_is_for_it),
        TEST(test_link__controller_returns__agent_is_told_and_goes_on),
        TEST(test_link__agent_dies__controller_is_told_and_may_send_in_vain),
        TEST(test_link__no_connection__send_answers_eagain),
        TEST(test_link__largest_datagram__arrives_and_one_more_octet_is_refused),
        TEST(test_link__rogue_peers__are_dropped_and_others_served),
        TEST(test_link__a_burst__is_read_in_many_iterations),
        TEST(test_link__bind_beyond_loopback__is_refused),
        TEST(test_link__urls__are_checked_and_counted_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
