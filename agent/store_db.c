/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "database.h"
#include "store_parts.h"

#define TEXT_OF_(number) #number
#define TEXT_OF(number) TEXT_OF_(number)
#define CHECKED_PAGES_MAX 32768 /* 128 MiB; 0.25 s where they are in memory */

/*
 * A container's row stays when the container is gone, as long as there are events of it: they name
 * it by its id, and its last_seq is where the chain of its events (event.prev) begins. There is
 * no second index on events: keeping one costs half the speed of adding them.
 */
/* clang-format off */
static const char schema[] =
    "PRAGMA application_id = " TEXT_OF(STORE_APPLICATION_ID) ";"
    "BEGIN;"
    "CREATE TABLE node(only INTEGER PRIMARY KEY CHECK (only = 1), ledger_id TEXT NOT NULL,"
    " acked_epoch INTEGER NOT NULL, acked_seq INTEGER NOT NULL,"
    " gap_seq INTEGER NOT NULL DEFAULT 0, gap_count INTEGER NOT NULL DEFAULT 0,"
    " opened INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE container(id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, name TEXT NOT NULL,"
    " is_live INTEGER NOT NULL, last_seq INTEGER NOT NULL, revision INTEGER, generation INTEGER,"
    " state INTEGER, is_wanted_running INTEGER, is_restart_owed INTEGER, uid_base INTEGER,"
    " family INTEGER, is_ready_on_exec INTEGER, created_wall_ns INTEGER, started_wall_ns INTEGER,"
    " ended_wall_ns INTEGER, cause INTEGER, wait_status INTEGER, request TEXT,"
    " request_verb INTEGER, oom_kills INTEGER NOT NULL DEFAULT 0);"
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
    " text TEXT NOT NULL, time_wall_ns INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE result(id INTEGER PRIMARY KEY, request TEXT NOT NULL UNIQUE,"
    " command_hash INTEGER NOT NULL, verb INTEGER NOT NULL, uuid BLOB NOT NULL,"
    " generation INTEGER NOT NULL, phase INTEGER NOT NULL, status INTEGER NOT NULL,"
    " error INTEGER NOT NULL, text TEXT NOT NULL, time_wall_ns INTEGER NOT NULL,"
    " seq INTEGER NOT NULL);"
    "INSERT INTO node(only, ledger_id, acked_epoch, acked_seq) VALUES(1, '%s', 0, 0);"
    "PRAGMA user_version = " TEXT_OF(STORE_VERSION) ";"
    "COMMIT;";

/* [n] makes version n + 1 of version n. What was released is never changed. */
static const char *const migrations[STORE_VERSION] = {
    [1] = "ALTER TABLE node ADD COLUMN gap_seq INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE node ADD COLUMN gap_count INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE node ADD COLUMN opened INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE container ADD COLUMN oom_kills INTEGER NOT NULL DEFAULT 0;",
};
/* clang-format on */

/* ---- what SQLite says, in our words ---- */

static bool is_disk_full(sqlite3 *db, int code)
{
    int error = db == NULL ? 0 : sqlite3_system_errno(db);

    return (code & 0xff) == SQLITE_FULL ||
           ((code & 0xff) == SQLITE_IOERR && (error == ENOSPC || error == EDQUOT));
}

bool store_db_is_room_missing(sqlite3 *db, int code)
{
    return is_disk_full(db, code) && code != SQLITE_IOERR_FSYNC && code != SQLITE_IOERR_DIR_FSYNC;
}

int store_db_error(sqlite3 *db, int code)
{
    if (is_disk_full(db, code))
        return -ENOSPC;
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_CONSTRAINT: /* a number is there already: another has written */
    case SQLITE_ERROR:      /* our statements are right, so the tables are not ours */
        return -EUCLEAN;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_NOMEM:
        return -ENOMEM;
    }
    int error = db == NULL ? 0 : sqlite3_system_errno(db);
    return error == 0 ? -EIO : -error;
}

int store_db_fault(sqlite3 *db, int code, const char *done, const char *path, struct fault *fault)
{
    int result = store_db_error(db, code);
    const char *words = db == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(db);

    switch (-result) {
    case ENOSPC:
        fault_set(fault, STATUS_STORE_FULL, ENOSPC, "cannot %s %s: its file system is full", done,
                  path);
        fault_hint(fault, "make room there and start the agent again");
        break;
    case EBUSY:
        fault_set(fault, STATUS_BUSY, 0, "cannot %s %s: another process has locked it", done, path);
        fault_hint(fault, "end what has it open");
        break;
    case EUCLEAN:
        fault_set(fault, STATUS_FAILED, 0, "cannot %s %s: it is damaged (%s)", done, path, words);
        fault_hint(fault, STORE_HINT_DAMAGED);
        break;
    case EROFS:
        fault_set(fault, STATUS_FAILED, 0, "cannot %s %s: it is read-only", done, path);
        fault_hint(fault, "is its file system mounted read-only?");
        break;
    default:
        fault_set(fault, STATUS_FAILED, -result, "cannot %s %s: %s", done, path, words);
        fault_hint(fault, "look for errors of the disk in the kernel's log");
    }
    return result;
}

/* ---- a new one ---- */

int store_db_init_new(sqlite3 *db, const char *ledger_id)
{
    char sql[sizeof(schema) + UUID_TEXT_BYTES];

    (void)snprintf(sql, sizeof(sql), schema, ledger_id);
    int code =
        sqlite3_exec(db, "PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL;", NULL, NULL, NULL);
    return code == SQLITE_OK ? sqlite3_exec(db, sql, NULL, NULL, NULL) : code;
}

/* ---- one that is there ---- */

static int read_number(sqlite3 *db, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement); /* says again what step said */
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int check_whose(sqlite3 *db, const char *path, int64_t *ret_version, struct fault *fault)
{
    int64_t application = 0;
    int64_t version = 0;
    int code = read_number(db, "PRAGMA application_id", &application);

    if (code == SQLITE_OK)
        code = read_number(db, "PRAGMA user_version", &version);
    if (code == SQLITE_NOTADB) {
        fault_set(fault, STATUS_FAILED, 0, "%s is not a database, or damaged", path);
        fault_hint(fault, STORE_HINT_DAMAGED);
        return -EUCLEAN;
    }
    if (code != SQLITE_OK)
        return store_db_fault(db, code, "read", path, fault);
    if (application != STORE_APPLICATION_ID) {
        fault_set(fault, STATUS_FAILED, 0, "%s is a database, but not of drover-agent", path);
        fault_hint(fault, "move it away, or choose another --state-dir");
        return -EUCLEAN;
    }
    if (version > STORE_VERSION) {
        fault_set(fault, STATUS_UNSUPPORTED, 0,
                  "%s has version %d; this drover-agent knows none above %d", path, version,
                  (int64_t)STORE_VERSION);
        fault_hint(fault, "start the drover-agent that wrote it, or a newer one");
        return -ENOTSUP;
    }
    if (version < STORE_VERSION_FIRST) {
        fault_set(fault, STATUS_FAILED, 0, "%s has version %d, which never was: it is damaged",
                  path, version);
        fault_hint(fault, STORE_HINT_DAMAGED);
        return -EUCLEAN;
    }
    *ret_version = version;
    return 0;
}

/* From `version` to ours in one transaction: it is the old one or the new one after any crash. */
static int migrate(sqlite3 *db, int64_t version, const char *path, struct fault *fault)
{
    int code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    for (; code == SQLITE_OK && version < STORE_VERSION; version++)
        code = sqlite3_exec(db, migrations[version], NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, "PRAGMA user_version = " TEXT_OF(STORE_VERSION) "; COMMIT", NULL,
                            NULL, NULL);
    if (code == SQLITE_OK)
        return 0;
    int result = store_db_fault(db, code, "migrate", path, fault);
    (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* SQLite may have done it already */
    return result;
}

/*
 * quick_check reads every page and compares no index with its table. A long ledger is left out: it
 * would hold up the start, and what is wrong with it is found where it is read, pruned or added to.
 */
static int check_pages(sqlite3 *db, const char *sql, const char *path, struct fault *fault)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    int result = -EUCLEAN;

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code != SQLITE_ROW) {
        result = store_db_fault(db, code, "read", path, fault);
    } else {
        const char *words = (const char *)sqlite3_column_text(statement, 0);
        if (words != NULL && strcmp(words, "ok") == 0) {
            result = 0;
        } else {
            fault_set(fault, STATUS_FAILED, 0, "%s is damaged: %s", path,
                      words == NULL ? "" : words);
            fault_hint(fault, STORE_HINT_DAMAGED);
        }
    }
    (void)sqlite3_finalize(statement); /* says again what step said */
    return result;
}

static int check_whole(sqlite3 *db, const char *path, struct fault *fault)
{
    static const char *const whole[] = {"PRAGMA quick_check(1)"};
    static const char *const parts[] = {"PRAGMA quick_check(node)", "PRAGMA quick_check(container)",
                                        "PRAGMA quick_check(config)", "PRAGMA quick_check(intent)",
                                        "PRAGMA quick_check(result)"};
    const char *const *checks = whole;
    size_t count = COUNT_OF(whole);
    int64_t pages = 0;
    int result = 0;
    int code = read_number(db, "PRAGMA page_count", &pages);

    if (code != SQLITE_OK)
        return store_db_fault(db, code, "read", path, fault);
    if (pages > CHECKED_PAGES_MAX) {
        checks = parts;
        count = COUNT_OF(parts);
    }
    for (size_t i = 0; i < count && result == 0; i++)
        result = check_pages(db, checks[i], path, fault);
    return result;
}

int store_db_set_up(sqlite3 *db)
{
    (void)sqlite3_extended_result_codes(db, 1);
    (void)sqlite3_busy_timeout(db, STORE_BUSY_MS);
    /* Checkpoints are ours to time: SQLite's own would come before a commit is told. A log that a
     * long read has stretched beyond its first length is cut when it begins anew. */
    return sqlite3_exec(db,
                        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                        "PRAGMA journal_size_limit = 20000000;"
                        "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;",
                        NULL, NULL, NULL);
}

int store_db_check(sqlite3 *db, const char *path, struct fault *fault)
{
    int64_t version = 0;
    int result = 0;

    if (sqlite3_db_readonly(db, "main") == 1)
        result = store_db_fault(db, SQLITE_READONLY, "open", path, fault);
    if (result == 0)
        result = check_whose(db, path, &version, fault);
    if (result == 0) {
        int code = sqlite3_exec(db, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; ROLLBACK;", NULL,
                                NULL, NULL);
        if (code != SQLITE_OK)
            result = store_db_fault(db, code, "open", path, fault);
    }
    if (result == 0)
        result = check_whole(db, path, fault);
    if (result == 0) {
        int code = database_settle_log(db);
        if (code != SQLITE_OK)
            result = store_db_fault(db, code, "make durable", path, fault);
    }
    if (result == 0 && version < STORE_VERSION)
        result = migrate(db, version, path, fault);
    return result;
}

int store_db_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **statements, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int code =
            sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &statements[i], NULL);
        if (code != SQLITE_OK)
            return code;
    }
    return SQLITE_OK;
}
