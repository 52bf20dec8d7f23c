/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "database.h"
#include "ensure.h"
#include "store_parts.h"

#define CLOCK_JUMP_NS INT64_C(3600000000000) /* between two transactions; less is a correction */
#define RESULT_COLUMNS                                                                             \
    "request, command_hash, verb, uuid, generation, phase, status, error, text, time_wall_ns,"     \
    " applied, at_next_start"

static const char *const sql[W_COUNT] = {
    [W_BEGIN] = "BEGIN IMMEDIATE",
    [W_COMMIT] = "COMMIT",
    [W_EVENT] = "INSERT INTO event VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
    [W_ROW_INSERT] = "INSERT INTO container(id, last_seq, is_live, revision, generation, state,"
                     " is_wanted_running, is_restart_owed, uid_base, family, is_ready_on_exec,"
                     " created_wall_ns, started_wall_ns, ended_wall_ns, cause, wait_status,"
                     " request, request_verb, oom_kills, late_keys, is_boot_wanted, uuid, name)"
                     " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,"
                     "?19,?20,?21,?22,?23)",
    /* uuid and name never change under an id, so their indexes stay untouched */
    [W_ROW_UPDATE] = "UPDATE container SET last_seq=?2, is_live=?3, revision=?4, generation=?5,"
                     " state=?6, is_wanted_running=?7, is_restart_owed=?8, uid_base=?9, family=?10,"
                     " is_ready_on_exec=?11, created_wall_ns=?12, started_wall_ns=?13,"
                     " ended_wall_ns=?14, cause=?15, wait_status=?16, request=?17,"
                     " request_verb=?18, oom_kills=?19, late_keys=?20, is_boot_wanted=?21"
                     " WHERE id=?1",
    [W_ROW_HIDE] = "UPDATE container SET is_live=0, last_seq=?2 WHERE id=?1",
    [W_ROW_DROP] = "DELETE FROM container WHERE id=?1",
    [W_LAST_SEQ] = "UPDATE container SET last_seq=?2 WHERE id=?1",
    [W_CONFIG_PUT] = "INSERT OR REPLACE INTO config VALUES(?1,?2)",
    [W_CONFIG_MOVE] = "UPDATE OR REPLACE config SET id=?2 WHERE id=?1",
    [W_CONFIG_DROP] = "DELETE FROM config WHERE id=?1",
    [W_INTENT] = "INSERT OR REPLACE INTO intent(" RESULT_COLUMNS
                 ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
    [W_INTENT_DROP] = "DELETE FROM intent WHERE request=?1",
    [W_RESULT] = "INSERT OR REPLACE INTO result(" RESULT_COLUMNS
                 ", seq) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
    [W_ACK] = "UPDATE node SET acked_epoch=?1, acked_seq=?2",
    [W_OLD_EVENTS] = ("SELECT seq, time_wall_ns FROM event WHERE seq<=?1"
                      " ORDER BY seq LIMIT ?2"),
    [W_EVENTS_DROP] = "DELETE FROM event WHERE seq<=?1",
    /* ids grow by one with each result */
    [W_OLD_RESULTS] = "SELECT id, seq, time_wall_ns, (SELECT MAX(id) FROM result) - id"
                      " FROM result ORDER BY id LIMIT ?1",
    [W_RESULTS_STAMP] = "UPDATE result SET time_wall_ns=?1 WHERE time_wall_ns>?2",
    [W_RESULTS_DROP] = "DELETE FROM result WHERE id<=?1",
    [W_PAGES] = "PRAGMA page_count",
    [W_FREE_PAGES] = "PRAGMA freelist_count",
    [W_UNTOLD] = "SELECT seq, type, cause FROM event WHERE seq>?1 AND seq<?2 ORDER BY seq LIMIT ?3",
    [W_WINDOW] = "SELECT seq FROM event WHERE seq>?1 ORDER BY seq LIMIT 1 OFFSET ?2",
    [W_EVENT_DROP] = "DELETE FROM event WHERE seq=?1",
    [W_GAP] =
        "UPDATE event SET detail=?2, type=?3, generation=0, from_state=0, to_state=0, cause=0,"
        " wait_status=NULL, result=0, request='' WHERE seq=?1",
    [W_GAP_COUNT] = "UPDATE node SET gap_seq=?1, gap_count=?2",
};

static void bind_text(sqlite3_stmt *statement, int place, const char *text, size_t text_bytes)
{
    (void)sqlite3_bind_text(statement, place, text, (int)strnlen(text, text_bytes), SQLITE_STATIC);
}

static void bind_status(sqlite3_stmt *statement, int place, bool has_status, int wait_status)
{
    if (has_status)
        (void)sqlite3_bind_int(statement, place, wait_status);
    else
        (void)sqlite3_bind_null(statement, place);
}

int store_writer_run(struct store_writer *writer, enum write_statement statement)
{
    return database_run(writer->statements[statement]);
}

/* ---- rows ---- */

static int write_row(struct store_writer *writer, struct subject *subject,
                     const struct store_row *row)
{
    enum write_statement which = subject->is_stored ? W_ROW_UPDATE : W_ROW_INSERT;
    sqlite3_stmt *statement = writer->statements[which];

    database_bind(statement, 1, subjects_id(&writer->subjects, subject));
    database_bind(statement, 2, subject->last_seq);
    database_bind(statement, 3, subject->is_live);
    database_bind(statement, 4, row->revision);
    database_bind(statement, 5, row->generation);
    database_bind(statement, 6, row->state);
    database_bind(statement, 7, row->is_wanted_running);
    database_bind(statement, 8, row->is_restart_owed);
    database_bind(statement, 9, row->uid_base);
    database_bind(statement, 10, row->family);
    database_bind(statement, 11, row->is_ready_on_exec);
    database_bind(statement, 12, row->created_wall_ns);
    database_bind(statement, 13, row->started_wall_ns);
    database_bind(statement, 14, row->ended_wall_ns);
    database_bind(statement, 15, row->cause);
    bind_status(statement, 16, row->has_status, row->wait_status);
    bind_text(statement, 17, row->request, REQUEST_ID_BYTES);
    database_bind(statement, 18, row->request_verb);
    database_bind(statement, 19, row->oom_kills);
    database_bind(statement, 20, row->late_keys);
    database_bind(statement, 21, row->boot);
    if (which == W_ROW_INSERT) {
        (void)sqlite3_bind_blob(statement, 22, subject->uuid, UUID_BYTES, SQLITE_TRANSIENT);
        (void)sqlite3_bind_text(statement, 23, subject->name, -1, SQLITE_TRANSIENT);
    }
    subject->is_stored = true;
    subject->is_dirty = false; /* its last_seq went with the rest */
    return store_writer_run(writer, which);
}

int store_writer_drop(struct store_writer *writer, struct subject *subject)
{
    database_bind(writer->statements[W_ROW_DROP], 1, subjects_id(&writer->subjects, subject));
    subjects_remove(&writer->subjects, subject);
    return store_writer_run(writer, W_ROW_DROP);
}

/* Hidden as long as events name it, else dropped. */
static int hide_row(struct store_writer *writer, struct subject *subject)
{
    sqlite3_stmt *statement = writer->statements[W_ROW_HIDE];

    if (subject->last_seq < writer->first_seq)
        return store_writer_drop(writer, subject);

    database_bind(statement, 1, subjects_id(&writer->subjects, subject));
    database_bind(statement, 2, subject->last_seq);
    subject->is_live = false;
    subject->is_dirty = false;
    return store_writer_run(writer, W_ROW_HIDE);
}

/* The same container under another name: its events before keep the name they had. */
static int move_config(struct store_writer *writer, const struct subject *from,
                       const struct subject *to)
{
    sqlite3_stmt *statement = writer->statements[W_CONFIG_MOVE];

    database_bind(statement, 1, subjects_id(&writer->subjects, from));
    database_bind(statement, 2, subjects_id(&writer->subjects, to));
    return store_writer_run(writer, W_CONFIG_MOVE);
}

static int put_config(struct store_writer *writer, uint32_t id, const struct octets *config)
{
    sqlite3_stmt *statement = writer->statements[W_CONFIG_PUT];

    database_bind(statement, 1, id);
    const void *octets = config->size_bytes == 0 ? "" : (const void *)config->data; /* NULL: none */
    int code = sqlite3_bind_blob64(statement, 2, octets, config->size_bytes, SQLITE_STATIC);
    return code == SQLITE_OK ? store_writer_run(writer, W_CONFIG_PUT) : code;
}

static struct subject *find_or_add(struct store_writer *writer, const uint8_t *uuid,
                                   const char *name)
{
    struct subject *subject = subjects_find(&writer->subjects, uuid, name);

    return subject != NULL ? subject : subjects_add(&writer->subjects, uuid, name);
}

static int put_row(struct store_writer *writer, const struct store_row *row)
{
    struct subject *subject = find_or_add(writer, row->uuid, row->name);
    int code = SQLITE_OK;

    if (subject == NULL)
        return SQLITE_NOMEM;
    if (!subject->is_live) {
        struct subject *former = subjects_find_live(&writer->subjects, row->uuid);

        if (former != NULL) {
            code = move_config(writer, former, subject);
            if (code == SQLITE_OK)
                code = hide_row(writer, former);
        }
    }
    subject->is_live = true;
    if (code == SQLITE_OK)
        code = write_row(writer, subject, row);
    if (code == SQLITE_OK && row->has_config)
        code = put_config(writer, subjects_id(&writer->subjects, subject), &row->config);
    return code;
}

static int delete_row(struct store_writer *writer, const uint8_t *uuid)
{
    struct subject *subject = subjects_find_live(&writer->subjects, uuid);

    if (subject == NULL)
        return SQLITE_OK;
    database_bind(writer->statements[W_CONFIG_DROP], 1, subjects_id(&writer->subjects, subject));
    int code = store_writer_run(writer, W_CONFIG_DROP);
    return code == SQLITE_OK ? hide_row(writer, subject) : code;
}

/* ---- events ---- */

static int add_event(struct store_writer *writer, const struct event *event)
{
    sqlite3_stmt *statement = writer->statements[W_EVENT];
    struct subject *subject = find_or_add(writer, event->uuid, event->name);
    int code = SQLITE_OK;

    if (subject == NULL)
        return SQLITE_NOMEM;
    ENSURE(event->seq > writer->last_seq);
    database_bind(statement, 1, event->seq);
    database_bind(statement, 2, subject->last_seq);
    database_bind(statement, 3, subjects_id(&writer->subjects, subject));
    database_bind(statement, 4, event->time_wall_ns);
    database_bind(statement, 5, event->epoch);
    database_bind(statement, 6, event->generation);
    database_bind(statement, 7, event->type);
    database_bind(statement, 8, event->from);
    database_bind(statement, 9, event->to);
    database_bind(statement, 10, event->cause);
    bind_status(statement, 11, event->has_status, event->wait_status);
    database_bind(statement, 12, event->result);
    bind_text(statement, 13, event->request, REQUEST_ID_BYTES);
    bind_text(statement, 14, event->detail, EVENT_DETAIL_BYTES);
    writer->last_seq = event->seq;
    subject->last_seq = event->seq;
    if (subject->is_stored)
        subjects_mark_dirty(&writer->subjects, subject);
    else
        code = write_row(writer, subject, &(struct store_row){0});
    return code == SQLITE_OK ? store_writer_run(writer, W_EVENT) : code;
}

/* A row that was put in this transaction after the event has it already. */
static int write_last_seqs(struct store_writer *writer)
{
    struct subjects *subjects = &writer->subjects;
    sqlite3_stmt *statement = writer->statements[W_LAST_SEQ];
    int code = SQLITE_OK;

    for (uint32_t i = 0; i < subjects->dirty_count; i++) {
        struct subject *subject = &subjects->list[subjects->dirty[i]];

        subject->is_listed = false;
        if (!subject->is_dirty || code != SQLITE_OK)
            continue;
        subject->is_dirty = false;
        database_bind(statement, 1, subjects->dirty[i]);
        database_bind(statement, 2, subject->last_seq);
        code = store_writer_run(writer, W_LAST_SEQ);
    }
    subjects->dirty_count = 0;
    return code;
}

/* ---- intents and results ---- */

static void bind_result(sqlite3_stmt *statement, const struct store_result *result)
{
    bind_text(statement, 1, result->request, REQUEST_ID_BYTES);
    database_bind(statement, 2, result->command_hash);
    database_bind(statement, 3, result->verb);
    (void)sqlite3_bind_blob(statement, 4, result->uuid, UUID_BYTES, SQLITE_STATIC);
    database_bind(statement, 5, result->generation);
    database_bind(statement, 6, result->phase);
    database_bind(statement, 7, result->status);
    (void)sqlite3_bind_int(statement, 8, result->error);
    bind_text(statement, 9, result->text, FAULT_TEXT_BYTES);
    database_bind(statement, 10, result->time_wall_ns);
    database_bind(statement, 11, result->applied);
    database_bind(statement, 12, result->at_next_start);
}

static int put_intent(struct store_writer *writer, const struct store_result *intent)
{
    bind_result(writer->statements[W_INTENT], intent);
    return store_writer_run(writer, W_INTENT);
}

/* `seq`: once upstream has acknowledged that event, it knows this result. */
static int put_result(struct store_writer *writer, const struct store_result *result, uint64_t seq)
{
    bind_text(writer->statements[W_INTENT_DROP], 1, result->request, REQUEST_ID_BYTES);
    int code = store_writer_run(writer, W_INTENT_DROP);
    if (code != SQLITE_OK)
        return code;

    bind_result(writer->statements[W_RESULT], result);
    database_bind(writer->statements[W_RESULT], 13, seq);
    return store_writer_run(writer, W_RESULT);
}

static int put_ack(struct store_writer *writer, uint64_t epoch, uint64_t seq, bool is_own)
{
    writer->acked_seq = seq;
    if (is_own)
        return SQLITE_OK;
    database_bind(writer->statements[W_ACK], 1, epoch);
    database_bind(writer->statements[W_ACK], 2, seq);
    return store_writer_run(writer, W_ACK);
}

/* ---- transactions ---- */

static int apply(struct store_writer *writer, const struct store_change *change, uint64_t last_seq)
{
    switch (change->kind) {
    case STORE_PUT_ROW:
        return put_row(writer, &change->row);
    case STORE_DELETE_ROW:
        return delete_row(writer, change->row.uuid);
    case STORE_ADD_EVENT:
        writer->added++;
        return add_event(writer, &change->event);
    case STORE_PUT_INTENT:
        return put_intent(writer, &change->result);
    case STORE_PUT_RESULT:
        writer->added++;
        return put_result(writer, &change->result, last_seq);
    case STORE_ACK_EVENTS:
        return put_ack(writer, change->ack.epoch, change->ack.seq, change->ack.is_own);
    }
    ENSURE(false);
    return -EINVAL;
}

int store_writer_begin(struct store_writer *writer, uint64_t now_ns, uint64_t now_wall_ns)
{
    uint64_t passed_ns = now_ns - writer->now_ns;
    uint64_t passed_wall_ns = now_wall_ns - writer->now_wall_ns; /* both may wrap */
    int64_t jump_ns = (int64_t)(passed_wall_ns - passed_ns);

    if (writer->now_wall_ns != 0 && (jump_ns > CLOCK_JUMP_NS || jump_ns < -CLOCK_JUMP_NS))
        writer->has_clock_jumped = true;
    writer->now_ns = now_ns;
    writer->now_wall_ns = now_wall_ns;
    writer->added = 0;
    return store_writer_run(writer, W_BEGIN);
}

int store_writer_apply(struct store_writer *writer, const struct store_batch *batch)
{
    uint64_t last_seq = batch->last_seq > writer->last_seq ? batch->last_seq : writer->last_seq;

    for (size_t i = 0; i < batch->count; i++) {
        int code = apply(writer, &batch->changes[i], last_seq);
        if (code != SQLITE_OK)
            return code;
    }
    return SQLITE_OK;
}

int store_writer_commit(struct store_writer *writer)
{
    int code = write_last_seqs(writer);

    if (code == SQLITE_OK)
        code = store_prune(writer);
    if (code == SQLITE_OK)
        code = store_writer_run(writer, W_COMMIT);
    if (code == SQLITE_OK)
        writer->has_clock_jumped = false;
    return code;
}

/*
 * PASSIVE waits for no reader; what it cannot move yet stays for the next time. Only then does the
 * log begin again at its start, so that its length is bounded by the longest read.
 */
int store_writer_checkpoint(struct store_writer *writer)
{
    if (writer->wal_frames < writer->limits.wal_frames)
        return SQLITE_OK;
    int code = sqlite3_wal_checkpoint_v2(writer->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return (code & 0xff) == SQLITE_BUSY ? SQLITE_OK : code; /* somebody else's is under way */
}

/* ---- open and close ---- */

static int on_wal_frames(void *context, sqlite3 *db, const char *name, int frames)
{
    struct store_writer *writer = context;

    (void)db;
    (void)name;
    writer->wal_frames = (uint32_t)frames;
    return SQLITE_OK;
}

static int load_subject(struct store_writer *writer, sqlite3_stmt *statement)
{
    sqlite3_int64 id = sqlite3_column_int64(statement, 0);
    const void *uuid = sqlite3_column_blob(statement, 1);
    const char *name = (const char *)sqlite3_column_text(statement, 2);

    if (id < 0 || id >= STORE_SUBJECTS_MAX || uuid == NULL || name == NULL ||
        sqlite3_column_bytes(statement, 1) != UUID_BYTES ||
        sqlite3_column_bytes(statement, 2) >= NAME_BYTES)
        return SQLITE_CORRUPT;
    struct subject *subject = subjects_add_at(&writer->subjects, (uint32_t)id, uuid, name);
    if (subject == NULL)
        return SQLITE_NOMEM;
    subject->is_stored = true;
    subject->is_live = sqlite3_column_int(statement, 3) != 0;
    subject->last_seq = (uint64_t)sqlite3_column_int64(statement, 4);
    return SQLITE_OK;
}

static int load_subjects(struct store_writer *writer)
{
    sqlite3_stmt *statement = NULL;
    int code =
        sqlite3_prepare_v2(writer->db, "SELECT id, uuid, name, is_live, last_seq FROM container",
                           -1, &statement, NULL);

    while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        code = load_subject(writer, statement);
    (void)sqlite3_finalize(statement); /* says again what step said */
    subjects_link_free(&writer->subjects);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int load_heads(struct store_writer *writer)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(writer->db,
                                  "SELECT (SELECT MAX(seq) FROM event),"
                                  " (SELECT MIN(seq) FROM event),"
                                  " acked_seq, gap_seq, gap_count,"
                                  " (SELECT page_size FROM pragma_page_size) FROM node",
                                  -1, &statement, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        writer->last_seq = (uint64_t)sqlite3_column_int64(statement, 0);
        writer->first_seq = (uint64_t)sqlite3_column_int64(statement, 1);
        writer->acked_seq = (uint64_t)sqlite3_column_int64(statement, 2);
        writer->gap_seq = (uint64_t)sqlite3_column_int64(statement, 3);
        writer->gap_count = (uint64_t)sqlite3_column_int64(statement, 4);
        writer->page_bytes = (uint32_t)sqlite3_column_int(statement, 5);
        if (writer->first_seq == 0)
            writer->first_seq = 1;
    }
    (void)sqlite3_finalize(statement); /* says again what step said */
    if (code == SQLITE_DONE)
        return SQLITE_CORRUPT; /* no row about the node */
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int load(struct store_writer *writer)
{
    int code = load_heads(writer);

    return code == SQLITE_OK ? load_subjects(writer) : code;
}

int store_writer_open(struct store_writer *writer, sqlite3 *db_consumed)
{
    *writer = (struct store_writer){.db = db_consumed, .limits = store_limits_default};
    (void)sqlite3_wal_hook(writer->db, on_wal_frames, writer);
    int code = database_prepare(writer->db, sql, writer->statements, W_COUNT);
    if (code == SQLITE_OK)
        code = load(writer);
    if (code == SQLITE_OK)
        code = database_settle_log(db_consumed);
    /* Whether it can be written is known now, and not first when something has happened. */
    if (code == SQLITE_OK)
        code = sqlite3_exec(db_consumed, "UPDATE node SET opened = opened + 1", NULL, NULL, NULL);
    return code;
}

int store_writer_rollback(struct store_writer *writer)
{
    int code = SQLITE_OK;

    if (sqlite3_get_autocommit(writer->db) == 0) /* SQLite may have done it already */
        code = sqlite3_exec(writer->db, "ROLLBACK", NULL, NULL, NULL);
    subjects_close(&writer->subjects);
    writer->is_gap_changed = false;
    writer->window_end = 0;
    return code == SQLITE_OK ? load(writer) : code;
}

void store_writer_close(struct store_writer *writer, bool is_whole)
{
    if (!is_whole)
        (void)sqlite3_db_config(writer->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    for (size_t i = 0; i < W_COUNT; i++)
        (void)sqlite3_finalize(writer->statements[i]); /* says again what step said */
    (void)sqlite3_close(writer->db); /* the log stays if it cannot be moved, and is read again */
    subjects_close(&writer->subjects);
}
