/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfs_disk.h — a disk's files, and what a power failure could still take of them.
 *
 * Shape    a file is its octets as the process reads them, and a log of the changes since its last
 *          sync with what each overwrote: backwards it leads to what is durable, and forwards again
 *          through whatever a crash leaves.
 * Units    *_bytes octets.
 * Errors   SQLite codes; disk_last_error() says the errno.
 * Owner    vfs.c, through which all others come.
 * Context  one thread.
 */
#ifndef DROVER_SIM_VFS_DISK_H
#define DROVER_SIM_VFS_DISK_H

#include <stddef.h>

#include "prng.h"
#include "vfs.h"

#define DISK_NAME_BYTES 128
#define DISK_SHM_LOCKS 8         /* SQLITE_SHM_NLOCK */
#define DISK_SHM_REGIONS_MAX 256 /* of 32 KiB: a log of a million frames; more answer NOMEM */

enum disk_entry {
    ENTRY_NONE,    /* no name, or none any more: lives as long as it is open */
    ENTRY_LISTED,  /* in its directory */
    ENTRY_DELETED, /* no more, but the directory was not synced: may come back */
};

/* What connections of one process share; dies with it, though each lets go of it by itself. */
struct disk_shm {
    uint32_t users;
    uint32_t region_count;
    void *regions[DISK_SHM_REGIONS_MAX];
    uint32_t shared[DISK_SHM_LOCKS]; /* holders */
    bool is_exclusive[DISK_SHM_LOCKS];
};

struct disk_change {
    uint64_t offset;
    uint64_t size_bytes;  /* written; 0: the file was cut or stretched to offset */
    uint64_t file_bytes;  /* of the whole file before */
    uint64_t saved_at;    /* in the file's saved octets: what it overwrote or cut off */
    uint64_t saved_bytes; /* less than size_bytes where the file grew */
    bool is_cut;          /* not a write */
    bool is_durable;      /* covered by a sync, though one before it is not */
};

struct disk_file {
    struct disk_file *next;
    char name[DISK_NAME_BYTES];
    enum disk_entry entry;
    bool is_entry_durable;
    uint32_t users; /* open handles */

    uint8_t *data;
    uint64_t size_bytes;
    uint64_t room_bytes;

    struct disk_change *changes; /* since the last sync, oldest first */
    uint32_t change_count;
    uint32_t change_room;
    uint32_t lost_count; /* the first so many were to be covered by a sync that failed */
    uint8_t *saved;
    uint64_t saved_bytes;
    uint64_t saved_room;

    uint32_t shared;    /* holders of SQLite's SHARED lock */
    const void *writer; /* holder of RESERVED or more */
    bool is_pending;    /* ... which lets no more readers in */
    struct disk_shm *shm;
};

struct disk_failure {
    bool is_armed;
    uint64_t after;
};

struct disk {
    char name[DISK_NAME_BYTES];
    struct disk_file *files; /* deleted ones included */
    struct prng prng;
    uint64_t room_bytes; /* UINT64_MAX: without bound */
    uint64_t calls;
    uint32_t life; /* of the process that uses it; handles of an older one are dead */
    bool is_stopped;
    bool is_full;
    bool is_sync_noop;
    struct disk_failure failures[SIMVFS_FAILURES];
};

/* ---- files ---- */

struct disk_file *disk_find(const struct disk *disk, const char *name);
/* name NULL: one without a name. Never fails. */
struct disk_file *disk_add(struct disk *disk, const char *name);
void disk_let_go(struct disk *disk, struct disk_file *file);
/* Returns a SQLite code: IOERR_DELETE_NOENT if there is none. */
int disk_delete(struct disk *disk, const char *name, bool is_synced);
int disk_sync_directory(struct disk *disk);
void disk_forget_files(struct disk *disk);

/* ---- content ---- */

int disk_write(struct disk *disk, struct disk_file *file, const void *data, size_t size_bytes,
               uint64_t offset);
int disk_cut(struct disk *disk, struct disk_file *file, uint64_t size_bytes);
int disk_sync(struct disk *disk, struct disk_file *file);

/* Notes errno for SQLite's xGetLastError and answers the code. */
int disk_fail(int error, int code);
int disk_last_error(void);

/* ---- death ---- */

void disk_kill(struct disk *disk);
void disk_crash(struct disk *disk, struct prng *prng);
/* A file as it is, durable, beside those that are there. */
void disk_put(struct disk *disk, const char *name, const void *data, uint64_t size_bytes);

/* ---- shared memory ---- */

struct disk_shm *disk_shm_share(struct disk_file *file);
void disk_shm_let_go(struct disk_file *file, struct disk_shm *shm);

#endif
