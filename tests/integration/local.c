/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: one client that talks nonsense, nothing, or reads nothing ends or stops the daemon for
 * all others. A real server on a loop, real sockets that do so; all in one process, so that nothing
 * here waits for anything but the loop. */
#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"

#define GUARD_MS 60000
#define SILENCE_NS (50 * NS_PER_MS)
#define SHORT_NS NS_PER_MS

struct peer {
    int fd;
    struct buffer in;
    struct arena arena;
};

static uv_loop_t loop;
static uv_timer_t guard;
static struct local_server server;
static struct peer peers[3];
static char directory[32];
static char path[64];

static unsigned heard;
static unsigned gone;
static unsigned drained;
static uint64_t last_id;
static bool is_echo;
static bool is_hanging_up;

/* The server's side. */

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the loop waits for something that does not come");
}

static void on_message(struct local_client *client, const struct message *message)
{
    heard++;
    last_id = client->id;
    if (is_echo)
        assert_int_equal(local_send(client, message), 0);
    if (is_hanging_up)
        local_hang_up(client);
}

static void on_gone(struct local_client *client)
{
    gone++;
    assert_true(client->has_spoken);
}

static void on_drained(struct local_client *client)
{
    drained++;
    assert_true(client->unsent_bytes < LOCAL_OUT_BYTES_MAX / 2);
}

static void turn(void)
{
    (void)uv_run(&loop, UV_RUN_ONCE);
}

static int set_up(void **state)
{
    struct fault fault;
    (void)state;
    heard = gone = drained = 0;
    is_echo = true;
    is_hanging_up = false;
    for (size_t i = 0; i < COUNT_OF(peers); i++)
        peers[i] = (struct peer){.fd = -1};
    server = (struct local_server){
        .on_message = on_message, .on_gone = on_gone, .on_drained = on_drained};
    (void)snprintf(directory, sizeof(directory), "/tmp/drover-local-XXXXXX");
    if (mkdtemp(directory) == NULL || uv_loop_init(&loop) < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/agent.sock", directory);
    (void)uv_timer_init(&loop, &guard);
    (void)uv_timer_start(&guard, on_guard, GUARD_MS, 0);
    return local_listen(&server, &loop, path, &fault);
}

static void hang_up(struct peer *peer)
{
    if (peer->fd >= 0)
        (void)close(peer->fd);
    buffer_close(&peer->in);
    arena_close(&peer->arena);
    peer->fd = -1;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(peers); i++)
        hang_up(&peers[i]);
    local_close(&server);
    uv_close((uv_handle_t *)&guard, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)rmdir(directory); /* and so a file that was left is seen */
    if (server.closing != 0 || server.client_count != 0 || access(directory, F_OK) == 0)
        return -1;
    return uv_loop_close(&loop);
}

/* The clients' side. */

static int connect_to(const char *to)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(address.sun_path, to, strlen(to) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return take_fd(&fd);
}

static struct peer *open_peer(size_t index)
{
    peers[index].fd = connect_to(path);
    return &peers[index];
}

static void say_octets(struct peer *peer, const void *data, size_t size_bytes)
{
    const uint8_t *at = data;

    while (size_bytes > 0) {
        ssize_t n = send(peer->fd, at, size_bytes, MSG_NOSIGNAL);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            turn();
            continue;
        }
        at += n;
        size_bytes -= (size_t)n;
    }
}

static void say(struct peer *peer, const struct message *message)
{
    struct buffer buffer = {0};

    assert_int_equal(codec_encode_framed(message, &buffer), 0);
    say_octets(peer, buffer.data, buffer.size_bytes);
    buffer_close(&buffer);
}

static void say_number(struct peer *peer, uint64_t number)
{
    struct message ping = {.kind = MESSAGE_PING, .ping_ns = number};
    say(peer, &ping);
}

/* false: the server has closed. */
static bool hear(struct peer *peer, struct message *ret_message)
{
    uint8_t chunk[65536];
    int64_t size_bytes;

    while ((size_bytes = codec_frame_find(&peer->in)) == 0) {
        ssize_t n = recv(peer->fd, chunk, sizeof(chunk), 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) /* it closed with something unread */
            return false;
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            turn();
            continue;
        }
        assert_int_equal(buffer_append(&peer->in, chunk, (size_t)n), 0);
    }
    assert_true(size_bytes > 0);
    arena_reset(&peer->arena);
    assert_int_equal(codec_decode(peer->in.data + 4, (size_t)size_bytes, &peer->arena, ret_message),
                     0);
    buffer_consume(&peer->in, 4 + (size_t)size_bytes);
    return true;
}

static void hear_number(struct peer *peer, uint64_t number)
{
    struct message message;

    assert_true(hear(peer, &message));
    assert_int_equal(message.kind, MESSAGE_PING);
    assert_true(message.ping_ns == number);
}

static void hear_refusal(struct peer *peer, enum status status)
{
    struct message message;

    assert_true(hear(peer, &message));
    assert_int_equal(message.kind, MESSAGE_ANSWER);
    assert_true(message.answer.is_last);
    assert_int_equal(message.answer.fault.status, status);
    assert_true(strlen(message.answer.fault.text) > 0);
    assert_false(hear(peer, &message));
}

static struct local_client *last_client(void)
{
    struct local_client *client = local_find(&server, last_id);

    assert_non_null(client);
    return client;
}

/* Talking */

static void test_local__octet_by_octet_or_many_at_once__every_message_is_heard(void **state)
{
    struct message ping = {.kind = MESSAGE_PING, .ping_ns = 7};
    struct buffer buffer = {0};
    struct peer *peer = open_peer(0);
    (void)state;
    assert_int_equal(codec_encode_framed(&ping, &buffer), 0);

    for (size_t i = 0; i < buffer.size_bytes; i++) {
        say_octets(peer, buffer.data + i, 1);
        turn();
    }
    hear_number(peer, 7);
    buffer_consume(&buffer, buffer.size_bytes);
    for (ping.ping_ns = 1; ping.ping_ns <= 10000; ping.ping_ns++)
        assert_int_equal(codec_encode_framed(&ping, &buffer), 0);
    say_octets(peer, buffer.data, buffer.size_bytes);
    for (uint64_t number = 1; number <= 10000; number++)
        hear_number(peer, number);

    assert_int_equal(heard, 10001);
    assert_int_equal(last_client()->uid, geteuid());
    assert_int_equal(last_client()->pid, getpid());
    buffer_close(&buffer);
}

static void test_local__largest_message__comes_back(void **state)
{
    char *text = malloc(MESSAGE_BYTES_MAX);
    struct message answer = {.kind = MESSAGE_ANSWER, .answer = {.version = text}};
    struct message message;
    struct peer *peer = open_peer(0);
    (void)state;
    assert_non_null(text);
    memset(text, 'x', MESSAGE_BYTES_MAX);
    text[MESSAGE_BYTES_MAX - 9] = '\0'; /* tags and lengths */

    say(peer, &answer);
    assert_true(hear(peer, &message));

    assert_string_equal(message.answer.version, text);
    free(text);
}

static void test_local__a_client_leaves__is_told_once_and_others_go_on(void **state)
{
    struct peer *leaving = open_peer(0);
    struct peer *staying = open_peer(1);
    struct peer *mute = open_peer(2);
    (void)state;
    say_number(leaving, 1);
    hear_number(leaving, 1);
    uint64_t id = last_id;
    say_number(staying, 2);
    hear_number(staying, 2);

    say_octets(leaving, "\x09\x00", 2); /* in the middle of a prefix */
    hang_up(leaving);
    hang_up(mute);
    while (server.client_count > 1)
        turn();

    assert_int_equal(gone, 1);
    assert_null(local_find(&server, id));
    say_number(staying, 3);
    hear_number(staying, 3);
}

/* Nonsense */

static void test_local__prefix_beyond_bounds__is_refused_in_words(void **state)
{
    struct peer *huge = open_peer(0);
    struct peer *empty = open_peer(1);
    struct peer *good = open_peer(2);
    (void)state;
    say_octets(huge, "\x01\x00\x10\x00", 4);
    say_octets(empty, "\x00\x00\x00\x00more", 8);

    hear_refusal(huge, STATUS_INVALID);
    hear_refusal(empty, STATUS_INVALID);

    say_number(good, 1);
    hear_number(good, 1);
    assert_int_equal(heard, 1);
    assert_int_equal(gone, 0);
}

static void test_local__garbage_in_a_frame__is_refused_and_what_follows_not_heard(void **state)
{
    struct peer *peer = open_peer(0);
    (void)state;
    say_number(peer, 1);
    say_octets(peer, "\x03\x00\x00\x00???", 7);
    say_number(peer, 2);

    hear_number(peer, 1);
    hear_refusal(peer, STATUS_INVALID);

    assert_int_equal(heard, 1);
    assert_int_equal(gone, 1);
}

static void test_local__what_a_later_version_asks__is_unsupported_and_it_may_go_on(void **state)
{
    static const uint8_t body_40[] = {3, 0, 0, 0, 0xc2, 0x02, 0x00};
    /* command {request_id "r", verb 99} */
    static const uint8_t verb_99[] = {8, 0, 0, 0, 0xa2, 0x01, 5, 0x0a, 1, 'r', 0x28, 99};
    /* query {request_id "q", kind 99} */
    static const uint8_t kind_99[] = {8, 0, 0, 0, 0xc2, 0x01, 5, 0x0a, 1, 'q', 0x18, 99};
    /* stream_open {stream 9, kind 99} */
    static const uint8_t stream_99[] = {7, 0, 0, 0, 0xf2, 0x01, 4, 0x08, 9, 0x28, 99};
    struct message message;
    struct peer *peer = open_peer(0);
    (void)state;

    say_octets(peer, body_40, sizeof(body_40));
    assert_true(hear(peer, &message));
    assert_int_equal(message.kind, MESSAGE_ANSWER);
    assert_int_equal(message.answer.fault.status, STATUS_UNSUPPORTED);
    say_octets(peer, verb_99, sizeof(verb_99));
    assert_true(hear(peer, &message));
    assert_int_equal(message.kind, MESSAGE_RECEIPT);
    assert_string_equal(message.receipt.request_id, "r");
    assert_int_equal(message.receipt.phase, PHASE_FAILED);
    assert_int_equal(message.receipt.fault.status, STATUS_UNSUPPORTED);
    say_octets(peer, kind_99, sizeof(kind_99));
    assert_true(hear(peer, &message));
    assert_string_equal(message.answer.request_id, "q");
    say_octets(peer, stream_99, sizeof(stream_99));
    assert_true(hear(peer, &message));
    assert_int_equal(message.kind, MESSAGE_STREAM_END);
    assert_int_equal(message.stream_end.stream, 9);

    say_number(peer, 1);
    hear_number(peer, 1);
    assert_int_equal(heard, 1);
}

/* Silence and slowness */

static void test_local__nothing_said__is_hung_up_and_who_spoke_is_not(void **state)
{
    (void)state;
    server.silence_ns = SILENCE_NS;
    struct peer *spoke = open_peer(0);
    say_number(spoke, 1);
    hear_number(spoke, 1);
    uint64_t start_ns = clock_monotonic_ns();
    struct peer *silent = open_peer(1);
    struct peer *half = open_peer(2);
    say_octets(half, "\x09\x00\x00\x00half", 8);

    hear_refusal(silent, STATUS_TIMEOUT);
    hear_refusal(half, STATUS_TIMEOUT);

    assert_true(clock_monotonic_ns() - start_ns >= SILENCE_NS);
    say_number(spoke, 2);
    hear_number(spoke, 2);
    assert_int_equal(gone, 0);
}

/* Until it says no. Returns how many were taken. */
static uint64_t send_until_full(struct local_client *client)
{
    char text[10000];
    struct message answer = {.kind = MESSAGE_ANSWER, .answer = {.version = text}};
    uint64_t sent = 0;
    int result;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    do {
        answer.number = ++sent;
        result = local_send(client, &answer);
        assert_true(client->unsent_bytes <= LOCAL_OUT_BYTES_MAX);
    } while (result == 0);
    assert_int_equal(result, -ENOBUFS);
    return sent - 1;
}

static void test_local__slow_reader__enobufs_then_drained_and_nothing_is_missing(void **state)
{
    struct message message;
    struct peer *peer = open_peer(0);
    struct peer *other = open_peer(1);
    (void)state;
    say_number(peer, 1);
    hear_number(peer, 1);
    struct local_client *client = last_client();

    uint64_t sent = send_until_full(client);
    assert_true(sent * 10000 >= LOCAL_OUT_BYTES_MAX);
    say_number(other, 2); /* which does not wait for the slow one */
    hear_number(other, 2);
    assert_int_equal(drained, 0);
    for (uint64_t number = 1; number <= sent; number++) {
        assert_true(hear(peer, &message));
        assert_int_equal(message.number, number);
        assert_int_equal(strlen(message.answer.version), 9999);
    }

    assert_int_equal(drained, 1);
    assert_int_equal(client->unsent_bytes, 0);
    say_number(peer, 3);
    hear_number(peer, 3);
}

static void test_local__hung_up__hears_what_was_queued_and_then_the_end(void **state)
{
    struct message message;
    struct peer *peer = open_peer(0);
    (void)state;
    say_number(peer, 1);
    hear_number(peer, 1);
    struct local_client *client = last_client();
    uint64_t sent = send_until_full(client);

    local_hang_up(client);
    assert_int_equal(local_send(client, &(struct message){.kind = MESSAGE_PING}), -EPIPE);
    say_number(peer, 2); /* is not heard */
    for (uint64_t number = 1; number <= sent; number++)
        assert_true(hear(peer, &message));

    assert_false(hear(peer, &message));
    assert_int_equal(heard, 1);
    assert_int_equal(gone, 1);
}

static void test_local__hung_up_and_never_reads__is_closed_at_its_deadline(void **state)
{
    struct peer *peer = open_peer(0);
    (void)state;
    say_number(peer, 1);
    hear_number(peer, 1);
    (void)send_until_full(last_client());
    server.silence_ns = SHORT_NS;

    local_hang_up(last_client());
    while (server.client_count > 0)
        turn();

    assert_int_equal(gone, 1);
}

static void test_local__hung_up_by_its_own_message__the_rest_is_not_heard(void **state)
{
    struct message message;
    struct peer *peer = open_peer(0);
    (void)state;
    is_hanging_up = true;
    say_number(peer, 1);
    say_number(peer, 2);

    hear_number(peer, 1);

    assert_false(hear(peer, &message));
    assert_int_equal(heard, 1);
    assert_int_equal(gone, 1);
}

static void test_local__paused__is_not_heard_until_it_goes_on(void **state)
{
    struct peer *peer = open_peer(0);
    struct peer *other = open_peer(1);
    (void)state;
    say_number(peer, 1);
    hear_number(peer, 1);
    struct local_client *client = last_client();

    local_pause(client, true);
    for (uint64_t number = 2; number <= 100; number++)
        say_number(peer, number);
    say_number(other, 1);
    hear_number(other, 1);
    assert_int_equal(heard, 2);
    local_pause(client, false);

    for (uint64_t number = 2; number <= 100; number++)
        hear_number(peer, number);
    assert_int_equal(heard, 101);
}

/* Who may come */

static void test_local__many_clients__are_served_and_one_too_many_is_told(void **state)
{
    static int fds[LOCAL_CLIENTS_MAX];
    struct rlimit files;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max < 3 * LOCAL_CLIENTS_MAX) {
        print_message("skipped: the hard limit of open files is %llu\n",
                      (unsigned long long)files.rlim_max);
        skip();
    }
    files.rlim_cur = files.rlim_cur > 3 * LOCAL_CLIENTS_MAX ? files.rlim_cur : files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++) {
        struct peer peer = {.fd = connect_to(path)};
        fds[i] = peer.fd;
        say_number(&peer, i);
        hear_number(&peer, i);
        buffer_close(&peer.in);
        arena_close(&peer.arena);
    }
    assert_int_equal(server.client_count, LOCAL_CLIENTS_MAX);

    hear_refusal(open_peer(0), STATUS_BUSY);

    (void)close(fds[0]);
    while (gone == 0)
        turn();
    struct peer *peer = open_peer(1);
    say_number(peer, 1);
    hear_number(peer, 1);
    for (size_t i = 1; i < LOCAL_CLIENTS_MAX; i++)
        (void)close(fds[i]);
    hang_up(peer);
    while (server.client_count > 0)
        turn();
    assert_int_equal(gone, LOCAL_CLIENTS_MAX + 1);
}

static void test_local__another_user__is_not_permitted(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can be another user\n");
        skip();
    }
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(chmod(directory, 0755), 0); /* as if an administrator had opened it */
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(seteuid(65534), 0);
    struct peer *peer = open_peer(0);
    assert_int_equal(seteuid(0), 0);
    say_number(peer, 1);

    hear_refusal(peer, STATUS_NOT_PERMITTED);

    assert_int_equal(heard, 0);
}

/* Paths */

static void refuse_path(const char *bad, int result, enum status status)
{
    static struct local_server second;
    struct fault fault;

    second = (struct local_server){.on_message = on_message};
    assert_int_equal(local_listen(&second, &loop, bad, &fault), result);
    assert_int_equal(fault.status, status);
    assert_true(strlen(fault.text) > 0);
    local_close(&second); /* does nothing */
}

static void test_local__paths_that_cannot_be__are_refused_in_words(void **state)
{
    char text[LOCAL_PATH_MAX + 2];
    (void)state;
    memset(text, 'p', sizeof(text));
    memcpy(text, "/tmp/", 5);
    text[LOCAL_PATH_MAX + 1] = '\0';

    refuse_path(text, -ENAMETOOLONG, STATUS_INVALID);
    refuse_path("", -ENAMETOOLONG, STATUS_INVALID);
    refuse_path("/nowhere/agent.sock", -ENOENT, STATUS_FAILED);
    refuse_path(directory, -EEXIST, STATUS_INVALID); /* is no socket, and stays */
    assert_int_equal(access(directory, F_OK), 0);
}

static void test_local__longest_path_and_stale_socket__are_listened_on(void **state)
{
    static struct local_server second;
    char text[LOCAL_PATH_MAX + 1];
    struct fault fault;
    (void)state;
    memset(text, 'p', sizeof(text));
    text[(size_t)snprintf(text, sizeof(text), "%s/", directory)] = 'p';
    text[LOCAL_PATH_MAX] = '\0';
    struct sockaddr_un stale = {.sun_family = AF_UNIX};
    memcpy(stale.sun_path, text, sizeof(text));
    AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&stale, sizeof(stale)), 0);

    second = (struct local_server){.on_message = on_message};
    assert_int_equal(local_listen(&second, &loop, text, &fault), 0);

    peers[0].fd = connect_to(text);
    say_number(&peers[0], 5);
    hear_number(&peers[0], 5);
    local_close(&second);
    while (second.closing > 0)
        turn();
    assert_int_equal(second.client_count, 0);
    assert_int_equal(access(text, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_local__octet_by_octet_or_many_at_once__every_message_is_heard),
        TEST(test_local__largest_message__comes_back),
        TEST(test_local__a_client_leaves__is_told_once_and_others_go_on),
        TEST(test_local__prefix_beyond_bounds__is_refused_in_words),
        TEST(test_local__garbage_in_a_frame__is_refused_and_what_follows_not_heard),
        TEST(test_local__what_a_later_version_asks__is_unsupported_and_it_may_go_on),
        TEST(test_local__nothing_said__is_hung_up_and_who_spoke_is_not),
        TEST(test_local__slow_reader__enobufs_then_drained_and_nothing_is_missing),
        TEST(test_local__hung_up__hears_what_was_queued_and_then_the_end),
        TEST(test_local__hung_up_and_never_reads__is_closed_at_its_deadline),
        TEST(test_local__hung_up_by_its_own_message__the_rest_is_not_heard),
        TEST(test_local__paused__is_not_heard_until_it_goes_on),
        TEST(test_local__many_clients__are_served_and_one_too_many_is_told),
        TEST(test_local__another_user__is_not_permitted),
        TEST(test_local__paths_that_cannot_be__are_refused_in_words),
        TEST(test_local__longest_path_and_stale_socket__are_listened_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
