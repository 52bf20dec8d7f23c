/* SPDX-License-Identifier: Apache-2.0 */
/* An agent that begins anew over a node.db it cannot read forgets its guests. Each way in which the
 * file can be wrong is made by hand; the store must say so, and leave every octet as it was. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"

#define FILE_BYTES_MAX (1 << 20)
#define EVENTS 3000
#define VERSION_OFFSET 60 /* sqlite.org/fileformat.html 1.3: big-endian, four octets */
#define APPLICATION_OFFSET 68
#define LOCKS_OFFSET 0x40000000 /* os_unix.c: pending, reserved, shared */

static uint8_t before[FILE_BYTES_MAX];
static uint8_t after[FILE_BYTES_MAX];

static size_t read_file(const char *name, uint8_t *data)
{
    AUTO_FD fd = open(rig_path(name), O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    ssize_t size_bytes = read(fd, data, FILE_BYTES_MAX);
    assert_true(size_bytes >= 0 && size_bytes < FILE_BYTES_MAX);
    return (size_t)size_bytes;
}

static void write_at(const char *name, off_t offset, const void *data, size_t size_bytes)
{
    AUTO_FD fd = open(rig_path(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size_bytes, offset), size_bytes);
}

static void write_number(off_t offset, uint32_t number)
{
    uint8_t octets[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
                         (uint8_t)number};

    write_at("node.db", offset, octets, sizeof(octets));
}

/* A good one, closed. */
static void make_good(void)
{
    struct store_change change = rig_row(1);

    rig_open();
    rig_post_one(&change);
    rig_post_events(1, EVENTS, 5);
    rig_settle();
    rig_close();
}

static void check_refused(int error, enum status status, const char *words)
{
    struct fault fault = {0};
    struct store *store = rig.store;

    int result = rig_try_open(&fault);

    if (result == 0)
        fail_msg("opened, where \"%s\" was to be said", words);
    if (strstr(fault.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", fault.text, words);
    assert_non_null(strstr(fault.text, "node.db"));
    assert_string_not_equal(fault.hint, "");
    assert_int_equal(result, error);
    assert_int_equal(fault.status, status);
    assert_ptr_equal(rig.store, store);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT); /* nothing was left on the loop */
}

static void check_refused_untouched(int error, enum status status, const char *words)
{
    size_t size_bytes = read_file("node.db", before);

    check_refused(error, status, words);

    assert_int_equal(read_file("node.db", after), size_bytes);
    assert_memory_equal(before, after, size_bytes);
}

static void test_store__not_a_database__is_refused(void **state)
{
    char garbage[8192];

    (void)state;
    memset(garbage, 'g', sizeof(garbage));
    write_at("node.db", 0, garbage, sizeof(garbage));
    check_refused_untouched(-EUCLEAN, STATUS_FAILED, "not a database");
}

static void test_store__short_text__is_refused(void **state)
{
    (void)state;
    write_at("node.db", 0, "hello", 5);
    check_refused_untouched(-EUCLEAN, STATUS_FAILED, "not a database");
}

static void test_store__empty_file__is_refused(void **state)
{
    (void)state;
    write_at("node.db", 0, "", 0);
    check_refused_untouched(-EUCLEAN, STATUS_FAILED, "empty");
}

static void test_store__newer_version__is_refused(void **state)
{
    (void)state;
    make_good();
    write_number(VERSION_OFFSET, STORE_VERSION + 1);
    char words[32];
    (void)snprintf(words, sizeof(words), "version %d", STORE_VERSION + 1);
    check_refused_untouched(-ENOTSUP, STATUS_UNSUPPORTED, words);

    write_number(VERSION_OFFSET, STORE_VERSION);
    rig_open();
}

static void test_store__version_that_never_was__is_refused(void **state)
{
    (void)state;
    make_good();
    write_number(VERSION_OFFSET, 0);
    check_refused_untouched(-EUCLEAN, STATUS_FAILED, "version 0");
}

static void test_store__database_of_another_program__is_refused(void **state)
{
    (void)state;
    make_good();
    write_number(APPLICATION_OFFSET, 0);
    check_refused_untouched(-EUCLEAN, STATUS_FAILED, "not of drover-agent");
}

static void test_store__cut_off__is_refused(void **state)
{
    (void)state;
    make_good();
    assert_int_equal(truncate(rig_path("node.db"), 5 * 4096), 0);
    check_refused_untouched(-EUCLEAN, STATUS_FAILED, "damaged");

    assert_int_equal(truncate(rig_path("node.db"), 300), 0); /* within the first page */
    check_refused_untouched(-EUCLEAN, STATUS_FAILED, "damaged");
}

static void test_store__page_overwritten__is_refused(void **state)
{
    uint8_t page[4096];
    uint64_t pages;

    (void)state;
    make_good();
    pages = rig_file_bytes("node.db") / sizeof(page);
    assert_true(pages > 30);
    memset(page, 0xff, sizeof(page));
    write_at("node.db", (off_t)(pages / 2 * sizeof(page)), page, sizeof(page));
    check_refused_untouched(-EUCLEAN, STATUS_FAILED, "damaged");
}

static void test_store__directory_or_link_in_its_place__is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkdir(rig_path("node.db"), 0700), 0);
    check_refused(-EISDIR, STATUS_FAILED, "directory");
    assert_int_equal(rmdir(rig_path("node.db")), 0);

    assert_int_equal(symlink("copy", rig_path("node.db")), 0);
    check_refused(-EUCLEAN, STATUS_FAILED, "not a file");
    assert_int_equal(access(rig_path("copy"), F_OK), -1);
}

static void test_store__only_the_log_is_left__is_refused(void **state)
{
    (void)state;
    write_at("node.db-wal", 0, "frames", 6);
    check_refused(-EUCLEAN, STATUS_FAILED, "is gone");
    assert_int_equal(access(rig_path("node.db"), F_OK), -1);
}

static void test_store__half_made_new_one__is_begun_again(void **state)
{
    (void)state;
    write_at("node.db.new", 0, "half", 4);
    write_at("node.db.new-wal", 0, "half", 4);

    rig_open();

    assert_int_equal(access(rig_path("node.db.new"), F_OK), -1);
    assert_int_equal(access(rig_path("node.db.new-wal"), F_OK), -1);
}

static void test_store__readable_by_others__is_made_private(void **state)
{
    struct stat status;

    (void)state;
    make_good();
    assert_int_equal(chmod(rig_path("node.db"), 0644), 0);

    rig_open();

    assert_int_equal(stat(rig_path("node.db"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_store__directory_is_missing__is_refused(void **state)
{
    struct rig kept = rig;

    (void)state;
    (void)snprintf(rig.directory, sizeof(rig.directory), "/var/empty/none/such");
    struct fault fault = {0};
    assert_int_equal(rig_try_open(&fault), -ENOENT);
    assert_non_null(strstr(fault.text, "/such/node.db"));
    assert_int_equal(fault.error, ENOENT);
    memcpy(rig.directory, kept.directory, sizeof(rig.directory));
}

/* ---- locked ---- */

/* A process that holds the lock of one who writes without a log, until it is killed. */
static pid_t start_locker(void)
{
    int tell[2];
    char octet;

    assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct flock lock = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCKS_OFFSET, .l_len = 512};
        int fd = open(rig_path("node.db"), O_RDWR | O_CLOEXEC);

        if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0 || write(tell[1], "", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    (void)close(tell[1]);
    assert_int_equal(read(tell[0], &octet, 1), 1);
    (void)close(tell[0]);
    return pid;
}

static void test_store__locked_by_another_process__names_it(void **state)
{
    char words[64];

    (void)state;
    make_good();
    pid_t pid = start_locker();
    (void)snprintf(words, sizeof(words), "process %d has locked it", pid);

    check_refused_untouched(-EBUSY, STATUS_BUSY, words);

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    rig_open();
}

/* ---- read-only ---- */

static void test_store__read_only__is_refused(void **state)
{
    (void)state;
    make_good();
    if (unshare(CLONE_NEWNS) < 0)
        skip();
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount(rig.directory, rig.directory, NULL, MS_BIND, NULL), 0);
    assert_int_equal(mount(NULL, rig.directory, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);

    check_refused_untouched(-EROFS, STATUS_FAILED, "read-only");
    assert_int_equal(umount2(rig.directory, MNT_DETACH), 0);
    assert_int_equal(unlink(rig_path("node.db")), 0);
    assert_int_equal(mount(rig.directory, rig.directory, NULL, MS_BIND, NULL), 0);
    assert_int_equal(mount(NULL, rig.directory, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    struct fault fault = {0};
    assert_int_equal(rig_try_open(&fault), -EROFS); /* nor is one made */
    assert_int_equal(umount2(rig.directory, MNT_DETACH), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_make, rig_remove)
        RIG_TEST(test_store__not_a_database__is_refused),
        RIG_TEST(test_store__short_text__is_refused),
        RIG_TEST(test_store__empty_file__is_refused),
        RIG_TEST(test_store__newer_version__is_refused),
        RIG_TEST(test_store__version_that_never_was__is_refused),
        RIG_TEST(test_store__database_of_another_program__is_refused),
        RIG_TEST(test_store__cut_off__is_refused),
        RIG_TEST(test_store__page_overwritten__is_refused),
        RIG_TEST(test_store__directory_or_link_in_its_place__is_refused),
        RIG_TEST(test_store__only_the_log_is_left__is_refused),
        RIG_TEST(test_store__half_made_new_one__is_begun_again),
        RIG_TEST(test_store__readable_by_others__is_made_private),
        RIG_TEST(test_store__directory_is_missing__is_refused),
        RIG_TEST(test_store__locked_by_another_process__names_it),
        RIG_TEST(test_store__read_only__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
