/* SPDX-License-Identifier: Apache-2.0 */
/* Removal of trees that a hostile guest has filled: no recursion, a bounded number of descriptors,
 * no path longer than a name, no link followed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "rootfs_mounts.h"

#define LEVELS_MAX 32 /* directories open at once; what lies deeper is moved up first */

struct removal {
    DIR *levels[LEVELS_MAX];
    char names[LEVELS_MAX][256]; /* of levels[n] in levels[n - 1] */
    unsigned depth;              /* levels in use */
    unsigned moved;              /* deep directories that were moved to level 0 so far */
    bool has_removed;            /* anything since a level was last read again */
};

static int level_fd(const struct removal *removal, unsigned level)
{
    return dirfd(removal->levels[level]);
}

/* A privileged guest may have set chattr +i or +a: they hold for root, too. */
static bool clear_flags(int dir, const char *name)
{
    int flags;
    AUTO_FD fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        return false;
    if ((flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)) == 0)
        return false;
    flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
    return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

static int unlink_one(int dir, const char *name, int flags)
{
    for (unsigned n = 0; n < 3; n++) {
        if (unlinkat(dir, name, flags) == 0 || errno == ENOENT)
            return 0;
        if (errno != EPERM || (!clear_flags(dir, name) && !clear_flags(dir, ".")))
            return -errno;
    }
    return -EPERM;
}

static int level_open(struct removal *removal, int dir, const char *name)
{
    AUTO_FD fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *level = fdopendir(fd);
    if (level == NULL)
        return -errno;
    (void)take_fd(&fd);
    (void)snprintf(removal->names[removal->depth], sizeof(removal->names[0]), "%s", name);
    removal->levels[removal->depth++] = level;
    return 0;
}

/* Too deep: the directory is moved next to the top ones, where it is met again. */
static int move_up(struct removal *removal, int dir, const char *name)
{
    char moved[32];
    for (;;) {
        (void)snprintf(moved, sizeof(moved), ".drover-deep-%u", removal->moved++);
        if (renameat2(dir, name, level_fd(removal, 0), moved, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno == EPERM && clear_flags(dir, name))
            continue;
        if (errno != EEXIST)
            return -errno;
    }
}

/* One entry of the deepest level: removed, or entered. */
static int remove_entry(struct removal *removal, const struct dirent *entry)
{
    int dir = level_fd(removal, removal->depth - 1);
    int rc = entry->d_type == DT_DIR ? -EISDIR : unlink_one(dir, entry->d_name, 0);

    removal->has_removed = true;
    if (rc != -EISDIR)
        return rc;
    if (removal->depth == LEVELS_MAX) {
        rc = unlink_one(dir, entry->d_name, AT_REMOVEDIR);
        return rc == -ENOTEMPTY ? move_up(removal, dir, entry->d_name) : rc;
    }
    return level_open(removal, dir, entry->d_name);
}

/* The deepest level has been read to its end: leave it, or read it again if something is left. */
static int level_leave(struct removal *removal, int parent)
{
    unsigned level = removal->depth - 1;
    int dir = level == 0 ? parent : level_fd(removal, level - 1);
    int rc = unlink_one(dir, removal->names[level], AT_REMOVEDIR);
    if (rc == -ENOTEMPTY && removal->has_removed) {
        removal->has_removed = false;
        rewinddir(removal->levels[level]);
        return 0;
    }
    if (rc == 0) {
        removal->has_removed = true;
        (void)closedir(removal->levels[--removal->depth]);
    }
    return rc;
}

int tree_remove(int dir, const char *name)
{
    struct removal removal = {.has_removed = true};
    int rc = level_open(&removal, dir, name);

    if (rc == -ENOENT)
        return 0;
    if (rc == -ENOTDIR || rc == -ELOOP)
        return unlink_one(dir, name, 0);
    while (rc == 0 && removal.depth > 0) {
        errno = 0;
        const struct dirent *entry = readdir(removal.levels[removal.depth - 1]);
        if (entry == NULL)
            rc = errno != 0 ? -errno : level_leave(&removal, dir);
        else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = remove_entry(&removal, entry);
    }
    while (removal.depth > 0)
        (void)closedir(removal.levels[--removal.depth]);
    return rc;
}
