/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox.h — messages that found no room in a session's window: kept in their order until there is.
 *
 * Shape    struct outbox is encoded messages, oldest first. outbox_post() gives a message to the
 *          session, or keeps it; outbox_next() moves one from here into the session.
 * Units    octets.
 * Errors   -ENOBUFS: the bound is reached and nothing was kept; else what codec and session answer.
 * Owner    the caller's; outbox_close() frees what is kept.
 * Context  pure but for the heap; one thread.
 */
#ifndef DROVER_OUTBOX_H
#define DROVER_OUTBOX_H

#include "session.h"

/* LIMIT: what waits for the window of one channel. Streams are bounded by their credit, orders by
 * their number, lists and events by being read on only while nothing waits here; so only a peer
 * that asks or grants without end meets it, and loses answers to what it asked. */
#define OUTBOX_BYTES_MAX (32u * 1024 * 1024)

struct outbox {
    struct buffer kept;  /* framed messages */
    uint32_t kept_count; /* of them */
    size_t kept_from;    /* octets at the front that went already */
};

bool outbox_is_empty(const struct outbox *outbox);

/*
 * Send a message behind all that waits. Copied.
 *   session  in/out  of the same channel
 *   wire     append  the record, if it may go now; untouched if it is kept
 * Returns 1: it is in `wire`, to be sent now; 0: it is kept.
 */
int outbox_post(struct outbox *outbox, struct session *session, struct message *message,
                uint64_t now_ns, struct buffer *wire);
/*
 * The oldest that waits, if the session has room for it by now: its record is appended to `wire`.
 *   arena  scratch; reset here
 * Call until false.
 */
bool outbox_next(struct outbox *outbox, struct session *session, uint64_t now_ns,
                 struct arena *arena, struct buffer *wire);
void outbox_close(struct outbox *outbox);

#endif
