/* SPDX-License-Identifier: Apache-2.0 */
#include "render_table.h"

#include <ctype.h>
#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "text.h"

#define HEADING_BYTES 32

static const char *heading(const struct column *column, char text[HEADING_BYTES])
{
    size_t i = 0;

    for (; column->key[i] != '\0' && i < HEADING_BYTES - 1; i++)
        text[i] = (char)toupper((unsigned char)column->key[i]);
    text[i] = '\0';
    return text;
}

/* Green is well, yellow on its way, red wants a look. */
static const char *colour_of(const struct column *column, const json_t *value)
{
    static const struct {
        const char *state;
        const char *colour;
    } rows[] = {{"running", "green"}, {"up", "green"},       {"stuck", "red"},
                {"backoff", "red"},   {"down", "red"},       {"frozen", "cyan"},
                {"stopped", NULL},    {"booting", "yellow"}, {"stopping", "yellow"}};
    const char *state = json_string_value(value);

    if (strcmp(column->key, "state") != 0 || state == NULL)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcmp(rows[i].state, state) == 0)
            return rows[i].colour;
    return NULL;
}

static void add_line(struct render *render, struct libscols_table *table, const json_t *row)
{
    struct column_walk walk = {0};
    const struct column *column;
    struct libscols_line *line = scols_table_new_line(table, NULL);

    for (size_t i = 0; line != NULL && (column = render_column_next(render, &walk)) != NULL; i++) {
        const json_t *value = json_object_get(row, column->key);
        const char *colour = render->has_colour ? colour_of(column, value) : NULL;
        char *text = text_of_value(value);

        if (text != NULL && scols_line_refer_data(line, i, text) < 0)
            free(text);
        if (colour != NULL)
            (void)scols_cell_set_color(scols_line_get_cell(line, i), colour);
    }
}

void render_table(struct render *render)
{
    struct column_walk walk = {0};
    const struct column *column;
    char text[HEADING_BYTES];
    struct libscols_table *table = scols_new_table();

    if (table == NULL)
        return;
    (void)scols_table_set_stream(table, render->out);
    (void)scols_table_enable_noheadings(table, !render->has_header);
    (void)scols_table_enable_colors(table, render->has_colour);
    (void)scols_table_enable_noencoding(table, 1); /* text_of_value() has made it harmless */
    (void)scols_table_set_column_separator(table, "  ");
    while ((column = render_column_next(render, &walk)) != NULL)
        (void)scols_table_new_column(table, heading(column, text), 0,
                                     column->width < 0 ? SCOLS_FL_RIGHT : 0);
    for (size_t i = 0; i < json_array_size(render->rows); i++)
        add_line(render, table, json_array_get(render->rows, i));
    (void)scols_print_table(table);
    scols_unref_table(table);
}

void render_table_line(struct render *render, const json_t *row, bool is_first)
{
    struct column_walk walk = {0};
    const struct column *column;
    const char *separator = "";

    if (is_first && render->has_header) {
        while ((column = render_column_next(render, &walk)) != NULL) {
            char text[HEADING_BYTES];
            (void)fprintf(render->out, "%s%*s", separator, -column->width, heading(column, text));
            separator = "  ";
        }
        (void)fputc('\n', render->out);
        walk = (struct column_walk){0};
        separator = "";
    }
    while ((column = render_column_next(render, &walk)) != NULL) {
        AUTO_FREE char *text = text_of_value(json_object_get(row, column->key));
        /* Numbers (width < 0) stand to the right: printf's sign means the opposite of ours. */
        (void)fprintf(render->out, "%s%*s", separator, -column->width, text == NULL ? "" : text);
        separator = "  ";
    }
    (void)fputc('\n', render->out);
}
