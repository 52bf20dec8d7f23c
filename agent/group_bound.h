/* SPDX-License-Identifier: Apache-2.0 */
/*
 * group_bound.h — ends guests that make more groups in name=systemd than any need.
 *
 * Shape    cgroup v2 bounds a guest's groups itself; v1 does not, and each costs the host memory
 *          that no limit of the guest counts (measured: a million in 40 s under 64 MiB). So they
 *          are counted once a second while a container has a group there.
 * Units    groups.
 * Errors   none: what cannot be counted now is counted a second later.
 * Owner    struct agent embeds it.
 * Context  the loop's thread; the counting is the cgroup worker's. LIMIT: what a guest makes within
 *          the second is bounded by its processors alone (some 25 000 groups each).
 */
#ifndef DROVER_GROUP_BOUND_H
#define DROVER_GROUP_BOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "executor.h"

struct agent;

struct group_bound {
    uv_timer_t timer;
    struct work work;
    bool is_at_work;
    bool is_wanted; /* a container got its group since the last look began */
    size_t found;   /* that have one */
};

int group_bound_open(struct group_bound *bound, uv_loop_t *loop);
/* There is, or may be, a container with a group in name=systemd. Again it costs nothing. */
void group_bound_start(struct group_bound *bound);

#endif
