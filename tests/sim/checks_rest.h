/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checks_rest.h — checks of what is kept for later: histories, restarts that are owed, cgroups.
 *
 * Shape    each is called where the thing could first be seen to be wrong.
 * Units    none.
 * Errors   sim_fail() names the checker: ledger, restart, I2, I5.
 * Owner    struct sim.
 * Context  checks_events.c has the stories.
 */
#ifndef DROVER_SIM_CHECKS_REST_H
#define DROVER_SIM_CHECKS_REST_H

#include "checks.h"

/* The history of each container, by its chain, is what the whole ledger has of it. */
void checks_histories(struct sim *sim);
/* Before a batch's rows are taken: what was owed is carried out, unless somebody forbids it. */
void checks_owed(struct sim *sim, const struct store_batch *batch);
/* A ledger that was put back goes on above what upstream has. */
void checks_gap(struct sim *sim, const struct event *event);
/* In calm: no cgroup is left that is nobody's and in which nothing runs. */
void checks_leaves(struct sim *sim);

#endif
