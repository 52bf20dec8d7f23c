/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_lib.h — libcgroup, as much of it as we use, in our own words.
 *
 * Shape    what is mounted where, and values written to a group by the controllers' own names.
 * Units    none.
 * Errors   -errno: libcgroup's ECG* numbers end here. -ENODEV: libcgroup does not know it.
 * Owner    libcgroup keeps one table for the process.
 * Context  one thread at a time, which is all that libcgroup promises. Apart from cgroup.h because
 *          both call their own thing `struct cgroup`. Source: libcgroup 2.0.2, groups.h,
 *          iterators.h.
 */
#ifndef DROVER_CGROUP_LIB_H
#define DROVER_CGROUP_LIB_H

#include <stdbool.h>
#include <stddef.h>

/* One value of one file. */
struct cgroup_setting {
    const char *file;
    char value[48];
    bool is_default; /* a new group has it already */
};

/* Read the tables anew, then each controller with its mount point. Named hierarchies and a v2 one
 * without controllers are not in libcgroup's tables. Returns 0, also when nothing is mounted. */
int cgroup_lib_find_controllers(int (*found)(const char *controller, const char *mount_point,
                                             void *context),
                                void *context);

/*
 * Write settings, in their order, to a group.
 *   group       in  below the hierarchy's root: PATH/NAME.GEN
 *   controller  in  that the files belong to
 */
int cgroup_lib_write(const char *group, const char *controller,
                     const struct cgroup_setting *settings, size_t count);

#endif
