/* SPDX-License-Identifier: Apache-2.0 */
/* What the ledger shows of the head that upstream told: is it the same ledger, and how much of what
 * upstream does not have is still here? */
#include <errno.h>

#include "database.h"
#include "store_parts.h"
#include "uplink.h"

#define EPOCH_COLUMN 1 /* of R_EVENT */

/* One number; 0: no row. */
static int look_up(struct store_reader *reader, enum read_statement which, int column,
                   uint64_t *ret_number)
{
    sqlite3_stmt *statement = reader->statements[which];
    int code = sqlite3_step(statement);

    *ret_number = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, column) : 0;
    (void)sqlite3_reset(statement); /* says again what step said */
    return database_error(reader->db, code);
}

/* A seq beyond what SQLite can hold is of no ledger; it compares as the highest there is. */
static sqlite3_int64 bound_of(uint64_t seq)
{
    return seq > INT64_MAX ? INT64_MAX : (sqlite3_int64)seq;
}

static int look_at_gaps(struct store_reader *reader, struct uplink_look *look)
{
    sqlite3_stmt *statement = reader->statements[R_GAPS];
    char detail[EVENT_DETAIL_BYTES];
    int result = 0;
    int code = SQLITE_DONE;

    (void)sqlite3_bind_int64(statement, 1, bound_of(look->head.seq));
    (void)sqlite3_bind_int(statement, 2, EVENT_GAP);
    while (result == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        result = database_text(statement, 0, detail, sizeof(detail));
        if (result == 0)
            uplink_look_at_gap(look, detail);
    }
    if (result == 0)
        result = database_error(reader->db, code);
    (void)sqlite3_reset(statement); /* says again what step said */
    return result;
}

static int look_further(struct store_reader *reader, struct uplink_look *look)
{
    sqlite3_stmt *statement = reader->statements[R_EPOCH_LAST];

    (void)sqlite3_bind_int64(statement, 1, bound_of(look->head.seq));
    (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)look->head.epoch);
    int result = look_up(reader, R_EPOCH_LAST, 0, &look->last_of_epoch);
    return result == 0 ? look_at_gaps(reader, look) : result;
}

static int look(struct store_reader *reader, struct uplink_look *look)
{
    struct store_heads heads;
    int result = store_reader_heads(reader, &heads);

    if (result < 0)
        return result;
    look->first = heads.first_seq;
    look->last = heads.last_seq;
    (void)sqlite3_bind_int64(reader->statements[R_EVENT], 1, bound_of(look->head.seq));
    result = look_up(reader, R_EVENT, EPOCH_COLUMN, &look->epoch_at);
    return result == 0 && !uplink_look_is_enough(look) ? look_further(reader, look) : result;
}

int store_reader_look(struct store_reader *reader, struct uplink_look *look_at)
{
    (void)pthread_mutex_lock(&reader->lock);
    /* In one transaction: what is oldest must not change between two looks. */
    int result = store_reader_begin(reader);
    if (result == 0) {
        result = look(reader, look_at);
        store_reader_end(reader);
    }
    (void)pthread_mutex_unlock(&reader->lock);
    return result;
}
