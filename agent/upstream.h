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

#include "link.h"
#include "publisher.h"
#include "session.h"

struct agent;

enum upstream_state { UPSTREAM_OFF, UPSTREAM_GREETING, UPSTREAM_UP };

struct channel {
    struct upstream *upstream;
    struct link link;
    struct session session;
    enum upstream_state state;
    bool is_open;
    uint64_t hello_ns;      /* next HELLO is due */
    uint64_t hello_wait_ns; /* and how long after it another */
    uint64_t ack_ns;        /* when what was received is acknowledged, if nothing else did it */
    struct arena arena;
    struct buffer out;
};

struct upstream {
    struct agent *agent;
    struct channel control;
    struct channel bulk;
    uv_timer_t timer;
    struct follower *follower; /* events on their way up; NULL: no session */
    uint64_t acked_seq;
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
/* On control: receipts and answers. False: it was not taken; a receipt is asked for again. */
bool upstream_send(struct upstream *upstream, const struct message *message);
bool upstream_send_bulk(struct upstream *upstream, const struct message *message);
/* Of the control session, "" without one. */
const char *upstream_session_text(const struct upstream *upstream);

#endif
