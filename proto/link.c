/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"

#define READS_PER_TURN_MAX 64
#define WATCH_MS 1000
/* The only queue behind raw REP, which drops what does not fit: twice a session's window. */
#define SOCKET_BUFFER_BYTES (4 * 1024 * 1024)
/* nanomsg waits 1, 3, 7… times the interval, without jitter: agents draw theirs by lot, or all
 * would come back at once after a controller's restart. */
#define RECONNECT_MS 300
#define RECONNECT_SPREAD_MS 1000
#define RECONNECT_MAX_MS 4000
#define URL_HOST_BYTES 112 /* names longer than nanomsg's addresses hold are refused */

/* What nn_sendmsg(3) and nn_recvmsg(3) call the SP_HDR property. */
struct sp_header {
    struct nn_cmsghdr head;
    size_t size_bytes;
    uint8_t octets[LINK_PEER_BYTES];
};
static_assert(offsetof(struct sp_header, size_bytes) == NN_CMSG_SPACE(0), "nn_cmsg(3)");
static_assert(sizeof(struct sp_header) == NN_CMSG_SPACE(sizeof(size_t) + LINK_PEER_BYTES),
              "nn_cmsg(3)");

static_assert(URL_HOST_BYTES + sizeof("tcp://[]:65535") - 1 <= NN_SOCKADDR_MAX, "nn_connect(3)");
struct url {
    char host[URL_HOST_BYTES]; /* without brackets */
    bool is_v6;
    unsigned port;
};

/* Addresses */

static bool url_parse_port(const char *text, unsigned *ret_port)
{
    unsigned port = 0;
    size_t length = strspn(text, "0123456789");

    if (length == 0 || length > 5 || text[length] != '\0' || text[0] == '0')
        return false;
    for (size_t i = 0; i < length; i++)
        port = port * 10 + (unsigned)(text[i] - '0');
    *ret_port = port;
    return port <= UINT16_MAX;
}

static bool url_parse(const char *text, struct url *ret_url)
{
    static const char scheme[] = "tcp://";
    static const char name_octets[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789.-";
    struct url url = {0};
    struct in6_addr address;

    if (strncmp(text, scheme, strlen(scheme)) != 0)
        return false;
    const char *host = text + strlen(scheme);
    const char *colon = strrchr(host, ':');
    if (colon == NULL || !url_parse_port(colon + 1, &url.port))
        return false;
    size_t length = (size_t)(colon - host);
    url.is_v6 = length > 2 && host[0] == '[' && host[length - 1] == ']';
    if (url.is_v6) {
        host++;
        length -= 2;
    }
    if (length == 0 || length >= sizeof(url.host))
        return false;
    memcpy(url.host, host, length);
    if (url.is_v6 ? inet_pton(AF_INET6, url.host, &address) != 1
                  : strspn(url.host, name_octets) != length)
        return false;
    *ret_url = url;
    return true;
}

static int url_format(const struct url *url, char *ret_text, size_t text_bytes)
{
    int length = snprintf(ret_text, text_bytes, url->is_v6 ? "tcp://[%s]:%u" : "tcp://%s:%u",
                          url->host, url->port);
    return length >= 0 && (size_t)length < text_bytes ? 0 : -ENAMETOOLONG;
}

static bool url_is_loopback(const struct url *url)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (url->is_v6)
        return inet_pton(AF_INET6, url->host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    return inet_pton(AF_INET, url->host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool link_url_check(const char *url)
{
    struct url parsed;
    return url_parse(url, &parsed);
}

int link_url_bulk(const char *url, char *ret_url, size_t url_bytes)
{
    struct url parsed;

    if (!url_parse(url, &parsed))
        return -EINVAL;
    if (parsed.port == UINT16_MAX)
        return -ERANGE;
    parsed.port++;
    return url_format(&parsed, ret_url, url_bytes);
}

/* Opening */

/* Never a number of nanomsg's own. */
static int link_error(void)
{
    int error = nn_errno();
    return error > 0 && error < NN_HAUSNUMERO ? -error : -EIO;
}

static int set_option(int socket, int level, int option, int value)
{
    return nn_setsockopt(socket, level, option, &value, sizeof(value)) < 0 ? link_error() : 0;
}

static int set_options(int socket, bool is_v6)
{
    static const struct {
        int level;
        int option;
        int value;
    } options[] = {
        {NN_SOL_SOCKET, NN_SNDBUF, SOCKET_BUFFER_BYTES},
        {NN_SOL_SOCKET, NN_RCVBUF, SOCKET_BUFFER_BYTES},
        {NN_SOL_SOCKET, NN_RCVMAXSIZE, LINK_BYTES_MAX + LINK_PEER_BYTES},
        {NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, RECONNECT_MAX_MS},
        {NN_TCP, NN_TCP_NODELAY, 1},
    };
    unsigned lot = 0;
    int result;

    for (size_t i = 0; i < COUNT_OF(options); i++) {
        result = set_option(socket, options[i].level, options[i].option, options[i].value);
        if (result < 0)
            return result;
    }
    /* LIMIT: names are resolved to IPv4 only. With the option off nanomsg 1.1.5 binds its end to ::
     * before it connects to an IPv4 address, fails, and asserts when it tries again. */
    result = set_option(socket, NN_SOL_SOCKET, NN_IPV4ONLY, !is_v6);
    if (result < 0)
        return result;
    if (getrandom(&lot, sizeof(lot), 0) < 0)
        return -errno;
    return set_option(socket, NN_SOL_SOCKET, NN_RECONNECT_IVL,
                      RECONNECT_MS + (int)(lot % RECONNECT_SPREAD_MS));
}

static void read_counters(const struct link *link, uint64_t *ret_broken, uint64_t *ret_established)
{
    *ret_broken = nn_get_statistic(link->socket, NN_STAT_BROKEN_CONNECTIONS);
    *ret_established = nn_get_statistic(link->socket, NN_STAT_ESTABLISHED_CONNECTIONS);
}

static void check_counters(struct link *link)
{
    uint64_t broken = 0;
    uint64_t established = 0;

    read_counters(link, &broken, &established);
    if (broken == link->broken && established == link->established)
        return;
    link->broken = broken;
    link->established = established;
    link->on_changed(link);
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_watch(uv_timer_t *timer)
{
    check_counters(container_of(timer, struct link, watch));
}

static int link_start(struct link *link, uv_loop_t *loop)
{
    int readable = -1;
    size_t size_bytes = sizeof(readable);

    if (nn_getsockopt(link->socket, NN_SOL_SOCKET, NN_RCVFD, &readable, &size_bytes) < 0)
        return link_error();
    int result = uv_poll_init(loop, &link->poll, readable);
    if (result < 0)
        return result;
    (void)uv_timer_init(loop, &link->watch);
    (void)uv_idle_init(loop, &link->more);
    (void)uv_timer_start(&link->watch, on_watch, WATCH_MS, WATCH_MS);
    (void)uv_poll_start(&link->poll, UV_READABLE, on_readable); /* these four cannot fail */
    return 0;
}

static int link_open(struct link *link, uv_loop_t *loop, const struct url *url, bool is_bound)
{
    struct url literal = *url;
    char text[NN_SOCKADDR_MAX];

    /* nanomsg binds to no name. */
    if (strcmp(url->host, "localhost") == 0)
        (void)snprintf(literal.host, sizeof(literal.host), "127.0.0.1");
    int result = url_format(&literal, text, sizeof(text));
    if (result < 0)
        return result;

    link->broken = 0;
    link->established = 0;
    link->dropped = 0;
    link->closing = 0;
    link->is_bound = is_bound;
    link->socket = nn_socket(AF_SP_RAW, is_bound ? NN_REP : NN_REQ);
    if (link->socket < 0)
        return link_error();
    result = set_options(link->socket, url->is_v6);
    if (result == 0 &&
        (is_bound ? nn_bind(link->socket, text) : nn_connect(link->socket, text)) < 0)
        result = link_error();
    if (result == 0)
        result = link_start(link, loop);
    if (result < 0) {
        (void)nn_close(link->socket); /* the first error counts */
        link->socket = -1;
    }
    return result;
}

static int link_prepare(struct link *link, const char *url, link_message_fn on_message,
                        link_changed_fn on_changed, struct url *ret_url)
{
    link->socket = -1;
    link->on_message = on_message;
    link->on_changed = on_changed;
    return url_parse(url, ret_url) ? 0 : -EINVAL;
}

int link_connect(struct link *link, uv_loop_t *loop, const char *url, link_message_fn on_message,
                 link_changed_fn on_changed)
{
    struct url parsed;
    int result = link_prepare(link, url, on_message, on_changed, &parsed);

    return result < 0 ? result : link_open(link, loop, &parsed, false);
}

int link_bind(struct link *link, uv_loop_t *loop, const char *url, link_message_fn on_message,
              link_changed_fn on_changed)
{
    struct url parsed;
    int result = link_prepare(link, url, on_message, on_changed, &parsed);

    if (result < 0)
        return result;
    if (!url_is_loopback(&parsed) && strcmp(parsed.host, "localhost") != 0)
        return -EPERM;
    return link_open(link, loop, &parsed, true);
}

/* Closing: nanomsg's descriptor is libuv's until its handle is closed. */

static void count_closed(struct link *link)
{
    if (--link->closing > 0)
        return;
    (void)nn_close(link->socket); /* EINTR alone can happen, and it has closed then */
    link->socket = -1;
    if (link->on_closed != NULL)
        link->on_closed(link);
}

static void on_poll_closed(uv_handle_t *handle)
{
    count_closed(container_of((uv_poll_t *)handle, struct link, poll));
}

static void on_watch_closed(uv_handle_t *handle)
{
    count_closed(container_of((uv_timer_t *)handle, struct link, watch));
}

static void on_more_closed(uv_handle_t *handle)
{
    count_closed(container_of((uv_idle_t *)handle, struct link, more));
}

void link_close(struct link *link, link_closed_fn on_closed)
{
    if (link->socket < 0 || link->closing > 0)
        return;
    link->on_closed = on_closed;
    link->closing = 3;
    uv_close((uv_handle_t *)&link->poll, on_poll_closed);
    uv_close((uv_handle_t *)&link->watch, on_watch_closed);
    uv_close((uv_handle_t *)&link->more, on_more_closed);
}

/* Receiving */

static bool take_peer(const struct link *link, const struct sp_header *header,
                      struct link_peer *ret_peer)
{
    *ret_peer = (struct link_peer){0};
    if (!link->is_bound)
        return true; /* what precedes is our own request's number */
    /* A header that does not fit is not given at all: it stays zero. */
    if (header->head.cmsg_len == 0 || header->head.cmsg_level != PROTO_SP ||
        header->head.cmsg_type != SP_HDR || header->size_bytes > LINK_PEER_BYTES)
        return false;
    ret_peer->size_bytes = (uint8_t)header->size_bytes;
    memcpy(ret_peer->octets, header->octets, header->size_bytes);
    return true;
}

/* One datagram. false: there is none for now. */
static bool receive_one(struct link *link)
{
    void *data = NULL;
    struct nn_iovec body = {.iov_base = (void *)&data, .iov_len = NN_MSG};
    struct sp_header header = {0};
    struct nn_msghdr message = {.msg_iov = &body,
                                .msg_iovlen = 1,
                                .msg_control = &header,
                                .msg_controllen = sizeof(header)};
    struct link_peer peer;

    int size_bytes = nn_recvmsg(link->socket, &message, NN_DONTWAIT);
    if (size_bytes < 0) {
        /* EAGAIN may also be a malformed message before good ones: it stays readable. */
        if (nn_errno() != EAGAIN && nn_errno() != EINTR)
            link->dropped++;
        return false;
    }
    if (take_peer(link, &header, &peer))
        link->on_message(link, &peer, data, (size_t)size_bytes);
    else
        link->dropped++;
    (void)nn_freemsg(data); /* cannot fail for what nn_recvmsg gave */
    return true;
}

static void on_more(uv_idle_t *idle)
{
    struct link *link = container_of(idle, struct link, more);

    check_counters(link);
    for (unsigned n = 0; n < READS_PER_TURN_MAX && link->closing == 0; n++) {
        if (!receive_one(link)) {
            (void)uv_idle_stop(idle); /* always 0 */
            return;
        }
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct link *link = container_of(poll, struct link, poll);

    (void)status; /* an eventfd of nanomsg's has no errors */
    (void)events;
    if (uv_is_active((uv_handle_t *)&link->more))
        return;                                /* reading goes on already */
    (void)uv_idle_start(&link->more, on_more); /* fails without a callback only */
    on_more(&link->more);
}

/* Sending */

int link_send(struct link *link, const struct link_peer *peer, const uint8_t *data,
              size_t size_bytes)
{
    /* The bottom of a raw request's stack has the high bit; its number says nothing to us. */
    static const struct link_peer request = {.size_bytes = 4, .octets = {0x80, 0, 0, 1}};
    const struct link_peer *to = link->is_bound ? peer : &request;
    struct nn_iovec body = {.iov_base = (void *)(uintptr_t)data, .iov_len = size_bytes};
    /* On the stack: with NN_MSG nanomsg frees it on EAGAIN and leaves the body. */
    struct sp_header header = {
        .head = {.cmsg_level = PROTO_SP, .cmsg_type = SP_HDR},
    };
    struct nn_msghdr message = {.msg_iov = &body, .msg_iovlen = 1, .msg_control = &header};

    if (to == NULL || to->size_bytes == 0 || to->size_bytes > LINK_PEER_BYTES)
        return -EINVAL;
    if (size_bytes > LINK_BYTES_MAX)
        return -EMSGSIZE;
    header.size_bytes = to->size_bytes;
    header.head.cmsg_len = NN_CMSG_SPACE(sizeof(size_t) + to->size_bytes);
    message.msg_controllen = header.head.cmsg_len;
    memcpy(header.octets, to->octets, to->size_bytes);
    if (nn_sendmsg(link->socket, &message, NN_DONTWAIT) >= 0)
        return 0;
    link->dropped++;
    return link_error();
}
