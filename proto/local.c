/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Design notes. A client is freed in libuv's close callback and nowhere else, so whoever walks the
 * list or stands in a callback of one may hang up any of them. Sending keeps two buffers: libuv has
 * one until its write is done, the other gathers what is sent meanwhile; they change places then.
 */
#include "local.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "ensure.h"

#define FRAME_PREFIX_BYTES 4

static_assert(LOCAL_PATH_MAX < sizeof((struct sockaddr_un *)0)->sun_path, "a path fits");
static_assert(LOCAL_OUT_BYTES_MAX > MESSAGE_BYTES_MAX, "every message can be sent");

static void on_connection(uv_stream_t *stream, int status);
static void on_silence(uv_timer_t *timer);
static void on_more(uv_idle_t *idle);
static void deliver(struct local_client *client);
static int flush(struct local_client *client);

/* Listening */

/* Bound by hand: libuv reports a missing directory as EACCES, and takes any path. */
static int bind_socket(const char *path, int *ret_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;

    memcpy(address.sun_path, path, strlen(path));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    /* Nobody can connect before listen(2), so the mode is never too wide. */
    if (chmod(path, S_IRUSR | S_IWUSR) < 0 || listen(fd, LOCAL_CLIENTS_MAX) < 0) {
        int error = errno;
        (void)unlink(path); /* the first error counts */
        return -error;
    }

    *ret_socket = take_fd(&fd);
    return 0;
}

static int remove_stale(const char *path, struct fault *fault)
{
    struct stat status;

    if (lstat(path, &status) < 0)
        return 0; /* bind(2) says what else is wrong */
    if (!S_ISSOCK(status.st_mode)) {
        fault_set(fault, STATUS_INVALID, EEXIST, "%s is there and is not a socket", path);
        fault_hint(fault, "choose another path, or remove what is there");
        return -EEXIST;
    }
    if (unlink(path) < 0) {
        int error = errno;
        fault_set(fault, STATUS_FAILED, error, "cannot remove the stale socket %s", path);
        return -error;
    }
    return 0;
}

static int open_socket(const char *path, int *ret_socket, struct fault *fault)
{
    size_t length = strlen(path);

    if (length == 0 || length > LOCAL_PATH_MAX) {
        fault_set(fault, STATUS_INVALID, ENAMETOOLONG,
                  "a socket's path has 1 to %u octets, this one has %u: %s",
                  (uint64_t)LOCAL_PATH_MAX, (uint64_t)length, path);
        return -ENAMETOOLONG;
    }
    int result = remove_stale(path, fault);
    if (result < 0)
        return result;
    result = bind_socket(path, ret_socket);
    if (result < 0)
        fault_set(fault, STATUS_FAILED, -result, "cannot listen on %s", path);
    return result;
}

int local_listen(struct local_server *server, uv_loop_t *loop, const char *path,
                 struct fault *fault)
{
    AUTO_FD fd = -1;
    int result = open_socket(path, &fd, fault);
    if (result < 0)
        return result;

    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail for this signal */
    (void)uv_timer_init(loop, &server->silence);
    (void)uv_idle_init(loop, &server->more);
    (void)uv_pipe_init(loop, &server->pipe, 0); /* these three cannot fail on Linux */
    memcpy(server->path, path, strlen(path) + 1);
    server->silence_ns = LOCAL_SILENCE_NS;
    result = uv_pipe_open(&server->pipe, fd);
    if (result == 0) {
        (void)take_fd(&fd); /* libuv's now */
        result = uv_listen((uv_stream_t *)&server->pipe, LOCAL_CLIENTS_MAX, on_connection);
    }
    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "cannot listen on %s", path);
        local_close(server);
    }
    return result;
}

/* Closing */

static void count_closed(struct local_server *server)
{
    ENSURE(server->closing > 0);
    server->closing--;
    if (server->closing == 0 && server->path[0] == '\0')
        arena_close(&server->arena);
}

/* The earliest deadline, or none: a server whose clients have all spoken never wakes up. */
static void arm_silence(struct local_server *server)
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t first_ns = UINT64_MAX;

    for (const struct local_client *at = server->clients; at != NULL; at = at->next)
        if (at->deadline_ns != 0 && at->deadline_ns < first_ns)
            first_ns = at->deadline_ns;
    if (uv_is_closing((uv_handle_t *)&server->silence))
        return;
    if (first_ns == UINT64_MAX) {
        (void)uv_timer_stop(&server->silence); /* always 0 */
        return;
    }
    uint64_t wait_ns = first_ns > now_ns ? first_ns - now_ns : 0;
    uv_update_time(server->silence.loop);
    (void)uv_timer_start(&server->silence, on_silence, wait_ns / NS_PER_MS + 1, 0);
}

static void set_deadline(struct local_client *client, uint64_t deadline_ns)
{
    if (client->deadline_ns == deadline_ns)
        return;
    client->deadline_ns = deadline_ns;
    arm_silence(client->server);
}

static void on_client_closed(uv_handle_t *handle)
{
    struct local_client *client = container_of((uv_pipe_t *)handle, struct local_client, pipe);
    struct local_server *server = client->server;
    struct local_client **at = &server->clients;

    if (client->has_spoken && server->on_gone != NULL)
        server->on_gone(client);
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    server->client_count--;
    buffer_close(&client->in);
    buffer_close(&client->queued);
    buffer_close(&client->sending);
    free(client);
    count_closed(server);
}

static void close_client(struct local_client *client)
{
    if (uv_is_closing((uv_handle_t *)&client->pipe))
        return;
    client->is_closing = true;
    client->server->closing++;
    uv_close((uv_handle_t *)&client->pipe, on_client_closed);
    set_deadline(client, 0);
}

static void on_pipe_closed(uv_handle_t *handle)
{
    count_closed(container_of((uv_pipe_t *)handle, struct local_server, pipe));
}

static void on_silence_closed(uv_handle_t *handle)
{
    count_closed(container_of((uv_timer_t *)handle, struct local_server, silence));
}

static void on_more_closed(uv_handle_t *handle)
{
    count_closed(container_of((uv_idle_t *)handle, struct local_server, more));
}

void local_close(struct local_server *server)
{
    if (server->path[0] == '\0')
        return;
    (void)unlink(server->path); /* the next one to listen replaces what is left */
    server->path[0] = '\0';
    server->closing += 3;
    uv_close((uv_handle_t *)&server->pipe, on_pipe_closed);
    uv_close((uv_handle_t *)&server->silence, on_silence_closed);
    uv_close((uv_handle_t *)&server->more, on_more_closed);
    for (struct local_client *at = server->clients; at != NULL; at = at->next)
        close_client(at);
}

struct local_client *local_find(struct local_server *server, uint64_t id)
{
    for (struct local_client *at = server->clients; at != NULL; at = at->next)
        if (at->id == id)
            return at;
    return NULL;
}

/* Refusing */

static int answer(struct local_client *client, enum status status, const char *text)
{
    struct message message = {
        .kind = MESSAGE_ANSWER,
        .answer = {.is_last = true, .fault = {.status = status, .text = text}},
    };
    return local_send(client, &message);
}

/* In the form that the asker waits for, where the kind of what was asked is known. */
static void answer_unsupported(struct local_client *client, const struct message *asked)
{
    const struct fault_view fault = {.status = STATUS_UNSUPPORTED,
                                     .text = "this build does not know all that was asked"};
    struct message message = {.kind = MESSAGE_ANSWER, .answer = {.is_last = true, .fault = fault}};

    if (asked->kind == MESSAGE_QUERY) {
        message.answer.request_id = asked->query.request_id;
    } else if (asked->kind == MESSAGE_COMMAND) {
        message.kind = MESSAGE_RECEIPT;
        message.receipt = (struct receipt){
            .request_id = asked->command.request_id, .phase = PHASE_FAILED, .fault = fault};
    } else if (asked->kind == MESSAGE_STREAM_OPEN) {
        message.kind = MESSAGE_STREAM_END;
        message.stream_end =
            (struct stream_end){.stream = asked->stream_open.stream, .fault = fault};
    }
    (void)local_send(client, &message); /* one that does not read hears nothing */
}

static void refuse(struct local_client *client, enum status status, const char *text)
{
    (void)answer(client, status, text); /* one that does not read is hung up all the same */
    local_hang_up(client);
}

static void on_silence(uv_timer_t *timer)
{
    struct local_server *server = container_of(timer, struct local_server, silence);
    uint64_t now_ns = clock_monotonic_ns();

    for (struct local_client *at = server->clients; at != NULL; at = at->next) {
        if (at->deadline_ns == 0 || at->deadline_ns > now_ns)
            continue;
        if (at->is_closing)
            close_client(at);
        else
            refuse(at, STATUS_TIMEOUT, "nothing was asked on this connection");
    }
    arm_silence(server);
}

/* Accepting and reading */

static void on_room(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *ret_room)
{
    struct local_server *server =
        container_of((uv_pipe_t *)handle, struct local_client, pipe)->server;
    (void)suggested_bytes;
    *ret_room = uv_buf_init((char *)server->scratch, sizeof(server->scratch));
}

static void on_read(uv_stream_t *stream, ssize_t size_bytes, const uv_buf_t *octets)
{
    struct local_client *client = container_of((uv_pipe_t *)stream, struct local_client, pipe);

    if (size_bytes == 0) /* EAGAIN */
        return;
    if (size_bytes < 0 || buffer_append(&client->in, octets->base, (size_t)size_bytes) < 0) {
        close_client(client);
        return;
    }
    deliver(client);
}

static void read_on(struct local_client *client)
{
    if (client->is_closing || client->is_paused)
        return;
    int result = uv_read_start((uv_stream_t *)&client->pipe, on_room, on_read);
    if (result < 0 && result != UV_EALREADY)
        close_client(client);
}

static void admit(struct local_client *client)
{
    struct local_server *server = client->server;
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size_bytes = sizeof(peer);
    int fd = -1;

    if (uv_fileno((uv_handle_t *)&client->pipe, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size_bytes) < 0) {
        close_client(client);
        return;
    }
    client->uid = peer.uid;
    client->pid = peer.pid;
    if (peer.uid != 0 && peer.uid != geteuid()) {
        refuse(client, STATUS_NOT_PERMITTED, "only root is served here");
    } else if (server->client_count > LOCAL_CLIENTS_MAX) {
        refuse(client, STATUS_BUSY, "too many are connected already");
    } else {
        set_deadline(client, clock_monotonic_ns() + server->silence_ns);
        read_on(client);
    }
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct local_server *server = container_of((uv_pipe_t *)stream, struct local_server, pipe);
    if (status < 0)
        return; /* accept(2) failed: libuv goes on listening */

    struct local_client *client = calloc(1, sizeof(*client));
    ENSURE(client != NULL); /* a connection that is not taken would end listening silently */
    client->server = server;
    client->id = ++server->last_id;
    client->next = server->clients;
    server->clients = client;
    server->client_count++;
    (void)uv_pipe_init(stream->loop, &client->pipe, 0); /* always 0 */
    if (uv_accept(stream, (uv_stream_t *)&client->pipe) < 0)
        close_client(client);
    else
        admit(client);
}

/* What one large message needed is not kept for the small ones. */
static void shrink(struct buffer *buffer)
{
    if (buffer->size_bytes == 0 && buffer->room_bytes > LOCAL_READ_BYTES)
        buffer_close(buffer);
}

static void take_message(struct local_client *client, const uint8_t *data, size_t size_bytes)
{
    struct local_server *server = client->server;
    struct message message;

    arena_reset(&server->arena);
    int result = codec_decode(data, size_bytes, &server->arena, &message);
    if (result == 0 || result == -EOPNOTSUPP)
        set_deadline(client, 0);
    if (result == -EOPNOTSUPP) {
        answer_unsupported(client, &message);
        return;
    }
    if (result < 0) {
        refuse(client, STATUS_INVALID, "that was not a message");
        return;
    }
    client->has_spoken = true;
    server->on_message(client, &message);
}

/* Every whole message that is there, until the user pauses or hangs up. */
static void deliver(struct local_client *client)
{
    size_t done_bytes = 0;

    while (done_bytes < client->in.size_bytes && !client->is_closing && !client->is_paused) {
        const struct buffer rest = {.data = client->in.data + done_bytes,
                                    .size_bytes = client->in.size_bytes - done_bytes};
        int64_t size_bytes = codec_frame_find(&rest);
        if (size_bytes == 0)
            break;
        if (size_bytes < 0) {
            refuse(client, STATUS_INVALID, "the length before a message is 0 or above 1 MiB");
            break;
        }
        take_message(client, rest.data + FRAME_PREFIX_BYTES, (size_t)size_bytes);
        done_bytes += FRAME_PREFIX_BYTES + (size_t)size_bytes;
    }
    buffer_consume(&client->in, done_bytes);
    shrink(&client->in);
}

static void on_more(uv_idle_t *idle)
{
    struct local_server *server = container_of(idle, struct local_server, more);

    (void)uv_idle_stop(idle); /* always 0 */
    for (struct local_client *at = server->clients; at != NULL; at = at->next) {
        deliver(at);
        read_on(at);
    }
}

void local_pause(struct local_client *client, bool is_paused)
{
    if (client->is_closing || client->is_paused == is_paused)
        return;
    client->is_paused = is_paused;
    if (is_paused)
        (void)uv_read_stop((uv_stream_t *)&client->pipe); /* always 0 */
    else
        (void)uv_idle_start(&client->server->more, on_more); /* fails without a callback only */
}

/* Sending */

static void on_written(uv_write_t *write, int status)
{
    struct local_client *client = container_of(write, struct local_client, write);
    struct local_server *server = client->server;

    client->is_writing = false;
    if (status < 0) {
        close_client(client); /* or it is being closed: UV_ECANCELED */
        return;
    }
    client->unsent_bytes -= client->sending.size_bytes;
    buffer_consume(&client->sending, client->sending.size_bytes);
    shrink(&client->sending);
    if (flush(client) < 0)
        return;
    if (client->is_closing) {
        if (client->unsent_bytes == 0)
            close_client(client);
    } else if (client->is_starved && client->unsent_bytes < LOCAL_OUT_BYTES_MAX / 2) {
        client->is_starved = false;
        if (server->on_drained != NULL)
            server->on_drained(client);
    }
}

/* Write what is queued, unless libuv still has the last piece. Closes the client on failure. */
static int flush(struct local_client *client)
{
    uv_stream_t *stream = (uv_stream_t *)&client->pipe;
    uv_buf_t octets;

    if (client->is_writing || client->queued.size_bytes == 0)
        return 0;
    octets = uv_buf_init((char *)client->queued.data, (unsigned)client->queued.size_bytes);
    int result = uv_try_write(stream, &octets, 1);
    if (result > 0) {
        client->unsent_bytes -= (size_t)result;
        buffer_consume(&client->queued, (size_t)result);
    }
    if (result >= 0 || result == UV_EAGAIN) {
        if (client->queued.size_bytes == 0) {
            shrink(&client->queued);
            return 0;
        }
        struct buffer empty = client->sending;
        client->sending = client->queued;
        client->queued = empty;
        octets = uv_buf_init((char *)client->sending.data, (unsigned)client->sending.size_bytes);
        result = uv_write(&client->write, stream, &octets, 1, on_written);
        client->is_writing = result == 0;
    }
    if (result < 0)
        close_client(client);
    return result;
}

int local_send(struct local_client *client, const struct message *message)
{
    size_t before_bytes = client->queued.size_bytes;

    if (client->is_closing)
        return -EPIPE;
    int result = codec_encode_framed(message, &client->queued);
    if (result < 0)
        return result;
    size_t size_bytes = client->queued.size_bytes - before_bytes;
    if (client->unsent_bytes + size_bytes > LOCAL_OUT_BYTES_MAX) {
        client->queued.size_bytes = before_bytes;
        client->is_starved = true;
        return -ENOBUFS;
    }
    client->unsent_bytes += size_bytes;
    return flush(client) < 0 ? -EPIPE : 0;
}

void local_hang_up(struct local_client *client)
{
    if (client->is_closing)
        return;
    client->is_closing = true;
    (void)uv_read_stop((uv_stream_t *)&client->pipe); /* always 0 */
    if (client->unsent_bytes == 0)
        close_client(client);
    else
        set_deadline(client, clock_monotonic_ns() + client->server->silence_ns);
}
