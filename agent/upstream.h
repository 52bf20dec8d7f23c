/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream.h — this node's side of its controller: two channels, a session on each, and events that
 * go up until they are acknowledged.
 *
 * Shape    struct upstream holds the control channel (commands, queries, events, pings) and the
 *          bulk channel (streams).
 * Units    *_ns CLOCK_MONOTONIC.
 * Errors   false from a send: no room now, or no session; what must not be lost is sent again by
 *          the session, or read again from the ledger.
 * Owner    struct agent.
 * Context  the loop's thread.
 */
#ifndef DROVER_UPSTREAM_H
#define DROVER_UPSTREAM_H

#include "executor.h"
#include "link.h"
#include "outbox.h"
#include "publisher.h"
#include "uplink.h"

struct agent;
struct now;
struct turn_core;

enum upstream_state { UPSTREAM_OFF, UPSTREAM_GREETING, UPSTREAM_UP };

struct channel {
    struct upstream *upstream;
    struct link link;
    struct session session;
    struct outbox outbox; /* of this session; a new one begins with none */
    enum upstream_state state;
    bool is_open;
    bool is_list_owed; /* the last HELLO was partial */
    struct session_begun begun;
    uint64_t hello_ns;      /* next HELLO is due */
    uint64_t hello_wait_ns; /* and how long after it another */
    uint64_t ack_ns;        /* when what was received is acknowledged, if nothing else did it */
    struct arena arena;
    struct arena kept; /* for what leaves the outbox */
    struct buffer out;
    struct buffer held; /* a record that came before its turn, in its turn */
};

/* One look into the ledger at a time, on a worker. */
struct upstream_look {
    struct work work;
    struct upstream *upstream;
    struct store *store;
    struct uplink_look look;
    int result;
    bool is_busy;
};

struct upstream {
    struct agent *agent;
    struct channel control;
    struct channel bulk;
    uv_timer_t timer;
    struct uplink uplink;
    struct upstream_look look;
    uint64_t acked_due_ns;     /* when node.db is told what upstream has; 0: nothing new */
    struct follower *follower; /* reads what the uplink sends; NULL: it does not send now */
    char session_text[24];
    char url[128];
    uint64_t heard_ping_ns;
    bool is_blocked; /* streams wait for room on bulk */
};

/* url: "" is none. Begins to greet; answers come in the loop. */
int upstream_open(struct upstream *upstream, struct agent *agent, const char *url,
                  struct fault *fault);
/* Say that this session ends, a while before upstream_close(): nanomsg drops what it still
 * holds. */
void upstream_leave(struct upstream *upstream);
void upstream_close(struct upstream *upstream);
/* On control: receipts and answers, kept until there is room. False: no session; what it was an
 * answer to is asked again. */
bool upstream_send(struct upstream *upstream, const struct message *message);
/* Nothing waits for room on control: what can be read later should go only then. */
bool upstream_has_room(const struct upstream *upstream);
bool upstream_send_bulk(struct upstream *upstream, const struct message *message);

/* What this node holds has changed, and no event says it in full: it is told all. */
void upstream_list_again(struct upstream *upstream);

/* ---- events, upstream_events.c ---- */

void upstream_events_init(struct upstream *upstream, const struct store_heads *heads);
/* In each turn, first: what it is to make durable about upstream now. */
void upstream_give(struct upstream *upstream, struct turn_core *core, const struct now *now);
/* This turn writes: what upstream has may go with it. */
void upstream_give_acked(struct upstream *upstream, struct turn_core *core);
/* Events up to this seq are durable; so is what node.db knows of upstream's acknowledgements. */
void upstream_on_committed(struct upstream *upstream, uint64_t seq);
void upstream_on_acked_committed(struct upstream *upstream, uint64_t seq);
/* The session's: it stands, is gone, said EVENT_ACK. */
void upstream_events_up(struct upstream *upstream, const struct uplink_head *head);
void upstream_events_down(struct upstream *upstream);
void upstream_events_acked(struct upstream *upstream, uint64_t seq);
/* At once or not at all: false, no room. */
bool upstream_send_events(struct upstream *upstream, const struct event_batch *batch);

/* Of the control session, "" without one. */
const char *upstream_session_text(const struct upstream *upstream);

#endif
