/* SPDX-License-Identifier: Apache-2.0 */
/* A migration that is half done, or done twice, damages what it was to bring up. Databases in
 * memory of every older version of a kind made for the test are checked, with migrations that
 * fail. */
#include "database.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define VERSIONS 3

static const char *const migrations[VERSIONS] = {
    [1] = "ALTER TABLE thing ADD COLUMN two INTEGER NOT NULL DEFAULT 2;"
          "UPDATE thing SET one = one + 1;",
    [2] = "CREATE TABLE other(id INTEGER PRIMARY KEY); INSERT INTO other VALUES(7);",
};
static const char *const parts[] = {"thing"};
static const struct database_kind kind = {
    .daemon = "daemon",
    .file = "things.db",
    .hint = "what to do",
    .application_id = 77,
    .version = VERSIONS,
    .schema = "CREATE TABLE thing(id INTEGER PRIMARY KEY, one INTEGER NOT NULL,"
              " two INTEGER NOT NULL DEFAULT 2); CREATE TABLE other(id INTEGER PRIMARY KEY);",
    .migrations = migrations,
    .parts = parts,
    .part_count = 1,
};

static sqlite3 *db;
static struct fault fault;

static int set_up(void **state)
{
    (void)state;
    fault = (struct fault){0};
    return sqlite3_open(":memory:", &db) == SQLITE_OK ? database_set_up(db) : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return sqlite3_close(db);
}

static void run(const char *sql)
{
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static int64_t number(const char *sql)
{
    sqlite3_stmt *statement = NULL;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t found = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    return found;
}

/* As the first version made it. */
static void make_version_1(void)
{
    run("PRAGMA application_id = 77; PRAGMA user_version = 1;"
        "CREATE TABLE thing(id INTEGER PRIMARY KEY, one INTEGER NOT NULL);"
        "INSERT INTO thing VALUES(1, 10)");
}

static void test_database__new__is_of_its_version_and_stays_as_it_is(void **state)
{
    (void)state;
    assert_int_equal(database_init_new(db, &kind), SQLITE_OK);
    assert_int_equal(database_check(db, &kind, "things.db", &fault), 0);
    assert_int_equal(number("PRAGMA user_version"), VERSIONS);
    assert_int_equal(number("SELECT COUNT(*) FROM other"), 0);
}

static void test_database__each_older_version__is_brought_up_once(void **state)
{
    (void)state;
    make_version_1();
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(database_check(db, &kind, "things.db", &fault), 0);
        assert_int_equal(number("PRAGMA user_version"), VERSIONS);
        assert_int_equal(number("SELECT one FROM thing"), 11);
        assert_int_equal(number("SELECT two FROM thing"), 2);
        assert_int_equal(number("SELECT id FROM other"), 7);
    }
}

static void test_database__version_2__only_what_it_lacks_is_done(void **state)
{
    (void)state;
    make_version_1();
    run("ALTER TABLE thing ADD COLUMN two INTEGER NOT NULL DEFAULT 2; PRAGMA user_version = 2");
    assert_int_equal(database_check(db, &kind, "things.db", &fault), 0);
    assert_int_equal(number("SELECT one FROM thing"), 10);
    assert_int_equal(number("SELECT id FROM other"), 7);
}

static void test_database__a_migration_fails__nothing_of_it_is_there(void **state)
{
    (void)state;
    make_version_1();
    run("CREATE TABLE other(wrong TEXT)"); /* in the way of the second */
    assert_int_equal(database_check(db, &kind, "things.db", &fault), -EUCLEAN);
    assert_non_null(strstr(fault.text, "things.db"));
    assert_int_equal(number("PRAGMA user_version"), 1);
    assert_int_equal(number("SELECT one FROM thing"), 10);

    run("DROP TABLE other"); /* then all of it */
    assert_int_equal(database_check(db, &kind, "things.db", &fault), 0);
    assert_int_equal(number("SELECT one FROM thing"), 11);
}

static void test_database__not_ours_or_newer__refused_and_untouched(void **state)
{
    (void)state;
    make_version_1();
    run("PRAGMA user_version = 4");
    assert_int_equal(database_check(db, &kind, "things.db", &fault), -ENOTSUP);
    assert_int_equal(fault.status, STATUS_UNSUPPORTED);
    run("PRAGMA user_version = 1; PRAGMA application_id = 78");
    assert_int_equal(database_check(db, &kind, "things.db", &fault), -EUCLEAN);
    assert_int_equal(number("PRAGMA user_version"), 1);
    assert_int_equal(number("SELECT one FROM thing"), 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_database__new__is_of_its_version_and_stays_as_it_is),
        TEST(test_database__each_older_version__is_brought_up_once),
        TEST(test_database__version_2__only_what_it_lacks_is_done),
        TEST(test_database__a_migration_fails__nothing_of_it_is_there),
        TEST(test_database__not_ours_or_newer__refused_and_untouched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
