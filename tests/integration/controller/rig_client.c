/* SPDX-License-Identifier: Apache-2.0 */
/* The operators' side: framed messages on the controller's socket. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "rig_parts.h"

static void arm(struct client *client);

static void fill(struct client *client)
{
    uint8_t chunk[65536];
    ssize_t n = recv(client->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        client->is_over = true;
    else
        assert_int_equal(buffer_append(&client->inbox.messages, chunk, (size_t)n), 0);
}

static void flush(struct client *client)
{
    ssize_t n = 0;

    if (client->out.size_bytes > 0)
        n = send(client->fd, client->out.data, client->out.size_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN)
        n = (ssize_t)client->out.size_bytes; /* nobody hears it any more */
    if (n > 0)
        buffer_consume(&client->out, (size_t)n);
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct client *client = container_of(handle, struct client, poll);

    if (status < 0)
        client->is_over = true; /* killed before it was accepted, or with words unread */
    else if (events & UV_READABLE)
        fill(client);
    if (status == 0 && events & UV_WRITABLE)
        flush(client);
    arm(client);
}

static void arm(struct client *client)
{
    int events =
        (client->is_polled ? UV_READABLE : 0) | (client->out.size_bytes > 0 ? UV_WRITABLE : 0);

    if (client->is_over || events == 0)
        (void)uv_poll_stop(&client->poll);
    else
        (void)uv_poll_start(&client->poll, events, on_ready);
}

void client_open(struct client *client)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *client = (struct client){.is_polled = true};
    rig_socket_path(address.sun_path, sizeof(address.sun_path));
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(uv_poll_init(rig_loop(), &client->poll, client->fd), 0);
    arm(client);
    rig_keep_client(client);
}

static void on_closed(uv_handle_t *handle)
{
    struct client *client = container_of((uv_poll_t *)(void *)handle, struct client, poll);

    (void)close(client->fd);
    client->fd = -1;
}

void client_close(struct client *client)
{
    uv_close((uv_handle_t *)&client->poll, on_closed);
    RIG_UNTIL(client->fd < 0);
    inbox_close(&client->inbox);
    buffer_close(&client->out);
    rig_drop_client(client);
}

void client_pause(struct client *client, bool is_paused)
{
    client->is_polled = !is_paused;
    arm(client);
}

void client_send(struct client *client, const struct message *message)
{
    assert_int_equal(codec_encode_framed(message, &client->out), 0);
    flush(client);
    arm(client);
}

bool client_is_quiet(const struct client *client)
{
    return inbox_is_empty(&client->inbox);
}

const struct message *client_expect(struct client *client, enum message_kind expected)
{
    static struct message message; /* until the next */

    RIG_UNTIL(client->is_over || !inbox_is_empty(&client->inbox));
    assert_false(inbox_is_empty(&client->inbox));
    inbox_take(&client->inbox, &message);
    assert_int_equal(message.kind, expected);
    return &message;
}

void rig_settle(void)
{
    struct client client;

    client_open(&client);
    client_query(&client, "settle", QUERY_VERSION, "");
    (void)client_answer(&client, "settle");
    client_close(&client);
}

void client_command(struct client *client, const char *request, enum verb verb,
                    const char *container, const char *node)
{
    static const struct config config = {.template_name = "tiny"};
    struct message message = {.kind = MESSAGE_COMMAND};

    message.command = (struct command){.request_id = request,
                                       .verb = verb,
                                       .container = container,
                                       .node = node,
                                       .config = verb == VERB_CREATE ? &config : NULL};
    client_send(client, &message);
}

const struct receipt *client_receipt(struct client *client, const char *request,
                                     enum phase expected)
{
    const struct receipt *receipt = &client_expect(client, MESSAGE_RECEIPT)->receipt;

    assert_string_equal(receipt->request_id, request);
    assert_int_equal(receipt->phase, expected);
    return receipt;
}

void client_query(struct client *client, const char *request, enum query_kind kind,
                  const char *container)
{
    struct message message = {.kind = MESSAGE_QUERY};

    message.query = (struct query){.request_id = request, .kind = kind, .container = container};
    client_send(client, &message);
}

const struct answer *client_answer(struct client *client, const char *request)
{
    const struct answer *answer = &client_expect(client, MESSAGE_ANSWER)->answer;

    assert_string_equal(answer->request_id, request);
    return answer;
}

const struct event_view *client_event(struct client *client, const char *request)
{
    while (client->event_at == client->events.event_count) {
        client->events = *client_answer(client, request);
        client->event_at = 0;
        assert_int_equal(client->events.fault.status, STATUS_UNSET);
        assert_true(client->events.event_count > 0);
    }
    return &client->events.events[client->event_at++];
}
