/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handlers.h — who is told of what happens: one function a kind.
 *
 * Shape    `life` and `arg` are of struct due.
 * Units    none.
 * Errors   none; what is meant for a life that is over is not handed on.
 * Owner    life.c keeps the table.
 * Context  schedule.c alone calls it.
 */
#ifndef DROVER_SIM_HANDLERS_H
#define DROVER_SIM_HANDLERS_H

#include "sim.h"

bool handlers_is_current(const struct sim *sim, const struct due *due);
void handlers_run(struct sim *sim, const struct due *due);

#endif
