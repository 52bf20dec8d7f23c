/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cells.h — the rule table with one cell wrong, to see who notices.
 *
 * Shape    a mutation is "STATE,INPUT,FIELD": its verdict, its next state or its action becomes
 *          another, always the same one. Cells marked BUG have none: nothing may reach them.
 * Units    none.
 * Errors   false: no such mutation.
 * Owner    the process, whose table stays wrong.
 * Context  before anything is simulated. The table is const; its pages are made writable here.
 */
#ifndef DROVER_SIM_CELLS_H
#define DROVER_SIM_CELLS_H

#include <stdbool.h>
#include <stdio.h>

#include "container.h"

/* One a line: the mutation, a tab, what becomes of what, in words. */
void cells_list(FILE *stream);
bool cells_mutate(const char *mutation);
/* The rule as it is written, whatever became of it here. */
const struct ct_rule *cells_rule(enum ct_state state, enum ct_input input);

#endif
