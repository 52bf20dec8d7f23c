/* SPDX-License-Identifier: Apache-2.0 */
/*
 * controller.h — one controller: what its parts share, and the turn that binds them.
 *
 * Shape    struct controller is the whole. Callbacks put what came in into `arrivals`, and what the
 *          store has done into `committed` and `answered`; the turn, once a loop iteration, acts on
 *          it, sweeps what is due, lets readers go on, and posts one batch of changes. What waits
 *          for its commit (acknowledgements, commands, receipts, followers) goes with it.
 * Units    *_ns CLOCK_MONOTONIC.
 * Errors   a fault at start; later failures are told to whom they concern.
 * Owner    main(); everything here lives as long as the process.
 * Context  the loop's thread, the only one but nanomsg's own.
 */
#ifndef DROVER_CONTROLLER_H
#define DROVER_CONTROLLER_H

#include <uv.h>

#include "arrivals.h"
#include "ctl_store.h"
#include "events.h"
#include "local.h"
#include "options.h"
#include "queries.h"
#include "registry.h"
#include "requests.h"
#include "sessions.h"
#include "streams.h"

#define CONTROLLER_BEHIND_EVENTS 65536u /* posted and not committed: nodes have to wait */

struct controller {
    uv_loop_t loop;
    uv_prepare_t turn;
    uv_async_t again; /* a turn left work for the next */
    uv_timer_t timer;
    uv_poll_t signals;
    int signal_fd; /* the owner is main() */
    struct link links[CHANNEL_COUNT];
    struct local_server local;
    struct arrivals arrivals;

    struct registry registry;
    struct sessions sessions;
    struct requests requests;
    struct asks asks;
    struct events events;
    struct streams streams;

    struct ctl_store *store;
    struct ctl_batch *batch;     /* of this turn; NULL: no change so far */
    struct ctl_batch *committed; /* to be acted on, in order, by next */
    struct ctl_batch *committed_last;
    struct ctl_read *answered; /* likewise, in any order */
    uint64_t posted_changes;   /* that are not committed */
    uint64_t broken;           /* connections of control, when nodes were last asked for a word */
    struct fault fault;        /* of the store, which ends us; UNSET: none */

    struct arena arena; /* of the message that is being acted on */
    struct arena kept;  /* of a kept message that is looked at meanwhile */
    struct buffer wire; /* scratch for encoding */
    uint64_t now_ns;    /* of this turn */
    uint64_t due_ns;    /* when something is to be swept; UINT64_MAX: never */
    bool is_ending;
};

/* signal_fd is readable when the process is to end. Whoever fails has closed what it opened. */
int controller_open(struct controller *controller, const struct options *options, int signal_fd,
                    struct fault *fault);
/* Until a signal, or a fault of the store, which is set then; closes everything. */
int controller_run(struct controller *controller, struct fault *fault);

/* The changes of this turn. */
struct ctl_batch *controller_batch(struct controller *controller);
/* Events come in faster than they become durable. */
bool controller_is_behind(const struct controller *controller);
/* controller_store.c */
int controller_open_store(struct controller *controller, const struct options *options,
                          struct fault *fault);
/* Acts on what the store has done. */
void controller_take_store(struct controller *controller);
/* Ends the turn. */
void controller_post_store(struct controller *controller);
void controller_close_store(struct controller *controller);

/* Sweep not later than then. */
void controller_due(struct controller *controller, uint64_t due_ns);
/* Act on a client's message. is_asked: all nodes were asked for its container already. */
void controller_take(struct controller *controller, uint64_t client, const struct message *message,
                     bool is_asked);
/* The same for one that was kept, encoded, until now. */
void controller_take_kept(struct controller *controller, uint64_t client, const struct buffer *kept,
                          bool is_asked);

#endif
