/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: two agents in one PATH, an agent that finds no hierarchy where there is one, or loses
 * PATH to a keeper that ends. The host's own hierarchies are used, in a mount namespace of our own
 * where one of them is to be missing. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/magic.h>
#include <mntent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cgroup_parts.h"
#include "cleanup.h"
#include "scene.h"
#include "sys.h"

#define OTHER_LEDGER "99999999-1111-4222-8333-444455556666"

static void test_cgroups__open__hold_every_hierarchy_that_is_mounted(void **state)
{
    struct scene *scene = *state;
    const struct cgroups *cgroups = &scene->cgroups;
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    struct mntent *mount;

    assert_true(cgroups->hierarchies[0].is_v2);
    assert_true(cgroups->hierarchies[0].path >= 0);
    while ((mount = getmntent(mounts)) != NULL) {
        struct stat mounted;
        size_t found = 0;

        if (strncmp(mount->mnt_type, "cgroup", 6) != 0)
            continue;
        assert_int_equal(stat(mount->mnt_dir, &mounted), 0);
        for (size_t i = 0; i < cgroups->count; i++) {
            struct stat held;

            assert_int_equal(fstat(cgroups->hierarchies[i].root, &held), 0);
            found += held.st_dev == mounted.st_dev;
        }
        assert_int_equal(found, 1);
    }
    (void)endmntent(mounts);
}

static void test_cgroups__open__path_is_made_where_it_is_needed_only(void **state)
{
    struct scene *scene = *state;
    const struct cgroups *cgroups = &scene->cgroups;

    for (size_t i = 0; i < cgroups->count; i++) {
        const struct cgroup_hierarchy *hierarchy = &cgroups->hierarchies[i];
        bool is_used = hierarchy->is_v2 || hierarchy->has_memory || hierarchy->has_pids ||
                       hierarchy->has_cpu || strcmp(hierarchy->controllers, "name=systemd") == 0;

        assert_int_equal(hierarchy->path >= 0, is_used);
        assert_int_equal(faccessat(hierarchy->root, cgroups->path, F_OK, 0) == 0, is_used);
    }
}

static void test_cgroups__closed__path_is_gone_if_empty(void **state)
{
    struct scene *scene = *state;
    AUTO_FD root = fcntl(scene->cgroups.hierarchies[0].root, F_DUPFD_CLOEXEC, 3);
    char path[80];
    scene_path(path);

    assert_int_equal(mkdirat(scene->cgroups.hierarchies[0].path, "keeper", 0755), 0);
    cgroups_close(&scene->cgroups);
    assert_int_equal(faccessat(root, path, F_OK, 0), 0);

    assert_int_equal(cgroups_open(&scene->cgroups, path, SCENE_LEDGER, &scene->fault), 0);
    assert_int_equal(unlinkat(scene->cgroups.hierarchies[0].path, "keeper", AT_REMOVEDIR), 0);
    cgroups_close(&scene->cgroups);
    assert_int_equal(faccessat(root, path, F_OK, 0), -1);
    assert_int_equal(cgroups_open(&scene->cgroups, path, SCENE_LEDGER, &scene->fault), 0);
}

static void test_cgroups__paths_that_leave_the_root__are_refused(void **state)
{
    struct scene *scene = *state;
    static const char *const refused[] = {"", "/", "/drover.n", "a//b", "a/", "..", "a/../b", "."};
    struct cgroups cgroups;

    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        assert_int_equal(cgroups_open(&cgroups, refused[i], SCENE_LEDGER, &scene->fault), -EINVAL);
        assert_int_equal(scene->fault.status, STATUS_INVALID);
        cgroups_close(&cgroups); /* of one that never opened: nothing to do */
    }
}

static void test_cgroups__path_of_two_parts__is_made_and_works(void **state)
{
    struct scene *scene = *state;
    struct cgroups cgroups;
    char path[80];
    struct cgroup cgroup;

    scene_path(path);
    strcat(path, "/inner");
    assert_int_equal(cgroups_open(&cgroups, path, SCENE_LEDGER, &scene->fault), 0);
    int result = cgroup_make(&cgroups, &(struct cgroup_request){"web.1", &scene_unlimited, 0, 0},
                             &cgroup, &scene->fault);
    assert_int_equal(result, 0);
    pid_t pid = scene_spawn(scene, &cgroup, cgroup.guest, NULL);
    assert_true(cgroup_has_process(&cgroup, pid));
    assert_int_equal(cgroup_kill(&cgroup), 0);
    scene_wait_populated(&cgroup, false);
    cgroup_close(&cgroup);
    assert_int_equal(cgroup_remove(&cgroups, "web.1", &scene->fault), 0);
    cgroups_close(&cgroups);
}

/* ---- one agent, one ledger ---- */

/* What a second agent on PATH is told. */
static int open_second(const struct scene *scene, const char *ledger, struct fault *fault)
{
    struct cgroups second;
    int result = cgroups_open(&second, scene->cgroups.path, ledger, fault);

    if (result == 0)
        cgroups_close(&second);
    return result;
}

static void test_cgroups__held_by_another__refused_with_its_pid(void **state)
{
    struct scene *scene = *state;
    struct fault fault = {0};
    char path[80];
    char words[32];
    int ready[2];
    char byte;

    scene_path(path);
    cgroups_close(&scene->cgroups);
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct cgroups first;

        if (cgroups_open(&first, path, SCENE_LEDGER, &fault) < 0 || write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    scene->children[scene->child_count++] = pid;
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    int before = scene_count_fds();
    struct cgroups second;
    assert_int_equal(cgroups_open(&second, path, SCENE_LEDGER, &fault), -EBUSY);

    assert_int_equal(fault.status, STATUS_BUSY);
    (void)snprintf(words, sizeof(words), "process %d", pid);
    assert_non_null(strstr(fault.text, words));
    assert_non_null(strstr(fault.text, path));
    assert_int_equal(scene_count_fds(), before);

    assert_int_equal(kill(pid, SIGKILL), 0);
    scene_reap(scene, pid);
    assert_int_equal(cgroups_open(&scene->cgroups, path, SCENE_LEDGER, &scene->fault), 0);
}

static void test_cgroups__of_another_ledger__refused_and_untouched(void **state)
{
    struct scene *scene = *state;
    struct fault fault = {0};
    char path[80];
    char ledger[64] = "";

    scene_path(path);
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
    cgroup_close(&cgroup);
    cgroups_close(&scene->cgroups); /* web.1 keeps PATH there */
    assert_int_equal(cgroups_open(&scene->cgroups, path, OTHER_LEDGER, &fault), -EBUSY);

    assert_int_equal(fault.status, STATUS_BUSY);
    assert_non_null(strstr(fault.text, SCENE_LEDGER));
    assert_string_not_equal(fault.hint, "");
    assert_int_equal(cgroups_open(&scene->cgroups, path, SCENE_LEDGER, &scene->fault), 0);
    assert_true(fgetxattr(scene->cgroups.hierarchies[0].path, "trusted.drover.ledger", ledger,
                          sizeof(ledger) - 1) > 0);
    assert_string_equal(ledger, SCENE_LEDGER);
    assert_true(scene_has_leaf(scene, "web.1"));
}

/* ---- PATH taken away ---- */

static void test_cgroups__path_removed_by_a_keeper__is_made_again_and_held(void **state)
{
    struct scene *scene = *state;
    const struct cgroups *cgroups = &scene->cgroups;
    struct fault fault = {0};

    for (size_t i = 0; i < cgroups->count; i++)
        if (cgroups->hierarchies[i].path >= 0)
            assert_int_equal(unlinkat(cgroups->hierarchies[i].root, cgroups->path, AT_REMOVEDIR),
                             0);
    int before = scene_count_fds();
    assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), 0);
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
    pid_t pid = scene_spawn(scene, &cgroup, cgroup.guest, NULL);

    assert_true(cgroup_has_process(&cgroup, pid));
    assert_int_equal(open_second(scene, SCENE_LEDGER, &fault), -EBUSY);
    cgroup_close(&cgroup);
    assert_int_equal(scene_count_fds(), before);
}

static void test_cgroups__path_made_again_by_a_keeper__is_ours_too(void **state)
{
    struct scene *scene = *state;
    const struct cgroups *cgroups = &scene->cgroups;
    struct fault fault = {0};
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/keeper", cgroups->path);
    for (size_t i = 0; i < cgroups->count; i++) {
        int root = cgroups->hierarchies[i].root;

        if (cgroups->hierarchies[i].path < 0)
            continue;
        assert_int_equal(unlinkat(root, cgroups->path, AT_REMOVEDIR), 0);
        assert_int_equal(mkdirat(root, cgroups->path, 0755), 0);
        assert_int_equal(mkdirat(root, path, 0755), 0);
    }
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);

    assert_true(scene_has_leaf(scene, "web.1"));
    assert_int_equal(open_second(scene, SCENE_LEDGER, &fault), -EBUSY);
    cgroup_close(&cgroup);
}

/* ---- cpuset on v1 ---- */

static void test_cgroups__cpuset_beside_what_we_use__is_filled_before_anyone_enters(void **state)
{
    struct scene *scene = *state;
    struct cgroups *cgroups = &scene->cgroups;
    char own[256];
    char parents[256];
    size_t index = 0;

    for (size_t i = 1; i < cgroups->count; i++)
        if (cgroups->hierarchies[i].has_cpuset)
            index = i;
    if (index == 0) {
        print_message("no v1 cpuset here\n");
        skip();
    }
    /* As if it were mounted together with cpu: PATH and groups are made in it. */
    if (cgroups->hierarchies[index].path < 0)
        assert_int_equal(cgroup_path_open(cgroups, index, &scene->fault), 0);
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);

    assert_true(scene_read(scene, "web.1", "cpuset.cpus", own));
    int root = cgroups->hierarchies[index].root;
    assert_true(sys_read_text_at(root, "cpuset.cpus", parents, sizeof(parents)) > 1);
    parents[strcspn(parents, "\n")] = '\0';
    assert_string_equal(own, parents);
    pid_t pid =
        scene_spawn(scene, &cgroup, cgroup.guest, NULL); /* enters every one of its groups */
    assert_true(scene_is_alive(pid));
    cgroup_close(&cgroup);
}

/* ---- no v2 mounted ---- */

static int unmount_v2(void)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    char dirs[8][256];
    size_t count = 0;

    for (struct mntent *mount; mounts != NULL && (mount = getmntent(mounts)) != NULL;)
        if (strcmp(mount->mnt_type, "cgroup2") == 0 && count < COUNT_OF(dirs))
            (void)snprintf(dirs[count++], sizeof(dirs[0]), "%s", mount->mnt_dir);
    if (mounts != NULL)
        (void)endmntent(mounts);
    while (count-- > 0)
        if (umount2(dirs[count], MNT_DETACH) < 0)
            return -errno;
    return 0;
}

/* In a namespace of its own; the answer is the number of the line where it went wrong. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)

static int live_without_v2(const char *path)
{
    struct scene scene = {0};
    struct cgroup cgroup;
    char text[256];
    char name[32];
    pid_t found = 0;
    struct cgroup_limits limits = scene_unlimited;

    MUST(unshare(CLONE_NEWNS) == 0);
    MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    MUST(unmount_v2() == 0);
    MUST(cgroups_open(&scene.cgroups, path, SCENE_LEDGER, &scene.fault) == 0);
    MUST(scene.cgroups.hierarchies[0].is_v2);

    limits.pids_max = 64;
    MUST(cgroup_check(&scene.cgroups, &limits, &scene.fault) == 0 ||
         scene.fault.status == STATUS_UNSUPPORTED);
    MUST(cgroup_make(&scene.cgroups, &(struct cgroup_request){"web.1", &limits, 0, 0}, &cgroup,
                     &scene.fault) == 0);
    limits.pids_max = 32;
    MUST(cgroup_set(&scene.cgroups, &cgroup, &limits, &scene.fault) == 0);
    MUST(!scene_read(&scene, "web.1", "pids.max", text) || strcmp(text, "32") == 0);
    pid_t pid = scene_spawn(&scene, &cgroup, cgroup.guest, NULL);
    MUST(cgroup_has_process(&cgroup, pid));
    MUST(cgroup_find_process(&cgroup, &found, name, sizeof(name)) && found == pid);
    MUST(cgroup_freeze(&cgroup, true) == 0);
    scene_wait_frozen(&cgroup, true);
    MUST(cgroup_kill(&cgroup) == 0);
    scene_wait_populated(&cgroup, false);
    scene_reap(&scene, pid);
    cgroup_close(&cgroup);
    MUST(cgroup_remove(&scene.cgroups, "web.1", &scene.fault) == 0);
    cgroups_close(&scene.cgroups);
    return 0;
}

static void read_v2_mount(char text[512])
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");

    (void)snprintf(text, 512, "none");
    for (struct mntent *mount; (mount = getmntent(mounts)) != NULL;)
        if (strcmp(mount->mnt_type, "cgroup2") == 0)
            (void)snprintf(text, 512, "%s %s", mount->mnt_dir, mount->mnt_opts);
    (void)endmntent(mounts);
}

static void test_cgroups__v2_not_mounted__is_held_detached_and_the_hosts_is_untouched(void **state)
{
    struct scene *scene = *state;
    char before[512];
    char after[512];
    char path[96];
    int status;

    (void)snprintf(path, sizeof(path), "%s%s", scene->cgroups.path, SCENE_DETACHED);
    read_v2_mount(before);
    pid_t pid = fork();
    if (pid == 0) {
        int line = live_without_v2(path);

        if (line != 0)
            print_error("%s:%d\n", __FILE__, line);
        _exit(line == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    read_v2_mount(after);

    assert_int_equal(status, 0);
    assert_string_equal(before, after);
    for (size_t i = 0; i < scene->cgroups.count; i++)
        assert_int_equal(faccessat(scene->cgroups.hierarchies[i].root, path, F_OK, 0), -1);
}

static void test_cgroups__opened_and_closed_often__leak_no_descriptor(void **state)
{
    struct scene *scene = *state;
    char path[80];

    scene_path(path);
    cgroups_close(&scene->cgroups);
    int before = scene_count_fds();
    for (int i = 0; i < 10; i++) {
        assert_int_equal(cgroups_open(&scene->cgroups, path, SCENE_LEDGER, &scene->fault), 0);
        cgroups_close(&scene->cgroups);
    }
    assert_int_equal(scene_count_fds(), before);
    assert_int_equal(cgroups_open(&scene->cgroups, path, SCENE_LEDGER, &scene->fault), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_cgroups__open__hold_every_hierarchy_that_is_mounted),
        CASE(test_cgroups__open__path_is_made_where_it_is_needed_only),
        CASE(test_cgroups__closed__path_is_gone_if_empty),
        CASE(test_cgroups__paths_that_leave_the_root__are_refused),
        CASE(test_cgroups__path_of_two_parts__is_made_and_works),
        CASE(test_cgroups__held_by_another__refused_with_its_pid),
        CASE(test_cgroups__of_another_ledger__refused_and_untouched),
        CASE(test_cgroups__path_removed_by_a_keeper__is_made_again_and_held),
        CASE(test_cgroups__path_made_again_by_a_keeper__is_ours_too),
        CASE(test_cgroups__cpuset_beside_what_we_use__is_filled_before_anyone_enters),
        CASE(test_cgroups__v2_not_mounted__is_held_detached_and_the_hosts_is_untouched),
        CASE(test_cgroups__opened_and_closed_often__leak_no_descriptor),
    };

    if (geteuid() != 0) {
        print_message("needs root\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
