/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faults.h — what goes wrong, and when: drawn by lot, counted, and over when it is calm.
 *
 * Shape    each kind is counted a seed, and marked with the states that containers were in then.
 * Units    counts; permille of chances.
 * Errors   none.
 * Owner    struct sim.
 * Context  HAPPENING_FAULT, and wherever something may fail.
 */
#ifndef DROVER_SIM_FAULTS_H
#define DROVER_SIM_FAULTS_H

#include "sim.h"
#include "store_limits.h"

#define FAULT_LIST(X)                                                                              \
    X(LOSS, loss)                                                                                  \
    X(DUPLICATION, duplication)                                                                    \
    X(REORDER, reorder)                                                                            \
    X(DELAY, delay)                                                                                \
    X(PARTITION, partition)                                                                        \
    X(AGENT_CRASH, agent_crash)                                                                    \
    X(BETWEEN_CRASH, between_crash) /* after a commit, before all that stood on it left */         \
    X(COMMIT_CRASH, commit_crash)   /* in the middle of a commit */                                \
    X(KEEPER_CRASH, keeper_crash)                                                                  \
    X(KEEPER_REEXEC, keeper_reexec)                                                                \
    X(CTL_CRASH, ctl_crash)                                                                        \
    X(CTL_COMMIT_CRASH, ctl_commit_crash)                                                          \
    X(POWER, power) /* the node's */                                                               \
    X(CTL_POWER, ctl_power)                                                                        \
    X(EFFECT, effect)   /* one that fails */                                                       \
    X(CLOCK, clock)     /* CLOCK_REALTIME jumps */                                                 \
    X(RESTORE, restore) /* node.db is put back from an earlier copy */                             \
    X(CTL_RESTORE, ctl_restore)                                                                    \
    X(SYNC, sync)               /* an fsync fails */                                               \
    X(FULL, full)               /* the disk */                                                     \
    X(FOREIGN, foreign)         /* a process of somebody else's gets a number that was ours */     \
    X(STRANGE_ACK, strange_ack) /* a controller acknowledges what was never sent */                \
    X(STRAY, stray)             /* kernel or keeper say what does not matter here */               \
    X(ODD_END, odd_end)         /* an end that is told in other words */                           \
    X(KEEPER_HANG, keeper_hang) /* it neither reads nor tells for a while */                       \
    X(REPEATED_ID, repeated_id)                                                                    \
    X(REUSED_ID, reused_id)

enum fault_kind {
#define FAULT_ENUM(upper, lower) FAULT_##upper,
    FAULT_LIST(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_COUNT
};
const char *fault_kind_name(enum fault_kind kind);

struct simvfs_snapshot;

struct faults {
    uint64_t counts[FAULT_COUNT];
    bool has_controller; /* else events count as acknowledged at their commit */
    bool is_small;       /* the ledger forgets soon what upstream has */
    bool is_last_word_due;
    unsigned effect_permille;
    struct simvfs_snapshot *node_copy;
    struct simvfs_snapshot *ctl_copy;
};

void faults_open(struct sim *sim);
void faults_close(struct sim *sim);
void faults_act(struct sim *sim); /* HAPPENING_FAULT */
/* From now on all works. */
void faults_end(struct sim *sim);
void faults_note(struct sim *sim, enum fault_kind kind);

bool faults_fail_effect(struct sim *sim);
/* Does the controller acknowledge what it cannot have? */
bool faults_is_ack_strange(struct sim *sim);
/* Is the agent to die right here, between two things that one commit set free? */
bool faults_is_last_word(struct sim *sim);
bool faults_has_controller(const struct sim *sim);
void faults_limit_store(struct sim *sim, struct store_limits *limits);

#endif
