/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h — what the nodes told, in the order in which it came, and those who read it.
 *
 * Shape    a ring of packed events under growing cursors; struct reader is a position in it and a
 *          client. Who reads slowly costs a position, never a queue.
 * Units    cursors; *_wall_ns CLOCK_REALTIME.
 * Errors   -ENOMEM. A reader whom the ring overtook is told so by an event `gap`.
 * Owner    struct events.
 * Context  the loop's thread. LIMIT: in memory; nodes tell again what they keep after a restart.
 */
#ifndef DROVER_EVENTS_H
#define DROVER_EVENTS_H

#include "message.h"

#define READERS_MAX 4096
#define CURSOR_BYTES 21

struct controller;
struct packed; /* one event and its texts in one block */

struct reader {
    struct reader *next;
    uint64_t client;
    char request[REQUEST_ID_BYTES];
    uint64_t position; /* cursor of the last one seen */
    uint64_t until;    /* ends there; UINT64_MAX: follows */
    uint64_t after_wall_ns;
    bool has_uuid; /* only of this container: */
    uint8_t uuid[UUID_BYTES];
    char node[NAME_BYTES]; /* only of this node; "": all */
    bool is_starved;       /* waits until its client has drained */
};

struct events {
    struct packed **ring; /* cursor % room */
    uint64_t room;
    uint64_t first; /* oldest kept cursor; first > last: none */
    uint64_t last;
    uint64_t born; /* first cursor of this life of the controller */
    struct reader *readers;
    uint32_t reader_count;
};

/* Cursors begin at the wall clock's microseconds, so that they grow over a restart too. */
int events_open(struct events *events, uint64_t room, uint64_t now_wall_ns);
void events_close(struct events *events);

/* node lives as long as the events. */
int events_add(struct events *events, const char *node, const struct event *event);

/* A query EVENTS or HISTORY. filter gives uuid and node. */
void events_read(struct controller *controller, uint64_t client, const struct query *query,
                 const struct reader *filter);
/* Sends what there is to all who can take it. True: some have more to come in the next turn. */
bool events_pump(struct controller *controller);
void events_client_drained(struct events *events, uint64_t client);
void events_client_gone(struct events *events, uint64_t client);

#endif
