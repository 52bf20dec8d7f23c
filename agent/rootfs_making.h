/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs_making.h — a launch that is being made: what rootfs_plan.c and rootfs_plan_mounts.c share.
 *
 * Shape    struct making is the whole of it; each function adds its part to plan and launch.
 * Units    none.
 * Errors   -errno with the fault set; what was added so far is rootfs_plan()'s to release.
 * Owner    rootfs_plan(), on its stack.
 * Context  as rootfs_plan().
 */
#ifndef DROVER_ROOTFS_MAKING_H
#define DROVER_ROOTFS_MAKING_H

#include <stdbool.h>
#include <stdint.h>

#include "layers.h"
#include "plan.h"
#include "rootfs.h"

struct making {
    const struct rootfs *rootfs;
    const struct launch_request *request;
    const struct config *config;
    struct launch *launch;
    struct plan plan;
    struct layers layers; /* the root, to look into */
    struct fault *fault;
};

/* "cannot make WHAT: errno in words". Returns rc. */
int making_fail(struct making *making, int rc, const char *what);

/* The descriptor is the launch's from here. Returns its index. */
int32_t making_add_fd(struct making *making, int fd_consumed, unsigned role);

/* What KW_FD_IDMAP is or-ed to a role as: nothing for a privileged container. */
unsigned making_idmap(const struct making *making);

/* Attributes that the guest cannot take off again. Returns the mount in place of the one given. */
int making_lock(const struct making *making, int mount_consumed, uint64_t attributes, bool is_file);

/* /proc, /sys, cgroups, /dev, /run… and, last, the container's own with the masks over all. */
int making_add_system_mounts(struct making *making);
int making_add_config_mounts(struct making *making);

#endif
