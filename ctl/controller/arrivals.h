/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arrivals.h — what came in since the last turn, in order: callbacks put, the turn takes.
 *
 * Shape    a queue of encoded records, each with where it came from.
 * Units    octets.
 * Errors   -ENOMEM: the record is lost; a link sends it again, a local client is closed.
 * Owner    the queue, until arrivals_take() gives one to the caller, who frees it.
 * Context  the loop's thread. Bounded by what one loop iteration reads: the turn empties it.
 */
#ifndef DROVER_ARRIVALS_H
#define DROVER_ARRIVALS_H

#include "link.h"
#include "message.h"

enum arrival_kind {
    ARRIVAL_UNSET,
    ARRIVAL_CONTROL, /* a datagram of an agent */
    ARRIVAL_BULK,
    ARRIVAL_LOCAL, /* a message of a local client */
    ARRIVAL_GONE,  /* the client is no more */
    ARRIVAL_DRAINED
};

struct arrival {
    struct arrival *next;
    enum arrival_kind kind;
    uint64_t client; /* LOCAL, GONE, DRAINED */
    struct link_peer peer;
    size_t size_bytes;
    uint8_t octets[];
};

struct arrivals {
    struct arrival *first;
    struct arrival *last;
};

int arrivals_post(struct arrivals *arrivals, enum arrival_kind kind, uint64_t client,
                  const struct link_peer *peer, struct octets data);
struct arrival *arrivals_take(struct arrivals *arrivals); /* NULL: none */
void arrivals_close(struct arrivals *arrivals);

#endif
