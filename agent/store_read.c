/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "ensure.h"
#include "store_parts.h"

#define STOP_OPS 1000 /* of SQLite's machine between two looks: some 0.1 ms */
#define RESULT_COLUMNS                                                                             \
    "request, command_hash, verb, uuid, generation, phase, status, error, text, time_wall_ns,"     \
    " applied, at_next_start"
/* LEFT: an event whose container is missing is damage, and must not pass for no event. */
#define EVENTS                                                                                     \
    "SELECT e.seq, e.epoch, e.time_wall_ns, c.uuid, c.name, e.generation, e.type, e.from_state,"   \
    " e.to_state, e.cause, e.wait_status, e.result, e.request, e.detail"                           \
    " FROM event e LEFT JOIN container c ON c.id = e.container "

static const char *const sql[R_COUNT] = {
    [R_BEGIN] = "BEGIN",
    [R_COMMIT] = "COMMIT",
    [R_ROWS] = "SELECT c.uuid, c.name, f.octets, c.revision, c.generation, c.state,"
               " c.is_wanted_running, c.is_restart_owed, c.uid_base, c.family,"
               " c.is_ready_on_exec, c.created_wall_ns, c.started_wall_ns, c.ended_wall_ns,"
               " c.cause, c.wait_status, c.request, c.request_verb, c.oom_kills,"
               " c.late_keys, c.is_boot_wanted"
               " FROM container c LEFT JOIN config f ON f.id = c.id WHERE c.is_live ORDER BY c.id",
    /* One statement, one snapshot: none is missed while it turns from intent into result. */
    [R_RESULTS] = "SELECT " RESULT_COLUMNS ", 0 AS is_open, id FROM result UNION ALL"
                  " SELECT " RESULT_COLUMNS ", 1, time_wall_ns FROM intent ORDER BY is_open, id",
    [R_RESULT] = "SELECT " RESULT_COLUMNS " FROM result WHERE request=?1",
    [R_INTENT] = "SELECT " RESULT_COLUMNS " FROM intent WHERE request=?1",
    [R_HEADS] = "SELECT (SELECT MAX(seq) FROM event), (SELECT MIN(seq) FROM event),"
                " acked_epoch, acked_seq, ledger_id FROM node",
    [R_EVENTS] = EVENTS "WHERE e.seq>?1 AND e.time_wall_ns>?2 ORDER BY e.seq LIMIT ?3",
    [R_EVENT] = EVENTS "WHERE e.seq=?1",
    [R_PREVIOUS] = "SELECT prev, time_wall_ns FROM event WHERE seq=?1",
    [R_OLDER] = "SELECT seq FROM event WHERE seq<?1 AND seq>?3 AND container=?2"
                " ORDER BY seq DESC LIMIT 1",
    [R_CHAINS_BY_UUID] =
        "SELECT last_seq, id FROM container WHERE uuid=?1 AND (?2 IS NULL OR name=?2)",
    [R_CHAINS_BY_NAME] = "SELECT last_seq, id FROM container WHERE name=?2",
    [R_EPOCH_LAST] = "SELECT seq FROM event WHERE seq<=?1 AND epoch=?2 ORDER BY seq DESC LIMIT 1",
    [R_GAPS] = "SELECT detail FROM event WHERE seq>?1 AND type=?2 ORDER BY seq",
};

/* ---- several reads of one state ---- */

/*
 * sqlite3_interrupt() forgets a call that comes between two statements, and a chain is read by many
 * short ones: this is asked within all of them, and counts through.
 */
static int has_to_stop(void *context)
{
    const struct store_reader *reader = context;

    return atomic_load(&reader->is_stopped);
}

int store_reader_begin(struct store_reader *reader)
{
    if (atomic_load(&reader->is_stopped))
        return -ECANCELED;
    int code = sqlite3_step(reader->statements[R_BEGIN]);
    (void)sqlite3_reset(reader->statements[R_BEGIN]); /* says again what step said */
    return database_error(reader->db, code);
}

void store_reader_end(struct store_reader *reader)
{
    (void)sqlite3_step(reader->statements[R_COMMIT]); /* nothing was changed */
    (void)sqlite3_reset(reader->statements[R_COMMIT]);
}

/* ---- rows ---- */

static int read_row(sqlite3_stmt *statement, struct store_row *ret_row)
{
    unsigned state = 0;
    unsigned cause = 0;
    unsigned verb = 0;
    unsigned boot = 0;

    *ret_row = (struct store_row){
        .config = {sqlite3_column_blob(statement, 2), (size_t)sqlite3_column_bytes(statement, 2)},
        .has_config = sqlite3_column_type(statement, 2) != SQLITE_NULL,
        .revision = database_number(statement, 3),
        .generation = database_number(statement, 4),
        .is_wanted_running = sqlite3_column_int(statement, 6) != 0,
        .is_restart_owed = sqlite3_column_int(statement, 7) != 0,
        .uid_base = (uint32_t)database_number(statement, 8),
        .family = (uint32_t)database_number(statement, 9),
        .is_ready_on_exec = sqlite3_column_int(statement, 10) != 0,
        .created_wall_ns = database_number(statement, 11),
        .started_wall_ns = database_number(statement, 12),
        .ended_wall_ns = database_number(statement, 13),
        .has_status = sqlite3_column_type(statement, 15) != SQLITE_NULL,
        .wait_status = sqlite3_column_int(statement, 15),
        .oom_kills = database_number(statement, 18),
        .late_keys = database_number(statement, 19)};
    int result = database_octets(statement, 0, ret_row->uuid, UUID_BYTES);
    if (result == 0)
        result = database_text(statement, 1, ret_row->name, NAME_BYTES);
    if (result == 0)
        result = database_enum(statement, 5, CT_STATE_COUNT, &state);
    if (result == 0)
        result = database_enum(statement, 14, CAUSE_COUNT, &cause);
    if (result == 0)
        result = database_text(statement, 16, ret_row->request, REQUEST_ID_BYTES);
    if (result == 0)
        result = database_enum(statement, 17, VERB_COUNT, &verb);
    if (result == 0)
        result = database_enum(statement, 20, CT_BOOT_COUNT, &boot);
    ret_row->boot = (enum ct_boot)boot;
    ret_row->state = (enum ct_state)state;
    ret_row->cause = (enum cause)cause;
    ret_row->request_verb = (enum verb)verb;
    return result;
}

int store_reader_rows(struct store_reader *reader,
                      bool (*found)(const struct store_row *row, void *context), void *context)
{
    sqlite3_stmt *statement = reader->statements[R_ROWS];
    struct store_row row;
    int result = 0;
    int code;

    (void)pthread_mutex_lock(&reader->lock);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW && result == 0) {
        result = read_row(statement, &row);
        if (result == 0 && !found(&row, context))
            break;
    }
    if (result == 0)
        result = database_error(reader->db, code);
    (void)sqlite3_reset(statement); /* says again what step said */
    (void)pthread_mutex_unlock(&reader->lock);
    return result;
}

/* ---- results ---- */

static int read_result(sqlite3_stmt *statement, struct store_result *ret_result)
{
    unsigned verb = 0;
    unsigned phase = 0;
    unsigned status = 0;

    *ret_result = (struct store_result){.command_hash = database_number(statement, 1),
                                        .generation = database_number(statement, 4),
                                        .error = sqlite3_column_int(statement, 7),
                                        .time_wall_ns = database_number(statement, 9),
                                        .applied = database_number(statement, 10),
                                        .at_next_start = database_number(statement, 11)};
    int result = database_text(statement, 0, ret_result->request, REQUEST_ID_BYTES);
    if (result == 0)
        result = database_enum(statement, 2, VERB_COUNT, &verb);
    if (result == 0)
        result = database_octets(statement, 3, ret_result->uuid, UUID_BYTES);
    if (result == 0)
        result = database_enum(statement, 5, PHASE_COUNT, &phase);
    if (result == 0)
        result = database_enum(statement, 6, STATUS_COUNT, &status);
    if (result == 0)
        result = database_text(statement, 8, ret_result->text, FAULT_TEXT_BYTES);
    ret_result->verb = (enum verb)verb;
    ret_result->phase = (enum phase)phase;
    ret_result->status = (enum status)status;
    return result;
}

int store_reader_results(struct store_reader *reader,
                         bool (*found)(const struct store_result *result, void *context),
                         void *context)
{
    sqlite3_stmt *statement = reader->statements[R_RESULTS];
    struct store_result stored;
    int result = 0;
    int code;

    (void)pthread_mutex_lock(&reader->lock);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW && result == 0) {
        result = read_result(statement, &stored);
        if (result == 0 && !found(&stored, context))
            break;
    }
    if (result == 0)
        result = database_error(reader->db, code);
    (void)sqlite3_reset(statement); /* says again what step said */
    (void)pthread_mutex_unlock(&reader->lock);
    return result;
}

static int find_result(struct store_reader *reader, enum read_statement which, const char *request,
                       struct store_result *ret_result)
{
    sqlite3_stmt *statement = reader->statements[which];
    struct store_result stored;
    int result = -ENOENT;

    (void)sqlite3_bind_text(statement, 1, request, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        result = read_result(statement, &stored);
    else if (code != SQLITE_DONE)
        result = database_error(reader->db, code);
    (void)sqlite3_reset(statement); /* says again what step said */
    if (result == 0)
        *ret_result = stored;
    return result;
}

int store_reader_result(struct store_reader *reader, const char *request,
                        struct store_result *ret_result)
{

    (void)pthread_mutex_lock(&reader->lock);
    /* The intent first: what closes between the two looks is found by the second. */
    int result = find_result(reader, R_INTENT, request, ret_result);
    if (result == -ENOENT)
        result = find_result(reader, R_RESULT, request, ret_result);
    (void)pthread_mutex_unlock(&reader->lock);
    return result;
}

/* ---- heads ---- */

static int read_heads(struct store_reader *reader, struct store_heads *ret_heads)
{
    sqlite3_stmt *statement = reader->statements[R_HEADS];
    int code = sqlite3_step(statement);
    int result = code == SQLITE_DONE ? -EUCLEAN : database_error(reader->db, code);

    if (code == SQLITE_ROW) {
        result = database_text(statement, 4, reader->ledger_id, UUID_TEXT_BYTES);
        *ret_heads = (struct store_heads){.last_seq = database_number(statement, 0),
                                          .first_seq = database_number(statement, 1),
                                          .acked_epoch = database_number(statement, 2),
                                          .acked_seq = database_number(statement, 3)};
    }
    (void)sqlite3_reset(statement); /* says again what step said */
    return result;
}

int store_reader_heads(struct store_reader *reader, struct store_heads *ret_heads)
{
    struct store_heads heads;

    (void)pthread_mutex_lock(&reader->lock);
    int result = read_heads(reader, &heads);
    (void)pthread_mutex_unlock(&reader->lock);
    if (result == 0)
        *ret_heads = heads;
    return result;
}

/* ---- open and close ---- */

static int open_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);

    if (error == 0)
        error = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    if (error == 0)
        error = pthread_mutex_init(lock, &attributes);
    (void)pthread_mutexattr_destroy(&attributes); /* holds nothing on Linux */
    return -error;
}

int store_reader_open(struct store_reader *reader, sqlite3 *db_consumed)
{
    struct store_heads heads;
    int result = open_lock(&reader->lock);

    ENSURE(result == 0); /* with these attributes it cannot fail */
    reader->db = db_consumed;
    sqlite3_progress_handler(reader->db, STOP_OPS, has_to_stop, reader);
    result =
        database_error(reader->db, database_prepare(reader->db, sql, reader->statements, R_COUNT));
    /* The id never changes, so it is read once. */
    return result == 0 ? read_heads(reader, &heads) : result;
}

void store_reader_close(struct store_reader *reader)
{
    for (size_t i = 0; i < R_COUNT; i++)
        (void)sqlite3_finalize(reader->statements[i]); /* says again what step said */
    (void)sqlite3_close(reader->db);                   /* it changed nothing */
    (void)pthread_mutex_destroy(&reader->lock);
    free(reader->walk.seqs);
}
