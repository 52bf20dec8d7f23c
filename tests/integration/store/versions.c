/* SPDX-License-Identifier: Apache-2.0 */
/* An agent that is upgraded must know all that the one before it knew. A kept node.db of each older
 * version is opened and compared with what SQL says of it; migrating is ended at every write. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "shim.h"

#define SQL_BYTES_MAX (64 * 1024)
#define EVENTS 60 /* of the kept one */
#define PAGE 100

static struct event events[PAGE];

/* ---- the kept one ---- */

static sqlite3 *open_raw(void)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(rig_path("node.db"), &db), SQLITE_OK);
    return db;
}

static void run(sqlite3 *db, const char *sql)
{
    char *words = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &words) != SQLITE_OK)
        fail_msg("%s: %s", sql, words);
}

static void make_old(void)
{
    static char sql[SQL_BYTES_MAX];
    AUTO_FD fd = open(VERSION_1_SQL, O_RDONLY | O_CLOEXEC);
    sqlite3 *db = open_raw();

    assert_true(fd >= 0);
    ssize_t size_bytes = read(fd, sql, sizeof(sql) - 1);
    assert_true(size_bytes > 0 && size_bytes < (ssize_t)sizeof(sql) - 1);
    sql[size_bytes] = '\0';
    run(db, sql);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t read_version(void)
{
    sqlite3 *db = open_raw();
    sqlite3_stmt *statement = NULL;

    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t version = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return version;
}

/* ---- what came of it ---- */

/* Numbers of enumerators are for ever, so what SQL reads is what the store must say. */
static void check_event(sqlite3_stmt *raw, const struct event *event)
{
    assert_int_equal(sqlite3_step(raw), SQLITE_ROW);
    assert_int_equal(event->seq, sqlite3_column_int64(raw, 0));
    assert_int_equal(event->time_wall_ns, sqlite3_column_int64(raw, 1));
    assert_int_equal(event->epoch, sqlite3_column_int64(raw, 2));
    assert_int_equal(event->generation, sqlite3_column_int64(raw, 3));
    assert_int_equal(event->type, sqlite3_column_int(raw, 4));
    assert_int_equal(event->from, sqlite3_column_int(raw, 5));
    assert_int_equal(event->to, sqlite3_column_int(raw, 6));
    assert_int_equal(event->cause, sqlite3_column_int(raw, 7));
    assert_int_equal(event->has_status, sqlite3_column_type(raw, 8) != SQLITE_NULL);
    assert_int_equal(event->wait_status, sqlite3_column_int(raw, 8));
    assert_int_equal(event->result, sqlite3_column_int(raw, 9));
    assert_string_equal(event->request, (const char *)sqlite3_column_text(raw, 10));
    assert_string_equal(event->detail, (const char *)sqlite3_column_text(raw, 11));
    if (event->type == EVENT_GAP) /* the node's */
        return;
    assert_string_equal(event->name, (const char *)sqlite3_column_text(raw, 12));
    assert_memory_equal(event->uuid, sqlite3_column_blob(raw, 13), UUID_BYTES);
}

static void check_events(void)
{
    sqlite3 *db = open_raw();
    sqlite3_stmt *raw = NULL;
    size_t count = 0;

    assert_int_equal(sqlite3_prepare_v2(
                         db,
                         "SELECT seq, e.time_wall_ns, epoch, e.generation, type, from_state,"
                         " to_state, e.cause, e.wait_status, result, e.request, detail, name, uuid"
                         " FROM event e JOIN container c ON c.id = e.container ORDER BY seq",
                         -1, &raw, NULL),
                     SQLITE_OK);
    assert_int_equal(store_read_events(rig.store, &(struct store_query){0}, events, PAGE, &count),
                     0);
    assert_int_equal(count, EVENTS);
    for (size_t i = 0; i < count; i++)
        check_event(raw, &events[i]);
    assert_int_equal(sqlite3_step(raw), SQLITE_DONE);
    assert_int_equal(sqlite3_finalize(raw), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static bool on_row(const struct store_row *row, void *context)
{
    unsigned *count = context;

    assert_true(row->name[0] == 'w' && row->generation == (uint64_t)(row->name[4] - '0') + 7);
    assert_int_equal(row->created_wall_ns, 1000000 + row->name[4] - '0');
    assert_int_equal(row->oom_kills, 0); /* nobody had counted them */
    assert_int_equal(row->has_config, row->name[4] == '2');
    if (row->has_config)
        assert_memory_equal(row->config.data, "\2\0\377x\2", 5);
    ++*count;
    return true;
}

static bool on_result(const struct store_result *result, void *context)
{
    unsigned *count = context;
    unsigned n = (unsigned)(result->request[8] - '0');

    assert_int_equal(result->command_hash, 1000 + n);
    assert_int_equal(result->generation, n);
    assert_int_equal(result->phase, n % 3 == 0 ? PHASE_ACCEPTED : PHASE_DONE);
    assert_int_equal(result->time_wall_ns, UINT64_C(1700000000000000000) + n);
    ++*count;
    return true;
}

static void check_all(void)
{
    struct store_heads heads;
    unsigned rows = 0;
    unsigned results = 0;
    size_t count = 0;

    check_events();
    assert_int_equal(store_read_heads(rig.store, &heads), 0);
    assert_int_equal(heads.last_seq, EVENTS);
    assert_int_equal(heads.acked_seq, 40);
    assert_int_equal(heads.acked_epoch, 99);
    assert_string_equal(store_ledger_id(rig.store), "637d1365-09da-4281-ba23-d53ed1f9a751");
    assert_int_equal(store_read_rows(rig.store, on_row, &rows), 0);
    assert_int_equal(rows, 3);
    assert_int_equal(store_read_results(rig.store, on_result, &results), 0);
    assert_int_equal(results, 6);
    assert_int_equal(
        store_read_events(rig.store, &(struct store_query){.name = "web-4"}, events, PAGE, &count),
        0);
    assert_int_equal(count, EVENTS / 5); /* one that is gone */
}

static void test_version__1__has_all_of_it(void **state)
{
    struct store_change change = rig_row(1);

    (void)state;
    make_old();
    rig_open();
    check_all();

    rig_post_one(&change);
    change = rig_event(EVENTS + 1, 1);
    rig_post_one(&change);
    rig_settle();
    assert_int_equal(rig.told, 2);
    rig_close();

    assert_int_equal(read_version(), STORE_VERSION);
    rig_open(); /* and as one that was never old */
    size_t count = 0;
    assert_int_equal(
        store_read_events(rig.store, &(struct store_query){.name = "web-1"}, events, PAGE, &count),
        0);
    assert_int_equal(count, EVENTS / 5 + 1);
    rig_check_event(&events[count - 1], EVENTS + 1, 1);
}

static void test_version__1_that_cannot_be_migrated__is_refused_and_stays(void **state)
{
    struct fault fault = {0};

    (void)state;
    make_old();
    sqlite3 *db = open_raw();
    run(db, "ALTER TABLE container ADD COLUMN oom_kills INTEGER");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);

    assert_int_equal(rig_try_open(&fault), -EUCLEAN);

    assert_non_null(strstr(fault.text, "cannot bring up"));
    assert_non_null(strstr(fault.text, "node.db"));
    assert_string_not_equal(fault.hint, "");
    assert_int_equal(read_version(), 1);
    db = open_raw();
    assert_int_equal(sqlite3_exec(db, "SELECT opened FROM node", NULL, NULL, NULL), SQLITE_ERROR);
    assert_int_equal(sqlite3_close(db), SQLITE_OK); /* the steps before are undone */
}

/* ---- ended at every write and sync ---- */

/* True: it came to its end. */
static bool migrate_until(unsigned write_number, unsigned sync_number)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        shim_put();
        shim.write_fate = shim.sync_fate = SHIM_EXIT;
        shim.write_from = write_number;
        shim.sync_from = sync_number;
        shim.write_count = shim.sync_count = 1;
        struct fault fault = {0};
        if (uv_loop_init(&rig.loop) < 0 || rig_try_open(&fault) < 0)
            _exit(1);
        _exit(2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
    return WEXITSTATUS(status) == 2;
}

static void test_version__1_ended_at_each_write__is_migrated_by_the_next(void **state)
{
    unsigned ends = 0;

    for (unsigned kind = 0; kind < 2; kind++) {
        bool is_done = false;

        for (unsigned number = 1; !is_done; number++) {
            make_old();
            is_done = migrate_until(kind == 0 ? number : 0, kind == 1 ? number : 0);
            ends += !is_done;
            rig_open();
            check_all();
            assert_int_equal(rig_remove(state), 0);
            assert_int_equal(rig_make(state), 0);
        }
    }
    print_message("ended at %u writes and syncs\n", ends);
    assert_true(ends > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_make, rig_remove)
        RIG_TEST(test_version__1__has_all_of_it),
        RIG_TEST(test_version__1_that_cannot_be_migrated__is_refused_and_stays),
        RIG_TEST(test_version__1_ended_at_each_write__is_migrated_by_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
