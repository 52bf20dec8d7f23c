/* SPDX-License-Identifier: Apache-2.0 */
/* node.db as a database: its tables and versions. How such a file lives is core/base/database.c. */
#include <errno.h>

#include "cleanup.h"
#include "database.h"
#include "store_parts.h"

/*
 * A container's row stays when the container is gone, as long as there are events of it: they name
 * it by its id, and its last_seq is where the chain of its events (event.prev) begins. There is
 * no second index on events: keeping one costs half the speed of adding them.
 */
/* clang-format off */
static const char schema[] =
    "CREATE TABLE node(only INTEGER PRIMARY KEY CHECK (only = 1), ledger_id TEXT NOT NULL,"
    " acked_epoch INTEGER NOT NULL, acked_seq INTEGER NOT NULL,"
    " gap_seq INTEGER NOT NULL DEFAULT 0, gap_count INTEGER NOT NULL DEFAULT 0,"
    " opened INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE container(id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, name TEXT NOT NULL,"
    " is_live INTEGER NOT NULL, last_seq INTEGER NOT NULL, revision INTEGER, generation INTEGER,"
    " state INTEGER, is_wanted_running INTEGER, is_restart_owed INTEGER, uid_base INTEGER,"
    " family INTEGER, is_ready_on_exec INTEGER, created_wall_ns INTEGER, started_wall_ns INTEGER,"
    " ended_wall_ns INTEGER, cause INTEGER, wait_status INTEGER, request TEXT,"
    " request_verb INTEGER, oom_kills INTEGER NOT NULL DEFAULT 0,"
    " late_keys INTEGER NOT NULL DEFAULT 0, is_boot_wanted INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX container_uuid ON container(uuid);"
    "CREATE INDEX container_name ON container(name);"
    "CREATE TABLE config(id INTEGER PRIMARY KEY, octets BLOB NOT NULL);"
    "CREATE TABLE event(seq INTEGER PRIMARY KEY, prev INTEGER NOT NULL,"
    " container INTEGER NOT NULL, time_wall_ns INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " generation INTEGER NOT NULL, type INTEGER NOT NULL, from_state INTEGER NOT NULL,"
    " to_state INTEGER NOT NULL, cause INTEGER NOT NULL, wait_status INTEGER,"
    " result INTEGER NOT NULL, request TEXT NOT NULL, detail TEXT NOT NULL);"
    "CREATE TABLE intent(request TEXT PRIMARY KEY, command_hash INTEGER NOT NULL,"
    " verb INTEGER NOT NULL, uuid BLOB NOT NULL, generation INTEGER NOT NULL,"
    " phase INTEGER NOT NULL, status INTEGER NOT NULL, error INTEGER NOT NULL,"
    " text TEXT NOT NULL, time_wall_ns INTEGER NOT NULL, applied INTEGER NOT NULL DEFAULT 0,"
    " at_next_start INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE result(id INTEGER PRIMARY KEY, request TEXT NOT NULL UNIQUE,"
    " command_hash INTEGER NOT NULL, verb INTEGER NOT NULL, uuid BLOB NOT NULL,"
    " generation INTEGER NOT NULL, phase INTEGER NOT NULL, status INTEGER NOT NULL,"
    " error INTEGER NOT NULL, text TEXT NOT NULL, time_wall_ns INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, applied INTEGER NOT NULL DEFAULT 0,"
    " at_next_start INTEGER NOT NULL DEFAULT 0);"
    "INSERT INTO node(only, ledger_id, acked_epoch, acked_seq) SELECT 1," /* RFC 9562: version 4 */
    " lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' ||"
    " substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (random() & 3), 1) ||"
    " substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))), 0, 0;";

/* [n] makes version n + 1 of version n. What was released is never changed. */
static const char *const migrations[STORE_VERSION] = {
    [1] = "ALTER TABLE node ADD COLUMN gap_seq INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE node ADD COLUMN gap_count INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE node ADD COLUMN opened INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE container ADD COLUMN oom_kills INTEGER NOT NULL DEFAULT 0;",
    [2] = "ALTER TABLE container ADD COLUMN late_keys INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE container ADD COLUMN is_boot_wanted INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE intent ADD COLUMN applied INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE intent ADD COLUMN at_next_start INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE result ADD COLUMN applied INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE result ADD COLUMN at_next_start INTEGER NOT NULL DEFAULT 0;",
};
/* clang-format on */

static const char *const parts[] = {"node", "container", "config", "intent", "result"};

static const struct database_kind kind = {
    .daemon = "drover-agent",
    .file = "node.db",
    /* SQLite lays an old log over whatever lies beside it. */
    .hint = "put a copy of node.db back and remove node.db-wal; the guests run on meanwhile",
    .application_id = 0x44726f76, /* "Drov" */
    .version = STORE_VERSION,
    .schema = schema,
    .migrations = migrations,
    .parts = parts,
    .part_count = COUNT_OF(parts),
};

int store_db_open(const char *path, sqlite3 **ret_db, struct fault *fault)
{
    sqlite3 *db = NULL;
    int result = database_open(path, &kind, &db, fault);

    if (result < 0)
        return result;
    result = database_extend_log(path, store_limits_default.wal_frames, fault);
    if (result < 0)
        (void)sqlite3_close(db); /* nothing was changed */
    else
        *ret_db = db;
    return result;
}

int store_db_init_new(sqlite3 *db, const char *ledger_id)
{
    sqlite3_stmt *statement = NULL;
    int code = database_init_new(db, &kind);

    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(db, "UPDATE node SET ledger_id=?1", -1, &statement, NULL);
    if (code != SQLITE_OK)
        return code;
    database_bind_text(statement, 1, ledger_id);
    code = database_run(statement);
    (void)sqlite3_finalize(statement); /* says again what step said */
    return code;
}

int store_db_check(sqlite3 *db, const char *path, struct fault *fault)
{
    return database_check(db, &kind, path, fault);
}

/* The index of the log is a file, too. SQLite keeps no errno of what did not let it grow. */
static int code_of(int code)
{
    return code == SQLITE_IOERR_SHMSIZE ? SQLITE_FULL : code;
}

int store_db_fault(sqlite3 *db, int code, const char *done, const char *path, struct fault *fault)
{
    return database_fault(db, &kind, code_of(code), done, path, fault);
}

bool store_db_is_room_missing(sqlite3 *db, int code)
{
    return database_error(db, code_of(code)) == -ENOSPC && code != SQLITE_IOERR_FSYNC &&
           code != SQLITE_IOERR_DIR_FSYNC;
}
