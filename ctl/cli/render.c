/* SPDX-License-Identifier: Apache-2.0 */
#include "render.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "render_table.h"

#define DUMP_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(10))

const char *const format_words[] = {"table", "json", "jsonl", "yaml", "csv", NULL};

static const struct column *find_column(const struct column *columns, const char *key)
{
    for (; columns->key != NULL; columns++)
        if (strcmp(columns->key, key) == 0)
            return columns;
    return NULL;
}

static int check_column(const struct column *columns, const char *key, struct fault *fault)
{
    char known[FAULT_HINT_BYTES] = "there are:";
    size_t length = strlen(known);

    if (find_column(columns, key) != NULL)
        return 0;
    for (const struct column *column = columns; column->key != NULL; column++)
        if (length + strlen(column->key) + 2 <= sizeof(known))
            length += (size_t)snprintf(known + length, sizeof(known) - length, " %s", column->key);
    fault_set(fault, STATUS_INVALID, 0, "%s: no such column", key);
    fault_hint(fault, known);
    return -EINVAL;
}

/* "a,b" → "a\0b\0\0" */
static int choose(struct render *render, const char *list, struct fault *fault)
{
    size_t length = strlen(list);
    char *chosen = calloc(1, length + 2);

    if (chosen == NULL) {
        fault_set(fault, STATUS_FAILED, ENOMEM, "no memory for the columns");
        return -ENOMEM;
    }
    render->chosen = memcpy(chosen, list, length);
    for (char *comma = chosen; (comma = strchr(comma, ',')) != NULL;)
        *comma++ = '\0';
    for (const char *key = chosen; key <= chosen + length; key += strlen(key) + 1) {
        int result = check_column(render->columns, key, fault);
        if (result < 0)
            return result;
    }
    return 0;
}

bool render_may_colour(void)
{
    const char *no_colour = getenv("NO_COLOR"); /* no-color.org: set and not empty */

    return isatty(STDOUT_FILENO) == 1 && (no_colour == NULL || no_colour[0] == '\0');
}

int render_open(struct render *render, enum format format, const struct options *options,
                const struct column *columns, struct fault *fault)
{
    const char *list = options_find(options, OPTION_COLUMNS);

    *render = (struct render){.format = format,
                              .has_header = !options_has(options, OPTION_NO_HEADER),
                              .has_colour = render_may_colour(),
                              .columns = columns,
                              .sort = options_find(options, OPTION_SORT),
                              .rows = json_array(),
                              .out = stdout};
    int result = list == NULL ? 0 : choose(render, list, fault);
    if (result == 0 && render->sort != NULL)
        result = check_column(columns, render->sort, fault);
    if (result < 0)
        render_drop(render);
    return result;
}

/* ---- which columns ---- */

static bool is_used(const struct render *render, const struct column *column)
{
    bool is_table = render->format == FORMAT_TABLE;

    switch (column->use) {
    case COLUMN_BOTH:
        return true;
    case COLUMN_TABLE:
        return is_table;
    case COLUMN_DATA:
        return !is_table;
    }
    return false;
}

const struct column *render_column_next(const struct render *render, struct column_walk *walk)
{
    if (render->chosen != NULL) {
        const char *key = walk->chosen == NULL ? render->chosen : walk->chosen;

        walk->chosen = key + strlen(key) + 1;
        return key[0] == '\0' ? NULL : find_column(render->columns, key);
    }
    for (; render->columns[walk->index].key != NULL; walk->index++)
        if (is_used(render, &render->columns[walk->index]))
            return &render->columns[walk->index++];
    return NULL;
}

/* ---- programs ---- */

static void put_json(const struct render *render, const json_t *row, const char *before,
                     const char *between)
{
    struct column_walk walk = {0};
    const struct column *column;
    const char *separator = "";

    (void)fputs(before, render->out);
    while ((column = render_column_next(render, &walk)) != NULL) {
        const json_t *value = json_object_get(row, column->key);
        AUTO_FREE char *text = value == NULL ? NULL : json_dumps(value, DUMP_FLAGS);
        bool is_yaml = render->format == FORMAT_YAML;
        (void)fprintf(render->out, is_yaml ? "%s%s: %s" : "%s\"%s\":%s", separator, column->key,
                      text == NULL ? "null" : text);
        separator = between;
    }
}

static void put_quoted(FILE *out, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        (void)fputs(text, out);
        return;
    }
    (void)fputc('"', out);
    for (; *text != '\0'; text++)
        (void)fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
    (void)fputc('"', out);
}

/* RFC 4180, but lines end as all others here do. row NULL: the headings. */
static void put_csv(const struct render *render, const json_t *row)
{
    struct column_walk walk = {0};
    const struct column *column;
    const char *separator = "";

    while ((column = render_column_next(render, &walk)) != NULL) {
        const json_t *value = json_object_get(row, column->key);

        (void)fputs(separator, render->out);
        separator = ",";
        if (row == NULL) {
            put_quoted(render->out, column->key);
        } else if (json_is_string(value)) {
            put_quoted(render->out, json_string_value(value));
        } else if (value != NULL && !json_is_null(value)) {
            AUTO_FREE char *text = json_dumps(value, DUMP_FLAGS);
            put_quoted(render->out, text == NULL ? "" : text);
        }
    }
    (void)fputc('\n', render->out);
}

static void put_row(struct render *render, const json_t *row)
{
    bool is_first = render->count++ == 0;

    switch (render->format) {
    case FORMAT_TABLE:
        render_table_line(render, row, is_first);
        break;
    case FORMAT_JSON:
        put_json(render, row, is_first ? "[{" : ",\n {", ",");
        (void)fputc('}', render->out);
        break;
    case FORMAT_JSONL:
        put_json(render, row, "{", ",");
        (void)fputs("}\n", render->out);
        break;
    case FORMAT_YAML:
        put_json(render, row, "- ", "\n  ");
        (void)fputc('\n', render->out);
        break;
    case FORMAT_CSV:
        if (is_first && render->has_header)
            put_csv(render, NULL);
        put_csv(render, row);
        break;
    }
}

static void put_end(struct render *render)
{
    switch (render->format) {
    case FORMAT_JSON:
        (void)fputs(render->count == 0 ? "[]\n" : "]\n", render->out);
        return;
    case FORMAT_YAML:
        if (render->count == 0)
            (void)fputs("[]\n", render->out);
        return;
    case FORMAT_CSV:
        if (render->count == 0 && render->has_header)
            put_csv(render, NULL);
        return;
    case FORMAT_TABLE:
    case FORMAT_JSONL:
        return;
    }
}

void render_add(struct render *render, json_t *row_consumed)
{
    if (!render->is_streaming) {
        (void)json_array_append_new(render->rows, row_consumed);
        return;
    }
    put_row(render, row_consumed);
    json_decref(row_consumed);
}

int render_flush(struct render *render)
{
    if (fflush(render->out) != 0)
        return -errno;
    return ferror(render->out) ? -EIO : 0;
}

/* ---- order ---- */

struct sorted {
    const json_t *row;
    const json_t *value;
    size_t index; /* rows that are alike keep their order */
};

static int compare_values(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return (json_number_value(a) > json_number_value(b)) -
               (json_number_value(a) < json_number_value(b));
    if (json_is_string(a) && json_is_string(b))
        return strcmp(json_string_value(a), json_string_value(b));
    AUTO_FREE char *a_text = a == NULL || json_is_null(a) ? NULL : json_dumps(a, DUMP_FLAGS);
    AUTO_FREE char *b_text = b == NULL || json_is_null(b) ? NULL : json_dumps(b, DUMP_FLAGS);
    return strcmp(a_text == NULL ? "" : a_text, b_text == NULL ? "" : b_text);
}

static int compare_sorted(const void *left, const void *right)
{
    const struct sorted *a = left;
    const struct sorted *b = right;
    int order = compare_values(a->value, b->value);

    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

static json_t *sort_rows(const json_t *rows, const char *key)
{
    size_t count = json_array_size(rows);
    AUTO_FREE struct sorted *list = calloc(count + 1, sizeof(*list));
    json_t *result = json_array();

    if (list == NULL)
        return result;
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(rows, i);
        list[i] = (struct sorted){row, json_object_get(row, key), i};
    }
    qsort(list, count, sizeof(*list), compare_sorted);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append(result, (json_t *)(uintptr_t)list[i].row);
    return result;
}

void render_sort(struct render *render)
{
    if (render->sort == NULL)
        return;
    json_t *sorted = sort_rows(render->rows, render->sort);
    json_decref(render->rows);
    render->rows = sorted;
}

int render_close(struct render *render)
{
    render_sort(render);
    if (render->format == FORMAT_TABLE && !render->is_streaming)
        render_table(render);
    for (size_t i = 0; render->format != FORMAT_TABLE && i < json_array_size(render->rows); i++)
        put_row(render, json_array_get(render->rows, i));
    put_end(render);
    render_drop(render);
    return render_flush(render);
}

void render_drop(struct render *render)
{
    json_decref(render->rows);
    free(render->chosen);
    render->rows = NULL;
    render->chosen = NULL;
}
