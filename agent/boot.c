/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

static const char *const step_names[BOOT_STEPS_MAX] = {
#define BOOT_STEP_NAME(name) [BOOT_##name] = #name,
    BOOT_STEP_LIST(BOOT_STEP_NAME)
#undef BOOT_STEP_NAME
};

/* Behind those that began before it or with it. */
static void insert(struct boot_step *steps, size_t count, struct boot_step step)
{
    size_t at = count;

    for (; at > 0 && steps[at - 1].offset_ns > step.offset_ns; at--)
        steps[at] = steps[at - 1];
    steps[at] = step;
}

size_t boot_steps(const struct boot_times *times, struct boot_step *steps)
{
    uint64_t before_ns = times->accepted_ns;
    size_t count = 0;

    for (size_t i = 0; i < BOOT_STEPS_MAX && times->accepted_ns != 0; i++) {
        uint64_t began_ns = times->began_ns[i] != 0 ? times->began_ns[i] : before_ns;
        uint64_t done_ns = times->done_ns[i];

        if (done_ns < began_ns || began_ns < times->accepted_ns)
            continue; /* not reached, or passed over */
        insert(steps, count++,
               (struct boot_step){.step = step_names[i],
                                  .offset_ns = began_ns - times->accepted_ns,
                                  .duration_ns = done_ns - began_ns});
        if (done_ns > before_ns)
            before_ns = done_ns;
    }
    return count;
}
