/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clean.h — the effect CLEAN: nothing of an ended generation is left (I2).
 *
 * Shape    one call, which takes cgroup, plan, ring and console out of the slot.
 * Units    none.
 * Errors   the observation CLEAN_FAILED names the process that does not die.
 * Owner    the cleaning owns what it took until its observation is posted.
 * Context  the loop's thread; kill and removal on WORKER_CLEAN. Source: cgroups(7) cgroup.kill,
 *          cgroup.events.
 */
#ifndef DROVER_CLEAN_H
#define DROVER_CLEAN_H

#include "effect.h"

struct agent;

/* Ends in exactly one observation, CLEANED_STOP or CLEAN_FAILED. */
void clean_generation(struct agent *agent, const struct effect *effect);

#endif
