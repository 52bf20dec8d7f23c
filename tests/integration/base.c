/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: two daemons on one directory, a service manager that never hears READY=1, or a stage
 * that is taken for a guest. Real locks, between two descriptions of this process, a real socket
 * and a real child. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "lock.h"
#include "notify.h"
#include "sys.h"

static char directory[32];
static char inner[48];
static char path[64];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof(directory), "/tmp/drover-base-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    (void)snprintf(inner, sizeof(inner), "%s/run", directory);
    (void)snprintf(path, sizeof(path), "%s/agent.lock", inner);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unlink(path);
    (void)rmdir(inner);
    return rmdir(directory);
}

static void test_lock__held__names_the_holder_and_is_free_after_it(void **state)
{
    struct fault fault = {.status = STATUS_UNSET};
    char pid[16];
    int first;
    int second = -1;
    (void)state;
    (void)snprintf(pid, sizeof(pid), "%d", getpid());

    assert_int_equal(lock_directory(inner, "agent.lock", 0700, &first, &fault), 0);
    assert_int_equal(lock_directory(inner, "agent.lock", 0700, &second, &fault), -EBUSY);
    assert_int_equal(second, -1);
    assert_int_equal(fault.status, STATUS_BUSY);
    assert_non_null(strstr(fault.text, pid));
    assert_non_null(strstr(fault.text, path));

    (void)close(first);
    assert_int_equal(lock_directory(inner, "agent.lock", 0700, &second, &fault), 0);
    assert_true((fcntl(second, F_GETFD) & FD_CLOEXEC) != 0);
    (void)close(second);
}

static void test_lock__directory_missing__is_made_with_its_mode(void **state)
{
    struct fault fault;
    struct stat status;
    int fd;
    (void)state;

    assert_int_equal(lock_directory(inner, "agent.lock", 0700, &fd, &fault), 0);

    assert_int_equal(stat(inner, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    (void)close(fd);
}

static void test_lock__path_that_cannot_be__is_refused_in_words(void **state)
{
    struct fault fault;
    int fd = -1;
    (void)state;

    assert_int_equal(lock_directory("/nowhere/run", "agent.lock", 0700, &fd, &fault), -ENOENT);
    assert_int_equal(fault.status, STATUS_FAILED);
    assert_non_null(strstr(fault.text, "/nowhere/run"));

    assert_int_equal(mkdir(inner, 0700), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(lock_directory(inner, "agent.lock", 0700, &fd, &fault), -ELOOP);
    assert_int_equal(fd, -1);
}

static int listen_on(const char *name, size_t length)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(address.sun_path, name, length);
    socklen_t size_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size_bytes), 0);
    return take_fd(&fd);
}

static void hear(int fd, const char *expected)
{
    char text[64];

    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    assert_int_equal(n, strlen(expected));
    text[n] = '\0';
    assert_string_equal(text, expected);
}

static void test_notify__by_path_or_abstract_name__is_heard(void **state)
{
    char name[64];
    (void)state;
    assert_int_equal(mkdir(inner, 0700), 0);
    AUTO_FD by_path = listen_on(path, strlen(path));
    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    notify_ready();
    notify_stopping();
    hear(by_path, "READY=1");
    hear(by_path, "STOPPING=1");

    (void)snprintf(name, sizeof(name), "@drover-base-%d", getpid());
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    name[0] = '\0';
    AUTO_FD by_name = listen_on(name, 1 + strlen(name + 1));
    notify_ready();
    hear(by_name, "READY=1");
}

static void test_notify__nobody_there__does_nothing(void **state)
{
    char text[200];
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    notify_ready();
    assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
    notify_ready();
    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    notify_ready();
    assert_int_equal(setenv("NOTIFY_SOCKET", text, 1), 0); /* longer than an address */
    notify_stopping();
    assert_int_equal(access(path, F_OK), -1);
}

static void test_notify__watchdog__is_ours_alone(void **state)
{
    static const char *const wrong[] = {"", "x", "30s", "18446744073709551615"};
    char pid[16];
    (void)state;
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    assert_int_equal(notify_watchdog_ns(), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "30000000", 1), 0);
    assert_int_equal(notify_watchdog_ns(), UINT64_C(15000000000));
    (void)snprintf(pid, sizeof(pid), "%d", getpid());
    assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
    assert_int_equal(notify_watchdog_ns(), UINT64_C(15000000000));
    assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0); /* inherited from another's unit */
    assert_int_equal(notify_watchdog_ns(), 0);
    (void)unsetenv("WATCHDOG_PID");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_int_equal(setenv("WATCHDOG_USEC", wrong[i], 1), 0);
        assert_int_equal(notify_watchdog_ns(), 0);
    }
    (void)unsetenv("WATCHDOG_USEC");
}

static void test_sys__cloned_or_executed__are_told_apart(void **state)
{
    int fds[2];
    char word;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(fds[1]);
        (void)prctl(PR_SET_NAME, ") S 1 1 1 1 0 0"); /* whatever it calls itself */
        (void)!read(fds[0], &word, 1);
        _exit(0);
    }
    assert_int_equal(sys_has_executed(pid), 0);
    assert_int_equal(sys_has_executed(getpid()), 1);
    (void)close(fds[1]);
    (void)close(fds[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(sys_has_executed(pid) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lock__held__names_the_holder_and_is_free_after_it),
        TEST(test_lock__directory_missing__is_made_with_its_mode),
        TEST(test_lock__path_that_cannot_be__is_refused_in_words),
        TEST(test_notify__by_path_or_abstract_name__is_heard),
        TEST(test_notify__nobody_there__does_nothing),
        TEST(test_notify__watchdog__is_ours_alone),
        TEST(test_sys__cloned_or_executed__are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
