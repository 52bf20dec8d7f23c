/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event.h — the states of a container, and the facts that are told upstream.
 *
 * Shape    struct event is whole in itself: no pointer, so that queues and stores copy it.
 * Units    *_wall_ns CLOCK_REALTIME nanoseconds; seq grows for ever on a node, from 1.
 * Errors   *_find() answers the UNSET member for a name that is none.
 * Owner    whoever holds the copy.
 * Context  pure.
 */
#ifndef DROVER_EVENT_H
#define DROVER_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "cause.h"
#include "status.h"
#include "units.h"
#include "uuid.h"

#define NAME_BYTES (NAME_LENGTH_MAX + 1)
#define REQUEST_ID_BYTES 72 /* at most 71 octets of text, NUL-terminated */
#define EVENT_DETAIL_BYTES 200

/* Numbers are on the wire and in databases: append only. */
#define CT_STATE_LIST(X)                                                                           \
    X(UNSET, unset)                                                                                \
    X(STOPPED, stopped)                                                                            \
    X(PREPARING, preparing)                                                                        \
    X(LAUNCHING, launching)                                                                        \
    X(BOOTING, booting)                                                                            \
    X(RUNNING, running)                                                                            \
    X(FROZEN, frozen)                                                                              \
    X(STOPPING, stopping)                                                                          \
    X(KILLING, killing)                                                                            \
    X(CLEANING, cleaning)                                                                          \
    X(BACKOFF, backoff)                                                                            \
    X(STUCK, stuck)

enum ct_state {
#define CT_STATE_ENUM(upper, lower) CT_##upper,
    CT_STATE_LIST(CT_STATE_ENUM)
#undef CT_STATE_ENUM
        CT_STATE_COUNT
};

/* Numbers are on the wire and in databases: append only. */
#define EVENT_TYPE_LIST(X)                                                                         \
    X(UNSET, unset)                                                                                \
    X(CREATED, created)                                                                            \
    X(CHANGED, changed)                                                                            \
    X(CONFIGURED, configured)                                                                      \
    X(DESTROYED, destroyed)                                                                        \
    X(RESULT, result)                                                                              \
    X(ESCALATED, escalated)                                                                        \
    X(OOM, oom)                                                                                    \
    X(CONSOLE_LOST, console_lost)                                                                  \
    X(GAP, gap)                                                                                    \
    X(NODE_UP, node_up)                                                                            \
    X(NODE_DOWN, node_down)                                                                        \
    X(AUDIT, audit)

enum event_type {
#define EVENT_TYPE_ENUM(upper, lower) EVENT_##upper,
    EVENT_TYPE_LIST(EVENT_TYPE_ENUM)
#undef EVENT_TYPE_ENUM
        EVENT_TYPE_COUNT
};

struct event {
    uint64_t epoch; /* random at each start of the agent; not 0 once published */
    uint64_t seq;   /* 0 until the ledger numbered it */
    uint64_t time_wall_ns;
    uint8_t uuid[UUID_BYTES]; /* all zero: an event of the node */
    char name[NAME_BYTES];
    uint64_t generation;
    enum event_type type;
    enum ct_state from; /* UNSET but for CHANGED */
    enum ct_state to;
    enum cause cause; /* UNSET but for the end of a generation */
    bool has_status;
    int wait_status;    /* waitpid(2) form, of an end */
    enum status result; /* of RESULT */
    char request[REQUEST_ID_BYTES];
    char detail[EVENT_DETAIL_BYTES]; /* words: OOM's process, a result's fault, an escalation */
};

const char *ct_state_name(enum ct_state state);
enum ct_state ct_state_find(const char *name);
const char *event_type_name(enum event_type type);
enum event_type event_type_find(const char *name);

#endif
