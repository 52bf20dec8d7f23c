/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs_mounts.h — detached mounts that a LAUNCH carries, each held by one descriptor.
 *
 * Shape    functions that make one mount; no host path shows it, and it ends with its last holder.
 * Units    ids of the host.
 * Errors   -errno.
 * Owner    the caller owns the descriptors.
 * Context  any thread; blocking. Source: fsopen(2), fsmount(2), open_tree(2), mount_setattr(2);
 *          systemd.io/CONTAINER_INTERFACE for what lies in /dev and /run/host.
 */
#ifndef DROVER_ROOTFS_MOUNTS_H
#define DROVER_ROOTFS_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

struct fault;
struct rootfs;

/* "" as path: the descriptor itself. */
int mount_clone(int dir, const char *path);

/* Can `mount` (from mount_clone(), it is changed) be idmapped with this user namespace? */
int mount_idmap(int mount, int userns);

/* By a short-lived child, before there are threads: a user namespace to try mount_idmap() with, and
 * an empty mount namespace that it owns, for mount_lock(). */
int lock_open(int *ret_userns, int *ret_mntns);

/* A detached mount with these attributes that a guest's root cannot take off again. `mount` is used
 * up, but still the caller's to close. */
int mount_lock(int mntns, int mount, uint64_t attributes, bool is_file);

/* From now on umask, working directory and mount namespace are this thread's own. */
int thread_own_fs(void);

/* The guest's /dev, its files owned by the host id `owner`, with what the options ask for. */
struct config;
int mount_make_dev(uint32_t owner, const struct config *config, int *ret_mount);

/* The guest's /run/host: who runs it, its id, the socket for READY=1 (ret_notify NULL: none). */
int mount_make_host(const char *uuid, int *ret_mount, int *ret_notify);

/* What a container's root is made of, refused with a fault: -EXDEV, -ELOOP for a link out of it. */
int rootfs_open_template(const struct rootfs *rootfs, const char *name, struct fault *fault);
int rootfs_open_root(const char *path, struct fault *fault);
int rootfs_fail_idmap(const char *what, const char *file_system, struct fault *fault);

/* Remove dir/name and all below it. Never follows a link; 0 if it is gone. */
int tree_remove(int dir, const char *name);

#endif
