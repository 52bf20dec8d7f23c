/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"
#include "store_parts.h"

#define PRUNE_PER_ADDED 2 /* a transaction that adds n forgets at most 2n + PRUNE_MORE */
#define PRUNE_MORE 16
#define SWEEP_PER_ROW 4 /* names that are looked at for each event that may go, */
#define SWEEP_MORE 256  /* ... and besides */

const struct store_limits store_limits_default = {
    .history_min_ns = 7 * 24 * 3600 * NS_PER_S,
    .history_min_bytes = UINT64_C(64) << 20,
    .history_max_bytes = UINT64_C(512) << 20, /* half of the ledger's bound */
    .ledger_max_bytes = UINT64_C(1) << 30,
    .result_min_ns = 24 * 3600 * NS_PER_S,
    .results_max = 1u << 18,
    .window_events = STORE_WINDOW_EVENTS,
    .wal_frames = 4000,
};

static int read_pages(struct store_writer *writer, enum write_statement which, uint64_t *ret_count)
{
    sqlite3_stmt *statement = writer->statements[which];
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        *ret_count = (uint64_t)sqlite3_column_int64(statement, 0);
    (void)sqlite3_reset(statement); /* says again what step said */
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

static int read_used(struct store_writer *writer)
{
    uint64_t pages = 0;
    uint64_t free_pages = 0;
    int code = read_pages(writer, W_PAGES, &pages);

    if (code == SQLITE_OK)
        code = read_pages(writer, W_FREE_PAGES, &free_pages);
    writer->used_bytes = (pages - free_pages) * writer->page_bytes;
    return code;
}

/* At least so old; age 0: however new, and be it from a clock that was set back since. */
static bool is_older(uint64_t time_wall_ns, uint64_t age_ns, uint64_t now_wall_ns)
{
    if (age_ns == 0)
        return true;
    return time_wall_ns < now_wall_ns && now_wall_ns - time_wall_ns >= age_ns;
}

static uint64_t rows_max(const struct store_writer *writer)
{
    return PRUNE_PER_ADDED * writer->added + PRUNE_MORE;
}

/*
 * Finds up to where events may go, oldest first; 0: none. One whose time is still to come is of a
 * clock that was set back since: it is no younger than the next that has a time.
 */
static int find_old_events(struct store_writer *writer, uint64_t through, uint64_t age_ns,
                           uint64_t *ret_seq)
{
    sqlite3_stmt *statement = writer->statements[W_OLD_EVENTS];
    uint64_t count = 0;
    int code;

    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)through);
    (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)rows_max(writer));
    *ret_seq = 0;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        uint64_t time_wall_ns = (uint64_t)sqlite3_column_int64(statement, 1);

        if (is_older(time_wall_ns, age_ns, writer->now_wall_ns)) {
            *ret_seq = (uint64_t)sqlite3_column_int64(statement, 0);
        } else if (time_wall_ns <= writer->now_wall_ns) {
            code = SQLITE_DONE;
            break;
        }
        count++;
    }
    (void)sqlite3_reset(statement); /* says again what step said */
    if (age_ns == 0 && count == rows_max(writer))
        writer->is_behind = true;
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Acknowledged ones, but for the newest of all: numbering goes on from it. */
static int prune_events(struct store_writer *writer)
{
    uint64_t seq = 0;

    if (writer->used_bytes <= writer->limits.history_min_bytes || writer->last_seq == 0)
        return SQLITE_OK;
    bool is_too_much = writer->used_bytes > writer->limits.history_max_bytes;
    uint64_t through =
        writer->acked_seq < writer->last_seq ? writer->acked_seq : writer->last_seq - 1;
    int code =
        find_old_events(writer, through, is_too_much ? 0 : writer->limits.history_min_ns, &seq);
    if (code != SQLITE_OK || seq == 0)
        return code;
    writer->first_seq = seq + 1;
    (void)sqlite3_bind_int64(writer->statements[W_EVENTS_DROP], 1, (sqlite3_int64)seq);
    return store_writer_run(writer, W_EVENTS_DROP);
}

/*
 * A result must outlive every repetition of its command, so its age is not believed across a jump
 * of the clock: then it begins anew. Which it also does where a time is still to come, or one such
 * would keep all behind it for ever.
 */
static int restamp_results(struct store_writer *writer, uint64_t after_wall_ns)
{
    sqlite3_stmt *statement = writer->statements[W_RESULTS_STAMP];

    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)writer->now_wall_ns);
    (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)after_wall_ns);
    return store_writer_run(writer, W_RESULTS_STAMP);
}

/* Finds up to which id results may go; 0: none. */
static int find_old_results(struct store_writer *writer, sqlite3_int64 *ret_id, bool *ret_is_ahead)
{
    sqlite3_stmt *statement = writer->statements[W_OLD_RESULTS];
    int code;

    *ret_id = 0;
    *ret_is_ahead = false;
    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)rows_max(writer));
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        uint64_t time_wall_ns = (uint64_t)sqlite3_column_int64(statement, 2);

        *ret_is_ahead = *ret_is_ahead || time_wall_ns > writer->now_wall_ns;
        bool is_too_many = sqlite3_column_int64(statement, 3) >= writer->limits.results_max;
        if ((uint64_t)sqlite3_column_int64(statement, 1) > writer->acked_seq ||
            !is_older(time_wall_ns, is_too_many ? 0 : writer->limits.result_min_ns,
                      writer->now_wall_ns)) {
            code = SQLITE_DONE;
            break;
        }
        *ret_id = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_reset(statement); /* says again what step said */
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int prune_results(struct store_writer *writer)
{
    sqlite3_int64 last = 0;
    bool is_ahead = false;
    int code = SQLITE_OK;

    if (writer->has_clock_jumped)
        code = restamp_results(writer, 0);
    if (code == SQLITE_OK)
        code = find_old_results(writer, &last, &is_ahead);
    if (code == SQLITE_OK && is_ahead)
        code = restamp_results(writer, writer->now_wall_ns);
    if (code != SQLITE_OK || last == 0)
        return code;
    (void)sqlite3_bind_int64(writer->statements[W_RESULTS_DROP], 1, last);
    return store_writer_run(writer, W_RESULTS_DROP);
}

/* The names of containers that are gone go some time after their last event, in turn. */
static int sweep_subjects(struct store_writer *writer)
{
    struct subjects *subjects = &writer->subjects;
    uint64_t count = SWEEP_PER_ROW * rows_max(writer) + SWEEP_MORE;
    int code = SQLITE_OK;

    for (uint32_t i = 0; i < count && i < subjects->top && code == SQLITE_OK; i++) {
        struct subject *subject = &subjects->list[writer->swept++ % subjects->top];

        if (subject->is_used && subject->is_stored && !subject->is_live &&
            subject->last_seq < writer->first_seq)
            code = store_writer_drop(writer, subject);
    }
    return code;
}

int store_prune(struct store_writer *writer)
{
    int code = read_used(writer);

    writer->is_behind = false;
    if (code == SQLITE_OK)
        code = prune_events(writer);
    if (code == SQLITE_OK)
        code = prune_results(writer);
    if (code == SQLITE_OK)
        code = sweep_subjects(writer);
    return code == SQLITE_OK ? store_bound(writer, rows_max(writer)) : code;
}
