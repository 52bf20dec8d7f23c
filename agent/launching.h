/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launching.h — a launch at the keeper, from its LAUNCH to the end of its generation.
 *
 * Shape    LAUNCH goes out when plan and cgroups are there, GO when the effect LAUNCH says so;
 *          hold.h decides what comes of either.
 * Units    none.
 * Errors   the observation LAUNCH_FAILED; never before the effect LAUNCH.
 * Owner    struct slot.
 * Context  the loop's thread.
 */
#ifndef DROVER_LAUNCHING_H
#define DROVER_LAUNCHING_H

#include <stdbool.h>
#include <stdint.h>

#include "effect.h"
#include "observation.h"

struct agent;

/* Send LAUNCH for what prepare.c left in the slot: no GO before its intent is durable. */
void launching_stage(struct agent *agent, uint32_t index);
/* The effect LAUNCH: GO, and LAUNCH before it if it was not sent. */
void launching_go(struct agent *agent, const struct effect *effect);
/* The effect CLEAN: at once, or when a stage that is held has ended. */
void launching_clean(struct agent *agent, const struct effect *effect);

/* Its launch failed. False: the caller tells the model now. */
bool launching_keeps(struct agent *agent, uint32_t index, const struct observation *seen);
/* A keeper of before KW_EARLY_GO. */
void launching_go_refused(struct agent *agent, uint32_t index);
void launching_said_staged(struct agent *agent, uint32_t index);
/* It took the stages with it that were not at GO. */
void launching_keeper_lost(struct agent *agent);

#endif
