/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: the operator's end of exec, console and import: what a server says may not make it
 * send beyond its credit, take more than it granted, or believe that a stream is whole when it is
 * not. The script is the server, octets and all; the client is the real one on a real socket, with
 * a server that does not read, hangs up or is none, with signals, and with words that cannot be
 * sent.
 */
#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
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
    bool is_deaf;           /* it reads nothing, so that the client cannot write */
    bool is_patient;        /* the client waits by wire_receive() */
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

/* Of the stream, of something else, or none at all. */
static void say_refusal(const struct server *server, struct script *script)
{
    uint8_t how = script_octet(script) % 4;
    const struct message message = {
        .kind = MESSAGE_ANSWER,
        .answer = {.request_id = how == 1   ? "r"
                                 : how == 2 ? "another"
                                            : "",
                   .is_last = true,
                   .fault = {.status = how == 3 ? STATUS_UNSET : STATUS_BUSY, .text = "no"}}};
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

/* Like wire_take(), with a deadline that is over. */
static int receive(struct wire *wire, struct message *message, struct fault *fault)
{
    int result = wire_receive(wire, message, 1, fault);

    if (result != -ETIMEDOUT)
        return result < 0 ? result : 1;
    PROMISE(fault->status == STATUS_TIMEOUT);
    *fault = (struct fault){0};
    return 0;
}

/* False: the stream is broken or the connection over. */
static bool take(struct flow *flow, struct wire *wire, const struct server *server)
{
    struct message message;
    struct stream_frame frame;
    struct fault fault = {0};
    int result = 0;

    if (!server->is_patient)
        (void)wire_wait(wire, NULL, 0, 1, &fault); /* at once; its fault is the time-out's */
    fault = (struct fault){0};
    while (result >= 0 && (result = server->is_patient ? receive(wire, &message, &fault)
                                                       : wire_take(wire, &message, &fault)) > 0) {
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

/* ---- what goes wrong ---- */

/* No UTF-8, too long, no message at all: nothing of it may be sent. */
static void post_nonsense(struct wire *wire, struct script *script)
{
    static const uint8_t octets[2 * MESSAGE_BYTES_MAX];
    struct message message = {.kind = MESSAGE_QUERY,
                              .query = {.kind = QUERY_LIST, .request_id = "\xff"}};
    size_t before_bytes = wire->out.size_bytes;
    uint8_t how = script_octet(script) % 3;
    struct fault fault = {0};

    if (how == 1)
        message = (struct message){
            .kind = MESSAGE_STREAM_FRAME,
            .stream_frame = {.number = 1, .lane = LANE_STDIN, .data = {octets, sizeof(octets)}}};
    if (how == 2)
        message = (struct message){.kind = MESSAGE_UNSET};
    PROMISE(wire_post(wire, &message, &fault) < 0 && fault.status != STATUS_UNSET);
    PROMISE(wire->out.size_bytes == before_bytes);
}

/* It ends the wait, and is taken once. */
static void get_signal(struct wire *wire, struct script *script)
{
    const int caught[] = {SIGWINCH, 0};
    bool is_sent = (script_octet(script) & 1) != 0;
    struct fault fault = {0};

    PROMISE(wire_signal_take(wire) == 0);
    PROMISE(wire_catch(wire, caught) == 0);
    if (is_sent) {
        (void)raise(SIGWINCH);
        PROMISE(wire_wait(wire, NULL, 0, WIRE_FOREVER, &fault) == -EINTR);
    }
    PROMISE(wire_signal_take(wire) == (is_sent ? SIGWINCH : 0));
    PROMISE(wire_signal_take(wire) == 0);
}

/* Something of the caller's is ready, however long it would wait. */
static bool wait_for_another(struct wire *wire, struct script *script)
{
    static const uint64_t waits_ns[] = {NS_PER_MS, NS_PER_S, 10000000 * NS_PER_S};
    uint8_t how = script_octet(script);
    uint64_t deadline_ns = how % 4 == 3 ? WIRE_FOREVER : clock_monotonic_ns() + waits_ns[how % 4];
    struct pollfd watched = {.fd = eventfd(1, EFD_CLOEXEC), .events = POLLIN};
    struct fault fault = {0};

    wire->is_output_watched = (how & 4) != 0;
    int result = wire_wait(wire, &watched, 1, deadline_ns, &fault);
    PROMISE((watched.revents & POLLIN) != 0 && (result == 0) == (fault.status == STATUS_UNSET));
    (void)close(watched.fd);
    return result == 0;
}

static int listen_at(char path[WIRE_PATH_MAX + 1])
{
    const char *work = getenv("DROVER_FUZZ_DIR");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(path, WIRE_PATH_MAX + 1, "%s/flow.%d", work == NULL ? "/tmp" : work, getpid());
    memcpy(address.sun_path, path, strlen(path) + 1);
    (void)unlink(path);
    PROMISE(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    PROMISE(listen(fd, 1) == 0);
    return fd;
}

static void connect_elsewhere(struct script *script)
{
    static char path[WIRE_PATH_MAX + 1];
    static int listener = -1;
    static const char *const wrong[] = {"", "/nowhere/at/all", "/dev/null",
                                        "/a/path/of/more/than/one/hundred/octets/which/no/socket/"
                                        "may/have/as/some/kernels/hold/less/"
                                        "in/their/address"};
    struct wire wire = WIRE_EMPTY;
    struct fault fault = {0};
    uint8_t how = script_octet(script) % 5;

    if (listener < 0)
        listener = listen_at(path);
    int result = wire_connect(&wire, how < 4 ? wrong[how] : path, &fault);
    PROMISE((result == 0) == (how == 4) && (wire.fd >= 0) == (result == 0));
    PROMISE((fault.status != STATUS_UNSET) == (result < 0));
    if (result == 0)
        (void)close(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    wire_close(&wire);
}

static void send_octets(const struct server *server, struct script *script)
{
    const uint8_t *part;
    size_t size_bytes = script_part(script, 512, &part);

    (void)send(server->fd, part, size_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* False: the connection is over. */
static bool go_wrong(struct server *server, struct wire *wire, struct script *script)
{
    switch (script_octet(script) % 8) {
    case 0:
        post_nonsense(wire, script);
        return true;
    case 1:
        get_signal(wire, script);
        return true;
    case 2:
        return wait_for_another(wire, script);
    case 3:
        connect_elsewhere(script);
        return true;
    case 4:
        server->is_deaf = !server->is_deaf;
        return true;
    case 5:
        server->is_patient = !server->is_patient;
        return true;
    case 6: /* in the middle of whatever was said */
        (void)shutdown(server->fd, SHUT_WR);
        return true;
    default:
        send_octets(server, script);
        return true;
    }
}

/* False: the connection is over. */
static bool do_step(struct server *server, struct flow *flow, struct script *script)
{
    switch (script_octet(script) % 7) {
    case 0:
        say_frame(server, script);
        return true;
    case 1:
        say_credit(server, script);
        return true;
    case 2:
        say_end(server, script);
        return true;
    case 3:
        client_sends(flow, script);
        return true;
    case 4:
        client_is_done(flow, script);
        return true;
    case 5:
        say_refusal(server, script);
        return true;
    default:
        return go_wrong(server, flow->wire, script);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct script script = {data, size_bytes};
    struct wire wire = WIRE_EMPTY;
    struct flow flow;
    struct fault fault = {0};
    struct stream_open open = {.request_id = "r", .container = "c", .kind = STREAM_EXEC};
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
        is_alive = do_step(&server, &flow, &script) && take(&flow, &wire, &server);
        if (!server.is_deaf)
            hear(&server);
    }
    flow_abandon(&flow);
    wire_close(&wire);
    (void)close(pair[1]);
    return 0;
}
