/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest.h — what a node tells becomes events of ours: each once, and acknowledged when durable.
 *
 * Shape    struct ingest is one node: how far the events of each life of its agent were taken, and
 *          what of it is committed. ingest_take() turns a batch of events into changes of the
 *          store; ingest_committed() hears of each change that came back.
 * Units    seq of the node's ledger; epochs are random, one for each life of the agent.
 * Errors   none. An event beyond its epoch's head is new. One that is not beyond is late: told
 *          again, or out of order; the store knows by its key whether it had it.
 * Owner    struct member, or the simulator. The batch belongs to the caller.
 * Context  pure: no clock, descriptor, thread. A batch that does not commit ends the process, so
 *          that what was taken need never be given back.
 */
#ifndef DROVER_INGEST_H
#define DROVER_INGEST_H

#include "ctl_store.h"

#define INGEST_EPOCHS_MAX 64 /* of one node; the one that was used least recently goes */

struct ingest_mark {
    uint64_t epoch;
    uint64_t seq;
};

struct ingest {
    uint32_t node;
    uint64_t session; /* of the control channel, the caller's to set: what came in an earlier one is
                       * not acknowledged in it, for its node may have been put back between */
    struct ingest_mark highest;                   /* taken; seq 0: nothing */
    struct ingest_mark committed;                 /* what a HELLO is answered */
    struct ingest_mark epochs[INGEST_EPOCHS_MAX]; /* taken, by use; the last is the newest */
    uint32_t epoch_count;
};

void ingest_init(struct ingest *ingest, uint32_t node);
/* A head as the store has it; lowest seq first. */
void ingest_load(struct ingest *ingest, const struct ctl_head *head);

/*
 * Take a batch, in order.
 *   batch   append  an ADD_EVENT for each, `is_late` where it may be known; then the heads, and
 *                   what to acknowledge once all of it is durable
 * Events without seq or epoch are passed over. Returns how many are new beyond doubt.
 */
size_t ingest_take(struct ingest *ingest, const struct event_view *events, size_t count,
                   struct ctl_batch *batch);
/* A PUT_HEAD or ACKNOWLEDGE of this node is committed. Returns the seq to acknowledge; 0: none. */
uint64_t ingest_committed(struct ingest *ingest, const struct ctl_change *change);

#endif
