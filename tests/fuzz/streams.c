/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: exec, console, logs and imports of any number of clients share one agent; a client that
 * breaks its credit, its numbers or its manners may cost its own stream and nothing else. The
 * agent's real streams run on real pipes and a ring; the client and the world are the input's. Out
 * comes within credit, without a hole, and every stream that was opened is ended once.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fuzz.h"
#include "stream.h"

#define NUMBERS 4
#define RUNS_MAX 64
#define RING_BYTES 4096

/* A stream of the client's, as it sees it. */
struct client {
    bool is_open;
    uint64_t out_number; /* of frames that came */
    uint64_t out_bytes;
    uint64_t credit_bytes;
    uint64_t in_number;
};

/* What stands behind an exec or import: the other ends of its pipes. */
struct running {
    struct stream *stream; /* NULL: free */
    int ends[3];           /* stdin, stdout, stderr; -1: closed */
};

static struct agent agent;
static struct client clients[NUMBERS];
static struct running runs[RUNS_MAX];
static bool is_full; /* upstream takes nothing now */
static struct {
    struct kw_ring header;
    uint8_t gap[KW_RING_DATA_OFFSET - sizeof(struct kw_ring)];
    uint8_t data[RING_BYTES];
} ring;

/* ---- the other side ---- */

bool upstream_send_bulk(struct upstream *upstream, const struct message *message)
{
    (void)upstream;
    if (is_full)
        return false;
    if (message->kind == MESSAGE_STREAM_CREDIT)
        return true;
    bool is_end = message->kind == MESSAGE_STREAM_END;
    uint64_t number = is_end ? message->stream_end.stream : message->stream_frame.stream;
    PROMISE(number < NUMBERS);
    struct client *client = &clients[number];
    PROMISE(client->is_open);
    if (is_end) {
        client->is_open = false;
        PROMISE(message->stream_end.bytes == client->out_bytes);
        CANARY(message->stream_end.fault.status == STATUS_UNSET && client->out_number >= 4);
        return true;
    }
    PROMISE(message->kind == MESSAGE_STREAM_FRAME);
    PROMISE(message->stream_frame.number == ++client->out_number);
    PROMISE(message->stream_frame.data.size_bytes <= STREAM_FRAME_BYTES_MAX);
    client->out_bytes += message->stream_frame.data.size_bytes;
    PROMISE(client->out_bytes <= client->credit_bytes);
    return true;
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
    (void)id;
    return NULL;
}

int local_send(struct local_client *client, const struct message *message)
{
    (void)client;
    (void)message;
    abort();
}

void local_hang_up(struct local_client *client)
{
    (void)client;
    abort();
}

/* ---- runs ---- */

static struct running *command_of(const struct stream *stream)
{
    for (size_t i = 0; i < RUNS_MAX; i++)
        if (runs[i].stream == stream)
            return &runs[i];
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

/* Its process is gone, and the stream may go once all is read. */
static void command_ends(struct running *command)
{
    struct stream *stream = command->stream;

    if (stream == NULL)
        return;
    for (size_t i = 0; i < COUNT_OF(command->ends); i++)
        fd_closep(&command->ends[i]);
    command->stream = NULL;
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

void stream_exec_kill(struct stream *stream)
{
    stream->is_killing = true;
}

void stream_exec_record(struct stream *stream, const struct kw_spawn_record *record, int *fds,
                        const uint8_t *roles)
{
    (void)stream;
    (void)record;
    (void)fds;
    (void)roles;
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

/* ---- steps ---- */

static void open_stream(struct script *script)
{
    struct message message = {.kind = MESSAGE_STREAM_OPEN};
    static const char *const argv[] = {"sh"};
    uint8_t how = script_octet(script);
    uint64_t number = script_octet(script) % NUMBERS;

    message.stream_open = (struct stream_open){
        .stream = number,
        .request_id = "",
        .node = how >= 250 ? "elsewhere" : "",
        .container = (how & 64) != 0 ? "nobody" : "c0",
        .kind = STREAM_EXEC + how % 4u,
        .argv = argv,
        .argv_count = 1,
        .cwd = "",
        .user = "",
        .rows = (how & 32) != 0 ? 25 : 0,
        .columns = 80,
        .is_follow = (how & 16) != 0,
    };
    if (!clients[number].is_open)
        clients[number] = (struct client){.is_open = true, .credit_bytes = STREAM_CREDIT_BYTES};
    streams_take(&agent.streams, ORIGIN_UPSTREAM, &message);
}

static void send_frame(struct script *script)
{
    static const uint8_t octets[STREAM_FRAME_BYTES_MAX] = {3};
    struct message message = {.kind = MESSAGE_STREAM_FRAME};
    uint64_t number = script_octet(script) % NUMBERS;
    uint8_t how = script_octet(script);

    clients[number].in_number += how % 16 == 15 ? 2 : 1;
    message.stream_frame = (struct stream_frame){.stream = number,
                                                 .number = clients[number].in_number,
                                                 .lane = how % LANE_COUNT,
                                                 .data = {octets, script_octet(script) * 64u},
                                                 .is_end = (how & 64) != 0};
    if (message.stream_frame.lane == LANE_RESIZE)
        message.stream_frame.data.size_bytes %= 8;
    streams_take(&agent.streams, ORIGIN_UPSTREAM, &message);
}

static void send_credit(struct script *script)
{
    struct message message = {.kind = MESSAGE_STREAM_CREDIT};
    uint64_t number = script_octet(script) % NUMBERS;
    uint64_t bytes = (uint64_t)script_short(script) * 16;

    message.stream_credit = (struct stream_credit){number, bytes};
    if (bytes > clients[number].credit_bytes)
        clients[number].credit_bytes = bytes;
    streams_take(&agent.streams, ORIGIN_UPSTREAM, &message);
}

static void send_end(struct script *script)
{
    struct message message = {.kind = MESSAGE_STREAM_END};
    uint64_t number = script_octet(script) % NUMBERS;

    message.stream_end = (struct stream_end){.stream = number};
    clients[number].is_open = false;
    streams_take(&agent.streams, ORIGIN_UPSTREAM, &message);
}

static void command_writes(struct script *script)
{
    static const uint8_t octets[16384] = {4};
    struct running *command = &runs[script_octet(script) % 4];
    unsigned which = 1u + script_octet(script) % 2;
    size_t size_bytes = script_octet(script) * 64u;

    if (command->stream != NULL && command->ends[which] >= 0)
        (void)!write(command->ends[which], octets, size_bytes);
}

static void command_reads(struct script *script)
{
    static uint8_t octets[16384];
    struct running *command = &runs[script_octet(script) % 4];

    if (command->stream != NULL && command->ends[0] >= 0)
        (void)!read(command->ends[0], octets, script_octet(script) * 64u);
}

static void guest_writes(struct script *script)
{
    ring.header.written += script_octet(script) * 32u;
    streams_console_grew(&agent.streams, 0);
}

static void close_end(struct script *script)
{
    struct running *command = &runs[script_octet(script) % 4];
    unsigned which = script_octet(script) % 3;

    if (command->stream != NULL)
        fd_closep(&command->ends[which]);
}

static void drain(void)
{
    is_full = false;
    streams_origin_drained(&agent.streams, ORIGIN_UPSTREAM);
}

static void do_step(struct script *script)
{
    static void (*const steps[])(struct script *) = {open_stream,  send_frame,     send_credit,
                                                     send_end,     command_writes, command_reads,
                                                     guest_writes, close_end};
    uint8_t what = script_octet(script) % 16;

    if (what < COUNT_OF(steps))
        steps[what](script);
    else if (what == 8)
        command_ends(&runs[script_octet(script) % 4]);
    else if (what == 9)
        is_full = true;
    else if (what == 10)
        drain();
    else if (what == 11)
        streams_end_generation(&agent.streams, 0);
    else if (what == 12)
        streams_console_lost(&agent.streams, 0);
    else if (what == 13)
        agent.slots[0].ring = agent.slots[0].ring == NULL ? &ring.header : NULL;
    else
        (void)uv_run(&agent.loop, UV_RUN_NOWAIT);
}

/* ---- one run ---- */

static void open_node(void)
{
    static struct node node;
    static struct slot slots[1];
    static struct options options = {.node = "n"};
    static struct out out;
    const struct now now = {SECOND_NS, SECOND_NS};
    struct ct_found found = {.uuid = {1},
                             .name = "c0",
                             .state = CT_RUNNING,
                             .generation = 1,
                             .is_wanted = true,
                             .is_live = true,
                             .is_ready = true,
                             .is_staged = true,
                             .pid = 4711};

    (void)signal(SIGPIPE, SIG_IGN); /* as local_listen() has it */
    node_init(&node, 1);
    PROMISE(node_adopt(&node, &found, &now, &out) == 0);
    agent.node = &node;
    agent.slots = slots;
    agent.options = &options;
    slots[0] = (struct slot){.pty = open("/dev/null", O_RDWR | O_CLOEXEC),
                             .output = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                             .ring_bytes = sizeof(ring)};
    agent.rootfs.containers = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    PROMISE(uv_loop_init(&agent.loop) == 0);
    streams_open(&agent.streams, &agent);
}

/* Whoever is left goes, and nothing stays behind. */
static void finish(void)
{
    drain();
    for (unsigned i = 0; i < RUNS_MAX; i++)
        command_ends(&runs[i]);
    for (unsigned i = 0; i < NUMBERS; i++)
        clients[i].is_open = false;
    is_full = false;
    streams_origin_gone(&agent.streams, ORIGIN_UPSTREAM);
    for (unsigned i = 0; i < 8; i++)
        (void)uv_run(&agent.loop, UV_RUN_NOWAIT);
    PROMISE(agent.streams.count == 0 && agent.streams.first == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct script script = {data, size_bytes};

    if (agent.node == NULL)
        open_node();
    ring.header = (struct kw_ring){.magic = KW_MAGIC, .size_bytes = RING_BYTES};
    agent.slots[0].ring = &ring.header;
    is_full = false;
    memset(clients, 0, sizeof(clients));
    for (unsigned i = 0; i < RUNS_MAX; i++)
        runs[i] = (struct running){.ends = {-1, -1, -1}};
    while (script.left > 0)
        do_step(&script);
    finish();
    return 0;
}
