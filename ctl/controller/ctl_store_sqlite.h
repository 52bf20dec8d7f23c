/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl_store_sqlite.h — controller.db: the SQLite backend of ctl_store.h.
 *
 * Shape    struct ctl_writer is the one connection that changes it, struct ctl_reader one that
 *          reads it: a synchronous core without thread, clock or file, which the simulator drives
 *          too. ctl_store_sqlite_open() puts a thread behind each.
 * Units    as in ctl_store.h.
 * Errors   writer: SQLite codes. reader: -errno.
 * Owner    a connection that was given (`_consumed`) is closed with its writer or reader.
 * Context  a writer and a reader belong to one thread each. WAL, synchronous=FULL.
 */
#ifndef DROVER_CTL_STORE_SQLITE_H
#define DROVER_CTL_STORE_SQLITE_H

#include <sqlite3.h>
#include <uv.h>

#include "ctl_store.h"
#include "database.h"

#define CTL_GROUP_CHANGES 8192     /* one transaction; batches beyond wait for the next */
#define CTL_WAL_FRAMES 4000        /* pages in the log: the commit that finds more moves them */
#define CTL_LIVES_MAX 1024         /* jumps of the cursor that are remembered */
#define CTL_READ_ROWS_MAX 20000    /* that one read looks at; the next goes on from there */
#define CTL_EVENTS_MAX_LEAST 1000u /* kept, whatever the option says */

extern const struct database_kind ctl_database;

/* ---- the core ---- */

enum ctl_write_statement {
    CTL_W_BEGIN,
    CTL_W_COMMIT,
    CTL_W_LIFE,
    CTL_W_LIVES_DROP,
    CTL_W_NODE,
    CTL_W_EVENT,
    CTL_W_HEAD,
    CTL_W_HEAD_HIGHEST,
    CTL_W_HEADS_DROP,
    CTL_W_CONTAINER,
    CTL_W_CONTAINER_DROP,
    CTL_W_COMMAND,
    CTL_W_COMMAND_FIND,
    CTL_W_RECEIPT,
    CTL_W_FORGOTTEN,
    CTL_W_FORGET,
    CTL_W_EVENTS_DROP,
    CTL_W_EVENT_FIRST,
    CTL_W_COMMANDS_DROP,
    CTL_W_COUNT
};

struct ctl_writer {
    sqlite3 *db;
    sqlite3_stmt *statements[CTL_W_COUNT];
    uint64_t events_max;
    uint64_t cursor;       /* the next is above it */
    uint64_t last_cursor;  /* of the newest event */
    uint64_t first_cursor; /* of the oldest; 0: none */
    uint64_t event_count;
    uint64_t now_wall_ns; /* of the transaction */
    uint64_t added;       /* events and commands in it: the measure for pruning */
    bool is_life_noted;   /* this life's first cursor is in the database */
    uint32_t wal_frames;
};

/* events_max: how many events stay. The first cursor of this life is beyond now_wall_ns, so that no
 * number comes twice from a database that was put back. */
int ctl_writer_open(struct ctl_writer *writer, sqlite3 *db_consumed, uint64_t events_max,
                    uint64_t now_wall_ns);
int ctl_writer_begin(struct ctl_writer *writer, uint64_t now_wall_ns);
/* Fills what is `out` in its changes. */
int ctl_writer_apply(struct ctl_writer *writer, struct ctl_batch *batch);
int ctl_writer_commit(struct ctl_writer *writer);
/* Moves the log into the database once it is long. */
int ctl_writer_checkpoint(struct ctl_writer *writer);
/* is_whole: nothing failed; else the log stays as it is for the next start to judge. */
void ctl_writer_close(struct ctl_writer *writer, bool is_whole);
int ctl_writer_prune(struct ctl_writer *writer);

enum ctl_read_statement {
    CTL_R_BEGIN,
    CTL_R_COMMIT,
    CTL_R_NODES,
    CTL_R_HEADS,
    CTL_R_CONTAINERS,
    CTL_R_COMMANDS,
    CTL_R_COMMAND,
    CTL_R_RANGE,
    CTL_R_LOST,
    CTL_R_EVENTS,
    CTL_R_HISTORY,
    CTL_R_CONFIG,
    CTL_R_COUNT
};

struct ctl_reader {
    sqlite3 *db;
    sqlite3_stmt *statements[CTL_R_COUNT];
};

#define CTL_COMMAND_COLUMNS                                                                        \
    "request, digest, node, container, verb, issued_wall_ns, deadline_wall_ns, closed_wall_ns,"    \
    " phase, command, receipt"
/* A row of those columns; heap-made. -EUCLEAN. */
int ctl_command_read(sqlite3_stmt *statement, struct ctl_command **ret_command);

int ctl_reader_open(struct ctl_reader *reader, sqlite3 *db_consumed);
int ctl_reader_load(struct ctl_reader *reader, const struct ctl_found *found, void *context);
/* Fills it; read->result is what is returned. */
int ctl_reader_read(struct ctl_reader *reader, struct ctl_read *read);
void ctl_reader_close(struct ctl_reader *reader);

/* ---- with threads, on a loop ---- */

struct ctl_store_options {
    const char *path;
    uint64_t events_max;
    uint64_t now_wall_ns;
    uv_loop_t *loop;
    ctl_committed_fn on_committed;
    ctl_answered_fn on_answered;
    ctl_failed_fn on_failed;
    void *context;
};

int ctl_store_sqlite_open(const struct ctl_store_options *options, struct ctl_store **ret_store,
                          struct fault *fault);

#endif
