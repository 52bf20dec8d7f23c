/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hook_run.h — the node's hooks of one generation, run on its way up or down.
 *
 * Shape    struct hook_run is one walk (hooks.h) with the helper that runs its scripts: a SPAWN of
 *          `drover-keeper --run-hooks` in a leaf of the container's group.
 * Units    *_ns CLOCK_MONOTONIC.
 * Errors   the walk's fault; what cannot be begun at all fails it too.
 * Owner    itself, from hook_run_begin() until it has called on_end().
 * Context  the loop's thread, but for hook_run_look(). Nothing here waits.
 */
#ifndef DROVER_HOOK_RUN_H
#define DROVER_HOOK_RUN_H

#include <stdint.h>

#include "cgroup.h"
#include "event.h"
#include "hooks.h"
#include "keeper_wire.h"

#define HOOK_DEADLINE_NS UINT64_C(7000000000) /* of one script; then its whole group is killed */

struct agent;
struct hook_run;

struct hook_request {
    uint32_t ct;
    uint64_t generation;
    char name[NAME_BYTES];
    uint8_t uuid[UUID_BYTES];
    const struct cgroup *cgroup; /* borrowed until on_end() */
    uint32_t there;              /* HOOK_BIT of the node's hooks to run; its own are known */
    uint32_t way;                /* HOOKS_UP or HOOKS_DOWN */
    /* root: a detached mount instead of the container's own; -1: none. The callee's. */
    void (*on_end)(void *context, const struct hook_walk *walk, int root_consumed);
    void *context;
};

/* HOOK_BIT of the files of these points that are there. Any thread; may block on the disk. */
uint32_t hook_run_look(const char *directory, uint32_t way);
/* HOOK_BIT of those of the container itself. */
uint32_t hook_run_own(const struct agent *agent, uint32_t ct, uint32_t way);

void hook_run_begin(struct agent *agent, const struct hook_request *request);

/* A kill does not wait for scripts of a boot: they are killed, too. Once a turn. */
void hook_run_turn(struct agent *agent);

/* The keeper's words. */
void hook_run_record(struct agent *agent, const struct kw_spawn_record *record);
void hook_run_refused(struct agent *agent, const struct kw_refused *refused);
void hook_run_keeper_lost(struct agent *agent);

#endif
