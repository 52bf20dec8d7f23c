/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's groups and each container's, as descriptors: opened, held again, let go.
 */
#include "cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cgroup_parts.h"
#include "cleanup.h"
#include "ensure.h"
#include "sys.h"

/* ---- all of the node ---- */

static bool is_path(const char *path)
{
    const char *part = path;

    if (strlen(path) >= sizeof(((struct cgroups *)NULL)->path))
        return false;
    for (;;) {
        size_t length = strcspn(part, "/");

        if (length == 0 || part[0] == '.')
            return false;
        if (part[length] == '\0')
            return true;
        part += length + 1;
    }
}

static bool is_used(const struct cgroup_hierarchy *hierarchy)
{
    return hierarchy->is_v2 || hierarchy->has_memory || hierarchy->has_pids || hierarchy->has_cpu;
}

int cgroups_open(struct cgroups *cgroups, const char *path, const char *ledger_id,
                 struct fault *fault)
{
    struct fault ignored = {0};

    *cgroups = (struct cgroups){0};
    if (!is_path(path)) {
        fault_set(fault, STATUS_INVALID, EINVAL, "--cgroup %s: not a path below the root", path);
        return -EINVAL;
    }
    ENSURE(ledger_id[0] != '\0');
    ENSURE(strlen(ledger_id) < sizeof(cgroups->ledger));
    (void)snprintf(cgroups->path, sizeof(cgroups->path), "%s", path);
    (void)snprintf(cgroups->ledger, sizeof(cgroups->ledger), "%s", ledger_id);

    int result = cgroup_find_hierarchies(cgroups, fault);
    for (size_t i = 0; result == 0 && i < cgroups->count; i++)
        if (is_used(&cgroups->hierarchies[i]))
            result = cgroup_path_open(cgroups, i, fault);
        else if (cgroups->hierarchies[i].is_systemd)
            (void)cgroup_path_open(cgroups, i, &ignored); /* few need it: those are refused */
    if (result < 0)
        cgroups_close(cgroups);
    return result;
}

void cgroups_close(struct cgroups *cgroups)
{
    /* v2 last: its lock says that the others are ours to remove. */
    for (size_t i = cgroups->count; i-- > 0;) {
        struct cgroup_hierarchy *hierarchy = &cgroups->hierarchies[i];

        if (hierarchy->path >= 0) {
            (void)unlinkat(hierarchy->root, cgroups->path, AT_REMOVEDIR); /* EBUSY: in use */
            (void)close(hierarchy->path);
        }
        if (hierarchy->root >= 0)
            (void)close(hierarchy->root);
    }
    *cgroups = (struct cgroups){0};
}

bool cgroups_has_systemd(const struct cgroups *cgroups)
{
    for (size_t i = 0; i < cgroups->count; i++)
        if (cgroups->hierarchies[i].is_systemd && cgroups->hierarchies[i].path >= 0)
            return true;
    return false;
}

/* ---- descriptors ---- */

int cgroup_fail_file(const struct cgroup *cgroup, const char *file, int error, struct fault *fault)
{
    fault_set(fault, STATUS_FAILED, error, "cannot use cgroup file %s/%s/%s", cgroup->path,
              cgroup->leaf, file);
    return -error;
}

static int open_file(const struct cgroup *cgroup, int path, const char *file, int flags)
{
    char name[CGROUP_FILE_BYTES];

    (void)snprintf(name, sizeof(name), "%s/%s", cgroup->leaf, file);
    int fd = openat(path, name, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int open_oom_v2(struct cgroup *cgroup, struct fault *fault)
{
    cgroup->oom = openat(cgroup->dir, "memory.events", O_RDONLY | O_CLOEXEC);
    if (cgroup->oom < 0)
        return cgroup_fail_file(cgroup, "memory.events", errno, fault);
    cgroup->oom_counter = cgroup->oom; /* reading it is what arms its next POLLPRI */
    return 0;
}

static int watch_fd(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* The kernel's eventfd and a timer behind one descriptor: clear_oom_v1() says what for. */
static int open_oom_fds(struct cgroup *cgroup)
{
    cgroup->oom_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    cgroup->oom_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    cgroup->oom = epoll_create1(EPOLL_CLOEXEC);
    if (cgroup->oom_event < 0 || cgroup->oom_timer < 0 || cgroup->oom < 0)
        return -errno;
    int result = watch_fd(cgroup->oom, cgroup->oom_event);
    return result < 0 ? result : watch_fd(cgroup->oom, cgroup->oom_timer);
}

static int open_oom_v1(struct cgroup *cgroup, int path, struct fault *fault)
{
    char name[CGROUP_FILE_BYTES];
    char text[32];

    cgroup->is_oom_v1 = true;
    int result = open_oom_fds(cgroup);
    if (result < 0)
        return cgroup_fail_file(cgroup, "memory.oom_control", -result, fault);
    cgroup->oom_counter = open_file(cgroup, path, "memory.oom_control", O_RDONLY);
    if (cgroup->oom_counter < 0)
        return cgroup_fail_file(cgroup, "memory.oom_control", -cgroup->oom_counter, fault);

    (void)snprintf(text, sizeof(text), "%d %d", cgroup->oom_event, cgroup->oom_counter);
    (void)snprintf(name, sizeof(name), "%s/cgroup.event_control", cgroup->leaf);
    result = sys_write_text_at(path, name, text);
    /* A kernel with PREEMPT_RT has no such notifications; kills are then found where they are
     * read. */
    return result == 0 || result == -ENOENT || result == -EOPNOTSUPP
               ? 0
               : cgroup_fail_file(cgroup, "cgroup.event_control", -result, fault);
}

static int open_v2(struct cgroup *cgroup, int path, struct fault *fault)
{
    cgroup->dir = openat(path, cgroup->leaf, CGROUP_DIR_FLAGS);
    if (cgroup->dir < 0)
        return cgroup_fail_file(cgroup, "", errno, fault);
    cgroup->guest = openat(cgroup->dir, "guest", CGROUP_DIR_FLAGS);
    if (cgroup->guest < 0 && errno != ENOENT) /* a make that was cut short: nobody was in it */
        return cgroup_fail_file(cgroup, "guest", errno, fault);
    cgroup->events = openat(cgroup->dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (cgroup->events < 0)
        return cgroup_fail_file(cgroup, "cgroup.events", errno, fault);
    return 0;
}

int cgroup_open_tasks(struct cgroup *cgroup, int path, struct fault *fault)
{
    int tasks = open_file(cgroup, path, "tasks", O_WRONLY);

    if (tasks == -ENOENT)
        return 0; /* a removal that was cut short: nobody is in it */
    if (tasks < 0)
        return cgroup_fail_file(cgroup, "tasks", -tasks, fault);
    cgroup->tasks[cgroup->task_count++] = tasks;
    return 0;
}

/* v2, the first, decides whether it is there. */
int cgroup_open_files(const struct cgroups *cgroups, struct cgroup *cgroup, struct fault *fault)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < cgroups->count; i++) {
        const struct cgroup_hierarchy *hierarchy = &cgroups->hierarchies[i];
        size_t task_count = cgroup->task_count;

        if (hierarchy->path < 0)
            continue;
        result = hierarchy->is_v2 ? open_v2(cgroup, hierarchy->path, fault)
                                  : cgroup_open_tasks(cgroup, hierarchy->path, fault);
        if (result < 0 || !hierarchy->has_memory)
            continue;
        if (hierarchy->is_v2)
            result = open_oom_v2(cgroup, fault);
        else if (cgroup->task_count > task_count)
            result = open_oom_v1(cgroup, hierarchy->path, fault);
    }
    return result;
}

int cgroup_name(const struct cgroups *cgroups, const char *leaf, struct cgroup *cgroup,
                struct fault *fault)
{
    *cgroup = (struct cgroup)CGROUP_EMPTY;
    cgroup->path = cgroups->path;
    if (leaf[0] == '\0' || leaf[0] == '.' || strchr(leaf, '/') != NULL ||
        strlen(leaf) >= sizeof(cgroup->leaf)) {
        fault_set(fault, STATUS_INVALID, EINVAL, "%s is no name of a cgroup", leaf);
        return -EINVAL;
    }
    (void)snprintf(cgroup->leaf, sizeof(cgroup->leaf), "%s", leaf);
    return 0;
}

int cgroup_adopt(struct cgroups *cgroups, const char *leaf, struct cgroup *ret_cgroup,
                 struct fault *fault)
{
    struct cgroup cgroup;
    int result = cgroup_name(cgroups, leaf, &cgroup, fault);

    if (result == 0)
        result = cgroup_open_files(cgroups, &cgroup, fault);
    if (result < 0)
        cgroup_close(&cgroup);
    else
        *ret_cgroup = cgroup;
    return result;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

void cgroup_close(struct cgroup *cgroup)
{
    close_fd(cgroup->dir);
    close_fd(cgroup->guest);
    close_fd(cgroup->events);
    for (size_t i = 0; i < cgroup->task_count; i++)
        close_fd(cgroup->tasks[i]);
    if (cgroup->oom_counter != cgroup->oom)
        close_fd(cgroup->oom_counter);
    close_fd(cgroup->oom);
    close_fd(cgroup->oom_event);
    close_fd(cgroup->oom_timer);
    *cgroup = (struct cgroup)CGROUP_EMPTY;
}
