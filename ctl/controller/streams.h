/* SPDX-License-Identifier: Apache-2.0 */
/*
 * streams.h — exec, console, logs and imports, relayed between local clients and nodes.
 *
 * Shape    struct relay is one stream of a client; struct leg its part on one node: one leg, but
 *          for an import to all nodes. Numbers of frames and credit go through as they are, end to
 *          end: what waits here for one relay is bounded by the credit that its reader gave.
 * Units    octets, cumulative where named *_bytes; *_ns CLOCK_MONOTONIC.
 * Errors   each relay ends with exactly one STREAM_END at its client, unless the client ended it:
 *          STREAM_LOST when the node, its bulk session or a frame is lost; AGENT_LOST for an exec
 *          whose agent died.
 * Owner    struct streams; at most LEGS_MAX legs.
 * Context  the loop's thread. A leg's number at its node is never reused while we live.
 */
#ifndef DROVER_CONTROLLER_STREAMS_H
#define DROVER_CONTROLLER_STREAMS_H

#include "codec.h"

#define LEGS_BITS 13
#define LEGS_MAX (1u << LEGS_BITS)
#define RELAY_BUCKETS 512
#define RELAY_WAIT_NS UINT64_C(5000000000) /* for the bulk session of a node that is up */
/* What a client may say before its relay is open, and what may wait for a client: framing included,
 * so that credit spent in small frames fits; more is a peer that breaks its credit. */
#define RELAY_EARLY_BYTES_MAX (1024 * 1024)
#define RELAY_HELD_BYTES_MAX (4 * 1024 * 1024)

struct controller;
struct member;
struct relay;

struct leg {
    struct relay *relay;
    struct member *member;
    uint64_t number;        /* at the node; its lowest bits are the index in streams.legs */
    uint64_t granted_bytes; /* that the node is ready to have had */
    bool is_over;           /* the node has ended it */
};

enum relay_state {
    RELAY_ROUTING, /* the nodes are being asked who has the container */
    RELAY_WAITING, /* for bulk sessions */
    RELAY_OPEN,    /* all legs were opened */
    RELAY_OVER     /* its end waits for the client to read */
};

struct relay {
    struct relay *next; /* of its bucket */
    uint64_t client;
    uint64_t number;            /* at the client */
    char container[NAME_BYTES]; /* or template, for what is told */
    enum stream_kind kind;
    enum relay_state state;
    uint64_t deadline_ns;  /* WAITING */
    struct buffer opening; /* the client's STREAM_OPEN, encoded, until it was sent */
    struct buffer early;   /* what the client said until then, framed */
    struct buffer held;    /* what the client has not read yet, framed */
    uint64_t up_number;    /* frames of the client */
    uint64_t up_bytes;
    uint64_t up_granted_bytes;
    uint64_t down_number; /* frames of the node */
    uint64_t down_bytes;
    uint64_t down_granted_bytes;
    struct leg **legs;
    uint32_t leg_count;
};

/* What became of the bulk session that a stream was open on. */
enum stream_loss {
    STREAM_LOSS_DOWN,      /* its node went down */
    STREAM_LOSS_RESTARTED, /* its agent began a new life, and took what it ran with it */
    STREAM_LOSS_REPLACED   /* its node is there, by another connection: streams do not move */
};

struct streams {
    struct relay *buckets[RELAY_BUCKETS]; /* by client */
    struct leg *legs[LEGS_MAX];
    uint32_t leg_count;
    uint32_t leg_next;      /* where to look for a free one */
    uint64_t last;          /* number given out, without the index */
    uint32_t waiting_count; /* relays that have a deadline */
};

void streams_close(struct streams *streams);

/* STREAM_OPEN, FRAME, CREDIT, END of a client. is_asked as for controller_take(). */
void streams_take_client(struct controller *controller, uint64_t client,
                         const struct message *message, bool is_asked);
void streams_client_drained(struct controller *controller, uint64_t client);
void streams_client_gone(struct controller *controller, uint64_t client);

/* FRAME, CREDIT, END of a node. */
void streams_take_member(struct controller *controller, struct member *member,
                         struct message *message);
/* Its bulk session is new. */
void streams_member_up(struct controller *controller, struct member *member);
/* Its bulk session is over: what was open on it is lost. */
void streams_member_lost(struct controller *controller, struct member *member,
                         enum stream_loss loss);
/* It is down: what waits for its bulk session waits in vain. */
void streams_member_down(struct controller *controller, struct member *member);
uint64_t streams_sweep(struct controller *controller);

#endif
