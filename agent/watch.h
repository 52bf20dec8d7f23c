/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h — what a container's cgroup notifies of: kills for memory, and the freezer's level.
 *
 * Shape    one watch a slot, from its launch to its clean-up.
 * Units    none.
 * Errors   -errno; without a watch kills for memory are read at the end alone.
 * Owner    struct slot.
 * Context  the loop's thread.
 */
#ifndef DROVER_WATCH_H
#define DROVER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct agent;

int watch_start(struct agent *agent, uint32_t index);
void watch_stop(struct agent *agent, uint32_t index);
/* Order it; FROZEN, THAWED or FREEZE_FAILED follows. */
void watch_freeze(struct agent *agent, uint32_t index, bool is_frozen);
/* Tell of what came since the last reading. */
void watch_read_oom(struct agent *agent, uint32_t index);

#endif
