/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_columns.h — the columns of events, for all verbs that print some.
 *
 * Shape    two tables: a controller's events carry a cursor, an agent's do not.
 * Units    cells of a terminal.
 * Errors   none.
 * Owner    verb_events.c.
 * Context  cli must have greeted its server.
 */
#ifndef DROVER_EVENT_COLUMNS_H
#define DROVER_EVENT_COLUMNS_H

#include "cli.h"

extern const struct column event_columns_agent[];
extern const struct column event_columns_controller[];
const struct column *event_columns(const struct cli *cli);

#endif
