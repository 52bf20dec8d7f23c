/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.h — one boot from its preparing to its GO: what may be done while its intent is committed.
 *
 * Shape    plan, cgroups and commit go side by side. With the first two a stage is launched, which
 *          does all but execute the init; GO is said when the model orders LAUNCH, which it does
 *          after the commit. What is heard of a stage before is kept until then, so that the model
 *          sees a launch that began with its order.
 * Units    none.
 * Errors   none.
 * Owner    struct slot has one for the present generation; zero is none.
 * Context  pure; tests/sim runs it too.
 */
#ifndef DROVER_HOLD_H
#define DROVER_HOLD_H

#include <stdbool.h>

#include "keeper_wire.h"

enum hold_phase {
    HOLD_NONE,
    HOLD_STAGED,  /* LAUNCH was sent, GO is not yet due */
    HOLD_OVER,    /* the same, and its end was heard: it is told when GO is due */
    HOLD_DROPPED, /* GO will never be due: its clean-up waits for its end */
};

struct hold {
    bool is_plan_done, is_cgroup_done; /* made, or failed */
    bool must_wait;                    /* one failed, or hooks come before GO: nothing is staged */
    bool is_durable;                   /* the intent */
    bool is_go_refused;                /* a keeper that wants to say STAGED first */
    bool is_staged;                    /* it said so */
    enum hold_phase phase;
};

/* What is due when plan, cgroup or commit came. */
enum hold_next {
    HOLD_WAIT,
    HOLD_STAGE,   /* send LAUNCH, then hold_stage() */
    HOLD_PREPARED /* tell the model, once */
};
enum hold_next hold_next(const struct hold *hold);
void hold_stage(struct hold *hold);

/* LAUNCH was ordered. */
enum hold_order {
    HOLD_LAUNCH, /* nothing was staged: send LAUNCH, and GO when nothing else comes before it */
    HOLD_GO,     /* send GO */
    HOLD_TELL    /* its end was heard before: tell it now */
};
enum hold_order hold_order(struct hold *hold);

/* Its end was heard: a final record, a refusal of LAUNCH, or the keeper is gone. */
enum hold_end {
    HOLD_NOW,  /* nothing is held: to be told at once */
    HOLD_KEEP, /* to be told when GO is due */
    HOLD_CLEAN /* nobody wants to know: its clean-up begins */
};
enum hold_end hold_end(struct hold *hold);

/* CLEAN was ordered. True: send ABORT, and wait for the end; a keeper that has not yet read LAUNCH
 * would clone into a group that is being removed. */
bool hold_drop(struct hold *hold);

/* GO was refused; the keeper said STAGED. True: say GO again. */
bool hold_go_refused(struct hold *hold);
bool hold_said_staged(struct hold *hold);

/* Was this launch never told GO? Nothing of the guest's ran, and nothing will. Only to be asked of
 * what was launched for an agent that is gone. */
bool hold_was_never_told(const struct kw_record *record);

#endif
