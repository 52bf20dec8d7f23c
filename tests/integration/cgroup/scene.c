/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene.h"

#include <dirent.h>
#include <errno.h>
#include <mntent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup_parts.h"
#include "cleanup.h"
#include "clock.h"
#include "message.h"
#include "sys.h"

#define PREFIX "drover.cgroup-test-" /* and the pid; nobody else's groups are swept */

const struct cgroup_limits scene_unlimited = {
    .memory_max_bytes = LIMIT_NONE,
    .swap_max_bytes = LIMIT_NONE,
    .pids_max = LIMIT_NONE,
    .cpu_weight = 100,
};

void scene_path(char path[80])
{
    (void)snprintf(path, 80, PREFIX "%d", getpid());
}

/* ---- leftovers of runs that were killed ---- */

static int kill_all(int group, const char *name, void *context)
{
    char file[300];

    (void)context;
    (void)snprintf(file, sizeof(file), "%s/cgroup.kill", name);
    (void)sys_write_text_at(group, file, "1");
    return 0;
}

static int remove_stale(int root, const char *name, void *context)
{
    (void)context;
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return 0;
    char *end;
    pid_t pid = (pid_t)strtol(name + strlen(PREFIX), &end, 10);
    if (*end != '\0' && strcmp(end, SCENE_DETACHED) != 0)
        return 0;
    if (pid <= 0 || kill(pid, 0) == 0 || errno != ESRCH)
        return 0; /* another run, at this moment */
    (void)kill_all(root, name, NULL);
    (void)cgroup_tree_remove(root, name);
    return 0;
}

static void sweep(void)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    struct mntent *mount;

    assert_non_null(mounts);
    while ((mount = getmntent(mounts)) != NULL) {
        if (strncmp(mount->mnt_type, "cgroup", 6) != 0)
            continue;
        AUTO_FD root = open(mount->mnt_dir, CGROUP_DIR_FLAGS);
        if (root >= 0)
            (void)cgroup_tree_find_children(root, remove_stale, NULL);
    }
    (void)endmntent(mounts);
}

int scene_set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    char path[80];

    sweep();
    scene_path(path);
    int result = cgroups_open(&scene->cgroups, path, SCENE_LEDGER, &scene->fault);
    if (result < 0)
        print_error("%s: %s\n", scene->fault.text, strerror(-result));
    *state = scene;
    return result;
}

static bool on_leaf(const char *leaf, void *context)
{
    struct scene *scene = context;
    struct cgroup cgroup;
    struct fault fault = {0};

    if (cgroup_adopt(&scene->cgroups, leaf, &cgroup, &fault) == 0) {
        (void)cgroup_freeze(&cgroup, false);
        (void)cgroup_kill(&cgroup);
        scene_wait_populated(&cgroup, false);
        cgroup_close(&cgroup);
    }
    if (cgroup_remove(&scene->cgroups, leaf, &fault) < 0)
        print_error("%s\n", fault.text);
    return true;
}

int scene_tear_down(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < scene->child_count; i++) {
        (void)kill(scene->children[i], SIGKILL);
        (void)waitpid(scene->children[i], NULL, 0);
    }
    (void)cgroup_find_all(&scene->cgroups, on_leaf, scene);
    for (size_t i = 0; i < scene->cgroups.count; i++)
        if (scene->cgroups.hierarchies[i].path >= 0)
            assert_int_equal(
                cgroup_tree_remove(scene->cgroups.hierarchies[i].root, scene->cgroups.path), 0);
    cgroups_close(&scene->cgroups);
    free(scene);
    return 0;
}

/* ---- groups and processes ---- */

static struct cgroup make(struct scene *scene, const struct cgroup_request *request)
{
    struct cgroup cgroup;
    int result = cgroup_make(&scene->cgroups, request, &cgroup, &scene->fault);

    if (result < 0)
        fail_msg("%s: %s", scene->fault.text, strerror(-result));
    return cgroup;
}

struct cgroup scene_make(struct scene *scene, const char *leaf, const struct cgroup_limits *limits)
{
    return make(scene, &(struct cgroup_request){leaf, limits, 0, 0});
}

struct cgroup scene_make_owned(struct scene *scene, const char *leaf, uid_t owner)
{
    return make(scene, &(struct cgroup_request){leaf, &scene_unlimited, owner, 0});
}

static _Noreturn void live(const struct cgroup *cgroup, int entered, void (*body)(void))
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < cgroup->task_count; i++)
        if (write(cgroup->tasks[i], "0", 1) != 1)
            _exit(1);
    if (write(entered, "e", 1) != 1)
        _exit(1);
    if (body != NULL)
        body();
    for (;;)
        (void)pause();
}

pid_t scene_spawn(struct scene *scene, const struct cgroup *cgroup, int v2_group,
                  void (*body)(void))
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (unsigned)v2_group};
    int entered[2];
    char byte;

    assert_int_equal(pipe(entered), 0);
    pid_t pid = sys_clone3(&args);
    assert_true(pid >= 0);
    if (pid == 0)
        live(cgroup, entered[1], body);
    (void)close(entered[1]);
    assert_int_equal(read(entered[0], &byte, 1), 1);
    (void)close(entered[0]);
    assert_true(scene->child_count < COUNT_OF(scene->children));
    scene->children[scene->child_count++] = pid;
    return pid;
}

void scene_reap(struct scene *scene, pid_t pid)
{
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    for (size_t i = 0; i < scene->child_count; i++)
        if (scene->children[i] == pid)
            scene->children[i] = scene->children[--scene->child_count];
}

bool scene_is_alive(pid_t pid)
{
    siginfo_t end = {0};

    assert_int_equal(waitid(P_PID, (id_t)pid, &end, WEXITED | WNOHANG | WNOWAIT), 0);
    return end.si_pid == 0;
}

/* ---- levels ---- */

static void wait_level(const struct cgroup *cgroup, bool is_freezer, bool level)
{
    uint64_t end_ns = clock_monotonic_ns() + WAIT_MS * NS_PER_MS;

    for (;;) {
        struct pollfd events = {.fd = cgroup->events, .events = POLLPRI};
        bool is_populated;
        bool is_frozen;

        assert_int_equal(cgroup_read_events(cgroup, &is_populated, &is_frozen), 0);
        if ((is_freezer ? is_frozen : is_populated) == level)
            return;
        assert_true(clock_monotonic_ns() < end_ns);
        assert_true(poll(&events, 1, WAIT_MS) > 0);
    }
}

void scene_wait_populated(const struct cgroup *cgroup, bool is_populated)
{
    wait_level(cgroup, false, is_populated);
}

void scene_wait_frozen(const struct cgroup *cgroup, bool is_frozen)
{
    wait_level(cgroup, true, is_frozen);
}

bool scene_read(const struct scene *scene, const char *leaf, const char *file, char text[256])
{
    char name[CGROUP_FILE_BYTES];

    (void)snprintf(name, sizeof(name), "%s/%s", leaf, file);
    for (size_t i = 0; i < scene->cgroups.count; i++) {
        int path = scene->cgroups.hierarchies[i].path;

        if (path < 0 || sys_read_text_at(path, name, text, 256) < 0)
            continue;
        text[strcspn(text, "\n")] = '\0';
        return true;
    }
    return false;
}

bool scene_has_leaf(const struct scene *scene, const char *leaf)
{
    for (size_t i = 0; i < scene->cgroups.count; i++) {
        int path = scene->cgroups.hierarchies[i].path;

        if (path >= 0 && faccessat(path, leaf, F_OK, 0) == 0)
            return true;
    }
    return false;
}

int scene_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}
