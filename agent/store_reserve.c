/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "store_limits.h"
#include "store_reserve.h"

#define OCTETS_OF_A_BLOCK 512 /* stat(2): st_blocks */
#define ROOM_PARTS 2          /* made only where so much of it is free: others need room as well */

static bool is_there(const struct store_reserve *reserve)
{
    struct stat status;

    return lstat(reserve->path, &status) == 0 && S_ISREG(status.st_mode) &&
           (uint64_t)status.st_size == STORE_RESERVE_BYTES &&
           (uint64_t)status.st_blocks * OCTETS_OF_A_BLOCK >= STORE_RESERVE_BYTES;
}

static void name_directory(const struct store_reserve *reserve, char directory[PATH_MAX + 16])
{
    (void)snprintf(directory, PATH_MAX + 16, "%.*s",
                   (int)(strrchr(reserve->path, '/') - reserve->path), reserve->path);
}

static bool has_room(const struct store_reserve *reserve)
{
    char directory[sizeof(reserve->path)];
    struct statvfs status;

    name_directory(reserve, directory);
    return statvfs(directory, &status) == 0 &&
           (uint64_t)status.f_bavail * status.f_frsize >= ROOM_PARTS * STORE_RESERVE_BYTES;
}

/* LIMIT: a file system that copies on write may need more room for what was promised here. */
static bool make(const struct store_reserve *reserve)
{
    (void)unlink(reserve->path); /* half a one, or none */
    AUTO_FD fd = open(reserve->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    if (posix_fallocate(fd, 0, (off_t)STORE_RESERVE_BYTES) == 0)
        return true;
    (void)unlink(reserve->path);
    return false;
}

void store_reserve_open(struct store_reserve *reserve, const char *path)
{
    (void)snprintf(reserve->path, sizeof(reserve->path), "%s.reserve", path);
    reserve->is_held = is_there(reserve);
}

void store_reserve_renew(struct store_reserve *reserve)
{
    if (!reserve->is_held && has_room(reserve))
        reserve->is_held = make(reserve);
}

bool store_reserve_spend(struct store_reserve *reserve)
{
    char directory[sizeof(reserve->path)];

    if (!reserve->is_held)
        return false;
    reserve->is_held = false;
    if (unlink(reserve->path) < 0)
        return false;
    /* Some file systems give blocks out again only after what freed them is on the disk. */
    name_directory(reserve, directory);
    AUTO_FD fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)fsync(fd); /* without it the next write finds no room */
    return true;
}
