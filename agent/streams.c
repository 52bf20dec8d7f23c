/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "ensure.h"

static_assert(SPAWNS_KEPT >= 2 * REBINDS_MAX, "consoles leave room for stops and hooks");
static_assert(STREAMS_MAX >= 16 * STREAMS_CT_MAX, "no few guests have all of a node's");

void streams_open(struct streams *streams, struct agent *agent)
{
    streams->agent = agent;
}

struct agent *stream_agent(const struct stream *stream)
{
    return stream->streams->agent;
}

/* ---- ending ---- */

static void free_octets(uint8_t **octets)
{
    free(*octets);
    *octets = NULL;
}

/* All but its number, where and how it ended. */
static void free_parts(struct stream *stream)
{
    stream->is_counted = false;
    fd_closep(&stream->kill);
    fd_closep(&stream->control);
    fd_closep(&stream->program);
    fd_closep(&stream->output);
    arena_close(&stream->arena);
    free_octets(&stream->outlets[0].unsent);
    free_octets(&stream->outlets[1].unsent);
    free_octets(&stream->inlet.waiting);
    free_octets(&stream->kept);
}

void stream_free_if_done(struct stream *stream)
{
    struct streams *streams = stream->streams;

    if (!stream->is_closed || stream->handles > 0 || stream->is_working || stream->is_spawned)
        return;
    free_parts(stream);
    if (stream->is_end_due)
        return;
    for (struct stream **at = &streams->first; *at != NULL; at = &(*at)->next) {
        if (*at != stream)
            continue;
        *at = stream->next;
        break;
    }
    if (stream->origin != 0)
        streams->count--;
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
    if (stream->kind == STREAM_EXEC)
        stream_exec_kill(stream); /* what still runs has nobody left who hears of it */
    if (!stream->inlet.is_ended || stream->inlet.waiting_bytes > 0)
        atomic_store(&stream->is_input_cut, true); /* before its reader sees the end of the pipe */
    stream_close_outlet(&stream->outlets[0]);
    stream_close_outlet(&stream->outlets[1]);
    stream_close_inlet(&stream->inlet);
    uv_close((uv_handle_t *)&stream->timer, on_timer_closed);
}

static void tell_inside(struct stream *stream)
{
    const struct inside_end end = {.ct = stream->ct,
                                   .generation = stream->generation,
                                   .step = stream->step,
                                   .exit_code = stream->exit_code,
                                   .wait_status = stream->wait_status,
                                   .fault = &stream->fault,
                                   .lasted_ns = clock_monotonic_ns() - stream->began_ns};
    inside_fn on_end = stream->on_end;

    stream->on_end = NULL;
    if (on_end != NULL)
        on_end(stream_agent(stream), &end);
}

/* Its last word; without room it waits for streams_origin_drained(). */
static void say_end(struct stream *stream)
{
    struct message message = {.kind = MESSAGE_STREAM_END};

    message.stream_end = (struct stream_end){
        .stream = stream->number, .bytes = stream->out_bytes, .exit_code = stream->exit_code};
    if (stream->fault.status != STATUS_UNSET)
        view_fault(stream_agent(stream), &stream->fault, stream->container,
                   &message.stream_end.fault);
    stream->is_end_due = !stream_send_message(stream, &message);
}

void stream_end(struct stream *stream, const struct fault *fault, int32_t exit_code)
{
    if (stream->is_closed)
        return;
    if (fault != NULL)
        stream->fault = *fault;
    stream->exit_code = exit_code;
    let_go(stream);
    if (stream->origin != 0)
        say_end(stream);
    tell_inside(stream);
}

void stream_fail(struct stream *stream, enum status status, int error, const char *text)
{
    struct fault fault;

    fault_set(&fault, status, error, "%s", text);
    stream_end(stream, &fault, 125);
}

void stream_abandon(struct stream *stream)
{
    stream->is_end_due = false;
    if (!stream->is_closed)
        let_go(stream);
    stream_free_if_done(stream);
}

/* ---- opening and taking ---- */

static struct stream *find(struct streams *streams, uint64_t origin, uint64_t number)
{
    for (struct stream *stream = streams->first; stream != NULL; stream = stream->next)
        if (stream->origin == origin && stream->number == number &&
            (!stream->is_closed || stream->is_end_due))
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
    stream->control = stream->program = stream->output = -1;
    (void)strncpy(stream->container, open->container, NAME_BYTES - 1);
    (void)uv_timer_init(&streams->agent->loop, &stream->timer);
    stream->handles = 1;
    stream->next = streams->first;
    streams->first = stream;
    if (origin != 0)
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

/* Nothing is kept of it, or opening would cost memory without a bound. LIMIT: an origin that takes
 * no more is hung up on, where it is a local client; a controller loses the answer. */
static void refuse_open(struct streams *streams, uint64_t origin, const struct stream_open *open)
{
    const struct stream stream = {.streams = streams, .origin = origin};
    struct message message = {.kind = MESSAGE_STREAM_END};
    struct fault fault = {0};

    fault_set(&fault, STATUS_BUSY, 0, "%u streams are open on this node, which is all it has",
              (uint64_t)STREAMS_MAX);
    message.stream_end = (struct stream_end){.stream = open->stream, .exit_code = 125};
    view_fault(streams->agent, &fault, open->container, &message.stream_end.fault);
    if (stream_send_message(&stream, &message) || origin == ORIGIN_UPSTREAM)
        return;
    struct local_client *client = local_find(&streams->agent->local, origin);
    if (client != NULL)
        local_hang_up(client);
}

/* False: it has all that it may have. Those that are closed and yet there count too. */
static bool count_in(struct stream *stream, const struct ct *ct)
{
    struct fault fault = {0};
    uint32_t count = 0;

    for (const struct stream *other = stream->streams->first; other != NULL; other = other->next)
        count += other->is_counted && other->ct == ct->index;
    stream->is_counted = count < STREAMS_CT_MAX;
    if (stream->is_counted)
        return true;
    fault_set(&fault, STATUS_BUSY, 0,
              "%s has %u streams open (exec, shell, console, logs), which is all that it may have",
              ct->name, (uint64_t)STREAMS_CT_MAX);
    fault_hint(&fault, "end some; what is left of those that ended goes when it stops");
    stream_end(stream, &fault, 125);
    return false;
}

static void take_open(struct streams *streams, uint64_t origin, const struct stream_open *open)
{
    if (find(streams, origin, open->stream) != NULL)
        return; /* never reused on a connection: a repeat of what is known */
    if (streams->count >= STREAMS_MAX) {
        refuse_open(streams, origin, open);
        return;
    }
    struct stream *stream = stream_new(streams, origin, open);
    struct fault fault = {0};

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
        if (!count_in(stream, ct))
            return;
        stream->ct = ct->index;
        stream->generation = ct->generation;
    }
    start(stream);
}

static void take_frame(struct stream *stream, const struct stream_frame *frame)
{
    uint64_t bytes = stream->in_bytes + frame->data.size_bytes;

    if (stream->is_closed)
        return;
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
            stream_exec_resize(stream, (uint16_t)(frame->data.data[0] | frame->data.data[1] << 8),
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
    if (stream->is_closed)
        return;
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
        if (stream->origin == origin)
            stream_abandon(stream);
    }
}

void streams_origin_drained(struct streams *streams, uint64_t origin)
{
    struct stream *next;

    for (struct stream *stream = streams->first; stream != NULL; stream = next) {
        next = stream->next;
        if (stream->origin != origin)
            continue;
        if (stream->is_end_due) {
            say_end(stream);
            stream_free_if_done(stream);
        } else if (stream->is_blocked) {
            stream->is_blocked = false;
            pump(stream);
        }
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

void streams_spawn_record(struct streams *streams, const struct kw_spawn_record *record)
{
    struct stream *stream = find_spawn(streams, record->spawn);
    struct kw_ack ack = {.launch = record->spawn, .change = record->change};

    (void)keeper_client_send(&streams->agent->keeper, &ack.header, KW_ACK_SPAWN, sizeof(ack), NULL,
                             0); /* without descriptors: it does not fail */
    if (stream != NULL)
        stream_exec_record(stream, record);
}

void streams_spawn_refused(struct streams *streams, uint64_t spawn, int error)
{
    struct stream *stream = find_spawn(streams, spawn);

    if (stream == NULL)
        return;
    stream->is_spawned = false;
    stream_exec_remove_leaf(stream);
    stream_fail(stream, STATUS_KEEPER_FULL, error, "the keeper refused to start it");
    stream_free_if_done(stream);
}

void streams_console_grew(struct streams *streams, uint32_t ct)
{
    struct stream *next;

    readiness_console_grew(streams->agent, ct);
    for (struct stream *stream = streams->first; stream != NULL; stream = next) {
        next = stream->next;
        if (stream->ct == ct && !stream->is_closed &&
            (stream->kind == STREAM_CONSOLE || stream->kind == STREAM_LOGS))
            stream_console_pump(stream);
    }
}

void streams_console_lost(struct streams *streams, uint32_t ct)
{
    struct stream *next;

    for (struct stream *stream = streams->first; stream != NULL; stream = next) {
        next = stream->next;
        if (stream->ct != ct || stream->is_closed || stream->kept != NULL ||
            (stream->kind != STREAM_CONSOLE && stream->kind != STREAM_LOGS))
            continue;
        stream_console_pump(stream); /* what it can still have */
        stream_fail(stream, STATUS_STREAM_LOST, 0,
                    "the console was lost with its keeper; there is a new one");
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
        stream_exec_kill(stream);
        if (streams->agent->slots[stream->ct].stale_below <= stream->leaf) /* removed when empty */
            streams->agent->slots[stream->ct].stale_below = stream->leaf + 1;
        stream->is_spawned = false;
        stream_fail(stream, STATUS_AGENT_LOST, 0, "the keeper ended under it");
        stream_free_if_done(stream);
    }
}

static int take_program(struct stream *stream, const struct inside_program *program)
{
    stream->stage_pid = program->pid;
    stream->program = fcntl(program->file, F_DUPFD_CLOEXEC, 0);
    stream->output = fcntl(program->output, F_DUPFD_CLOEXEC, 0);
    return stream->program < 0 || stream->output < 0 ? -errno : 0;
}

void streams_run_inside(struct streams *streams, uint32_t ct, const struct inside *inside)
{
    struct stream_open open = {.kind = STREAM_EXEC,
                               .container = node_get(streams->agent->node, ct)->name,
                               .argv = inside->argv,
                               .timeout_ns = inside->timeout_ns,
                               .node = "",
                               .request_id = "",
                               .cwd = "",
                               .user = ""};

    while (inside->argv[open.argv_count] != NULL)
        open.argv_count++;
    if (inside->program != NULL) {
        open.env = inside->program->env;
        open.env_count = inside->program->env_count;
    }
    struct stream *stream = stream_new(streams, 0, &open);
    stream->ct = ct;
    stream->generation = node_get(streams->agent->node, ct)->generation;
    stream->probe = inside->probe;
    stream->on_end = inside->on_end;
    stream->step = inside->step;
    stream->began_ns = clock_monotonic_ns();
    int result = copy_open(stream, &open);
    if (result == 0 && inside->program != NULL)
        result = take_program(stream, inside->program);
    if (result < 0) {
        stream_fail(stream, STATUS_FAILED, -result, "");
        return;
    }
    stream_exec_start(stream);
}
