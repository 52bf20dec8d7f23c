/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_limits.h — the numbers that bound a node, in one place.
 *
 * Shape    constants.
 * Units    *_NS nanoseconds.
 * Errors   each says what happens when it is met.
 * Owner    nobody.
 * Context  pure.
 */
#ifndef DROVER_NODE_LIMITS_H
#define DROVER_NODE_LIMITS_H

#include <stdint.h>

#define SECOND_NS UINT64_C(1000000000)

#define CT_MAX 4096             /* containers of a node; create answers no_capacity */
#define BOOTS_IN_FLIGHT_MAX 8   /* admission; more gains nothing on 2 cores and delays each */
#define STOP_STEPS_MAX 3        /* ways of asking a guest to stop before its grace is over */
#define BOOT_PARALLEL_DEFAULT 8 /* at the node's boot; the rest wait for their turn */
#define BOOT_NEEDS_MAX 8192     /* what is waited for at it, in all; more is not waited for */
#define CT_OUT_PER_STEP 8       /* effects, events, receipts one step may add, each */
#define OUT_MAX 512             /* of a turn; the rest of the inbox waits for the next */

#define CREATE_DEADLINE_NS (60 * SECOND_NS)  /* making the directory hangs: create times out */
#define REMOVE_DEADLINE_NS (600 * SECOND_NS) /* removing it hangs: destroy times out, stuck */
#define QUEUE_DEADLINE_NS (600 * SECOND_NS)  /* waiting for admission: start fails */
#define PREPARE_DEADLINE_NS (30 * SECOND_NS) /* cgroup and plan: stuck */
#define STAGE_DEADLINE_NS (30 * SECOND_NS)   /* the keeper kills a stage that is late */
#define LAUNCH_DEADLINE_NS (40 * SECOND_NS)  /* no word from the keeper: killed */
#define BOOT_DEADLINE_NS (600 * SECOND_NS)   /* not ready: killed, boot_timeout */
#define GRACE_DEFAULT_NS (120 * SECOND_NS)   /* stop: killed after it */
#define STOP_STEP_NS (5 * SECOND_NS)         /* heard but not acted on: the next way */
#define KILL_DEADLINE_NS (10 * SECOND_NS)    /* SIGKILL without an end: stuck */
#define CLEAN_DEADLINE_NS (30 * SECOND_NS)   /* cgroups that stay: stuck */
#define STUCK_RETRY_NS (1 * SECOND_NS)       /* first retry; doubled up to the next line */
#define STUCK_RETRY_MAX_NS (60 * SECOND_NS)

#define FREEZER_DEADLINE_NS (10 * SECOND_NS) /* freeze or thaw not reached: undone, fails */

#define LIMIT_DEADLINE_NS (30 * SECOND_NS) /* writing limits hangs: set times out */

#define OOM_WINDOW_NS (2 * SECOND_NS) /* a kill for memory explains a SIGKILL this near */

#define RESTART_BASE_NS (SECOND_NS / 2)
#define RESTART_CAP_NS (60 * SECOND_NS)
#define RESTART_WINDOW_NS (30 * SECOND_NS)
#define RESTART_LIMIT 16

#endif
