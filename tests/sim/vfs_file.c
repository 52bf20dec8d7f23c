/* SPDX-License-Identifier: Apache-2.0 */
#include "vfs_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "ensure.h"

/* As os_unix.c says of a usual file system, so that SQLite takes the same paths here. */
#define SAID_SECTOR_BYTES 4096
#define SAID_TRAITS SQLITE_IOCAP_POWERSAFE_OVERWRITE

static uint32_t handle_count;

static struct vfs_file *handle_of(sqlite3_file *base)
{
    return container_of(base, struct vfs_file, base);
}

static bool is_dead(const struct vfs_file *handle)
{
    return handle->life != handle->disk->life || handle->disk->is_stopped;
}

/* ---- content ---- */

static int on_read(sqlite3_file *base, void *data, int size_bytes, sqlite3_int64 offset)
{
    const struct vfs_file *handle = handle_of(base);
    const struct disk_file *file = handle->file;
    uint64_t at = (uint64_t)offset;
    size_t wanted = (size_t)size_bytes;

    if (is_dead(handle))
        return disk_fail(EIO, SQLITE_IOERR_READ);
    size_t here = at >= file->size_bytes            ? 0
                  : file->size_bytes - at >= wanted ? wanted
                                                    : (size_t)(file->size_bytes - at);
    if (here > 0)
        memcpy(data, file->data + at, here);
    if (here == wanted)
        return SQLITE_OK;
    memset((uint8_t *)data + here, 0, wanted - here); /* SQLite counts on it */
    return SQLITE_IOERR_SHORT_READ;
}

static int on_write(sqlite3_file *base, const void *data, int size_bytes, sqlite3_int64 offset)
{
    const struct vfs_file *handle = handle_of(base);

    if (is_dead(handle))
        return disk_fail(EIO, SQLITE_IOERR_WRITE);
    return disk_write(handle->disk, handle->file, data, (size_t)size_bytes, (uint64_t)offset);
}

static int on_truncate(sqlite3_file *base, sqlite3_int64 size_bytes)
{
    const struct vfs_file *handle = handle_of(base);

    if (is_dead(handle))
        return disk_fail(EIO, SQLITE_IOERR_TRUNCATE);
    return disk_cut(handle->disk, handle->file, (uint64_t)size_bytes);
}

static int on_sync(sqlite3_file *base, int flags)
{
    const struct vfs_file *handle = handle_of(base);

    (void)flags; /* a full sync and a normal one are the same here */
    if (is_dead(handle))
        return disk_fail(EIO, SQLITE_IOERR_FSYNC);
    return disk_sync(handle->disk, handle->file);
}

static int on_file_size(sqlite3_file *base, sqlite3_int64 *ret_size_bytes)
{
    const struct vfs_file *handle = handle_of(base);

    if (is_dead(handle))
        return disk_fail(EIO, SQLITE_IOERR_FSTAT);
    *ret_size_bytes = (sqlite3_int64)handle->file->size_bytes;
    return SQLITE_OK;
}

/* ---- locks of the file ---- */

static int on_lock(sqlite3_file *base, int lock)
{
    struct vfs_file *handle = handle_of(base);
    struct disk_file *file = handle->file;

    if (is_dead(handle))
        return disk_fail(EIO, SQLITE_IOERR_LOCK);
    if (handle->lock >= lock)
        return SQLITE_OK;
    if (lock == SQLITE_LOCK_SHARED) {
        if (file->is_pending)
            return SQLITE_BUSY;
        file->shared++;
    } else {
        if (file->writer != NULL && file->writer != handle)
            return SQLITE_BUSY;
        file->writer = handle;
    }
    if (lock == SQLITE_LOCK_EXCLUSIVE) {
        file->is_pending = true;
        handle->lock = SQLITE_LOCK_PENDING;
        if (file->shared > 1)
            return SQLITE_BUSY;
    }
    handle->lock = lock;
    return SQLITE_OK;
}

static int on_unlock(sqlite3_file *base, int lock)
{
    struct vfs_file *handle = handle_of(base);
    struct disk_file *file = handle->file;

    if (handle->life == handle->disk->life && handle->lock > lock) {
        if (file->writer == handle) {
            file->writer = NULL;
            file->is_pending = false;
        }
        if (lock == SQLITE_LOCK_NONE)
            file->shared--;
    }
    handle->lock = lock;
    return SQLITE_OK;
}

static int on_check_reserved(sqlite3_file *base, int *ret_is_reserved)
{
    *ret_is_reserved = handle_of(base)->file->writer != NULL;
    return SQLITE_OK;
}

/* ---- shared memory: the index of the log ---- */

static int on_shm_map(sqlite3_file *base, int region, int region_bytes, int is_made,
                      void volatile **ret_region)
{
    struct vfs_file *handle = handle_of(base);

    *ret_region = NULL;
    if (is_dead(handle))
        return disk_fail(EIO, SQLITE_IOERR_SHMMAP);
    if (region >= DISK_SHM_REGIONS_MAX)
        return SQLITE_NOMEM;
    if (handle->shm == NULL)
        handle->shm = disk_shm_share(handle->file);
    struct disk_shm *shm = handle->shm;
    while (is_made && shm->region_count <= (uint32_t)region) {
        void *memory = calloc(1, (size_t)region_bytes);
        ENSURE(memory != NULL);
        shm->regions[shm->region_count++] = memory;
    }
    if ((uint32_t)region < shm->region_count)
        *ret_region = shm->regions[region];
    return SQLITE_OK;
}

static void unlock_shm(struct vfs_file *handle, uint8_t mask)
{
    for (int i = 0; i < DISK_SHM_LOCKS; i++) {
        if ((handle->shared_locks & mask & (1u << i)) != 0)
            handle->shm->shared[i]--;
        if ((handle->exclusive_locks & mask & (1u << i)) != 0)
            handle->shm->is_exclusive[i] = false;
    }
    handle->shared_locks &= (uint8_t)~mask;
    handle->exclusive_locks &= (uint8_t)~mask;
}

static int lock_shm(struct vfs_file *handle, uint8_t mask, bool is_shared)
{
    struct disk_shm *shm = handle->shm;

    if ((handle->shared_locks & mask) == mask && is_shared)
        return SQLITE_OK;
    for (int i = 0; i < DISK_SHM_LOCKS; i++)
        if ((mask & (1u << i)) != 0 && (shm->is_exclusive[i] || (!is_shared && shm->shared[i] > 0)))
            return SQLITE_BUSY;
    for (int i = 0; i < DISK_SHM_LOCKS; i++) {
        if ((mask & (1u << i)) == 0)
            continue;
        if (is_shared)
            shm->shared[i]++;
        else
            shm->is_exclusive[i] = true;
    }
    if (is_shared)
        handle->shared_locks |= mask;
    else
        handle->exclusive_locks |= mask;
    return SQLITE_OK;
}

static int on_shm_lock(sqlite3_file *base, int first, int count, int flags)
{
    struct vfs_file *handle = handle_of(base);
    uint8_t mask = (uint8_t)(((1u << count) - 1) << first);

    ENSURE(first >= 0);
    ENSURE(first + count <= DISK_SHM_LOCKS);
    ENSURE(handle->shm != NULL);
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
        unlock_shm(handle, mask);
        return SQLITE_OK;
    }
    if (is_dead(handle))
        return disk_fail(EIO, SQLITE_IOERR_SHMLOCK);
    return lock_shm(handle, mask, (flags & SQLITE_SHM_SHARED) != 0);
}

static void on_shm_barrier(sqlite3_file *base)
{
    (void)base; /* one thread */
}

static int on_shm_unmap(sqlite3_file *base, int is_deleted)
{
    struct vfs_file *handle = handle_of(base);

    (void)is_deleted; /* it goes with its last user in any case */
    if (handle->shm != NULL) {
        unlock_shm(handle, UINT8_MAX);
        disk_shm_let_go(handle->file, handle->shm);
    }
    handle->shm = NULL;
    return SQLITE_OK;
}

/* ---- the rest of a file ---- */

static int on_close(sqlite3_file *base)
{
    struct vfs_file *handle = handle_of(base);
    bool is_alive = !is_dead(handle);

    (void)on_shm_unmap(base, 0);
    (void)on_unlock(base, SQLITE_LOCK_NONE);
    if (handle->is_deleted_on_close && is_alive && handle->file->entry == ENTRY_LISTED)
        (void)disk_delete(handle->disk, handle->file->name, false); /* it is listed */
    disk_let_go(handle->disk, handle->file);
    handle_count--;
    base->pMethods = NULL;
    return SQLITE_OK;
}

static int on_file_control(sqlite3_file *base, int op, void *argument)
{
    (void)base;
    (void)op;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int on_sector_size(sqlite3_file *base)
{
    (void)base;
    return SAID_SECTOR_BYTES;
}

static int on_traits(sqlite3_file *base)
{
    (void)base;
    return SAID_TRAITS;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_file_size,
    .xLock = on_lock,
    .xUnlock = on_unlock,
    .xCheckReservedLock = on_check_reserved,
    .xFileControl = on_file_control,
    .xSectorSize = on_sector_size,
    .xDeviceCharacteristics = on_traits,
    .xShmMap = on_shm_map,
    .xShmLock = on_shm_lock,
    .xShmBarrier = on_shm_barrier,
    .xShmUnmap = on_shm_unmap,
};

void vfs_file_open(sqlite3_file *base, struct disk *disk, struct disk_file *file, int flags)
{
    struct vfs_file *handle = handle_of(base);

    *handle = (struct vfs_file){.base.pMethods = &methods,
                                .disk = disk,
                                .file = file,
                                .life = disk->life,
                                .is_deleted_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0};
    file->users++;
    handle_count++;
}

uint32_t vfs_file_count(void)
{
    return handle_count;
}
