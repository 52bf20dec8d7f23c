/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h — what the nodes told, in the order in which it was committed, and those who read it.
 *
 * Shape    the newest events packed in a ring under their cursors; the rest is the store's. struct
 *          reader is a position and a client. Who reads slowly costs a position, never a queue.
 * Units    cursors; *_wall_ns CLOCK_REALTIME.
 * Errors   a reader whose next events are no longer kept is told so by an event `gap`.
 * Owner    struct events. A reader that waits for the store is the read's context.
 * Context  the loop's thread; the store is read on a thread of its own.
 */
#ifndef DROVER_EVENTS_H
#define DROVER_EVENTS_H

#include "ctl_store.h"

#define READERS_MAX 4096
#define EVENTS_RECENT 8192     /* in memory, about 1 MiB */
#define EVENTS_READS_MAX 4     /* that wait for the store at a time; each has room for a batch */
#define EVENTS_SCAN_MAX 65536u /* in memory, looked at for one reader in one turn */
#define CURSOR_BYTES 21

struct controller;
struct packed; /* one event and its texts in one block */

struct reader {
    struct reader *next;
    uint64_t client;
    char request[REQUEST_ID_BYTES];
    uint64_t position; /* cursor of the last one seen */
    bool is_placed;    /* else it wants what is kept, and misses nothing */
    uint64_t until;    /* ends there; UINT64_MAX: follows */
    uint64_t after_wall_ns;
    bool has_uuid; /* only of this container: */
    uint8_t uuid[UUID_BYTES];
    bool has_node; /* only of this node: */
    uint32_t node;
    char name[NAME_BYTES]; /* only of containers that had this name; "": all. It must be one's */
    bool has_sent;         /* an event */
    bool is_starved;       /* waits until its client has drained */
    struct ctl_read *read; /* waits for the store */
};

struct events {
    struct packed *ring[EVENTS_RECENT]; /* cursor % EVENTS_RECENT */
    uint64_t first;                     /* oldest in the ring; 0: none */
    uint64_t last;                      /* newest of all that are committed; 0: none */
    struct reader *readers;             /* who was served by the store last stands last */
    uint32_t reader_count;
    uint32_t read_count;
};

void events_close(struct events *events);

/* It is committed. In order of cursors. Without memory it is left to the store. */
void events_publish(struct events *events, uint32_t node, const struct event *event,
                    uint64_t cursor);

/* A query EVENTS or HISTORY. filter gives container and node. */
void events_read(struct controller *controller, uint64_t client, const struct query *query,
                 const struct reader *filter);
/* What the store answered to a reader of ours. */
void events_take_read(struct controller *controller, struct ctl_read *read_consumed);
/* Sends what there is to all who can take it. True: some have more to come in the next turn. */
bool events_pump(struct controller *controller);
void events_client_drained(struct events *events, uint64_t client);
void events_client_gone(struct events *events, uint64_t client);

#endif
