/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "ensure.h"
#include "store_parts.h"

#define WALK_ROOM_FIRST 256

/* What is asked of the ledger, and where the answer goes. */
struct page {
    uint64_t after;
    uint64_t after_wall_ns;
    const uint8_t *uuid;
    const char *name;
    struct event *events;
    size_t max;
    size_t count;
};

static int read_event(sqlite3_stmt *statement, struct event *event)
{
    unsigned type = 0;
    unsigned from = 0;
    unsigned to = 0;
    unsigned cause = 0;
    unsigned status = 0;

    *event = (struct event){.seq = (uint64_t)sqlite3_column_int64(statement, 0),
                            .epoch = (uint64_t)sqlite3_column_int64(statement, 1),
                            .time_wall_ns = (uint64_t)sqlite3_column_int64(statement, 2),
                            .generation = (uint64_t)sqlite3_column_int64(statement, 5),
                            .has_status = sqlite3_column_type(statement, 10) != SQLITE_NULL,
                            .wait_status = sqlite3_column_int(statement, 10)};
    int result = database_octets(statement, 3, event->uuid, UUID_BYTES);
    if (result == 0)
        result = database_text(statement, 4, event->name, NAME_BYTES);
    if (result == 0)
        result = database_enum(statement, 6, EVENT_TYPE_COUNT, &type);
    if (result == 0)
        result = database_enum(statement, 7, CT_STATE_COUNT, &from);
    if (result == 0)
        result = database_enum(statement, 8, CT_STATE_COUNT, &to);
    if (result == 0)
        result = database_enum(statement, 9, CAUSE_COUNT, &cause);
    if (result == 0)
        result = database_enum(statement, 11, STATUS_COUNT, &status);
    if (result == 0)
        result = database_text(statement, 12, event->request, REQUEST_ID_BYTES);
    if (result == 0)
        result = database_text(statement, 13, event->detail, EVENT_DETAIL_BYTES);
    event->type = (enum event_type)type;
    event->from = (enum ct_state)from;
    event->to = (enum ct_state)to;
    event->cause = (enum cause)cause;
    event->result = (enum status)status;
    if (event->type == EVENT_GAP) { /* the node's, though it stands in a container's chain */
        memset(event->uuid, 0, sizeof(event->uuid));
        event->name[0] = '\0';
    }
    return result;
}

/* ---- everybody's events ---- */

static int read_all(struct store_reader *reader, struct page *page)
{
    sqlite3_stmt *statement = reader->statements[R_EVENTS];
    int result = 0;
    int code = SQLITE_DONE;

    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)page->after);
    (void)sqlite3_bind_int64(statement, 2,
                             page->after_wall_ns == 0 ? -1 : (sqlite3_int64)page->after_wall_ns);
    (void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)page->max);
    while (result == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        ENSURE(page->count < page->max);
        result = read_event(statement, &page->events[page->count]);
        if (result == 0)
            page->count++;
    }
    if (result == 0)
        result = database_error(reader->db, code);
    (void)sqlite3_reset(statement); /* says again what step said */
    return result;
}

/* ---- one container's: back along its chain, then forward ---- */

static int walk_add(struct walk *walk, uint64_t seq)
{
    if (walk->count == walk->room) {
        size_t room = walk->room == 0 ? WALK_ROOM_FIRST : walk->room * 2;
        uint64_t *seqs = realloc(walk->seqs, room * sizeof(*seqs));
        if (seqs == NULL)
            return -ENOMEM;
        walk->seqs = seqs;
        walk->room = room;
    }
    walk->seqs[walk->count++] = seq;
    return 0;
}

static int walk_compare(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one;
    uint64_t b = *(const uint64_t *)other;

    return (a > b) - (a < b);
}

/* The oldest are asked for first; what was met too early is met again by a later walk. */
static void walk_shorten(struct walk *walk)
{
    if (walk->count == 0)
        return;
    qsort(walk->seqs, walk->count, sizeof(*walk->seqs), walk_compare);
    if (walk->count > STORE_WALK_MAX)
        walk->count = STORE_WALK_MAX;
}

/*
 * The chain leads to what is gone: pruned, then nothing older is kept, or a part of a gap, then it
 * goes on somewhere below. An event is passed over at most once a walk. *ret_seq 0: none is left.
 */
static int walk_on(struct store_reader *reader, const struct page *page, int64_t id, uint64_t seq,
                   uint64_t *ret_seq)
{
    sqlite3_stmt *statement = reader->statements[R_OLDER];

    (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)seq);
    (void)sqlite3_bind_int64(statement, 2, id);
    (void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)page->after);
    int code = sqlite3_step(statement);
    *ret_seq = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_reset(statement); /* says again what step said */
    return database_error(reader->db, code);
}

/* One chain, newest first, until `after` or what was pruned. */
static int walk_chain(struct store_reader *reader, const struct page *page, int64_t id,
                      uint64_t last_seq)
{
    sqlite3_stmt *statement = reader->statements[R_PREVIOUS];
    uint64_t seq = last_seq;
    int result = 0;

    while (result == 0 && seq > page->after) {
        (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)seq);
        int code = sqlite3_step(statement);
        uint64_t previous = 0;

        if (code == SQLITE_ROW) {
            previous = (uint64_t)sqlite3_column_int64(statement, 0);
            if (previous >= seq)
                result = -EUCLEAN;
            else if ((uint64_t)sqlite3_column_int64(statement, 1) > page->after_wall_ns ||
                     page->after_wall_ns == 0)
                result = walk_add(&reader->walk, seq);
        } else if (code == SQLITE_DONE) {
            result = walk_on(reader, page, id, seq, &previous);
        } else {
            result = database_error(reader->db, code);
        }
        (void)sqlite3_reset(statement); /* says again what step said */
        if (reader->walk.count >= 2 * STORE_WALK_MAX)
            walk_shorten(&reader->walk);
        seq = previous;
    }
    return result;
}

static int walk(struct store_reader *reader, const struct page *page)
{
    sqlite3_stmt *chains =
        reader->statements[page->uuid != NULL ? R_CHAINS_BY_UUID : R_CHAINS_BY_NAME];
    struct walk *walk = &reader->walk;
    int result = 0;
    int code = SQLITE_DONE;

    walk->is_known = false;
    walk->count = 0;
    (void)sqlite3_reset(chains);
    if (page->uuid != NULL)
        (void)sqlite3_bind_blob(chains, 1, page->uuid, UUID_BYTES, SQLITE_STATIC);
    if (page->name != NULL)
        (void)sqlite3_bind_text(chains, 2, page->name, -1, SQLITE_STATIC);
    else
        (void)sqlite3_bind_null(chains, 2);
    while (result == 0 && (code = sqlite3_step(chains)) == SQLITE_ROW)
        result = walk_chain(reader, page, sqlite3_column_int64(chains, 1),
                            (uint64_t)sqlite3_column_int64(chains, 0));
    if (result == 0)
        result = database_error(reader->db, code);
    (void)sqlite3_reset(chains); /* says again what step said */
    if (result < 0)
        return result;
    walk_shorten(walk);
    walk->after = page->after;
    walk->after_wall_ns = page->after_wall_ns;
    walk->has_uuid = page->uuid != NULL;
    walk->has_name = page->name != NULL;
    if (walk->has_uuid)
        memcpy(walk->uuid, page->uuid, UUID_BYTES);
    walk->is_known = !walk->has_name || strlen(page->name) < NAME_BYTES;
    if (walk->has_name && walk->is_known)
        memcpy(walk->name, page->name, strlen(page->name) + 1);
    return 0;
}

static bool walk_covers(const struct walk *walk, const struct page *page)
{
    return walk->is_known && walk->after <= page->after &&
           walk->after_wall_ns == page->after_wall_ns && walk->has_uuid == (page->uuid != NULL) &&
           walk->has_name == (page->name != NULL) &&
           (page->uuid == NULL || memcmp(walk->uuid, page->uuid, UUID_BYTES) == 0) &&
           (page->name == NULL || strcmp(walk->name, page->name) == 0);
}

static size_t walk_first(const struct walk *walk, uint64_t after)
{
    size_t low = 0;
    size_t high = walk->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (walk->seqs[middle] <= after)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int read_walked(struct store_reader *reader, struct page *page)
{
    sqlite3_stmt *statement = reader->statements[R_EVENT];
    const struct walk *walk = &reader->walk;
    int result = 0;

    page->count = 0;
    for (size_t i = walk_first(walk, page->after);
         result == 0 && i < walk->count && page->count < page->max; i++) {
        (void)sqlite3_bind_int64(statement, 1, (sqlite3_int64)walk->seqs[i]);
        int code = sqlite3_step(statement);

        if (code == SQLITE_ROW) {
            result = read_event(statement, &page->events[page->count]);
            page->count += result == 0;
        } else {
            result = database_error(reader->db, code); /* DONE: pruned since the walk */
        }
        (void)sqlite3_reset(statement); /* says again what step said */
    }
    return result;
}

static int read_chain(struct store_reader *reader, struct page *page)
{
    if (walk_covers(&reader->walk, page)) {
        int result = read_walked(reader, page);
        if (result < 0 || page->count == page->max)
            return result;
    }
    int result = walk(reader, page);
    return result == 0 ? read_walked(reader, page) : result;
}

/* In one transaction: a chain is followed in one state of the ledger. */
static int read_page(struct store_reader *reader, struct page *page)
{
    int result = store_reader_begin(reader);

    if (result < 0)
        return result;
    result = page->uuid == NULL && page->name == NULL ? read_all(reader, page)
                                                      : read_chain(reader, page);
    store_reader_end(reader);
    return result;
}

int store_reader_events(struct store_reader *reader, const struct store_query *query,
                        struct event *ret_events, size_t max, size_t *ret_count)
{
    struct page page = {.after = query->after,
                        .after_wall_ns = query->after_wall_ns,
                        .uuid = query->uuid,
                        .name = query->name,
                        .events = ret_events,
                        .max = max};

    (void)pthread_mutex_lock(&reader->lock);
    int result = read_page(reader, &page);
    (void)pthread_mutex_unlock(&reader->lock);
    if (result == 0)
        *ret_count = page.count;
    return result;
}
