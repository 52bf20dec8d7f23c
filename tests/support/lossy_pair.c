/* SPDX-License-Identifier: Apache-2.0 */
#include "lossy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "ensure.h"

#define READ_BYTES (256u * 1024)
#define HEAD_BYTES 8

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int pair_listen(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0) {
        int result = -errno;
        (void)close(fd);
        return result;
    }
    return fd;
}

/* Blocks: on the loopback the answer is there at once. */
static int connect_to(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

void pair_open(int listener, uint16_t target_port)
{
    int one = 1;
    struct pair *pair = NULL;
    int near = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (near < 0)
        return;
    for (int i = 0; i < PAIRS_MAX && pair == NULL; i++)
        if (lossy.pairs[i].fds[LOSSY_UP] < 0)
            pair = &lossy.pairs[i];
    int far = pair == NULL || lossy.is_away ? -1 : connect_to(target_port);
    if (far < 0) {
        (void)close(near);
        return;
    }
    (void)setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    *pair = (struct pair){.fds = {near, far}};
}

static void close_pair(struct pair *pair)
{
    for (int way = 0; way < LOSSY_WAYS; way++) {
        struct stream *stream = &pair->streams[way];

        if (pair->fds[way] >= 0)
            (void)close(pair->fds[way]);
        pair->fds[way] = -1;
        free(stream->octets);
        while (stream->first != NULL) {
            struct flying *flying = stream->first;
            stream->first = flying->next;
            free(flying);
        }
        *stream = (struct stream){0};
    }
}

void pair_cut_all(void)
{
    for (int i = 0; i < PAIRS_MAX; i++)
        close_pair(&lossy.pairs[i]);
}

static bool is_writable_wanted(const struct stream *stream, uint64_t now_ns)
{
    return stream->first != NULL && stream->first->due_ns <= now_ns;
}

void pair_watch(const struct pair *pair, struct pollfd fds[LOSSY_WAYS], uint64_t now_ns,
                uint64_t *next_ns)
{
    for (int way = 0; way < LOSSY_WAYS; way++) {
        const struct stream *in = &pair->streams[way];
        const struct stream *out = &pair->streams[1 - way];
        short events = in->queued_bytes < QUEUED_BYTES_MAX ? POLLIN : 0;

        if (is_writable_wanted(out, now_ns))
            events |= POLLOUT;
        else if (out->first != NULL && out->first->due_ns < *next_ns)
            *next_ns = out->first->due_ns;
        fds[way] = (struct pollfd){.fd = pair->fds[way], .events = events};
    }
}

/* ---- what becomes of a datagram ---- */

static bool draw(unsigned one_in)
{
    return one_in != 0 && prng_below(&lossy.prng, one_in) == 0;
}

static void send_off(struct stream *stream, const uint8_t *octets, size_t size_bytes,
                     uint64_t due_ns)
{
    struct flying *flying = malloc(sizeof(*flying) + size_bytes);

    ENSURE(flying != NULL);
    *flying = (struct flying){.size_bytes = size_bytes, .due_ns = due_ns};
    memcpy(flying->octets, octets, size_bytes);
    if (stream->first == NULL)
        stream->first = flying;
    else
        stream->last->next = flying;
    stream->last = flying;
    stream->queued_bytes += size_bytes;
}

static void decide(struct stream *stream, enum lossy_way way, const uint8_t *octets,
                   size_t size_bytes, uint64_t now_ns)
{
    struct way *count = &lossy.ways[way];
    uint64_t due_ns = now_ns;

    count->seen++;
    if (draw(count->one_in)) {
        count->dropped++;
        return;
    }
    if (lossy.delay_ms != 0)
        due_ns += prng_below(&lossy.prng, lossy.delay_ms * NS_PER_MS);
    if (stream->first != NULL && due_ns < stream->last->due_ns)
        due_ns = stream->last->due_ns; /* TCP keeps the order */
    send_off(stream, octets, size_bytes, due_ns);
    if (draw(lossy.double_one_in)) {
        count->doubled++;
        send_off(stream, octets, size_bytes, due_ns);
    }
}

/* ---- octets to datagrams ---- */

/* The size of what stands at the head, its own head included; 0: more is to be read. */
static size_t whole_bytes(const struct stream *stream, const uint8_t *octets, size_t left_bytes)
{
    uint64_t size_bytes = 0;

    if (!stream->is_greeted)
        return left_bytes < GREETING_BYTES ? 0 : GREETING_BYTES;
    if (left_bytes < HEAD_BYTES)
        return 0;
    for (int i = 0; i < HEAD_BYTES; i++)
        size_bytes = size_bytes << 8 | octets[i];
    if (size_bytes > DATAGRAM_BYTES_MAX)
        return SIZE_MAX;
    return left_bytes < HEAD_BYTES + size_bytes ? 0 : HEAD_BYTES + (size_t)size_bytes;
}

static bool cut_into_datagrams(struct stream *stream, enum lossy_way way, uint64_t now_ns)
{
    size_t taken = 0;
    size_t size_bytes;

    while ((size_bytes = whole_bytes(stream, stream->octets + taken, stream->size_bytes - taken)) !=
           0) {
        if (size_bytes == SIZE_MAX)
            return false;
        if (stream->is_greeted)
            decide(stream, way, stream->octets + taken, size_bytes, now_ns);
        else
            send_off(stream, stream->octets + taken, size_bytes, now_ns);
        stream->is_greeted = true;
        taken += size_bytes;
    }
    stream->size_bytes -= taken;
    if (taken != 0)
        memmove(stream->octets, stream->octets + taken, stream->size_bytes);
    return true;
}

static bool read_more(int fd, struct stream *stream)
{
    if (stream->room_bytes - stream->size_bytes < READ_BYTES) {
        stream->room_bytes = stream->size_bytes + 2 * READ_BYTES;
        stream->octets = realloc(stream->octets, stream->room_bytes);
        ENSURE(stream->octets != NULL);
    }
    ssize_t n = read(fd, stream->octets + stream->size_bytes, READ_BYTES);
    if (n > 0)
        stream->size_bytes += (size_t)n;
    return n > 0 || (n < 0 && errno == EAGAIN);
}

static bool write_due(int fd, struct stream *stream, uint64_t now_ns)
{
    while (is_writable_wanted(stream, now_ns)) {
        struct flying *flying = stream->first;
        ssize_t n = send(fd, flying->octets + flying->sent_bytes,
                         flying->size_bytes - flying->sent_bytes, MSG_NOSIGNAL);

        if (n < 0)
            return errno == EAGAIN;
        flying->sent_bytes += (size_t)n;
        if (flying->sent_bytes < flying->size_bytes)
            return true;
        stream->first = flying->next;
        stream->queued_bytes -= flying->size_bytes;
        free(flying);
    }
    return true;
}

void pair_step(struct pair *pair, const struct pollfd fds[LOSSY_WAYS], uint64_t now_ns)
{
    bool is_good = true;

    for (int way = 0; way < LOSSY_WAYS && is_good; way++) {
        struct stream *in = &pair->streams[way];

        if (fds[way].fd < 0 || fds[way].revents == 0)
            continue;
        if ((fds[way].events & POLLIN) != 0 && fds[way].revents != POLLOUT)
            is_good = read_more(pair->fds[way], in) &&
                      cut_into_datagrams(in, (enum lossy_way)way, now_ns);
        else if ((fds[way].revents & (POLLERR | POLLHUP)) != 0)
            is_good = false;
    }
    for (int way = 0; way < LOSSY_WAYS && is_good; way++)
        if (pair->fds[way] >= 0)
            is_good = write_due(pair->fds[1 - way], &pair->streams[way], now_ns);
    if (!is_good)
        close_pair(pair);
}
