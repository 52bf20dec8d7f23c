/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hook_inside.h — the scripts of the host that run inside a container: before its init (start), and
 * before it is asked to stop.
 *
 * Shape    struct hook_inside is one walk (hooks.h) whose scripts run one after the other as
 *          commands of a guest (streams.h): its namespaces, its user namespace's root, its filter
 *          of calls, a leaf of its group. A script comes as a sealed memfd.
 * Units    *_ns CLOCK_MONOTONIC.
 * Errors   the walk's fault; what cannot be begun at all fails it too.
 * Owner    itself, from hook_inside_begin() until it has called on_end(); a slot has at most one.
 * Context  the loop's thread; the disk of the host is read on workers. Nothing here waits.
 */
#ifndef DROVER_HOOK_INSIDE_H
#define DROVER_HOOK_INSIDE_H

#include <stdint.h>
#include <sys/types.h>

#include "hooks.h"

struct agent;
struct hook_inside;

/* Of a slot. */
struct slot_hooks {
    struct hook_inside *inside; /* that run; NULL: none */
    uint64_t launch;            /* whose start hooks were begun */
    struct fault fault;         /* why they failed */
    bool is_stop_done;          /* stop's have run, for whatever asks it now */
    bool has_start;             /* of the present generation: its GO waits for them */
};

/* The walk is over; it never is where its generation ends before. */
typedef void (*hook_inside_fn)(struct agent *agent, uint32_t ct, bool has_any,
                               const struct hook_walk *walk);

typedef void (*hook_inside_begun_fn)(struct agent *agent, uint32_t ct);

struct hook_inside_request {
    uint32_t ct;
    uint32_t way;                  /* HOOKS_START or HOOKS_STOP */
    pid_t pid;                     /* START: of the stage that becomes init */
    hook_inside_begun_fn on_begun; /* there is one to run; NULL: nobody asks */
    hook_inside_fn on_end;
};

/* Where none is under way. on_end() is called later, though there may be nothing to run. */
void hook_inside_begin(struct agent *agent, const struct hook_inside_request *request);
/* Its generation is over: on_end() is not called any more. */
void hook_inside_drop(struct agent *agent, uint32_t ct);

#endif
