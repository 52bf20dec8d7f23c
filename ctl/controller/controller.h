/* SPDX-License-Identifier: Apache-2.0 */
/*
 * controller.h — one controller: what its parts share, and the turn that binds them.
 *
 * Shape    struct controller is the whole. Callbacks put what came in into `arrivals`; the turn,
 *          once a loop iteration, acts on it, sweeps what is due, and lets readers go on.
 * Units    *_ns CLOCK_MONOTONIC.
 * Errors   a fault at start; later failures are told to whom they concern.
 * Owner    main(); everything here lives as long as the process.
 * Context  the loop's thread, the only one but nanomsg's own.
 */
#ifndef DROVER_CONTROLLER_H
#define DROVER_CONTROLLER_H

#include <uv.h>

#include "arrivals.h"
#include "events.h"
#include "local.h"
#include "options.h"
#include "queries.h"
#include "registry.h"
#include "requests.h"
#include "sessions.h"
#include "streams.h"

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
/* Until a signal; closes everything. */
void controller_run(struct controller *controller);

/* Sweep not later than then. */
void controller_due(struct controller *controller, uint64_t due_ns);
/* Act on a client's message. is_asked: all nodes were asked for its container already. */
void controller_take(struct controller *controller, uint64_t client, const struct message *message,
                     bool is_asked);
/* The same for one that was kept, encoded, until now. */
void controller_take_kept(struct controller *controller, uint64_t client, const struct buffer *kept,
                          bool is_asked);

#endif
