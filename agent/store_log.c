/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write-ahead log that a predecessor left. Linux keeps what a failed fsync did not write as
 * clean pages: it can be read and no later fsync writes it, so a power failure would take it back
 * after it was told (wiki.postgresql.org/wiki/Fsync_Errors). So its frames are written once more in
 * their place, and synced. To move them into the database instead would not do: where the log then
 * loses a frame in the middle, the older ones before it are laid over newer pages.
 */
#include <stdlib.h>
#include <string.h>

#include "store_parts.h"

#define HEADER_BYTES 32 /* sqlite.org/walformat.html 1.1 and 1.2: big-endian */
#define HEADER_PAGE_OFFSET 8
#define HEADER_SALT_OFFSET 16
#define FRAME_HEADER_BYTES 24
#define FRAME_SALT_OFFSET 8
#define SALT_BYTES 8
#define CHUNK_BYTES (64 * 1024) /* os_unix.c writes no more than 128 KiB - 1 at once */
#define PAGE_BYTES_MAX 65536

/* Its frames end where the salt is another one. 0: there are none. */
static int find_end(sqlite3_file *log, sqlite3_int64 size_bytes, sqlite3_int64 *ret_end)
{
    uint8_t header[HEADER_BYTES];
    uint8_t salt[SALT_BYTES];
    sqlite3_int64 end = HEADER_BYTES;
    int code = log->pMethods->xRead(log, header, HEADER_BYTES, 0);

    if (code != SQLITE_OK)
        return code;
    const uint8_t *page = header + HEADER_PAGE_OFFSET;
    uint32_t page_bytes =
        (uint32_t)page[0] << 24 | (uint32_t)page[1] << 16 | (uint32_t)page[2] << 8 | page[3];
    *ret_end = 0;
    if (page_bytes == 0 || page_bytes > PAGE_BYTES_MAX)
        return SQLITE_OK;
    while (end + FRAME_HEADER_BYTES + (sqlite3_int64)page_bytes <= size_bytes) {
        code = log->pMethods->xRead(log, salt, SALT_BYTES, end + FRAME_SALT_OFFSET);
        if (code != SQLITE_OK || memcmp(salt, header + HEADER_SALT_OFFSET, SALT_BYTES) != 0)
            break;
        end += FRAME_HEADER_BYTES + (sqlite3_int64)page_bytes;
    }
    *ret_end = end;
    return code;
}

static int write_again(sqlite3_file *log, sqlite3_int64 end)
{
    uint8_t *chunk = malloc(CHUNK_BYTES);
    int code = chunk == NULL ? SQLITE_NOMEM : SQLITE_OK;

    for (sqlite3_int64 at = 0; code == SQLITE_OK && at < end; at += CHUNK_BYTES) {
        int size_bytes = end - at < CHUNK_BYTES ? (int)(end - at) : CHUNK_BYTES;

        code = log->pMethods->xRead(log, chunk, size_bytes, at);
        if (code == SQLITE_OK)
            code = log->pMethods->xWrite(log, chunk, size_bytes, at);
    }
    free(chunk);
    return code == SQLITE_OK ? log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) : code;
}

int store_log_renew(sqlite3 *db)
{
    sqlite3_file *log = NULL;
    sqlite3_int64 size_bytes = 0;
    sqlite3_int64 end = 0;
    int code = sqlite3_exec(db, "SELECT only FROM node", NULL, NULL, NULL); /* it is open now */

    if (code == SQLITE_OK)
        code = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (code != SQLITE_OK || log == NULL || log->pMethods == NULL)
        return code;
    code = log->pMethods->xFileSize(log, &size_bytes);
    if (code == SQLITE_OK && size_bytes > HEADER_BYTES)
        code = find_end(log, size_bytes, &end);
    return code == SQLITE_OK && end > HEADER_BYTES ? write_again(log, end) : code;
}
