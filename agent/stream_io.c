/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The octets of a stream, both ways: outlets are read within the credit that their reader gave, the
 * inlet is written as fast as it takes, and gives credit for what it took.
 */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "ensure.h"

bool stream_send_message(const struct stream *stream, const struct message *message)
{
    struct agent *agent = stream_agent(stream);

    if (stream->origin == ORIGIN_UPSTREAM)
        return upstream_send_bulk(&agent->upstream, message);
    struct local_client *client = local_find(&agent->local, stream->origin);
    return client != NULL && local_send(client, message) == 0;
}

/* ---- out ---- */

size_t stream_room(const struct stream *stream)
{
    if (stream->is_blocked || stream->is_closed || stream->credit_bytes <= stream->out_bytes)
        return 0;
    uint64_t room = stream->credit_bytes - stream->out_bytes;
    return room < STREAM_FRAME_BYTES_MAX ? (size_t)room : STREAM_FRAME_BYTES_MAX;
}

bool stream_send(struct stream *stream, enum lane lane, const void *data, size_t size_bytes,
                 bool is_end)
{
    struct message message = {.kind = MESSAGE_STREAM_FRAME};

    if (stream->origin == 0 || stream->is_closed)
        return true;
    message.stream_frame = (struct stream_frame){.stream = stream->number,
                                                 .number = stream->out_number + 1,
                                                 .lane = lane,
                                                 .data = {data, size_bytes},
                                                 .is_end = is_end};
    if (!stream_send_message(stream, &message)) {
        stream->is_blocked = true;
        return false;
    }
    stream->out_number++;
    stream->out_bytes += size_bytes;
    return true;
}

static void on_outlet(uv_poll_t *handle, int status, int events)
{
    (void)status; /* an error is read as one */
    (void)events;
    stream_pump_outlets(container_of(handle, struct outlet, poll)->stream);
}

static void on_outlet_closed(uv_handle_t *handle)
{
    struct outlet *outlet = container_of((uv_poll_t *)(void *)handle, struct outlet, poll);

    (void)close(outlet->fd);
    outlet->stream->handles--;
    stream_free_if_done(outlet->stream);
}

int stream_add_outlet(struct stream *stream, struct outlet *outlet, int fd_consumed, enum lane lane)
{
    int result = uv_poll_init(&stream_agent(stream)->loop, &outlet->poll, fd_consumed);

    if (result < 0) {
        (void)close(fd_consumed);
        return result;
    }
    outlet->stream = stream;
    outlet->fd = fd_consumed;
    outlet->lane = lane;
    outlet->is_open = true;
    stream->handles++;
    return 0;
}

void stream_close_outlet(struct outlet *outlet)
{
    if (!outlet->is_open)
        return;
    outlet->is_open = false;
    uv_close((uv_handle_t *)&outlet->poll, on_outlet_closed);
}

static void keep_unsent(struct outlet *outlet, const uint8_t *data, size_t size_bytes)
{
    outlet->unsent = malloc(size_bytes);
    ENSURE(outlet->unsent != NULL);
    memcpy(outlet->unsent, data, size_bytes);
    outlet->unsent_bytes = size_bytes;
}

/* The other outlet may have used up the credit meanwhile: then more of it is waited for. */
static bool send_unsent(struct stream *stream, struct outlet *outlet)
{
    if (outlet->unsent == NULL)
        return true;
    if (stream_room(stream) < outlet->unsent_bytes ||
        !stream_send(stream, outlet->lane, outlet->unsent, outlet->unsent_bytes, false))
        return false;
    free(outlet->unsent);
    outlet->unsent = NULL;
    return true;
}

/* False: nothing more can be done with it now. */
static bool pump_once(struct stream *stream, struct outlet *outlet)
{
    uint8_t chunk[STREAM_FRAME_BYTES_MAX];

    if (!send_unsent(stream, outlet))
        return false;
    size_t room = stream_room(stream);
    if (room == 0)
        return false;
    ssize_t n = read(outlet->fd, chunk, room);
    if (n < 0 && errno == EINTR)
        return true;
    bool is_over = n == 0 || (n < 0 && errno != EAGAIN);
    if (n < 0 && is_over) /* ECONNRESET: the relay did not end by itself */
        stream_exec_cut(stream);
    if (n > 0)
        stream_exec_heard(stream);
    if (n > 0 && !stream_send(stream, outlet->lane, chunk, (size_t)n, false)) {
        keep_unsent(outlet, chunk, (size_t)n);
        return false;
    }
    if (is_over && stream_send(stream, outlet->lane, NULL, 0, true))
        stream_close_outlet(outlet);
    return n > 0;
}

static void arm(struct stream *stream, struct outlet *outlet)
{
    bool is_wanted = stream_room(stream) > 0 && outlet->unsent == NULL;

    if (!outlet->is_open || is_wanted == outlet->is_armed)
        return;
    outlet->is_armed = is_wanted;
    if (is_wanted)
        (void)uv_poll_start(&outlet->poll, UV_READABLE, on_outlet);
    else
        (void)uv_poll_stop(&outlet->poll);
}

#define CHUNKS_PER_WAKE 8 /* then other streams have their turn */

void stream_pump_outlets(struct stream *stream)
{
    for (size_t i = 0; i < 2; i++) {
        struct outlet *outlet = &stream->outlets[i];

        for (int n = 0; outlet->is_open && !stream->is_closed; n++)
            if (!pump_once(stream, outlet) || n >= CHUNKS_PER_WAKE)
                break;
        arm(stream, outlet);
    }
    stream_exec_pumped(stream);
}

/* ---- in ---- */

void stream_grant(struct stream *stream)
{
    struct message message = {.kind = MESSAGE_STREAM_CREDIT};
    uint64_t wanted = stream->written_bytes + STREAM_CREDIT_BYTES;

    if (wanted < stream->granted_bytes + STREAM_CREDIT_BYTES / 4)
        return;
    message.stream_credit = (struct stream_credit){stream->number, wanted};
    if (stream_send_message(stream, &message))
        stream->granted_bytes = wanted;
}

static void on_inlet_closed(uv_handle_t *handle)
{
    struct inlet *inlet = container_of((uv_poll_t *)(void *)handle, struct inlet, poll);

    (void)close(inlet->fd);
    inlet->stream->handles--;
    stream_free_if_done(inlet->stream);
}

void stream_close_inlet(struct inlet *inlet)
{
    if (!inlet->is_open)
        return;
    inlet->is_open = false;
    uv_close((uv_handle_t *)&inlet->poll, on_inlet_closed);
}

static void on_inlet(uv_poll_t *handle, int status, int events);

static void flush_inlet(struct stream *stream)
{
    struct inlet *inlet = &stream->inlet;

    while (inlet->is_open && inlet->waiting_bytes > 0) {
        ssize_t n = write(inlet->fd, inlet->waiting, inlet->waiting_bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        size_t taken =
            n < 0 ? inlet->waiting_bytes : (size_t)n; /* EPIPE: nobody reads it any more */
        memmove(inlet->waiting, inlet->waiting + taken, inlet->waiting_bytes - taken);
        inlet->waiting_bytes -= taken;
        stream->written_bytes += taken;
    }
    bool is_wanted = inlet->is_open && inlet->waiting_bytes > 0;
    if (is_wanted && !inlet->is_armed)
        (void)uv_poll_start(&inlet->poll, UV_WRITABLE, on_inlet);
    if (!is_wanted && inlet->is_armed && inlet->is_open)
        (void)uv_poll_stop(&inlet->poll);
    inlet->is_armed = is_wanted;
    if (inlet->is_open && inlet->waiting_bytes == 0 && inlet->is_ended)
        stream_close_inlet(inlet);
    if (!stream->is_closed)
        stream_grant(stream);
}

static void on_inlet(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    flush_inlet(container_of(handle, struct inlet, poll)->stream);
}

int stream_add_inlet(struct stream *stream, int fd_consumed)
{
    struct inlet *inlet = &stream->inlet;
    int result = uv_poll_init(&stream_agent(stream)->loop, &inlet->poll, fd_consumed);

    if (result < 0) {
        (void)close(fd_consumed);
        return result;
    }
    inlet->stream = stream;
    inlet->fd = fd_consumed;
    inlet->is_open = true;
    stream->handles++;
    flush_inlet(stream); /* what came before there was anybody to read it */
    return 0;
}

void stream_write(struct stream *stream, const struct octets *data, bool is_end)
{
    struct inlet *inlet = &stream->inlet;

    if (inlet->waiting == NULL)
        inlet->waiting = malloc(STREAM_CREDIT_BYTES);
    ENSURE(inlet->waiting != NULL);
    ENSURE(inlet->waiting_bytes + data->size_bytes <= STREAM_CREDIT_BYTES); /* checked by credit */
    if (data->size_bytes > 0) /* an end may come without octets, and without a place for them */
        memcpy(inlet->waiting + inlet->waiting_bytes, data->data, data->size_bytes);
    inlet->waiting_bytes += data->size_bytes;
    inlet->is_ended = inlet->is_ended || is_end;
    if (inlet->is_open)
        flush_inlet(stream);
}
