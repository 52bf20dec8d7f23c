/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_seen.h — what a record of the keeper says more than those before it.
 *
 * Shape    a record is a level, said whole each time, and again to each new agent: its news become
 *          BOOTED, READY, ENDED or LAUNCH_FAILED, in this order, however they were joined.
 * Units    *_ns CLOCK_MONOTONIC, *_wall_ns CLOCK_REALTIME.
 * Errors   none; an older record than one that was seen says nothing.
 * Owner    struct slot holds one for the present launch.
 * Context  pure.
 */
#ifndef DROVER_RECORD_SEEN_H
#define DROVER_RECORD_SEEN_H

#include "container.h"
#include "keeper_wire.h"

#define RECORD_NEWS_MAX 3

struct record_seen {
    uint64_t change; /* highest that was observed */
    bool is_booted;
    bool is_ready;
    bool is_ended;
    bool is_stopping; /* the guest said STOPPING=1 */
};

/* When the keeper may forget what a record says. */
enum record_ack {
    RECORD_ACK_NOW,  /* at once: it says no end */
    RECORD_ACK_OWED, /* once the end is durable */
    RECORD_ACK_NONE  /* old news, or owed already */
};

struct record_news {
    struct observation list[RECORD_NEWS_MAX]; /* ct and fault are the caller's to fill in */
    size_t count;
    enum record_ack ack;
};

bool record_is_final(const struct kw_record *record);
void record_observe(struct record_seen *seen, const struct kw_record *record, const struct now *now,
                    struct record_news *ret_news);
/* As if all that it says had been observed: adoption tells it to the model by other means. */
void record_adopt(struct record_seen *seen, const struct kw_record *record, bool is_ready);

#endif
