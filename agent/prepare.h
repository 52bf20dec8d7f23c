/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prepare.h — the effect PREPARE: a boot's plan and its cgroups, made side by side.
 *
 * Shape    prepare_begin() when the model orders it, prepare_apply() when its intent is durable.
 *          Both halves are made while the intent is committed: a plan changes nothing outside, and
 *          cgroups in which nothing runs are removed by the next agent where no row names them.
 * Units    none.
 * Errors   the observation PREPARE_FAILED with the plan's fault, else the cgroup's; what the other
 *          half made stays with the slot for the clean-up that follows.
 * Owner    struct slot holds the preparing until both halves are done.
 * Context  the loop's thread; the halves on WORKER_MOUNT and WORKER_CGROUP.
 */
#ifndef DROVER_PREPARE_H
#define DROVER_PREPARE_H

#include "effect.h"

struct agent;
struct preparing;

void prepare_begin(struct agent *agent, const struct effect *effect);
/* Ends in exactly one observation, PREPARED or PREPARE_FAILED. */
void prepare_apply(struct agent *agent, const struct effect *effect);

#endif
