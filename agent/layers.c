/* SPDX-License-Identifier: Apache-2.0 */
#include "layers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"

#define SYMLINKS_MAX 40 /* as the kernel's own MAXSYMLINKS */
#define STEPS_MAX 1024  /* names looked at: a template's ../../… must not hold a worker up */

struct walk {
    const struct layers *layers;
    char done[PATH_MAX]; /* resolved so far, without a leading slash; "": the root */
    size_t done_bytes;
    char rest[2 * PATH_MAX]; /* still to be resolved */
    bool has_upper;          /* `done` is a directory there */
    bool has_lower;          /* and there, not hidden by the upper */
    unsigned symlinks;
    unsigned steps;
};

static void walk_begin(struct walk *walk)
{
    walk->done[0] = '\0';
    walk->done_bytes = 0;
    walk->has_upper = walk->layers->upper >= 0;
    walk->has_lower = walk->layers->lower >= 0;
}

/* Put a text before what is left: a link's target, or a path that is begun again. */
static int walk_prepend(struct walk *walk, const char *text, size_t text_bytes, const char *rest)
{
    size_t rest_bytes = strlen(rest) + 1;
    if (text_bytes + 1 + rest_bytes > sizeof(walk->rest))
        return -ENAMETOOLONG;
    memmove(walk->rest + text_bytes + 1, rest, rest_bytes);
    memcpy(walk->rest, text, text_bytes);
    walk->rest[text_bytes] = '/';
    return 0;
}

static int walk_up(struct walk *walk, const char *rest)
{
    while (walk->done_bytes > 0 && walk->done[--walk->done_bytes] != '/')
        ;
    int rc = walk_prepend(walk, walk->done, walk->done_bytes, rest);
    walk_begin(walk);
    return rc;
}

static bool is_opaque(int upper, const char *path)
{
    AUTO_FD fd = openat(upper, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char value;
    return fd >= 0 && fgetxattr(fd, "user.overlay.opaque", &value, 1) == 1 && value == 'y';
}

/* What is at `done` now? Sets has_upper and has_lower for the levels below. */
static int walk_look(struct walk *walk, struct stat *stat, int *ret_layer)
{
    bool is_in_lower = false;

    if (walk->has_upper) {
        walk->has_upper = fstatat(walk->layers->upper, walk->done, stat, AT_SYMLINK_NOFOLLOW) == 0;
        if (!walk->has_upper && errno != ENOENT)
            return -errno;
    }
    if (walk->has_upper) {
        if (S_ISCHR(stat->st_mode) && stat->st_rdev == makedev(0, 0))
            return -ENOENT;
        *ret_layer = walk->layers->upper;
        if (!walk->has_lower || !S_ISDIR(stat->st_mode) ||
            is_opaque(walk->layers->upper, walk->done)) {
            walk->has_lower = false;
            return 0;
        }
    }
    if (walk->has_lower) {
        struct stat below;
        is_in_lower = fstatat(walk->layers->lower, walk->done, &below, AT_SYMLINK_NOFOLLOW) == 0;
        if (!is_in_lower && errno != ENOENT)
            return -errno;
        walk->has_lower = is_in_lower && (S_ISDIR(below.st_mode) || !walk->has_upper);
        if (!walk->has_upper) {
            *stat = below;
            *ret_layer = walk->layers->lower;
        }
    }
    return walk->has_upper || is_in_lower ? 0 : -ENOENT;
}

/* The place a walk can go back to: where a relative link stands. */
struct place {
    size_t done_bytes;
    bool has_upper;
    bool has_lower;
};

static int walk_follow(struct walk *walk, const struct place *before, int layer, const char *rest)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(layer, walk->done, target, sizeof(target));
    if (length <= 0)
        return length < 0 ? -errno : -ENOENT;
    if (++walk->symlinks > SYMLINKS_MAX)
        return -ELOOP;

    if (target[0] == '/') {
        walk_begin(walk);
    } else {
        walk->done_bytes = before->done_bytes;
        walk->done[walk->done_bytes] = '\0';
        walk->has_upper = before->has_upper;
        walk->has_lower = before->has_lower;
    }
    return walk_prepend(walk, target, (size_t)length, rest);
}

/* Take the next component off `rest` into `done`. */
static int walk_enter(struct walk *walk, const char *name, size_t name_bytes)
{
    size_t slash_bytes = walk->done_bytes > 0;
    if (walk->done_bytes + slash_bytes + name_bytes + 2 > sizeof(walk->done))
        return -ENAMETOOLONG;
    if (slash_bytes)
        walk->done[walk->done_bytes++] = '/';
    memcpy(walk->done + walk->done_bytes, name, name_bytes);
    walk->done_bytes += name_bytes;
    walk->done[walk->done_bytes] = '\0';
    return 0;
}

/* One component that is a name. Moves *at on, which points into walk->rest. */
static int walk_step(struct walk *walk, const char **at, size_t name_bytes, struct stat *stat)
{
    struct place before = {walk->done_bytes, walk->has_upper, walk->has_lower};
    const char *rest = *at + name_bytes;
    int layer = -1;

    if (++walk->steps > STEPS_MAX)
        return -ELOOP;
    int rc = walk_enter(walk, *at, name_bytes);
    if (rc == 0)
        rc = walk_look(walk, stat, &layer);
    if (rc < 0)
        return rc;

    *at = rest;
    if (S_ISLNK(stat->st_mode)) {
        rc = walk_follow(walk, &before, layer, rest);
        stat->st_mode = S_IFDIR; /* of the directory that the walk goes on from */
        *at = walk->rest;
    }
    return rc;
}

int layers_find(const struct layers *layers, const char *path, struct layers_found *ret_found)
{
    struct walk walk;
    struct stat stat = {.st_mode = S_IFDIR};

    walk.layers = layers;
    walk.symlinks = 0;
    walk.steps = 0;
    walk_begin(&walk);
    int rc = walk_prepend(&walk, "", 0, path);
    const char *at = walk.rest;
    while (rc == 0) {
        at += strspn(at, "/");
        size_t name_bytes = strcspn(at, "/");
        if (name_bytes == 0)
            break;
        if (!S_ISDIR(stat.st_mode)) {
            rc = -ENOTDIR;
        } else if (name_bytes == 1 && at[0] == '.') {
            at++;
        } else if (name_bytes == 2 && at[0] == '.' && at[1] == '.') {
            rc = walk_up(&walk, at + name_bytes);
            at = walk.rest;
        } else {
            rc = walk_step(&walk, &at, name_bytes, &stat);
        }
    }
    if (rc < 0)
        return rc;

    ret_found->path[0] = '/';
    memcpy(ret_found->path + 1, walk.done, walk.done_bytes + 1);
    ret_found->stat = stat;
    return 0;
}
