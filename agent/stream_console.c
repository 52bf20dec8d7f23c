/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's console: what it says, out of the keeper's ring; what is typed, into the pty. The ring
 * is read at each stream's own position, so a slow reader loses the oldest and nobody else does.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "console_tail.h"
#include "ensure.h"

static void on_output(uv_poll_t *handle, int status, int events)
{
    struct outlet *outlet = container_of(handle, struct outlet, poll);
    uint64_t ignored;

    (void)status;
    (void)events;
    (void)!read(outlet->fd, &ignored,
                sizeof(ignored)); /* one reader resets it for all: so all look */
    streams_console_grew(outlet->stream->streams, outlet->stream->ct);
}

static void send_kept(struct stream *stream)
{
    size_t room;

    while ((room = stream_room(stream)) > 0 && stream->kept_at < stream->kept_bytes) {
        size_t left = stream->kept_bytes - stream->kept_at;
        size_t count = left < room ? left : room;

        if (!stream_send(stream, LANE_STDOUT, stream->kept + stream->kept_at, count, false))
            return;
        stream->kept_at += count;
    }
    if (stream->kept_at == stream->kept_bytes)
        stream_end(stream, NULL, 0);
}

static void send_ring(struct stream *stream, const struct slot *slot)
{
    uint8_t chunk[STREAM_FRAME_BYTES_MAX];
    size_t room;

    while ((room = stream_room(stream)) > 0) {
        uint64_t position = stream->position;
        size_t count = console_tail_read(slot->ring, slot->ring_bytes, &position, chunk, room);

        if (count == 0)
            break;
        if (!stream_send(stream, LANE_STDOUT, chunk, count, false))
            return; /* it stays where it was, and reads them again */
        stream->position = position;
    }
    if (room > 0 && stream->kind == STREAM_LOGS && !stream->open.is_follow)
        stream_end(stream, NULL, 0);
}

void stream_console_pump(struct stream *stream)
{
    struct slot *slot = &stream_agent(stream)->slots[stream->ct];

    if (stream->is_closed)
        return;
    if (stream->kept != NULL)
        send_kept(stream);
    else if (slot->ring != NULL)
        send_ring(stream, slot);
}

static void start_kept(struct stream *stream)
{
    struct agent *agent = stream_agent(stream);
    int fd = console_tail_open(&agent->rootfs, node_get(agent->node, stream->ct)->uuid);

    stream->kept = malloc(KW_RING_DEFAULT_BYTES);
    ENSURE(stream->kept != NULL);
    if (fd >= 0) {
        ssize_t n = read(fd, stream->kept, KW_RING_DEFAULT_BYTES);

        stream->kept_bytes = n > 0 ? (size_t)n : 0;
        (void)close(fd);
    }
    stream_console_pump(stream);
}

void stream_console_start(struct stream *stream)
{
    struct agent *agent = stream_agent(stream);
    const struct ct *ct = node_get(agent->node, stream->ct);
    struct slot *slot = &agent->slots[stream->ct];
    struct fault fault;

    if (slot->ring == NULL && stream->kind == STREAM_LOGS) {
        start_kept(stream);
        return;
    }
    if (slot->ring == NULL || (stream->kind == STREAM_CONSOLE && slot->pty < 0)) {
        fault_set(&fault, STATUS_WRONG_STATE, 0, "%s has no console: it is %s", ct->name,
                  ct_state_name(ct->state));
        if (slot->has_lost_notify)
            fault_hint(&fault, "its keeper died, and a new one is being made: try again");
        stream_end(stream, &fault, 125);
        return;
    }
    if (stream->kind == STREAM_CONSOLE) {
        stream->position = __atomic_load_n(&slot->ring->written, __ATOMIC_ACQUIRE);
        int in = fcntl(slot->pty, F_DUPFD_CLOEXEC, 3);

        if (in >= 0)
            (void)stream_add_inlet(stream, in);
        if (stream->open.rows != 0)
            stream_exec_resize(stream, (uint16_t)stream->open.rows, (uint16_t)stream->open.columns);
    }
    int output = slot->output >= 0 ? fcntl(slot->output, F_DUPFD_CLOEXEC, 3) : -1;
    if (output >= 0 && stream_add_outlet(stream, &stream->outlets[0], output, LANE_STDOUT) == 0)
        (void)uv_poll_start(&stream->outlets[0].poll, UV_READABLE, on_output);
    stream_console_pump(stream);
}

void stream_console_take(struct stream *stream, const struct stream_frame *frame)
{
    stream_write(stream, &frame->data, false); /* the guest's console has no end of its own */
}
