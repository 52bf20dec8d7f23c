/* SPDX-License-Identifier: Apache-2.0 */
#include "database.h"

#include <string.h>

#include "cleanup.h"

#define BUSY_MS 2000            /* another's lock is waited for so long, then we fail */
#define CHECKED_PAGES_MAX 32768 /* 128 MiB; 0.25 s where they are in memory */
#define SQL_BYTES 128

/* ---- a new one ---- */

static int set_mark(sqlite3 *db, const char *name, int value)
{
    char sql[SQL_BYTES];

    (void)sqlite3_snprintf(sizeof(sql), sql, "PRAGMA %s = %d", name, value);
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* The version comes with the rest: what has none was never whole. */
int database_init_new(sqlite3 *db, const struct database_kind *kind)
{
    int code =
        sqlite3_exec(db, "PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL;", NULL, NULL, NULL);

    if (code == SQLITE_OK)
        code = set_mark(db, "application_id", kind->application_id);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, kind->schema, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = set_mark(db, "user_version", kind->version);
    return code == SQLITE_OK ? sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) : code;
}

/* ---- one that is there ---- */

int database_set_up(sqlite3 *db)
{
    (void)sqlite3_extended_result_codes(db, 1);
    (void)sqlite3_busy_timeout(db, BUSY_MS);
    /* Checkpoints are ours to time: SQLite's own would come before a commit is told. A log that a
     * long read has stretched beyond its length is cut when it begins anew. */
    return sqlite3_exec(db,
                        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                        "PRAGMA journal_size_limit = 20000000;"
                        "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;",
                        NULL, NULL, NULL);
}

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

static int refuse_damaged(const struct database_kind *kind, const char *path, const char *words,
                          struct fault *fault)
{
    fault_set(fault, STATUS_FAILED, 0, "%s is damaged: %s", path, words);
    fault_hint(fault, kind->hint);
    return -EUCLEAN;
}

static int check_version(const struct database_kind *kind, int64_t version, const char *path,
                         struct fault *fault)
{
    char hint[FAULT_HINT_BYTES];

    if (version > kind->version) {
        fault_set(fault, STATUS_UNSUPPORTED, 0, "%s has version %d; this %s knows none above %d",
                  path, version, kind->daemon, (int64_t)kind->version);
        (void)sqlite3_snprintf(sizeof(hint), hint, "start the %s that wrote it, or a newer one",
                               kind->daemon);
        fault_hint(fault, hint);
        return -ENOTSUP;
    }
    if (version < 1) {
        fault_set(fault, STATUS_FAILED, 0, "%s has version %d, which never was: it is damaged",
                  path, version);
        fault_hint(fault, kind->hint);
        return -EUCLEAN;
    }
    return 0;
}

static int check_whose(sqlite3 *db, const struct database_kind *kind, const char *path,
                       int64_t *ret_version, struct fault *fault)
{
    int64_t application = 0;
    int code = read_number(db, "PRAGMA application_id", &application);

    if (code == SQLITE_OK)
        code = read_number(db, "PRAGMA user_version", ret_version);
    if (code != SQLITE_OK)
        return database_fault(db, kind, code, "read", path, fault);
    if (application != kind->application_id) {
        fault_set(fault, STATUS_FAILED, 0, "%s is a database, but not of %s", path, kind->daemon);
        fault_hint(fault, "move it away, or choose another --state-dir");
        return -EUCLEAN;
    }
    return check_version(kind, *ret_version, path, fault);
}

/* From `version` to ours in one transaction: it is the old one or the new one after any crash. */
static int migrate(sqlite3 *db, const struct database_kind *kind, int64_t version, const char *path,
                   struct fault *fault)
{
    int code = database_settle_log(db);

    if (code == SQLITE_OK)
        code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (; version < kind->version && code == SQLITE_OK; version++)
        code = sqlite3_exec(db, kind->migrations[version], NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = set_mark(db, "user_version", kind->version);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        return 0;
    int result = database_fault(db, kind, code, "bring up to this version", path, fault);
    (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* SQLite may have done it already */
    return result;
}

/*
 * quick_check reads every page and compares no index with its table. A long file is not read whole:
 * it would hold up the start, and what is wrong is found where it is read, pruned or added to.
 */
static int check_pages(sqlite3 *db, const struct database_kind *kind, const char *part,
                       const char *path, struct fault *fault)
{
    sqlite3_stmt *statement = NULL;
    char sql[SQL_BYTES];
    int result = 0;

    (void)sqlite3_snprintf(sizeof(sql), sql, "PRAGMA quick_check(%s)", part);
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code != SQLITE_ROW) {
        result = database_fault(db, kind, code, "read", path, fault);
    } else {
        const char *words = (const char *)sqlite3_column_text(statement, 0);
        if (words == NULL || strcmp(words, "ok") != 0)
            result = refuse_damaged(kind, path, words == NULL ? "" : words, fault);
    }
    (void)sqlite3_finalize(statement); /* says again what step said */
    return result;
}

static int check_whole(sqlite3 *db, const struct database_kind *kind, const char *path,
                       struct fault *fault)
{
    int64_t pages = 0;
    int result = 0;
    int code = read_number(db, "PRAGMA page_count", &pages);

    if (code != SQLITE_OK)
        return database_fault(db, kind, code, "read", path, fault);
    if (pages <= CHECKED_PAGES_MAX)
        return check_pages(db, kind, "1", path, fault);
    for (size_t i = 0; i < kind->part_count && result == 0; i++)
        result = check_pages(db, kind, kind->parts[i], path, fault);
    return result;
}

int database_check(sqlite3 *db, const struct database_kind *kind, const char *path,
                   struct fault *fault)
{
    int64_t version = 0;
    int result = 0;

    if (sqlite3_db_readonly(db, "main") == 1)
        result = database_fault(db, kind, SQLITE_READONLY, "open", path, fault);
    if (result == 0)
        result = check_whose(db, kind, path, &version, fault);
    if (result == 0) {
        int code = sqlite3_exec(db, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; ROLLBACK;", NULL,
                                NULL, NULL);
        if (code != SQLITE_OK)
            result = database_fault(db, kind, code, "open", path, fault);
    }
    if (result == 0)
        result = check_whole(db, kind, path, fault);
    return result == 0 && version < kind->version ? migrate(db, kind, version, path, fault)
                                                  : result;
}

/* ---- statements ---- */

int database_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **statements, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int code =
            sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &statements[i], NULL);
        if (code != SQLITE_OK)
            return code;
    }
    return SQLITE_OK;
}

int database_run(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);

    (void)sqlite3_reset(statement); /* says again what step said */
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

void database_bind(sqlite3_stmt *statement, int place, uint64_t number)
{
    (void)sqlite3_bind_int64(statement, place, (sqlite3_int64)number); /* cannot fail: no memory */
}

void database_bind_text(sqlite3_stmt *statement, int place, const char *text)
{
    (void)sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC);
}

void database_bind_octets(sqlite3_stmt *statement, int place, const void *data, size_t size_bytes)
{
    if (size_bytes == 0)
        (void)sqlite3_bind_null(statement, place);
    else
        (void)sqlite3_bind_blob64(statement, place, data, size_bytes, SQLITE_STATIC);
}

uint64_t database_number(sqlite3_stmt *statement, int column)
{
    return (uint64_t)sqlite3_column_int64(statement, column);
}

int database_enum(sqlite3_stmt *statement, int column, unsigned count, unsigned *ret_value)
{
    sqlite3_int64 value = sqlite3_column_int64(statement, column);

    if (value < 0 || value >= (sqlite3_int64)count)
        return -EUCLEAN;
    *ret_value = (unsigned)value;
    return 0;
}

int database_text(sqlite3_stmt *statement, int column, char *text, size_t text_bytes)
{
    const char *found = (const char *)sqlite3_column_text(statement, column);
    size_t length = (size_t)sqlite3_column_bytes(statement, column);

    if (found == NULL || length >= text_bytes)
        return -EUCLEAN;
    memcpy(text, found, length);
    text[length] = '\0';
    return 0;
}

int database_octets(sqlite3_stmt *statement, int column, uint8_t *octets, size_t size_bytes)
{
    const void *found = sqlite3_column_blob(statement, column);

    if (found == NULL || (size_t)sqlite3_column_bytes(statement, column) != size_bytes)
        return -EUCLEAN;
    memcpy(octets, found, size_bytes);
    return 0;
}
