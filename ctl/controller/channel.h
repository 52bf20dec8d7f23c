/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.h — one node's end of the control or the bulk link: a session, and what waits for room.
 *
 * Shape    struct channel is up between a HELLO that was answered and its replacement or death.
 * Units    octets, *_ns CLOCK_MONOTONIC.
 * Errors   -ENOTCONN: not up; -ENOBUFS: the outbox is full.
 * Owner    struct member.
 * Context  the loop's thread.
 */
#ifndef DROVER_CHANNEL_H
#define DROVER_CHANNEL_H

#include "link.h"
#include "outbox.h"

#define CHANNEL_MEMBERS_BITS 12
#define CHANNEL_MEMBERS_MAX (1u << CHANNEL_MEMBERS_BITS)

enum channel_kind { CHANNEL_CONTROL, CHANNEL_BULK, CHANNEL_COUNT };

struct channel {
    bool is_up;
    struct session session;
    struct link *link;
    struct link_peer peer;
    uint64_t epoch; /* of the agent that said HELLO */
    struct outbox outbox;
};

/*
 * Send a message, or keep it until there is room. Copied.
 *   wire  scratch of the caller
 */
int channel_post(struct channel *channel, struct message *message, uint64_t now_ns,
                 struct buffer *wire);
/* After an acknowledgement: what waited goes out. */
void channel_flush(struct channel *channel, uint64_t now_ns, struct arena *arena,
                   struct buffer *wire);
/* Acknowledge by a record that is not numbered, if no other has done so. */
void channel_acknowledge(struct channel *channel, uint64_t now_ns, struct buffer *wire);
/* Send again what is due. */
void channel_resend(struct channel *channel, uint64_t now_ns, struct buffer *wire);
/* When to send something again. */
uint64_t channel_next_ns(const struct channel *channel);
void channel_close(struct channel *channel);

#endif
