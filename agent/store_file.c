/* SPDX-License-Identifier: Apache-2.0 */
/* The file node.db: its place, its mode, its lock, its log. What is in it is store_db.c's. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "store_file.h"
#include "store_parts.h"
#include "uuid.h"

#define PATH_BYTES (PATH_MAX + 32)
#define SHM_LOCKS_OFFSET 120 /* sqlite.org/walformat.html 2.3.1: the eight locks of a WAL */
#define SHM_LOCKS 8
#define FILE_LOCKS_OFFSET 0x40000000 /* os_unix.c: pending, reserved, shared */
#define FILE_LOCKS 512

#define LOG_FRAME_BYTES (4096 + 24)
#define LOG_FRAMES_MORE 256 /* what the last commits before a checkpoint may add */
#define ZEROS_BYTES (256 * 1024)

/* The process that holds a lock in [offset, offset + length) of a file; 0: none is known. */
static pid_t find_holder(const char *path, const char *suffix, off_t offset, off_t length)
{
    char file[PATH_BYTES];
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = offset, .l_len = length};

    (void)snprintf(file, sizeof(file), "%s%s", path, suffix);
    AUTO_FD fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
        return 0;
    return lock.l_pid;
}

/* Only with no connection open here: to close a descriptor of the file would drop its locks. */
static void name_holder(const char *path, struct fault *fault)
{
    pid_t pid = find_holder(path, "-shm", SHM_LOCKS_OFFSET, SHM_LOCKS);

    if (pid <= 0)
        pid = find_holder(path, "", FILE_LOCKS_OFFSET, FILE_LOCKS);
    if (pid > 0) {
        fault_set(fault, STATUS_BUSY, 0, "cannot open %s: process %u has locked it", path,
                  (uint64_t)pid);
        fault_hint(fault, "end that process");
    }
}

/* ---- a new one ---- */

static int new_ledger_id(char text[UUID_TEXT_BYTES])
{
    uint8_t uuid[UUID_BYTES];

    if (getrandom(uuid, sizeof(uuid), 0) != (ssize_t)sizeof(uuid))
        return -errno;
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* RFC 4122 4.4: version 4, */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80); /* its variant */
    (void)uuid_format(uuid, text);
    return 0;
}

int store_file_sync_directory(const char *path)
{
    char directory[PATH_BYTES];

    (void)snprintf(directory, sizeof(directory), "%s", path);
    *strrchr(directory, '/') = '\0';
    AUTO_FD fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

static void remove_unfinished(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char file[PATH_BYTES];

    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        (void)snprintf(file, sizeof(file), "%s%s", path, suffixes[i]);
        (void)unlink(file); /* mostly there is none */
    }
}

/* Beside its place and then renamed, so that a node.db is never a half-made one. */
static int make_new(const char *path, struct fault *fault)
{
    char made[PATH_BYTES];
    char id[UUID_TEXT_BYTES];
    sqlite3 *db = NULL;

    (void)snprintf(made, sizeof(made), "%s.new", path);
    remove_unfinished(made);
    AUTO_FD fd = open(made, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || fchmod(fd, 0600) < 0) {
        fault_set(fault, STATUS_FAILED, errno, "cannot make %s", made);
        return -fault->error;
    }
    int code = sqlite3_open_v2(made, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK)
        code = new_ledger_id(id) == 0 ? store_db_init_new(db, id) : SQLITE_IOERR;
    int result = code == SQLITE_OK ? 0 : store_db_fault(db, code, "make", made, fault);
    if (sqlite3_close(db) != SQLITE_OK && result == 0)
        result = store_db_fault(NULL, SQLITE_IOERR, "make", made, fault);
    if (result == 0 &&
        (fsync(fd) < 0 || rename(made, path) < 0 || store_file_sync_directory(path) < 0)) {
        fault_set(fault, STATUS_FAILED, errno, "cannot make %s", path);
        result = -fault->error;
    }
    if (result < 0)
        remove_unfinished(made);
    return result;
}

/* ---- one that is there ---- */

/* Returns 1 if there is none and none was. */
static int check_file(const char *path, struct fault *fault)
{
    char log[PATH_BYTES];
    struct stat status;

    (void)snprintf(log, sizeof(log), "%s-wal", path);
    if (lstat(path, &status) < 0) {
        if (errno != ENOENT) {
            fault_set(fault, STATUS_FAILED, errno, "cannot look at %s", path);
            return -fault->error;
        }
        if (lstat(log, &status) < 0 && errno == ENOENT)
            return 1;
        fault_set(fault, STATUS_FAILED, 0, "%s is gone, but its log %s is there", path, log);
        fault_hint(fault, "put node.db back; to begin anew, move the log away");
        return -EUCLEAN;
    }
    if (!S_ISREG(status.st_mode)) {
        fault_set(fault, STATUS_FAILED, 0, "%s is %s and not a file", path,
                  S_ISDIR(status.st_mode) ? "a directory" : "something else");
        fault_hint(fault, "move it away");
        return S_ISDIR(status.st_mode) ? -EISDIR : -EUCLEAN;
    }
    if (status.st_size == 0) {
        fault_set(fault, STATUS_FAILED, 0, "%s is empty: it is damaged", path);
        fault_hint(fault, STORE_HINT_DAMAGED);
        return -EUCLEAN;
    }
    if (access(path, W_OK) < 0) /* SQLite would open it, and then fail at its log */
        return store_db_fault(NULL, SQLITE_READONLY, "open", path, fault);
    if ((status.st_mode & 077) != 0 && chmod(path, 0600) < 0) {
        fault_set(fault, STATUS_FAILED, errno, "cannot make %s private", path);
        return -fault->error;
    }
    return 0;
}

/*
 * The log in its full length from the beginning: to sync what is overwritten takes two thirds of
 * the time of what grows a file (measured on ext4). What is behind the last frame is never read,
 * and without room it does without.
 */
static int extend_log(const char *path)
{
    static const uint8_t zeros[ZEROS_BYTES];
    char log[PATH_BYTES];
    struct stat status;
    off_t end = (off_t)(store_limits_default.wal_frames + LOG_FRAMES_MORE) * LOG_FRAME_BYTES;

    (void)snprintf(log, sizeof(log), "%s-wal", path);
    /* SQLite locks no octet of this file, so that closing it loses no lock. */
    AUTO_FD fd = open(log, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    off_t at = status.st_size;
    while (at < end) {
        ssize_t written = pwrite(fd, zeros, sizeof(zeros), at);
        if (written <= 0)
            break;
        at += written;
    }
    if (at < end && ftruncate(fd, status.st_size) < 0)
        return -errno;
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int open_checked(const char *path, sqlite3 *db, struct fault *fault)
{
    int code = store_db_set_up(db);
    int result = code == SQLITE_OK ? store_db_check(db, path, fault)
                                   : store_db_fault(db, code, "open", path, fault);

    if (result < 0)
        return result;
    result = extend_log(path);
    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "cannot make the log of %s durable", path);
        fault_hint(fault, "look for errors of the disk in the kernel's log");
    }
    return result;
}

int store_file_open(const char *path, sqlite3 **ret_db, struct fault *fault)
{
    sqlite3 *db = NULL;
    int result = check_file(path, fault);

    if (result == 1)
        result = make_new(path, fault);
    if (result < 0)
        return result;
    int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    result = code == SQLITE_OK ? open_checked(path, db, fault)
                               : store_db_fault(db, code, "open", path, fault);
    if (result == 0) {
        *ret_db = db;
        return 0;
    }
    (void)sqlite3_close(db); /* nothing was changed */
    if (result == -EBUSY)
        name_holder(path, fault);
    return result;
}

int store_file_open_reader(const char *path, sqlite3 **ret_db)
{
    sqlite3 *db = NULL;
    int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    if (code == SQLITE_OK)
        (void)sqlite3_extended_result_codes(db, 1);
    if (code == SQLITE_OK)
        code = sqlite3_busy_timeout(db, STORE_BUSY_MS);
    if (code != SQLITE_OK) {
        int result = store_db_error(db, code);
        (void)sqlite3_close(db); /* nothing was read */
        return result;
    }
    *ret_db = db;
    return 0;
}
