/* SPDX-License-Identifier: Apache-2.0 */
#include "shim.h"

#include <errno.h>
#include <sqlite3.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

struct shim shim;

struct shim_file {
    sqlite3_file base;
    const char *name; /* SQLite keeps it while the file is open; NULL: temporary */
    sqlite3_file real[];
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs shim_vfs;

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct shim_file *)file)->real;
}

static bool is_meant(const struct shim_file *file)
{
    size_t length = file->name == NULL ? 0 : strlen(file->name);
    size_t suffix_length = strlen(shim.suffix);

    return file->name != NULL && length >= suffix_length &&
           strcmp(file->name + length - suffix_length, shim.suffix) == 0;
}

static bool is_hit(unsigned number, unsigned from, unsigned count)
{
    return from != 0 && number >= from && number - from < count;
}

static int on_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int on_read(sqlite3_file *file, void *to, int size_bytes, sqlite3_int64 offset)
{
    return real_of(file)->pMethods->xRead(real_of(file), to, size_bytes, offset);
}

static int on_write(sqlite3_file *file, const void *from, int size_bytes, sqlite3_int64 offset)
{
    if (is_meant((struct shim_file *)file) &&
        is_hit(atomic_fetch_add(&shim.writes, 1) + 1, shim.write_from, shim.write_count)) {
        if (shim.write_fate == SHIM_EXIT)
            _exit(0);
        return shim.write_fate == SHIM_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    return real_of(file)->pMethods->xWrite(real_of(file), from, size_bytes, offset);
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size_bytes)
{
    return real_of(file)->pMethods->xTruncate(real_of(file), size_bytes);
}

static int on_sync(sqlite3_file *file, int flags)
{
    if (is_meant((struct shim_file *)file) &&
        is_hit(atomic_fetch_add(&shim.syncs, 1) + 1, shim.sync_from, shim.sync_count)) {
        if (shim.sync_fate == SHIM_EXIT)
            _exit(0);
        errno = shim.sync_errno;
        return SQLITE_IOERR_FSYNC;
    }
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int on_size(sqlite3_file *file, sqlite3_int64 *size_bytes)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size_bytes);
}

static int on_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int on_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int on_check_lock(sqlite3_file *file, int *result)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), result);
}

static int on_control(sqlite3_file *file, int operation, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int on_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int on_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int on_shm_map(sqlite3_file *file, int region, int size_bytes, int extend,
                      void volatile **memory)
{
    if (extend != 0 && region > 0 && shim.is_index_full) {
        shim.is_index_full = false;
        return SQLITE_IOERR_SHMSIZE;
    }
    return real_of(file)->pMethods->xShmMap(real_of(file), region, size_bytes, extend, memory);
}

static int on_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void on_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int on_shm_unmap(sqlite3_file *file, int is_deleted)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), is_deleted);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* with shared memory, without mapped pages */
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_size,
    .xLock = on_lock,
    .xUnlock = on_unlock,
    .xCheckReservedLock = on_check_lock,
    .xFileControl = on_control,
    .xSectorSize = on_sector,
    .xDeviceCharacteristics = on_device,
    .xShmMap = on_shm_map,
    .xShmLock = on_shm_lock,
    .xShmBarrier = on_shm_barrier,
    .xShmUnmap = on_shm_unmap,
};

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                   int *ret_flags)
{
    struct shim_file *opened = (struct shim_file *)file;

    (void)vfs;
    opened->name = name;
    int code = real_vfs->xOpen(real_vfs, name, opened->real, flags, ret_flags);
    opened->base.pMethods = opened->real->pMethods == NULL ? NULL : &methods;
    return code;
}

void shim_put(void)
{
    shim = (struct shim){.suffix = ""};
    if (real_vfs == NULL) {
        real_vfs = sqlite3_vfs_find("unix");
        shim_vfs = *real_vfs;
        shim_vfs.zName = "shim";
        shim_vfs.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
        shim_vfs.xOpen = on_open;
    }
    (void)sqlite3_vfs_register(&shim_vfs, 1);
}

void shim_remove(void)
{
    (void)sqlite3_vfs_unregister(&shim_vfs);
}
