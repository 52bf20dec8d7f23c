/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers.h — looking a path up in a guest's root that is not mounted: an upper over a lower.
 *
 * Shape    a walk by components over held descriptors, as overlayfs (userxattr) would resolve it:
 *          upper before lower, whiteouts, opaque directories, symlinks inside the root.
 * Units    none.
 * Errors   -errno as open(2) would say: -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG.
 * Owner    the caller keeps the descriptors.
 * Context  the guest does not run meanwhile; files are only looked at. Source: overlayfs.rst.
 */
#ifndef DROVER_LAYERS_H
#define DROVER_LAYERS_H

#include <linux/limits.h> /* PATH_MAX */
#include <sys/stat.h>

/* Directories; -1: there is no such layer. */
struct layers {
    int upper;
    int lower;
};

struct layers_found {
    char path[PATH_MAX]; /* absolute in the root, free of symlinks */
    struct stat stat;
};

/* Find what a path leads to, symlinks followed to the last; `path` is taken from the root. */
int layers_find(const struct layers *layers, const char *path, struct layers_found *ret_found);

#endif
