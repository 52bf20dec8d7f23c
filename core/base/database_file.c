/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a database, and the words for what is wrong with it: see database.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "database.h"

#define PATH_BYTES (PATH_MAX + 32)
#define SHM_LOCKS_OFFSET 120 /* sqlite.org/walformat.html 2.3.1: the eight locks of a WAL */
#define SHM_LOCKS 8
#define FILE_LOCKS_OFFSET 0x40000000 /* os_unix.c: pending, reserved, shared */
#define FILE_LOCKS 512
#define LOG_FRAME_BYTES (4096 + 24)
#define LOG_FRAMES_MORE 256 /* what the last commits before a checkpoint may add */
#define ZEROS_BYTES (256 * 1024)
#define READER_WAIT_MS 2000 /* a checkpoint that begins the log anew takes less */

/* ---- what SQLite says, in our words ---- */

static bool is_no_room(int error)
{
    return error == ENOSPC || error == EDQUOT;
}

static bool is_disk_full(sqlite3 *db, int code)
{
    int error = db == NULL ? 0 : sqlite3_system_errno(db);

    return (code & 0xff) == SQLITE_FULL || ((code & 0xff) == SQLITE_IOERR && is_no_room(error));
}

int database_error(sqlite3 *db, int code)
{
    if (is_disk_full(db, code))
        return -ENOSPC;
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_CONSTRAINT: /* a number is there already: another has written */
    case SQLITE_ERROR:      /* our statements are right, so the tables are not ours */
        return -EUCLEAN;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_INTERRUPT:
        return -ECANCELED;
    }
    int error = db == NULL ? 0 : sqlite3_system_errno(db);
    return error == 0 ? -EIO : -error;
}

int database_fault(sqlite3 *db, const struct database_kind *kind, int code, const char *done,
                   const char *path, struct fault *fault)
{
    int result = database_error(db, code);
    const char *words = db == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(db);

    switch (-result) {
    case ENOSPC:
        fault_set(fault, STATUS_STORE_FULL, ENOSPC, "cannot %s %s: its file system is full", done,
                  path);
        fault_hint(fault, "make room there and start again");
        break;
    case EBUSY:
        fault_set(fault, STATUS_BUSY, 0, "cannot %s %s: another process has locked it", done, path);
        fault_hint(fault, "end what has it open");
        break;
    case EUCLEAN:
        if ((code & 0xff) == SQLITE_NOTADB)
            fault_set(fault, STATUS_FAILED, 0, "%s is not a database, or damaged", path);
        else
            fault_set(fault, STATUS_FAILED, 0, "cannot %s %s: it is damaged (%s)", done, path,
                      words);
        fault_hint(fault, kind->hint);
        break;
    case EROFS:
        fault_set(fault, STATUS_FAILED, 0, "cannot %s %s: it is read-only", done, path);
        fault_hint(fault, "is its file system mounted read-only?");
        break;
    default:
        fault_set(fault, STATUS_FAILED, -result, "cannot %s %s: %s", done, path, words);
        fault_hint(fault, "look for errors of the disk in the kernel's log");
    }
    return result;
}

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

static int sync_directory_of(const char *path)
{
    char directory[PATH_BYTES];

    (void)snprintf(directory, sizeof(directory), "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        slash[slash == directory] = '\0';
    AUTO_FD fd = open(slash == NULL ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

/* Beside its place and then renamed, so that what is in its place is never half made. */
static int make_new(const char *path, const struct database_kind *kind, struct fault *fault)
{
    char made[PATH_BYTES];
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
        code = database_init_new(db, kind);
    int result = code == SQLITE_OK ? 0 : database_fault(db, kind, code, "make", made, fault);
    if (sqlite3_close(db) != SQLITE_OK && result == 0)
        result = database_fault(NULL, kind, SQLITE_IOERR, "make", made, fault);
    if (result == 0 && (fsync(fd) < 0 || rename(made, path) < 0 || sync_directory_of(path) < 0)) {
        fault_set(fault, STATUS_FAILED, errno, "cannot make %s", path);
        result = -fault->error;
    }
    if (result < 0)
        remove_unfinished(made);
    return result;
}

/* ---- one that is there ---- */

static int check_absent(const char *path, struct fault *fault)
{
    char log[PATH_BYTES];
    struct stat status;

    (void)snprintf(log, sizeof(log), "%s-wal", path);
    if (lstat(log, &status) < 0 && errno == ENOENT)
        return 1;
    fault_set(fault, STATUS_FAILED, 0, "%s is gone, but its log %s is there", path, log);
    fault_hint(fault, "put the file back; to begin anew, move the log away");
    return -EUCLEAN;
}

/* Returns 1 if there is none and none was. */
static int check_file(const char *path, const struct database_kind *kind, struct fault *fault)
{
    struct stat status;

    if (lstat(path, &status) < 0) {
        if (errno == ENOENT)
            return check_absent(path, fault);
        fault_set(fault, STATUS_FAILED, errno, "cannot look at %s", path);
        return -fault->error;
    }
    if (!S_ISREG(status.st_mode)) {
        fault_set(fault, STATUS_FAILED, 0, "%s is %s and not a file", path,
                  S_ISDIR(status.st_mode) ? "a directory" : "something else");
        fault_hint(fault, "move it away");
        return S_ISDIR(status.st_mode) ? -EISDIR : -EUCLEAN;
    }
    if (status.st_size == 0) {
        fault_set(fault, STATUS_FAILED, 0, "%s is empty: it is damaged", path);
        fault_hint(fault, kind->hint);
        return -EUCLEAN;
    }
    if (access(path, W_OK) < 0) /* SQLite would open it, and then fail at its log */
        return database_fault(NULL, kind, SQLITE_READONLY, "open", path, fault);
    if ((status.st_mode & 077) != 0 && chmod(path, 0600) < 0) {
        fault_set(fault, STATUS_FAILED, errno, "cannot make %s private", path);
        return -fault->error;
    }
    return 0;
}

static int extend_log(const char *path, uint32_t pages)
{
    static const uint8_t zeros[ZEROS_BYTES];
    char log[PATH_BYTES];
    struct stat status;
    off_t end = (off_t)(pages + LOG_FRAMES_MORE) * LOG_FRAME_BYTES;

    (void)snprintf(log, sizeof(log), "%s-wal", path);
    /* SQLite locks no octet of this file, so that closing it loses no lock. */
    AUTO_FD fd = open(log, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    off_t at = status.st_size;
    while (at < end) {
        ssize_t written = pwrite(fd, zeros, sizeof(zeros), at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && !is_no_room(errno))
            return -errno; /* a disk that fails here fails the commits, too */
        if (written <= 0)
            break;
        at += written;
    }
    if (at < end && ftruncate(fd, status.st_size) < 0)
        return -errno;
    return fdatasync(fd) < 0 ? -errno : 0;
}

int database_extend_log(const char *path, uint32_t pages, struct fault *fault)
{
    int result = extend_log(path, pages);

    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "cannot make the log of %s durable", path);
        fault_hint(fault, "look for errors of the disk in the kernel's log");
    }
    return result;
}

int database_open(const char *path, const struct database_kind *kind, sqlite3 **ret_db,
                  struct fault *fault)
{
    sqlite3 *db = NULL;
    int result = check_file(path, kind, fault);

    if (result == 1)
        result = make_new(path, kind, fault);
    if (result < 0)
        return result;
    int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK)
        code = database_set_up(db);
    result = code == SQLITE_OK ? database_check(db, kind, path, fault)
                               : database_fault(db, kind, code, "open", path, fault);
    if (result == 0) {
        *ret_db = db;
        return 0;
    }
    (void)sqlite3_close(db); /* nothing was changed */
    if (result == -EBUSY)
        name_holder(path, fault);
    return result;
}

int database_open_reader(const char *path, sqlite3 **ret_db)
{
    sqlite3 *db = NULL;
    int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    if (code == SQLITE_OK)
        (void)sqlite3_extended_result_codes(db, 1);
    if (code == SQLITE_OK)
        code = sqlite3_busy_timeout(db, READER_WAIT_MS);
    if (code != SQLITE_OK) {
        int result = database_error(db, code);
        (void)sqlite3_close(db); /* nothing was read */
        return result;
    }
    *ret_db = db;
    return 0;
}
