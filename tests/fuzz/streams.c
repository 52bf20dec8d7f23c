/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: exec, console, logs and imports of any number of clients share one agent; a client that
 * breaks its credit, its numbers or its manners may cost its own stream and nothing else. The
 * agent's real streams run on real pipes and a ring; the clients, local and through a controller,
 * the keeper and the world are the input's. Out comes within credit, without a hole, and every
 * stream that was opened is ended once.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fuzz.h"
#include "streams_world.h"

#define RING_BYTES 4096

struct agent agent;
struct streams_world world;
static int typed = -1; /* what clients type into the console, at the guest */
static struct {
    struct kw_ring header;
    uint8_t gap[KW_RING_DATA_OFFSET - sizeof(struct kw_ring)];
    uint8_t data[RING_BYTES];
} ring;

/* ---- steps ---- */

/* Whose a step is, with the number of its stream. */
struct whose {
    uint64_t origin;
    uint64_t number;
    struct client *client;
};

static struct whose take_whose(struct script *script)
{
    uint8_t which = script_octet(script);
    unsigned origin = (which & 128) != 0;

    return (struct whose){.origin = origin == 0 ? ORIGIN_UPSTREAM : LOCAL,
                          .number = which % NUMBERS,
                          .client = &world.clients[origin][which % NUMBERS]};
}

static void open_stream(struct script *script)
{
    struct message message = {.kind = MESSAGE_STREAM_OPEN};
    static const char *const argv[] = {"sh"};
    uint8_t how = script_octet(script);
    const struct whose whose = take_whose(script);

    message.stream_open = (struct stream_open){
        .stream = whose.number,
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
    if (how % 64 == 63) /* none that this version knows */
        message.stream_open.kind = STREAM_UNSET;
    bool is_here = how < 250 && ((how & 64) == 0 || message.stream_open.kind == STREAM_IMPORT);
    if (!whose.client->is_open)
        *whose.client = (struct client){
            .is_open = true, .is_refused = !is_here, .credit_bytes = STREAM_CREDIT_BYTES};
    else if (is_here) /* the first one's answer may be lost: refuse_open() */
        whose.client->is_refused = false;
    streams_take(&agent.streams, whose.origin, &message);
}

static void send_frame(struct script *script)
{
    static const uint8_t octets[STREAM_FRAME_BYTES_MAX] = {3};
    struct message message = {.kind = MESSAGE_STREAM_FRAME};
    const struct whose whose = take_whose(script);
    uint8_t how = script_octet(script);

    whose.client->in_number += how % 16 == 15 ? 2 : 1;
    message.stream_frame = (struct stream_frame){.stream = whose.number,
                                                 .number = whose.client->in_number,
                                                 .lane = how % LANE_COUNT,
                                                 .data = {octets, script_octet(script) * 64u},
                                                 .is_end = (how & 64) != 0};
    if (message.stream_frame.lane == LANE_RESIZE)
        message.stream_frame.data.size_bytes = how / 16 % 2 == 0 ? 4 : 3;
    streams_take(&agent.streams, whose.origin, &message);
}

static void send_credit(struct script *script)
{
    struct message message = {.kind = MESSAGE_STREAM_CREDIT};
    const struct whose whose = take_whose(script);
    uint64_t bytes = (uint64_t)script_short(script) * 16;

    message.stream_credit = (struct stream_credit){whose.number, bytes};
    if (bytes > whose.client->credit_bytes)
        whose.client->credit_bytes = bytes;
    streams_take(&agent.streams, whose.origin, &message);
}

static void send_end(struct script *script)
{
    struct message message = {.kind = MESSAGE_STREAM_END};
    const struct whose whose = take_whose(script);

    message.stream_end = (struct stream_end){.stream = whose.number};
    whose.client->is_open = false;
    streams_take(&agent.streams, whose.origin, &message);
}

static void command_writes(struct script *script)
{
    static const uint8_t octets[16384] = {4};
    struct running *command = &world.runs[script_octet(script) % 4];
    unsigned which = 1u + script_octet(script) % 2;
    size_t size_bytes = script_octet(script) * 64u;

    if (command->stream != NULL && command->ends[which] >= 0)
        (void)!write(command->ends[which], octets, size_bytes);
}

static void command_reads(struct script *script)
{
    static uint8_t octets[16384];
    struct running *command = &world.runs[script_octet(script) % 4];

    if (command->stream != NULL && command->ends[0] >= 0)
        (void)!read(command->ends[0], octets, script_octet(script) * 64u);
}

static void write_ring(struct script *script)
{
    ring.header.written += script_octet(script) * 32u;
    world.is_lapped = ring.header.written > RING_BYTES;
}

static void guest_writes(struct script *script)
{
    write_ring(script);
    streams_console_grew(&agent.streams, 0);
}

static void close_end(struct script *script)
{
    struct running *command = &world.runs[script_octet(script) % 4];
    unsigned which = script_octet(script) % 3;

    if (command->stream != NULL)
        fd_closep(&command->ends[which]);
}

static void drain(void)
{
    world.is_full = false;
    streams_origin_drained(&agent.streams, ORIGIN_UPSTREAM);
    if (!world.is_local_gone)
        streams_origin_drained(&agent.streams, LOCAL);
}

/* ---- what the rest of the agent tells ---- */

static void keeper_tells(struct script *script)
{
    const struct running *command = &world.runs[script_octet(script) % 4];
    struct kw_spawn_record record = {.change = 1};

    record.spawn = command->stream == NULL ? 0 : command->stream->spawn;
    streams_spawn_record(&agent.streams, &record);
}

static void keeper_refuses(struct script *script)
{
    struct running *command = &world.runs[script_octet(script) % 4];
    uint64_t spawn = command->stream == NULL ? 0 : command->stream->spawn;

    if (command->stream == NULL || command->stream->is_spawned)
        world_let_go(command);
    streams_spawn_refused(&agent.streams, spawn, EMFILE);
}

static void keeper_is_lost(void)
{
    for (unsigned i = 0; i < RUNS_MAX; i++)
        if (world.runs[i].stream != NULL && world.runs[i].stream->is_spawned)
            world_let_go(&world.runs[i]);
    streams_keeper_lost(&agent.streams);
}

static void on_inside_ended(struct agent *owner, const struct inside_end *end)
{
    if (owner != &agent || end->ct != 0)
        abort();
}

/* `halt` inside: nobody reads it. */
static void run_inside(void)
{
    static const char *const argv[] = {"/sbin/init", "0", NULL};
    const struct inside inside = {.argv = argv, .on_end = on_inside_ended};

    streams_run_inside(&agent.streams, 0, &inside);
}

/* More than there may be: none is answered now, so each is kept until it is. */
static void crowd(void)
{
    struct message message = {.kind = MESSAGE_STREAM_OPEN};

    world.is_full = world.is_crowded = true;
    for (unsigned i = 0; i <= STREAMS_MAX; i++) {
        message.stream_open = (struct stream_open){.stream = NUMBERS + i,
                                                   .request_id = "",
                                                   .node = "",
                                                   .container = "nobody",
                                                   .kind = STREAM_LOGS,
                                                   .cwd = "",
                                                   .user = ""};
        streams_take(&agent.streams, i % 2 == 0 ? ORIGIN_UPSTREAM : LOCAL, &message);
    }
    PROMISE(agent.streams.count <= STREAMS_MAX); /* our own are not counted against them */
}

/* What a generation said last is kept, or not: 0 octets. */
static void write_kept(size_t size_bytes)
{
    static const uint8_t octets[65536] = {5};
    static size_t before_bytes;
    char path[UUID_TEXT_BYTES + 16];
    char uuid[UUID_TEXT_BYTES];

    (void)snprintf(path, sizeof(path), "%s/console",
                   uuid_format(node_get(agent.node, 0)->uuid, uuid));
    if (before_bytes > 0)
        PROMISE(unlinkat(agent.rootfs.containers, path, 0) == 0);
    before_bytes = size_bytes;
    if (size_bytes == 0)
        return;
    int fd = openat(agent.rootfs.containers, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    PROMISE(fd >= 0 && write(fd, octets, size_bytes) == (ssize_t)size_bytes);
    (void)close(fd);
}

static void keep_words(struct script *script)
{
    write_kept(script_octet(script) * 256u);
}

/* As the keeper does it after it wrote to the ring. */
static void keeper_writes(struct script *script)
{
    const uint64_t one = 1;

    write_ring(script);
    (void)!write(agent.slots[0].output, &one, sizeof(one));
    (void)uv_run(&agent.loop, UV_RUN_NOWAIT);
}

static void guest_reads(void)
{
    static uint8_t octets[65536];

    (void)!read(typed, octets, sizeof(octets));
}

static void tell_streams(struct script *script)
{
    switch (script_octet(script) % 10) {
    case 0:
        keeper_tells(script);
        return;
    case 1:
        keeper_refuses(script);
        return;
    case 2:
        keeper_is_lost();
        return;
    case 3:
        run_inside();
        return;
    case 4:
        if (script_octet(script) == 255) /* milliseconds */
            crowd();
        return;
    case 5:
        keep_words(script);
        return;
    case 6:
        keeper_writes(script);
        return;
    case 7:
        guest_reads();
        return;
    case 8:
        agent.slots[0].has_lost_notify = !agent.slots[0].has_lost_notify;
        return;
    default:
        world.is_local_gone = true;
        streams_origin_gone(&agent.streams, LOCAL);
        memset(world.clients[1], 0, sizeof(world.clients[1]));
        return;
    }
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
        world_command_ends(&world.runs[script_octet(script) % 4]);
    else if (what == 9)
        world.is_full = true;
    else if (what == 10)
        drain();
    else if (what == 11)
        streams_end_generation(&agent.streams, 0);
    else if (what == 12)
        streams_console_lost(&agent.streams, 0);
    else if (what == 13)
        agent.slots[0].ring = agent.slots[0].ring == NULL ? &ring.header : NULL;
    else if (what == 15)
        tell_streams(script);
    else
        (void)uv_run(&agent.loop, UV_RUN_NOWAIT);
}

/* ---- one run ---- */

/* Where what was said last is kept; and the pty's other end, which is a pipe's. */
static void open_places(struct slot *slot)
{
    const char *work = getenv("DROVER_FUZZ_DIR");
    char path[256];
    char uuid[UUID_TEXT_BYTES];
    int pair[2];

    (void)snprintf(path, sizeof(path), "%s/streams-XXXXXX", work == NULL ? "/tmp" : work);
    PROMISE(mkdtemp(path) != NULL);
    agent.rootfs.containers = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    PROMISE(mkdirat(agent.rootfs.containers, uuid_format(node_get(agent.node, 0)->uuid, uuid),
                    0700) == 0);
    PROMISE(pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0);
    typed = pair[0];
    *slot = (struct slot){.pty = pair[1],
                          .output = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                          .ring_bytes = sizeof(ring)};
}

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
    open_places(&slots[0]);
    PROMISE(uv_loop_init(&agent.loop) == 0);
    streams_open(&agent.streams, &agent);
}

/* Whoever is left goes, and nothing stays behind. */
static void finish(void)
{
    drain();
    for (unsigned i = 0; i < RUNS_MAX; i++)
        world_command_ends(&world.runs[i]);
    /* Who was refused has heard it by now, unless he is gone, or was one too many. */
    unsigned heard = world.is_crowded ? 0 : world.is_local_gone ? 1 : ORIGINS;
    for (unsigned i = 0; i < heard * NUMBERS; i++) {
        const struct client *client = &world.clients[i / NUMBERS][i % NUMBERS];
        PROMISE(!client->is_open || !client->is_refused);
    }
    memset(world.clients, 0, sizeof(world.clients));
    world.is_full = false;
    streams_origin_gone(&agent.streams, ORIGIN_UPSTREAM);
    streams_origin_gone(&agent.streams, LOCAL);
    for (unsigned i = 0; i < 8; i++)
        (void)uv_run(&agent.loop, UV_RUN_NOWAIT);
    PROMISE(agent.streams.count == 0 && agent.streams.first == NULL);
    write_kept(0);
    guest_reads();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct script script = {data, size_bytes};

    if (agent.node == NULL)
        open_node();
    for (size_t i = 0; i < RING_BYTES; i++)
        ring.data[i] = (uint8_t)(RING_OCTET + i % RING_OCTETS);
    ring.header = (struct kw_ring){.magic = KW_MAGIC, .size_bytes = RING_BYTES};
    agent.slots[0].ring = &ring.header;
    world.is_full = world.is_crowded = world.is_local_gone = world.is_lapped = false;
    agent.slots[0].has_lost_notify = false;
    memset(world.clients, 0, sizeof(world.clients));
    for (unsigned i = 0; i < RUNS_MAX; i++)
        world.runs[i] = (struct running){.ends = {-1, -1, -1}};
    while (script.left > 0)
        do_step(&script);
    finish();
    return 0;
}
