/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions.h — the agents' side: HELLO, whose record it is, acknowledgements, death.
 *
 * Shape    a session's number is random but for its lowest bits, which say the member and the
 *          channel, so that a record finds its channel at once; the whole number is then compared.
 * Units    *_ns CLOCK_MONOTONIC.
 * Errors   what cannot be read is dropped; a record of no session is answered RESET.
 * Owner    struct controller.
 * Context  the loop's thread.
 */
#ifndef DROVER_SESSIONS_H
#define DROVER_SESSIONS_H

#include "arrivals.h"
#include "registry.h"

#define RESETS_MAX 64                 /* peers remembered as answered within the last second */
#define PROBE_NS UINT64_C(2000000000) /* no word for so long after a connection broke: dead */

struct controller;

struct reset_mark {
    struct link_peer peer;
    uint64_t at_ns;
};

struct sessions {
    struct reset_mark resets[RESETS_MAX];
    uint32_t reset_next;
    struct member *touched; /* heard in this turn, by next_touched */
};

/* A datagram of an agent. */
void sessions_take(struct controller *controller, const struct arrival *arrival);
/* A PUT_HEAD or ACKNOWLEDGE of ours is committed. */
void sessions_take_committed(struct controller *controller, const struct ctl_change *change);
/* A connection broke: whose? */
void sessions_probe(struct controller *controller);
/* Send on a member's channel, or keep until there is room. 0, -ENOTCONN, -ENOBUFS, -ENOMEM. */
int sessions_post(struct controller *controller, struct member *member, enum channel_kind kind,
                  struct message *message);
/* Bulk is missed: if the agent still holds a session there that has ended here, tell it. */
void sessions_want_bulk(struct controller *controller, const struct member *member);
/* At the end of a turn: acknowledge what was taken in it. */
void sessions_settle(struct controller *controller);
/* Send again what is due, and end what is dead. Returns when to come again. */
uint64_t sessions_sweep(struct controller *controller);

#endif
