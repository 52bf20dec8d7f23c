/* SPDX-License-Identifier: Apache-2.0 */
/*
 * found.h — rows as an agent that died left them, for tests of adoption.
 *
 * Shape    each is a whole struct ct_found of container "web", generation 3, to be changed further.
 * Units    small numbers for wall times: what ran before ended at 20, the present began at 30.
 * Errors   none.
 * Owner    the caller's copies.
 * Context  one thread.
 */
#ifndef DROVER_FOUND_H
#define DROVER_FOUND_H

#include "world.h"

/* As the store has it, and nobody else knows anything. */
struct ct_found row_of(enum ct_state state);
/* Its init is alive. */
struct ct_found live_of(enum ct_state state);
/* Its init ended while no agent lived. */
struct ct_found ended_of(enum ct_state state, int wait_status);

/* A command, request "req", was in progress; its receipt after adoption, NULL: none yet. */
void give(struct ct_found *found, enum verb verb);
const struct ct_receipt *result(const struct world *world);

#endif
