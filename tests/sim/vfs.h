/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfs.h — disks in memory for SQLite that forget, tear and reorder what was not synced.
 *
 * Shape    one sqlite3_vfs, "drover-sim", SQLite's default while it is open. A disk is the first
 *          part of a path: "n0/node.db" and its log lie on the disk "n0". A disk that nobody named
 *          before is empty, without bound and whole.
 * Units    *_bytes octets; a write or a sync is one call that SQLite makes; sectors of 512 octets.
 * Errors   what SQLite answers: FULL, IOERR_WRITE, IOERR_FSYNC, IOERR; sqlite3_system_errno() says
 *          ENOSPC or EIO as on a real disk.
 * Owner    the process: one VFS. Snapshots are their taker's.
 * Context  one thread. No system call, no clock: seed and calls decide all, SQLite's own random
 *          numbers included. LIMIT: 32 disks; one more is a bug of the test.
 */
#ifndef DROVER_SIM_VFS_H
#define DROVER_SIM_VFS_H

#include <stdbool.h>
#include <stdint.h>

#define SIMVFS_NAME "drover-sim"
#define SIMVFS_DISKS_MAX 32
#define SIMVFS_SECTOR_BYTES 512 /* is written whole or not at all */

struct simvfs_snapshot;

/* What is to go wrong on a disk, `after` that many more calls of its kind have gone well. */
enum simvfs_failure {
    SIMVFS_FAIL_FULL,  /* writes that make a file longer answer FULL, until simvfs_heal() */
    SIMVFS_FAIL_WRITE, /* one write fails with EIO; a part of it may have been written */
    SIMVFS_FAIL_SYNC,  /* one sync fails with EIO. As on Linux no later sync of that file covers
                        * what this one should have: it is read back, and lost with the power */
    SIMVFS_FAIL_STOP,  /* from then on (writes and syncs count) nothing works: the process is about
                        * to be ended in the middle of a commit by simvfs_kill() or _crash() */
    SIMVFS_FAILURES
};

/* Registers the VFS, or begins anew: all disks are gone. No connection may be open. */
void simvfs_open(uint64_t seed);
/* No connection may be open. */
void simvfs_close(void);

/* Replaces what was to fail so before. */
void simvfs_fail(const char *disk, enum simvfs_failure failure, uint64_t after);
/* Nothing fails any more, there is room; not for what lies dead after STOP. */
void simvfs_heal(const char *disk);
/* The files of a disk may grow by so much in all; UINT64_MAX: as much as they like. */
void simvfs_set_room(const char *disk, uint64_t room_bytes);
/* All disks: syncs say that they did and do nothing. For runs that must fail. */
void simvfs_set_sync_noop(bool is_noop);

/*
 * The process that used a disk has died: its connections answer IOERR from now on (and are to be
 * closed), their locks are gone. What was written is there, though it may not be durable.
 */
void simvfs_kill(const char *disk);
/*
 * The power failed: as simvfs_kill(), and what was written since the last sync of each file is
 * there, or not, or in part, sector by sector and in any order, as the seed has it; a file that was
 * made or deleted since the last sync of its directory may be there or not.
 */
void simvfs_crash(const char *disk, uint64_t seed);
/*
 * As fsync(2) of the directory; a SQLite code. SQLite itself does not sync what it deletes: the
 * journal that came before the log (WAL) may come back and undo what the log had committed, until
 * this was done once after a database was made.
 */
int simvfs_sync_directory(const char *disk);

/* What a backup that stops the world would hold. */
struct simvfs_snapshot *simvfs_snapshot(const char *disk);
/* As simvfs_kill(), then the disk holds what the snapshot holds, durably. */
void simvfs_restore(const char *disk, const struct simvfs_snapshot *snapshot);
void simvfs_snapshot_free(struct simvfs_snapshot *snapshot);

/* Since the disk is known: writes, syncs and cuts that SQLite asked for and that went well. */
uint64_t simvfs_calls(const char *disk);
/* Octets that a power failure could still take, of all its files. */
uint64_t simvfs_unsynced_bytes(const char *disk);
/* A hash of names and octets: equal where two runs are. */
uint64_t simvfs_digest(const char *disk);

#endif
