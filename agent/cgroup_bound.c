/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests' groups in name=systemd counted, as v1 has no bound for them.
 */
#include "cgroup_parts.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "sys.h"

/* A walk down to a bounded depth, with a descriptor for each level. */
struct walk {
    DIR *dirs[CGROUP_SYSTEMD_DEPTH_MAX + 1];
    size_t depth; /* of dirs, open */
    unsigned count;
};

/* What is gone meanwhile, or cannot be opened now, is not walked. */
static void enter(struct walk *walk, int parent, const char *name)
{
    int fd = openat(parent, name, CGROUP_DIR_FLAGS);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (dir != NULL)
        walk->dirs[walk->depth++] = dir;
    else if (fd >= 0)
        (void)close(fd);
}

static bool is_over(int parent, const char *name)
{
    struct walk walk = {.depth = 0};
    bool is_found = false;

    enter(&walk, parent, name);
    while (walk.depth > 0 && !is_found) {
        DIR *dir = walk.dirs[walk.depth - 1];
        const struct dirent *entry = readdir(dir);

        if (entry == NULL) {
            (void)closedir(dir);
            walk.depth--;
        } else if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
                   strcmp(entry->d_name, "..") != 0) {
            is_found =
                ++walk.count > CGROUP_SYSTEMD_GROUPS_MAX || walk.depth > CGROUP_SYSTEMD_DEPTH_MAX;
            if (!is_found)
                enter(&walk, dirfd(dir), entry->d_name);
        }
    }
    while (walk.depth > 0)
        (void)closedir(walk.dirs[--walk.depth]);
    return is_found;
}

struct look {
    const struct cgroups *cgroups;
    void (*on_killed)(const char *leaf);
    size_t found;
};

static int look_at(int path, const char *leaf, void *context)
{
    struct look *look = context;
    char file[CGROUP_FILE_BYTES];

    if (!cgroup_is_leaf(leaf))
        return 0; /* the keeper's */
    look->found++;
    if (!is_over(path, leaf))
        return 0;
    (void)snprintf(file, sizeof(file), "%s/cgroup.kill", leaf);
    if (sys_write_text_at(look->cgroups->hierarchies[0].path, file, "1") == 0)
        look->on_killed(leaf);
    return 0;
}

size_t cgroup_bound_systemd(const struct cgroups *cgroups, void (*on_killed)(const char *leaf))
{
    struct look look = {.cgroups = cgroups, .on_killed = on_killed};

    for (size_t i = 0; i < cgroups->count; i++)
        if (cgroups->hierarchies[i].is_systemd && cgroups->hierarchies[i].path >= 0)
            (void)cgroup_tree_find_children(cgroups->hierarchies[i].path, look_at, &look);
    return look.found;
}
