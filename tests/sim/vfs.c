/* SPDX-License-Identifier: Apache-2.0 */
#include "vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ensure.h"
#include "vfs_file.h"

#define NOW_JULIAN_MS 212662022400000 /* 2026-11-24; nothing of ours reads SQLite's clock */

static struct {
    bool is_open;
    struct disk disks[SIMVFS_DISKS_MAX];
    uint32_t disk_count;
    struct prng prng;
    bool is_sync_noop;
} sim;

/* ---- disks ---- */

static struct disk *find_disk(const char *path)
{
    size_t length = strcspn(path, "/");

    ENSURE(sim.is_open);
    ENSURE(length < DISK_NAME_BYTES);
    for (uint32_t i = 0; i < sim.disk_count; i++)
        if (strlen(sim.disks[i].name) == length && memcmp(sim.disks[i].name, path, length) == 0)
            return &sim.disks[i];
    ENSURE(sim.disk_count < SIMVFS_DISKS_MAX);
    struct disk *disk = &sim.disks[sim.disk_count++];
    *disk = (struct disk){.room_bytes = UINT64_MAX, .is_sync_noop = sim.is_sync_noop};
    memcpy(disk->name, path, length);
    disk->prng.state = prng_next(&sim.prng);
    return disk;
}

/* ---- the VFS ---- */

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                   int *ret_flags)
{
    struct disk *disk = find_disk(name == NULL ? "" : name);
    struct disk_file *file = NULL;

    (void)vfs;
    base->pMethods = NULL; /* until it is open there is nothing to close */
    if (name != NULL && strlen(name) >= DISK_NAME_BYTES)
        return disk_fail(ENAMETOOLONG, SQLITE_CANTOPEN);
    if (disk->is_stopped)
        return disk_fail(EIO, SQLITE_IOERR);
    if (name != NULL)
        file = disk_find(disk, name);
    if (file != NULL && (flags & SQLITE_OPEN_EXCLUSIVE) != 0)
        return disk_fail(EEXIST, SQLITE_CANTOPEN);
    if (file == NULL && (flags & SQLITE_OPEN_CREATE) == 0)
        return disk_fail(ENOENT, SQLITE_CANTOPEN);
    if (file == NULL)
        file = disk_add(disk, name);
    vfs_file_open(base, disk, file, flags);
    if (ret_flags != NULL)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int on_delete(sqlite3_vfs *vfs, const char *name, int is_synced)
{
    struct disk *disk = find_disk(name);

    (void)vfs;
    if (disk->is_stopped)
        return disk_fail(EIO, SQLITE_IOERR_DELETE);
    return disk_delete(disk, name, is_synced != 0);
}

/* As os_unix.c: a file that is there and empty does not count where only being there is asked. */
static int on_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret_is_there)
{
    const struct disk *disk = find_disk(name);
    const struct disk_file *file = disk_find(disk, name);

    (void)vfs;
    if (disk->is_stopped)
        return disk_fail(EIO, SQLITE_IOERR_ACCESS);
    *ret_is_there = file != NULL && (flags != SQLITE_ACCESS_EXISTS || file->size_bytes > 0);
    return SQLITE_OK;
}

static int on_full_path(sqlite3_vfs *vfs, const char *name, int room, char *ret_path)
{
    (void)vfs;
    int length = snprintf(ret_path, (size_t)room, "%s", name);
    return length < room ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int on_randomness(sqlite3_vfs *vfs, int size_bytes, char *ret_octets)
{
    (void)vfs;
    for (int i = 0; i < size_bytes; i++)
        ret_octets[i] = (char)prng_next(&sim.prng);
    return size_bytes;
}

/* Who waits for a lock waits in vain, as all are of this thread: it need not take time. */
static int on_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds;
}

static int on_time(sqlite3_vfs *vfs, sqlite3_int64 *ret_julian_ms)
{
    (void)vfs;
    *ret_julian_ms = NOW_JULIAN_MS;
    return SQLITE_OK;
}

static int on_last_error(sqlite3_vfs *vfs, int room, char *ret_text)
{
    (void)vfs;
    (void)room;
    (void)ret_text; /* as os_unix.c: a number alone */
    return disk_last_error();
}

static sqlite3_vfs vfs = {
    .iVersion = 2,
    .szOsFile = sizeof(struct vfs_file),
    .mxPathname = DISK_NAME_BYTES - 1,
    .zName = SIMVFS_NAME,
    .xOpen = on_open,
    .xDelete = on_delete,
    .xAccess = on_access,
    .xFullPathname = on_full_path,
    .xRandomness = on_randomness,
    .xSleep = on_sleep,
    .xGetLastError = on_last_error,
    .xCurrentTimeInt64 = on_time,
};

/* ---- for the test ---- */

static void forget_disks(void)
{
    ENSURE(vfs_file_count() == 0);
    for (uint32_t i = 0; i < sim.disk_count; i++)
        disk_forget_files(&sim.disks[i]);
    sim.disk_count = 0;
}

/* One thread, and nobody asks how much it uses: neither need cost anything. Too late where SQLite
 * is in use already; then it costs. */
static void configure(void)
{
    static bool is_done;

    if (!is_done) {
        (void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
        (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    }
    is_done = true;
}

void simvfs_open(uint64_t seed)
{
    forget_disks();
    configure();
    int code = sqlite3_vfs_register(&vfs, 1);
    ENSURE(code == SQLITE_OK);
    sim.is_open = true;
    sim.prng.state = seed;
    sim.is_sync_noop = false;
    sqlite3_randomness(0, NULL); /* its next number asks the default VFS: ours */
}

void simvfs_close(void)
{
    forget_disks();
    if (sim.is_open)
        (void)sqlite3_vfs_unregister(&vfs); /* cannot fail for one that is registered */
    sim.is_open = false;
    sqlite3_randomness(0, NULL);
}

void simvfs_fail(const char *disk, enum simvfs_failure failure, uint64_t after)
{
    ENSURE(failure < SIMVFS_FAILURES);
    find_disk(disk)->failures[failure] = (struct disk_failure){.is_armed = true, .after = after};
}

void simvfs_heal(const char *disk)
{
    struct disk *found = find_disk(disk);

    memset(found->failures, 0, sizeof(found->failures));
    found->is_full = false;
    found->room_bytes = UINT64_MAX;
}

void simvfs_set_room(const char *disk, uint64_t room_bytes)
{
    find_disk(disk)->room_bytes = room_bytes;
}

void simvfs_set_sync_noop(bool is_noop)
{
    sim.is_sync_noop = is_noop;
    for (uint32_t i = 0; i < sim.disk_count; i++)
        sim.disks[i].is_sync_noop = is_noop;
}

void simvfs_kill(const char *disk)
{
    disk_kill(find_disk(disk));
}

void simvfs_crash(const char *disk, uint64_t seed)
{
    struct prng prng = {.state = seed};

    disk_crash(find_disk(disk), &prng);
}

int simvfs_sync_directory(const char *disk)
{
    return disk_sync_directory(find_disk(disk));
}

uint64_t simvfs_calls(const char *disk)
{
    return find_disk(disk)->calls;
}

uint64_t simvfs_unsynced_bytes(const char *disk)
{
    uint64_t unsynced_bytes = 0;

    for (const struct disk_file *file = find_disk(disk)->files; file != NULL; file = file->next)
        for (uint32_t i = 0; i < file->change_count; i++)
            if (!file->changes[i].is_durable)
                unsynced_bytes += file->changes[i].size_bytes;
    return unsynced_bytes;
}

/* FNV-1a. */
static void digest(uint64_t *hash, const void *data, uint64_t size_bytes)
{
    for (uint64_t i = 0; i < size_bytes; i++)
        *hash = (*hash ^ ((const uint8_t *)data)[i]) * 0x100000001b3;
}

uint64_t simvfs_digest(const char *disk)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (const struct disk_file *file = find_disk(disk)->files; file != NULL; file = file->next) {
        if (file->entry != ENTRY_LISTED)
            continue;
        digest(&hash, file->name, strlen(file->name) + 1);
        digest(&hash, file->data, file->size_bytes);
    }
    return hash;
}

/* ---- snapshots ---- */

struct copy {
    char name[DISK_NAME_BYTES];
    uint8_t *data;
    uint64_t size_bytes;
};

struct simvfs_snapshot {
    uint32_t count;
    struct copy *copies;
};

struct simvfs_snapshot *simvfs_snapshot(const char *disk)
{
    const struct disk *found = find_disk(disk);
    struct simvfs_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    uint32_t count = 0;

    ENSURE(snapshot != NULL);
    for (const struct disk_file *file = found->files; file != NULL; file = file->next)
        count += file->entry == ENTRY_LISTED;
    snapshot->copies = calloc(count + 1, sizeof(*snapshot->copies));
    ENSURE(snapshot->copies != NULL);
    for (const struct disk_file *file = found->files; file != NULL; file = file->next) {
        if (file->entry != ENTRY_LISTED)
            continue;
        struct copy *copy = &snapshot->copies[snapshot->count++];
        memcpy(copy->name, file->name, sizeof(copy->name));
        copy->size_bytes = file->size_bytes;
        copy->data = malloc(file->size_bytes + 1);
        ENSURE(copy->data != NULL);
        if (file->size_bytes > 0)
            memcpy(copy->data, file->data, file->size_bytes);
    }
    return snapshot;
}

void simvfs_restore(const char *disk, const struct simvfs_snapshot *snapshot)
{
    struct disk *found = find_disk(disk);

    disk_kill(found);
    disk_forget_files(found);
    for (uint32_t i = snapshot->count; i-- > 0;) /* as they lay */
        disk_put(found, snapshot->copies[i].name, snapshot->copies[i].data,
                 snapshot->copies[i].size_bytes);
}

void simvfs_snapshot_free(struct simvfs_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    for (uint32_t i = 0; i < snapshot->count; i++)
        free(snapshot->copies[i].data);
    free(snapshot->copies);
    free(snapshot);
}
