/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recall.h — commands whose request id may be one that node.db alone still knows.
 *
 * Shape    a command waits while a worker looks its id up; then it is taken, or answered with what
 *          was found. In the order of their coming. Only once the results in memory are partial.
 * Units    counts.
 * Errors   beyond RECALLS_MAX the asker is told `busy`.
 * Owner    each waits on the heap until its look-up is done.
 * Context  the loop's thread; node.db is read on the worker `ledger`.
 */
#ifndef DROVER_RECALL_H
#define DROVER_RECALL_H

#include "message.h"

#define RECALLS_MAX 1024

struct agent;

/* False: too many wait. */
bool recall_begin(struct agent *agent, uint64_t origin, const struct command *command);

#endif
