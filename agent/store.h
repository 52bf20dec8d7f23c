/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h — node.db: what this node must still know after any crash.
 *
 * Shape    rows of containers, the ledger of events, results by request id, what upstream has
 *          acknowledged. Changes go in as one batch a turn, committed together by a writer thread
 *          (group commit), in the order in which they were posted.
 * Units    *_wall_ns CLOCK_REALTIME; seq from 1, without a gap.
 * Errors   store_open(): a fault in words (corrupt, locked, newer) and never a fresh start. A
 *          commit that fails later ends the agent: what was promised durable is not (fsync is never
 *          retried).
 * Owner    the agent; batches belong to the store from store_post() until on_committed.
 * Context  store_post() and callbacks on the loop; reads by a connection of their own, on the loop
 *          for what the agent needs at start, on a worker thread else. SQLite, WAL,
 *          synchronous=FULL. Source: sqlite.org/wal.html, sqlite.org/howtocorrupt.html.
 */
#ifndef DROVER_STORE_H
#define DROVER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "fault.h"
#include "message.h"

#define STORE_VERSION 3
#define STORE_VERSION_FIRST 1 /* older ones never were; from here on we migrate */
#define STORE_BATCH_EVENTS_MAX 1024

/* One container as the node must find it again. */
struct store_row {
    uint8_t uuid[UUID_BYTES];
    char name[NAME_BYTES];
    struct octets config; /* codec_encode_config(); written only when has_config */
    bool has_config;
    uint64_t revision;
    uint64_t late_keys; /* of it, that the open generation was made without */
    uint64_t generation;
    enum ct_state state;
    bool is_wanted_running; /* desired: an operator started it and nobody stopped it */
    bool is_restart_owed;   /* the guest rebooted, or policy or operator will boot it again */
    uint32_t uid_base;      /* 0: privileged */
    uint32_t family;        /* enum family, of the present generation */
    bool is_ready_on_exec;
    uint64_t created_wall_ns;
    uint64_t started_wall_ns;
    uint64_t ended_wall_ns;
    uint64_t oom_kills; /* in the present generation's cgroup, that were told */
    enum cause cause;   /* of the last end */
    bool has_status;
    int wait_status;
    enum ct_boot boot;              /* column is_boot_wanted */
    char request[REQUEST_ID_BYTES]; /* command in progress; "" none */
    enum verb request_verb;
};

enum store_kind {
    STORE_PUT_ROW,    /* insert or replace by uuid; config kept when !has_config */
    STORE_DELETE_ROW, /* by uuid */
    STORE_ADD_EVENT,  /* numbered by the caller (seq, epoch) */
    STORE_PUT_INTENT, /* request id, verb, container, generation: before the first effect */
    STORE_PUT_RESULT, /* request id → receipt, closes the intent */
    STORE_ACK_EVENTS  /* upstream has them up to (epoch, seq) */
};

struct store_result {
    char request[REQUEST_ID_BYTES];
    uint64_t command_hash; /* another hash under the same id is request_id_reused */
    enum verb verb;
    uint8_t uuid[UUID_BYTES];
    uint64_t generation;
    enum phase phase; /* ACCEPTED: an open intent */
    enum status status;
    int error;
    char text[FAULT_TEXT_BYTES];
    uint64_t time_wall_ns;
    uint64_t applied; /* keys of a SET, as its receipt says */
    uint64_t at_next_start;
};

struct store_change {
    enum store_kind kind;
    union {
        struct store_row row; /* its config octets are copied by store_batch_add() */
        struct event event;
        struct store_result result; /* PUT_INTENT and PUT_RESULT */
        struct {
            uint64_t epoch;
            uint64_t seq;
            bool is_own; /* there is no upstream: they may go; what one acknowledged stays noted */
        } ack;
    };
};

struct store_batch; /* opaque list of changes */
struct store_batch *store_batch_new(void);
void store_batch_add(struct store_batch *batch, const struct store_change *change);
void store_batch_free(struct store_batch *batch); /* one that is not posted */

struct store;
struct uv_loop_s;
/* batch is freed after the call; context is store_post()'s. On the loop, in order of posting. */
typedef void (*store_committed_fn)(struct store *store, void *context);
/* A commit failed: the agent must end. */
typedef void (*store_failed_fn)(struct store *store, const struct fault *fault);

/* state_dir/node.db. ret_store is heap-made. */
int store_open(const char *state_dir, struct uv_loop_s *loop, store_committed_fn on_committed,
               store_failed_fn on_failed, struct store **ret_store, struct fault *fault);
/* Commits what was posted, joins the writer, calls the remaining on_committed. */
void store_close(struct store *store);
void store_post(struct store *store, struct store_batch *batch_consumed, void *context);

/* The ledger reached its bound, or the disk is full and the reserve given up: commands that change
 * something are to be refused, so that guests' own reboots and ends can still be written. */
bool store_is_full(const struct store *store);
/* Words for it. */
void store_full_fault(const struct store *store, struct fault *fault);

/* Random at creation, for ever: what PATH's xattr is compared with (uuid text). */
const char *store_ledger_id(const struct store *store);

/* Reads at start. found() returns false to stop. row.config is borrowed for the call. */
int store_read_rows(struct store *store, bool (*found)(const struct store_row *row, void *context),
                    void *context);
int store_read_results(struct store *store,
                       bool (*found)(const struct store_result *result, void *context),
                       void *context);
struct store_heads {
    uint64_t last_seq;
    uint64_t acked_epoch;
    uint64_t acked_seq;
    uint64_t first_seq; /* oldest kept; 0: none */
};
int store_read_heads(struct store *store, struct store_heads *ret_heads);

/* Which events: all fields hold. */
struct store_query {
    uint64_t after;         /* seq beyond it */
    uint64_t after_wall_ns; /* time_wall_ns beyond it */
    const uint8_t *uuid;    /* of one container; NULL: of any */
    const char *name;       /* likewise */
};
/* Oldest first, at most max. Any thread (a reading connection under a lock of its own). */
int store_read_events(struct store *store, const struct store_query *query,
                      struct event *ret_events, size_t max, size_t *ret_count);
/* Fills in what the ledger shows of the question. Any thread; it may take long. */
struct uplink_look;
struct store_reader;
int store_look(struct store *store, struct uplink_look *look);
int store_reader_look(struct store_reader *reader, struct uplink_look *look);
/* Reads end early with an error, and so do later ones. Any thread. */
void store_stop_reading(struct store *store);
/* One result by request id; -ENOENT. Any thread. */
int store_find_result(struct store *store, const char *request, struct store_result *ret_result);

#endif
