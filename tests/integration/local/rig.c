/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"

#define GUARD_MS 60000

struct rig rig;
static uv_timer_t guard;

/* The server's side. */

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the loop waits for something that does not come");
}

static void on_message(struct local_client *client, const struct message *message)
{
    rig.heard++;
    rig.last_id = client->id;
    if (rig.is_echo)
        assert_int_equal(local_send(client, message), 0);
    if (rig.is_hanging_up)
        local_hang_up(client);
}

static void on_gone(struct local_client *client)
{
    rig.gone++;
    assert_true(client->has_spoken);
}

static void on_drained(struct local_client *client)
{
    rig.drained++;
    assert_true(client->unsent_bytes < LOCAL_OUT_BYTES_MAX / 2);
}

void turn(void)
{
    (void)uv_run(&rig.loop, UV_RUN_ONCE);
}

int rig_set_up(void **state)
{
    struct fault fault;
    (void)state;
    rig.heard = rig.gone = rig.drained = 0;
    rig.is_echo = true;
    rig.is_hanging_up = false;
    for (size_t i = 0; i < COUNT_OF(rig.peers); i++)
        rig.peers[i] = (struct peer){.fd = -1};
    rig.server = (struct local_server){
        .on_message = on_message, .on_gone = on_gone, .on_drained = on_drained};
    (void)snprintf(rig.directory, sizeof(rig.directory), "/tmp/drover-local-XXXXXX");
    if (mkdtemp(rig.directory) == NULL || uv_loop_init(&rig.loop) < 0)
        return -1;
    (void)snprintf(rig.path, sizeof(rig.path), "%s/agent.sock", rig.directory);
    (void)uv_timer_init(&rig.loop, &guard);
    (void)uv_timer_start(&guard, on_guard, GUARD_MS, 0);
    return local_listen(&rig.server, &rig.loop, rig.path, &fault);
}

void hang_up(struct peer *peer)
{
    if (peer->fd >= 0)
        (void)close(peer->fd);
    buffer_close(&peer->in);
    arena_close(&peer->arena);
    peer->fd = -1;
}

int rig_tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rig.peers); i++)
        hang_up(&rig.peers[i]);
    local_close(&rig.server);
    uv_close((uv_handle_t *)&guard, NULL);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    (void)rmdir(rig.directory); /* and so a file that was left is seen */
    if (rig.server.closing != 0 || rig.server.client_count != 0 || access(rig.directory, F_OK) == 0)
        return -1;
    return uv_loop_close(&rig.loop);
}

/* The clients' side. */

int connect_to(const char *to)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(address.sun_path, to, strlen(to) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return take_fd(&fd);
}

struct peer *open_peer(size_t index)
{
    rig.peers[index].fd = connect_to(rig.path);
    return &rig.peers[index];
}

void say_octets(struct peer *peer, const void *data, size_t size_bytes)
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

void say(struct peer *peer, const struct message *message)
{
    struct buffer buffer = {0};

    assert_int_equal(codec_encode_framed(message, &buffer), 0);
    say_octets(peer, buffer.data, buffer.size_bytes);
    buffer_close(&buffer);
}

void say_number(struct peer *peer, uint64_t number)
{
    struct message ping = {.kind = MESSAGE_PING, .ping_ns = number};
    say(peer, &ping);
}

bool hear(struct peer *peer, struct message *ret_message)
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

void hear_number(struct peer *peer, uint64_t number)
{
    struct message message = {0};

    assert_true(hear(peer, &message));
    assert_int_equal(message.kind, MESSAGE_PING);
    assert_true(message.ping_ns == number);
}

void hear_refusal(struct peer *peer, enum status status)
{
    struct message message = {0};

    assert_true(hear(peer, &message));
    assert_int_equal(message.kind, MESSAGE_ANSWER);
    assert_true(message.answer.is_last);
    assert_int_equal(message.answer.fault.status, status);
    assert_true(strlen(message.answer.fault.text) > 0);
    assert_false(hear(peer, &message));
}

struct local_client *last_client(void)
{
    struct local_client *client = local_find(&rig.server, rig.last_id);

    assert_non_null(client);
    return client;
}
