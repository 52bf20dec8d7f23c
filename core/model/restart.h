/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restart.h — how long a container that keeps ending must wait before it boots again.
 *
 * Shape    struct restart counts ends inside a window; restart_step() says wait or give up.
 * Units    *_ns CLOCK_MONOTONIC nanoseconds. streak 0: the last boot lasted.
 * Errors   none.
 * Owner    the container that embeds it.
 * Context  pure; jitter comes from the seed.
 */
#ifndef DROVER_RESTART_H
#define DROVER_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include "prng.h"

struct restart_policy {
    uint64_t base_ns;   /* first wait of a streak; the one before it is immediate */
    uint64_t cap_ns;    /* no wait is longer, jitter included */
    uint64_t window_ns; /* a boot that lasted this long ends the streak */
    uint32_t limit;     /* ends in one streak before crash_loop; 0 = never gives up */
};

struct restart {
    struct prng prng;
    uint32_t streak; /* ends in a row whose boot did not last window_ns */
};

/*
 * Count one end and decide.
 *   lasted_ns    in   from exec to the end of the boot
 *   ret_wait_ns  out  set only on true: 0 for the first end of a streak, then base doubled up to
 *                     cap, less up to a quarter by jitter
 * Returns false when the streak passed the limit: crash_loop.
 */
bool restart_step(struct restart *restart, const struct restart_policy *policy, uint64_t lasted_ns,
                  uint64_t *ret_wait_ns);

#endif
