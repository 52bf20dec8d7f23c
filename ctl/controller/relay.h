/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h — one relay, for streams.c (who says what) and relay.c (how it goes on) alone.
 *
 * Shape    functions on struct relay of streams.h.
 * Units    octets.
 * Errors   a relay that cannot go on is ended, and its client told; -errno only where it says so.
 * Owner    struct streams. What takes the controller may free the relay, and no other.
 * Context  the loop's thread.
 */
#ifndef DROVER_RELAY_H
#define DROVER_RELAY_H

#include "fault.h"
#include "streams.h"

/* NULL: no memory. */
struct relay *relay_new(struct streams *streams, uint64_t client, const struct stream_open *open);
struct relay *relay_find(const struct streams *streams, uint64_t client, uint64_t number);
/* Nobody listens any more: its legs are told, the client is not. */
void relay_abandon(struct controller *controller, struct relay *relay);

/* 0, -ENOBUFS: there are LEGS_MAX, -ENOMEM. */
int relay_add_leg(struct streams *streams, struct relay *relay, struct member *member);
struct leg *relay_leg_find(const struct streams *streams, const struct member *member,
                           uint64_t number);
void relay_leg_over(struct streams *streams, struct leg *leg);
bool relay_has_leg(const struct relay *relay, const struct member *member);
/* The legs are all there: open them, or wait until they can be. */
void relay_open(struct controller *controller, struct relay *relay);

/* A frame or credit of the client: now, or when the relay is open. */
void relay_send_up(struct controller *controller, struct relay *relay,
                   const struct message *message);
/* A message for the client: now, or when it has read what waits. */
void relay_send_down(struct controller *controller, struct relay *relay,
                     const struct message *message);
void relay_flush_down(struct controller *controller, struct relay *relay);

/* The client's last word, and the end of all legs. */
void relay_end(struct controller *controller, struct relay *relay, const struct stream_end *end);
void relay_fail(struct controller *controller, struct relay *relay, const struct fault *fault,
                const char *node);
void relay_lose(struct controller *controller, struct relay *relay, const char *node,
                const char *why);

#endif
