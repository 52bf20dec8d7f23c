/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include <errno.h>

#define FRAME_PREFIX_BYTES 4
/* What the envelope adds to a numbered message; generous, as it only decides when to wait. */
#define ENVELOPE_BYTES 128

static void send_wire(struct channel *channel, const struct buffer *wire)
{
    /* A datagram that is lost here is sent again when it is due. */
    (void)link_send(channel->link, &channel->peer, wire->data, wire->size_bytes);
}

static int post_now(struct channel *channel, struct message *message, uint64_t now_ns,
                    struct buffer *wire)
{
    wire->size_bytes = 0;
    int result = session_post(&channel->session, message, now_ns, wire);
    if (result == 0)
        send_wire(channel, wire);
    return result;
}

int channel_post(struct channel *channel, struct message *message, uint64_t now_ns,
                 struct buffer *wire)
{
    int result = -ENOBUFS;

    if (!channel->is_up)
        return -ENOTCONN;
    if (channel->outbox.size_bytes == 0 || message->kind == MESSAGE_PONG)
        result = post_now(channel, message, now_ns, wire);
    if (result != -ENOBUFS)
        return result;
    if (channel->outbox.size_bytes >= CHANNEL_OUTBOX_BYTES_MAX)
        return -ENOBUFS;
    return codec_encode_framed(message, &channel->outbox);
}

void channel_flush(struct channel *channel, uint64_t now_ns, struct arena *arena,
                   struct buffer *wire)
{
    size_t done_bytes = 0;

    while (channel->is_up && done_bytes < channel->outbox.size_bytes) {
        const struct buffer rest = {.data = channel->outbox.data + done_bytes,
                                    .size_bytes = channel->outbox.size_bytes - done_bytes};
        size_t size_bytes = (size_t)codec_frame_find(&rest);
        struct message message;

        if (!session_has_room(&channel->session, size_bytes + ENVELOPE_BYTES))
            break;
        arena_reset(arena);
        if (codec_decode(rest.data + FRAME_PREFIX_BYTES, size_bytes, arena, &message) == 0 &&
            post_now(channel, &message, now_ns, wire) == -ENOBUFS)
            break;
        done_bytes += FRAME_PREFIX_BYTES + size_bytes;
    }
    buffer_consume(&channel->outbox, done_bytes);
}

void channel_acknowledge(struct channel *channel, uint64_t now_ns, struct buffer *wire)
{
    struct message message = {.kind = MESSAGE_PONG};

    if (channel->is_up && channel->session.is_ack_owed)
        (void)post_now(channel, &message, now_ns, wire); /* lost: the other end asks again */
}

void channel_resend(struct channel *channel, uint64_t now_ns, struct buffer *wire)
{
    if (!channel->is_up)
        return;
    wire->size_bytes = 0;
    while (session_due(&channel->session, now_ns, wire)) {
        send_wire(channel, wire);
        wire->size_bytes = 0;
    }
}

/* Pings are the agent's: only what was sent can become due here. */
uint64_t channel_next_ns(const struct channel *channel)
{
    return channel->is_up && channel->session.kept_count != 0 ? channel->session.due_ns
                                                              : UINT64_MAX;
}

void channel_close(struct channel *channel)
{
    session_close(&channel->session);
    buffer_close(&channel->outbox);
    *channel = (struct channel){0};
}
