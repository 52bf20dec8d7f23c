/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a template that writes outside its directory, is there by half, or lost what it had.
 * Tars made by tar(1) or written here octet by octet are imported below a scratch directory. Needs
 * root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"
#include "rootfs_mounts.h"
#include "scratch.h"
#include "template.h"

struct scene {
    char dir[64];
    int top;
    int templates;
    struct fault fault;
};

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    assert_non_null(scratch_make(scene->dir, sizeof(scene->dir), "drover-template"));
    scene->top = open(scene->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(scene->top, "templates", 0700), 0);
    scene->templates = openat(scene->top, "templates", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    close(scene->templates);
    close(scene->top);
    assert_int_equal(tree_remove(AT_FDCWD, scene->dir), 0);
    free(scene);
    return 0;
}

/* Run a shell in the scratch directory; what it prints is the archive. */
static int import_from(struct scene *scene, const char *name, const char *script)
{
    char command[1024];
    snprintf(command, sizeof(command), "cd %s && (%s) 2>/dev/null", scene->dir, script);
    FILE *tar = popen(command, "r"); /* NOLINT: a test's own constant text */
    assert_non_null(tar);
    scene->fault = (struct fault){0};
    int rc = template_import(scene->templates, name, fileno(tar), NULL, &scene->fault);
    pclose(tar);
    return rc;
}

static unsigned count_entries(int dir)
{
    unsigned count = 0;
    DIR *list = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert_non_null(list);
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(list);
    return count;
}

/* One ustar header, its checksum made. */
static void put_member(int tar, const char *name, char type, const char *link, const char *data)
{
    char block[512] = "";
    size_t size = data == NULL ? 0 : strnlen(data, 512);
    unsigned sum = 0;

    snprintf(block, 100, "%s", name);
    memcpy(block + 100, "0000644\0000000000\0000000000", 24);
    snprintf(block + 124, 12, "%011o", (unsigned)size);
    memcpy(block + 136, "00000000000\0        ", 20);
    block[156] = type;
    if (link != NULL)
        snprintf(block + 157, 100, "%s", link);
    memcpy(block + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof(block); i++)
        sum += (unsigned char)block[i];
    snprintf(block + 148, 8, "%06o", sum);
    assert_int_equal(write(tar, block, sizeof(block)), sizeof(block));
    if (size > 0) {
        char padded[512] = "";
        memcpy(padded, data, size);
        assert_int_equal(write(tar, padded, sizeof(padded)), sizeof(padded));
    }
}

static int begin_tar(void)
{
    int tar = memfd_create("tar", MFD_CLOEXEC);
    assert_true(tar >= 0);
    return tar;
}

static int import_tar(struct scene *scene, int tar)
{
    char end[1024] = "";
    assert_int_equal(write(tar, end, sizeof(end)), sizeof(end));
    assert_int_equal(lseek(tar, 0, SEEK_SET), 0);
    scene->fault = (struct fault){0};
    int rc = template_import(scene->templates, "os", tar, NULL, &scene->fault);
    close(tar);
    return rc;
}

static void test_import__whole_tree__keeps_what_it_had(void **state)
{
    struct scene *scene = *state;
    struct stat stat;
    struct stat other;
    char value[8] = "";
    char path[128];

    assert_int_equal(mkdirat(scene->top, "t", 0755), 0);
    assert_int_equal(mknodat(scene->top, "t/file", S_IFREG | 0644, 0), 0);
    snprintf(path, sizeof(path), "%s/t/file", scene->dir);
    assert_int_equal(setxattr(path, "user.k", "v", 1, 0), 0);
    int rc = import_from(scene, "os",
                         "cd t && mkdir -m 1777 tmp && mkdir bin && "
                         "echo x >bin/su && chown 12:70000 bin/su && chmod 4755 bin/su && "
                         "ln bin/su bin/hard && ln -s /nowhere bin/link && "
                         "mknod null c 1 3 && mkfifo fifo && touch -d @1000000 old && "
                         "echo >Főtanúsítvány.crt && tar --format=pax --xattrs -c .");
    assert_string_equal(scene->fault.text, "");
    assert_int_equal(rc, 0);

    assert_int_equal(count_entries(scene->templates), 1);
    AUTO_FD os = openat(scene->templates, "os", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fstat(os, &stat), 0);
    assert_int_equal(stat.st_mode & 07777, 0755);
    assert_int_equal(fstatat(os, "bin/su", &stat, 0), 0);
    assert_int_equal(stat.st_mode, S_IFREG | 04755);
    assert_int_equal(stat.st_uid, 12);
    assert_int_equal(stat.st_gid, 70000);
    assert_int_equal(fstatat(os, "bin/hard", &other, 0), 0);
    assert_true(other.st_ino == stat.st_ino);
    snprintf(path, sizeof(path), "%s/templates/os/file", scene->dir);
    assert_int_equal(getxattr(path, "user.k", value, sizeof(value)), 1);
    assert_int_equal(value[0], 'v');
    assert_int_equal(fstatat(os, "tmp", &stat, 0), 0);
    assert_int_equal(stat.st_mode, S_IFDIR | 01777);
    assert_int_equal(fstatat(os, "null", &stat, 0), 0);
    assert_true(S_ISCHR(stat.st_mode) && stat.st_rdev == makedev(1, 3));
    assert_int_equal(fstatat(os, "old", &stat, 0), 0);
    assert_int_equal(stat.st_mtime, 1000000);
    assert_int_equal(faccessat(os, "Főtanúsítvány.crt", F_OK, 0), 0);
}

static void test_import__compressed__is_unpacked(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(import_from(scene, "gz", "mkdir t; echo x >t/f; tar -C t -cz ."), 0);
    assert_int_equal(import_from(scene, "xz", "tar -C t -cJ ."), 0);
    assert_int_equal(count_entries(scene->templates), 2);
}

static void test_import__name_that_is_taken__changes_nothing(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(import_from(scene, "os", "mkdir t; echo x >t/f; tar -C t -c ."), 0);
    assert_int_equal(import_from(scene, "os", "echo x >t/g; tar -C t -c ."), -EEXIST);
    assert_int_equal(scene->fault.status, STATUS_EXISTS);
    assert_int_equal(faccessat(scene->templates, "os/g", F_OK, 0), -1);
    assert_int_equal(import_from(scene, "../os", "tar -C t -c ."), -EINVAL);
    assert_int_equal(count_entries(scene->templates), 1);
}

static void test_import__no_tar__is_invalid_and_leaves_nothing(void **state)
{
    struct scene *scene = *state;
    static const char *const scripts[] = {
        "true",
        "echo this is no archive at all",
        "head -c 100000 /dev/urandom",
        "head -c 4096 /dev/zero",
        "mkdir -p t; head -c 100000 /dev/zero >t/f; tar -C t -c . | head -c 60000",
        "head -c 100000 /dev/urandom | gzip",
    };
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        assert_int_equal(import_from(scene, "os", scripts[i]), -EINVAL);
        assert_int_equal(scene->fault.status, STATUS_INVALID);
        assert_int_equal(count_entries(scene->templates), 0);
    }
}

static void test_import__paths_out_of_the_tree__are_refused(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *name, *link;
        char type;
    } rows[] = {
        {"/etc/evil", NULL, '0'},      {"../evil", NULL, '0'},   {"a/../../evil", NULL, '0'},
        {"hard", "/etc/passwd", '1'},  {"hard", "../../x", '1'}, {"..", NULL, '5'},
        {"./../templates", NULL, '5'},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int tar = begin_tar();
        put_member(tar, rows[i].name, rows[i].type, rows[i].link,
                   rows[i].type == '0' ? "evil" : NULL);
        assert_int_equal(import_tar(scene, tar), -EINVAL);
        assert_int_equal(scene->fault.status, STATUS_INVALID);
        assert_int_equal(count_entries(scene->templates), 0);
    }
    assert_int_equal(count_entries(scene->top), 1);
}

static void test_import__write_through_a_link__is_refused(void **state)
{
    struct scene *scene = *state;
    for (int is_hard = 0; is_hard <= 1; is_hard++) {
        int tar = begin_tar();
        put_member(tar, "out", '2', scene->dir, NULL);
        put_member(tar, is_hard ? "hard" : "out/evil", is_hard ? '1' : '0',
                   is_hard ? "out/templates/x" : NULL, is_hard ? NULL : "evil");
        assert_int_equal(import_tar(scene, tar), -EINVAL);
        assert_int_equal(count_entries(scene->top), 1);
        assert_int_equal(count_entries(scene->templates), 0);
    }

    /* The root of the tree replaced by a link, then written through. */
    int tar = begin_tar();
    put_member(tar, "./", '2', scene->dir, NULL);
    put_member(tar, "evil", '0', NULL, "evil");
    assert_true(import_tar(scene, tar) < 0);
    assert_int_equal(count_entries(scene->top), 1);
}

static void test_import__same_name_twice__keeps_the_last(void **state)
{
    struct scene *scene = *state;
    char text[8] = "";
    int tar = begin_tar();
    put_member(tar, "f", '2', "/etc/passwd", NULL);
    put_member(tar, "f", '0', NULL, "one");
    put_member(tar, "f", '0', NULL, "two");
    assert_int_equal(import_tar(scene, tar), 0);
    AUTO_FD file = openat(scene->templates, "os/f", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    assert_int_equal(read(file, text, sizeof(text)), 3);
    assert_string_equal(text, "two");
}

static void test_import__disk_full__says_so_and_leaves_nothing(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("t", scene->dir, "tmpfs", 0, "size=1m"), 0);
    close(scene->templates);
    scene->templates = open(scene->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(import_from(scene, "os",
                                 "mkdir /var/tmp/$$.t && cd /var/tmp/$$.t && echo >first && "
                                 "head -c 3000000 /dev/zero >second && tar -c . ; "
                                 "rm -r /var/tmp/$$.t"),
                     -ENOSPC);
    assert_int_equal(scene->fault.status, STATUS_NO_CAPACITY);
    assert_non_null(strstr(scene->fault.text, "second"));
    assert_int_equal(count_entries(scene->templates), 0);
    assert_int_equal(umount2(scene->dir, MNT_DETACH), 0);
}

/* A tar that ends between two members, as when its sender dies there. */
static void test_import__cut_short__leaves_nothing(void **state)
{
    struct scene *scene = *state;
    atomic_bool is_cut = true;
    int tar = begin_tar();
    put_member(tar, "etc/", '5', NULL, NULL);
    assert_int_equal(lseek(tar, 0, SEEK_SET), 0);

    assert_true(template_import(scene->templates, "os", tar, &is_cut, &scene->fault) < 0);
    assert_int_equal(count_entries(scene->templates), 0);

    atomic_store(&is_cut, false);
    assert_int_equal(lseek(tar, 0, SEEK_SET), 0);
    assert_int_equal(template_import(scene->templates, "os", tar, &is_cut, &scene->fault), 0);
    close(tar);
}

static void test_sweep__unfinished_imports__are_gone(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(mkdirat(scene->templates, ".import-os-1", 0700), 0);
    assert_int_equal(mkdirat(scene->templates, ".import-os-1/a", 0700), 0);
    assert_int_equal(mkdirat(scene->templates, "os", 0700), 0);
    assert_int_equal(template_sweep(scene->templates), 0);
    assert_int_equal(count_entries(scene->templates), 1);
}

#define SCENE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(test_import__whole_tree__keeps_what_it_had),
        SCENE_TEST(test_import__compressed__is_unpacked),
        SCENE_TEST(test_import__name_that_is_taken__changes_nothing),
        SCENE_TEST(test_import__no_tar__is_invalid_and_leaves_nothing),
        SCENE_TEST(test_import__paths_out_of_the_tree__are_refused),
        SCENE_TEST(test_import__write_through_a_link__is_refused),
        SCENE_TEST(test_import__same_name_twice__keeps_the_last),
        SCENE_TEST(test_import__disk_full__says_so_and_leaves_nothing),
        SCENE_TEST(test_import__cut_short__leaves_nothing),
        SCENE_TEST(test_sweep__unfinished_imports__are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
