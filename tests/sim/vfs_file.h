/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfs_file.h — one open file of the VFS "drover-sim": content, locks, shared memory.
 *
 * Shape    struct vfs_file begins with SQLite's own part, of which SQLite knows no more.
 * Units    octets.
 * Errors   SQLite codes; a handle whose process has died answers IOERR to all but unlock and close.
 * Owner    SQLite, which allots the memory and calls xClose.
 * Context  one thread. Source: sqlite.org/c3ref/io_methods.html, os_unix.c.
 */
#ifndef DROVER_SIM_VFS_FILE_H
#define DROVER_SIM_VFS_FILE_H

#include <sqlite3.h>

#include "vfs_disk.h"

struct vfs_file {
    sqlite3_file base; /* first, as SQLite casts it */
    struct disk *disk;
    struct disk_file *file;
    struct disk_shm *shm; /* NULL: not in use */
    uint32_t life;        /* another than the disk's: its process has died */
    int lock;             /* SQLITE_LOCK_... */
    bool is_deleted_on_close;
    uint8_t shared_locks; /* of the shared memory, a bit each */
    uint8_t exclusive_locks;
};

void vfs_file_open(sqlite3_file *base, struct disk *disk, struct disk_file *file, int flags);
/* How many are open. */
uint32_t vfs_file_count(void);

#endif
