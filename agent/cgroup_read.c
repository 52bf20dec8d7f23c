/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One container's group in use: ended, frozen, and its levels read; all by held descriptors.
 */
#include "cgroup_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "sys.h"

#define DEPTH_MAX 100000     /* of a walk down a guest's own groups */
#define AGAIN_NS 5000000     /* after a notification of v1, when the count has risen as a rule */
#define AT_LAST_NS 500000000 /* and when it surely has: the kernel writes its report in between */

/* What is gone has nothing left to kill. */
int cgroup_kill(const struct cgroup *cgroup)
{
    int result = sys_write_text_at(cgroup->dir, "cgroup.kill", "1");

    return result == -ENOENT || result == -ENODEV ? 0 : result;
}

int cgroup_freeze(const struct cgroup *cgroup, bool is_frozen)
{
    return sys_write_text_at(cgroup->dir, "cgroup.freeze", is_frozen ? "1" : "0");
}

bool cgroup_is_freeze_asked(const struct cgroup *cgroup)
{
    char text[8];

    return sys_read_text_at(cgroup->dir, "cgroup.freeze", text, sizeof(text)) >= 0 &&
           text[0] == '1';
}

static int read_held(int fd, char *text, size_t text_bytes)
{
    ssize_t length = pread(fd, text, text_bytes - 1, 0);

    if (length < 0)
        return -errno;
    text[length] = '\0';
    return 0;
}

/* Through the descriptor that is polled: reading it is what arms its next POLLPRI (fs/kernfs). */
int cgroup_read_events(const struct cgroup *cgroup, bool *ret_populated, bool *ret_frozen)
{
    char text[256];
    int result = read_held(cgroup->events, text, sizeof(text));

    if (result < 0)
        return result;
    *ret_populated = cgroup_read_key(text, "populated", 0) != 0;
    *ret_frozen = cgroup_read_key(text, "frozen", 0) != 0;
    return 0;
}

/*
 * v1 notifies when it is out of memory, kills then and counts then: a reader who comes at once
 * reads the old number two times in five (measured, 0.4 to 0.7 ms too early; longer where the
 * kernel's report goes to a serial line). So `oom` becomes readable twice more, by a timer. That
 * its first shot has been is told by its having no interval any more.
 */
static void clear_oom_v1(const struct cgroup *cgroup)
{
    struct itimerspec timer = {{0}, {0}};
    uint64_t count;

    if (read(cgroup->oom_event, &count, sizeof(count)) > 0) {
        timer.it_value.tv_nsec = AGAIN_NS;
        timer.it_interval.tv_nsec = AT_LAST_NS;
    } else if (read(cgroup->oom_timer, &count, sizeof(count)) > 0 &&
               timerfd_gettime(cgroup->oom_timer, &timer) == 0) {
        timer.it_value = timer.it_interval;
        timer.it_interval = (struct timespec){0};
    } else {
        return;
    }
    (void)timerfd_settime(cgroup->oom_timer, 0, &timer,
                          NULL); /* cannot fail: values are in range */
}

uint64_t cgroup_read_oom_kills(const struct cgroup *cgroup)
{
    char text[512];

    if (cgroup->is_oom_v1 && cgroup->oom >= 0)
        clear_oom_v1(cgroup);
    if (cgroup->oom_counter < 0 || read_held(cgroup->oom_counter, text, sizeof(text)) < 0)
        return 0;
    return cgroup_read_key(text, "oom_kill", 0);
}

/* ---- who lives in it ---- */

/* The first process of this one group; 0: none. A group of threads lists no processes. */
static pid_t read_first(int group)
{
    static const char *const files[] = {"cgroup.procs", "cgroup.threads"};

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char text[32] = "";
        AUTO_FD fd = openat(group, files[i], O_RDONLY | O_CLOEXEC);

        if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
            return (pid_t)strtol(text, NULL, 10);
    }
    return 0;
}

/* Hold the first child that is populated, and answer 1. */
static int find_populated(int group, const char *name, void *context)
{
    int *ret_child = context;
    char text[256];
    AUTO_FD child = openat(group, name, CGROUP_DIR_FLAGS);

    if (child < 0 || sys_read_text_at(child, "cgroup.events", text, sizeof(text)) < 0 ||
        cgroup_read_key(text, "populated", 0) == 0)
        return 0;
    *ret_child = take_fd(&child);
    return 1;
}

static void read_name(pid_t pid, char *name, size_t name_bytes)
{
    char path[32];
    char text[64]; /* of 16 in the kernel, TASK_COMM_LEN */

    (void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    if (sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) < 0)
        text[0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    (void)snprintf(name, name_bytes, "%s", text);
}

bool cgroup_find_process(const struct cgroup *cgroup, pid_t *ret_pid, char *name, size_t name_bytes)
{
    AUTO_FD at = openat(cgroup->dir, ".", CGROUP_DIR_FLAGS);

    for (unsigned depth = 0; at >= 0 && depth < DEPTH_MAX; depth++) {
        AUTO_FD next = -1;
        pid_t pid = read_first(at);

        if (pid != 0) {
            *ret_pid = pid;
            read_name(pid, name, name_bytes);
            return true;
        }
        if (cgroup_tree_find_children(at, find_populated, &next) != 1)
            return false;
        (void)close(at);
        at = take_fd(&next);
    }
    return false;
}

bool cgroup_is_keeper_gone(const struct cgroups *cgroups)
{
    char text[32];

    return sys_read_text_at(cgroups->hierarchies[0].path, "keeper/cgroup.procs", text,
                            sizeof(text)) == 0;
}

/* LIMIT: of a process whose group's path is longer than PATH_MAX the kernel tells no group
 * (ENAMETOOLONG); a guest that hides itself so is none of ours until it ends. */
static bool find_leaf(const char *path, pid_t pid, char leaf[CGROUP_LEAF_BYTES])
{
    char name[32];
    char above[128];
    bool is_found = false;
    size_t line_bytes = 0;
    AUTO_FREE char *line = NULL;

    (void)snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
    size_t length = (size_t)snprintf(above, sizeof(above), "0::/%s/", path);
    FILE *file = fopen(name, "re");
    /* The kernel lets no newline into a group's name: a line is a hierarchy. */
    while (file != NULL && !is_found && getline(&line, &line_bytes, file) > 0) {
        if (strncmp(line, above, length) != 0)
            continue;
        size_t leaf_length = strcspn(line + length, "/\n");
        if (leaf_length >= CGROUP_LEAF_BYTES)
            break; /* not a name that we give */
        memcpy(leaf, line + length, leaf_length);
        leaf[leaf_length] = '\0';
        is_found = true;
    }
    if (file != NULL)
        (void)fclose(file);
    return is_found;
}

bool cgroup_find_leaf(const struct cgroups *cgroups, pid_t pid, char leaf[CGROUP_LEAF_BYTES])
{
    return find_leaf(cgroups->path, pid, leaf);
}

bool cgroup_has_process(const struct cgroup *cgroup, pid_t pid)
{
    char leaf[CGROUP_LEAF_BYTES];

    return find_leaf(cgroup->path, pid, leaf) && strcmp(leaf, cgroup->leaf) == 0;
}
