/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reach.h — which cells of the rule table, and which faults in which states, a run came to.
 *
 * Shape    one table a process, over all its seeds; written to a file and added up by the parent.
 * Units    counts.
 * Errors   none.
 * Owner    run.c.
 * Context  ct_step() and node_command() are wrapped by the linker: the product counts nothing.
 */
#ifndef DROVER_SIM_REACH_H
#define DROVER_SIM_REACH_H

#include <stdio.h>

#include "faults.h"

struct reach {
    uint64_t cells[CT_STATE_COUNT][CT_INPUT_COUNT];
    uint64_t faults[FAULT_COUNT][CT_STATE_COUNT];
};

void reach_open(struct sim *sim);
struct reach *reach_table(void);
void reach_fault(enum fault_kind kind, enum ct_state state);
void reach_add(struct reach *to, const struct reach *more);
/* Cells that are not BUG: how many there are, and were reached. */
void reach_count(const struct reach *reach, unsigned *ret_reached, unsigned *ret_cells);
/* Which cells this seed came to, one a line: `reached STATE,INPUT SEED`. Of each cell the first
 * `most` seeds of a process are told. */
void reach_tell(FILE *stream, uint64_t seed, unsigned most);
/* Both tables, and what was never reached. */
void reach_print(const struct reach *reach, FILE *stream);

#endif
