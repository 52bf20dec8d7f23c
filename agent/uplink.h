/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uplink.h — events on their way to the controller: which go next, what is acknowledged, and what
 *            has to be told as a gap because one of the two ends was put back.
 *
 * Shape    struct uplink is positions in the ledger and the batches in flight. It asks for what it
 *          must know (a look into the ledger) and says what is to be done; upstream.c does it.
 * Units    seq of the ledger; counts of events and batches.
 * Errors   none: what a controller says that cannot be is not believed, and counted.
 * Owner    struct upstream.
 * Context  pure: no clock, descriptor or heap. The simulator drives it as the agent does.
 */
#ifndef DROVER_UPLINK_H
#define DROVER_UPLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

/* Sent and not yet acknowledged by the controller's commit. What has no room waits in the ledger.
 */
#define UPLINK_EVENTS_IN_FLIGHT 4096
#define UPLINK_BATCHES_IN_FLIGHT 64
/* ... and beyond what node.db knows as acknowledged: it drops none of these, so that what was sent
 * is never told as a gap (STORE_WINDOW_EVENTS). */
#define UPLINK_SEQS_AHEAD 8192
/* LIMIT: a head beyond this is not believed, since seqs would go on above it: all is sent again,
 * and upstream knows what it has by its epoch. */
#define UPLINK_HEAD_MAX (UINT64_C(1) << 62)

enum uplink_state {
    UPLINK_DOWN,    /* no session */
    UPLINK_LOOKING, /* the ledger is to be asked about what upstream has */
    UPLINK_GAP,     /* a gap is to be told... */
    UPLINK_TELLING, /* ...and is on its way into the ledger */
    UPLINK_SENDING
};

/* The newest event that upstream has committed, as HELLO_ANSWER tells it. seq 0: none. */
struct uplink_head {
    uint64_t epoch;
    uint64_t seq;
};

/* What the ledger shows of a head. number and head are the question's. */
struct uplink_look {
    uint64_t number;
    struct uplink_head head;
    uint64_t first;    /* oldest event that is kept; 0: none is */
    uint64_t last;     /* newest */
    uint64_t epoch_at; /* of the event at head.seq; 0: it is not kept */
    /* The rest of the ledger: */
    uint64_t last_of_epoch; /* highest seq up to head.seq of head.epoch; 0: none */
    bool is_rollback_told;  /* a gap of this head is in the ledger already, of either reason */
    bool is_pruned_told;
    uint64_t pruned_through; /* what such gaps count ends here; more may have gone since */
    uint64_t rollback_after; /* what that gap says */
};

enum uplink_reason {
    UPLINK_PRUNED,     /* upstream was put back beyond what is kept here */
    UPLINK_ROLLED_BACK /* the ledger was */
};

struct uplink_gap {
    enum uplink_reason reason;
    uint64_t after; /* count events after this seq */
    uint64_t count;
    uint64_t above; /* its own seq, and all later ones, are beyond this */
};

struct uplink_batch {
    struct uplink_head last;
    uint32_t count;
};

struct uplink {
    enum uplink_state state;
    struct uplink_head head;   /* of this session */
    uint64_t durable;          /* newest seq that is committed here */
    struct uplink_head acked;  /* upstream has all up to it */
    struct uplink_head stored; /* ... as node.db was told */
    uint64_t stored_durable;   /* ... and has committed */
    uint64_t sent;             /* in this session, or before it and acknowledged */
    uint64_t looks;            /* number of the last question */
    bool is_look_asked;
    struct uplink_gap gap;
    uint64_t gap_seq; /* of the last gap that was told; it may not be durable yet */
    bool is_gap_numbered;
    struct uplink_batch batches[UPLINK_BATCHES_IN_FLIGHT]; /* a ring, oldest first */
    uint32_t batch_first;
    uint32_t batch_count;
    uint32_t in_flight;    /* events in them */
    uint64_t strange_acks; /* of what was never sent, and heads that cannot be */
};

/* As node.db has it at start. */
void uplink_init(struct uplink *uplink, uint64_t durable, const struct uplink_head *acked);

/* A session stands, or is gone. */
void uplink_up(struct uplink *uplink, const struct uplink_head *head);
void uplink_down(struct uplink *uplink);

/* True once: the ledger is to be asked. The answer may take its time, and may come too late. */
bool uplink_wants_look(struct uplink *uplink, struct uplink_look *ret_question);
/* Without what the rest of the ledger holds, which takes time to find: is it enough? */
bool uplink_look_is_enough(const struct uplink_look *look);
/* For each event `gap` that the ledger holds beyond the head, oldest first: was it told of it? */
void uplink_look_at_gap(struct uplink_look *look, const char *detail);
void uplink_looked(struct uplink *uplink, const struct uplink_look *look);

/* True once: an event `gap` of the node is to be made durable in this turn. */
bool uplink_take_gap(struct uplink *uplink, struct uplink_gap *ret_gap);
void uplink_gap_format(const struct uplink_gap *gap, char ret_detail[EVENT_DETAIL_BYTES]);
/* The number that it got. */
void uplink_gap_numbered(struct uplink *uplink, uint64_t seq);

/* All up to this seq is durable here. */
void uplink_committed(struct uplink *uplink, uint64_t durable);
/* How many events after `sent` may go now, at most; 0: none. */
size_t uplink_room(const struct uplink *uplink);
/* One batch went, at most as many as there was room for. */
void uplink_sent(struct uplink *uplink, const struct event *last, size_t count);

enum uplink_ack { UPLINK_ACK_NEW, UPLINK_ACK_OLD, UPLINK_ACK_STRANGE };
/* EVENT_ACK. STRANGE: of what was never sent; it is not believed. */
enum uplink_ack uplink_acknowledge(struct uplink *uplink, uint64_t seq);
/* What upstream has is more than node.db was told; or less, and must be told before anything else.
 * Else it may wait for another change to go with. */
bool uplink_has_acked(const struct uplink *uplink);
bool uplink_is_acked_urgent(const struct uplink *uplink);
/* True: node.db is to know that upstream has all up to here. It may be less than it knew. */
bool uplink_take_acked(struct uplink *uplink, struct uplink_head *ret_acked);
/* It has committed that. */
void uplink_acked_committed(struct uplink *uplink, uint64_t seq);

#endif
