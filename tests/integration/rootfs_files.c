/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: files of others, lost or written by a guest, and a command that runs as someone else.
 * Hostile trees are removed, locked mounts attacked from a user namespace, /etc/passwd forged, all
 * below a scratch directory. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "passwd.h"
#include "rootfs.h"
#include "rootfs_mounts.h"
#include "scratch.h"

struct scene {
    char dir[64];   /* scratch */
    char state[96]; /* STATE in it */
    int top;        /* scratch, held */
    struct rootfs rootfs;
    struct fault fault;
};

static const uint8_t uuid[UUID_BYTES] = {0xde, 0xad, 0xbe, 0xef, 1, 2,  3,  4,
                                         5,    6,    7,    8,    9, 10, 11, 12};
#define UUID_TEXT "deadbeef-0102-0304-0506-0708090a0b0c"

static void put_file(int dir, const char *path, const char *text)
{
    AUTO_FD fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));

    assert_non_null(scratch_make(scene->dir, sizeof(scene->dir), "drover-rootfs"));
    scene->top = open(scene->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(scene->state, sizeof(scene->state), "%s/state", scene->dir);
    assert_int_equal(rootfs_open(&scene->rootfs, scene->state, &scene->fault), 0);
    assert_int_equal(rootfs_make(&scene->rootfs, uuid, &scene->fault), 0);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    rootfs_close(&scene->rootfs);
    close(scene->top);
    assert_int_equal(tree_remove(AT_FDCWD, scene->dir), 0);
    free(scene);
    return 0;
}

static void test_remove__hostile_tree__is_gone_and_nothing_else(void **state)
{
    struct scene *scene = *state;
    char path[64];
    struct stat stat;

    put_file(scene->top, "precious", "");
    snprintf(path, sizeof(path), "%s/upper", UUID_TEXT);
    int dir = openat(scene->rootfs.containers, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlinkat(scene->dir, dir, "out"), 0);
    assert_int_equal(mkfifoat(dir, "fifo", 0), 0);
    for (int i = 0; i < 3000; i++) { /* a chain longer than any path may be */
        assert_int_equal(mkdirat(dir, "deep-directory", 0), 0);
        put_file(dir, ".drover-deep-0", "");
        int next = openat(dir, "deep-directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(dir);
        dir = next;
    }
    close(dir);

    assert_int_equal(rootfs_remove(&scene->rootfs, uuid, &scene->fault), 0);
    assert_int_equal(fstatat(scene->rootfs.containers, UUID_TEXT, &stat, 0), -1);
    assert_int_equal(fstatat(scene->top, "precious", &stat, 0), 0);
    assert_int_equal(rootfs_remove(&scene->rootfs, uuid, &scene->fault), 0); /* gone already */
}

static void test_remove__immutable_files__are_gone(void **state)
{
    struct scene *scene = *state;
    char command[256];

    snprintf(command, sizeof(command),
             "cd %s/containers/%s/upper && mkdir a && touch a/f && chattr +i a/f && chattr +a a",
             scene->state, UUID_TEXT);
    if (system(command) != 0) /* NOLINT: no such attributes on this file system */
        skip();
    assert_int_equal(rootfs_remove(&scene->rootfs, uuid, &scene->fault), 0);
}

static bool on_found(const uint8_t found[UUID_BYTES], void *context)
{
    *(int *)context += memcmp(found, uuid, UUID_BYTES) == 0 ? 1 : 100;
    return true;
}

static void test_find_all__strange_names__are_passed_over(void **state)
{
    struct scene *scene = *state;
    static const char *const names[] = {"x", "deadbeef01020304050607080 90a0b0c",
                                        "DEADBEEF-0102-0304-0506-0708090A0B0C", UUID_TEXT "-"};
    int sum = 0;

    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_int_equal(mkdirat(scene->rootfs.containers, names[i], 0755), 0);
    assert_int_equal(rootfs_find_all(&scene->rootfs, on_found, &sum), 0);
    assert_int_equal(sum, 1);
}

/* What a guest's root can do to a mount that it was given: all of this is its own namespace's. */
static int attack(int mount, uint64_t attributes)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct mount_attr attr = {.attr_clr = attributes};
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
            move_mount(mount, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
            _exit(255);
        _exit(mount_setattr(AT_FDCWD, "/proc", 0, &attr, sizeof(attr)) < 0 ? errno : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_lock__attributes__survive_a_guests_root(void **state)
{
    struct scene *scene = *state;
    struct stat before;
    struct stat after;
    char directory[256];
    uint64_t attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;

    assert_int_equal(stat("/proc/thread-self/ns/mnt", &before), 0);
    assert_non_null(getcwd(directory, sizeof(directory)));
    for (int is_locked = 0; is_locked <= 1; is_locked++) {
        AUTO_FD mount = mount_clone(scene->top, "");
        assert_true(mount >= 0);
        if (is_locked) {
            int locked = mount_lock(scene->rootfs.mntns, mount, attributes, false);
            assert_true(locked >= 0);
            close(mount);
            mount = locked;
            assert_int_equal(openat(mount, "x", O_CREAT | O_WRONLY, 0600), -1);
            assert_int_equal(errno, EROFS);
        }
        assert_int_equal(attack(mount, MOUNT_ATTR_RDONLY), is_locked ? EPERM : 0);
    }

    char now[256];
    assert_int_equal(stat("/proc/thread-self/ns/mnt", &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_string_equal(getcwd(now, sizeof(now)), directory);
}

static void test_lock__mounts__can_still_be_idmapped(void **state)
{
    struct scene *scene = *state;
    put_file(scene->top, "file", "x");

    for (int is_file = 0; is_file <= 1; is_file++) {
        AUTO_FD mount = mount_clone(scene->top, is_file ? "file" : "");
        AUTO_FD locked = mount_lock(scene->rootfs.mntns, mount, MOUNT_ATTR_NODEV, is_file);
        assert_true(locked >= 0);
        assert_int_equal(mount_idmap(locked, scene->rootfs.userns), 0);
        struct stat stat;
        assert_int_equal(fstatat(locked, "", &stat, AT_EMPTY_PATH), 0);
        assert_int_equal(stat.st_uid, 1879048192u);
        assert_int_equal(S_ISREG(stat.st_mode), is_file);
    }
}

struct locking {
    const struct scene *scene;
    struct stat expected;
    int failures;
};

static void *lock_again_and_again(void *argument)
{
    struct locking *locking = argument;

    for (int i = 0; i < 200; i++) {
        struct stat stat;
        AUTO_FD mount = mount_clone(locking->scene->top, "");
        AUTO_FD locked = mount_lock(locking->scene->rootfs.mntns, mount, MOUNT_ATTR_RDONLY, false);
        if (locked < 0 || fstatat(locked, "", &stat, AT_EMPTY_PATH) < 0 ||
            stat.st_ino != locking->expected.st_ino)
            locking->failures++;
    }
    return NULL;
}

static void test_lock__many_threads__each_gets_its_own(void **state)
{
    struct locking lockings[4];
    pthread_t threads[COUNT_OF(lockings)];

    for (size_t i = 0; i < COUNT_OF(lockings); i++) {
        lockings[i] = (struct locking){.scene = *state};
        assert_int_equal(fstat(lockings[i].scene->top, &lockings[i].expected), 0);
    }
    for (size_t i = 0; i < COUNT_OF(lockings); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, lock_again_and_again, &lockings[i]), 0);
    for (size_t i = 0; i < COUNT_OF(lockings); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(lockings[i].failures, 0);
    }
}

static void test_passwd__users__are_found_in_the_guests_files(void **state)
{
    struct scene *scene = *state;
    struct passwd passwd;

    assert_int_equal(mkdirat(scene->top, "etc", 0755), 0);
    put_file(
        scene->top, "etc/passwd",
        "# root first\nroot:x:0:0:r:/root:/bin/sh\nbad line\nbroken:x:1x:1::/:\n"
        "web:x:1000:1001:W,,,:/home/web:/bin/sh\nminus:x:4294967295:0::/:/bin/sh\nlast:x:7:7:::");
    put_file(scene->top, "etc/group",
             "root:x:0:\nadm:x:4:web,other\nwebs:x:5:notweb\ndisk:x:6:other,web\n");

    assert_int_equal(passwd_find(scene->top, "", &passwd), 0);
    assert_string_equal(passwd.name, "root");
    assert_string_equal(passwd.home, "/root");
    assert_int_equal(passwd_find(scene->top, "web", &passwd), 0);
    assert_int_equal(passwd.uid, 1000);
    assert_int_equal(passwd.gid, 1001);
    assert_string_equal(passwd.home, "/home/web");
    assert_int_equal(passwd.group_count, 2);
    assert_int_equal(passwd.groups[1], 6);
    assert_int_equal(passwd_find(scene->top, "1000", &passwd), 0);
    assert_string_equal(passwd.name, "web");
    assert_int_equal(passwd_find(scene->top, "1000:7", &passwd), 0);
    assert_int_equal(passwd.gid, 7);
    assert_int_equal(passwd.group_count, 0);
    assert_int_equal(passwd_find(scene->top, "55", &passwd), 0); /* never in root's group */
    assert_int_equal(passwd.gid, 55);
    assert_string_equal(passwd.home, "/");
    assert_int_equal(passwd_find(scene->top, "last", &passwd), 0);

    static const char *const unknown[] = {"nobody", "broken", "minus", "we", "4294967295"};
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        assert_int_equal(passwd_find(scene->top, unknown[i], &passwd), -ENOENT);
    assert_int_equal(passwd_find(scene->top, "web:web", &passwd), -EINVAL);
}

static void test_passwd__strange_files__neither_block_nor_lead_out(void **state)
{
    struct scene *scene = *state;
    struct passwd passwd;
    char path[96];

    assert_int_equal(passwd_find(scene->top, "", &passwd), 0); /* no file at all: still root */
    assert_int_equal(passwd.uid, 0);
    assert_string_equal(passwd.home, "/root");
    assert_int_equal(passwd_find(scene->top, "web", &passwd), -ENOENT);

    assert_int_equal(mkdirat(scene->top, "etc", 0755), 0);
    assert_int_equal(mkfifoat(scene->top, "etc/passwd", 0644), 0);
    assert_int_equal(passwd_find(scene->top, "daemon", &passwd), -EINVAL);
    unlinkat(scene->top, "etc/passwd", 0);
    assert_int_equal(symlinkat("/../../etc/passwd", scene->top, "etc/passwd"), 0);
    assert_int_equal(passwd_find(scene->top, "daemon", &passwd),
                     -ELOOP); /* itself, not the host's */
    unlinkat(scene->top, "etc/passwd", 0);
    put_file(scene->top, "etc/passwd", "");
    snprintf(path, sizeof(path), "%s/etc/passwd", scene->dir);
    assert_int_equal(truncate(path, 2 << 20), 0);
    assert_int_equal(passwd_find(scene->top, "daemon", &passwd), -EFBIG);
}

static void test_exec_plan__command__is_packed_with_defaults(void **state)
{
    struct scene *scene = *state;
    static const char *const argv[] = {"ls", "-l"};
    const struct pair env[] = {{"TERM", "xterm"}};
    struct stream_open open = {.argv = argv,
                               .argv_count = 2,
                               .env = env,
                               .env_count = 1,
                               .cwd = "/tmp",
                               .user = "",
                               .is_tty = true,
                               .rows = 70000,
                               .columns = 80};
    _Alignas(8) char block[8192];
    int fd;

    assert_int_equal(exec_plan(&open, scene->top, KP_JOIN_USER, NULL, &fd, &scene->fault), 0);
    ssize_t n = pread(fd, block, sizeof(block), 0);
    close(fd);
    assert_int_equal(kp_check(block, (size_t)n), 0);
    const struct kp_header *plan = (const struct kp_header *)(const void *)block;
    const uint32_t *items = (const uint32_t *)(const void *)(block + plan->env);
    assert_int_equal(plan->flags & (KP_TTY | KP_JOIN_USER | KP_JOIN_PID | KP_FIND_IN_PATH),
                     KP_TTY | KP_JOIN_USER | KP_JOIN_PID | KP_FIND_IN_PATH);
    assert_string_equal(kp_string(plan, plan->cwd), "/tmp");
    assert_int_equal(plan->rows, UINT16_MAX);
    assert_int_equal(plan->env_count, 4);
    assert_string_equal(kp_string(plan, items[0]),
                        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    assert_string_equal(kp_string(plan, items[1]), "HOME=/root");
    assert_string_equal(kp_string(plan, items[2]), "USER=root");
    assert_string_equal(kp_string(plan, items[3]), "TERM=xterm");

    open.user = "nobody-here";
    assert_int_equal(exec_plan(&open, scene->top, KP_JOIN_USER, NULL, &fd, &scene->fault), -ENOENT);
    assert_int_equal(scene->fault.status, STATUS_NOT_FOUND);
    open.argv_count = 0;
    assert_int_equal(exec_plan(&open, scene->top, KP_JOIN_USER, NULL, &fd, &scene->fault), -EINVAL);
}

#define SCENE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(test_remove__hostile_tree__is_gone_and_nothing_else),
        SCENE_TEST(test_remove__immutable_files__are_gone),
        SCENE_TEST(test_find_all__strange_names__are_passed_over),
        SCENE_TEST(test_lock__attributes__survive_a_guests_root),
        SCENE_TEST(test_lock__mounts__can_still_be_idmapped),
        SCENE_TEST(test_lock__many_threads__each_gets_its_own),
        SCENE_TEST(test_passwd__users__are_found_in_the_guests_files),
        SCENE_TEST(test_passwd__strange_files__neither_block_nor_lead_out),
        SCENE_TEST(test_exec_plan__command__is_packed_with_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
