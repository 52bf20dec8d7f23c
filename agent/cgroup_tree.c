/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups found and groups removed. What a guest made in its own part is hostile: as deep, as wide
 * and as oddly named as its limits let it. So each walk holds two descriptors however deep it is,
 * goes by directory and never by a path, and ends after a bound of steps.
 */
#include "cgroup_parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "sys.h"
#include "units.h"

#define STEPS_MAX 1000000 /* directories entered or left; far above cgroup.max.descendants */

int cgroup_tree_find_children(int group, int (*found)(int group, const char *name, void *context),
                              void *context)
{
    int fd = openat(group, ".", CGROUP_DIR_FLAGS);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int result = 0;

    if (dir == NULL) {
        result = -errno;
        if (fd >= 0)
            (void)close(fd);
        return result;
    }
    while (result == 0) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0)
            result = found(group, entry->d_name, context);
    }
    (void)closedir(dir);
    return result;
}

/* ---- removal ---- */

/* Remove a child, or answer 1 and hold it when it has children of its own. */
static int remove_child(int group, const char *name, void *context)
{
    int *ret_child = context;
    struct stat stat;

    if (unlinkat(group, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY && errno != ENOTEMPTY)
        return -errno;
    AUTO_FD child = openat(group, name, CGROUP_DIR_FLAGS);
    if (child < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(child, &stat) < 0)
        return -errno;
    if (stat.st_nlink <= 2) /* no groups in it: it is processes that hold it */
        return -EBUSY;
    *ret_child = take_fd(&child);
    return 1;
}

/* Everything below `top`. Down into the first group that has groups, up when nothing is left: a
 * group cannot be moved to another parent, so ".." leads back, and `depth` says when we are
 * there. */
static int remove_below(int top)
{
    AUTO_FD at = openat(top, ".", CGROUP_DIR_FLAGS);
    size_t depth = 0;

    if (at < 0)
        return -errno;
    for (unsigned steps = 0; steps < STEPS_MAX; steps++) {
        AUTO_FD next = -1;
        int result = cgroup_tree_find_children(at, remove_child, &next);

        if (result < 0)
            return result;
        if (result == 0 && depth == 0)
            return 0;
        if (result == 0)
            next = openat(at, "..", CGROUP_DIR_FLAGS);
        if (next < 0)
            return -errno;
        depth = result == 0 ? depth - 1 : depth + 1;
        (void)close(at);
        at = take_fd(&next);
    }
    return -EBUSY; /* somebody makes them as fast as we remove them: so somebody lives here */
}

int cgroup_tree_remove(int parent, const char *name)
{
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY && errno != ENOTEMPTY)
        return -errno;
    AUTO_FD top = openat(parent, name, CGROUP_DIR_FLAGS);
    if (top < 0)
        return errno == ENOENT ? 0 : -errno;

    int result = remove_below(top);
    if (result < 0)
        return result;
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int cgroup_tree_check_empty(const struct cgroup_hierarchy *hierarchy, const char *leaf)
{
    char name[CGROUP_FILE_BYTES];
    char text[256];

    (void)snprintf(name, sizeof(name), "%s/%s", leaf, hierarchy->is_v2 ? "cgroup.events" : "tasks");
    int length = sys_read_text_at(hierarchy->path, name, text, sizeof(text));
    if (length == -ENOENT || length == -ENODEV)
        return 0;
    if (length < 0 && length != -EFBIG)
        return length;
    if (hierarchy->is_v2)
        return cgroup_read_key(text, "populated", 0) == 0 ? 0 : -EBUSY;
    return length == 0 ? 0 : -EBUSY;
}

static int fail_remove(const struct cgroups *cgroups, size_t index, const char *leaf, int error,
                       struct fault *fault)
{
    const char *name = cgroup_hierarchy_name(&cgroups->hierarchies[index]);

    if (error == EBUSY)
        fault_set(fault, STATUS_BUSY, EBUSY, "%s/%s: a process lives in it (%s)", cgroups->path,
                  leaf, name);
    else
        fault_set(fault, STATUS_FAILED, error, "cannot remove cgroup %s/%s (%s)", cgroups->path,
                  leaf, name);
    return -error;
}

/* Most guests leave nothing in guest/: that is tried before a walk. */
static int remove_leaf(const struct cgroup_hierarchy *hierarchy, const char *leaf)
{
    char name[CGROUP_FILE_BYTES];

    (void)snprintf(name, sizeof(name), "%s/guest", leaf);
    if (hierarchy->is_v2)
        (void)unlinkat(hierarchy->path, name, AT_REMOVEDIR); /* what it cannot do is told below */
    return cgroup_tree_remove(hierarchy->path, leaf);
}

int cgroup_remove(struct cgroups *cgroups, const char *leaf, struct fault *fault)
{
    struct cgroup named;
    int result = cgroup_name(cgroups, leaf, &named, fault);

    if (result < 0)
        return result;
    for (size_t i = 0; i < cgroups->count; i++) {
        const struct cgroup_hierarchy *hierarchy = &cgroups->hierarchies[i];

        result = hierarchy->path < 0 ? 0 : cgroup_tree_check_empty(hierarchy, leaf);
        if (result < 0)
            return fail_remove(cgroups, i, leaf, -result, fault);
    }

    /* v2, the first, last: while it is there an agent that starts finds what is left. */
    for (size_t i = cgroups->count; i-- > 0;) {
        const struct cgroup_hierarchy *hierarchy = &cgroups->hierarchies[i];

        result = hierarchy->path < 0 ? 0 : remove_leaf(hierarchy, leaf);
        if (result < 0)
            return fail_remove(cgroups, i, leaf, -result, fault);
    }
    return 0;
}

/* ---- what is there ---- */

struct leaf_list {
    char (*leaves)[CGROUP_LEAF_BYTES]; /* heap */
    size_t count;
    size_t room;
};

bool cgroup_is_leaf(const char *name)
{
    char container[CGROUP_LEAF_BYTES];
    const char *dot = strrchr(name, '.');

    if (dot == NULL || strlen(name) >= sizeof(container) || dot[1] == '\0' ||
        dot[1 + strspn(dot + 1, "0123456789")] != '\0')
        return false;
    (void)snprintf(container, sizeof(container), "%.*s", (int)(dot - name), name);
    return name_check(container);
}

static int add_leaf(int group, const char *name, void *context)
{
    struct leaf_list *list = context;

    (void)group;
    if (!cgroup_is_leaf(name))
        return 0; /* the keeper's own, or somebody's */
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : list->room * 2;
        void *leaves = realloc(list->leaves, room * sizeof(*list->leaves));

        if (leaves == NULL)
            return -ENOMEM;
        list->leaves = leaves;
        list->room = room;
    }
    (void)snprintf(list->leaves[list->count++], CGROUP_LEAF_BYTES, "%s", name);
    return 0;
}

static int compare_leaves(const void *left, const void *right)
{
    return strcmp(left, right);
}

/* All are read before the first is told: found() may remove. */
int cgroup_find_all(struct cgroups *cgroups, bool (*found)(const char *leaf, void *context),
                    void *context)
{
    struct leaf_list list = {0};
    int result = 0;

    for (size_t i = 0; i < cgroups->count && result >= 0; i++) {
        if (cgroups->hierarchies[i].path < 0)
            continue;
        result = cgroup_tree_find_children(cgroups->hierarchies[i].path, add_leaf, &list);
        if (result == -ENOENT || result == -ENODEV)
            result = 0; /* PATH is gone: nothing is in it */
    }
    if (result == 0 && list.count > 0)
        qsort(list.leaves, list.count, sizeof(*list.leaves), compare_leaves);
    for (size_t i = 0; result == 0 && i < list.count; i++) {
        if (i > 0 && strcmp(list.leaves[i], list.leaves[i - 1]) == 0)
            continue;
        if (!found(list.leaves[i], context))
            break;
    }
    free(list.leaves);
    return result;
}
