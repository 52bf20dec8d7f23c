/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prng.h — numbers from a seed, for jitter and for the simulator; never for secrets.
 *
 * Shape    struct prng is 8 bytes of state, copied freely.
 * Units    prng_below() answers in [0, bound).
 * Errors   none; a bound of 0 is a bug.
 * Owner    whoever embeds it.
 * Context  pure. Source: SplitMix64 (Steele, Lea, Flood 2014).
 */
#ifndef DROVER_PRNG_H
#define DROVER_PRNG_H

#include <stdint.h>

struct prng {
    uint64_t state; /* any value is a valid seed */
};

uint64_t prng_next(struct prng *prng);

/* Bias is below 2^-32 for the bounds in use (≤ 2^32), which jitter does not notice. */
uint64_t prng_below(struct prng *prng, uint64_t bound);

#endif
