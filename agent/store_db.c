/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "ensure.h"
#include "store_parts.h"
#include "uuid.h"

#define PATH_BYTES (PATH_MAX + 32)
#define TEXT_OF_(number) #number
#define TEXT_OF(number) TEXT_OF_(number)
#define SHM_LOCKS_OFFSET 120 /* sqlite.org/walformat.html 2.3.1: the eight locks of a WAL */
#define SHM_LOCKS 8
#define FILE_LOCKS_OFFSET 0x40000000 /* os_unix.c: pending, reserved, shared */
#define FILE_LOCKS 512

#define CHECKED_PAGES_MAX 32768 /* 128 MiB; 0.25 s where they are in memory */
#define LOG_FRAME_BYTES (4096 + 24)
#define LOG_FRAMES_MORE 256 /* what the last commits before a checkpoint may add */
#define ZEROS_BYTES (256 * 1024)

#define HINT_DAMAGED "put a copy of node.db back; the guests run on meanwhile"

/*
 * A container's row stays when the container is gone, as long as there are events of it: they name
 * it by its id, and its last_seq is where the chain of its events (event.prev) begins. There is
 * no second index on events: keeping one costs half the speed of adding them.
 */
/* clang-format off */
static const char schema[] =
    "PRAGMA application_id = " TEXT_OF(STORE_APPLICATION_ID) ";"
    "BEGIN;"
    "CREATE TABLE node(only INTEGER PRIMARY KEY CHECK (only = 1), ledger_id TEXT NOT NULL,"
    " acked_epoch INTEGER NOT NULL, acked_seq INTEGER NOT NULL);"
    "CREATE TABLE container(id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, name TEXT NOT NULL,"
    " is_live INTEGER NOT NULL, last_seq INTEGER NOT NULL, revision INTEGER, generation INTEGER,"
    " state INTEGER, is_wanted_running INTEGER, is_restart_owed INTEGER, uid_base INTEGER,"
    " family INTEGER, is_ready_on_exec INTEGER, created_wall_ns INTEGER, started_wall_ns INTEGER,"
    " ended_wall_ns INTEGER, cause INTEGER, wait_status INTEGER, request TEXT,"
    " request_verb INTEGER);"
    "CREATE INDEX container_uuid ON container(uuid);"
    "CREATE INDEX container_name ON container(name);"
    "CREATE TABLE config(id INTEGER PRIMARY KEY, octets BLOB NOT NULL);"
    "CREATE TABLE event(seq INTEGER PRIMARY KEY, prev INTEGER NOT NULL,"
    " container INTEGER NOT NULL, time_wall_ns INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " generation INTEGER NOT NULL, type INTEGER NOT NULL, from_state INTEGER NOT NULL,"
    " to_state INTEGER NOT NULL, cause INTEGER NOT NULL, wait_status INTEGER,"
    " result INTEGER NOT NULL, request TEXT NOT NULL, detail TEXT NOT NULL);"
    "CREATE TABLE intent(request TEXT PRIMARY KEY, command_hash INTEGER NOT NULL,"
    " verb INTEGER NOT NULL, uuid BLOB NOT NULL, generation INTEGER NOT NULL,"
    " phase INTEGER NOT NULL, status INTEGER NOT NULL, error INTEGER NOT NULL,"
    " text TEXT NOT NULL, time_wall_ns INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE result(id INTEGER PRIMARY KEY, request TEXT NOT NULL UNIQUE,"
    " command_hash INTEGER NOT NULL, verb INTEGER NOT NULL, uuid BLOB NOT NULL,"
    " generation INTEGER NOT NULL, phase INTEGER NOT NULL, status INTEGER NOT NULL,"
    " error INTEGER NOT NULL, text TEXT NOT NULL, time_wall_ns INTEGER NOT NULL,"
    " seq INTEGER NOT NULL);"
    "INSERT INTO node VALUES(1, '%s', 0, 0);"
    "PRAGMA user_version = " TEXT_OF(STORE_VERSION) ";"
    "COMMIT;";
/* clang-format on */

/* ---- what SQLite says, in our words ---- */

static bool is_disk_full(sqlite3 *db, int code)
{
    int error = db == NULL ? 0 : sqlite3_system_errno(db);

    return (code & 0xff) == SQLITE_FULL ||
           ((code & 0xff) == SQLITE_IOERR && (error == ENOSPC || error == EDQUOT));
}

int store_db_error(sqlite3 *db, int code)
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
    }
    int error = db == NULL ? 0 : sqlite3_system_errno(db);
    return error == 0 ? -EIO : -error;
}

int store_db_fault(sqlite3 *db, int code, const char *done, const char *path, struct fault *fault)
{
    int result = store_db_error(db, code);
    const char *words = db == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(db);

    switch (-result) {
    case ENOSPC:
        fault_set(fault, STATUS_STORE_FULL, ENOSPC, "cannot %s %s: its file system is full", done,
                  path);
        fault_hint(fault, "make room there and start the agent again");
        break;
    case EBUSY:
        fault_set(fault, STATUS_BUSY, 0, "cannot %s %s: another process has locked it", done, path);
        fault_hint(fault, "end what has it open");
        break;
    case EUCLEAN:
        fault_set(fault, STATUS_FAILED, 0, "cannot %s %s: it is damaged (%s)", done, path, words);
        fault_hint(fault, HINT_DAMAGED);
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

static int fill_new(sqlite3 *db)
{
    char id[UUID_TEXT_BYTES];
    char sql[sizeof(schema) + UUID_TEXT_BYTES];

    if (new_ledger_id(id) < 0)
        return SQLITE_IOERR;
    (void)snprintf(sql, sizeof(sql), schema, id);
    int code =
        sqlite3_exec(db, "PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL;", NULL, NULL, NULL);
    return code == SQLITE_OK ? sqlite3_exec(db, sql, NULL, NULL, NULL) : code;
}

static int sync_directory_of(const char *path)
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
        code = fill_new(db);
    int result = code == SQLITE_OK ? 0 : store_db_fault(db, code, "make", made, fault);
    if (sqlite3_close(db) != SQLITE_OK && result == 0)
        result = store_db_fault(NULL, SQLITE_IOERR, "make", made, fault);
    if (result == 0 && (fsync(fd) < 0 || rename(made, path) < 0 || sync_directory_of(path) < 0)) {
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
        fault_hint(fault, HINT_DAMAGED);
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

static int read_number(sqlite3 *db, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement); /* says again what step said */
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int check_whose(sqlite3 *db, const char *path, struct fault *fault)
{
    int64_t application = 0;
    int64_t version = 0;
    int code = read_number(db, "PRAGMA application_id", &application);

    if (code == SQLITE_OK)
        code = read_number(db, "PRAGMA user_version", &version);
    if (code == SQLITE_NOTADB) {
        fault_set(fault, STATUS_FAILED, 0, "%s is not a database, or damaged", path);
        fault_hint(fault, HINT_DAMAGED);
        return -EUCLEAN;
    }
    if (code != SQLITE_OK)
        return store_db_fault(db, code, "read", path, fault);
    if (application != STORE_APPLICATION_ID) {
        fault_set(fault, STATUS_FAILED, 0, "%s is a database, but not of drover-agent", path);
        fault_hint(fault, "move it away, or choose another --state-dir");
        return -EUCLEAN;
    }
    if (version > STORE_VERSION) {
        fault_set(fault, STATUS_UNSUPPORTED, 0,
                  "%s has version %d; this drover-agent knows none above %d", path, version,
                  (int64_t)STORE_VERSION);
        fault_hint(fault, "start the drover-agent that wrote it, or a newer one");
        return -ENOTSUP;
    }
    if (version < STORE_VERSION) {
        fault_set(fault, STATUS_FAILED, 0, "%s has version %d, which never was: it is damaged",
                  path, version);
        fault_hint(fault, HINT_DAMAGED);
        return -EUCLEAN;
    }
    return 0;
}

/*
 * quick_check reads every page and compares no index with its table. A long ledger is left out: it
 * would hold up the start, and what is wrong with it is found where it is read, pruned or added to.
 */
static int check_pages(sqlite3 *db, const char *sql, const char *path, struct fault *fault)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    int result = -EUCLEAN;

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code != SQLITE_ROW) {
        result = store_db_fault(db, code, "read", path, fault);
    } else {
        const char *words = (const char *)sqlite3_column_text(statement, 0);
        if (words != NULL && strcmp(words, "ok") == 0) {
            result = 0;
        } else {
            fault_set(fault, STATUS_FAILED, 0, "%s is damaged: %s", path,
                      words == NULL ? "" : words);
            fault_hint(fault, HINT_DAMAGED);
        }
    }
    (void)sqlite3_finalize(statement); /* says again what step said */
    return result;
}

static int check_whole(sqlite3 *db, const char *path, struct fault *fault)
{
    static const char *const whole[] = {"PRAGMA quick_check(1)"};
    static const char *const parts[] = {"PRAGMA quick_check(node)", "PRAGMA quick_check(container)",
                                        "PRAGMA quick_check(config)", "PRAGMA quick_check(intent)",
                                        "PRAGMA quick_check(result)"};
    const char *const *checks = whole;
    size_t count = COUNT_OF(whole);
    int64_t pages = 0;
    int result = 0;
    int code = read_number(db, "PRAGMA page_count", &pages);

    if (code != SQLITE_OK)
        return store_db_fault(db, code, "read", path, fault);
    if (pages > CHECKED_PAGES_MAX) {
        checks = parts;
        count = COUNT_OF(parts);
    }
    for (size_t i = 0; i < count && result == 0; i++)
        result = check_pages(db, checks[i], path, fault);
    return result;
}

static int set_up(sqlite3 *db)
{
    (void)sqlite3_extended_result_codes(db, 1);
    (void)sqlite3_busy_timeout(db, STORE_BUSY_MS);
    /* Checkpoints are ours to time: SQLite's own would come before a commit is told. A log that a
     * long read has stretched beyond extend_log()'s length is cut when it begins anew. */
    return sqlite3_exec(db,
                        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                        "PRAGMA journal_size_limit = 20000000;"
                        "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;",
                        NULL, NULL, NULL);
}

static int check_open(sqlite3 *db, const char *path, struct fault *fault)
{
    int code = set_up(db);
    int result = code == SQLITE_OK ? 0 : store_db_fault(db, code, "open", path, fault);

    if (result == 0 && sqlite3_db_readonly(db, "main") == 1)
        result = store_db_fault(db, SQLITE_READONLY, "open", path, fault);
    if (result == 0)
        result = check_whose(db, path, fault);
    if (result == 0) {
        code = sqlite3_exec(db, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; ROLLBACK;", NULL, NULL,
                            NULL);
        if (code != SQLITE_OK)
            result = store_db_fault(db, code, "open", path, fault);
    }
    return result == 0 ? check_whole(db, path, fault) : result;
}

/*
 * The log in its full length from the beginning: to sync what is overwritten takes two thirds of
 * the time of what grows a file (measured on ext4). What is behind the last frame is never read,
 * and without room it does without.
 */
static void extend_log(const char *path)
{
    static const uint8_t zeros[ZEROS_BYTES];
    char log[PATH_BYTES];
    struct stat status;
    off_t end = (off_t)(store_limits_default.wal_frames + LOG_FRAMES_MORE) * LOG_FRAME_BYTES;

    (void)snprintf(log, sizeof(log), "%s-wal", path);
    /* SQLite locks no octet of this file, so that closing it loses no lock. */
    AUTO_FD fd = open(log, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0)
        return;
    off_t at = status.st_size;
    while (at < end) {
        ssize_t written = pwrite(fd, zeros, sizeof(zeros), at);
        if (written <= 0)
            break;
        at += written;
    }
    if (at < end || fdatasync(fd) < 0)
        (void)!ftruncate(fd, status.st_size);
}

int store_db_open(const char *path, sqlite3 **ret_db, struct fault *fault)
{
    sqlite3 *db = NULL;
    int result = check_file(path, fault);

    if (result == 1)
        result = make_new(path, fault);
    if (result < 0)
        return result;
    int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    result = code == SQLITE_OK ? check_open(db, path, fault)
                               : store_db_fault(db, code, "open", path, fault);
    if (result == 0) {
        extend_log(path);
        *ret_db = db;
        return 0;
    }
    (void)sqlite3_close(db); /* nothing was changed */
    if (result == -EBUSY)
        name_holder(path, fault);
    return result;
}

int store_db_open_reader(const char *path, sqlite3 **ret_db)
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

int store_db_prepare(sqlite3 *db, const char *const *sql, sqlite3_stmt **statements, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int code =
            sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &statements[i], NULL);
        if (code != SQLITE_OK)
            return code;
    }
    return SQLITE_OK;
}
