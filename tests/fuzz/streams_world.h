/* SPDX-License-Identifier: Apache-2.0 */
/*
 * streams_world.h — the world of the target `streams`: clients, and runs behind their streams.
 *
 * Shape    struct streams_world is the one; streams.c has the steps, streams_world.c stands in for
 *          the agent's other parts.
 * Units    octets.
 * Errors   a broken promise ends the process.
 * Owner    streams.c; all is made anew for each input.
 * Context  one thread.
 */
#ifndef DROVER_FUZZ_STREAMS_WORLD_H
#define DROVER_FUZZ_STREAMS_WORLD_H

#include "fuzz.h"
#include "stream.h"

#define NUMBERS 4
#define RUNS_MAX 64
#define LOCAL 7 /* a client of this machine */
#define ORIGINS 2
#define RING_OCTET 128 /* and above: of the console's ring, each another than the one before */
#define RING_OCTETS 127

/* A stream of a client's, as it sees it. */
struct client {
    bool is_open;
    bool is_refused;     /* what it asked for is not here */
    uint64_t out_number; /* of frames that came */
    uint64_t out_bytes;
    uint64_t credit_bytes;
    uint64_t in_number;
    unsigned ring_next; /* octet that comes next out of the ring; 0: none came yet */
};

/* What stands behind an exec or import: the other ends of its pipes. */
struct running {
    struct stream *stream; /* NULL: free */
    int ends[3];           /* stdin, stdout, stderr; -1: closed */
};

struct streams_world {
    struct client clients[ORIGINS][NUMBERS]; /* upstream's, the local one's */
    struct running runs[RUNS_MAX];
    struct local_client local;
    bool is_local_gone; /* hung up on */
    bool is_full;       /* nobody takes anything now */
    bool is_lapped;     /* the ring's first octets are gone, perhaps unread */
    bool is_crowded;    /* streams beyond NUMBERS are open */
    uint64_t spawns;
};

extern struct agent agent;
extern struct streams_world world;

void world_let_go(struct running *command);
/* Its process is gone, and the stream may go once all is read. */
void world_command_ends(struct running *command);

#endif
