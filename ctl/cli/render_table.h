/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render_table.h — rows as a table for people; the only door to libsmartcols.
 *
 * Shape    a whole table whose columns fit what is in them, or line by line at fixed widths.
 * Units    widths in cells of a terminal.
 * Errors   none: without memory a table is cut short.
 * Owner    render.c.
 * Context  writes to the render's stream. Source: libsmartcols 2.38.
 */
#ifndef DROVER_RENDER_TABLE_H
#define DROVER_RENDER_TABLE_H

#include "render.h"

void render_table(struct render *render);
void render_table_line(struct render *render, const json_t *row, bool is_first);

#endif
