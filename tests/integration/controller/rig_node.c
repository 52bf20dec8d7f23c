/* SPDX-License-Identifier: Apache-2.0 */
/* The agents' side of the protocol, one word at a time. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "rig_parts.h"

static void send_out(struct wire *wire, const struct buffer *out)
{
    if (wire->is_open)
        (void)link_send(&wire->link, NULL, out->data,
                        out->size_bytes); /* or the session sends it */
}

static int post(struct wire *wire, struct message *message)
{
    struct buffer out = {0};
    int result = session_post(&wire->session, message, clock_monotonic_ns(), &out);

    if (result == 0)
        send_out(wire, &out);
    buffer_close(&out);
    return result;
}

static void acknowledge(struct wire *wire)
{
    struct message message = {.kind = MESSAGE_PONG};

    if (wire->session.is_ack_owed && !wire->node->is_mute)
        assert_int_equal(post(wire, &message), 0);
}

static void on_answer(struct wire *wire, const struct hello_answer *answer)
{
    wire->answer = *answer;
    if (wire->is_up && wire->session.id == answer->session)
        return;
    session_close(&wire->session);
    session_init(&wire->session, answer->session, clock_monotonic_ns());
    wire->acked = 0;
    wire->is_up = true;
}

/* The controller asks for a sign of life by saying again what it acknowledged in this session. */
static bool is_probe(struct wire *wire, const struct message *message)
{
    uint64_t before = wire->acked;

    if (message->kind != MESSAGE_EVENT_ACK)
        return false;
    wire->acked = message->event_ack;
    return message->event_ack == before;
}

static void take(struct wire *wire, const struct message *message)
{
    if (message->kind == MESSAGE_HELLO_ANSWER) {
        on_answer(wire, &message->hello_answer);
        return;
    }
    if (message->kind == MESSAGE_RESET) {
        wire->resets++;
        return;
    }
    if (!wire->is_up)
        return;
    if (wire->lose > 0 && message->number != 0) {
        wire->lose--;
        return;
    }
    if (session_accept(&wire->session, message, clock_monotonic_ns()) == SESSION_TAKE &&
        message->number != 0 && !is_probe(wire, message))
        inbox_put(&wire->inbox, message);
    acknowledge(wire);
}

static void on_message(struct link *link, const struct link_peer *peer, const uint8_t *data,
                       size_t size_bytes)
{
    struct wire *wire = container_of(link, struct wire, link);
    struct arena arena = {0};
    struct message message;

    (void)peer;
    assert_int_equal(codec_decode(data, size_bytes, &arena, &message), 0);
    take(wire, &message);
    arena_close(&arena);
}

static void on_changed(struct link *link)
{
    (void)link; /* a test says itself when HELLO is said */
}

void node_tick(struct node *node)
{
    uint64_t now_ns = clock_monotonic_ns();

    for (int kind = 0; kind < LINKS && !node->is_mute; kind++) {
        struct wire *wire = &node->wires[kind];
        struct buffer out = {0};

        while (wire->is_up && session_due(&wire->session, now_ns, &out)) {
            send_out(wire, &out);
            out.size_bytes = 0;
        }
        buffer_close(&out);
        struct message ping = {.kind = MESSAGE_PING, .ping_ns = now_ns};
        if (kind == CONTROL && wire->is_up && now_ns >= wire->session.ping_ns)
            assert_int_equal(post(wire, &ping), 0);
    }
}

/* ---- life ---- */

void node_connect(struct node *node, int kind)
{
    struct wire *wire = &node->wires[kind];
    char bulk[80];

    wire->node = node;
    assert_int_equal(link_url_bulk(rig_url(), bulk, sizeof(bulk)), 0);
    assert_int_equal(link_connect(&wire->link, rig_loop(), kind == CONTROL ? rig_url() : bulk,
                                  on_message, on_changed),
                     0);
    wire->is_open = true;
    rig_keep_node(node);
}

void node_hello(struct node *node, int kind)
{
    struct wire *wire = &node->wires[kind];
    struct message message = {.kind = MESSAGE_HELLO};
    struct buffer out = {0};

    message.hello = (struct hello){.version = MESSAGE_VERSION,
                                   .node = node->name,
                                   .build = "rig",
                                   .epoch = node->epoch,
                                   .ledger_last = node->ledger_last,
                                   .started_wall_ns = node->started_wall_ns};
    message.hello.is_partial = node->is_partial;
    if (kind == CONTROL && !node->is_partial) {
        message.hello.containers = node->containers;
        message.hello.container_count = node->container_count;
    }
    wire->is_up = false;
    session_close(&wire->session);
    assert_int_equal(codec_encode(&message, &out), 0);
    /* The connection may not stand yet. */
    RIG_UNTIL(link_send(&wire->link, NULL, out.data, out.size_bytes) == 0);
    buffer_close(&out);
    RIG_UNTIL(wire->is_up);
}

void node_open(struct node *node, const char *name, uint64_t epoch)
{
    node->name = name;
    node->epoch = epoch;
    if (node->started_wall_ns == 0)
        node->started_wall_ns = clock_wall_ns();
    for (int kind = 0; kind < LINKS; kind++) {
        node_connect(node, kind);
        node_hello(node, kind);
    }
}

static void on_closed(struct link *link)
{
    struct wire *wire = container_of(link, struct wire, link);

    session_close(&wire->session);
    inbox_close(&wire->inbox);
    wire->is_open = false;
}

void node_close(struct node *node)
{
    for (int kind = 0; kind < LINKS; kind++) {
        struct wire *wire = &node->wires[kind];

        wire->is_up = false;
        if (wire->is_open)
            link_close(&wire->link, on_closed);
        RIG_UNTIL(!wire->is_open);
    }
    rig_drop_node(node);
}

/* ---- saying ---- */

void node_post(struct node *node, int kind, const struct message *message)
{
    struct message copy = *message;

    assert_true(node->wires[kind].is_up);
    RIG_UNTIL(session_has_room(&node->wires[kind].session, MESSAGE_BYTES_MAX));
    assert_int_equal(post(&node->wires[kind], &copy), 0);
}

void node_send_raw(struct node *node, int kind, const void *data, size_t size_bytes)
{
    RIG_UNTIL(link_send(&node->wires[kind].link, NULL, data, size_bytes) == 0);
}

void node_receipt(struct node *node, const char *request, enum phase phase,
                  const struct container_view *view)
{
    struct message message = {.kind = MESSAGE_RECEIPT};

    message.receipt = (struct receipt){.request_id = request, .phase = phase};
    if (view != NULL) {
        message.receipt.has_container = true;
        message.receipt.container = *view;
    }
    node_post(node, CONTROL, &message);
}

void node_events(struct node *node, const struct event *events, size_t count)
{
    struct event_view views[EVENT_BATCH_MAX];
    struct message message = {.kind = MESSAGE_EVENTS};

    assert_true(count <= EVENT_BATCH_MAX);
    for (size_t i = 0; i < count; i++)
        views[i] = (struct event_view){.event = events[i], .node = node->name, .cursor = ""};
    message.events = (struct event_batch){views, count};
    node_post(node, CONTROL, &message);
}

/* ---- hearing ---- */

bool node_is_quiet(const struct node *node, int kind)
{
    return inbox_is_empty(&node->wires[kind].inbox);
}

const struct message *node_expect(struct node *node, int kind, enum message_kind expected)
{
    static struct message message; /* until the next */
    struct inbox *inbox = &node->wires[kind].inbox;

    RIG_UNTIL(!inbox_is_empty(inbox));
    inbox_take(inbox, &message);
    assert_int_equal(message.kind, expected);
    return &message;
}

const char *node_accept(struct node *node, enum verb verb, const char *container)
{
    const struct command *command = &node_expect(node, CONTROL, MESSAGE_COMMAND)->command;

    assert_int_equal(command->verb, verb);
    assert_string_equal(command->container, container);
    assert_string_equal(command->node, node->name);
    node_receipt(node, command->request_id, PHASE_ACCEPTED, NULL);
    return command->request_id;
}

void node_list(struct node *node, const struct container_view *views, size_t count)
{
    const struct query *query = &node_expect(node, CONTROL, MESSAGE_QUERY)->query;
    struct message message = {.kind = MESSAGE_ANSWER};

    assert_int_equal(query->kind, QUERY_LIST);
    message.answer = (struct answer){.request_id = query->request_id,
                                     .is_last = true,
                                     .containers = views,
                                     .container_count = count};
    node_post(node, CONTROL, &message);
}
