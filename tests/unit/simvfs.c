/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is at stake: the simulator's verdict on the ledger is worth what its disks are worth. A disk
 * that forgets too little finds nothing; one that forgets what was synced accuses SQLite.
 * How: SQLite itself writes transactions, is stopped at every write and sync in turn, and must find
 * all that it said was committed; with syncs that do nothing the same test must find losses.
 */
#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "database.h"
#include "prng.h"
#include "vfs.h"

#define DISK "d"
#define PATH "d/node.db"
#define TRANSACTIONS 24
#define ROWS_EACH 3
#define CHECKPOINT_EACH 5
#define CRASHES_EACH 4

/* ---- a workload that knows what must be there ---- */

static sqlite3 *open_db(int *ret_code)
{
    sqlite3 *db = NULL;

    *ret_code = sqlite3_open_v2(PATH, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, SIMVFS_NAME);
    if (*ret_code == SQLITE_OK)
        *ret_code = sqlite3_exec(db,
                                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                 "PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY;",
                                 NULL, NULL, NULL);
    return db;
}

static int make_tables(sqlite3 *db)
{
    return sqlite3_exec(db,
                        "BEGIN; CREATE TABLE head(only INTEGER PRIMARY KEY, last INTEGER);"
                        "CREATE TABLE row(n INTEGER PRIMARY KEY, octets TEXT);"
                        "INSERT INTO head VALUES(1, 0); COMMIT;",
                        NULL, NULL, NULL);
}

/* Rows of one page and of several; octets tell the number, so that a row cannot be another's. */
static int add(sqlite3 *db, int64_t number)
{
    char sql[600];
    int length = 0;

    length += snprintf(sql, sizeof(sql), "BEGIN; UPDATE head SET last = %lld;", (long long)number);
    for (int i = 0; i < ROWS_EACH; i++)
        length += snprintf(sql + length, sizeof(sql) - (size_t)length,
                           "INSERT INTO row VALUES(%lld, printf('%%0%dd', %lld));",
                           (long long)(number * ROWS_EACH + i), i == 0 ? 5000 : 40 + i,
                           (long long)(number * ROWS_EACH + i));
    (void)snprintf(sql + length, sizeof(sql) - (size_t)length, "COMMIT;");
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int checkpoint(sqlite3 *db, int64_t number)
{
    int mode = number % (2 * CHECKPOINT_EACH) == 0 ? SQLITE_CHECKPOINT_TRUNCATE
                                                   : SQLITE_CHECKPOINT_PASSIVE;

    return sqlite3_wal_checkpoint_v2(db, NULL, mode, NULL, NULL);
}

/* Until something fails. Returns the number of the last transaction of which COMMIT returned. */
static int64_t work(int64_t committed, int64_t last)
{
    int code;
    sqlite3 *db = open_db(&code);

    if (code == SQLITE_OK && committed < 0) {
        code = make_tables(db);
        if (code == SQLITE_OK)
            code = simvfs_sync_directory(DISK);
        committed += code == SQLITE_OK;
    }
    while (code == SQLITE_OK && committed < last) {
        code = add(db, committed + 1);
        committed += code == SQLITE_OK;
        if (code == SQLITE_OK && committed % CHECKPOINT_EACH == 0)
            code = checkpoint(db, committed);
    }
    (void)sqlite3_close(db); /* of a process that is dead, mostly */
    return committed;
}

static int64_t ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return number;
}

/* The number of the last transaction that is there, -1 without tables, -2 where it is damaged. */
static int64_t find_last(void)
{
    int code;
    sqlite3 *db = open_db(&code);
    int64_t last = -2;

    if (code == SQLITE_OK && ask(db, "SELECT count(*) FROM sqlite_master") == 0)
        last = -1;
    else if (code == SQLITE_OK &&
             ask(db, "SELECT integrity_check = 'ok' FROM pragma_integrity_check") == 1)
        last = ask(db, "SELECT last FROM head");
    if (last >= 0 && (ask(db, "SELECT count(*) FROM row") != last * ROWS_EACH ||
                      ask(db, "SELECT count(*) FROM row WHERE CAST(octets AS INTEGER) != n") != 0))
        last = -2; /* half a transaction */
    (void)sqlite3_close(db);
    return last;
}

/* ---- stopped at every write ---- */

static bool is_intact(int64_t committed)
{
    int64_t last = find_last();

    return last >= committed && last <= committed + 1;
}

/* Stopped at call `stop`, with two deaths on the way back. Returns whether all was there. */
static bool is_kept(uint64_t stop, uint64_t seed, bool is_power, bool *ret_is_stopped)
{
    int64_t committed;

    simvfs_fail(DISK, SIMVFS_FAIL_STOP, stop);
    committed = work(-1, TRANSACTIONS);
    *ret_is_stopped = committed < TRANSACTIONS || simvfs_calls(DISK) == stop;
    if (is_power)
        simvfs_crash(DISK, seed);
    else
        simvfs_kill(DISK);
    simvfs_heal(DISK);
    if (!is_intact(committed))
        return false;
    assert_int_equal(simvfs_sync_directory(DISK), SQLITE_OK); /* it may be just made */
    committed = find_last();                                  /* what recovery chose stays so */
    simvfs_fail(DISK, SIMVFS_FAIL_STOP, seed % 16);
    committed = work(committed, committed + 3);
    simvfs_crash(DISK, seed + 1);
    simvfs_heal(DISK);
    return is_intact(committed);
}

/* Returns how often something was lost; all stops of the workload, by power or kill. */
static unsigned count_losses(bool is_noop, bool is_power, uint64_t *ret_stops)
{
    unsigned losses = 0;
    bool is_stopped = true;
    uint64_t stop;

    for (stop = 0; is_stopped; stop++)
        for (uint64_t crash = 0; crash < CRASHES_EACH; crash++) {
            simvfs_open(stop);
            simvfs_set_sync_noop(is_noop);
            losses += !is_kept(stop, stop * CRASHES_EACH + crash, is_power, &is_stopped);
        }
    *ret_stops = stop;
    simvfs_close();
    return losses;
}

static void test_simvfs__power_fails_at_every_write__loses_no_commit(void **state)
{
    uint64_t stops = 0;

    (void)state;
    assert_int_equal(count_losses(false, true, &stops), 0);
    assert_true(stops > TRANSACTIONS * 2); /* each has writes and a sync */
}

static void test_simvfs__killed_at_every_write__loses_no_commit(void **state)
{
    uint64_t stops = 0;

    (void)state;
    assert_int_equal(count_losses(false, false, &stops), 0);
    assert_true(stops > TRANSACTIONS * 2);
}

static void test_simvfs__syncs_do_nothing__loses_commits(void **state)
{
    uint64_t stops = 0;

    (void)state;
    unsigned losses = count_losses(true, true, &stops);
    assert_true(losses > stops); /* of CRASHES_EACH * stops */
}

/* ---- failures that a process survives ---- */

static void test_simvfs__disk_fills_at_every_write__keeps_what_was_committed(void **state)
{
    int64_t committed = 0;

    (void)state;
    for (uint64_t after = 0; committed < TRANSACTIONS; after++) {
        simvfs_open(after);
        simvfs_fail(DISK, SIMVFS_FAIL_FULL, after);
        committed = work(-1, TRANSACTIONS);
        simvfs_heal(DISK);
        assert_true(is_intact(committed));
        simvfs_crash(DISK, after);
        assert_true(is_intact(committed));
    }
    simvfs_close();
}

static void test_simvfs__no_room__says_full(void **state)
{
    int code;

    (void)state;
    simvfs_open(1);
    assert_int_equal(work(-1, 3), 3);
    sqlite3 *db = open_db(&code);
    assert_int_equal(code, SQLITE_OK);
    simvfs_set_room(DISK, 3000);
    assert_int_equal(add(db, 4), SQLITE_FULL);
    (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* SQLite may have done it */
    simvfs_heal(DISK);
    assert_int_equal(add(db, 4), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(find_last(), 4);
    simvfs_close();
}

static void test_simvfs__write_fails__fails_one_commit(void **state)
{
    int code;

    (void)state;
    simvfs_open(1);
    assert_int_equal(work(-1, 3), 3);
    sqlite3 *db = open_db(&code);
    simvfs_fail(DISK, SIMVFS_FAIL_WRITE, 1);
    assert_int_equal(add(db, 4), SQLITE_IOERR);
    assert_int_equal(sqlite3_extended_errcode(db), SQLITE_IOERR_WRITE);
    (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    assert_int_equal(add(db, 4), SQLITE_OK); /* once only */
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(find_last(), 4);
    simvfs_close();
}

/* A commit's sync fails and the process ends of it; the next one reads on and commits; the power
 * fails. Returns the last one that is there then. */
static int64_t commit_after_failed_sync(uint64_t seed, bool is_settled)
{
    int code;

    simvfs_open(seed);
    assert_int_equal(work(-1, 3), 3);
    sqlite3 *failed = open_db(&code);
    simvfs_fail(DISK, SIMVFS_FAIL_SYNC, 1); /* the first is of the log's new head */
    assert_int_equal(add(failed, 4), SQLITE_IOERR);
    simvfs_kill(DISK);
    (void)sqlite3_close(failed);

    sqlite3 *db = open_db(&code);
    assert_int_equal(ask(db, "SELECT last FROM head"), 4); /* from memory, not from the disk */
    if (is_settled)
        assert_int_equal(database_settle_log(db), SQLITE_OK);
    assert_int_equal(add(db, 5), SQLITE_OK);
    assert_true(simvfs_unsynced_bytes(DISK) > 0);
    simvfs_crash(DISK, seed);
    (void)sqlite3_close(db);
    int64_t last = find_last();
    simvfs_close();
    return last;
}

static void test_simvfs__sync_failed__no_later_one_makes_up_for_it(void **state)
{
    unsigned kept = 0;
    unsigned lost = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 32; seed++) {
        int64_t last = commit_after_failed_sync(seed, false);
        assert_true(last >= 3);
        kept += last == 5;
        lost += last < 5;
    }
    assert_true(kept > 0);
    assert_true(lost > 0);
}

static void test_database__log_is_settled_after_a_failed_sync__loses_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 256; seed++)
        assert_int_equal(commit_after_failed_sync(seed, true), 5);
}

/* ---- more than one connection, more than one life ---- */

static void test_simvfs__two_connections__one_writes_and_both_read(void **state)
{
    int code;

    (void)state;
    simvfs_open(1);
    assert_int_equal(work(-1, 2), 2);
    sqlite3 *writer = open_db(&code);
    sqlite3 *reader = open_db(&code);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT * FROM head", NULL, NULL, NULL), 0);
    assert_int_equal(add(writer, 3), SQLITE_OK);
    assert_int_equal(ask(reader, "SELECT last FROM head"), 2);
    assert_int_equal(sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(ask(reader, "SELECT last FROM head"), 3);
    assert_int_equal(sqlite3_exec(writer, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_BUSY);

    simvfs_kill(DISK);
    assert_int_equal(ask(reader, "SELECT last FROM head"), -1);
    assert_int_equal(sqlite3_system_errno(reader), EIO);
    assert_int_equal(find_last(), 3); /* the locks died with their holder */
    assert_int_equal(sqlite3_close(writer), SQLITE_OK);
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    assert_int_equal(find_last(), 3);
    simvfs_close();
}

static void test_simvfs__put_back__is_as_it_was(void **state)
{
    int code;

    (void)state;
    simvfs_open(1);
    assert_int_equal(work(-1, 7), 7);
    sqlite3 *db = open_db(&code);
    assert_int_equal(add(db, 8), SQLITE_OK);
    struct simvfs_snapshot *snapshot = simvfs_snapshot(DISK); /* the log with it */
    uint64_t digest = simvfs_digest(DISK);
    assert_int_equal(add(db, 9), SQLITE_OK);
    assert_true(simvfs_digest(DISK) != digest);

    simvfs_restore(DISK, snapshot);
    (void)sqlite3_close(db);
    assert_true(simvfs_digest(DISK) == digest);
    simvfs_crash(DISK, 1);
    assert_true(simvfs_digest(DISK) == digest);
    assert_int_equal(find_last(), 8);
    simvfs_snapshot_free(snapshot);
    simvfs_close();
}

static uint64_t run_seed(uint64_t seed)
{
    bool is_stopped;

    simvfs_open(seed);
    (void)is_kept(seed % 200, seed, true, &is_stopped);
    uint64_t digest = simvfs_digest(DISK);
    simvfs_close();
    return digest;
}

static void test_simvfs__same_seed__same_octets(void **state)
{
    unsigned different = 0;

    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        uint64_t digest = run_seed(seed);
        assert_true(run_seed(seed) == digest);
        different += run_seed(seed + 1000) != digest;
    }
    assert_true(different > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simvfs__power_fails_at_every_write__loses_no_commit),
        cmocka_unit_test(test_simvfs__killed_at_every_write__loses_no_commit),
        cmocka_unit_test(test_simvfs__syncs_do_nothing__loses_commits),
        cmocka_unit_test(test_simvfs__disk_fills_at_every_write__keeps_what_was_committed),
        cmocka_unit_test(test_simvfs__no_room__says_full),
        cmocka_unit_test(test_simvfs__write_fails__fails_one_commit),
        cmocka_unit_test(test_simvfs__sync_failed__no_later_one_makes_up_for_it),
        cmocka_unit_test(test_database__log_is_settled_after_a_failed_sync__loses_nothing),
        cmocka_unit_test(test_simvfs__two_connections__one_writes_and_both_read),
        cmocka_unit_test(test_simvfs__put_back__is_as_it_was),
        cmocka_unit_test(test_simvfs__same_seed__same_octets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
