/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn_core.h — one turn as data: what the model made of its inputs, as one batch of the store, and
 * what may leave only after that batch's commit.
 *
 * Shape    turn_core_step() takes inputs, turn_core_compose() makes a batch and a struct told of
 *          what came out, turn_core_tell() lets it go once the batch is durable. What a row or an
 *          effect needs of the world beside the model comes and goes through struct turn_ops.
 * Units    *_ns CLOCK_MONOTONIC, *_wall_ns CLOCK_REALTIME; seq from 1, without a gap but above what
 *          a ledger that was put back had told before.
 * Errors   none: lists have room by node_has_room().
 * Owner    turn.c has one in struct agent; tests/sim one a node. node and results are borrowed.
 * Context  no clock, descriptor, loop or thread; whoever owns the node.
 */
#ifndef DROVER_TURN_CORE_H
#define DROVER_TURN_CORE_H

#include "inbox.h"
#include "keeper_wire.h"
#include "node.h"
#include "results.h"
#include "store.h"

/* How a turn meets the world; each gets turn_core's context. None may step the model. */
struct turn_ops {
    /* While a batch is composed. */
    void (*settle_config)(void *context, const struct ct_receipt *receipt); /* CREATE, SET */
    void (*configure)(void *context, uint32_t index); /* its revision may be another now */
    /* The columns that the model does not hold: configuration, uid range, init's family. */
    void (*fill_row)(void *context, uint32_t index, struct store_row *row);
    void (*row_taken)(void *context, uint32_t index, bool is_freed); /* it is in the batch */
    /* A PREPARE, whose apply() is to come: what is made till then is dropped if it does not. */
    void (*begin)(void *context, const struct effect *effect);
    /* At once if it stands on nothing new, else after the commit. */
    void (*apply)(void *context, const struct effect *effect);
    /* After the commit. */
    void (*ack)(void *context, const struct kw_ack *ack);
    void (*publish)(void *context, const struct event *events, size_t count);
    void (*acked)(void *context, uint64_t seq); /* node.db knows that upstream has all up to it */
    void (*answer)(void *context, const struct ct_receipt *receipt);
};

#define TURN_CORE_NOBODY UINT32_MAX

struct turn_core {
    struct node *node;
    struct results *results;
    const struct turn_ops *ops;
    void *context;
    struct out out;
    uint64_t epoch;
    uint64_t seq;    /* last given out */
    bool is_ack_due; /* of upstream, up to ... */
    uint64_t ack_epoch;
    uint64_t ack_seq;
    bool is_acked_by_self; /* no controller will: an event counts as acknowledged at its commit */
    struct kw_ack *ended;  /* ends at the keeper that are not durable here yet; CT_MAX */
    uint32_t *ended_ct;    /* whose */
    size_t ended_count;
    bool has_loose_ack; /* one of nobody */
};

/* What waits for a batch's commit. Heap; whoever posted the batch owns it. */
struct told {
    struct turn_core *core;
    size_t effect_count, event_count, receipt_count, ack_count;
    struct effect *effects;
    struct event *events;
    struct ct_receipt *receipts;
    struct kw_ack *acks;
    bool is_acking; /* upstream's acknowledgement is in the batch: */
    uint64_t ack_seq;
};

/* -ENOMEM. The last four arguments stay the caller's. */
int turn_core_init(struct turn_core *core, struct node *node, struct results *results,
                   const struct turn_ops *ops, void *context);
void turn_core_close(struct turn_core *core);

/* Take inputs while there is room, then what is due. True: there is something to compose. */
bool turn_core_step(struct turn_core *core, struct inbox *inbox, const struct now *now);
/* A place in the turn's list for an event that no container's step tells; not numbered yet. */
struct event *turn_core_event(struct turn_core *core);
/* An event `gap` of the node. It and all after it are numbered beyond `above`. Returns its seq. */
uint64_t turn_core_gap(struct turn_core *core, uint64_t above, const char *detail,
                       uint64_t wall_ns);
/* Upstream has all events up to here; may be less than it had. */
void turn_core_ack_events(struct turn_core *core, uint64_t epoch, uint64_t seq);
/* An end at the keeper is acknowledged when it is durable here. Of no container any more
 * (TURN_CORE_NOBODY), or of one that went on: with the next commit, for what is on its way to the
 * disk may be that end. */
void turn_core_owe_ack(struct turn_core *core, uint32_t index, const struct kw_record *record);

/* After adoption: intents of what is no container, or no more. Nobody is left who would end them,
 * so they fail. True: some did, and are to be composed; there may be more. */
bool turn_core_close_intents(struct turn_core *core, const struct now *now);

/* All that came out since the last time goes into `batch`; effects that need no commit are applied.
 * Never NULL. */
struct told *turn_core_compose(struct turn_core *core, const struct now *now,
                               struct store_batch *batch);
/* The batch is durable. */
void turn_core_tell(struct told *told_consumed);
void told_free(struct told *told);

#endif
