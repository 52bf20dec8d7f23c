/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: the operator's end of exec, console and import: what a server says may not make it
 * send beyond its credit, take more than it granted, or believe that a stream is whole when it is
 * not. The script is the server, octets and all; the client is the real one on a real socket.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "flow.h"
#include "fuzz.h"

static struct buffer heard;
static struct buffer saying;
static struct arena arena;

struct server {
    int fd;
    uint64_t stream;
    uint64_t out_number;
    uint64_t out_bytes;
    uint64_t credit_bytes; /* granted to the client */
    uint64_t in_number;
    uint64_t in_bytes;
    uint64_t granted_bytes; /* by the client */
};

static void say(const struct server *server, const struct message *message)
{
    saying.size_bytes = 0;
    if (codec_encode_framed(message, &saying) == 0)
        (void)send(server->fd, saying.data, saying.size_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void say_frame(struct server *server, struct script *script)
{
    static const uint8_t octets[STREAM_FRAME_BYTES_MAX] = {1};
    uint8_t how = script_octet(script);
    size_t size_bytes = script_octet(script) * 64u;
    struct message message = {.kind = MESSAGE_STREAM_FRAME};

    server->out_number += how % 8 == 7 ? 2 : 1;
    server->out_bytes += size_bytes;
    message.stream_frame = (struct stream_frame){
        .stream = how % 16 == 15 ? 9 : server->stream,
        .number = server->out_number,
        .lane = (how & 16) != 0 ? LANE_STDERR : LANE_STDOUT,
        .data = {octets, size_bytes},
        .is_end = (how & 32) != 0,
    };
    say(server, &message);
}

static void say_credit(struct server *server, struct script *script)
{
    struct message message = {.kind = MESSAGE_STREAM_CREDIT};

    message.stream_credit =
        (struct stream_credit){server->stream, (uint64_t)script_short(script) * 16};
    if (message.stream_credit.bytes > server->credit_bytes)
        server->credit_bytes = message.stream_credit.bytes;
    say(server, &message);
}

static void say_end(struct server *server, struct script *script)
{
    uint8_t how = script_octet(script);
    struct message message = {.kind = MESSAGE_STREAM_END};

    message.stream_end = (struct stream_end){
        .stream = server->stream, .bytes = server->out_bytes + (how % 4 == 3), .exit_code = how};
    if (how % 8 == 4)
        message.stream_end.fault =
            (struct fault_view){.status = STATUS_STREAM_LOST, .text = "lost", .node = "n1"};
    say(server, &message);
}

static void say_refusal(struct server *server)
{
    const struct message message = {
        .kind = MESSAGE_ANSWER,
        .answer = {.is_last = true, .fault = {.status = STATUS_BUSY, .text = "no"}}};
    say(server, &message);
}

/* What the client sent: numbered, and within the credit that it had. */
static void hear(struct server *server)
{
    uint8_t octets[16384];
    struct message message;
    ssize_t n;
    int64_t found;

    while ((n = recv(server->fd, octets, sizeof(octets), MSG_DONTWAIT)) > 0)
        PROMISE(buffer_append(&heard, octets, (size_t)n) == 0);
    while ((found = codec_frame_find(&heard)) > 0) {
        arena_reset(&arena);
        PROMISE(codec_decode(heard.data + 4, (size_t)found, &arena, &message) == 0);
        if (message.kind == MESSAGE_STREAM_FRAME) {
            server->in_number++;
            server->in_bytes += message.stream_frame.data.size_bytes;
            PROMISE(message.stream_frame.number == server->in_number);
            PROMISE(server->in_bytes <= server->credit_bytes);
        }
        if (message.kind == MESSAGE_STREAM_CREDIT) {
            PROMISE(message.stream_credit.bytes > server->granted_bytes);
            server->granted_bytes = message.stream_credit.bytes;
        }
        buffer_consume(&heard, 4 + (size_t)found);
    }
    PROMISE(found == 0);
}

/* False: the stream is broken or the connection over. */
static bool take(struct flow *flow, struct wire *wire, const struct server *server)
{
    struct message message;
    struct stream_frame frame;
    struct fault fault = {0};
    int result = 0;

    (void)wire_wait(wire, NULL, 0, 1, &fault); /* at once; its fault is the time-out's */
    fault = (struct fault){0};
    while (result >= 0 && (result = wire_take(wire, &message, &fault)) > 0) {
        result = flow_take(flow, &message, &frame, &fault);
        PROMISE(flow->in_bytes <= flow->granted_bytes);
        PROMISE(result != 1 || frame.number == flow->in_number);
    }
    if (result < 0)
        PROMISE(fault.status != STATUS_UNSET && fault.text[0] != '\0');
    if (flow->is_over && flow->fault.status == STATUS_UNSET)
        PROMISE(flow->in_bytes == server->out_bytes || flow->in_number < server->out_number);
    CANARY(flow->is_over && flow->fault.status == STATUS_UNSET && flow->in_number >= 4);
    return result >= 0;
}

static void client_sends(struct flow *flow, struct script *script)
{
    static const uint8_t octets[STREAM_FRAME_BYTES_MAX] = {2};
    struct fault fault = {0};
    size_t size_bytes = script_octet(script) * 64u;
    size_t room = flow_room(flow);

    PROMISE(room <= STREAM_FRAME_BYTES_MAX);
    if (size_bytes > room)
        size_bytes = room;
    if (!flow->is_over)
        PROMISE(flow_send(flow, LANE_STDIN, (struct octets){octets, size_bytes}, false, &fault) ==
                0);
}

static void client_is_done(struct flow *flow, struct script *script)
{
    struct fault fault = {0};
    uint64_t left = flow->in_bytes - flow->done_bytes;
    uint64_t size_bytes = script_octet(script) * 256u;

    (void)flow_done(flow, (size_t)(size_bytes < left ? size_bytes : left), &fault);
}

static void do_step(struct server *server, struct flow *flow, struct script *script)
{
    const uint8_t *part;
    size_t size_bytes;

    switch (script_octet(script) % 7) {
    case 0:
        say_frame(server, script);
        return;
    case 1:
        say_credit(server, script);
        return;
    case 2:
        say_end(server, script);
        return;
    case 3:
        client_sends(flow, script);
        return;
    case 4:
        client_is_done(flow, script);
        return;
    case 5:
        say_refusal(server);
        return;
    default: /* octets as they are */
        size_bytes = script_part(script, 512, &part);
        (void)send(server->fd, part, size_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct script script = {data, size_bytes};
    struct wire wire = WIRE_EMPTY;
    struct flow flow;
    struct fault fault = {0};
    struct stream_open open = {.request_id = "", .container = "c", .kind = STREAM_EXEC};
    int pair[2];

    heard.size_bytes = 0;
    PROMISE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    wire.fd = pair[0];
    struct server server = {.fd = pair[1],
                            .stream = 1,
                            .credit_bytes = STREAM_CREDIT_BYTES,
                            .granted_bytes = STREAM_CREDIT_BYTES};
    PROMISE(flow_open(&flow, &wire, &open, &fault) == 0);
    bool is_alive = true;
    while (script.left > 0 && is_alive) {
        do_step(&server, &flow, &script);
        is_alive = take(&flow, &wire, &server);
        hear(&server);
    }
    flow_abandon(&flow);
    wire_close(&wire);
    (void)close(pair[1]);
    return 0;
}
