/* SPDX-License-Identifier: Apache-2.0 */
/* controller.db: its tables, and the one connection that changes them. */
#include <string.h>

#include "cleanup.h"
#include "ctl_store_sqlite.h"
#include "ensure.h"

/*
 * The cursor is the rowid, so that to read on is to walk the table; (node, epoch, seq) is the key
 * by which a node's event is known when it comes again. An event of our own has the epoch 0 and its
 * cursor for a seq. head.forgotten is the highest seq that went with age: it never comes back as
 * new. A life is the time between two starts: cursors in (before, base] were never given.
 */
/* clang-format off */
static const char schema[] =
    "CREATE TABLE node(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, build TEXT NOT NULL,"
    " seen_wall_ns INTEGER NOT NULL, acked_epoch INTEGER NOT NULL DEFAULT 0,"
    " acked_seq INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE head(node INTEGER NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " forgotten INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(node, epoch)) WITHOUT ROWID;"
    "CREATE TABLE life(base INTEGER PRIMARY KEY, before INTEGER NOT NULL);"
    "CREATE TABLE event(cursor INTEGER PRIMARY KEY, node INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL, seq INTEGER NOT NULL, time_wall_ns INTEGER NOT NULL, uuid BLOB,"
    " name TEXT NOT NULL, generation INTEGER NOT NULL, type INTEGER NOT NULL,"
    " from_state INTEGER NOT NULL, to_state INTEGER NOT NULL, cause INTEGER NOT NULL,"
    " wait_status INTEGER, result INTEGER NOT NULL, request TEXT NOT NULL, detail TEXT NOT NULL,"
    " UNIQUE(node, epoch, seq));"
    "CREATE INDEX event_container ON event(uuid) WHERE uuid IS NOT NULL;"
    "CREATE TABLE container(node INTEGER NOT NULL, name TEXT NOT NULL, uuid BLOB NOT NULL,"
    " view BLOB NOT NULL, config BLOB, PRIMARY KEY(node, name)) WITHOUT ROWID;"
    "CREATE TABLE command(id INTEGER PRIMARY KEY, request TEXT NOT NULL UNIQUE,"
    " digest BLOB NOT NULL, node INTEGER NOT NULL, container TEXT NOT NULL,"
    " verb INTEGER NOT NULL, issued_wall_ns INTEGER NOT NULL, deadline_wall_ns INTEGER NOT NULL,"
    " closed_wall_ns INTEGER NOT NULL, phase INTEGER NOT NULL, command BLOB, receipt BLOB);"
    "CREATE INDEX command_open ON command(id) WHERE closed_wall_ns=0;"
    "CREATE INDEX command_closed ON command(closed_wall_ns) WHERE closed_wall_ns>0;";

static const char *const parts[] = {"node", "head", "life", "container", "command"};

const struct database_kind ctl_database = {
    .daemon = "drover-controller",
    .file = "controller.db",
    .hint = "put a copy of controller.db back: nodes tell what came after it again",
    .application_id = 0x44726f63, /* "Droc" */
    .version = 1,
    .schema = schema,
    .parts = parts,
    .part_count = COUNT_OF(parts),
};

static const char *const sql[CTL_W_COUNT] = {
    [CTL_W_BEGIN] = "BEGIN IMMEDIATE",
    [CTL_W_COMMIT] = "COMMIT",
    [CTL_W_LIFE] = "INSERT INTO life VALUES(?1, ?2)",
    [CTL_W_LIVES_DROP] = "DELETE FROM life WHERE base <= "
                         "(SELECT base FROM life ORDER BY base DESC LIMIT 1 OFFSET ?1)",
    [CTL_W_NODE] = "INSERT INTO node(id, name, build, seen_wall_ns) VALUES(?1, ?2, ?3, ?4)"
                   " ON CONFLICT(id) DO UPDATE SET build=?3, seen_wall_ns=?4",
    [CTL_W_EVENT] = "INSERT INTO event SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,"
                    "?16 WHERE NOT EXISTS (SELECT 1 FROM head WHERE node=?2 AND epoch=?3"
                    " AND forgotten>=?4) ON CONFLICT(node, epoch, seq) DO NOTHING",
    [CTL_W_HEAD] = "INSERT INTO head(node, epoch, seq) VALUES(?1, ?2, ?3)"
                   " ON CONFLICT(node, epoch) DO UPDATE SET seq=MAX(seq, ?3)",
    [CTL_W_HEAD_HIGHEST] = "UPDATE node SET acked_epoch=?2, acked_seq=?3 WHERE id=?1",
    [CTL_W_HEADS_DROP] = "DELETE FROM head WHERE node=?1 AND forgotten>=seq AND epoch NOT IN"
                         " (SELECT epoch FROM head WHERE node=?1 ORDER BY seq DESC LIMIT ?2)",
    [CTL_W_CONTAINER] = "INSERT INTO container VALUES(?1, ?2, ?3, ?4, ?5)"
                        " ON CONFLICT(node, name) DO UPDATE SET view=?4,"
                        " config=CASE WHEN uuid=?3 THEN COALESCE(?5, config) ELSE ?5 END, uuid=?3",
    [CTL_W_CONTAINER_DROP] = "DELETE FROM container WHERE node=?1 AND name=?2",
    [CTL_W_COMMAND] = "INSERT INTO command(request, digest, node, container, verb, issued_wall_ns,"
                      " deadline_wall_ns, closed_wall_ns, phase, command)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, ?8)"
                      " ON CONFLICT(request) DO NOTHING",
    [CTL_W_COMMAND_FIND] = "SELECT " CTL_COMMAND_COLUMNS " FROM command WHERE request=?1",
    /* What is unknown (?5) or was not sent (?7) may be asked for again, and another may follow. */
    [CTL_W_RECEIPT] = "UPDATE command SET phase=?2, receipt=?3, closed_wall_ns=?4, command="
                      "CASE WHEN ?4=0 OR ?2 IN (?5, ?7) THEN command END"
                      " WHERE request=?1 AND node=?6 AND (closed_wall_ns=0 OR phase IN (?5, ?7))",
    [CTL_W_FORGOTTEN] = "SELECT node, epoch, MAX(seq) FROM event WHERE cursor<=?1 AND epoch<>0"
                        " GROUP BY node, epoch",
    [CTL_W_FORGET] = "UPDATE head SET forgotten=MAX(forgotten, ?3) WHERE node=?1 AND epoch=?2",
    [CTL_W_EVENTS_DROP] = "DELETE FROM event WHERE cursor<=?1",
    [CTL_W_EVENT_FIRST] = "SELECT cursor FROM event ORDER BY cursor LIMIT 1 OFFSET ?1",
    [CTL_W_COMMANDS_DROP] = "DELETE FROM command WHERE id IN (SELECT id FROM command"
                            " WHERE closed_wall_ns>0 AND closed_wall_ns<?1"
                            " ORDER BY closed_wall_ns LIMIT ?2)",
};
/* clang-format on */

static sqlite3_stmt *of(struct ctl_writer *writer, enum ctl_write_statement which)
{
    return writer->statements[which];
}

/* ---- events ---- */

/* Noted with the first event, so that a start alone writes nothing. */
static int note_life(struct ctl_writer *writer, uint64_t before)
{
    sqlite3_stmt *statement = of(writer, CTL_W_LIFE);

    writer->is_life_noted = true;
    if (writer->cursor == before)
        return SQLITE_OK;
    database_bind(statement, 1, writer->cursor);
    database_bind(statement, 2, before);
    int code = database_run(statement);
    database_bind(of(writer, CTL_W_LIVES_DROP), 1, CTL_LIVES_MAX);
    return code == SQLITE_OK ? database_run(of(writer, CTL_W_LIVES_DROP)) : code;
}

static bool has_container(const struct event *event)
{
    static const uint8_t none[UUID_BYTES];

    return memcmp(event->uuid, none, UUID_BYTES) != 0;
}

static void bind_event(sqlite3_stmt *statement, const struct event *event)
{
    database_bind(statement, 5, event->time_wall_ns);
    database_bind_octets(statement, 6, event->uuid, has_container(event) ? UUID_BYTES : 0);
    database_bind_text(statement, 7, event->name);
    database_bind(statement, 8, event->generation);
    database_bind(statement, 9, event->type);
    database_bind(statement, 10, event->from);
    database_bind(statement, 11, event->to);
    database_bind(statement, 12, event->cause);
    if (event->has_status)
        (void)sqlite3_bind_int(statement, 13, event->wait_status); /* cannot fail: no memory */
    else
        (void)sqlite3_bind_null(statement, 13);
    database_bind(statement, 14, event->result);
    database_bind_text(statement, 15, event->request);
    database_bind_text(statement, 16, event->detail);
}

static int add_event(struct ctl_writer *writer, struct ctl_change *change)
{
    sqlite3_stmt *statement = of(writer, CTL_W_EVENT);
    const struct event *event = &change->add.event;
    uint64_t cursor = writer->cursor + 1;

    database_bind(statement, 1, cursor);
    database_bind(statement, 2, change->add.node);
    database_bind(statement, 3, event->epoch);
    database_bind(statement, 4, event->epoch == 0 ? cursor : event->seq);
    bind_event(statement, event);
    int code = database_run(statement);
    if (code != SQLITE_OK || sqlite3_changes(writer->db) == 0)
        return code;
    if (!writer->is_life_noted)
        code = note_life(writer, writer->last_cursor);
    writer->cursor = writer->last_cursor = cursor;
    if (writer->first_cursor == 0)
        writer->first_cursor = cursor;
    writer->event_count++;
    writer->added++;
    change->add.cursor = cursor;
    return code;
}

static int put_head(struct ctl_writer *writer, const struct ctl_head *head)
{
    sqlite3_stmt *statement = of(writer, CTL_W_HEAD);

    database_bind(statement, 1, head->node);
    database_bind(statement, 2, head->epoch);
    database_bind(statement, 3, head->seq);
    int code = database_run(statement);
    if (code != SQLITE_OK || !head->is_highest)
        return code;
    statement = of(writer, CTL_W_HEAD_HIGHEST);
    database_bind(statement, 1, head->node);
    database_bind(statement, 2, head->epoch);
    database_bind(statement, 3, head->seq);
    return database_run(statement);
}

/* ---- nodes and containers ---- */

static int put_node(struct ctl_writer *writer, const struct ctl_node *node)
{
    sqlite3_stmt *statement = of(writer, CTL_W_NODE);

    database_bind(statement, 1, node->id);
    database_bind_text(statement, 2, node->name);
    database_bind_text(statement, 3, node->build);
    database_bind(statement, 4, node->seen_wall_ns);
    return database_run(statement);
}

static int put_container(struct ctl_writer *writer, const struct ctl_container *container)
{
    sqlite3_stmt *statement = of(writer, CTL_W_CONTAINER);

    database_bind(statement, 1, container->node);
    database_bind_text(statement, 2, container->name);
    database_bind_octets(statement, 3, container->uuid, UUID_BYTES);
    database_bind_octets(statement, 4, container->view.data, container->view.size_bytes);
    database_bind_octets(statement, 5, container->config.data, container->config.size_bytes);
    return database_run(statement);
}

static int drop_container(struct ctl_writer *writer, const struct ctl_container *container)
{
    sqlite3_stmt *statement = of(writer, CTL_W_CONTAINER_DROP);

    database_bind(statement, 1, container->node);
    database_bind_text(statement, 2, container->name);
    return database_run(statement);
}

/* ---- commands ---- */

static int find_command(struct ctl_writer *writer, const char *request,
                        struct ctl_command **ret_found)
{
    sqlite3_stmt *statement = of(writer, CTL_W_COMMAND_FIND);

    database_bind_text(statement, 1, request);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        code = ctl_command_read(statement, ret_found) == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    else if (code == SQLITE_DONE)
        code = SQLITE_CORRUPT;      /* the index has it, the table does not */
    (void)sqlite3_reset(statement); /* says again what step said */
    return code;
}

static int add_command(struct ctl_writer *writer, struct ctl_change *change)
{
    sqlite3_stmt *statement = of(writer, CTL_W_COMMAND);
    const struct ctl_command *command = &change->command.given;

    database_bind_text(statement, 1, command->request);
    database_bind_octets(statement, 2, command->digest, CTL_DIGEST_BYTES);
    database_bind(statement, 3, command->node);
    database_bind_text(statement, 4, command->container);
    database_bind(statement, 5, command->verb);
    database_bind(statement, 6, command->issued_wall_ns);
    database_bind(statement, 7, command->deadline_wall_ns);
    database_bind_octets(statement, 8, command->command.data, command->command.size_bytes);
    writer->added++;
    int code = database_run(statement);
    if (code != SQLITE_OK || sqlite3_changes(writer->db) > 0)
        return code;
    return find_command(writer, command->request, &change->command.found);
}

static int put_receipt(struct ctl_writer *writer, const struct ctl_command *receipt)
{
    sqlite3_stmt *statement = of(writer, CTL_W_RECEIPT);

    database_bind_text(statement, 1, receipt->request);
    database_bind(statement, 2, receipt->phase);
    database_bind_octets(statement, 3, receipt->receipt.data, receipt->receipt.size_bytes);
    database_bind(statement, 4, receipt->closed_wall_ns);
    database_bind(statement, 5, PHASE_RESULT_UNKNOWN);
    database_bind(statement, 6, receipt->node);
    database_bind(statement, 7, PHASE_NOT_SENT);
    return database_run(statement);
}

/* ---- transactions ---- */

static int apply(struct ctl_writer *writer, struct ctl_change *change)
{
    switch (change->kind) {
    case CTL_PUT_NODE:
        return put_node(writer, &change->node);
    case CTL_ADD_EVENT:
        return add_event(writer, change);
    case CTL_PUT_HEAD:
        return put_head(writer, &change->head);
    case CTL_ACKNOWLEDGE:
        return SQLITE_OK;
    case CTL_PUT_CONTAINER:
        return put_container(writer, &change->container);
    case CTL_DROP_CONTAINER:
        return drop_container(writer, &change->container);
    case CTL_ADD_COMMAND:
        return add_command(writer, change);
    case CTL_PUT_RECEIPT:
        return put_receipt(writer, &change->receipt);
    }
    ENSURE(false);
    return SQLITE_MISUSE;
}

int ctl_writer_begin(struct ctl_writer *writer, uint64_t now_wall_ns)
{
    writer->now_wall_ns = now_wall_ns;
    writer->added = 0;
    return database_run(of(writer, CTL_W_BEGIN));
}

int ctl_writer_apply(struct ctl_writer *writer, struct ctl_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        int code = apply(writer, &batch->changes[i]);
        if (code != SQLITE_OK)
            return code;
    }
    return SQLITE_OK;
}

int ctl_writer_commit(struct ctl_writer *writer)
{
    int code = ctl_writer_prune(writer);

    return code == SQLITE_OK ? database_run(of(writer, CTL_W_COMMIT)) : code;
}

/*
 * PASSIVE waits for no reader; what it cannot move yet stays for the next time. Only then does the
 * log begin again at its start, so that its length is bounded by the longest read.
 */
int ctl_writer_checkpoint(struct ctl_writer *writer)
{
    if (writer->wal_frames < CTL_WAL_FRAMES)
        return SQLITE_OK;
    int code = sqlite3_wal_checkpoint_v2(writer->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return (code & 0xff) == SQLITE_BUSY ? SQLITE_OK : code; /* somebody else's is under way */
}

/* ---- open and close ---- */

static int on_wal_frames(void *context, sqlite3 *db, const char *name, int frames)
{
    struct ctl_writer *writer = context;

    (void)db;
    (void)name;
    writer->wal_frames = (uint32_t)frames;
    return SQLITE_OK;
}

/* How many events there are follows from their cursors, less those that were never given. */
static int load_range(struct ctl_writer *writer)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(
        writer->db,
        "SELECT first, last, (SELECT COALESCE(SUM(MIN(base, last) - MAX(before, first - 1)), 0)"
        " FROM life WHERE base > first - 1 AND before < last) FROM"
        " (SELECT (SELECT MIN(cursor) FROM event) AS first,"
        " (SELECT MAX(cursor) FROM event) AS last)",
        -1, &statement, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        writer->first_cursor = database_number(statement, 0);
        writer->last_cursor = database_number(statement, 1);
        if (writer->first_cursor != 0)
            writer->event_count =
                writer->last_cursor - writer->first_cursor + 1 - database_number(statement, 2);
    }
    (void)sqlite3_finalize(statement); /* says again what step said */
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

int ctl_writer_open(struct ctl_writer *writer, sqlite3 *db_consumed, uint64_t events_max,
                    uint64_t now_wall_ns)
{
    uint64_t base = now_wall_ns / 1000;

    *writer = (struct ctl_writer){.db = db_consumed};
    writer->events_max = events_max > CTL_EVENTS_MAX_LEAST ? events_max : CTL_EVENTS_MAX_LEAST;
    (void)sqlite3_wal_hook(writer->db, on_wal_frames, writer);
    int code = database_settle_log(writer->db);
    if (code == SQLITE_OK)
        code = database_prepare(writer->db, sql, writer->statements, CTL_W_COUNT);
    if (code == SQLITE_OK)
        code = load_range(writer);
    writer->cursor = base > writer->last_cursor ? base : writer->last_cursor;
    return code;
}

void ctl_writer_close(struct ctl_writer *writer, bool is_whole)
{
    if (!is_whole)
        (void)sqlite3_db_config(writer->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    for (size_t i = 0; i < CTL_W_COUNT; i++)
        (void)sqlite3_finalize(writer->statements[i]); /* says again what step said */
    (void)sqlite3_close(writer->db); /* the log stays if it cannot be moved, and is read again */
}
