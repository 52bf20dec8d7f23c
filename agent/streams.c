/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "ensure.h"

void streams_open(struct streams *streams, struct agent *agent)
{
    streams->agent = agent;
}

struct agent *stream_agent(const struct stream *stream)
{
    return stream->streams->agent;
}

static bool send_message(struct agent *agent, uint64_t origin, const struct message *message)
{
    if (origin == ORIGIN_UPSTREAM)
        return upstream_send_bulk(&agent->upstream, message);
    struct local_client *client = local_find(&agent->local, origin);
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
    if (!send_message(stream_agent(stream), stream->origin, &message)) {
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

int stream_add_outlet(struct stream *stream, struct outlet *outlet, int fd_consumed,
                      enum lane lane)
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

/* False: nothing more can be done with it now. */
static bool pump_once(struct stream *stream, struct outlet *outlet)
{
    uint8_t chunk[STREAM_FRAME_BYTES_MAX];
    size_t room = stream_room(stream);

    if (room == 0)
        return false;
    ssize_t n = read(outlet->fd, chunk, room);
    if (n < 0 && errno == EINTR)
        return true;
    bool is_over = n == 0 || (n < 0 && errno != EAGAIN) || (n < 0 && stream->has_status);
    if (n > 0 && !stream_send(stream, outlet->lane, chunk, (size_t)n, false)) {
        /* LIMIT: octets read and refused by a peer that broke its own credit are gone; the stream
         * ends, rather than go on with a hole. */
        stream_fail(stream, STATUS_FAILED, ENOBUFS, "the reader is too slow");
        return false;
    }
    if (is_over && stream_send(stream, outlet->lane, NULL, 0, true))
        stream_close_outlet(outlet);
    return n > 0;
}

static void arm(struct stream *stream, struct outlet *outlet)
{
    bool is_wanted = stream_room(stream) > 0;

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
            if (!pump_once(stream, outlet) || (n >= CHUNKS_PER_WAKE && !stream->has_status))
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
    if (send_message(stream_agent(stream), stream->origin, &message))
        stream->granted_bytes = wanted;
}

static void on_inlet_closed(uv_handle_t *handle)
{
    struct inlet *inlet = container_of((uv_poll_t *)(void *)handle, struct inlet, poll);

    (void)close(inlet->fd);
    inlet->stream->handles--;
    stream_free_if_done(inlet->stream);
}

static void close_inlet(struct inlet *inlet)
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
        size_t taken = n < 0 ? inlet->waiting_bytes : (size_t)n; /* EPIPE: nobody reads it any more */
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
        close_inlet(inlet);
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

/* ---- ending ---- */

void stream_free_if_done(struct stream *stream)
{
    struct streams *streams = stream->streams;

    if (!stream->is_closed || stream->handles > 0 || stream->is_working || stream->is_spawned)
        return;
    for (struct stream **at = &streams->first; *at != NULL; at = &(*at)->next) {
        if (*at != stream)
            continue;
        *at = stream->next;
        break;
    }
    streams->count--;
    if (stream->kill >= 0)
        (void)close(stream->kill);
    arena_close(&stream->arena);
    free(stream->inlet.waiting);
    free(stream->kept);
    free(stream);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct stream *stream = container_of((uv_timer_t *)(void *)handle, struct stream, timer);

    stream->handles--;
    stream_free_if_done(stream);
}

static void let_go(struct stream *stream)
{
    stream->is_closed = true;
    if (!stream->inlet.is_ended || stream->inlet.waiting_bytes > 0)
        atomic_store(&stream->is_input_cut, true); /* before its reader sees the end of the pipe */
    stream_close_outlet(&stream->outlets[0]);
    stream_close_outlet(&stream->outlets[1]);
    close_inlet(&stream->inlet);
    uv_close((uv_handle_t *)&stream->timer, on_timer_closed);
}

void stream_end(struct stream *stream, const struct fault *fault, int32_t exit_code)
{
    struct message message = {.kind = MESSAGE_STREAM_END};

    if (stream->is_closed)
        return;
    message.stream_end = (struct stream_end){
        .stream = stream->number, .bytes = stream->out_bytes, .exit_code = exit_code};
    if (fault != NULL && fault->status != STATUS_UNSET)
        view_fault(stream_agent(stream), fault, stream->container, &message.stream_end.fault);
    if (stream->origin != 0 && !send_message(stream_agent(stream), stream->origin, &message)) {
        stream->is_blocked = true; /* its last word waits for room: streams_origin_drained() */
        stream->is_ending = true;
        if (fault != NULL)
            stream->fault = *fault;
        stream->exit_code = exit_code;
        return;
    }
    let_go(stream);
}

void stream_fail(struct stream *stream, enum status status, int error, const char *text)
{
    struct fault fault;

    fault_set(&fault, status, error, "%s", text);
    stream_end(stream, &fault, 125);
}

void stream_abandon(struct stream *stream)
{
    if (stream->kind == STREAM_EXEC)
        stream_exec_kill(stream);
    let_go(stream);
    stream_free_if_done(stream);
}

/* ---- opening and taking ---- */

static struct stream *find(struct streams *streams, uint64_t origin, uint64_t number)
{
    for (struct stream *stream = streams->first; stream != NULL; stream = stream->next)
        if (stream->origin == origin && stream->number == number && !stream->is_closed)
            return stream;
    return NULL;
}

/* A deep copy by way of the codec: one walk over the struct, kept in one place. */
static int copy_open(struct stream *stream, const struct stream_open *open)
{
    struct message from = {.kind = MESSAGE_STREAM_OPEN, .stream_open = *open};
    struct message to;
    struct buffer buffer = {0};
    int result = codec_encode(&from, &buffer);

    if (result == 0)
        result = codec_decode(buffer.data, buffer.size_bytes, &stream->arena, &to);
    if (result == 0)
        stream->open = to.stream_open;
    buffer_close(&buffer);
    return result;
}

static struct stream *stream_new(struct streams *streams, uint64_t origin,
                                 const struct stream_open *open)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    ENSURE(stream != NULL);
    stream->streams = streams;
    stream->origin = origin;
    stream->number = open->stream;
    stream->kind = open->kind;
    stream->credit_bytes = stream->granted_bytes = STREAM_CREDIT_BYTES;
    stream->outlets[0].fd = stream->outlets[1].fd = stream->inlet.fd = stream->kill = -1;
    (void)strncpy(stream->container, open->container, NAME_BYTES - 1);
    (void)uv_timer_init(&streams->agent->loop, &stream->timer);
    stream->handles = 1;
    stream->next = streams->first;
    streams->first = stream;
    streams->count++;
    return stream;
}

static void start(struct stream *stream)
{
    switch (stream->kind) {
    case STREAM_EXEC:
        stream_exec_start(stream);
        return;
    case STREAM_CONSOLE:
    case STREAM_LOGS:
        stream_console_start(stream);
        return;
    case STREAM_IMPORT:
        stream_import_start(stream);
        return;
    case STREAM_UNSET:
    case STREAM_COUNT:
        break;
    }
    stream_fail(stream, STATUS_UNSUPPORTED, 0, "this agent does not know that kind of stream");
}

static void take_open(struct streams *streams, uint64_t origin, const struct stream_open *open)
{
    if (find(streams, origin, open->stream) != NULL)
        return; /* never reused on a connection: a repeat of what is known */
    struct stream *stream = stream_new(streams, origin, open);
    struct fault fault = {0};

    if (streams->count > STREAMS_MAX) {
        stream_fail(stream, STATUS_BUSY, 0, "too many streams are open on this node");
        return;
    }
    if (copy_open(stream, open) < 0) {
        stream_fail(stream, STATUS_INVALID, 0, "it cannot be read");
        return;
    }
    if (open->node[0] != '\0' && strcmp(open->node, streams->agent->options->node) != 0) {
        fault_set(&fault, STATUS_NOT_FOUND, 0, "this is node %s, not %s",
                  streams->agent->options->node, open->node);
        stream_end(stream, &fault, 125);
        return;
    }
    if (stream->kind != STREAM_IMPORT) {
        const struct ct *ct = agent_find(streams->agent, open->container, &fault);

        if (ct == NULL) {
            stream_end(stream, &fault, 125);
            return;
        }
        stream->ct = ct->index;
        stream->generation = ct->generation;
    }
    start(stream);
}

static void take_frame(struct stream *stream, const struct stream_frame *frame)
{
    uint64_t bytes = stream->in_bytes + frame->data.size_bytes;

    if (frame->number != stream->in_number + 1 || bytes > stream->granted_bytes) {
        stream_fail(stream, STATUS_STREAM_LOST, 0,
                    frame->number != stream->in_number + 1 ? "a frame is missing"
                                                           : "more was sent than was granted");
        return;
    }
    stream->in_number++;
    stream->in_bytes = bytes;
    if (frame->lane == LANE_RESIZE) {
        stream->written_bytes += frame->data.size_bytes;
        if (frame->data.size_bytes == 4)
            stream_exec_resize(stream,
                               (uint16_t)(frame->data.data[0] | frame->data.data[1] << 8),
                               (uint16_t)(frame->data.data[2] | frame->data.data[3] << 8));
        return;
    }
    if (stream->kind == STREAM_CONSOLE)
        stream_console_take(stream, frame);
    else
        stream_write(stream, &frame->data, frame->is_end);
}

static void pump(struct stream *stream)
{
    if (stream->is_ending) {
        struct fault fault = stream->fault;

        stream_end(stream, &fault, stream->exit_code);
        return;
    }
    if (stream->kind == STREAM_EXEC)
        stream_pump_outlets(stream);
    if (stream->kind == STREAM_CONSOLE || stream->kind == STREAM_LOGS)
        stream_console_pump(stream);
}

void streams_take(struct streams *streams, uint64_t origin, const struct message *message)
{
    struct stream *stream;

    switch ((int)message->kind) {
    case MESSAGE_STREAM_OPEN:
        take_open(streams, origin, &message->stream_open);
        return;
    case MESSAGE_STREAM_FRAME:
        stream = find(streams, origin, message->stream_frame.stream);
        if (stream != NULL)
            take_frame(stream, &message->stream_frame);
        return;
    case MESSAGE_STREAM_CREDIT:
        stream = find(streams, origin, message->stream_credit.stream);
        if (stream == NULL)
            return;
        if (message->stream_credit.bytes > stream->credit_bytes)
            stream->credit_bytes = message->stream_credit.bytes;
        pump(stream);
        return;
    case MESSAGE_STREAM_END:
        stream = find(streams, origin, message->stream_end.stream);
        if (stream != NULL)
            stream_abandon(stream);
        return;
    }
}

void streams_origin_gone(struct streams *streams, uint64_t origin)
{
    struct stream *next;

    for (struct stream *stream = streams->first; stream != NULL; stream = next) {
        next = stream->next;
        if (stream->origin == origin && !stream->is_closed)
            stream_abandon(stream);
    }
}

void streams_origin_drained(struct streams *streams, uint64_t origin)
{
    struct stream *next;

    for (struct stream *stream = streams->first; stream != NULL; stream = next) {
        next = stream->next;
        if (stream->origin != origin || !stream->is_blocked || stream->is_closed)
            continue;
        stream->is_blocked = false;
        pump(stream);
    }
}

/* ---- what the rest of the agent tells streams ---- */

static struct stream *find_spawn(struct streams *streams, uint64_t spawn)
{
    for (struct stream *stream = streams->first; stream != NULL; stream = stream->next)
        if (stream->is_spawned && stream->spawn == spawn)
            return stream;
    return NULL;
}

void streams_spawn_record(struct streams *streams, const struct kw_spawn_record *record, int *fds,
                          const uint8_t *roles)
{
    struct stream *stream = find_spawn(streams, record->spawn);
    struct kw_ack ack = {.launch = record->spawn, .change = record->change};

    keeper_client_send(&streams->agent->keeper, &ack.header, KW_ACK_SPAWN, sizeof(ack), NULL, 0);
    if (stream != NULL)
        stream_exec_record(stream, record, fds, roles);
}

void streams_spawn_refused(struct streams *streams, uint64_t spawn, int error)
{
    struct stream *stream = find_spawn(streams, spawn);

    if (stream == NULL)
        return;
    stream->is_spawned = false;
    stream_fail(stream, STATUS_KEEPER_FULL, error, "the keeper refused to start it");
    stream_free_if_done(stream);
}

void streams_console_grew(struct streams *streams, uint32_t ct)
{
    struct stream *next;

    for (struct stream *stream = streams->first; stream != NULL; stream = next) {
        next = stream->next;
        if (stream->ct == ct && !stream->is_closed &&
            (stream->kind == STREAM_CONSOLE || stream->kind == STREAM_LOGS))
            stream_console_pump(stream);
    }
}

void streams_end_generation(struct streams *streams, uint32_t ct)
{
    struct stream *next;

    for (struct stream *stream = streams->first; stream != NULL; stream = next) {
        next = stream->next;
        if (stream->ct != ct || stream->is_closed || stream->kind == STREAM_IMPORT)
            continue;
        if (stream->kind == STREAM_EXEC) {
            stream_exec_generation_over(stream);
            continue;
        }
        stream_console_pump(stream); /* its last words */
        stream_end(stream, NULL, 0);
    }
}

void streams_keeper_lost(struct streams *streams)
{
    struct stream *next;

    for (struct stream *stream = streams->first; stream != NULL; stream = next) {
        next = stream->next;
        if (!stream->is_spawned)
            continue;
        stream->is_spawned = false;
        stream_fail(stream, STATUS_AGENT_LOST, 0, "the keeper ended under it");
        stream_free_if_done(stream);
    }
}

void streams_run_inside(struct streams *streams, uint32_t ct, const char *const *argv)
{
    struct stream_open open = {.kind = STREAM_EXEC,
                               .container = node_get(streams->agent->node, ct)->name,
                               .argv = argv,
                               .timeout_ns = 60 * SECOND_NS,
                               .node = "",
                               .request_id = "",
                               .cwd = "",
                               .user = ""};

    while (argv[open.argv_count] != NULL)
        open.argv_count++;
    struct stream *stream = stream_new(streams, 0, &open);
    if (copy_open(stream, &open) < 0) {
        stream_fail(stream, STATUS_FAILED, 0, "");
        return;
    }
    stream->ct = ct;
    stream->generation = node_get(streams->agent->node, ct)->generation;
    stream_exec_start(stream);
}
