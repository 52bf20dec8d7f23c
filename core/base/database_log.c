/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write-ahead log that a predecessor left. Linux keeps what a failed fsync did not write as
 * clean pages: it can be read and no later fsync writes it, so a power failure would take it back
 * after it was told (wiki.postgresql.org/wiki/Fsync_Errors), and all that was committed behind it.
 * So its frames are written once more in their place, and synced. To move them into the database
 * instead would not do: where the log then loses a frame in the middle, the older ones before it
 * are laid over newer pages.
 */
#include <stdlib.h>
#include <string.h>

#include "database.h"

/* sqlite.org/fileformat2.html 4.1: big-endian; a frame is a header and a page. */
#define LOG_HEADER_BYTES 32
#define LOG_PAGE_BYTES_OFFSET 8
#define LOG_SALTS_OFFSET 16
#define FRAME_HEADER_BYTES 24
#define FRAME_SALTS_OFFSET 8
#define SALTS_BYTES 8
#define PAGE_BYTES_LEAST 512
#define PAGE_BYTES_MOST 65536

static uint32_t read_u32(const uint8_t *octets)
{
    return (uint32_t)octets[0] << 24 | (uint32_t)octets[1] << 16 | (uint32_t)octets[2] << 8 |
           octets[3];
}

static int write_again(sqlite3_file *log, uint8_t *room, int size_bytes, sqlite3_int64 offset)
{
    int code = log->pMethods->xRead(log, room, size_bytes, offset);

    return code == SQLITE_OK ? log->pMethods->xWrite(log, room, size_bytes, offset) : code;
}

/* Frames of the header's salts; what is behind them is of an earlier round, and never read. */
static int write_frames_again(sqlite3_file *log, sqlite3_int64 log_bytes, const uint8_t *header)
{
    uint32_t page_bytes = read_u32(header + LOG_PAGE_BYTES_OFFSET);
    int frame_bytes = FRAME_HEADER_BYTES + (int)page_bytes;
    uint8_t frame_header[FRAME_HEADER_BYTES];
    int code = SQLITE_OK;

    if (page_bytes < PAGE_BYTES_LEAST || page_bytes > PAGE_BYTES_MOST)
        return SQLITE_OK; /* not a log: SQLite does not read it either */
    uint8_t *room = malloc((size_t)frame_bytes);
    if (room == NULL)
        return SQLITE_NOMEM;
    for (sqlite3_int64 at = LOG_HEADER_BYTES; code == SQLITE_OK && at + frame_bytes <= log_bytes;
         at += frame_bytes) {
        code = log->pMethods->xRead(log, frame_header, FRAME_HEADER_BYTES, at);
        if (code != SQLITE_OK ||
            memcmp(frame_header + FRAME_SALTS_OFFSET, header + LOG_SALTS_OFFSET, SALTS_BYTES) != 0)
            break;
        code = write_again(log, room, frame_bytes, at);
    }
    free(room);
    return code;
}

static int write_log_again(sqlite3_file *log)
{
    uint8_t header[LOG_HEADER_BYTES];
    sqlite3_int64 log_bytes = 0;

    if (log == NULL || log->pMethods == NULL)
        return SQLITE_OK; /* it is made with the first commit */
    int code = log->pMethods->xFileSize(log, &log_bytes);
    if (code != SQLITE_OK || log_bytes < LOG_HEADER_BYTES)
        return code;
    code = write_again(log, header, LOG_HEADER_BYTES, 0);
    if (code == SQLITE_OK)
        code = write_frames_again(log, log_bytes, header);
    return code == SQLITE_OK ? log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) : code;
}

int database_settle_log(sqlite3 *db)
{
    sqlite3_file *log = NULL;
    int code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL); /* nobody else writes */

    if (code != SQLITE_OK)
        return code;
    code = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (code == SQLITE_OK)
        code = write_log_again(log);
    int ended = sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return code == SQLITE_OK ? ended : code;
}
