/* SPDX-License-Identifier: Apache-2.0 */
/*
 * database.h — a SQLite file of ours: made whole or not at all, and refused in words if it is not.
 *
 * Shape    struct database_kind says what a daemon's file is. The file (made beside its place and
 *          renamed, private) and its content (whose it is, version, migrations, pages) are apart:
 *          the latter works on any connection, also of another VFS.
 * Units    pages of the write-ahead log.
 * Errors   -errno with a fault in words: EUCLEAN damaged or foreign, ENOTSUP newer, EBUSY locked,
 *          EROFS, ENOSPC, ECANCELED. Never a fresh start where something is or was. What answers
 *          SQLite's own codes says so.
 * Owner    the caller owns connections and statements.
 * Context  a connection belongs to one thread at a time. Source: sqlite.org/wal.html,
 *          sqlite.org/howtocorrupt.html, sqlite.org/walformat.html.
 */
#ifndef DROVER_DATABASE_H
#define DROVER_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"

struct database_kind {
    const char *daemon; /* who makes and reads it */
    const char *file;   /* as people call it */
    const char *hint;   /* for one that is damaged */
    int application_id; /* PRAGMA application_id */
    int version;        /* PRAGMA user_version; it has migrations[] to each from the one before */
    const char *schema; /* of that version */
    const char *const *migrations; /* [1] from version 1 to 2, ...; [version] is not there */
    const char *const *parts;      /* tables that are checked however long the file is */
    size_t part_count;
};

/* ---- the file ---- */

/* Opens it, or makes it if nothing is there and nothing was; checks it. */
int database_open(const char *path, const struct database_kind *kind, sqlite3 **ret_db,
                  struct fault *fault);
int database_open_reader(const char *path, sqlite3 **ret_db);
/*
 * The log in its full length from the beginning: to sync what is overwritten takes two thirds of
 * the time of what grows a file (measured on ext4). What is behind the last frame is never read,
 * and without room it does without; a disk that fails is refused.
 */
int database_extend_log(const char *path, uint32_t pages, struct fault *fault);

/* ---- the content ---- */

/* Into an empty database. SQLite's code. */
int database_init_new(sqlite3 *db, const struct database_kind *kind);
/* Durability and checkpoints as we want them, before all else. SQLite's code. */
int database_set_up(sqlite3 *db);
/* Whose, writable, whole; an older version is brought up in one transaction, on a log that is
 * settled. `path` is for the words. */
int database_check(sqlite3 *db, const struct database_kind *kind, const char *path,
                   struct fault *fault);
/*
 * What is in the log may be in memory only: a predecessor was killed before its sync, or the sync
 * failed, and Linux never makes up for that (fsync(2)): what is committed behind it would be lost
 * with it. So the log is written once more as it is, and synced, before anything is told or added.
 * SQLite's code.
 */
int database_settle_log(sqlite3 *db);

/* ---- what SQLite says, in our words ---- */

/* SQLite's code as -errno. */
int database_error(sqlite3 *db, int code);
/* Words, in which `path` is what could not be `done`. Returns database_error(). */
int database_fault(sqlite3 *db, const struct database_kind *kind, int code, const char *done,
                   const char *path, struct fault *fault);

/* ---- statements ---- */

/* SQLite's code. */
int database_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **statements, size_t count);
/* Steps a statement that answers no rows, and makes it ready again. SQLite's code. */
int database_run(sqlite3_stmt *statement);
/* 64 bits go through SQLite's signed integers unchanged. */
void database_bind(sqlite3_stmt *statement, int place, uint64_t number);
void database_bind_text(sqlite3_stmt *statement, int place, const char *text);
/* NULL where there are none. */
void database_bind_octets(sqlite3_stmt *statement, int place, const void *data, size_t size_bytes);
uint64_t database_number(sqlite3_stmt *statement, int column);
/* What does not fit is damage: -EUCLEAN. */
int database_enum(sqlite3_stmt *statement, int column, unsigned count, unsigned *ret_value);
int database_text(sqlite3_stmt *statement, int column, char *text, size_t text_bytes);
int database_octets(sqlite3_stmt *statement, int column, uint8_t *octets, size_t size_bytes);

#endif
