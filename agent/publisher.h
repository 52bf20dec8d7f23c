/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publisher.h — committed events to whoever follows them, each at his own pace.
 *
 * Shape    struct follower is a position in the ledger and a way to send. New events come from a
 *          short ring in memory; for who is behind the worker `ledger` reads, a chunk at a time and
 *          one for each follower. A slow follower costs its position, never a queue.
 * Units    seq of the ledger.
 * Errors   a follower that cannot take more now answers false and is pumped again later.
 * Owner    the publisher owns followers from publisher_add() to publisher_remove().
 * Context  the loop's thread, which never reads the ledger.
 */
#ifndef DROVER_PUBLISHER_H
#define DROVER_PUBLISHER_H

#include "event.h"
#include "executor.h"
#include "store.h"

#define PUBLISHER_RECENT 512
#define PUBLISHER_CHUNK 64          /* events of one message */
#define PUBLISHER_FOLLOWERS_MAX 256 /* a reading one costs 40 KiB; more are refused (busy) */

struct agent;
struct follower;

/* is_last: nothing more will come (a query that does not follow). False: no room now. */
typedef bool (*follower_send_fn)(struct follower *follower, const struct event *events,
                                 size_t count, bool is_last);

/* The last word instead of a last send: -ENOENT, nothing was found that was sought; else it could
 * not be read. */
typedef void (*follower_fail_fn)(struct follower *follower, int error);

struct follower {
    struct follower *next;
    struct agent *agent;
    follower_send_fn send;
    follower_fail_fn fail;
    struct reading *reading; /* NULL: none is under way */
    uint64_t origin;         /* of the query; its end removes the follower */
    char request[REQUEST_ID_BYTES];
    uint64_t seq;    /* last sent */
    bool is_bounded; /* ends at until_seq; else it follows for ever */
    uint64_t until_seq;
    uint64_t after_wall_ns; /* only later ones */
    bool has_uuid;          /* of one container: */
    uint8_t uuid[UUID_BYTES];
    char name[NAME_BYTES]; /* of all that had it; "" any */
    bool is_sought;        /* none at all is an error */
    bool is_found;
    bool is_done;
};

struct publisher {
    struct agent *agent;
    struct store *store;
    struct executor *executor;
    struct follower *followers;
    uint32_t follower_count;
    bool is_stopped;
    struct event *recent;  /* a ring of PUBLISHER_RECENT */
    uint64_t published;    /* highest committed seq */
    uint64_t recent_first; /* seq of the oldest in the ring; 0: none */
};

/* agent is for those who send; store and executor are borrowed until publisher_stop(). */
int publisher_open(struct publisher *publisher, struct agent *agent, struct store *store,
                   struct executor *executor, uint64_t published);
/* They are durable now; called in order of seq. */
void publisher_post(struct publisher *publisher, const struct event *events, size_t count);
/* One more may be added. */
bool publisher_has_room(const struct publisher *publisher);
/* follower is copied to the heap; what is in memory is sent at once. NULL: and that was all. */
struct follower *publisher_add(struct publisher *publisher, const struct follower *follower);
void publisher_remove(struct publisher *publisher, struct follower *follower);
/* All of one client that is gone. */
void publisher_remove_origin(struct publisher *publisher, uint64_t origin);
void publisher_pump(struct publisher *publisher, struct follower *follower);
/* Those of a client that can take more again. */
void publisher_pump_origin(struct publisher *publisher, uint64_t origin);
/* Nothing is read any more, nor is anything being read when it returns. */
void publisher_stop(struct publisher *publisher);

#endif
