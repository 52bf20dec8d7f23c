/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effect.h — what the model orders, and the lists that one turn fills.
 *
 * Shape    struct effect names a container and a kind; all else the executor looks up itself.
 * Units    *_ns nanoseconds.
 * Errors   a list that is full is a bug: the node leaves room for CT_OUT_PER_STEP.
 * Owner    struct out is the turn's.
 * Context  pure. Every effect but ASK, KILL and UNQUEUE ends in exactly one observation.
 */
#ifndef DROVER_EFFECT_H
#define DROVER_EFFECT_H

#include <stddef.h>
#include <stdint.h>

#include "command.h"
#include "node_limits.h"

#define EFFECT_LIST(X)                                                                             \
    X(UNSET, unset)                                                                                \
    X(MAKE, make)       /* the container's directory → MADE, MAKE_FAILED */                      \
    X(PREPARE, prepare) /* cgroup with limits, plan → PREPARED, PREPARE_FAILED */                \
    X(LAUNCH, launch)   /* at the keeper → BOOTED, LAUNCH_FAILED, later READY, ENDED */          \
    X(ASK, ask)         /* the guest to stop or reboot, in the way `step` says */                  \
    X(KILL, kill)       /* cgroup.kill; its end comes by itself */                                 \
    X(CLEAN, clean)     /* kill what is left, remove cgroups → CLEANED_STOP, CLEAN_FAILED */     \
    X(REMOVE, remove)   /* the container's directory → REMOVED, REMOVE_FAILED */                 \
    X(FREEZE, freeze)   /* → FROZEN, FREEZE_FAILED */                                            \
    X(THAW, thaw)       /* → THAWED; before an ASK or KILL nobody waits for it */                \
    X(LIMIT, limit)     /* those of the SET in progress, or of its row → LIMITED, LIMIT_FAILED */

enum effect_kind {
#define EFFECT_ENUM(upper, lower) EFFECT_##upper,
    EFFECT_LIST(EFFECT_ENUM)
#undef EFFECT_ENUM
        EFFECT_COUNT
};
const char *effect_name(enum effect_kind kind);

struct effect {
    enum effect_kind kind;
    uint32_t ct;
    uint64_t generation;
    uint32_t step;     /* ASK: 0 the family's own way, then halt, then init 0 */
    bool is_reboot;    /* ASK */
    bool waits_commit; /* changes the world on behalf of an intent: only after its commit */
};

struct out {
    struct effect effects[OUT_MAX];
    struct event events[OUT_MAX];
    struct ct_receipt receipts[OUT_MAX];
    size_t effect_count;
    size_t event_count;
    size_t receipt_count;
};

#endif
