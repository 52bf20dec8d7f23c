/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_parts.h — what the files of the cgroup adapter share; nobody else includes it.
 *
 * Shape    in the order of a life: hierarchies (cgroup_find.c), PATH (cgroup_path.c), a group's
 *          files (cgroup.c), limits as files and values (cgroup_limits.c), removal (cgroup_tree.c).
 * Units    as cgroup.h.
 * Errors   -errno, and a fault where one is passed.
 * Owner    as cgroup.h.
 * Context  any thread.
 */
#ifndef DROVER_CGROUP_PARTS_H
#define DROVER_CGROUP_PARTS_H

#include <fcntl.h>

#include "cgroup.h"
#include "cgroup_lib.h"

#define CGROUP_DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define CGROUP_SETTINGS_MAX 8
#define CGROUP_FILE_BYTES (CGROUP_LEAF_BYTES + 64) /* NAME.GEN/memory.memsw.limit_in_bytes */

/* What a person knows a hierarchy by. */
const char *cgroup_hierarchy_name(const struct cgroup_hierarchy *hierarchy);

/* Hold every mounted hierarchy by its root, v2 at index 0: mounted here if nobody did. */
int cgroup_find_hierarchies(struct cgroups *cgroups, struct fault *fault);

/*
 * Make PATH in one hierarchy and hold it in its `path`, whose number stays the same when it was
 * held before: other threads are using it. In v2 it is locked and carries our ledger id before
 * anything in it is changed.
 */
int cgroup_path_open(struct cgroups *cgroups, size_t index, struct fault *fault);

/* Begin an empty struct cgroup of this name; a fault when the name is none. */
int cgroup_name(const struct cgroups *cgroups, const char *leaf, struct cgroup *cgroup,
                struct fault *fault);

/* Open what a named one holds, from groups that exist; v2 decides whether they do (-ENOENT). On
 * failure the caller closes it. */
int cgroup_open_files(const struct cgroups *cgroups, struct cgroup *cgroup, struct fault *fault);

/* Add `tasks` of the v1 group of a named one. 0 also where it has none in this hierarchy. */
int cgroup_open_tasks(struct cgroup *cgroup, int path, struct fault *fault);

/* The fault of one file of one group; returns -error. */
int cgroup_fail_file(const struct cgroup *cgroup, const char *file, int error, struct fault *fault);

/* Files and values that say limits in this hierarchy, in the order in which a new group wants them.
 * Returns how many, at most CGROUP_SETTINGS_MAX. */
size_t cgroup_limits_list(const struct cgroup_hierarchy *hierarchy,
                          const struct cgroup_limits *limits,
                          struct cgroup_setting settings[CGROUP_SETTINGS_MAX]);

/* Remove the group `name` in parent with all groups below it, deepest first. 0 when it is not
 * there; -EBUSY: a process is in one, and some of the empty ones may be gone. */
int cgroup_tree_remove(int parent, const char *name);

/* -EBUSY: a process is in it; in v2 also in any group below it. 0 when it is not there. */
int cgroup_tree_check_empty(const struct cgroup_hierarchy *hierarchy, const char *leaf);

/* Is it NAME.GEN, a container's group? */
bool cgroup_is_leaf(const char *name);

/* Call found() for each directory in `group`, while it answers 0. Returns its last answer. */
int cgroup_tree_find_children(int group, int (*found)(int group, const char *name, void *context),
                              void *context);

/* Read "KEY VALUE" from the text of a flat keyed file. Returns `missing` if the key is not
 * there. */
uint64_t cgroup_read_key(const char *text, const char *key, uint64_t missing);

#endif
