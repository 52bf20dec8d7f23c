/* SPDX-License-Identifier: Apache-2.0 */
/* controller.db: what is read of it, at start and for those who ask. */
#include <errno.h>
#include <string.h>

#include "ctl_store_sqlite.h"

#define EVENT_COLUMNS                                                                              \
    "cursor, node, epoch, seq, time_wall_ns, uuid, name, generation, type, from_state, to_state,"  \
    " cause, wait_status, result, request, detail"

/* clang-format off */
static const char *const sql[CTL_R_COUNT] = {
    [CTL_R_BEGIN] = "BEGIN",
    [CTL_R_COMMIT] = "COMMIT",
    [CTL_R_NODES] = "SELECT id, name, build, seen_wall_ns FROM node ORDER BY id",
    [CTL_R_HEADS] = "SELECT h.node, h.epoch, h.seq, h.epoch=n.acked_epoch AND h.seq=n.acked_seq"
                    " FROM head h JOIN node n ON n.id=h.node ORDER BY h.node, h.seq",
    [CTL_R_CONTAINERS] = "SELECT node, name, uuid, view, config FROM container ORDER BY node, name",
    [CTL_R_COMMANDS] = "SELECT " CTL_COMMAND_COLUMNS " FROM command WHERE closed_wall_ns=0"
                       " ORDER BY id",
    [CTL_R_COMMAND] = "SELECT " CTL_COMMAND_COLUMNS " FROM command WHERE request=?1",
    [CTL_R_RANGE] = "SELECT (SELECT MIN(cursor) FROM event), (SELECT MAX(cursor) FROM event)",
    [CTL_R_LOST] = "SELECT COALESCE(SUM(MIN(base, ?2) - MAX(before, ?1)), 0) FROM life"
                   " WHERE base>?1 AND before<?2",
    [CTL_R_EVENTS] = "SELECT " EVENT_COLUMNS " FROM event WHERE cursor>?1 AND cursor<=?2"
                     " ORDER BY cursor LIMIT ?3",
    [CTL_R_HISTORY] = "SELECT " EVENT_COLUMNS " FROM event INDEXED BY event_container"
                      " WHERE uuid=?4 AND cursor>?1 AND cursor<=?2 ORDER BY cursor LIMIT ?3",
    [CTL_R_CONFIG] = "SELECT config FROM container WHERE node=?1 AND name=?2",
};
/* clang-format on */

static sqlite3_stmt *of(struct ctl_reader *reader, enum ctl_read_statement which)
{
    return reader->statements[which];
}

static struct octets column_octets(sqlite3_stmt *statement, int column)
{
    return (struct octets){sqlite3_column_blob(statement, column),
                           (size_t)sqlite3_column_bytes(statement, column)};
}

/* ---- rows ---- */

int ctl_command_read(sqlite3_stmt *statement, struct ctl_command **ret_command)
{
    struct ctl_command command = {.issued_wall_ns = database_number(statement, 5),
                                  .deadline_wall_ns = database_number(statement, 6),
                                  .closed_wall_ns = database_number(statement, 7),
                                  .command = column_octets(statement, 9),
                                  .receipt = column_octets(statement, 10)};
    unsigned verb = 0;
    unsigned phase = 0;
    unsigned node = 0;
    int result = database_text(statement, 0, command.request, sizeof(command.request));

    if (result == 0)
        result = database_octets(statement, 1, command.digest, sizeof(command.digest));
    if (result == 0)
        result = database_enum(statement, 2, CTL_NODES_MAX, &node);
    if (result == 0)
        result = database_text(statement, 3, command.container, sizeof(command.container));
    if (result == 0)
        result = database_enum(statement, 4, VERB_COUNT, &verb);
    if (result == 0)
        result = database_enum(statement, 8, PHASE_COUNT, &phase);
    if (result < 0)
        return result;
    command.node = node;
    command.verb = (enum verb)verb;
    command.phase = (enum phase)phase;
    *ret_command = ctl_command_new(&command);
    return 0;
}

static int read_enums(sqlite3_stmt *statement, struct event *event)
{
    unsigned type = 0;
    unsigned from = 0;
    unsigned to = 0;
    unsigned cause = 0;
    unsigned status = 0;
    int result = database_enum(statement, 8, EVENT_TYPE_COUNT, &type);

    if (result == 0)
        result = database_enum(statement, 9, CT_STATE_COUNT, &from);
    if (result == 0)
        result = database_enum(statement, 10, CT_STATE_COUNT, &to);
    if (result == 0)
        result = database_enum(statement, 11, CAUSE_COUNT, &cause);
    if (result == 0)
        result = database_enum(statement, 13, STATUS_COUNT, &status);
    event->type = (enum event_type)type;
    event->from = (enum ct_state)from;
    event->to = (enum ct_state)to;
    event->cause = (enum cause)cause;
    event->result = (enum status)status;
    return result;
}

static int read_event(sqlite3_stmt *statement, struct ctl_event *ret_event)
{
    struct event *event = &ret_event->event;
    unsigned node = 0;
    int result = database_enum(statement, 1, CTL_NODES_MAX, &node);

    ret_event->cursor = database_number(statement, 0);
    ret_event->node = node;
    *event = (struct event){.epoch = database_number(statement, 2),
                            .seq = database_number(statement, 3),
                            .time_wall_ns = database_number(statement, 4),
                            .generation = database_number(statement, 7),
                            .has_status = sqlite3_column_type(statement, 12) != SQLITE_NULL,
                            .wait_status = sqlite3_column_int(statement, 12)};
    if (event->epoch == 0)
        event->seq = 0; /* our own have only a cursor */
    if (result == 0 && sqlite3_column_type(statement, 5) != SQLITE_NULL)
        result = database_octets(statement, 5, event->uuid, UUID_BYTES);
    if (result == 0)
        result = database_text(statement, 6, event->name, sizeof(event->name));
    if (result == 0)
        result = read_enums(statement, event);
    if (result == 0)
        result = database_text(statement, 14, event->request, sizeof(event->request));
    if (result == 0)
        result = database_text(statement, 15, event->detail, sizeof(event->detail));
    return result;
}

/* ---- at start ---- */

static int each_node(sqlite3_stmt *statement, const struct ctl_found *found, void *context)
{
    struct ctl_node node = {.seen_wall_ns = database_number(statement, 3)};
    unsigned id = 0;
    int result = database_enum(statement, 0, CTL_NODES_MAX, &id);

    node.id = id;
    if (result == 0)
        result = database_text(statement, 1, node.name, sizeof(node.name));
    if (result == 0)
        result = database_text(statement, 2, node.build, sizeof(node.build));
    return result == 0 ? found->node(&node, context) : result;
}

static int each_head(sqlite3_stmt *statement, const struct ctl_found *found, void *context)
{
    struct ctl_head head = {.epoch = database_number(statement, 1),
                            .seq = database_number(statement, 2),
                            .is_highest = sqlite3_column_int(statement, 3) != 0};
    unsigned node = 0;
    int result = database_enum(statement, 0, CTL_NODES_MAX, &node);

    head.node = node;
    return result == 0 ? found->head(&head, context) : result;
}

static int each_container(sqlite3_stmt *statement, const struct ctl_found *found, void *context)
{
    struct ctl_container container = {.view = column_octets(statement, 3),
                                      .config = column_octets(statement, 4)};
    unsigned node = 0;
    int result = database_enum(statement, 0, CTL_NODES_MAX, &node);

    container.node = node;
    if (result == 0)
        result = database_text(statement, 1, container.name, sizeof(container.name));
    if (result == 0)
        result = database_octets(statement, 2, container.uuid, UUID_BYTES);
    return result == 0 ? found->container(&container, context) : result;
}

static int each_command(sqlite3_stmt *statement, const struct ctl_found *found, void *context)
{
    struct ctl_command *command = NULL;
    int result = ctl_command_read(statement, &command);

    if (result == 0)
        result = found->command(command, context);
    ctl_command_free(command);
    return result;
}

static int each_range(sqlite3_stmt *statement, const struct ctl_found *found, void *context)
{
    return found->last(database_number(statement, 1), context);
}

int ctl_reader_load(struct ctl_reader *reader, const struct ctl_found *found, void *context)
{
    static const struct {
        enum ctl_read_statement which;
        int (*each)(sqlite3_stmt *statement, const struct ctl_found *found, void *context);
    } tables[] = {{CTL_R_NODES, each_node},
                  {CTL_R_HEADS, each_head},
                  {CTL_R_CONTAINERS, each_container},
                  {CTL_R_COMMANDS, each_command},
                  {CTL_R_RANGE, each_range}};
    int result = 0;

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && result == 0; i++) {
        sqlite3_stmt *statement = of(reader, tables[i].which);
        int code = SQLITE_DONE;

        while (result == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW)
            result = tables[i].each(statement, found, context);
        if (result == 0)
            result = database_error(reader->db, code);
        (void)sqlite3_reset(statement); /* says again what step said */
    }
    return result;
}

/* ---- for those who ask ---- */

static int read_row_number(struct ctl_reader *reader, enum ctl_read_statement which, int column,
                           uint64_t *ret_number)
{
    sqlite3_stmt *statement = of(reader, which);
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        *ret_number = database_number(statement, column);
    (void)sqlite3_reset(statement); /* says again what step said */
    return code == SQLITE_ROW ? 0 : database_error(reader->db, code);
}

/* Cursors between two lives were never given: they do not count as lost. */
static int count_lost(struct ctl_reader *reader, struct ctl_read *read)
{
    uint64_t first = 0;
    uint64_t never = 0;
    int result = read_row_number(reader, CTL_R_RANGE, 0, &first);

    if (result < 0 || first <= read->after + 1)
        return result;
    database_bind(of(reader, CTL_R_LOST), 1, read->after);
    database_bind(of(reader, CTL_R_LOST), 2, first - 1);
    result = read_row_number(reader, CTL_R_LOST, 0, &never);
    read->lost = first - 1 - read->after - never;
    read->lost_through = first - 1;
    return result;
}

static bool is_wanted(const struct ctl_read *read, const struct ctl_event *event)
{
    return event->event.time_wall_ns > read->after_wall_ns &&
           (!read->has_node || event->node == read->node) &&
           (!read->has_name || strcmp(event->event.name, read->name) == 0);
}

static int read_events(struct ctl_reader *reader, struct ctl_read *read)
{
    sqlite3_stmt *statement = of(reader, read->has_uuid ? CTL_R_HISTORY : CTL_R_EVENTS);
    int code = SQLITE_DONE;
    uint64_t rows = 0;
    int result = count_lost(reader, read);

    database_bind(statement, 1, read->after);
    database_bind(statement, 2, read->until);
    database_bind(statement, 3, CTL_READ_ROWS_MAX);
    if (read->has_uuid)
        database_bind_octets(statement, 4, read->uuid, UUID_BYTES);
    while (result == 0 && read->count < CTL_READ_EVENTS_MAX &&
           (code = sqlite3_step(statement)) == SQLITE_ROW) {
        result = read_event(statement, &read->events[read->count]);
        read->position = read->events[read->count].cursor;
        read->count += result == 0 && is_wanted(read, &read->events[read->count]);
        rows++;
    }
    if (result == 0)
        result = database_error(reader->db, code);
    if (code == SQLITE_DONE && rows < CTL_READ_ROWS_MAX)
        read->position = read->until; /* there is no more of it */
    (void)sqlite3_reset(statement);   /* says again what step said */
    return result;
}

static int find_command(struct ctl_reader *reader, struct ctl_read *read)
{
    sqlite3_stmt *statement = of(reader, CTL_R_COMMAND);

    database_bind_text(statement, 1, read->request);
    int code = sqlite3_step(statement);
    int result = code == SQLITE_ROW ? ctl_command_read(statement, &read->found)
                                    : database_error(reader->db, code);
    (void)sqlite3_reset(statement); /* says again what step said */
    return result;
}

static int find_config(struct ctl_reader *reader, struct ctl_read *read)
{
    sqlite3_stmt *statement = of(reader, CTL_R_CONFIG);

    database_bind(statement, 1, read->node);
    database_bind_text(statement, 2, read->name);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        read->config = column_octets(statement, 0);
        ctl_octets_own(&read->config);
    }
    (void)sqlite3_reset(statement); /* says again what step said */
    return database_error(reader->db, code);
}

static int read_one(struct ctl_reader *reader, struct ctl_read *read)
{
    switch (read->kind) {
    case CTL_READ_EVENTS:
        return read_events(reader, read);
    case CTL_READ_COMMAND:
        return find_command(reader, read);
    case CTL_READ_CONFIG:
        return find_config(reader, read);
    }
    return -EINVAL;
}

int ctl_reader_read(struct ctl_reader *reader, struct ctl_read *read)
{
    int code = database_run(of(reader, CTL_R_BEGIN)); /* one snapshot */

    read->result = database_error(reader->db, code);
    if (code != SQLITE_OK)
        return read->result;
    read->result = read_one(reader, read);
    code = database_run(of(reader, CTL_R_COMMIT));
    if (read->result == 0)
        read->result = database_error(reader->db, code);
    return read->result;
}

/* ---- open and close ---- */

int ctl_reader_open(struct ctl_reader *reader, sqlite3 *db_consumed)
{
    *reader = (struct ctl_reader){.db = db_consumed};
    return database_error(reader->db,
                          database_prepare(reader->db, sql, reader->statements, CTL_R_COUNT));
}

void ctl_reader_close(struct ctl_reader *reader)
{
    for (size_t i = 0; i < CTL_R_COUNT; i++)
        (void)sqlite3_finalize(reader->statements[i]); /* says again what step said */
    (void)sqlite3_close(reader->db);                   /* nothing is changed by it */
    *reader = (struct ctl_reader){0};
}
