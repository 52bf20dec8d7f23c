/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a root that its guest laid out leads a mount, or a new file, out of it. Each trap is
 * put into the root; then either the guest shows that the mount landed inside, or the step is
 * named. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "guest.h"

static struct guest guest;

static int set_up(void **state)
{
    (void)state;
    guest_init(&guest);
    guest_use_directory(&guest);
    guest_usual_mounts(&guest);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guest_close(&guest);
    return 0;
}

static void run(const char *script)
{
    guest_script(&guest, script);
    guest_run(&guest);
}

static void put_link(const char *text, const char *path)
{
    assert_int_equal(symlinkat(text, guest.root, path), 0);
}

static void put_file(const char *path)
{
    assert_int_equal(mknodat(guest.root, path, S_IFREG | 0644, 0), 0);
}

static bool is_there(const char *path)
{
    struct stat stat;
    return fstatat(guest.root, path, &stat, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_target__missing__is_made_with_its_way(void **state)
{
    (void)state;
    guest_attach(&guest, "/etc/hostname", "/a/b/file", true);
    guest_attach(&guest, "/etc", "a/c/dir/", false);
    run("stat -c 'kind=%F mode=%a' /a /a/c; cat /a/b/file; ls /a/c/dir/hostname");
    assert_output(&guest, "kind=directory mode=755\nkind=directory mode=755\n");
    assert_output(&guest, "/a/c/dir/hostname\n");
}

static void test_target__absolute_link__stays_inside(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(guest.root, "inside", 0755), 0);
    put_link("/inside", "link");
    guest_mount(&guest, KP_TMPFS, "link/new", NULL, 0);
    run("cat /proc/mounts");
    assert_output(&guest, " /inside/new tmpfs ");
}

static void test_target__link_upwards__stays_inside(void **state)
{
    (void)state;
    put_link("../../../../../../tmp", "up");
    guest_mount(&guest, KP_TMPFS, "up/stage-test-escaped", NULL, 0);
    guest_mount(&guest, KP_TMPFS, "../../../../tmp/dots", NULL, 0);
    run("cat /proc/mounts");
    assert_output(&guest, " /tmp/stage-test-escaped tmpfs ");
    assert_output(&guest, " /tmp/dots tmpfs ");
    assert_int_equal(access("/tmp/stage-test-escaped", F_OK), -1);
    assert_int_equal(access("/tmp/dots", F_OK), -1);
}

static void test_target__dangling_link__is_made_where_it_points(void **state)
{
    (void)state;
    put_link("../run/resolve/stub.conf", "etc/resolv.conf");
    put_link("/nowhere/at", "dirs");
    guest_attach(&guest, "/etc/hostname", "etc/resolv.conf", true);
    guest_mount(&guest, KP_TMPFS, "dirs/all", NULL, 0);
    run("cat /proc/mounts");
    assert_output(&guest, " /run/resolve/stub.conf ");
    assert_output(&guest, " /nowhere/at/all tmpfs ");
    assert_true(is_there("run/resolve/stub.conf"));
    assert_int_equal(access("/nowhere", F_OK), -1);
}

static void fails(enum kp_kind kind, const char *target, uint64_t flags, int error)
{
    uint32_t index = guest.header.mount_count;
    guest_mount(&guest, kind, target, NULL, flags);
    run("echo booted");
    assert_failed(&guest, KW_STEP_MOUNTS, error, (int)index);
    assert_no_output(&guest, "booted");
}

static void test_target__link_loop__is_refused(void **state)
{
    (void)state;
    put_link("b", "a");
    put_link("a", "b");
    fails(KP_TMPFS, "a/x", 0, ELOOP);
}

static void test_target__magic_link__is_refused(void **state)
{
    (void)state;
    put_link("/proc/self/fd/0", "magic");
    fails(KP_TMPFS, "magic", 0, ELOOP);
}

static void test_target__proc_root__is_refused(void **state)
{
    (void)state;
    fails(KP_TMPFS, "proc/self/root/tmp", 0, ELOOP);
}

static void test_target__link_to_root__is_refused(void **state)
{
    (void)state;
    put_link("/", "all");
    fails(KP_TMPFS, "all", 0, EBUSY);
}

static void test_target__dots_to_root__is_refused(void **state)
{
    (void)state;
    fails(KP_TMPFS, "tmp/../..", 0, EBUSY);
}

static void test_target__file_on_the_way__is_refused(void **state)
{
    (void)state;
    put_file("file");
    fails(KP_TMPFS, "file/x", 0, ENOTDIR);
}

static void test_target__directory_over_fifo__is_refused_unopened(void **state)
{
    (void)state;
    assert_int_equal(mknodat(guest.root, "fifo", S_IFIFO | 0644, 0), 0);
    fails(KP_TMPFS, "fifo", 0, ENOTDIR);
}

static void test_target__file_over_directory__is_refused(void **state)
{
    (void)state;
    uint32_t index = guest.header.mount_count;
    guest_attach(&guest, "/etc/hostname", "etc", true);
    run("echo booted");
    assert_failed(&guest, KW_STEP_MOUNTS, EISDIR, (int)index);
}

static void test_target__file_over_fifo_or_device__is_covered_unopened(void **state)
{
    (void)state;
    /* No driver has this number: opening it would be ENXIO. */
    assert_int_equal(mknodat(guest.root, "fifo", S_IFIFO | 0644, 0), 0);
    assert_int_equal(mknodat(guest.root, "node", S_IFCHR | 0644, makedev(240, 250)), 0);
    guest_attach(&guest, "/etc/hostname", "fifo", true);
    guest_attach(&guest, "/etc/hostname", "node", true);
    run("stat -c 'kind=%F' /fifo /node");
    assert_output(&guest, "kind=regular file\nkind=regular file\n");
}

static void test_target__name_too_long__is_refused(void **state)
{
    (void)state;
    char name[400];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    fails(KP_TMPFS, name, 0, ENAMETOOLONG);
}

static void test_target__empty__is_refused(void **state)
{
    (void)state;
    fails(KP_TMPFS, "", 0, EINVAL);
}

static void test_entry__unknown_flags__are_refused(void **state)
{
    (void)state;
    fails(KP_TMPFS, "tmp", MS_SYNCHRONOUS, EINVAL);
}

static void test_entry__optional_failure__is_passed_over(void **state)
{
    (void)state;
    guest_mount(&guest, KP_TMPFS, "tmp/../..", NULL, 0);
    guest.mounts[guest.header.mount_count - 1].is_optional = 1;
    run("echo booted");
    assert_output(&guest, "booted\n");
}

static void test_attach__descriptor_of_another_role__is_refused(void **state)
{
    (void)state;
    uint32_t index = guest.header.mount_count;
    guest_mount(&guest, KP_ATTACH, "tmp", NULL, 0);
    guest.mounts[index].fd_index = 0; /* the root's */
    run("echo booted");
    assert_failed(&guest, KW_STEP_MOUNTS, EBADF, (int)index);
}

static void test_attach__descriptor_not_there__is_refused(void **state)
{
    (void)state;
    uint32_t index = guest.header.mount_count;
    guest_mount(&guest, KP_ATTACH, "tmp", NULL, 0);
    guest.mounts[index].fd_index = 100;
    run("echo booted");
    assert_failed(&guest, KW_STEP_MOUNTS, EBADF, (int)index);
}

static void test_attach__attributes__are_set(void **state)
{
    (void)state;
    guest_attach(&guest, "/etc", "etc", false);
    guest.mounts[guest.header.mount_count - 1].flags =
        MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME;
    run("busybox grep ' /etc ' /proc/mounts");
    assert_output(&guest, "ro,nosuid,nodev,noatime");
}

static void test_mask__files_and_directories__are_empty(void **state)
{
    (void)state;
    put_file("secret");
    assert_int_equal(mkdirat(guest.root, "secrets", 0755), 0);
    assert_int_equal(mkdirat(guest.root, "secrets/of", 0755), 0);
    put_link("/secret", "etc/alias");
    guest_mount(&guest, KP_MASK, "secrets", NULL, 0);
    guest_mount(&guest, KP_MASK, "etc/alias", NULL, 0);
    guest_mount(&guest, KP_MASK, "proc/uptime", NULL, 0);
    guest_mount(&guest, KP_MASK, "not/there", NULL, 0);
    guest_mount(&guest, KP_MASK, "secret/not/there", NULL, 0);
    run("echo in=$(ls -A /secrets); echo x > /secrets/x; stat -c '%n=%t:%T' /secret /proc/uptime;"
        "busybox wc -c < /proc/uptime; ls -d /not");
    assert_output(&guest, "in=\n");
    assert_output(&guest, "Read-only file system");
    assert_output(&guest, "/secret=1:3\n/proc/uptime=1:3\n0\n");
    assert_output(&guest, "/not: No such file");
}

static void test_readonly__absent_is_skipped_and_present_covered(void **state)
{
    (void)state;
    guest_mount(&guest, KP_READONLY, "proc/sys", NULL, 0);
    guest_mount(&guest, KP_READONLY, "proc/version", NULL, 0);
    guest_mount(&guest, KP_READONLY, "proc/not-there", NULL, 0);
    run("cat /proc/mounts; echo 0 > /proc/sys/kernel/hostname; echo done");
    assert_output(&guest, " /proc/sys proc ro,");
    assert_output(&guest, " /proc/version proc ro,");
    assert_output(&guest, "/proc/sys/kernel/hostname: Read-only file system");
}

static void test_names__what_is_there__is_kept(void **state)
{
    (void)state;
    put_file("etc/kept");
    put_link("/nowhere", "etc/dangling");
    guest_mount(&guest, KP_SYMLINK, "etc/kept", "other", 0);
    guest_mount(&guest, KP_SYMLINK, "etc/mtab", "../proc/self/mounts", 0);
    guest_mount(&guest, KP_SYMLINK, "new/way/link", "text", 0);
    guest_mount(&guest, KP_MKDIR, "tmp", NULL, 0700);
    guest_mount(&guest, KP_MKDIR, "etc/dangling", NULL, 0700);
    guest_mount(&guest, KP_MKDIR, "var/tmp/", NULL, 01777);
    run("stat -c '%n=%F,%a' /etc/kept /tmp /var /var/tmp; readlink /etc/mtab /etc/dangling;"
        "readlink /new/way/link /etc/dangling; readlink /etc/dangling");
    assert_output(&guest, "/etc/kept=regular empty file,644\n/tmp=directory,755\n"
                          "/var=directory,755\n/var/tmp=directory,1777\n");
    assert_output(&guest, "/nowhere\n");
    assert_false(is_there("nowhere"));
}

static void test_names__through_links__stay_inside(void **state)
{
    (void)state;
    put_link("/../../../../../../var/tmp", "out");
    guest_mount(&guest, KP_MKDIR, "out/stage-test-made", NULL, 0755);
    guest_mount(&guest, KP_SYMLINK, "out/stage-test-linked", "x", 0);
    run("ls -1 /var/tmp");
    assert_output(&guest, "stage-test-linked\nstage-test-made\n");
    assert_int_equal(access("/var/tmp/stage-test-made", F_OK), -1);
}

static void test_names__dots__are_refused(void **state)
{
    (void)state;
    fails(KP_MKDIR, "tmp/..", 0755, EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_target__missing__is_made_with_its_way),
        TEST(test_target__absolute_link__stays_inside),
        TEST(test_target__link_upwards__stays_inside),
        TEST(test_target__dangling_link__is_made_where_it_points),
        TEST(test_target__link_loop__is_refused),
        TEST(test_target__magic_link__is_refused),
        TEST(test_target__proc_root__is_refused),
        TEST(test_target__link_to_root__is_refused),
        TEST(test_target__dots_to_root__is_refused),
        TEST(test_target__file_on_the_way__is_refused),
        TEST(test_target__directory_over_fifo__is_refused_unopened),
        TEST(test_target__file_over_directory__is_refused),
        TEST(test_target__file_over_fifo_or_device__is_covered_unopened),
        TEST(test_target__name_too_long__is_refused),
        TEST(test_target__empty__is_refused),
        TEST(test_entry__unknown_flags__are_refused),
        TEST(test_entry__optional_failure__is_passed_over),
        TEST(test_attach__descriptor_of_another_role__is_refused),
        TEST(test_attach__descriptor_not_there__is_refused),
        TEST(test_attach__attributes__are_set),
        TEST(test_mask__files_and_directories__are_empty),
        TEST(test_readonly__absent_is_skipped_and_present_covered),
        TEST(test_names__what_is_there__is_kept),
        TEST(test_names__through_links__stay_inside),
        TEST(test_names__dots__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
