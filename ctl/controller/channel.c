/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include <errno.h>

static void send_wire(struct channel *channel, const struct buffer *wire)
{
    /* A datagram that is lost here is sent again when it is due. */
    (void)link_send(channel->link, &channel->peer, wire->data, wire->size_bytes);
}

int channel_post(struct channel *channel, struct message *message, uint64_t now_ns,
                 struct buffer *wire)
{
    if (!channel->is_up)
        return -ENOTCONN;
    wire->size_bytes = 0;
    int result = outbox_post(&channel->outbox, &channel->session, message, now_ns, wire);
    if (result > 0)
        send_wire(channel, wire);
    return result < 0 ? result : 0;
}

void channel_flush(struct channel *channel, uint64_t now_ns, struct arena *arena,
                   struct buffer *wire)
{
    if (!channel->is_up)
        return;
    wire->size_bytes = 0;
    while (outbox_next(&channel->outbox, &channel->session, now_ns, arena, wire)) {
        send_wire(channel, wire);
        wire->size_bytes = 0;
    }
}

void channel_acknowledge(struct channel *channel, uint64_t now_ns, struct buffer *wire)
{
    struct message message = {.kind = MESSAGE_PONG};

    if (channel->is_up && channel->session.is_ack_owed)
        (void)channel_post(channel, &message, now_ns, wire); /* lost: the other end asks again */
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
    outbox_close(&channel->outbox);
    *channel = (struct channel){0};
}
