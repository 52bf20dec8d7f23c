/* SPDX-License-Identifier: Apache-2.0 */
/* A controller that takes a broken or foreign database for its own, or begins anew beside it,
 * forgets what it promised to keep. Files of each bad kind are given to the real daemon, which must
 * refuse in words, with its exit code, and leave the file as it is. */
#include "rig.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"

#define WORDS_BYTES 2048

static char words[WORDS_BYTES];

static void remove_own(const char *dir)
{
    char lock[128];

    (void)snprintf(lock, sizeof(lock), "%s/controller.lock", dir);
    (void)unlink(lock);
    (void)rmdir(dir);
}

/* The daemon on the rig's file; returns its exit code, its words are in `words`. */
static int run_daemon(void)
{
    char store[160];
    char state[96];
    char run[96];
    int pipe_fds[2];
    int status = 0;
    size_t length = 0;

    (void)snprintf(store, sizeof(store), "sqlite:%s", rig.path);
    (void)snprintf(state, sizeof(state), "%s/state", rig.dir);
    (void)snprintf(run, sizeof(run), "%s/run", rig.dir);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(pipe_fds[1], STDERR_FILENO);
        (void)execl(CTL_STORE_CONTROLLER, CTL_STORE_CONTROLLER, "--state-dir", state, "--run-dir",
                    run, "--config", "/dev/null", "--listen", "tcp://127.0.0.1:1", "--store", store,
                    (char *)NULL);
        _exit(127);
    }
    (void)close(pipe_fds[1]);
    for (ssize_t n = 1; n > 0 && length < sizeof(words) - 1; length += (size_t)(n > 0 ? n : 0))
        n = read(pipe_fds[0], words + length, sizeof(words) - 1 - length);
    words[length] = '\0';
    (void)close(pipe_fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    remove_own(state);
    remove_own(run);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect_refusal(int code, const char *text)
{
    assert_int_equal(run_daemon(), code);
    if (strstr(words, text) == NULL)
        fail_msg("not said: %s; but: %s", text, words);
    assert_non_null(strstr(words, rig.path));
}

static void put(const char *text, off_t at)
{
    AUTO_FD fd = open(rig.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
}

static uint64_t checksum(void)
{
    AUTO_FD fd = open(rig.path, O_RDONLY | O_CLOEXEC);
    uint64_t sum = UINT64_C(14695981039346656037);
    uint8_t chunk[4096];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof(chunk))) > 0)
        for (ssize_t i = 0; i < n; i++)
            sum = (sum ^ chunk[i]) * UINT64_C(1099511628211);
    return sum;
}

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(rig.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* A database with something in it, in one file. */
static int set_up(void **state)
{
    (void)rig_start(state);
    rig_node(0, "a");
    for (uint64_t seq = 1; seq <= 500; seq++)
        rig_event(0, 7, seq);
    rig_commit();
    rig_close();
    return 0;
}

static void expect_untouched_refusal(int code, const char *text)
{
    uint64_t before = checksum();

    expect_refusal(code, text);
    assert_int_equal(checksum(), before);
}

static void test_refusals__not_a_database__refused(void **state)
{
    (void)state;
    put("this was never a database, was it", 0);
    expect_untouched_refusal(1, "is not a database, or damaged");
}

static void test_refusals__pages_are_overwritten__refused(void **state)
{
    char junk[8193];

    (void)state;
    memset(junk, 0x5a, sizeof(junk) - 1);
    junk[sizeof(junk) - 1] = '\0';
    put(junk, 3 * 4096);
    expect_untouched_refusal(1, "damaged");
}

static void test_refusals__cut_short__refused(void **state)
{
    (void)state;
    assert_int_equal(truncate(rig.path, 4096 * 5), 0);
    expect_untouched_refusal(1, "damaged");
}

static void test_refusals__empty__refused(void **state)
{
    (void)state;
    assert_int_equal(truncate(rig.path, 0), 0);
    expect_untouched_refusal(1, "is empty: it is damaged");
}

static void test_refusals__of_another_program__refused(void **state)
{
    (void)state;
    run_sql("PRAGMA application_id = 7");
    expect_untouched_refusal(1, "is a database, but not of drover-controller");
}

/* node.db, given to the controller by mistake. */
static void test_refusals__of_the_agent__refused(void **state)
{
    (void)state;
    run_sql("PRAGMA application_id = 1148350326");
    expect_untouched_refusal(1, "is a database, but not of drover-controller");
}

static void test_refusals__a_newer_version__refused_and_says_which(void **state)
{
    (void)state;
    run_sql("PRAGMA user_version = 99");
    expect_untouched_refusal(1, "has version 99; this drover-controller knows none above 1");
}

static void test_refusals__no_version__refused(void **state)
{
    (void)state;
    run_sql("PRAGMA user_version = 0");
    expect_untouched_refusal(1, "has version 0, which never was");
}

static void test_refusals__locked_by_another__names_it(void **state)
{
    char holder[32];
    sqlite3 *db = NULL;

    (void)state;
    assert_int_equal(sqlite3_open(rig.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    (void)snprintf(holder, sizeof(holder), "process %d has locked it", (int)getpid());
    expect_refusal(8, holder);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_refusals__gone_but_its_log_is_there__refused(void **state)
{
    char log[128];

    (void)state;
    (void)snprintf(log, sizeof(log), "%s-wal", rig.path);
    assert_int_equal(rename(rig.path, log), 0);
    expect_refusal(1, "is gone, but its log");
    assert_int_equal(access(rig.path, F_OK), -1);
}

static void test_refusals__a_directory__refused(void **state)
{
    (void)state;
    assert_int_equal(unlink(rig.path), 0);
    assert_int_equal(mkdir(rig.path, 0700), 0);
    expect_refusal(1, "is a directory and not a file");
    assert_int_equal(rmdir(rig.path), 0);
}

static void test_refusals__other_schemes__refused_in_words(void **state)
{
    (void)state;
    (void)snprintf(rig.path, sizeof(rig.path), "%s/controller.db", rig.dir);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(STDERR_FILENO);
        (void)execl(CTL_STORE_CONTROLLER, CTL_STORE_CONTROLLER, "--config", "/dev/null", "--store",
                    "postgresql://localhost/drover", (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 2);
}

/* ---- file systems, in a mount namespace of our own ---- */

static void enter_namespace(void)
{
    if (unshare(CLONE_NEWNS) < 0) {
        print_message("skipped: no mount namespace of our own: %s\n", strerror(errno));
        skip();
    }
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

static void test_refusals__a_read_only_file_system__refused(void **state)
{
    (void)state;
    enter_namespace();
    assert_int_equal(mount(rig.path, rig.path, NULL, MS_BIND, NULL), 0);
    assert_int_equal(mount(NULL, rig.path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    expect_untouched_refusal(1, "it is read-only");
    assert_int_equal(umount2(rig.path, MNT_DETACH), 0);
}

/* What was committed before stays; what did not fit is not there in part. */
static void test_refusals__no_room__the_commit_fails_in_words_and_nothing_is_torn(void **state)
{
    struct fault fault = {0};
    char full[80];
    uint64_t seq = 0;
    int code = SQLITE_OK;

    (void)state;
    enter_namespace();
    (void)snprintf(full, sizeof(full), "%s/copy", rig.dir);
    assert_int_equal(mkdir(full, 0700), 0);
    assert_int_equal(mount("full", full, "tmpfs", 0, "size=2M,mode=0700"), 0);
    (void)snprintf(rig.path, sizeof(rig.path), "%s/controller.db", full);
    rig_open();
    rig_node(0, "a");
    rig_commit();
    while (code == SQLITE_OK) {
        assert_true(seq < 100000);
        for (unsigned n = 0; n < 100; n++)
            rig_event(0, 7, seq + n + 1);
        rig.batch->now_wall_ns = rig.now_wall_ns;
        code = ctl_writer_begin(&rig.writer, rig.now_wall_ns);
        if (code == SQLITE_OK)
            code = ctl_writer_apply(&rig.writer, rig.batch);
        if (code == SQLITE_OK)
            code = ctl_writer_commit(&rig.writer);
        seq += code == SQLITE_OK ? 100 : 0;
    }
    assert_int_equal(database_fault(rig.writer.db, &ctl_database, code, "write", rig.path, &fault),
                     -ENOSPC);
    assert_int_equal(fault.status, STATUS_STORE_FULL);
    rig_kill();

    assert_int_equal(mount(NULL, full, NULL, MS_REMOUNT, "size=8M"), 0);
    rig_open();
    assert_int_equal(rig_count(), seq);
    rig_kill();
    assert_int_equal(umount2(full, MNT_DETACH), 0);
    assert_int_equal(rmdir(full), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_refusals__not_a_database__refused),
        TEST(test_refusals__pages_are_overwritten__refused),
        TEST(test_refusals__cut_short__refused),
        TEST(test_refusals__empty__refused),
        TEST(test_refusals__of_another_program__refused),
        TEST(test_refusals__of_the_agent__refused),
        TEST(test_refusals__a_newer_version__refused_and_says_which),
        TEST(test_refusals__no_version__refused),
        TEST(test_refusals__locked_by_another__names_it),
        TEST(test_refusals__gone_but_its_log_is_there__refused),
        TEST(test_refusals__a_directory__refused),
        TEST(test_refusals__other_schemes__refused_in_words),
        TEST(test_refusals__a_read_only_file_system__refused),
        TEST(test_refusals__no_room__the_commit_fails_in_words_and_nothing_is_torn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
