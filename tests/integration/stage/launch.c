/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: what a guest's init finds, and that nothing of the host is left in it. Real guests of
 * both kinds of root, with and without a user namespace, say what they see on their console. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "guest.h"

static struct guest guest; /* too large for a stack */

static int set_up(void **state)
{
    (void)state;
    guest_init(&guest);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guest_close(&guest);
    return 0;
}

#define LOOK                                                                                       \
    "echo pid=$$; cat /proc/self/status; cat /proc/self/mountinfo; echo host=$(busybox hostname);" \
    "echo groups=$(id -G); echo fds; ls -1 /proc/1/fd; echo end;"                                  \
    "echo tty=$(tty); echo umask=$(umask); echo cwd=$(readlink /proc/self/cwd);"                   \
    "echo sid=$(busybox cut -d' ' -f6,7 /proc/1/stat); echo root=$(ls -a / | busybox tr '\\n' ' "  \
    "');"                                                                                          \
    "echo lo=$(cat /sys/class/net/lo/flags); echo nets=$(ls /sys/class/net | busybox tr '\\n' ' "  \
    "');"                                                                                          \
    "echo null=$(stat -c '%t:%T' /dev/null); echo x > /dev/null && echo written;"                  \
    "echo owner=$(stat -c '%u:%g' /bin/busybox); exit 7"

static void look(bool has_userns, bool is_overlay)
{
    guest.has_userns = has_userns;
    if (is_overlay)
        guest_use_overlay(&guest);
    else
        guest_use_directory(&guest);
    guest_usual_mounts(&guest);
    guest.header.hostname = guest_text(&guest, "web-17");
    guest_script(&guest, LOOK);
    guest_run(&guest);

    assert_output(&guest, "pid=1\n");
    assert_output(&guest, "Uid:\t0\t0\t0\t0\n");
    assert_output(&guest, "Gid:\t0\t0\t0\t0\n");
    assert_output(&guest, "groups=0\n");
    assert_output(&guest, "host=web-17\n");
    assert_output(&guest, "fds\n0\n1\n2\nend\n");
    assert_output(&guest, "tty=/dev/console\n");
    assert_output(&guest, "umask=0022\n");
    assert_output(&guest, "cwd=/\n");
    assert_output(&guest, "sid=1 0\n"); /* a session of its own, without a terminal */
    assert_output(&guest, "root=. .. bin dev etc proc sys tmp\n");
    assert_output(&guest, "lo=0x9\n"); /* IFF_UP | IFF_LOOPBACK */
    assert_output(&guest, "nets=lo\n");
    assert_output(&guest, "null=1:3\nwritten\n");
    assert_output(&guest, "owner=0:0\n");
    assert_output(&guest, "SigBlk:\t0000000000000000\n");
    assert_output(&guest, "NoNewPrivs:\t0\n");
    assert_no_output(&guest,
                     "/sys/fs/cgroup"); /* the host's tree is gone, and ours that was on it */
    assert_no_output(&guest, "nr_inodes=256");
    assert_true(WIFEXITED(guest.wait_status) && WEXITSTATUS(guest.wait_status) == 7);
    assert_int_equal(guest.report_count, 1);
    assert_int_equal(guest_last(&guest)->kind, STAGE_TRY);
}

static void test_launch__directory__is_a_whole_system(void **state)
{
    (void)state;
    look(false, false);
}

static void test_launch__overlay__is_a_whole_system(void **state)
{
    (void)state;
    look(false, true);
    assert_output(&guest, "lowerdir=0,upperdir=u/upper,workdir=u/work");
}

static void test_launch__directory_and_user_namespace__is_a_whole_system(void **state)
{
    (void)state;
    look(true, false);
}

static void test_launch__overlay_and_user_namespace__is_a_whole_system(void **state)
{
    (void)state;
    look(true, true);
    assert_output(&guest, "userxattr");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_launch__directory__is_a_whole_system),
        TEST(test_launch__overlay__is_a_whole_system),
        TEST(test_launch__directory_and_user_namespace__is_a_whole_system),
        TEST(test_launch__overlay_and_user_namespace__is_a_whole_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
