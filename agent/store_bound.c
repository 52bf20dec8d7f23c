/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's bound. History goes first (store_prune.c); then what upstream does not have yet:
 * oldest first, ends of generations after all else, and never what may be on its way up, so that no
 * number is given for two things. One event `gap` stands where the first stood and counts them all.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cause.h"
#include "store_parts.h"

#define SCAN_ROWS 128       /* read before any of them goes */
#define SCANS_MIN 16        /* what is passed over costs time too */
#define EVENT_BYTES 256     /* about: the rest of what is too much goes with later commits */
#define DROPS_PER_SCAN 64   /* at least: more scans where more is to go */
#define FULL_UNTIL_PARTS 16 /* refused until a part of so many is free below the bound */
#define GAP_TEXT "ledger_full: %" PRIu64 " events after %" PRIu64

struct candidate {
    uint64_t seq;
    bool is_gap;
    bool is_end; /* of a generation */
};

/* What one commit may still do. */
struct budget {
    uint64_t drops;
    uint32_t scans;
};

/* ---- the gap ---- */

static int write_gap(struct store_writer *writer)
{
    sqlite3_stmt *count = writer->statements[W_GAP_COUNT];
    sqlite3_stmt *gap = writer->statements[W_GAP];
    char detail[EVENT_DETAIL_BYTES];

    if (!writer->is_gap_changed)
        return SQLITE_OK;
    writer->is_gap_changed = false;
    (void)snprintf(detail, sizeof(detail), GAP_TEXT, writer->gap_count, writer->gap_seq - 1);
    (void)sqlite3_bind_int64(gap, 1, (sqlite3_int64)writer->gap_seq);
    (void)sqlite3_bind_text(gap, 2, detail, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int(gap, 3, EVENT_GAP);
    int code = store_writer_run(writer, W_GAP);
    if (code != SQLITE_OK)
        return code;
    (void)sqlite3_bind_int64(count, 1, (sqlite3_int64)writer->gap_seq);
    (void)sqlite3_bind_int64(count, 2, (sqlite3_int64)writer->gap_count);
    return store_writer_run(writer, W_GAP_COUNT);
}

/*
 * The gap that grows must not have been told upstream, must still be there, and must stand before
 * all that it counts; else another begins. The event that it takes the place of stays a link in
 * the chain of its container.
 */
static int drop(struct store_writer *writer, uint64_t window_end, uint64_t seq)
{
    if (writer->gap_seq > window_end && writer->gap_seq >= writer->first_seq &&
        writer->gap_seq < seq) {
        writer->gap_count++;
        writer->is_gap_changed = true;
        (void)sqlite3_bind_int64(writer->statements[W_EVENT_DROP], 1, (sqlite3_int64)seq);
        return store_writer_run(writer, W_EVENT_DROP);
    }
    int code = write_gap(writer);
    writer->gap_seq = seq;
    writer->gap_count = 1;
    writer->is_gap_changed = true;
    return code;
}

/* ---- what has to go ---- */

static int scan(struct store_writer *writer, uint64_t after, struct candidate *candidates,
                size_t *ret_count)
{
    sqlite3_stmt *statement = writer->statements[W_UNTOLD];
    int code = SQLITE_DONE;
    size_t count = 0;

    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)after);
    (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)writer->last_seq);
    (void)sqlite3_bind_int(statement, 3, SCAN_ROWS);
    while (count < SCAN_ROWS && (code = sqlite3_step(statement)) == SQLITE_ROW)
        candidates[count++] =
            (struct candidate){.seq = (uint64_t)sqlite3_column_int64(statement, 0),
                               .is_gap = sqlite3_column_int(statement, 1) == EVENT_GAP,
                               .is_end = sqlite3_column_int(statement, 2) != CAUSE_UNSET};
    (void)sqlite3_reset(statement); /* says again what step said */
    *ret_count = count;
    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

/* From *after on, which moves with it, until the budget is used or nothing is left. */
static int drop_after(struct store_writer *writer, uint64_t window_end, uint64_t *after,
                      bool is_end_dropped, struct budget *budget)
{
    struct candidate candidates[SCAN_ROWS];
    size_t count = SCAN_ROWS;
    int code = SQLITE_OK;

    while (code == SQLITE_OK && count == SCAN_ROWS && budget->drops > 0 && budget->scans > 0) {
        budget->scans--;
        code = scan(writer, *after, candidates, &count);
        for (size_t i = 0; code == SQLITE_OK && i < count && budget->drops > 0; i++) {
            *after = candidates[i].seq;
            if (candidates[i].is_gap || (candidates[i].is_end && !is_end_dropped))
                continue;
            budget->drops--;
            code = drop(writer, window_end, candidates[i].seq);
        }
    }
    return code;
}

/* Up to here events may be on their way up. 0: all may be. */
static int find_window_end(struct store_writer *writer, uint64_t *ret_seq)
{
    sqlite3_stmt *statement = writer->statements[W_WINDOW];
    int code = SQLITE_ROW;

    if (writer->window_end == 0 || writer->window_of != writer->acked_seq) {
        (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)writer->acked_seq);
        (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)writer->limits.window_events - 1);
        code = sqlite3_step(statement);
        writer->window_of = writer->acked_seq;
        writer->window_end = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
        (void)sqlite3_reset(statement); /* says again what step said */
        writer->drop_after = writer->drop_end_after = writer->window_end;
    }
    *ret_seq = writer->window_end;
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static void note_full(struct store_writer *writer)
{
    uint64_t max_bytes = writer->limits.ledger_max_bytes;

    if (writer->used_bytes > max_bytes)
        writer->is_full = true;
    else if (writer->used_bytes <= max_bytes - max_bytes / FULL_UNTIL_PARTS)
        writer->is_full = false;
}

int store_bound(struct store_writer *writer, uint64_t drops_max)
{
    struct budget budget;
    uint64_t window_end = 0;

    note_full(writer);
    if (writer->used_bytes <= writer->limits.ledger_max_bytes ||
        writer->first_seq <= writer->acked_seq) /* history is left */
        return SQLITE_OK;
    int code = find_window_end(writer, &window_end);
    if (code != SQLITE_OK || window_end == 0)
        return code;
    uint64_t excess = (writer->used_bytes - writer->limits.ledger_max_bytes) / EVENT_BYTES + 1;
    budget.drops = excess < drops_max ? excess : drops_max;
    budget.scans = SCANS_MIN + (uint32_t)(budget.drops / DROPS_PER_SCAN);
    code = drop_after(writer, window_end, &writer->drop_after, false, &budget);
    if (code == SQLITE_OK)
        code = drop_after(writer, window_end, &writer->drop_end_after, true, &budget);
    if (budget.drops == 0 || budget.scans == 0)
        writer->is_behind = true;
    return code == SQLITE_OK ? write_gap(writer) : code;
}
