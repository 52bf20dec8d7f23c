/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks.h — which of a node's hooks is next, and what the end of one means.
 *
 * Shape    struct hook_walk is one way through those hooks that are there: up (premount, mount),
 *          start and stop (inside the container), or down (umount, postumount).
 * Units    counts.
 * Errors   the fault of a hook that failed: `hook_failed`, or `timeout` at its deadline.
 * Owner    the caller.
 * Context  pure.
 */
#ifndef DROVER_HOOKS_H
#define DROVER_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"

#define HOOK_POINT_LIST(X)                                                                         \
    X(PREMOUNT, premount)     /* before anything of a generation is mounted */                     \
    X(MOUNT, mount)           /* then: what it mounts on DROVER_ROOT can be the root */            \
    X(START, start)           /* inside the container, before its init */                          \
    X(STOP, stop)             /* inside the container, before it is asked to stop or reboot */     \
    X(UMOUNT, umount)         /* every process of it is gone */                                    \
    X(POSTUMOUNT, postumount) /* then */

enum hook_point {
#define HOOK_POINT_ENUM(upper, lower) HOOK_##upper,
    HOOK_POINT_LIST(HOOK_POINT_ENUM)
#undef HOOK_POINT_ENUM
        HOOK_POINT_COUNT
};
const char *hook_point_name(enum hook_point point);
/* HOOK_POINT_COUNT: there is none of this name. */
enum hook_point hook_point_find(const char *name);

#define HOOK_BIT(point) (1u << (point))
#define HOOKS_UP (HOOK_BIT(HOOK_PREMOUNT) | HOOK_BIT(HOOK_MOUNT))
#define HOOKS_START HOOK_BIT(HOOK_START)
#define HOOKS_STOP HOOK_BIT(HOOK_STOP)
#define HOOKS_DOWN (HOOK_BIT(HOOK_UMOUNT) | HOOK_BIT(HOOK_POSTUMOUNT))
#define HOOK_SKIP 39 /* a mount hook's exit code: the root is what it mounted, not our own */

enum hook_end_kind {
    HOOK_EXITED,    /* code: its exit code */
    HOOK_SIGNALLED, /* code: the signal */
    HOOK_UNABLE,    /* code: errno of its exec */
    HOOK_LATE,      /* killed at its deadline */
    HOOK_LOST       /* whoever ran it died */
};

struct hook_end {
    enum hook_end_kind kind;
    int code;
};

struct hook_walk {
    uint32_t left;         /* HOOK_BIT of the node's that are still to run */
    uint32_t left_own;     /* and of the container's own */
    enum hook_point point; /* of the present one */
    bool is_own;
    uint32_t way; /* HOOKS_UP, _START, _STOP or _DOWN */
    bool is_root_skipped;
    bool has_failed;
    struct fault fault; /* of the first that failed */
};

/* HOOK_BIT of the node's hooks and of the container's own that exist; those of other ways are left
 * out. At each point the node's comes first up to start, and last from stop on down. */
void hook_walk_begin(struct hook_walk *walk, uint32_t there, uint32_t own, uint32_t way);
/* False: there is no more to run. Else walk->point and is_own say which. */
bool hook_walk_next(struct hook_walk *walk);
bool hook_walk_is_over(const struct hook_walk *walk);
/*
 * How the present one ended. A failure ends the walk; but on the way down it is noted, and the next
 * one runs: what was there has to go.
 *   said  in  the last words of its output; may be ""
 */
void hook_walk_note(struct hook_walk *walk, struct hook_end end, const char *said);

#endif
