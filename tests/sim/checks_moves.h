/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checks_moves.h — which moves a container may make, and what must have been done before them.
 *
 * Shape    the graph of states, written down a second time; and what the world did to a generation.
 * Units    virtual nanoseconds.
 * Errors   sim_fail(): moves, order, oom.
 * Owner    struct sim.
 * Context  at a commit, but for what is noted as it happens.
 */
#ifndef DROVER_SIM_CHECKS_MOVES_H
#define DROVER_SIM_CHECKS_MOVES_H

#include "checks.h"

/* Before the story takes the event up. */
void checks_moved(struct sim *sim, struct story *story, const struct event *event);
/* A guest was killed after its grace: it was asked in more than one way before. */
void checks_escalated(struct sim *sim, const struct story *story, const struct event *event);

/* An observation that this turn of the model must act upon. */
void checks_oom_seen(struct sim *sim, const struct ct *ct, uint64_t count);
void checks_oom_told(struct sim *sim, struct story *story, const struct event *event);
void checks_ready_seen(struct sim *sim, const struct ct *ct);
/* Heard by an agent: its init was executed. */
void checks_booted_seen(struct sim *sim, const struct ct *ct);
void checks_end_is_odd(struct sim *sim, const struct ct *ct);
/* Heard by an agent: its directory is gone, or stays. */
void checks_removal_seen(struct sim *sim, const struct ct *ct);
/* What one step of the model ordered: from `effects` on. */
void checks_stepped(struct sim *sim, const struct ct *ct, size_t effects, const struct out *out);
/* Orders that make no sense in this world. */
void checks_order(struct sim *sim, const struct effect *effect);
void checks_row_started(struct sim *sim, struct story *story, const struct store_row *row);
/* What was observed and is due to be told. */
void checks_overdue(struct sim *sim);
void checks_overdue_of(struct sim *sim, const struct ct *ct);
/* Was the row's generation ready before it booted, and is booting all the same? */
void checks_row_ready(struct sim *sim, const struct story *story, const struct store_row *row);

#endif
