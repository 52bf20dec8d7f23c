/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing.h — lists of containers to whoever asked, in pieces, as fast as he takes them.
 *
 * Shape    struct listing is a place in the node's slots and an asker. Of one asker the oldest goes
 *          first. Who reads slowly costs a place, never a queue of pieces.
 * Units    counts.
 * Errors   beyond LISTINGS_MAX the asker is told `busy`.
 * Owner    struct agent.
 * Context  the loop's thread. What changes while a list is told is told as it is then; each
 *          container is listed at most once.
 */
#ifndef DROVER_LISTING_H
#define DROVER_LISTING_H

#include "message.h"

#define LISTINGS_MAX 256 /* that wait for their askers to read */

struct agent;
struct listing;

struct listings {
    struct agent *agent;
    struct listing *first; /* oldest first */
    uint32_t count;
};

/* The container at *index or the next one; after those of slots come those that node.db does not
 * know. False: there is none. */
bool listing_view_at(struct agent *agent, uint32_t *index, struct container_view *view);

/* Answers to a query LIST. query NULL: upstream is told all, beside its HELLO. */
void listings_add(struct listings *listings, uint64_t origin, const struct query *query);
/* This asker can take more. */
void listings_pump(struct listings *listings, uint64_t origin);
/* This asker is gone. */
void listings_drop(struct listings *listings, uint64_t origin);

#endif
