/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl_store.h — what the controller must still know after any crash, whatever keeps it.
 *
 * Shape    changes of one turn go in as a batch and come out committed, in the order in which they
 *          were posted, with what the store found or numbered while it wrote them. Reads go in and
 *          come out filled. struct ctl_store_ops is one backend (SQLite now).
 * Units    *_wall_ns CLOCK_REALTIME; cursors number committed events, from 1, growing for ever.
 * Errors   words when it is opened, and never a fresh start. A commit that fails ends the
 *          controller: on_failed() (an fsync is never tried again).
 * Owner    batches and reads are the store's from post to the callback, then their poster's again.
 * Context  posts and callbacks on the loop's thread; nothing here blocks but open, load and close.
 */
#ifndef DROVER_CTL_STORE_H
#define DROVER_CTL_STORE_H

#include "command.h"
#include "message.h"

#define CTL_DIGEST_BYTES 32
#define CTL_NODES_MAX 4096                        /* ids are dense, from 0, and never given again */
#define CTL_READ_EVENTS_MAX (EVENT_BATCH_MAX - 1) /* with a gap before them, one answer */
#define CTL_RESULT_MIN_NS (UINT64_C(24) * 3600 * 1000000000) /* a receipt stays at least so long */

struct ctl_node {
    uint32_t id;
    char name[NAME_BYTES];
    char build[64];
    uint64_t seen_wall_ns;
};

/* How far the events of one life of a node's agent were taken. */
struct ctl_head {
    uint32_t node;
    uint64_t epoch;
    uint64_t seq;
    bool is_highest; /* of the node: what its HELLO is answered */
};

struct ctl_container {
    uint32_t node;
    char name[NAME_BYTES];
    uint8_t uuid[UUID_BYTES];
    struct octets view;   /* an encoded MESSAGE_ANSWER with this one container */
    struct octets config; /* codec_encode_config(); empty: not known, or as it was */
};

/* A command by its request id, as it is to be found again. */
struct ctl_command {
    char request[REQUEST_ID_BYTES];
    uint8_t digest[CTL_DIGEST_BYTES];
    uint32_t node;
    char container[NAME_BYTES];
    enum verb verb;
    uint64_t issued_wall_ns;   /* first */
    uint64_t deadline_wall_ns; /* 0: none */
    uint64_t closed_wall_ns;   /* 0: open */
    enum phase phase;          /* of the last receipt; UNSET: none */
    struct octets command;     /* the encoded MESSAGE_COMMAND; empty once it has ended for good */
    struct octets receipt;     /* the encoded MESSAGE_RECEIPT; empty: none yet */
};

enum ctl_change_kind {
    CTL_PUT_NODE,
    CTL_ADD_EVENT,      /* unless the store has (node, epoch, seq), or had it */
    CTL_PUT_HEAD,       /* in the batch of the events behind it */
    CTL_ACKNOWLEDGE,    /* writes nothing: all that was posted before it is durable */
    CTL_PUT_CONTAINER,  /* by node and name; the configuration is kept where none is given */
    CTL_DROP_CONTAINER, /* by node and name */
    CTL_ADD_COMMAND,    /* unless its request id is there */
    CTL_PUT_RECEIPT     /* phase, receipt, closed_wall_ns; never over one that has ended for good */
};

struct ctl_change {
    enum ctl_change_kind kind;
    union {
        struct ctl_node node;
        struct {
            uint32_t node;
            bool is_late; /* not beyond its epoch's head: the store knows if it is new */
            struct event event;
            uint64_t cursor; /* out: 0 if it was there already. Epoch 0: an event of our own */
        } add;
        struct ctl_head head;
        struct {
            uint32_t node;
            uint64_t seq;
            uint64_t session; /* in which they came: nobody else is to hear it */
        } acknowledge;
        struct ctl_container container;
        struct {
            struct ctl_command given;
            struct ctl_command *found; /* out: NULL if it was added */
        } command;
        struct ctl_command receipt;
    };
};

struct ctl_batch {
    struct ctl_batch *next;
    uint64_t now_wall_ns; /* of the turn: by it old receipts go */
    size_t count;
    size_t room;
    struct ctl_change *changes;
};

struct ctl_batch *ctl_batch_new(void);
/* Octets are copied. The pointer holds until the next add. */
struct ctl_change *ctl_batch_add(struct ctl_batch *batch, const struct ctl_change *change);
void ctl_batch_free(struct ctl_batch *batch);
/* Makes them a copy on the heap. */
void ctl_octets_own(struct octets *octets);
/* A copy with octets of its own; no memory ends the process, as everywhere in a batch. */
struct ctl_command *ctl_command_new(const struct ctl_command *command);
void ctl_command_free(struct ctl_command *command);

/* ---- reads ---- */

struct ctl_event {
    uint64_t cursor;
    uint32_t node;
    struct event event;
};

enum ctl_read_kind { CTL_READ_EVENTS, CTL_READ_COMMAND, CTL_READ_CONFIG };

struct ctl_read {
    struct ctl_read *next;
    enum ctl_read_kind kind;
    void *context; /* the poster's */
    int result;    /* out: -errno */

    /* EVENTS: all of these hold */
    uint64_t after;
    uint64_t until;
    uint64_t after_wall_ns;
    bool has_node;
    uint32_t node;
    bool has_uuid;
    uint8_t uuid[UUID_BYTES];
    bool has_name; /* of a container that had the name below */
    /* out */
    uint64_t position; /* looked at up to here */
    uint64_t lost;     /* events after `after` that are no longer kept: all up to ... */
    uint64_t lost_through;
    size_t count;
    struct ctl_event *events; /* oldest first; room for CTL_READ_EVENTS_MAX */

    /* COMMAND */
    char request[REQUEST_ID_BYTES];
    struct ctl_command *found; /* out; NULL: none */

    /* CONFIG of a container, by `node` and ... */
    char name[NAME_BYTES]; /* of EVENTS: see has_name */
    struct octets config;  /* out; empty: not known */
};

struct ctl_read *ctl_read_new(enum ctl_read_kind kind); /* NULL: no memory */
void ctl_read_free(struct ctl_read *read);

/* ---- at start ---- */

/* Each is borrowed for the call; non-zero ends the load with that. */
struct ctl_found {
    int (*node)(const struct ctl_node *node, void *context);
    int (*head)(const struct ctl_head *head, void *context); /* a node's, lowest seq first */
    int (*container)(const struct ctl_container *container, void *context);
    int (*command)(const struct ctl_command *command, void *context); /* those that are open */
    int (*last)(uint64_t cursor, void *context); /* of the newest event; 0: none */
};

/* ---- a backend ---- */

struct ctl_store;
typedef void (*ctl_committed_fn)(struct ctl_store *store, struct ctl_batch *batch_consumed);
typedef void (*ctl_answered_fn)(struct ctl_store *store, struct ctl_read *read_consumed);
typedef void (*ctl_failed_fn)(struct ctl_store *store, const struct fault *fault);

struct ctl_store_ops {
    int (*load)(struct ctl_store *store, const struct ctl_found *found, void *context,
                struct fault *fault);
    void (*post)(struct ctl_store *store, struct ctl_batch *batch_consumed);
    void (*read)(struct ctl_store *store, struct ctl_read *read_consumed);
    /* Commits what was posted; calls nobody any more. */
    void (*close)(struct ctl_store *store);
};

/* The head of each backend's own struct. */
struct ctl_store {
    const struct ctl_store_ops *ops;
    ctl_committed_fn on_committed;
    ctl_answered_fn on_answered;
    ctl_failed_fn on_failed;
    void *context; /* the user's */
};

#endif
