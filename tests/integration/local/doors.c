/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: who may connect, how many, and to what. Five hundred clients and one more, another
 * user, and every path that cannot be. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "rig.h"

/* Who may come */

static void test_local__many_clients__are_served_and_one_too_many_is_told(void **state)
{
    static int fds[LOCAL_CLIENTS_MAX];
    struct rlimit files;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max < 3 * LOCAL_CLIENTS_MAX) {
        print_message("skipped: the hard limit of open files is %llu\n",
                      (unsigned long long)files.rlim_max);
        skip();
    }
    files.rlim_cur = files.rlim_cur > 3 * LOCAL_CLIENTS_MAX ? files.rlim_cur : files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++) {
        struct peer peer = {.fd = connect_to(rig.path)};
        fds[i] = peer.fd;
        say_number(&peer, i);
        hear_number(&peer, i);
        buffer_close(&peer.in);
        arena_close(&peer.arena);
    }
    assert_int_equal(rig.server.client_count, LOCAL_CLIENTS_MAX);

    hear_refusal(open_peer(0), STATUS_BUSY);

    (void)close(fds[0]);
    while (rig.gone == 0)
        turn();
    struct peer *peer = open_peer(1);
    say_number(peer, 1);
    hear_number(peer, 1);
    for (size_t i = 1; i < LOCAL_CLIENTS_MAX; i++)
        (void)close(fds[i]);
    hang_up(peer);
    while (rig.server.client_count > 0)
        turn();
    assert_int_equal(rig.gone, LOCAL_CLIENTS_MAX + 1);
}

static void test_local__another_user__is_not_permitted(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can be another user\n");
        skip();
    }
    struct stat status;
    assert_int_equal(stat(rig.path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(chmod(rig.directory, 0755), 0); /* as if an administrator had opened it */
    assert_int_equal(chmod(rig.path, 0666), 0);
    assert_int_equal(seteuid(65534), 0);
    struct peer *peer = open_peer(0);
    assert_int_equal(seteuid(0), 0);
    say_number(peer, 1);

    hear_refusal(peer, STATUS_NOT_PERMITTED);

    assert_int_equal(rig.heard, 0);
}

/* Paths */

static void refuse_path(const char *bad, int result, enum status status)
{
    static struct local_server second;
    struct fault fault;

    second = (struct local_server){.on_message = rig.server.on_message};
    assert_int_equal(local_listen(&second, &rig.loop, bad, &fault), result);
    assert_int_equal(fault.status, status);
    assert_true(strlen(fault.text) > 0);
    local_close(&second); /* does nothing */
}

static void test_local__paths_that_cannot_be__are_refused_in_words(void **state)
{
    char text[LOCAL_PATH_MAX + 2];
    (void)state;
    memset(text, 'p', sizeof(text));
    memcpy(text, "/tmp/", 5);
    text[LOCAL_PATH_MAX + 1] = '\0';

    refuse_path(text, -ENAMETOOLONG, STATUS_INVALID);
    refuse_path("", -ENAMETOOLONG, STATUS_INVALID);
    refuse_path("/nowhere/agent.sock", -ENOENT, STATUS_FAILED);
    refuse_path(rig.directory, -EEXIST, STATUS_INVALID); /* is no socket, and stays */
    assert_int_equal(access(rig.directory, F_OK), 0);
}

static void test_local__longest_path_and_stale_socket__are_listened_on(void **state)
{
    static struct local_server second;
    char text[LOCAL_PATH_MAX + 1];
    struct fault fault;
    (void)state;
    memset(text, 'p', sizeof(text));
    text[(size_t)snprintf(text, sizeof(text), "%s/", rig.directory)] = 'p';
    text[LOCAL_PATH_MAX] = '\0';
    struct sockaddr_un stale = {.sun_family = AF_UNIX};
    memcpy(stale.sun_path, text, sizeof(text));
    AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&stale, sizeof(stale)), 0);

    second = (struct local_server){.on_message = rig.server.on_message};
    assert_int_equal(local_listen(&second, &rig.loop, text, &fault), 0);

    rig.peers[0].fd = connect_to(text);
    say_number(&rig.peers[0], 5);
    hear_number(&rig.peers[0], 5);
    local_close(&second);
    while (second.closing > 0)
        turn();
    assert_int_equal(second.client_count, 0);
    assert_int_equal(access(text, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_local__many_clients__are_served_and_one_too_many_is_told),
        TEST(test_local__another_user__is_not_permitted),
        TEST(test_local__paths_that_cannot_be__are_refused_in_words),
        TEST(test_local__longest_path_and_stale_socket__are_listened_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
