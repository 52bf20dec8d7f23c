/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests.h — commands on their way to a node, and the receipts of those that came back.
 *
 * Shape    struct request is one command that is open, by its request id: who listens, and the last
 *          receipt. The store has it before it is sent, and each receipt before it is told; a
 *          request id that is not open here is looked for there. It is sent again after each
 *          reconnect and restart until its final receipt; the agent answers repeats.
 * Units    *_ns CLOCK_MONOTONIC, *_wall_ns CLOCK_REALTIME.
 * Errors   told to the client as receipts: NOT_SENT, RESULT_UNKNOWN, FAILED.
 * Owner    struct requests; at most REQUESTS_MAX are open.
 * Context  the loop's thread.
 */
#ifndef DROVER_REQUESTS_H
#define DROVER_REQUESTS_H

#include "codec.h"
#include "ctl_store.h"

#define REQUESTS_MAX 10000
#define REQUEST_BUCKETS 16384
#define REQUEST_LISTENERS_MAX 64
#define LOOKUPS_MAX 1024
#define NODE_BACK_NS UINT64_C(3000000000)     /* an agent that ends in order may be back so soon */
#define NODES_BACK_NS UINT64_C(15000000000)   /* all of them, after a start of ours */
#define REQUEST_AGAIN_NS UINT64_C(5000000000) /* no word for so long: asked again; doubled */
#define REQUEST_AGAIN_MAX_NS UINT64_C(60000000000) /* up to this */
#define REQUEST_LATE_NS UINT64_C(1000000000) /* beyond its time: the node's own answer goes first */
#define REQUEST_EXPIRES_NS (UINT64_C(12) * 3600 * 1000000000) /* since first issued: not sent */

struct controller;
struct member;

struct request {
    struct request *chain; /* of its bucket */
    struct request *next;  /* oldest first */
    struct request *prev;
    char id[REQUEST_ID_BYTES];
    uint8_t digest[CTL_DIGEST_BYTES]; /* of the command as asked, but for its time left */
    struct member *member;
    char container[NAME_BYTES]; /* as it is named there */
    enum verb verb;
    uint64_t issued_wall_ns; /* first */
    uint64_t deadline_ns;    /* 0: none */
    uint64_t expires_ns;     /* not sent from then on */
    uint64_t again_ns;       /* when its node is asked again: it had no room for the receipt */
    uint64_t again_wait_ns;
    struct buffer command; /* as it is sent */
    struct buffer receipt; /* the last one, encoded; empty: none yet */
    bool is_claimed;       /* the store has it as ours: it may be sent */
    bool is_sent;
    bool is_closed;      /* its final receipt is being stored */
    uint64_t *listeners; /* clients */
    uint32_t listener_count;
};

/* A request id that is looked for in the store, with the message that waits for it. */
struct lookup {
    struct lookup *next;
    struct ctl_read *read;
    uint64_t client;
    struct buffer message;
    bool is_asked;
};

struct requests {
    struct request *buckets[REQUEST_BUCKETS];
    struct request *first; /* open, by next */
    struct request *last;
    uint32_t count;
    struct lookup *lookups;
    uint32_t lookup_count;
};

void requests_close(struct requests *requests);
/* One that was open when the controller last ended. */
int requests_load(struct controller *controller, const struct ctl_command *command);

/* A client's command. is_asked as for controller_take(). */
void requests_take(struct controller *controller, uint64_t client, const struct message *message,
                   bool is_asked);
void requests_take_receipt(struct controller *controller, struct member *member,
                           struct receipt *receipt);
/* An ADD_COMMAND of ours is committed: it is sent, or somebody had that request id. */
void requests_claimed(struct controller *controller, const struct ctl_change *change);
/* A PUT_RECEIPT is committed: it is told. */
void requests_recorded(struct controller *controller, const struct ctl_change *change);
/* What the store answered to a lookup of ours. */
void requests_take_read(struct controller *controller, struct ctl_read *read_consumed);
/* Its control session is new: what is open there is sent again. */
void requests_member_up(struct controller *controller, struct member *member);
void requests_member_down(struct controller *controller, struct member *member);
uint64_t requests_sweep(struct controller *controller);

/* ---- requests_list.c: those that are open ---- */

struct request *requests_find(struct requests *requests, const char *id); /* or NULL */
/* NULL: REQUESTS_MAX are open, or no memory. */
struct request *requests_add(struct requests *requests, const char *id, struct member *member,
                             enum verb verb, const char *container);
void requests_remove(struct requests *requests, struct request *request);
/* False: REQUEST_LISTENERS_MAX do so already. */
bool requests_listen(struct request *request, uint64_t client);
/* -errno of the codec: without a digest a command cannot be told from another. */
int requests_digest(const struct message *message, uint8_t ret_digest[CTL_DIGEST_BYTES]);
/* NULL: there are LOOKUPS_MAX, or no memory. Its read is the caller's to post. */
struct lookup *lookups_add(struct requests *requests, uint64_t client,
                           const struct message *message);
/* The one that this answers; the caller frees it. */
struct lookup *lookups_take(struct requests *requests, const struct ctl_read *read);
void lookups_free(struct lookup *lookup);
/* An open CREATE of that name; NULL: none. */
const struct request *requests_find_create(const struct requests *requests, const char *container);

#endif
