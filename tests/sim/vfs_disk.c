/* SPDX-License-Identifier: Apache-2.0 */
#include "vfs_disk.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ensure.h"

#define ROOM_FIRST_BYTES 65536
#define CHANGES_FIRST 64

static int last_error;

/* ---- octets ---- */

static void *more(void *old, uint64_t *room, uint64_t need, uint64_t first, size_t each_bytes)
{
    uint64_t grown = *room == 0 ? first : *room;

    while (grown < need)
        grown *= 2;
    if (grown == *room)
        return old;
    void *moved = realloc(old, grown * each_bytes);
    ENSURE(moved != NULL);
    *room = grown;
    return moved;
}

/* What lies between the old end and the new one is zero, as in a file with a hole. */
static void set_size(struct disk_file *file, uint64_t size_bytes)
{
    file->data = more(file->data, &file->room_bytes, size_bytes, ROOM_FIRST_BYTES, 1);
    if (size_bytes > file->size_bytes)
        memset(file->data + file->size_bytes, 0, size_bytes - file->size_bytes);
    file->size_bytes = size_bytes;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- files ---- */

struct disk_file *disk_find(const struct disk *disk, const char *name)
{
    for (struct disk_file *file = disk->files; file != NULL; file = file->next)
        if (file->entry == ENTRY_LISTED && strcmp(file->name, name) == 0)
            return file;
    return NULL;
}

struct disk_file *disk_add(struct disk *disk, const char *name)
{
    struct disk_file *file = calloc(1, sizeof(*file));

    ENSURE(file != NULL);
    file->entry = name == NULL ? ENTRY_NONE : ENTRY_LISTED;
    if (name != NULL)
        (void)snprintf(file->name, sizeof(file->name), "%s", name); /* xOpen has measured it */
    file->next = disk->files;
    disk->files = file;
    return file;
}

static void free_file(struct disk *disk, struct disk_file *file)
{
    struct disk_file **link = &disk->files;

    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    ENSURE(file->shm == NULL);
    free(file->data);
    free(file->changes);
    free(file->saved);
    free(file);
}

static void set_entry(struct disk *disk, struct disk_file *file, enum disk_entry entry)
{
    bool was_listed = file->entry == ENTRY_LISTED;

    file->entry = entry;
    if (disk->room_bytes != UINT64_MAX && was_listed && entry != ENTRY_LISTED)
        disk->room_bytes += file->size_bytes;
    else if (disk->room_bytes != UINT64_MAX && !was_listed && entry == ENTRY_LISTED)
        disk->room_bytes -= smaller(file->size_bytes, disk->room_bytes);
    if (entry == ENTRY_NONE && file->users == 0)
        free_file(disk, file);
}

void disk_let_go(struct disk *disk, struct disk_file *file)
{
    ENSURE(file->users > 0);
    file->users--;
    if (file->users == 0 && file->entry == ENTRY_NONE)
        free_file(disk, file);
}

/* The name stands for this file alone from now on, whatever happens. NULL: all names are so. */
static void sync_entries(struct disk *disk, const struct disk_file *only)
{
    for (struct disk_file *file = disk->files, *next; file != NULL; file = next) {
        next = file->next;
        if (only != NULL && strcmp(file->name, only->name) != 0)
            continue;
        file->is_entry_durable = true;
        if (file->entry == ENTRY_DELETED)
            set_entry(disk, file, ENTRY_NONE);
    }
}

int disk_delete(struct disk *disk, const char *name, bool is_synced)
{
    struct disk_file *file = disk_find(disk, name);

    if (file == NULL)
        return SQLITE_IOERR_DELETE_NOENT;
    set_entry(disk, file, file->is_entry_durable ? ENTRY_DELETED : ENTRY_NONE);
    return is_synced ? disk_sync_directory(disk) : SQLITE_OK;
}

void disk_forget_files(struct disk *disk)
{
    for (struct disk_file *file = disk->files, *next; file != NULL; file = next) {
        next = file->next;
        set_entry(disk, file, ENTRY_NONE);
    }
}

void disk_put(struct disk *disk, const char *name, const void *data, uint64_t size_bytes)
{
    struct disk_file *file = disk_add(disk, name);

    file->is_entry_durable = true;
    set_size(file, size_bytes);
    memcpy(file->data, data, size_bytes);
}

/* ---- content ---- */

static struct disk_change *note_change(struct disk_file *file, uint64_t from, uint64_t to)
{
    uint64_t room = file->change_room;

    file->changes =
        more(file->changes, &room, file->change_count + 1, CHANGES_FIRST, sizeof(*file->changes));
    file->change_room = (uint32_t)room;
    struct disk_change *change = &file->changes[file->change_count++];
    *change = (struct disk_change){.offset = from,
                                   .file_bytes = file->size_bytes,
                                   .saved_at = file->saved_bytes,
                                   .saved_bytes = to > from ? to - from : 0};
    file->saved = more(file->saved, &file->saved_room, file->saved_bytes + change->saved_bytes,
                       ROOM_FIRST_BYTES, 1);
    if (change->saved_bytes > 0)
        memcpy(file->saved + file->saved_bytes, file->data + from, change->saved_bytes);
    file->saved_bytes += change->saved_bytes;
    return change;
}

static void write_octets(struct disk_file *file, const void *data, uint64_t size_bytes,
                         uint64_t offset)
{
    struct disk_change *change =
        note_change(file, offset, smaller(offset + size_bytes, file->size_bytes));

    change->size_bytes = size_bytes;
    if (offset + size_bytes > file->size_bytes)
        set_size(file, offset + size_bytes);
    memcpy(file->data + offset, data, size_bytes);
}

/* Whether this call is the one that is to fail; counts those before. */
static bool is_due(struct disk *disk, enum simvfs_failure failure)
{
    struct disk_failure *due = &disk->failures[failure];

    if (!due->is_armed)
        return false;
    if (due->after > 0) {
        due->after--;
        return false;
    }
    due->is_armed = false;
    return true;
}

int disk_fail(int error, int code)
{
    last_error = error;
    return code;
}

int disk_last_error(void)
{
    return last_error;
}

/* Whole sectors from the beginning, by chance: what a write left that did not return well. */
static void write_part(struct disk *disk, struct disk_file *file, const void *data,
                       uint64_t size_bytes, uint64_t offset)
{
    uint64_t part = prng_below(&disk->prng, size_bytes / SIMVFS_SECTOR_BYTES + 1);

    if (part > 0)
        write_octets(file, data, part * SIMVFS_SECTOR_BYTES, offset);
}

static uint64_t growth(const struct disk_file *file, uint64_t size_bytes)
{
    return size_bytes > file->size_bytes ? size_bytes - file->size_bytes : 0;
}

/* As os_unix.c: as much as there is room for, and then FULL. */
static int write_within(struct disk *disk, struct disk_file *file, const void *data,
                        size_t size_bytes, uint64_t offset)
{
    uint64_t room = disk->is_full ? 0 : disk->room_bytes;
    uint64_t grown = growth(file, offset + size_bytes);

    if (grown > room) {
        uint64_t end = file->size_bytes + room;
        if (end > offset)
            write_octets(file, data, end - offset, offset);
        if (end > offset && !disk->is_full)
            disk->room_bytes = 0;
        return disk_fail(ENOSPC, SQLITE_FULL);
    }
    if (room != UINT64_MAX && !disk->is_full)
        disk->room_bytes -= grown;
    write_octets(file, data, size_bytes, offset);
    disk->calls++;
    return SQLITE_OK;
}

int disk_write(struct disk *disk, struct disk_file *file, const void *data, size_t size_bytes,
               uint64_t offset)
{
    if (is_due(disk, SIMVFS_FAIL_FULL))
        disk->is_full = true;
    if (is_due(disk, SIMVFS_FAIL_STOP))
        disk->is_stopped = true;
    if (disk->is_stopped || is_due(disk, SIMVFS_FAIL_WRITE)) {
        if (growth(file, offset + size_bytes) == 0 || !disk->is_full)
            write_part(disk, file, data, size_bytes, offset);
        return disk_fail(EIO, SQLITE_IOERR_WRITE);
    }
    return write_within(disk, file, data, size_bytes, offset);
}

int disk_cut(struct disk *disk, struct disk_file *file, uint64_t size_bytes)
{
    if (size_bytes > file->size_bytes && disk->is_full)
        return disk_fail(ENOSPC, SQLITE_IOERR_TRUNCATE);
    struct disk_change *change = note_change(file, size_bytes, file->size_bytes);
    change->is_cut = true;
    if (disk->room_bytes != UINT64_MAX)
        disk->room_bytes += file->size_bytes - smaller(size_bytes, file->size_bytes);
    set_size(file, size_bytes);
    disk->calls++;
    return SQLITE_OK;
}

int disk_sync(struct disk *disk, struct disk_file *file)
{
    if (is_due(disk, SIMVFS_FAIL_STOP))
        disk->is_stopped = true;
    if (disk->is_stopped)
        return disk_fail(EIO, SQLITE_IOERR_FSYNC);
    if (is_due(disk, SIMVFS_FAIL_SYNC)) {
        file->lost_count = file->change_count;
        return disk_fail(EIO, SQLITE_IOERR_FSYNC);
    }
    disk->calls++;
    if (disk->is_sync_noop)
        return SQLITE_OK;
    if (file->lost_count == 0) {
        file->change_count = 0;
        file->saved_bytes = 0;
    }
    for (uint32_t i = file->lost_count; i < file->change_count; i++)
        file->changes[i].is_durable = true;
    if (!file->is_entry_durable)
        sync_entries(disk, file);
    return SQLITE_OK;
}

int disk_sync_directory(struct disk *disk)
{
    if (is_due(disk, SIMVFS_FAIL_STOP))
        disk->is_stopped = true;
    if (disk->is_stopped || is_due(disk, SIMVFS_FAIL_SYNC))
        return disk_fail(EIO, SQLITE_IOERR_DIR_FSYNC);
    disk->calls++;
    if (!disk->is_sync_noop)
        sync_entries(disk, NULL);
    return SQLITE_OK;
}

/* ---- death ---- */

void disk_kill(struct disk *disk)
{
    disk->life++;
    disk->is_stopped = false;
    for (struct disk_file *file = disk->files; file != NULL; file = file->next) {
        file->shared = 0;
        file->writer = NULL;
        file->is_pending = false;
        file->shm = NULL; /* the last of the dead connections frees it */
    }
}

/* How much of what was not synced a crash leaves. */
enum leaving { LEAVE_NONE, LEAVE_ALL, LEAVE_WHOLE_WRITES, LEAVE_SECTORS, LEAVINGS };

static bool is_left(const struct disk_change *change, enum leaving leaving, struct prng *prng)
{
    if (change->is_durable || leaving == LEAVE_ALL)
        return true;
    return leaving != LEAVE_NONE && prng_below(prng, 2) == 0;
}

/* Back to what is durable; ret_redone gets what the changes wrote, one after the other. */
static void undo(struct disk_file *file, uint8_t *ret_redone, uint64_t redone_bytes)
{
    for (uint32_t i = file->change_count; i-- > 0;) {
        const struct disk_change *change = &file->changes[i];
        redone_bytes -= change->size_bytes;
        if (change->size_bytes > 0)
            memcpy(ret_redone + redone_bytes, file->data + change->offset, change->size_bytes);
        set_size(file, change->file_bytes);
        if (change->saved_bytes > 0)
            memcpy(file->data + change->offset, file->saved + change->saved_at,
                   change->saved_bytes);
    }
    ENSURE(redone_bytes == 0);
}

/* A sector as the process saw it after a change: earlier changes of it are in it too. */
static void leave_sector(struct disk_file *file, const struct disk_file *seen, uint64_t sector,
                         struct prng *prng)
{
    uint64_t from = sector * SIMVFS_SECTOR_BYTES;
    uint64_t to = smaller(from + SIMVFS_SECTOR_BYTES, seen->size_bytes);
    uint64_t old = file->size_bytes;

    if (to > old)
        set_size(file, to);
    if (from > old && prng_below(prng, 4) == 0) /* blocks that were another file's before */
        for (uint64_t i = old; i < from; i++)
            file->data[i] = (uint8_t)prng_next(prng);
    memcpy(file->data + from, seen->data + from, to - from);
}

/* Through the changes once more: `seen` has each of them, the file what the crash leaves. */
static void redo(struct disk_file *file, struct disk_file *seen, const uint8_t *redone,
                 struct prng *prng)
{
    enum leaving leaving = (enum leaving)prng_below(prng, LEAVINGS);

    for (uint32_t i = 0; i < file->change_count; i++) {
        const struct disk_change *change = &file->changes[i];
        bool is_here = is_left(change, leaving, prng);
        bool is_torn = is_here && !change->is_durable && leaving == LEAVE_SECTORS;
        uint64_t end = change->offset + change->size_bytes;
        if (change->is_cut) {
            set_size(seen, change->offset);
            if (is_here)
                set_size(file, change->offset);
            continue;
        }
        set_size(seen, end > seen->size_bytes ? end : seen->size_bytes);
        memcpy(seen->data + change->offset, redone, change->size_bytes);
        redone += change->size_bytes;
        for (uint64_t sector = change->offset / SIMVFS_SECTOR_BYTES;
             is_here && sector * SIMVFS_SECTOR_BYTES < end; sector++)
            if (!is_torn || prng_below(prng, 2) == 0)
                leave_sector(file, seen, sector, prng);
    }
}

static void crash_file(struct disk_file *file, struct prng *prng)
{
    struct disk_file seen = {0};
    uint64_t redone_bytes = 0;

    if (file->change_count == 0)
        return;
    for (uint32_t i = 0; i < file->change_count; i++)
        redone_bytes += file->changes[i].size_bytes;
    uint8_t *redone = malloc(redone_bytes + 1);
    ENSURE(redone != NULL);
    undo(file, redone, redone_bytes);
    set_size(&seen, file->size_bytes);
    if (file->size_bytes > 0)
        memcpy(seen.data, file->data, file->size_bytes);
    redo(file, &seen, redone, prng);
    free(seen.data);
    free(redone);
    file->change_count = 0;
    file->lost_count = 0;
    file->saved_bytes = 0;
}

static void crash_entry(struct disk *disk, struct disk_file *file, struct prng *prng)
{
    bool is_listed = file->entry == ENTRY_LISTED;

    if (file->entry == ENTRY_NONE)
        return;
    if (is_listed && !file->is_entry_durable && prng_below(prng, 2) == 0)
        is_listed = false;
    else if (file->entry == ENTRY_DELETED && disk_find(disk, file->name) == NULL)
        is_listed = prng_below(prng, 2) == 0;
    file->is_entry_durable = true;
    set_entry(disk, file, is_listed ? ENTRY_LISTED : ENTRY_NONE);
}

void disk_crash(struct disk *disk, struct prng *prng)
{
    disk_kill(disk);
    for (struct disk_file *file = disk->files; file != NULL; file = file->next) {
        uint64_t before = file->size_bytes;
        crash_file(file, prng);
        if (disk->room_bytes != UINT64_MAX) /* what was lost is room again; what came has it */
            disk->room_bytes += before - smaller(file->size_bytes, before);
    }
    for (struct disk_file *file = disk->files, *next; file != NULL; file = next) {
        next = file->next;
        crash_entry(disk, file, prng);
    }
}

/* ---- shared memory ---- */

struct disk_shm *disk_shm_share(struct disk_file *file)
{
    if (file->shm == NULL) {
        file->shm = calloc(1, sizeof(*file->shm));
        ENSURE(file->shm != NULL);
    }
    file->shm->users++;
    return file->shm;
}

void disk_shm_let_go(struct disk_file *file, struct disk_shm *shm)
{
    ENSURE(shm->users > 0);
    if (--shm->users > 0)
        return;
    if (file->shm == shm)
        file->shm = NULL;
    for (uint32_t i = 0; i < shm->region_count; i++)
        free(shm->regions[i]);
    free(shm);
}
