/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: whoever reaches the socket may send octets cut anywhere; a message must be delivered
 * whole, in order and once, what is none is answered and hung up on, and nobody else suffers. The
 * real server on a real socket gets the input in pieces; a plain reading of the whole says what has
 * to be delivered, and all that comes back must be messages.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "fuzz.h"
#include "local.h"

#define FLOOD_FRAMES (LOCAL_OUT_BYTES_MAX / STREAM_FRAME_BYTES_MAX + 64)

#define PIECES_MAX 12 /* more only cost time */

enum odd {
    ODD_FIRST = 248,
    ODD_GONE = ODD_FIRST, /* the client leaves before it is heard */
    ODD_PATH,             /* the server listens elsewhere, too */
    ODD_FOREIGN,          /* another user's process */
    ODD_SILENT,           /* it says nothing */
    ODD_UNREAD,           /* hung up on, it does not read what is left */
    ODD_CLOSED = 254,     /* what is closed lets go of everything, and can be opened anew */
    ODD_FLOOD
};

static uv_loop_t loop;
static struct local_server server;
static struct arena arena;
static unsigned delivered;
static unsigned gone;
static enum message_kind kinds[64]; /* as they were delivered */
static bool is_stubborn;            /* the user pauses after each message */
static unsigned flooded;            /* frames that were taken for a client that does not read */
static bool is_starved, is_drained;
static bool may_flood;    /* megabytes: not in each run */
static bool is_hung_up;   /* the user does so after a flood */
static bool is_foreign;   /* clients are another user's */
static uint64_t heard_ns; /* of the last ping that came back */

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    int result = __real_getsockopt(fd, level, name, value, size);

    if (result == 0 && level == SOL_SOCKET && name == SO_PEERCRED && is_foreign)
        ((struct ucred *)value)->uid = geteuid() + 1;
    return result;
}

/* More than is kept for one client; what was taken must come. */
static void flood(struct local_client *client)
{
    static const uint8_t octets[STREAM_FRAME_BYTES_MAX];
    const struct message frame = {
        .kind = MESSAGE_STREAM_FRAME,
        .stream_frame = {.number = 1, .lane = LANE_STDOUT, .data = {octets, sizeof(octets)}}};
    int result = 0;

    for (unsigned i = 0; i < FLOOD_FRAMES && result == 0; i++) {
        result = local_send(client, &frame);
        flooded += result == 0;
    }
    is_starved = result == -ENOBUFS;
}

static void on_drained(struct local_client *client)
{
    (void)client;
    PROMISE(is_starved);
    is_drained = true;
}

/* From now on it has a nanosecond to read what is left. */
static void hang_up(struct local_client *client)
{
    const struct message unsendable = {.kind = MESSAGE_UNSET};
    const struct message ping = {.kind = MESSAGE_PING};

    PROMISE(local_send(client, &unsendable) < 0);
    server.silence_ns = 1;
    local_hang_up(client);
    local_hang_up(client); /* once is enough */
    PROMISE(local_send(client, &ping) == -EPIPE);
}

static void on_message(struct local_client *client, const struct message *message)
{
    PROMISE(local_find(&server, client->id) == client && local_find(&server, 0) == NULL);
    if (delivered < COUNT_OF(kinds))
        kinds[delivered] = message->kind;
    delivered++;
    if (message->kind == MESSAGE_PING)
        (void)local_send(client, message);
    if (message->kind == MESSAGE_PONG && may_flood && flooded == 0)
        flood(client);
    if (is_hung_up)
        hang_up(client);
    if (is_stubborn) {
        local_pause(client, true);
        local_pause(client, false);
    }
}

static void on_gone(struct local_client *client)
{
    (void)client;
    gone++;
}

static void open_loop(void)
{
    PROMISE(uv_loop_init(&loop) == 0);
}

static void open_server(void)
{
    const char *work = getenv("DROVER_FUZZ_DIR");
    char path[LOCAL_PATH_MAX + 1];
    struct fault fault = {0};

    (void)snprintf(path, sizeof(path), "%s/fuzz-local.%d", work == NULL ? "/tmp" : work, getpid());
    server.on_message = on_message;
    server.on_gone = on_gone;
    server.on_drained = on_drained;
    PROMISE(local_listen(&server, &loop, path, &fault) == 0);
}

static int connect_client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(address.sun_path, server.path, strlen(server.path) + 1);
    PROMISE(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

static void turn(void)
{
    for (int i = 0; i < 2; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
}

struct expected {
    unsigned delivered;
    unsigned unsupported;
    bool is_refused;
    enum message_kind kinds[COUNT_OF(kinds)];
};

/* The whole of it at once. */
static void expect(struct expected *expected, const uint8_t *data, size_t size_bytes)
{
    struct message message;

    while (!expected->is_refused) {
        const struct buffer rest = {.data = (uint8_t *)(uintptr_t)data, .size_bytes = size_bytes};
        int64_t found = codec_frame_find(&rest);

        if (found == 0)
            return;
        arena_reset(&arena);
        int result = found < 0 ? -EBADMSG : codec_decode(data + 4, (size_t)found, &arena, &message);
        if (result == 0 && expected->delivered < COUNT_OF(kinds))
            expected->kinds[expected->delivered] = message.kind;
        expected->delivered += result == 0;
        expected->unsupported += result == -EOPNOTSUPP;
        expected->is_refused = result < 0 && result != -EOPNOTSUPP;
        if (found > 0) {
            data += 4 + found;
            size_bytes -= 4 + (size_t)found;
        }
    }
}

/* Answers to what was refused or not understood; true: the end was read. */
static bool read_answers(int fd, struct buffer *answers)
{
    uint8_t octets[4096];
    ssize_t n;

    while ((n = read(fd, octets, sizeof(octets))) > 0)
        PROMISE(buffer_append(answers, octets, (size_t)n) == 0);
    return n == 0 || errno == ECONNRESET;
}

static void check_answers(struct buffer *answers, const struct expected *expected)
{
    struct message message;
    unsigned count = 0;
    unsigned frames = 0;
    int64_t found;

    while ((found = codec_frame_find(answers)) > 0) {
        arena_reset(&arena);
        PROMISE(codec_decode(answers->data + 4, (size_t)found, &arena, &message) == 0);
        count += message.kind != MESSAGE_PING && message.kind != MESSAGE_STREAM_FRAME;
        if (message.kind == MESSAGE_PING)
            heard_ns |= message.ping_ns;
        frames += message.kind == MESSAGE_STREAM_FRAME;
        buffer_consume(answers, 4 + (size_t)found);
    }
    PROMISE(found == 0 && answers->size_bytes == 0);
    PROMISE(frames == flooded);
    /* One that is full or hung up on need not hear more; one that goes on hears that it may. */
    PROMISE(count <= expected->unsupported + expected->is_refused);
    PROMISE(is_starved || count == expected->unsupported + expected->is_refused);
    PROMISE(is_drained == is_starved || expected->is_refused);
}

static void close_all(int fd, struct buffer *answers)
{
    (void)close(fd);
    for (int i = 0; i < 100 && server.client_count > 0; i++)
        turn();
    PROMISE(server.client_count == 0 && gone == (delivered > 0));
    buffer_close(answers);
}

/* Until the server let go of all clients, by their deadlines. */
static void await_deadlines(void)
{
    for (int i = 0; i < 1000 && server.client_count > 0; i++)
        (void)uv_run(&loop, UV_RUN_ONCE);
    PROMISE(server.client_count == 0);
    server.silence_ns = LOCAL_SILENCE_NS;
}

/* ---- what else is the matter ---- */

static void leave_early(const struct script *script)
{
    int fd = connect_client();

    (void)send(fd, script->at, script->left, MSG_NOSIGNAL);
    (void)close(fd);
    for (int i = 0; i < 100 && (i < 4 || server.client_count > 0); i++)
        turn();
    PROMISE(server.client_count == 0 && gone == (delivered > 0));
}

/* A part of a message is no more than nothing. */
static void stay_silent(const struct script *script)
{
    struct buffer answers = {0};
    struct message message;

    server.silence_ns = 1;
    int fd = connect_client();
    (void)send(fd, script->at, script->left < 3 ? script->left : 3, MSG_NOSIGNAL);
    turn();
    await_deadlines();
    (void)read_answers(fd, &answers);
    int64_t found = codec_frame_find(&answers);
    arena_reset(&arena);
    PROMISE(found > 0 && codec_decode(answers.data + 4, (size_t)found, &arena, &message) == 0);
    PROMISE(message.kind == MESSAGE_ANSWER && message.answer.fault.status == STATUS_TIMEOUT);
    PROMISE(delivered == 0);
    close_all(fd, &answers);
}

static void leave_unread(void)
{
    const struct message pong = {.kind = MESSAGE_PONG};
    struct buffer said = {0};

    may_flood = is_hung_up = true;
    int fd = connect_client();
    PROMISE(codec_encode_framed(&pong, &said) == 0);
    PROMISE(send(fd, said.data, said.size_bytes, MSG_NOSIGNAL) == (ssize_t)said.size_bytes);
    turn();
    await_deadlines();
    PROMISE(delivered == 1 && flooded > 0);
    is_hung_up = false;
    close_all(fd, &said);
}

static void listen_elsewhere(struct script *script)
{
    static struct local_server other;
    const char *work = getenv("DROVER_FUZZ_DIR");
    char path[LOCAL_PATH_MAX + 64];
    struct fault fault = {0};
    uint8_t how = script_octet(script) % 6;

    work = work == NULL ? "/tmp" : work;
    (void)snprintf(path, sizeof(path), "%s/fuzz-other.%d", work, getpid());
    if (how == 0)
        path[0] = '\0';
    if (how == 1)
        (void)snprintf(path, sizeof(path), "%s/%0*d", work, LOCAL_PATH_MAX, 7);
    if (how == 2)
        (void)snprintf(path, sizeof(path), "%s", work);
    if (how == 3)
        (void)snprintf(path, sizeof(path), "%s/nothing/here", work);
    if (how == 4)
        PROMISE(mknod(path, S_IFSOCK | 0600, 0) == 0); /* nobody listens there any more */
    other.on_message = on_message;
    int result = local_listen(&other, &loop, path, &fault);
    PROMISE((result == 0) == (how >= 4) && (fault.status != STATUS_UNSET) == (result < 0));
    local_close(&other);
    local_close(&other);
    for (int i = 0; i < 100 && other.closing > 0; i++)
        turn();
    PROMISE(other.closing == 0 && access(path, F_OK) == (how == 2 ? 0 : -1));
}

/* True: that was all. */
static bool be_odd(enum odd odd, struct script *script)
{
    switch ((int)odd) {
    case ODD_GONE:
        leave_early(script);
        return true;
    case ODD_PATH:
        listen_elsewhere(script);
        return true;
    case ODD_SILENT:
        stay_silent(script);
        return true;
    case ODD_UNREAD:
        leave_unread();
        return true;
    }
    return false;
}

/* ---- one run ---- */

static void open_all(void)
{
    if (loop.data == NULL) {
        open_loop();
        loop.data = &loop;
    }
    if (server.path[0] == '\0')
        open_server();
    delivered = gone = flooded = 0;
    is_starved = is_drained = is_foreign = false;
    heard_ns = 0;
}

/* Sends the script in pieces, and reads what comes meanwhile. */
static void converse(int fd, struct script *script, size_t piece_bytes, struct buffer *answers)
{
    bool is_over = false;

    turn();
    while (script->left > 0 && !is_over) {
        size_t part = script->left < piece_bytes ? script->left : piece_bytes;

        /* EPIPE: hung up on already. */
        (void)send(fd, script->at, part, MSG_NOSIGNAL);
        script->at += part;
        script->left -= part;
        turn();
        is_over = read_answers(fd, answers);
    }
    for (unsigned i = 0; i < 2 + flooded; i++) {
        turn();
        (void)read_answers(fd, answers);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct script script = {data, size_bytes};
    struct buffer answers = {0};
    struct expected expected = {0};

    open_all();
    uint8_t how = script_octet(&script);
    size_t piece_bytes = 1u + how * 4u;
    if (piece_bytes < script.left / PIECES_MAX)
        piece_bytes = script.left / PIECES_MAX;
    is_stubborn = piece_bytes % 8 == 1;
    may_flood = how == ODD_FLOOD && size_bytes < 64;
    is_foreign = how == ODD_FOREIGN;
    if (be_odd((enum odd)how, &script))
        return 0;
    if (is_foreign)
        expected.is_refused = true;
    else
        expect(&expected, script.at, script.left);
    int fd = connect_client();
    converse(fd, &script, piece_bytes, &answers);
    PROMISE(delivered == expected.delivered);
    PROMISE(memcmp(kinds, expected.kinds,
                   (delivered < COUNT_OF(kinds) ? delivered : COUNT_OF(kinds)) *
                       sizeof(kinds[0])) == 0);
    check_answers(&answers, &expected);
    CANARY(delivered >= 4 && heard_ns > UINT32_MAX);
    close_all(fd, &answers);
    if (how == ODD_CLOSED) {
        local_close(&server);
        for (int i = 0; i < 100 && server.closing > 0; i++)
            turn();
        PROMISE(server.closing == 0 && server.clients == NULL);
    }
    return 0;
}
