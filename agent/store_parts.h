/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_parts.h — what the files of the store share: the database, its writer, its reader.
 *
 * Shape    struct store_writer is the one connection that changes node.db; struct store_reader the
 *          one that reads it. store.c joins them with the loop.
 * Units    *_wall_ns CLOCK_REALTIME; *_bytes octets; frames are pages in the write-ahead log.
 * Errors   -errno: EUCLEAN damaged, EBUSY locked, EROFS, ENOSPC; words come from store_db_fault().
 * Owner    struct store. Nothing outside agent/store*.c and its tests includes this.
 * Context  a connection belongs to one thread at a time. Source: sqlite.org/threadsafe.html.
 */
#ifndef DROVER_STORE_PARTS_H
#define DROVER_STORE_PARTS_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "store.h"
#include "store_limits.h"
#include "store_subjects.h"

#define STORE_GROUP_CHANGES 8192 /* one transaction; batches beyond wait for the next */
#define STORE_IDLE_ADDED 256     /* what a commit of nothing may prune for */
#define STORE_WALK_MAX 65536     /* seqs one walk back remembers; more take another walk */

struct store_batch {
    struct store_batch *next_posted; /* towards the writer */
    struct store_batch *next_told;   /* on the loop, all that were posted */
    uint64_t number;                 /* of this, or of the last before it that is not empty */
    void *context;
    uint64_t last_seq; /* of its events; 0: none */
    size_t count;
    size_t room;
    struct store_change *changes;
};

/* ---- store_db.c: node.db as a database; of another VFS it is opened by who has that ---- */

/* STATE/node.db, or a new one if nothing is there; checked whole. */
int store_db_open(const char *path, sqlite3 **ret_db, struct fault *fault);
/* Makes the tables of an empty database; ledger_id is a uuid's text. SQLite's code. */
int store_db_init_new(sqlite3 *db, const char *ledger_id);
/* After database_set_up(): whose it is, of which version, and whether it is whole. */
int store_db_check(sqlite3 *db, const char *path, struct fault *fault);
/* A write found no room. False for a sync that says so: what it lost is not known. */
bool store_db_is_room_missing(sqlite3 *db, int code);
/* As database_fault(). */
int store_db_fault(sqlite3 *db, int code, const char *done, const char *path, struct fault *fault);

/* ---- store_write.c: changes; store_prune.c: what may go; store_bound.c: what must ---- */

enum write_statement {
    W_BEGIN,
    W_COMMIT,
    W_EVENT,
    W_ROW_INSERT,
    W_ROW_UPDATE,
    W_ROW_HIDE,
    W_ROW_DROP,
    W_LAST_SEQ,
    W_CONFIG_PUT,
    W_CONFIG_MOVE,
    W_CONFIG_DROP,
    W_INTENT,
    W_INTENT_DROP,
    W_RESULT,
    W_ACK,
    W_OLD_EVENTS,
    W_EVENTS_DROP,
    W_OLD_RESULTS,
    W_RESULTS_STAMP,
    W_RESULTS_DROP,
    W_PAGES,
    W_FREE_PAGES,
    W_UNTOLD,
    W_WINDOW,
    W_EVENT_DROP,
    W_GAP,
    W_GAP_COUNT,
    W_COUNT
};

struct store_writer {
    sqlite3 *db;
    sqlite3_stmt *statements[W_COUNT];
    struct subjects subjects;
    struct store_limits limits;
    uint64_t first_seq; /* none before it is kept */
    uint64_t last_seq;
    uint64_t acked_seq;
    uint64_t now_ns;       /* CLOCK_MONOTONIC, of this transaction */
    uint64_t now_wall_ns;  /* ... and CLOCK_REALTIME; 0: none was yet */
    bool has_clock_jumped; /* the latter, since the last commit */
    uint64_t added;        /* events and results in it: the measure for pruning */
    uint64_t used_bytes;   /* pages of node.db that hold something */
    bool is_full;          /* beyond the ledger's bound, or not yet enough below it */
    bool is_behind;        /* more has to go than went with the last commit */
    uint32_t swept;        /* subjects that were looked at, in turn */
    uint64_t gap_seq;      /* the newest gap of ours; 0: none */
    uint64_t gap_count;
    bool is_gap_changed;
    uint64_t window_end; /* of limits.window_events beyond window_of; 0: not known */
    uint64_t window_of;  /* acked_seq then */
    uint64_t drop_after; /* what may go up to here is gone, ends apart */
    uint64_t drop_end_after;
    uint32_t page_bytes;
    uint32_t wal_frames; /* in the log after the last commit */
};

/* db_consumed is the writer's even where it fails. All but open answer SQLite codes. */
int store_writer_open(struct store_writer *writer, sqlite3 *db_consumed);
int store_writer_begin(struct store_writer *writer, uint64_t now_ns, uint64_t now_wall_ns);
int store_writer_apply(struct store_writer *writer, const struct store_batch *batch);
int store_writer_commit(struct store_writer *writer);
/* As if it had not begun. Only where store_db_is_room_missing() may it be tried again. */
int store_writer_rollback(struct store_writer *writer);
/* Moves the log into the database once it is long. */
int store_writer_checkpoint(struct store_writer *writer);
/* is_whole: nothing failed; else the log stays as it is for the next start to judge. */
void store_writer_close(struct store_writer *writer, bool is_whole);
/* Steps a statement that answers no rows, and makes it ready again. */
int store_writer_run(struct store_writer *writer, enum write_statement statement);
/* No event names it any more; the pointer is dead afterwards. */
int store_writer_drop(struct store_writer *writer, struct subject *subject);
int store_prune(struct store_writer *writer);
/* With used_bytes known: drops at most so many of what is not acknowledged. */
int store_bound(struct store_writer *writer, uint64_t drops_max);

/* ---- store_read.c, store_history.c, store_look.c ---- */

enum read_statement {
    R_BEGIN,
    R_COMMIT,
    R_ROWS,
    R_RESULTS,
    R_RESULT,
    R_INTENT,
    R_HEADS,
    R_EVENTS,
    R_EVENT,
    R_PREVIOUS,
    R_OLDER,
    R_CHAINS_BY_UUID,
    R_CHAINS_BY_NAME,
    R_EPOCH_LAST,
    R_GAPS,
    R_COUNT
};

/* Seqs of one container's events, oldest first: a long history is paged through one walk. */
struct walk {
    bool is_known;
    bool has_uuid;
    bool has_name;
    uint8_t uuid[UUID_BYTES];
    char name[NAME_BYTES];
    uint64_t after; /* complete from here on, up to ... */
    uint64_t after_wall_ns;
    uint64_t *seqs;
    size_t count;
    size_t room;
};

struct store_reader {
    sqlite3 *db;
    atomic_bool is_stopped;
    pthread_mutex_t lock; /* recursive: found() may read */
    sqlite3_stmt *statements[R_COUNT];
    struct walk walk;
    char ledger_id[UUID_TEXT_BYTES];
};

/* db_consumed is the reader's even where it fails: store_reader_close() follows all the same. */
int store_reader_open(struct store_reader *reader, sqlite3 *db_consumed);
void store_reader_close(struct store_reader *reader);
/* As store_read_*() of store.h. */
int store_reader_rows(struct store_reader *reader,
                      bool (*found)(const struct store_row *row, void *context), void *context);
int store_reader_results(struct store_reader *reader,
                         bool (*found)(const struct store_result *result, void *context),
                         void *context);
int store_reader_heads(struct store_reader *reader, struct store_heads *ret_heads);
int store_reader_events(struct store_reader *reader, const struct store_query *query,
                        struct event *ret_events, size_t max, size_t *ret_count);
int store_reader_result(struct store_reader *reader, const char *request,
                        struct store_result *ret_result);
/* Under the reader's lock: what is read in between is of one state of the ledger. */
int store_reader_begin(struct store_reader *reader);
void store_reader_end(struct store_reader *reader);

#endif
