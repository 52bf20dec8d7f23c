/* SPDX-License-Identifier: Apache-2.0 */
/* controller.db: what may go, a few rows with each transaction. */
#include "ctl_store_sqlite.h"
#include "ingest.h"

#define PRUNE_PER_ADDED 2 /* a transaction that adds n forgets at most 2n + PRUNE_MORE of a kind */
#define PRUNE_MORE 16

static sqlite3_stmt *of(struct ctl_writer *writer, enum ctl_write_statement which)
{
    return writer->statements[which];
}

/* The cursor of the event that has `offset` older ones; 0: there is none. */
static int find_cursor(struct ctl_writer *writer, uint64_t offset, uint64_t *ret_cursor)
{
    sqlite3_stmt *statement = of(writer, CTL_W_EVENT_FIRST);

    database_bind(statement, 1, offset);
    int code = sqlite3_step(statement);
    *ret_cursor = code == SQLITE_ROW ? database_number(statement, 0) : 0;
    (void)sqlite3_reset(statement); /* says again what step said */
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* What went was had: it is not new when a node tells it again. */
static int forget(struct ctl_writer *writer, uint64_t node, uint64_t epoch, uint64_t seq)
{
    sqlite3_stmt *statement = of(writer, CTL_W_FORGET);

    database_bind(statement, 1, node);
    database_bind(statement, 2, epoch);
    database_bind(statement, 3, seq);
    int code = database_run(statement);
    if (code != SQLITE_OK)
        return code;
    statement = of(writer, CTL_W_HEADS_DROP);
    database_bind(statement, 1, node);
    database_bind(statement, 2, INGEST_EPOCHS_MAX);
    return database_run(statement);
}

static int forget_through(struct ctl_writer *writer, uint64_t cursor)
{
    sqlite3_stmt *statement = of(writer, CTL_W_FORGOTTEN);
    int code;

    database_bind(statement, 1, cursor);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        code = forget(writer, database_number(statement, 0), database_number(statement, 1),
                      database_number(statement, 2));
        if (code != SQLITE_OK)
            break;
    }
    (void)sqlite3_reset(statement); /* says again what step said */
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static uint64_t rows_max(const struct ctl_writer *writer)
{
    return PRUNE_PER_ADDED * writer->added + PRUNE_MORE;
}

static int prune_events(struct ctl_writer *writer)
{
    uint64_t most = rows_max(writer);
    uint64_t cursor = 0;

    if (writer->event_count <= writer->events_max)
        return SQLITE_OK;
    uint64_t count = writer->event_count - writer->events_max;
    count = count < most ? count : most;
    int code = find_cursor(writer, count - 1, &cursor);
    if (code == SQLITE_OK)
        code = forget_through(writer, cursor);
    if (code != SQLITE_OK)
        return code;
    database_bind(of(writer, CTL_W_EVENTS_DROP), 1, cursor);
    code = database_run(of(writer, CTL_W_EVENTS_DROP));
    if (code != SQLITE_OK)
        return code;
    writer->event_count -= count;
    return find_cursor(writer, 0, &writer->first_cursor);
}

/* By the wall clock: one that was set back keeps them longer. */
static int prune_commands(struct ctl_writer *writer)
{
    sqlite3_stmt *statement = of(writer, CTL_W_COMMANDS_DROP);

    if (writer->now_wall_ns < CTL_RESULT_MIN_NS)
        return SQLITE_OK;
    database_bind(statement, 1, writer->now_wall_ns - CTL_RESULT_MIN_NS);
    database_bind(statement, 2, rows_max(writer));
    return database_run(statement);
}

int ctl_writer_prune(struct ctl_writer *writer)
{
    int code = prune_events(writer);

    return code == SQLITE_OK ? prune_commands(writer) : code;
}
