/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h — datagrams between agents and a controller: nanomsg raw REQ (agent) and REP (controller)
 *          on a libuv loop.
 *
 * Shape    struct link is one socket, connected (agent) or bound (controller). A datagram comes
 *          with the peer's address (raw REP's backtrace), which answers and later orders go to.
 * Units    octets, counts.
 * Errors   -errno; nanomsg's private numbers never leave this module.
 * Owner    the caller's struct link; it must outlive link_close()'s on_closed.
 * Context  the loop's thread. Nothing blocks. Source: nn_reqrep(7), reference of nanomsg 1.1.5.
 */
#ifndef DROVER_LINK_H
#define DROVER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define LINK_PEER_BYTES 64 /* of a raw backtrace; longer ones are dropped and counted */
#define LINK_BYTES_MAX (1024 * 1024 + 4096) /* of a datagram: a record and what encrypting adds */

/* Where a datagram came from; opaque, compared as octets. Zero size on the agent's side. */
struct link_peer {
    uint8_t size_bytes;
    uint8_t octets[LINK_PEER_BYTES];
};

struct link;

/* peer and data are borrowed for the call. */
typedef void (*link_message_fn)(struct link *link, const struct link_peer *peer,
                                const uint8_t *data, size_t size_bytes);
/* The socket's broken/established counters moved: sessions must be made anew. */
typedef void (*link_changed_fn)(struct link *link);
typedef void (*link_closed_fn)(struct link *link);

struct link {
    int socket; /* nanomsg's, -1 empty */
    uv_poll_t poll;
    uv_timer_t watch; /* reads the counters each second */
    uint64_t broken;
    uint64_t established;
    link_message_fn on_message;
    link_changed_fn on_changed;
    link_closed_fn on_closed;
    uint64_t dropped; /* datagrams that could not be sent or read */
    unsigned closing; /* handles that libuv still closes */
    bool is_bound;
    uv_idle_t more; /* reading goes on in the next iteration: the budget of this one was spent */
};

/* url: tcp://HOST:PORT. Callbacks may be called from the first loop iteration on. */
int link_connect(struct link *link, uv_loop_t *loop, const char *url, link_message_fn on_message,
                 link_changed_fn on_changed);
/* Loopback addresses only, until records are encrypted: else -EPERM. */
int link_bind(struct link *link, uv_loop_t *loop, const char *url, link_message_fn on_message,
              link_changed_fn on_changed);
void link_close(struct link *link, link_closed_fn on_closed);

/*
 * Send one datagram to a peer (agent: peer ignored, may be NULL). It may be lost without a word:
 * reliability is session.h's.
 * Returns 0, -EAGAIN (backed up), -EMSGSIZE.
 */
int link_send(struct link *link, const struct link_peer *peer, const uint8_t *data,
              size_t size_bytes);

/* tcp://127.0.0.1:7700 → host and port; false: not of that form. */
bool link_url_check(const char *url);

/* The next port, of the bulk channel: tcp://H:P → tcp://H:P+1 in ret_url. */
int link_url_bulk(const char *url, char *ret_url, size_t url_bytes);

#endif
