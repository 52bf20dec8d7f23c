/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checks_commands.h — what commands come to: the contract, written down a second time.
 *
 * Shape    tables by state and verb; what a demand has been through is kept in it.
 * Units    virtual nanoseconds.
 * Errors   sim_fail(): answer, I3, I6.
 * Owner    struct sim.
 * Context  checks_answered(), checks_heard() as the model answers; the others at a commit.
 */
#ifndef DROVER_SIM_CHECKS_COMMANDS_H
#define DROVER_SIM_CHECKS_COMMANDS_H

#include "checks.h"
#include "operators.h"

/* A command and whom it is for; but for ct as it was before. */
struct answered {
    const struct ct_command *command;
    const struct ct *ct;
    enum ct_state state;
    bool is_removing;   /* its directory is on its way out, and nothing but that can be asked for */
    bool is_bound;      /* its generation was made, or is being made, from its configuration */
    uint64_t late_keys; /* that this generation was made without */
    bool is_awaiting;   /* an order is out whose end is waited for */
};
/* receipts and effects: how many there were before. */
void checks_answered(struct sim *sim, const struct answered *answered, size_t receipts,
                     size_t effects, const struct out *out);
/* What the model made of what it heard of limits, or of a stop that a hook refused: effects, and
 * ct, as after that. */
struct heard {
    const struct observation *observation;
    enum ct_state state; /* these three before it */
    uint64_t revision;
    bool has_set;
};
void checks_heard(struct sim *sim, const struct heard *heard, const struct ct *ct, size_t effects,
                  const struct out *out);
/* The freezer is where the command in progress wants it. */
void checks_freezer_reached(struct sim *sim, const struct ct *ct);
/* No command waits longer than its deadline. */
void checks_waiting(struct sim *sim, const struct ct *ct);
/* The row says which command is in progress: can it be, in that state? */
void checks_row_command(struct sim *sim, const struct store_row *row);
void checks_intent(struct sim *sim, struct demand *asked);
/* The freezer refuses: the command in progress has failed. */
void checks_freezer_failed(struct sim *sim, const struct ct *ct);
void checks_result(struct sim *sim, const struct story *story, const struct event *event);

#endif
