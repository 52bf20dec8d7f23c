/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a guest outside its groups, a group that stays behind, a kill that reaches another's
 * process. Real groups below a PATH of our own, real processes in them, in every hierarchy that the
 * host has. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup_parts.h"
#include "cleanup.h"
#include "clock.h"
#include "scene.h"
#include "sys.h"

#define OWNER 1879048192u

static void test_cgroup__made__guest_is_its_owners_and_nothing_else(void **state)
{
    struct scene *scene = *state;
    static const char *const owned[] = {"guest", "guest/cgroup.procs", "guest/cgroup.threads",
                                        "guest/cgroup.subtree_control"};
    static const char *const ours[] = {".", "cgroup.procs", "cgroup.subtree_control",
                                       "cgroup.freeze", "guest/cgroup.max.descendants"};
    struct cgroup cgroup = scene_make_owned(scene, "web.1", OWNER);
    struct stat stat;

    for (size_t i = 0; i < COUNT_OF(owned); i++) {
        assert_int_equal(fstatat(cgroup.dir, owned[i], &stat, 0), 0);
        assert_int_equal(stat.st_uid, OWNER);
        assert_int_equal(stat.st_gid, OWNER);
    }
    for (size_t i = 0; i < COUNT_OF(ours); i++) {
        assert_int_equal(fstatat(cgroup.dir, ours[i], &stat, 0), 0);
        assert_int_equal(stat.st_uid, 0);
    }
    cgroup_close(&cgroup);
}

/* What the owner may do, tried as the owner: 0 done, else the errno. */
static int as_owner(int group, const char *name)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (setresgid(OWNER, OWNER, OWNER) < 0 || setresuid(OWNER, OWNER, OWNER) < 0)
            _exit(255);
        _exit(mkdirat(group, name, 0755) < 0 ? errno : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_cgroup__made__guest_can_make_groups_below_its_own_only(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make_owned(scene, "web.1", OWNER);

    assert_int_equal(as_owner(cgroup.guest, "init.scope"), 0);
    assert_int_equal(as_owner(cgroup.dir, "beside"), EACCES);
    cgroup_close(&cgroup);
}

static void test_cgroup__guest_at_its_bound__a_command_still_gets_its_leaf(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
    struct cgroup_exec exec;
    char name[32];
    int made = 0;

    for (; made < 2000; made++) {
        (void)snprintf(name, sizeof(name), "g%d", made);
        if (mkdirat(cgroup.guest, name, 0755) < 0)
            break;
    }

    assert_int_equal(errno, EAGAIN);
    assert_int_equal(made, 1024);
    assert_int_equal(cgroup_exec_make(&cgroup, 7, &exec, &scene->fault), 0);
    (void)close(exec.dir);
    (void)close(exec.kill);
    assert_int_equal(cgroup_exec_remove(&cgroup, 7), 0);
    cgroup_close(&cgroup);
    assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), 0);
    assert_false(scene_has_leaf(scene, "web.1"));
}

static void test_cgroup__process_in_it__is_found_and_killed(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
    struct cgroup other = scene_make(scene, "web.11", &scene_unlimited);
    char leaf[CGROUP_LEAF_BYTES];
    char name[32];
    pid_t found = 0;

    assert_false(cgroup_find_process(&cgroup, &found, name, sizeof(name)));
    pid_t pid = scene_spawn(scene, &cgroup, cgroup.guest, NULL);
    pid_t stranger = scene_spawn(scene, &other, other.guest, NULL);

    assert_true(cgroup_has_process(&cgroup, pid));
    assert_false(cgroup_has_process(&cgroup, getpid()));
    assert_false(cgroup_has_process(&cgroup, stranger)); /* web.1 is no prefix of web.11 */
    assert_true(cgroup_find_leaf(&scene->cgroups, stranger, leaf));
    assert_string_equal(leaf, "web.11");
    assert_false(cgroup_find_leaf(&scene->cgroups, getpid(), leaf));
    assert_true(cgroup_find_process(&cgroup, &found, name, sizeof(name)));
    assert_int_equal(found, pid);
    assert_string_not_equal(name, "");
    assert_int_equal(cgroup_kill(&cgroup), 0);
    scene_wait_populated(&cgroup, false);
    scene_reap(scene, pid);
    assert_true(scene_is_alive(stranger));
    assert_false(cgroup_has_process(&cgroup, pid));
    cgroup_close(&cgroup);
    cgroup_close(&other);
}

static void test_cgroup__process_deep_in_the_guests_groups__is_found(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
    char name[32];
    pid_t found = 0;

    assert_int_equal(mkdirat(cgroup.guest, "empty.slice", 0755), 0);
    assert_int_equal(mkdirat(cgroup.guest, "system.slice", 0755), 0);
    assert_int_equal(mkdirat(cgroup.guest, "system.slice/a.service", 0755), 0);
    AUTO_FD group = openat(cgroup.guest, "system.slice/a.service", CGROUP_DIR_FLAGS);
    pid_t pid = scene_spawn(scene, &cgroup, group, NULL);

    assert_true(cgroup_find_process(&cgroup, &found, name, sizeof(name)));
    assert_int_equal(found, pid);
    assert_true(cgroup_has_process(&cgroup, pid));
    cgroup_close(&cgroup);
}

static void test_cgroup__adopted__holds_what_was_made(void **state)
{
    struct scene *scene = *state;
    struct cgroup made = scene_make(scene, "web.1", &scene_unlimited);
    struct cgroup cgroup;
    size_t task_count = made.task_count;
    bool has_oom = made.oom >= 0;
    pid_t pid = scene_spawn(scene, &made, made.guest, NULL);

    cgroup_close(&made);
    assert_int_equal(cgroup_adopt(&scene->cgroups, "web.1", &cgroup, &scene->fault), 0);

    assert_int_equal(cgroup.task_count, task_count);
    assert_int_equal(cgroup.oom >= 0, has_oom);
    assert_true(cgroup.guest >= 0);
    assert_true(cgroup_has_process(&cgroup, pid));
    assert_int_equal(cgroup_read_oom_kills(&cgroup), 0);
    scene_wait_populated(&cgroup, true);
    assert_int_equal(cgroup_kill(&cgroup), 0);
    scene_wait_populated(&cgroup, false);
    cgroup_close(&cgroup);
    assert_int_equal(cgroup_adopt(&scene->cgroups, "web.2", &cgroup, &scene->fault), -ENOENT);
}

static void test_cgroup__populated__is_not_removed_and_loses_nothing(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
    pid_t pid = scene_spawn(scene, &cgroup, cgroup.guest, NULL);

    assert_int_equal(mkdirat(cgroup.guest, "empty.slice", 0755), 0);
    assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), -EBUSY);

    assert_int_equal(scene->fault.status, STATUS_BUSY);
    assert_non_null(strstr(scene->fault.text, "web.1"));
    assert_true(scene_is_alive(pid));
    assert_true(cgroup_has_process(&cgroup, pid));
    assert_int_equal(faccessat(cgroup.guest, "empty.slice", F_OK, 0), 0);
    for (size_t i = 0; i < scene->cgroups.count; i++)
        if (scene->cgroups.hierarchies[i].path >= 0 && !scene->cgroups.hierarchies[i].is_systemd)
            assert_int_equal(
                faccessat(scene->cgroups.hierarchies[i].path, "web.1/cgroup.procs", F_OK, 0), 0);
    cgroup_close(&cgroup);
}

static void test_cgroup__removed__is_gone_everywhere_and_again_is_fine(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);

    cgroup_close(&cgroup);
    assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), 0);
    assert_false(scene_has_leaf(scene, "web.1"));
    assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), 0);
    assert_int_equal(cgroup_remove(&scene->cgroups, "../web.1", &scene->fault), -EINVAL);
}

static void test_cgroup__removed_under_us__kill_has_nothing_to_do(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
    bool level;
    bool frozen;

    assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), 0);

    assert_int_equal(cgroup_kill(&cgroup), 0);
    assert_true(cgroup_read_events(&cgroup, &level, &frozen) < 0);
    assert_int_equal(cgroup_read_oom_kills(&cgroup), 0);
    cgroup_close(&cgroup);
}

#define DEEP 1000
#define DEEP_NAME "a-name-of-a-group-that-is-long-enough" /* the path is then nine times PATH_MAX */

static void nest(struct scene *scene, bool is_bounded)
{
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
    if (!is_bounded)
        assert_int_equal(sys_write_text_at(cgroup.guest, "cgroup.max.depth", "max"), 0);
    errno = 0;
    AUTO_FD at = openat(cgroup.guest, ".", CGROUP_DIR_FLAGS);
    char name[32];
    pid_t found;
    int depth = 0;

    for (; depth < DEEP; depth++) {
        if (mkdirat(at, DEEP_NAME, 0755) < 0)
            break;
        AUTO_FD next = openat(at, DEEP_NAME, CGROUP_DIR_FLAGS);
        assert_true(next >= 0);
        (void)close(at);
        at = take_fd(&next);
    }
    assert_int_equal(errno, is_bounded ? EAGAIN : 0);
    assert_int_equal(depth, is_bounded ? 32 : DEEP);
    pid_t pid = scene_spawn(scene, &cgroup, at, NULL);
    assert_true(cgroup_find_process(&cgroup, &found, name, sizeof(name)));
    assert_int_equal(found, pid);
    assert_int_equal(cgroup_kill(&cgroup), 0);
    scene_wait_populated(&cgroup, false);
    cgroup_close(&cgroup);

    int before = scene_count_fds();
    assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), 0);
    assert_false(scene_has_leaf(scene, "web.1"));
    assert_int_equal(scene_count_fds(), before);
}

/* As an earlier build let guests make them. */
static void test_cgroup__groups_nested_beyond_any_path__are_removed(void **state)
{
    nest(*state, false);
}

static void test_cgroup__groups_nested__end_at_a_bound(void **state)
{
    nest(*state, true);
}

static void test_cgroup__groups_wide_and_nested__are_removed_in_all_hierarchies(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
    char name[64];

    if (cgroups_has_systemd(&scene->cgroups))
        assert_int_equal(cgroup_add_systemd(&scene->cgroups, 0, &cgroup, &scene->fault), 0);
    for (size_t i = 0; i < scene->cgroups.count; i++) {
        int path = scene->cgroups.hierarchies[i].path;

        for (int wide = 0; path >= 0 && wide < 20; wide++) {
            (void)snprintf(name, sizeof(name), "web.1/wide-%d", wide);
            assert_int_equal(mkdirat(path, name, 0755), 0);
            (void)snprintf(name, sizeof(name), "web.1/wide-%d/below", wide);
            assert_int_equal(mkdirat(path, name, 0755), 0);
        }
    }
    cgroup_close(&cgroup);
    assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), 0);
    assert_false(scene_has_leaf(scene, "web.1"));
}

static void test_cgroup__frozen_and_thawed__says_when(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
    pid_t pid = scene_spawn(scene, &cgroup, cgroup.guest, NULL);

    assert_int_equal(cgroup_freeze(&cgroup, true), 0);
    scene_wait_frozen(&cgroup, true);
    assert_int_equal(cgroup_freeze(&cgroup, false), 0);
    scene_wait_frozen(&cgroup, false);
    assert_int_equal(cgroup_freeze(&cgroup, true), 0);
    scene_wait_frozen(&cgroup, true);

    assert_int_equal(cgroup_kill(&cgroup), 0); /* a frozen guest dies too */
    scene_wait_populated(&cgroup, false);
    scene_reap(scene, pid);
    cgroup_close(&cgroup);
}

static void test_cgroup__leaf_of_a_command__is_killed_apart_from_the_guest(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
    struct cgroup_exec exec;
    pid_t init = scene_spawn(scene, &cgroup, cgroup.guest, NULL);

    assert_int_equal(cgroup_exec_make(&cgroup, 12345678901234567890u, &exec, &scene->fault), 0);
    pid_t command = scene_spawn(scene, &cgroup, exec.dir, NULL);
    assert_true(cgroup_has_process(&cgroup, command));
    assert_int_equal(cgroup_exec_remove(&cgroup, 12345678901234567890u), -EBUSY);
    assert_int_equal(write(exec.kill, "1", 1), 1);
    scene_reap(scene, command);
    (void)close(exec.dir);
    (void)close(exec.kill);

    assert_int_equal(cgroup_exec_remove(&cgroup, 12345678901234567890u), 0);
    assert_int_equal(cgroup_exec_remove(&cgroup, 12345678901234567890u), 0);
    assert_true(scene_is_alive(init));
    cgroup_close(&cgroup);
}

struct seen {
    char leaves[8][CGROUP_LEAF_BYTES];
    size_t count;
    size_t count_max;
};

static bool on_leaf(const char *leaf, void *context)
{
    struct seen *seen = context;

    assert_true(seen->count < COUNT_OF(seen->leaves));
    (void)snprintf(seen->leaves[seen->count++], CGROUP_LEAF_BYTES, "%s", leaf);
    return seen->count < seen->count_max;
}

static void test_cgroups__leaves_in_any_hierarchy__are_found_once(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.10", &scene_unlimited);
    const struct cgroups *cgroups = &scene->cgroups;
    struct seen seen = {.count_max = 8};
    int last = -1;

    cgroup_close(&cgroup);
    for (size_t i = 0; i < cgroups->count; i++)
        if (cgroups->hierarchies[i].path >= 0)
            last = cgroups->hierarchies[i].path;
    assert_int_equal(mkdirat(last, "db.2", 0755), 0); /* of a removal that was cut short */
    assert_int_equal(mkdirat(last, "keeper", 0755), 0);
    assert_int_equal(mkdirat(last, "web.x", 0755), 0);
    assert_int_equal(mkdirat(last, "web.", 0755), 0);
    assert_int_equal(cgroup_find_all(&scene->cgroups, on_leaf, &seen), 0);

    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.leaves[0], "db.2");
    assert_string_equal(seen.leaves[1], "web.10");
    seen = (struct seen){.count_max = 1};
    assert_int_equal(cgroup_find_all(&scene->cgroups, on_leaf, &seen), 0);
    assert_int_equal(seen.count, 1);
}

static void test_cgroup__empty_leftover_of_its_name__is_replaced(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < scene->cgroups.count; i++) {
        int path = scene->cgroups.hierarchies[i].path;

        if (path < 0)
            continue;
        assert_int_equal(mkdirat(path, "web.1", 0755), 0);
        struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);
        cgroup_close(&cgroup);
        assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), 0);
    }
}

static void test_cgroup__name_in_use_in_one_hierarchy__fails_and_leaves_only_that(void **state)
{
    struct scene *scene = *state;
    const struct cgroups *cgroups = &scene->cgroups;
    size_t last = 0;
    struct cgroup cgroup;

    for (size_t i = 0; i < cgroups->count; i++)
        if (cgroups->hierarchies[i].path >= 0 && !cgroups->hierarchies[i].is_systemd)
            last = i;
    struct cgroup other = scene_make(scene, "other.1", &scene_unlimited);
    pid_t pid = scene_spawn(scene, &other, other.guest, NULL);
    char text[16];
    int path = cgroups->hierarchies[last].path;
    assert_int_equal(mkdirat(path, "web.1", 0755), 0);
    (void)snprintf(text, sizeof(text), "%d", pid);
    assert_int_equal(sys_write_text_at(path, "web.1/cgroup.procs", text), 0);
    int before = scene_count_fds();

    assert_true(cgroup_make(&scene->cgroups,
                            &(struct cgroup_request){"web.1", &scene_unlimited, 0, 0}, &cgroup,
                            &scene->fault) < 0);

    assert_int_equal(scene_count_fds(), before);
    assert_true(scene_is_alive(pid));
    for (size_t i = 0; i < last; i++)
        if (cgroups->hierarchies[i].path >= 0)
            assert_int_equal(faccessat(cgroups->hierarchies[i].path, "web.1", F_OK, 0), -1);
    assert_int_equal(faccessat(path, "web.1", F_OK, 0), 0);
    cgroup_close(&other);
    assert_int_equal(kill(pid, SIGKILL), 0);
    scene_reap(scene, pid);
}

static void test_cgroup__made_adopted_removed_often__leaks_no_descriptor(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup;
    int before = scene_count_fds();

    for (int i = 0; i < 20; i++) {
        cgroup = scene_make(scene, "web.1", &scene_unlimited);
        cgroup_close(&cgroup);
        assert_int_equal(cgroup_adopt(&scene->cgroups, "web.1", &cgroup, &scene->fault), 0);
        cgroup_close(&cgroup);
        assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), 0);
        assert_true(cgroup_adopt(&scene->cgroups, "web.1", &cgroup, &scene->fault) < 0);
    }

    assert_int_equal(scene_count_fds(), before);
}

static void test_cgroup__times__are_told(void **state)
{
    struct scene *scene = *state;
    struct cgroup_limits limits = {.memory_max_bytes = 64 << 20,
                                   .swap_max_bytes = 0,
                                   .pids_max = 64,
                                   .cpu_milli = 1500,
                                   .cpu_weight = 200};
    struct cgroup cgroup;
    char leaf[CGROUP_LEAF_BYTES];
    struct cgroup_request request = {leaf, &limits, OWNER, 0};
    uint64_t make_ns = 0;
    uint64_t remove_ns = 0;
    const int count = 200;

    for (int i = 0; i < count; i++) {
        (void)snprintf(leaf, sizeof(leaf), "web.%d", i);
        uint64_t start_ns = clock_monotonic_ns();
        assert_int_equal(cgroup_make(&scene->cgroups, &request, &cgroup, &scene->fault), 0);
        make_ns += clock_monotonic_ns() - start_ns;
        cgroup_close(&cgroup);
    }
    for (int i = 0; i < count; i++) {
        (void)snprintf(leaf, sizeof(leaf), "web.%d", i);
        uint64_t start_ns = clock_monotonic_ns();
        assert_int_equal(cgroup_remove(&scene->cgroups, leaf, &scene->fault), 0);
        remove_ns += clock_monotonic_ns() - start_ns;
    }
    print_message("make %llu us, remove %llu us, mean of %d with every limit\n",
                  (unsigned long long)(make_ns / 1000 / (uint64_t)count),
                  (unsigned long long)(remove_ns / 1000 / (uint64_t)count), count);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_cgroup__made__guest_is_its_owners_and_nothing_else),
        CASE(test_cgroup__made__guest_can_make_groups_below_its_own_only),
        CASE(test_cgroup__guest_at_its_bound__a_command_still_gets_its_leaf),
        CASE(test_cgroup__process_in_it__is_found_and_killed),
        CASE(test_cgroup__process_deep_in_the_guests_groups__is_found),
        CASE(test_cgroup__adopted__holds_what_was_made),
        CASE(test_cgroup__populated__is_not_removed_and_loses_nothing),
        CASE(test_cgroup__removed__is_gone_everywhere_and_again_is_fine),
        CASE(test_cgroup__removed_under_us__kill_has_nothing_to_do),
        CASE(test_cgroup__groups_nested_beyond_any_path__are_removed),
        CASE(test_cgroup__groups_nested__end_at_a_bound),
        CASE(test_cgroup__groups_wide_and_nested__are_removed_in_all_hierarchies),
        CASE(test_cgroup__frozen_and_thawed__says_when),
        CASE(test_cgroup__leaf_of_a_command__is_killed_apart_from_the_guest),
        CASE(test_cgroups__leaves_in_any_hierarchy__are_found_once),
        CASE(test_cgroup__empty_leftover_of_its_name__is_replaced),
        CASE(test_cgroup__name_in_use_in_one_hierarchy__fails_and_leaves_only_that),
        CASE(test_cgroup__made_adopted_removed_often__leaks_no_descriptor),
        CASE(test_cgroup__times__are_told),
    };

    if (geteuid() != 0) {
        print_message("needs root\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
