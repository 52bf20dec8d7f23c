/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs.h — a container's files on this node, and the plan of its boot: which mounts, which init.
 *
 * Shape    struct rootfs holds STATE by descriptors. rootfs_plan() makes all that a LAUNCH carries:
 *          a packed plan (keeper_plan.h) and detached mounts, so that neither keeper nor guest ever
 *          opens a host path.
 * Units    octets, ids.
 * Errors   -errno and a fault with its own status (bad_template, bind_source_missing,
 *          idmap_unsupported, not_found…) that names the path.
 * Owner    the caller; struct launch owns its descriptors until they are sent.
 * Context  the executor's mount thread; blocking. Source: open_tree(2), fsopen(2),
 *          mount_setattr(2), overlayfs.rst, systemd's container interface.
 *
 * On disk: STATE/templates/NAME/ (an OS root, read-only by use),
 * STATE/containers/UUID/{upper,work}.
 */
#ifndef DROVER_ROOTFS_H
#define DROVER_ROOTFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keeper_plan.h"
#include "keeper_wire.h"
#include "message.h"

struct sysfilter;

struct rootfs {
    int state;      /* STATE */
    int templates;  /* STATE/templates */
    int containers; /* STATE/containers */
    int userns;     /* whose only use is to try an idmap; -1: this host makes none */
    int mntns;      /* owned by userns, empty; rootfs_lock.c says what for */
    bool has_idmap; /* STATE's file system can be mounted idmapped (probed, not guessed) */
    char file_system[32];
};

struct launch {
    int fds[KW_FDS_MAX]; /* PLAN, layers, MOUNTs, NOTIFY, RING; the cgroup's are appended later */
    uint8_t roles[KW_FDS_MAX];
    size_t fd_count;
    enum family family;
    enum ready ready;   /* AUTO resolved: EXEC or NOTIFY */
    bool needs_systemd; /* a group in name=systemd, which it then has mounted */
    int ring;           /* duplicate of the RING fd, for the agent itself */
    char candidates[KW_CANDIDATES_MAX]
                   [64]; /* paths tried, in order, for the errnos that come back */
    size_t candidate_count;
};

struct launch_request {
    const struct config *config;
    const char *name;
    const uint8_t *uuid;
    uint64_t generation;
    uint32_t uid_base; /* of the range; ignored when privileged */
    uint32_t uid_count;
    const struct sysfilter *sysfilter; /* borrowed; NULL: every call is allowed */
    const char *node;
    bool has_systemd; /* this host has name=systemd: cgroups_has_systemd() */
    bool has_root;    /* the next one instead of the configuration's */
    int root;         /* a detached mount; borrowed */
};

/* STATE is made 0700 if missing; refused when others can enter it or it is not root's. */
int rootfs_open(struct rootfs *rootfs, const char *state_dir, struct fault *fault);
void rootfs_close(struct rootfs *rootfs);

/* Check what `create` can know: template or root there (a symlink out of the tree is refused),
 * idmap possible or privileged, bind and tmpfs targets absolute. Changes nothing. */
int rootfs_check(const struct rootfs *rootfs, const struct config *config, struct fault *fault);
/* Of that, what needs no look at a file: environment, binds and tmpfs. */
int rootfs_check_words(const struct config *config, struct fault *fault);

/* Make and remove containers/UUID. Removal is by descriptor, never follows a link, and succeeds
 * when it is gone already. */
int rootfs_make(const struct rootfs *rootfs, const uint8_t uuid[UUID_BYTES], struct fault *fault);
int rootfs_remove(const struct rootfs *rootfs, const uint8_t uuid[UUID_BYTES], struct fault *fault);
/* Every UUID that has a directory, for leftovers. */
int rootfs_find_all(const struct rootfs *rootfs,
                    bool (*found)(const uint8_t uuid[UUID_BYTES], void *context), void *context);

int rootfs_plan(const struct rootfs *rootfs, const struct launch_request *request,
                struct launch *ret_launch, struct fault *fault);
void launch_close(struct launch *launch);
/* A blank memfd for a console's ring (keeper_wire.h); -errno. */
int rootfs_make_ring(void);

/* What an exec session carries: a packed plan for SPAWN in a memfd. user: "" root, else a name or
 * uid[:gid] looked up in the guest's /etc/passwd below `root` (a descriptor of the guest's root,
 * from /proc/PID/root) with openat2(RESOLVE_IN_ROOT); an unknown one is STATUS_NOT_FOUND. HOME,
 * USER, PATH, TERM get defaults. sysfilter: the guest's own, or its root could take the command
 * over and make calls that are refused to itself. */
int exec_plan(const struct stream_open *open, int root, uint32_t flags,
              const struct sysfilter *sysfilter, int *ret_memfd, struct fault *fault);
/* The same of a probe: KP_PROBE_FILE or KP_PROBE_TCP, for what `open` has as its only argument. It
 * stays out of the guest's pid namespace: nobody in it can see or touch it. */
int probe_plan(const struct stream_open *open, uint32_t probe, bool has_userns, int *ret_memfd,
               struct fault *fault);

#endif
