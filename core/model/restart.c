/* SPDX-License-Identifier: Apache-2.0 */
#include "restart.h"

#include "ensure.h"

bool restart_step(struct restart *restart, const struct restart_policy *policy, uint64_t lasted_ns,
                  uint64_t *ret_wait_ns)
{
    ENSURE(policy->base_ns > 0);
    ENSURE(policy->cap_ns >= policy->base_ns);

    if (lasted_ns >= policy->window_ns)
        restart->streak = 0;
    if (restart->streak < UINT32_MAX)
        restart->streak++;
    if (policy->limit != 0 && restart->streak > policy->limit)
        return false;
    if (restart->streak == 1) {
        *ret_wait_ns = 0;
        return true;
    }

    uint64_t wait_ns = policy->base_ns;
    for (uint32_t i = 2; i < restart->streak && wait_ns < policy->cap_ns; i++)
        wait_ns = wait_ns > policy->cap_ns / 2 ? policy->cap_ns : wait_ns * 2;

    /* Jitter only shortens, so that the cap stays the promise. */
    *ret_wait_ns = wait_ns - prng_below(&restart->prng, wait_ns / 4 + 1);
    return true;
}
