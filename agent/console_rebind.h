/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_rebind.h — a console anew for guests whose keeper died: its pty and ring died with it.
 *
 * Shape    struct console_rebinds is those under way; further ones wait in their slots.
 * Units    none.
 * Errors   a guest whose console cannot be had goes on without one; the log says so.
 * Owner    struct agent; struct slot's pty, output and ring are replaced by the keeper's record.
 * Context  the loop's thread, or before it runs.
 */
#ifndef DROVER_CONSOLE_REBIND_H
#define DROVER_CONSOLE_REBIND_H

#include <stdbool.h>
#include <stdint.h>

#include "keeper_wire.h"

#define REBINDS_MAX 64 /* of SPAWNS_KEPT, which stops and hooks need too */

struct agent;

struct rebind {
    uint64_t spawn; /* at the keeper; 0: free */
    uint64_t launch;
    uint32_t ct;
};

struct console_rebinds {
    struct rebind list[REBINDS_MAX];
    bool has_due; /* a slot waits for a place */
};

/* After ADOPT of its launch, and again by each later agent, as nobody knows whether an earlier one
 * saw it through. A master that the slot still holds is handed over, and no guest notices. */
void console_rebind_begin(struct agent *agent, uint32_t index);

/* The keeper is gone: streams of the console end, and what came from that keeper is let go of, but
 * for the master; and of the bindings under way nobody will tell. */
void console_rebind_lose(struct agent *agent, uint32_t index);
void console_rebind_lose_all(struct agent *agent);

/* The end of a spawn, ours or another's. */
void console_rebind_ended(struct agent *agent, const struct kw_spawn_record *record);
void console_rebind_refused(struct agent *agent, const struct kw_refused *refused);

#endif
