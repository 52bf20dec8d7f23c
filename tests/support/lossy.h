/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lossy.h — the pairs of connections of a bad network, and what it does to datagrams.
 *
 * Shape    struct pair is an agent's connection and ours to the controller; each way has a buffer
 *          of what was read and a queue of datagrams that are on their way.
 * Units    octets; *_ns CLOCK_MONOTONIC nanoseconds; one_in N: with probability 1/N, 0 never.
 * Errors   -errno; a pair of which one end fails is closed whole, as a network would.
 * Owner    the one struct lossy.
 * Context  one thread, sockets that do not block. Source: nanomsg's rfc/sp-tcp-mapping-01.txt.
 */
#ifndef DROVER_LOSSY_H
#define DROVER_LOSSY_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "prng.h"

#define PAIRS_MAX 64 /* more connections are closed at once */
#define LOSSY_PORTS 2
#define GREETING_BYTES 8
#define DATAGRAM_BYTES_MAX (2u << 20) /* a larger one: not what we know; the pair is closed */
#define QUEUED_BYTES_MAX (8u << 20)   /* above it nothing more is read */

enum lossy_way { LOSSY_UP, LOSSY_DOWN, LOSSY_WAYS };

struct flying {
    struct flying *next;
    uint64_t due_ns;
    size_t size_bytes;
    size_t sent_bytes;
    uint8_t octets[];
};

/* One way of a pair: from fds[way] to the other. */
struct stream {
    uint8_t *octets; /* read, and not yet a whole datagram */
    size_t size_bytes;
    size_t room_bytes;
    bool is_greeted;
    struct flying *first;
    struct flying *last;
    size_t queued_bytes;
};

struct pair {
    int fds[LOSSY_WAYS]; /* the agent's end, the controller's; -1: no pair */
    struct stream streams[LOSSY_WAYS];
};

struct way {
    unsigned one_in;
    unsigned long seen;
    unsigned long dropped;
    unsigned long doubled;
};

struct lossy {
    struct prng prng;
    struct way ways[LOSSY_WAYS];
    unsigned double_one_in;
    unsigned delay_ms;
    uint16_t target_port;
    bool is_away; /* connections are closed as they come */
    bool is_ending;
    struct pair pairs[PAIRS_MAX];
};

extern struct lossy lossy; /* the program is nothing else */

/* Returns a listening socket on 127.0.0.1, or -errno. */
int pair_listen(uint16_t port);
/* Take a connection that waits, and make the other half. */
void pair_open(int listener, uint16_t target_port);
/* What poll(2) is to wait for, of an empty pair too; *next_ns: when something is due. */
void pair_watch(const struct pair *pair, struct pollfd fds[LOSSY_WAYS], uint64_t now_ns,
                uint64_t *next_ns);
void pair_step(struct pair *pair, const struct pollfd fds[LOSSY_WAYS], uint64_t now_ns);
void pair_cut_all(void);

#endif
