/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands around the streams of the target `streams`: clients that count what they are told,
 * and runs that are pipes without a process.
 */
#include <fcntl.h>
#include <unistd.h>

#include "cleanup.h"
#include "readiness.h"
#include "streams_world.h"

/* ---- the other side ---- */

/* No octet of a console is left out or said twice, as long as the ring has them all. */
static void hear(struct client *client, const struct octets *data)
{
    for (size_t i = 0; i < data->size_bytes && data->data[i] >= RING_OCTET; i++) {
        PROMISE(client->ring_next == 0 || world.is_lapped || data->data[i] == client->ring_next);
        client->ring_next = RING_OCTET + (data->data[i] - RING_OCTET + 1u) % RING_OCTETS;
    }
}

/* False: not now. */
static bool tell(unsigned origin, const struct message *message)
{
    if (world.is_full)
        return false;
    if (message->kind == MESSAGE_STREAM_CREDIT)
        return true;
    bool is_end = message->kind == MESSAGE_STREAM_END;
    uint64_t number = is_end ? message->stream_end.stream : message->stream_frame.stream;
    if (world.is_crowded && number >= NUMBERS)
        return true;
    PROMISE(number < NUMBERS);
    struct client *client = &world.clients[origin][number];
    PROMISE(client->is_open);
    if (is_end) {
        client->is_open = false;
        PROMISE(message->stream_end.bytes == client->out_bytes);
        PROMISE(!client->is_refused || (message->stream_end.exit_code == 125 &&
                                        message->stream_end.fault.status != STATUS_UNSET));
        CANARY(message->stream_end.fault.status == STATUS_UNSET && client->out_number >= 4);
        return true;
    }
    PROMISE(message->kind == MESSAGE_STREAM_FRAME);
    PROMISE(message->stream_frame.number == ++client->out_number);
    PROMISE(message->stream_frame.data.size_bytes <= STREAM_FRAME_BYTES_MAX);
    client->out_bytes += message->stream_frame.data.size_bytes;
    PROMISE(client->out_bytes <= client->credit_bytes);
    hear(client, &message->stream_frame.data);
    return true;
}

bool upstream_send_bulk(struct upstream *upstream, const struct message *message)
{
    (void)upstream;
    return tell(0, message);
}

const struct ct *agent_find(struct agent *a, const char *container, struct fault *fault)
{
    const struct ct *ct = node_find(a->node, container);

    if (ct == NULL)
        fault_set(fault, STATUS_NOT_FOUND, 0, "no container %s", container);
    return ct;
}

void view_fault(const struct agent *a, const struct fault *fault, const char *container,
                struct fault_view *ret_view)
{
    (void)a;
    *ret_view = (struct fault_view){.status = fault->status,
                                    .text = fault->text,
                                    .hint = fault->hint,
                                    .container = container,
                                    .node = "n"};
}

int keeper_client_send(struct keeper_client *client, struct kw_header *header, uint16_t type,
                       size_t size_bytes, const int *fds, size_t fd_count)
{
    (void)client;
    (void)header;
    (void)type;
    (void)size_bytes;
    (void)fds;
    (void)fd_count;
    return 0;
}

struct local_client *local_find(struct local_server *server, uint64_t id)
{
    (void)server;
    PROMISE(id == LOCAL || id == 0);
    return id != LOCAL || world.is_local_gone ? NULL : &world.local;
}

int local_send(struct local_client *client, const struct message *message)
{
    PROMISE(client == &world.local);
    return tell(1, message) ? 0 : -ENOBUFS;
}

void local_hang_up(struct local_client *client)
{
    PROMISE(client == &world.local && world.is_full); /* only one that takes no answer */
    world.is_local_gone = true;
}

/* ---- runs ---- */

static struct running *command_of(const struct stream *stream)
{
    for (size_t i = 0; i < RUNS_MAX; i++)
        if (world.runs[i].stream == stream)
            return &world.runs[i];
    return NULL;
}

static void add_pipes(struct stream *stream, struct running *command, bool has_output)
{
    int pipes[3][2];

    for (size_t i = 0; i < 3; i++)
        PROMISE(pipe2(pipes[i], O_CLOEXEC | O_NONBLOCK) == 0);
    command->ends[0] = pipes[0][0];
    PROMISE(stream_add_inlet(stream, pipes[0][1]) == 0);
    for (size_t i = 0; i < 2; i++) {
        command->ends[i + 1] = pipes[i + 1][1];
        if (has_output)
            PROMISE(stream_add_outlet(stream, &stream->outlets[i], pipes[i + 1][0],
                                      i == 0 ? LANE_STDOUT : LANE_STDERR) == 0);
        else
            (void)close(pipes[i + 1][0]);
    }
}

void stream_exec_start(struct stream *stream)
{
    struct running *command = command_of(NULL);

    if (command == NULL) {
        stream_fail(stream, STATUS_BUSY, 0, "no more");
        return;
    }
    command->stream = stream;
    stream->is_spawned = true;
    stream->spawn = ++world.spawns;
    add_pipes(stream, command, true);
    stream_pump_outlets(stream);
}

void stream_import_start(struct stream *stream)
{
    struct running *command = command_of(NULL);

    if (command == NULL) {
        stream_fail(stream, STATUS_BUSY, 0, "no more");
        return;
    }
    command->stream = stream;
    stream->is_working = true;
    add_pipes(stream, command, false);
}

void world_let_go(struct running *command)
{
    for (size_t i = 0; i < COUNT_OF(command->ends); i++)
        fd_closep(&command->ends[i]);
    command->stream = NULL;
}

/* Its process is gone, and the stream may go once all is read. */
void world_command_ends(struct running *command)
{
    struct stream *stream = command->stream;

    if (stream == NULL)
        return;
    world_let_go(command);
    bool is_import = stream->is_working;
    stream->is_spawned = stream->is_working = false;
    stream->has_status = true;
    if (stream->is_closed)
        stream_free_if_done(stream);
    else if (is_import)
        stream_end(stream, NULL, 0);
    else
        stream_pump_outlets(stream);
}

void stream_exec_pumped(struct stream *stream)
{
    if (stream->kind == STREAM_EXEC && stream->has_status && !stream->is_closed &&
        !stream->outlets[0].is_open && !stream->outlets[1].is_open)
        stream_end(stream, NULL, stream->exit_code);
}

void stream_exec_heard(struct stream *stream)
{
    PROMISE(stream->kind != STREAM_EXEC || !stream->is_closed);
}

void stream_exec_cut(struct stream *stream)
{
    stream->is_cut = true;
}

void stream_exec_kill(struct stream *stream)
{
    stream->is_killing = true;
}

void stream_exec_record(struct stream *stream, const struct kw_spawn_record *record)
{
    PROMISE(stream->is_spawned && stream->spawn == record->spawn);
}

void stream_exec_resize(struct stream *stream, uint16_t rows, uint16_t columns)
{
    (void)stream;
    (void)rows;
    (void)columns;
}

void stream_exec_remove_leaf(struct stream *stream)
{
    (void)stream;
}

void stream_exec_generation_over(struct stream *stream)
{
    stream_exec_kill(stream);
}

/* ---- who looks for a text on the console ---- */

void readiness_console_grew(struct agent *a, uint32_t index)
{
    if (a != &agent || index >= CT_MAX)
        abort();
}
