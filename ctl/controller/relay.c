/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "controller.h"
#include "ensure.h"

#define FRAME_PREFIX_BYTES 4
#define EXIT_OURS 125 /* of an exec that never was, or was lost */

static struct relay **bucket_of(struct streams *streams, uint64_t client)
{
    return &streams->buckets[client % RELAY_BUCKETS];
}

/* ---- life ---- */

struct relay *relay_new(struct streams *streams, uint64_t client, const struct stream_open *open)
{
    struct relay **bucket = bucket_of(streams, client);
    struct relay *relay = calloc(1, sizeof(*relay));

    if (relay == NULL)
        return NULL;
    relay->client = client;
    relay->number = open->stream;
    relay->kind = open->kind;
    relay->up_granted_bytes = relay->down_granted_bytes = STREAM_CREDIT_BYTES;
    (void)snprintf(relay->container, sizeof(relay->container), "%s", open->container);
    relay->next = *bucket;
    *bucket = relay;
    return relay;
}

struct relay *relay_find(const struct streams *streams, uint64_t client, uint64_t number)
{
    struct relay *relay = streams->buckets[client % RELAY_BUCKETS];

    while (relay != NULL && (relay->client != client || relay->number != number))
        relay = relay->next;
    return relay;
}

static void set_state(struct streams *streams, struct relay *relay, enum relay_state state)
{
    streams->waiting_count -= relay->state == RELAY_WAITING;
    streams->waiting_count += state == RELAY_WAITING;
    relay->state = state;
}

static void remove_relay(struct streams *streams, struct relay *relay)
{
    struct relay **at = bucket_of(streams, relay->client);

    while (*at != relay)
        at = &(*at)->next;
    *at = relay->next;
    set_state(streams, relay, RELAY_OVER);
    for (uint32_t i = 0; i < relay->leg_count; i++) {
        relay_leg_over(streams, relay->legs[i]);
        free(relay->legs[i]);
    }
    free(relay->legs);
    buffer_close(&relay->opening);
    buffer_close(&relay->early);
    buffer_close(&relay->held);
    free(relay);
}

void streams_close(struct streams *streams)
{
    for (size_t i = 0; i < RELAY_BUCKETS; i++)
        while (streams->buckets[i] != NULL)
            remove_relay(streams, streams->buckets[i]);
}

/* ---- legs ---- */

int relay_add_leg(struct streams *streams, struct relay *relay, struct member *member)
{
    if (streams->leg_count == LEGS_MAX)
        return -ENOBUFS;
    struct leg **grown = realloc(relay->legs, (relay->leg_count + 1) * sizeof(struct leg *));
    if (grown == NULL)
        return -ENOMEM;
    relay->legs = grown;
    struct leg *leg = calloc(1, sizeof(*leg));
    if (leg == NULL)
        return -ENOMEM;

    while (streams->legs[streams->leg_next] != NULL)
        streams->leg_next = (streams->leg_next + 1) % LEGS_MAX;
    *leg = (struct leg){.relay = relay,
                        .member = member,
                        .number = ++streams->last << LEGS_BITS | streams->leg_next,
                        .granted_bytes = STREAM_CREDIT_BYTES};
    streams->legs[streams->leg_next] = leg;
    streams->leg_count++;
    relay->legs[relay->leg_count++] = leg;
    return 0;
}

struct leg *relay_leg_find(const struct streams *streams, const struct member *member,
                           uint64_t number)
{
    struct leg *leg = streams->legs[number % LEGS_MAX];

    return leg != NULL && leg->number == number && leg->member == member ? leg : NULL;
}

void relay_leg_over(struct streams *streams, struct leg *leg)
{
    if (leg->is_over)
        return;
    leg->is_over = true;
    streams->legs[leg->number % LEGS_MAX] = NULL;
    streams->leg_count--;
}

bool relay_has_leg(const struct relay *relay, const struct member *member)
{
    for (uint32_t i = 0; i < relay->leg_count; i++)
        if (relay->legs[i]->member == member && !relay->legs[i]->is_over)
            return true;
    return false;
}

static void close_legs(struct controller *controller, struct relay *relay)
{
    for (uint32_t i = 0; i < relay->leg_count; i++) {
        struct leg *leg = relay->legs[i];
        struct message message = {.kind = MESSAGE_STREAM_END};

        message.stream_end.stream = leg->number;
        message.stream_end.bytes = relay->up_bytes;
        /* LIMIT: a node that is so far behind that this finds no room keeps its end open until its
         * session is over. */
        if (relay->state == RELAY_OPEN && !leg->is_over)
            (void)sessions_post(controller, leg->member, CHANNEL_BULK, &message);
        relay_leg_over(&controller->streams, leg);
    }
}

void relay_abandon(struct controller *controller, struct relay *relay)
{
    close_legs(controller, relay);
    remove_relay(&controller->streams, relay);
}

/* ---- up ---- */

static void name_leg(struct message *message, const struct leg *leg)
{
    switch ((int)message->kind) {
    case MESSAGE_STREAM_OPEN:
        message->stream_open.stream = leg->number;
        message->stream_open.node = leg->member->name;
        return;
    case MESSAGE_STREAM_FRAME:
        message->stream_frame.stream = leg->number;
        return;
    case MESSAGE_STREAM_CREDIT:
        message->stream_credit.stream = leg->number;
        return;
    }
    ENSURE(false); /* nothing else goes up by this way */
}

static void post_up(struct controller *controller, struct relay *relay,
                    const struct message *message)
{
    for (uint32_t i = 0; i < relay->leg_count; i++) {
        struct leg *leg = relay->legs[i];
        struct message copy = *message;

        if (leg->is_over)
            continue;
        name_leg(&copy, leg);
        int result = sessions_post(controller, leg->member, CHANNEL_BULK, &copy);
        if (result == 0)
            continue;
        relay_lose(controller, relay, leg->member->name,
                   result == -ENOTCONN ? "its node is gone" : "too much waits for its node");
        return;
    }
}

void relay_send_up(struct controller *controller, struct relay *relay,
                   const struct message *message)
{
    if (relay->state == RELAY_OPEN) {
        post_up(controller, relay, message);
        return;
    }
    if (codec_encode_framed(message, &relay->early) < 0 ||
        relay->early.size_bytes > RELAY_EARLY_BYTES_MAX)
        relay_lose(controller, relay, "", "too much was said before it was open");
}

/* What the client said meanwhile; it may be the relay's end. */
static void send_early(struct controller *controller, struct relay *relay)
{
    struct streams *streams = &controller->streams;
    struct buffer early = relay->early;
    uint64_t client = relay->client;
    uint64_t number = relay->number;
    struct arena arena = {0};
    int64_t size_bytes;
    size_t done_bytes = 0;

    relay->early = (struct buffer){0};
    while (done_bytes < early.size_bytes && relay_find(streams, client, number) == relay &&
           relay->state == RELAY_OPEN) {
        const struct buffer rest = {.data = early.data + done_bytes,
                                    .size_bytes = early.size_bytes - done_bytes};
        struct message message;

        size_bytes = codec_frame_find(&rest);
        ENSURE(size_bytes > 0); /* framed by ourselves */
        arena_reset(&arena);
        if (codec_decode(rest.data + FRAME_PREFIX_BYTES, (size_t)size_bytes, &arena, &message) == 0)
            post_up(controller, relay, &message);
        else
            relay_lose(controller, relay, "", "no memory");
        done_bytes += FRAME_PREFIX_BYTES + (size_t)size_bytes;
    }
    arena_close(&arena);
    buffer_close(&early);
}

static bool wait_for_bulk(struct controller *controller, struct relay *relay)
{
    bool is_waiting = false;

    for (uint32_t i = 0; i < relay->leg_count; i++) {
        const struct member *member = relay->legs[i]->member;

        if (member->channels[CHANNEL_BULK].is_up)
            continue;
        is_waiting = true;
        sessions_want_bulk(controller, member);
    }
    if (is_waiting && relay->state != RELAY_WAITING) {
        set_state(&controller->streams, relay, RELAY_WAITING);
        relay->deadline_ns = controller->now_ns + RELAY_WAIT_NS;
        controller_due(controller, relay->deadline_ns);
    }
    return is_waiting;
}

void relay_open(struct controller *controller, struct relay *relay)
{
    struct streams *streams = &controller->streams;
    struct arena arena = {0};
    struct message message;
    uint64_t client = relay->client;
    uint64_t number = relay->number;

    if (wait_for_bulk(controller, relay))
        return;
    set_state(streams, relay, RELAY_OPEN);
    if (codec_decode(relay->opening.data, relay->opening.size_bytes, &arena, &message) == 0)
        post_up(controller, relay, &message);
    else
        relay_lose(controller, relay, "", "no memory");
    arena_close(&arena);
    if (relay_find(streams, client, number) == relay && relay->state == RELAY_OPEN) {
        buffer_close(&relay->opening);
        send_early(controller, relay);
    }
}

/* ---- down ---- */

static int send_now(struct controller *controller, const struct relay *relay,
                    const struct message *message)
{
    struct local_client *client = local_find(&controller->local, relay->client);

    return client == NULL ? -EPIPE : local_send(client, message);
}

/* -ENOBUFS: it was kept. Else it was sent, or can never be. */
static int put_down(struct controller *controller, struct relay *relay,
                    const struct message *message)
{
    int result = -ENOBUFS;

    if (relay->held.size_bytes == 0)
        result = send_now(controller, relay, message);
    if (result == -ENOBUFS && codec_encode_framed(message, &relay->held) < 0)
        return -ENOMEM;
    return result;
}

void relay_send_down(struct controller *controller, struct relay *relay,
                     const struct message *message)
{
    int result = put_down(controller, relay, message);

    if (result == -ENOBUFS && relay->held.size_bytes > RELAY_HELD_BYTES_MAX)
        relay_lose(controller, relay, "", "more waits for its reader than can be kept");
    else if (result < 0 && result != -ENOBUFS)
        relay_abandon(controller, relay); /* the client is gone */
}

void relay_flush_down(struct controller *controller, struct relay *relay)
{
    struct arena arena = {0};
    size_t done_bytes = 0;
    int result = 0;

    while (result == 0 && done_bytes < relay->held.size_bytes) {
        const struct buffer rest = {.data = relay->held.data + done_bytes,
                                    .size_bytes = relay->held.size_bytes - done_bytes};
        int64_t size_bytes = codec_frame_find(&rest);
        struct message message;

        ENSURE(size_bytes > 0); /* framed by ourselves */
        arena_reset(&arena);
        result = codec_decode(rest.data + FRAME_PREFIX_BYTES, (size_t)size_bytes, &arena, &message);
        if (result == 0)
            result = send_now(controller, relay, &message);
        if (result == 0)
            done_bytes += FRAME_PREFIX_BYTES + (size_t)size_bytes;
    }
    arena_close(&arena);
    buffer_consume(&relay->held, done_bytes);
    if (result < 0 && result != -ENOBUFS)
        relay_abandon(controller, relay);
    else if (relay->held.size_bytes == 0 && relay->state == RELAY_OVER)
        remove_relay(&controller->streams, relay);
}

/* ---- the end ---- */

void relay_end(struct controller *controller, struct relay *relay, const struct stream_end *end)
{
    struct message message = {.kind = MESSAGE_STREAM_END, .stream_end = *end};

    message.stream_end.stream = relay->number;
    close_legs(controller, relay);
    set_state(&controller->streams, relay, RELAY_OVER);
    if (put_down(controller, relay, &message) != -ENOBUFS)
        remove_relay(&controller->streams, relay);
}

void relay_fail(struct controller *controller, struct relay *relay, const struct fault *fault,
                const char *node)
{
    const struct stream_end end = {
        .bytes = relay->down_bytes,
        .fault = answers_view(fault, relay->container, node),
        .exit_code = relay->kind == STREAM_EXEC ? EXIT_OURS : status_exit_code(fault->status)};

    relay_end(controller, relay, &end);
}

void relay_lose(struct controller *controller, struct relay *relay, const char *node,
                const char *why)
{
    struct fault fault;

    fault_set(&fault, STATUS_STREAM_LOST, 0, "the stream was lost: %s", why);
    relay_fail(controller, relay, &fault, node);
}
