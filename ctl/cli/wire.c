/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cleanup.h"
#include "clock.h"
#include "ensure.h"

#define READ_BYTES 65536
#define CONNECT_SECONDS 10

int wire_connect(struct wire *wire, const char *path, struct fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);

    if (length == 0 || length > WIRE_PATH_MAX) {
        fault_set(fault, STATUS_INVALID, 0, "a socket's path has 1 to %u octets, not %u: %s",
                  (uint64_t)WIRE_PATH_MAX, (uint64_t)length, path);
        fault_hint(fault, "give a shorter --run-dir to the server");
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, length + 1);
    AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* unix(7): connect(2) waits as long as a server's queue is full, unless it is told not to. */
    struct timeval patience = {.tv_sec = CONNECT_SECONDS};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = errno;

        fault_set(fault, STATUS_UNREACHABLE, error, "nobody answers at %s", path);
        if (error == EACCES)
            fault_hint(fault, "only root may talk to it");
        return -error;
    }
    wire->fd = take_fd(&fd);
    return 0;
}

void wire_close(struct wire *wire)
{
    fd_closep(&wire->fd);
    fd_closep(&wire->signals);
    buffer_close(&wire->in);
    buffer_close(&wire->out);
    arena_close(&wire->arena);
    *wire = WIRE_EMPTY;
}

int wire_catch(struct wire *wire, const int *signals)
{
    sigset_t set;

    (void)sigemptyset(&set);
    for (; *signals != 0; signals++)
        (void)sigaddset(&set, *signals);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    wire->signals = signalfd(wire->signals, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return wire->signals < 0 ? -errno : 0;
}

int wire_signal_take(struct wire *wire)
{
    struct signalfd_siginfo info;

    if (wire->signals < 0 || read(wire->signals, &info, sizeof(info)) != sizeof(info))
        return 0;
    return (int)info.ssi_signo;
}

int wire_post(struct wire *wire, const struct message *message, struct fault *fault)
{
    int result = codec_encode_framed(message, &wire->out);

    if (result == -EBADMSG)
        fault_set(fault, STATUS_INVALID, 0, "a name or another word of it is not UTF-8");
    else if (result == -EMSGSIZE)
        fault_set(fault, STATUS_INVALID, 0, "it is too long to be sent");
    else if (result < 0)
        fault_set(fault, STATUS_FAILED, -result, "this cannot be sent");
    return result;
}

static int lost(int error, struct fault *fault)
{
    fault_set(fault, STATUS_UNREACHABLE, error, "the server closed the connection");
    fault_hint(fault, "what was asked may have been done: look with `drover ls`");
    return -(error == 0 ? ECONNRESET : error);
}

/* A broken connection is told by fill(), which first reads why the server closed it. */
void wire_flush(struct wire *wire)
{
    if (wire->out.size_bytes == 0)
        return;
    ssize_t n = send(wire->fd, wire->out.data, wire->out.size_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    wire->has_sent = wire->has_sent || n > 0;
    buffer_consume(&wire->out, n < 0 ? wire->out.size_bytes : (size_t)n);
}

static int fill(struct wire *wire, struct fault *fault)
{
    uint8_t chunk[READ_BYTES];
    ssize_t n = recv(wire->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return lost(n == 0 ? 0 : errno, fault);
    int result = buffer_append(&wire->in, chunk, (size_t)n);
    if (result < 0)
        fault_set(fault, STATUS_UNREACHABLE, -result, "no memory for the server's answer");
    return result;
}

/* Milliseconds for poll(2), rounded up so that it never ends before the deadline. */
static int until(uint64_t deadline_ns)
{
    uint64_t now_ns = clock_monotonic_ns();

    if (deadline_ns == WIRE_FOREVER)
        return -1;
    if (deadline_ns <= now_ns)
        return 0;
    uint64_t ms = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* Its reader left while there was nothing to write: as if there had been. */
static void end_by_pipe(void)
{
    (void)signal(SIGPIPE, SIG_DFL);
    (void)raise(SIGPIPE);
}

int wire_wait(struct wire *wire, struct pollfd *watched, size_t count, uint64_t deadline_ns,
              struct fault *fault)
{
    struct pollfd fds[WIRE_WATCHED_MAX + 3];

    ENSURE(count <= WIRE_WATCHED_MAX);
    wire_flush(wire);
    fds[0] = (struct pollfd){.fd = wire->fd, .events = POLLIN};
    if (wire->out.size_bytes > 0)
        fds[0].events |= POLLOUT;
    fds[1] = (struct pollfd){.fd = wire->signals, .events = POLLIN};
    if (count > 0)
        memcpy(&fds[2], watched, count * sizeof(*watched));
    struct pollfd *output = &fds[2 + count];
    *output = (struct pollfd){.fd = wire->is_output_watched ? STDOUT_FILENO : -1};
    int ready = poll(fds, 3 + count, until(deadline_ns));
    if (ready < 0 && errno != EINTR)
        return lost(errno, fault);
    if (count > 0)
        memcpy(watched, &fds[2], count * sizeof(*watched));
    if (ready <= 0) {
        if (ready < 0 || clock_monotonic_ns() < deadline_ns)
            return 0;
        fault_set(fault, STATUS_TIMEOUT, 0, "no answer in the time given");
        return -ETIMEDOUT;
    }
    if (fds[1].revents != 0)
        return -EINTR;
    if ((output->revents & POLLERR) != 0)
        end_by_pipe();
    if (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) /* read to the end before its EOF counts */
        return fill(wire, fault);
    return 0;
}

static int garbage(int error, struct fault *fault)
{
    fault_set(fault, STATUS_UNREACHABLE, error, "the server's answer cannot be read");
    fault_hint(fault, "is this socket a server's of this version?");
    return -error;
}

int wire_take(struct wire *wire, struct message *ret_message, struct fault *fault)
{
    for (;;) {
        buffer_consume(&wire->in, wire->taken_bytes);
        wire->taken_bytes = 0;
        arena_reset(&wire->arena);

        int64_t size_bytes = codec_frame_find(&wire->in);
        if (size_bytes < 0)
            return garbage((int)-size_bytes, fault);
        if (size_bytes == 0)
            return 0;
        wire->taken_bytes = 4 + (size_t)size_bytes;
        int result = codec_decode(wire->in.data + 4, (size_t)size_bytes, &wire->arena, ret_message);
        if (result == -EOPNOTSUPP)
            continue; /* of a newer server: nothing we asked for */
        return result < 0 ? garbage(-result, fault) : 1;
    }
}

int wire_receive(struct wire *wire, struct message *ret_message, uint64_t deadline_ns,
                 struct fault *fault)
{
    for (;;) {
        int result = wire_take(wire, ret_message, fault);

        if (result != 0)
            return result < 0 ? result : 0;
        result = wire_wait(wire, NULL, 0, deadline_ns, fault);
        if (result < 0)
            return result;
    }
}
