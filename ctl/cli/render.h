/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render.h — rows to standard output, as a table for people or in a form for programs.
 *
 * Shape    struct render takes JSON objects one by one; a form that can print a row at once does so
 *          when `is_streaming`, else tables and sorted output wait for render_close().
 * Units    columns.
 * Errors   -EINVAL with a fault: no such column; -errno: standard output cannot be written.
 * Owner    render_add() takes the row it is given.
 * Context  writes to the stream it was opened with.
 */
#ifndef DROVER_RENDER_H
#define DROVER_RENDER_H

#include <jansson.h>
#include <stdio.h>

#include "options.h"

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_JSONL, FORMAT_YAML, FORMAT_CSV };
extern const char *const format_words[];

enum column_use {
    COLUMN_BOTH, /* in tables and for programs */
    COLUMN_DATA, /* for programs */
    COLUMN_TABLE /* for people alone */
};

struct column {
    const char *key; /* NULL ends a list */
    enum column_use use;
    int width; /* of a table that is printed line by line; < 0: to the right, in any table */
};

/* Where a walk over the columns that are shown stands; {0}: before the first. */
struct column_walk {
    size_t index;
    const char *chosen;
};

struct render {
    enum format format;
    bool is_streaming; /* print each row as it comes */
    bool has_header;
    bool has_colour;
    const struct column *columns;
    char *chosen;     /* -o, cut into words; NULL: the columns' own use decides */
    const char *sort; /* NULL: as they come */
    json_t *rows;
    size_t count; /* added */
    FILE *out;
};

/* Standard output is a terminal, and nobody said NO_COLOR. */
bool render_may_colour(void);

/* columns must outlive it. Nothing is to be closed after a failure. */
int render_open(struct render *render, enum format format, const struct options *options,
                const struct column *columns, struct fault *fault);
void render_add(struct render *render, json_t *row_consumed);
/* The rows that wait, in the order that -s asks for; render_close() does it by itself. */
void render_sort(struct render *render);
/* What is printed so far goes out. -errno: nobody can read it any more. */
int render_flush(struct render *render);
int render_close(struct render *render);
/* Close without printing what waits: the verb failed. */
void render_drop(struct render *render);

/* NULL: no more. */
const struct column *render_column_next(const struct render *render, struct column_walk *walk);

#endif
