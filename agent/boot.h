/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h — the timeline of a container's last boot, as `drover boot` shows it.
 *
 * Shape    struct boot_times holds a moment a step; boot_steps() turns them into durations.
 * Units    *_ns CLOCK_MONOTONIC; 0: not reached.
 * Errors   none.
 * Owner    struct slot.
 * Context  pure.
 */
#ifndef DROVER_BOOT_H
#define DROVER_BOOT_H

#include "message.h"

/* The steps of a boot, each with the moment at which it was done. */
#define BOOT_STEP_LIST(X)                                                                          \
    X(admit) /* its turn to boot came */                                                           \
    X(plan)  /* these five beside the commit */                                                    \
    X(cgroup)                                                                                      \
    X(send) /* to the keeper */                                                                    \
    X(receive)                                                                                     \
    X(clone)                                                                                       \
    X(outside) /* id maps, limits, idmapped mounts */                                              \
    X(commit)  /* its intent is durable */                                                         \
    X(stage)   /* the child's mounts and namespaces, where the keeper told */                      \
    X(go)      /* its stage may execute the init */                                                \
    X(exec)                                                                                        \
    X(ready)

enum boot_step_kind {
#define BOOT_STEP_ENUM(name) BOOT_##name,
    BOOT_STEP_LIST(BOOT_STEP_ENUM)
#undef BOOT_STEP_ENUM
        BOOT_STEPS_MAX
};

struct boot_times {
    uint64_t accepted_ns;
    uint64_t began_ns[BOOT_STEPS_MAX]; /* 0: when the step before it was done */
    uint64_t done_ns[BOOT_STEPS_MAX];
};

/* steps has room for BOOT_STEPS_MAX. Returns how many there are; steps not reached are left
 * out. What was done side by side overlaps; they are in the order of their beginning. */
size_t boot_steps(const struct boot_times *times, struct boot_step *steps);

#endif
