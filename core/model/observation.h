/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observation.h — what the world did, as input of a container's rule table.
 *
 * Shape    CT_INPUT_LIST names the table's columns: commands first, then observations. The model
 *          itself splits an observation where a cell would need an `if` (CLEANED_*).
 * Units    *_ns CLOCK_MONOTONIC, *_wall_ns CLOCK_REALTIME.
 * Errors   struct fault carries words of a failed effect.
 * Owner    whoever holds the copy.
 * Context  pure.
 */
#ifndef DROVER_OBSERVATION_H
#define DROVER_OBSERVATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "command.h"

#define CT_INPUT_LIST(X)                                                                           \
    X(UNSET, unset)                                                                                \
    X(START, start)                                                                                \
    X(STOP, stop)                                                                                  \
    X(KILL, kill)                                                                                  \
    X(REBOOT, reboot)                                                                              \
    X(FREEZE, freeze)                                                                              \
    X(THAW, thaw)                                                                                  \
    X(DESTROY, destroy)                                                                            \
    X(SET, set)                 /* its configuration alone changes */                              \
    X(SET_LIMITS, set_limits)   /* … once the limits of its living cgroup have */                \
    X(SET_RESTART, set_restart) /* … and it boots again with it */                               \
    X(MADE, made)               /* its directory is there */                                       \
    X(MADE_LATE, made_late)     /* … and its create has ended without it */                      \
    X(MAKE_FAILED, make_failed)                                                                    \
    X(ADMITTED, admitted) /* its turn to boot */                                                   \
    X(BOOT, boot)         /* its turn at the node's boot */                                        \
    X(PREPARED, prepared) /* cgroup and plan are there */                                          \
    X(PREPARE_FAILED, prepare_failed)                                                              \
    X(LAUNCHED, launched)           /* an earlier agent sent its launch, and died over it */       \
    X(BOOTED, booted)               /* init was executed */                                        \
    X(LAUNCH_FAILED, launch_failed) /* it ended before */                                          \
    X(READY, ready)                                                                                \
    X(ENDED, ended)                 /* init ended and was reaped */                                \
    X(UNASKED, unasked)             /* its stop hook failed: it goes on, and was not ready yet */  \
    X(UNASKED_READY, unasked_ready) /* … it was */                                               \
    X(FROZEN, frozen)                                                                              \
    X(FREEZE_FAILED, freeze_failed)                                                                \
    X(THAWED, thawed)                                                                              \
    X(LIMITED, limited) /* its cgroup has the limits that were ordered */                          \
    X(LIMIT_FAILED, limit_failed)                                                                  \
    X(OOM, oom)                         /* the cgroup's oom_kill rose */                           \
    X(CLEANED_STOP, cleaned_stop)       /* nothing is left of the generation; and it rests */      \
    X(CLEANED_AGAIN, cleaned_again)     /* … and it boots again */                               \
    X(CLEANED_WAIT, cleaned_wait)       /* … after a wait */                                     \
    X(CLEANED_DESTROY, cleaned_destroy) /* … and is destroyed */                                 \
    X(CLEAN_FAILED, clean_failed)                                                                  \
    X(REMOVED, removed) /* its directory is gone */                                                \
    X(REMOVE_FAILED, remove_failed)                                                                \
    X(STEP, step)             /* the shorter of its two timers; news of a way of asking */         \
    X(DEADLINE, deadline)     /* of the state */                                                   \
    X(LIMIT_LATE, limit_late) /* writing limits takes too long */

enum ct_input {
#define CT_INPUT_ENUM(upper, lower) IN_##upper,
    CT_INPUT_LIST(CT_INPUT_ENUM)
#undef CT_INPUT_ENUM
        CT_INPUT_COUNT
};
const char *ct_input_name(enum ct_input input);

/* IN_CLEANED_STOP stands for all four in an observation, IN_MADE and IN_UNASKED for both: the model
 * knows. */
struct observation {
    enum ct_input kind;
    uint32_t ct;
    uint64_t generation; /* of whom it tells; another than the present one is dropped */
    struct fault fault;  /* of *_FAILED, UNASKED; STEP: why a way, or its hooks, failed */
    pid_t pid;           /* BOOTED */
    uint64_t at_ns;      /* when it happened: BOOTED, ENDED */
    uint64_t at_wall_ns;
    bool has_status; /* ENDED; LAUNCH_FAILED */
    int wait_status;
    bool is_node_down;     /* ENDED: the machine went down with it */
    bool is_ready_on_exec; /* PREPARED: exec is ready */
    uint64_t count;        /* OOM: kills since the last reading. STEP: the way of asking meant */
    bool is_init_dying;    /* OOM: as they were read, and not by anybody's word */
    bool is_going_down;    /* STEP: it was heard; else that way could not be taken */
    bool is_hooked;        /* STEP: its stop hooks are done, and it was not asked before */
    bool has_become_ready; /* UNASKED: while they ran */
};

enum input_kind { INPUT_COMMAND = 1, INPUT_OBSERVATION };

struct input {
    enum input_kind kind;
    union {
        struct ct_command command;
        struct observation observation;
    };
};

#endif
