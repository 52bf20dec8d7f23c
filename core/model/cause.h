/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cause.h — why a generation ended, decided from PID 1's wait status and what was known then.
 *
 * Shape    struct ending is the evidence; cause_decide() is the verdict on it.
 * Units    wait_status as waitpid(2) gives it.
 * Errors   none: what cannot be known is `unknown`, never guessed.
 * Owner    nobody.
 * Context  pure. Source: reboot(2): in a pid namespace, RB_AUTOBOOT ends PID 1 as if by SIGHUP,
 *          RB_HALT_SYSTEM and RB_POWER_OFF as if by SIGINT. PIDFD_GET_INFO shows 0 for both, so
 *          only the parent's status counts (measured on Linux 6.18).
 */
#ifndef DROVER_CAUSE_H
#define DROVER_CAUSE_H

#include <stdbool.h>
#include <stdint.h>

/* Numbers are on the wire and in databases: append only. */
#define CAUSE_LIST(X)                                                                              \
    X(UNSET, unset)                                                                                \
    X(GUEST_HALT, guest_halt)                                                                      \
    X(GUEST_REBOOT, guest_reboot)                                                                  \
    X(EXITED, exited)                                                                              \
    X(SIGNALLED, signalled)                                                                        \
    X(OOM, oom)                                                                                    \
    X(OPERATOR_STOP, operator_stop)                                                                \
    X(OPERATOR_KILL, operator_kill)                                                                \
    X(OPERATOR_REBOOT, operator_reboot)                                                            \
    X(START_FAILED, start_failed)                                                                  \
    X(BOOT_TIMEOUT, boot_timeout)                                                                  \
    X(REBOOT_DENIED, reboot_denied)                                                                \
    X(CRASH_LOOP, crash_loop)                                                                      \
    X(NODE_DOWN, node_down)                                                                        \
    X(LEASE_LOST, lease_lost)                                                                      \
    X(UNKNOWN, unknown)

enum cause {
#define CAUSE_ENUM(upper, lower) CAUSE_##upper,
    CAUSE_LIST(CAUSE_ENUM)
#undef CAUSE_ENUM
        CAUSE_COUNT
};

/* What an operator, a lease or a deadline had ordered before the end; at most one stands. */
enum order {
    ORDER_NONE,
    ORDER_STOP,
    ORDER_KILL,
    ORDER_REBOOT,
    ORDER_BOOT_TIMEOUT,
    ORDER_LEASE,
    ORDER_COUNT
};

struct ending {
    int wait_status;
    bool is_status_known;  /* false: no parent saw it (the keeper had died) */
    bool is_killed_by_us;  /* we wrote cgroup.kill before the end */
    bool is_oom_kill_seen; /* the cgroup's oom_kill rose since the last reading */
    bool is_reboot_allowed;
    enum order order;
};

enum cause cause_decide(const struct ending *ending);

const char *cause_name(enum cause cause);
enum cause cause_find(const char *name);

#endif
