/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests.h — commands on their way to a node, and the receipts of those that came back.
 *
 * Shape    struct request is one command by its request id: who listens, and the last receipt. It
 *          is sent again after each reconnect until its final receipt; the agent answers repeats.
 * Units    *_ns CLOCK_MONOTONIC.
 * Errors   told to the client as receipts: NOT_SENT, RESULT_UNKNOWN, FAILED.
 * Owner    struct requests; at most REQUESTS_MAX, the oldest finished ones go first.
 * Context  the loop's thread. LIMIT: in memory; after a restart the nodes' results answer repeats.
 */
#ifndef DROVER_REQUESTS_H
#define DROVER_REQUESTS_H

#include "codec.h"

#define REQUESTS_MAX 10000
#define REQUEST_BUCKETS 16384
#define REQUEST_LISTENERS_MAX 64
#define REQUEST_DIGEST_BYTES 32
#define NODE_LOST_NS UINT64_C(10000000000)    /* down for so long: results are told as unknown */
#define REQUEST_AGAIN_NS UINT64_C(5000000000) /* no word for so long: asked again; doubled */
#define REQUEST_AGAIN_MAX_NS UINT64_C(60000000000) /* up to this */
#define REQUEST_LATE_NS UINT64_C(1000000000) /* beyond its time: the node's own answer goes first */

struct controller;
struct member;

struct request {
    struct request *chain; /* of its bucket */
    struct request *next;  /* of open or of finished, oldest first */
    struct request *prev;
    char id[REQUEST_ID_BYTES];
    uint8_t digest[REQUEST_DIGEST_BYTES]; /* of the command as asked, but for its time left */
    struct member *member;
    char container[NAME_BYTES]; /* as it is named there */
    enum verb verb;
    uint64_t deadline_ns; /* 0: none */
    uint64_t again_ns;    /* when its node is asked again: it had no room for the receipt */
    uint64_t again_wait_ns;
    struct buffer command; /* as it is sent; empty once finished for good */
    struct buffer receipt; /* the last one, encoded; empty: none yet */
    bool is_finished;
    uint64_t *listeners; /* clients */
    uint32_t listener_count;
};

struct request_list {
    struct request *first;
    struct request *last;
};

struct requests {
    struct request *buckets[REQUEST_BUCKETS];
    struct request_list open;
    struct request_list finished;
    uint32_t count;
};

void requests_close(struct requests *requests);

/* A client's command. is_asked as for controller_take(). */
void requests_take(struct controller *controller, uint64_t client, const struct message *message,
                   bool is_asked);
void requests_take_receipt(struct controller *controller, struct member *member,
                           struct receipt *receipt);
/* Its control session is new: what is open there is sent again. */
void requests_member_up(struct controller *controller, struct member *member);
void requests_member_down(struct controller *controller, struct member *member);
uint64_t requests_sweep(struct controller *controller);

#endif
