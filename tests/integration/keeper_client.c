/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: an agent that meets a keeper it cannot speak with must not take its place, as it may
 * hold guests; and one that nobody answers must start one. A real agent is started with this test
 * behind RUN/keeper.sock, which answers as the cases say; then its exit, its words and the socket
 * are read.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <mntent.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "keeper_wire.h"
#include "scratch.h"
#include "sys.h"

#define WAIT_MS 30000
#define BACKLOG 2

struct rig {
    char dir[64];
    char node[32];
    int listener;
    ino_t socket; /* of keeper.sock, as this test bound it */
    int held;     /* O_PATH: its inode's number is not given to another */
    int keeper;   /* the agent's connection, -1: none */
    int notify;   /* NOTIFY_SOCKET of the agent */
    int words;    /* its stderr */
    pid_t agent;
    int pidfd;
};

static struct rig the_rig;

static void path_in(const struct rig *rig, const char *name, char path[108])
{
    (void)snprintf(path, 108, "%s/%s", rig->dir, name);
}

static int bind_at(const struct rig *rig, const char *name, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    path_in(rig, name, address.sun_path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static ino_t socket_of(const struct rig *rig)
{
    struct stat status;
    char path[108];
    path_in(rig, "run/keeper.sock", path);
    assert_int_equal(stat(path, &status), 0);
    return status.st_ino;
}

static int set_up(void **state)
{
    static unsigned count;
    char mark[32];
    struct rig *rig = &the_rig;
    char path[108];

    *state = rig;
    *rig = (struct rig){.keeper = -1, .pidfd = -1};
    (void)snprintf(rig->node, sizeof(rig->node), "t-%s-%u", scratch_mark(mark), count++);
    assert_non_null(scratch_make(rig->dir, sizeof(rig->dir), "drover-client"));
    path_in(rig, "run", path);
    assert_int_equal(mkdir(path, 0755), 0);
    rig->listener = bind_at(rig, "run/keeper.sock", SOCK_SEQPACKET);
    assert_int_equal(listen(rig->listener, BACKLOG), 0);
    rig->socket = socket_of(rig);
    path_in(rig, "run/keeper.sock", path);
    rig->held = open(path, O_PATH | O_CLOEXEC);
    assert_true(rig->held >= 0);
    rig->notify = bind_at(rig, "notify", SOCK_DGRAM);
    path_in(rig, "words", path);
    rig->words = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(rig->words >= 0);
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

/* Directories alone can be removed, and only when nothing runs in them. */
static int remove_group(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)at;
    if (kind == FTW_DP)
        (void)rmdir(path);
    return 0;
}

static void remove_groups(const struct rig *rig)
{
    FILE *mounts = setmntent("/proc/mounts", "re");
    char path[320];

    assert_non_null(mounts);
    for (struct mntent *mount; (mount = getmntent(mounts)) != NULL;) {
        if (strncmp(mount->mnt_type, "cgroup", 6) != 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/drover.%s", mount->mnt_dir, rig->node);
        (void)nftw(path, remove_group, 8, FTW_DEPTH | FTW_PHYS);
    }
    endmntent(mounts);
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    if (rig->pidfd >= 0) {
        (void)pidfd_send_signal(rig->pidfd, SIGKILL, NULL, 0);
        (void)waitpid(rig->agent, NULL, 0);
    }
    fd_closep(&rig->pidfd);
    fd_closep(&rig->keeper);
    fd_closep(&rig->listener);
    fd_closep(&rig->held);
    fd_closep(&rig->notify);
    fd_closep(&rig->words);
    remove_groups(rig);
    return nftw(rig->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void start_agent(struct rig *rig)
{
    char run[108];
    char state[108];
    char notify[108];

    path_in(rig, "run", run);
    path_in(rig, "state", state);
    path_in(rig, "notify", notify);
    rig->agent = fork();
    if (rig->agent == 0) {
        (void)dup2(rig->words, STDERR_FILENO);
        (void)setenv("NOTIFY_SOCKET", notify, 1);
        (void)execl(AGENT, AGENT, "--state-dir", state, "--run-dir", run, "--node", rig->node,
                    (char *)NULL);
        _exit(127);
    }
    assert_true(rig->agent > 0);
    rig->pidfd = pidfd_open(rig->agent, 0);
    assert_true(rig->pidfd >= 0);
}

static void wait_for(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, WAIT_MS), 1);
}

static int exit_code(struct rig *rig)
{
    int status = 0;

    wait_for(rig->pidfd);
    assert_int_equal(waitpid(rig->agent, &status, 0), rig->agent);
    fd_closep(&rig->pidfd);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_says(const struct rig *rig, const char *words)
{
    char text[4096];
    ssize_t length = pread(rig->words, text, sizeof(text) - 1, 0);

    text[length > 0 ? length : 0] = '\0';
    if (strstr(text, words) == NULL)
        fail_msg("'%s' is not in: %s", words, text);
}

/* The socket is this test's yet: no other keeper stands in its place. */
static void assert_undisturbed(const struct rig *rig)
{
    assert_int_equal(socket_of(rig), rig->socket);
}

/* Take the agent's connection, and its HELLO. */
static void hear_hello(struct rig *rig)
{
    struct kw_hello hello = {0};
    size_t fd_count = 0;

    wait_for(rig->listener);
    rig->keeper = accept4(rig->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(rig->keeper >= 0);
    wait_for(rig->keeper);
    assert_int_equal(sys_receive_fds(rig->keeper, &hello, sizeof(hello), NULL, 0, &fd_count),
                     sizeof(hello));
    assert_int_equal(hello.header.type, KW_HELLO);
}

static struct kw_header header_of(uint16_t type, size_t size_bytes)
{
    return (struct kw_header){
        .magic = KW_MAGIC, .version = KW_VERSION, .type = type, .size_bytes = (uint32_t)size_bytes};
}

static void say(const struct rig *rig, const void *record, size_t size_bytes)
{
    assert_int_equal(send(rig->keeper, record, size_bytes, MSG_NOSIGNAL), size_bytes);
}

/* WELCOME of a keeper of another build, and its empty table. */
static void welcome_as(const struct rig *rig, pid_t pid)
{
    struct kw_welcome welcome = {
        .header = header_of(KW_WELCOME, sizeof(welcome)), .build = "another", .pid = pid};
    struct kw_header synced = header_of(KW_SYNCED, sizeof(synced));

    say(rig, &welcome, sizeof(welcome));
    say(rig, &synced, sizeof(synced));
}

static void welcome(const struct rig *rig)
{
    welcome_as(rig, getpid());
}

/* PATH/keeper of a keeper that ended: there, and empty. */
static void leave_group(const struct rig *rig)
{
    FILE *mounts = setmntent("/proc/mounts", "re");
    char path[320];

    assert_non_null(mounts);
    for (struct mntent *mount; (mount = getmntent(mounts)) != NULL;) {
        if (strcmp(mount->mnt_type, "cgroup2") != 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/drover.%s/keeper", mount->mnt_dir, rig->node);
        assert_int_equal(mkdir(path, 0755), 0);
        break;
    }
    endmntent(mounts);
}

/* As a keeper of before it. */
static void refuse_early_go(const struct rig *rig)
{
    struct kw_early_go asked = {0};
    struct kw_refused refused = {.header = header_of(KW_REFUSED, sizeof(refused)),
                                 .type = KW_EARLY_GO,
                                 .reason = KW_REFUSED_TYPE};
    size_t fd_count = 0;

    wait_for(rig->keeper);
    assert_int_equal(sys_receive_fds(rig->keeper, &asked, sizeof(asked), NULL, 0, &fd_count),
                     sizeof(asked));
    assert_int_equal(asked.header.type, KW_EARLY_GO);
    say(rig, &refused, sizeof(refused));
}

static void refuse_replacement(const struct rig *rig)
{
    struct kw_reexec asked = {0};
    struct kw_refused refused = {.header = header_of(KW_REFUSED, sizeof(refused)),
                                 .type = KW_REEXEC,
                                 .reason = KW_REFUSED_MALFORMED,
                                 .error = ENOEXEC};
    int binary = -1;
    size_t fd_count = 0;

    refuse_early_go(rig);
    wait_for(rig->keeper);
    assert_int_equal(sys_receive_fds(rig->keeper, &asked, sizeof(asked), &binary, 1, &fd_count),
                     sizeof(asked));
    assert_int_equal(asked.header.type, KW_REEXEC);
    assert_int_equal(fd_count, 1);
    assert_int_equal(close(binary), 0);
    say(rig, &refused, sizeof(refused));
}

static void wait_until_ready(const struct rig *rig)
{
    char text[256] = "";

    wait_for(rig->notify);
    assert_true(recv(rig->notify, text, sizeof(text) - 1, 0) > 0);
    assert_non_null(strstr(text, "READY=1"));
}

/* A name that comes to RUN is told; the last is keeper.sock's. */
static void wait_for_another_socket(const struct rig *rig, int inotify)
{
    char path[108];
    struct stat status;

    path_in(rig, "run/keeper.sock", path);
    while (stat(path, &status) < 0 || status.st_ino == rig->socket) {
        char octets[1024];

        wait_for(inotify);
        assert_true(read(inotify, octets, sizeof(octets)) > 0);
    }
}

/* ---- keepers that are there, and cannot be spoken with ---- */

static void test_keeper_client__version_is_unknown__ends_and_names_both(void **state)
{
    struct rig *rig = *state;
    struct kw_refused refused = {.header = header_of(KW_REFUSED, sizeof(refused)),
                                 .type = KW_HELLO,
                                 .reason = KW_REFUSED_VERSION};

    refused.header.version = KW_VERSION + 6;
    start_agent(rig);
    hear_hello(rig);
    say(rig, &refused, sizeof(refused));

    assert_int_equal(exit_code(rig), 1);
    assert_says(rig, "another version of the wire (it says 7, we 1)");
    assert_undisturbed(rig);
}

static void test_keeper_client__welcome_is_longer_than_ours__ends(void **state)
{
    struct rig *rig = *state;
    uint8_t octets[sizeof(struct kw_welcome) + 512] = {0};
    struct kw_header header = header_of(KW_WELCOME, sizeof(octets));

    header.version = KW_VERSION + 1;
    memcpy(octets, &header, sizeof(header));
    start_agent(rig);
    hear_hello(rig);
    say(rig, octets, sizeof(octets));

    assert_int_equal(exit_code(rig), 1);
    assert_says(rig, "another version of the wire (it says 2, we 1)");
    assert_undisturbed(rig);
}

static void test_keeper_client__answer_is_garbage__ends(void **state)
{
    struct rig *rig = *state;
    uint8_t octets[4000];

    memset(octets, 0xa5, sizeof(octets));
    for (size_t size_bytes = 1; size_bytes <= sizeof(octets); size_bytes = size_bytes * 5 + 1) {
        start_agent(rig);
        hear_hello(rig);
        say(rig, octets, size_bytes);

        assert_int_equal(exit_code(rig), 1);
        assert_says(rig, "does not answer as a keeper does");
        assert_undisturbed(rig);
        fd_closep(&rig->keeper);
    }
}

static void test_keeper_client__table_is_garbage__ends(void **state)
{
    struct rig *rig = *state;
    struct kw_welcome welcome = {.header = header_of(KW_WELCOME, sizeof(welcome)), .pid = getpid()};

    start_agent(rig);
    hear_hello(rig);
    say(rig, &welcome, sizeof(welcome));
    say(rig, "garbage", 7);

    assert_int_equal(exit_code(rig), 1);
    assert_says(rig, "while it told its table");
    assert_undisturbed(rig);
}

static void test_keeper_client__nobody_answers__is_busy(void **state)
{
    struct rig *rig = *state;

    start_agent(rig);

    assert_int_equal(exit_code(rig), 8);
    assert_says(rig, "serves another agent");
    assert_undisturbed(rig);
}

/* Agents that gave up stay in the queue of a keeper that hangs, until it is full. */
static void test_keeper_client__queue_is_full__is_busy(void **state)
{
    struct rig *rig = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int waiting[BACKLOG + 1];

    path_in(rig, "run/keeper.sock", address.sun_path);
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        waiting[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(waiting[i], (struct sockaddr *)&address, sizeof(address)), 0);
    }

    start_agent(rig);

    assert_int_equal(exit_code(rig), 8);
    assert_says(rig, "serves another agent");
    assert_undisturbed(rig);
    for (size_t i = 0; i < COUNT_OF(waiting); i++)
        assert_int_equal(close(waiting[i]), 0);
}

/* ---- keepers that can be spoken with ---- */

static void test_keeper_client__replacement_is_refused__goes_on(void **state)
{
    struct rig *rig = *state;

    start_agent(rig);
    hear_hello(rig);
    welcome(rig);
    refuse_replacement(rig);
    wait_until_ready(rig);
    assert_int_equal(pidfd_send_signal(rig->pidfd, SIGTERM, NULL, 0), 0);

    assert_int_equal(exit_code(rig), 0);
    assert_says(rig, "the keeper stays at its build: Exec format error");
    assert_undisturbed(rig);
}

static void test_keeper_client__connection_breaks_off__ends_without_taking_its_place(void **state)
{
    struct rig *rig = *state;

    start_agent(rig);
    hear_hello(rig);
    welcome(rig);
    refuse_replacement(rig);
    wait_until_ready(rig);
    say(rig, "garbage", 7);
    fd_closep(&rig->keeper);
    hear_hello(rig);
    welcome(rig);

    assert_int_equal(exit_code(rig), 1);
    assert_says(rig, "a keeper that lives broke off");
    assert_undisturbed(rig);
}

/* An end before any word is nobody: what left the socket behind is dead. */
static void test_keeper_client__connection_ends_before_a_word__starts_another(void **state)
{
    struct rig *rig = *state;

    start_agent(rig);
    hear_hello(rig);
    fd_closep(&rig->keeper);
    fd_closep(&rig->listener);
    wait_until_ready(rig);
    assert_true(socket_of(rig) != rig->socket);
    assert_int_equal(pidfd_send_signal(rig->pidfd, SIGTERM, NULL, 0), 0);

    assert_int_equal(exit_code(rig), 0);
}

/* This test plays what a dead keeper's child is that hangs before its exec: it holds connection and
 * listening socket open, and hears nothing. */
static void test_keeper_client__dead_one_is_held_open_by_a_child__starts_another(void **state)
{
    struct rig *rig = *state;
    char path[108];
    pid_t keeper = fork();

    if (keeper == 0) {
        (void)pause();
        _exit(0);
    }
    assert_true(keeper > 0);
    start_agent(rig);
    hear_hello(rig);
    welcome_as(rig, keeper);
    refuse_replacement(rig);
    wait_until_ready(rig);
    leave_group(rig);
    path_in(rig, "run", path);
    AUTO_FD inotify = inotify_init1(IN_CLOEXEC);
    assert_true(inotify_add_watch(inotify, path, IN_CREATE) >= 0);
    assert_int_equal(kill(keeper, SIGKILL), 0);
    wait_for_another_socket(rig, inotify);
    assert_int_equal(waitpid(keeper, NULL, 0), keeper);
    assert_int_equal(pidfd_send_signal(rig->pidfd, SIGTERM, NULL, 0), 0);

    assert_int_equal(exit_code(rig), 0);
    assert_says(rig, "the keeper is gone; starting another");
}

static void test_keeper_client__dead_one_accepts_at_start__starts_another(void **state)
{
    struct rig *rig = *state;

    start_agent(rig);
    hear_hello(rig);
    welcome(rig);
    refuse_replacement(rig);
    wait_until_ready(rig);
    leave_group(rig);
    assert_int_equal(pidfd_send_signal(rig->pidfd, SIGKILL, NULL, 0), 0);
    wait_for(rig->pidfd);
    assert_int_equal(waitpid(rig->agent, NULL, 0), rig->agent);
    fd_closep(&rig->pidfd);
    start_agent(rig);
    wait_until_ready(rig);
    assert_true(socket_of(rig) != rig->socket);
    assert_int_equal(pidfd_send_signal(rig->pidfd, SIGTERM, NULL, 0), 0);

    assert_int_equal(exit_code(rig), 0);
}

int main(void)
{
    if (geteuid() != 0) {
        (void)fputs("skipped: an agent needs root\n", stderr);
        return 77;
    }
#define CASE(name) cmocka_unit_test_setup_teardown(test_keeper_client__##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(version_is_unknown__ends_and_names_both),
        CASE(welcome_is_longer_than_ours__ends),
        CASE(answer_is_garbage__ends),
        CASE(table_is_garbage__ends),
        CASE(nobody_answers__is_busy),
        CASE(queue_is_full__is_busy),
        CASE(replacement_is_refused__goes_on),
        CASE(connection_breaks_off__ends_without_taking_its_place),
        CASE(connection_ends_before_a_word__starts_another),
        CASE(dead_one_is_held_open_by_a_child__starts_another),
        CASE(dead_one_accepts_at_start__starts_another),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
