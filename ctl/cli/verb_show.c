/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "cli.h"
#include "rows.h"
#include "select.h"
#include "text.h"

#define FIELD_WIDTH 16

static const struct column columns[] = {
    {"name", COLUMN_BOTH, 0},     {"id", COLUMN_BOTH, 0},         {"node", COLUMN_BOTH, 0},
    {"state", COLUMN_BOTH, 0},    {"generation", COLUMN_BOTH, 0}, {"pid", COLUMN_BOTH, 0},
    {"ready", COLUMN_BOTH, 0},    {"cause", COLUMN_BOTH, 0},      {"status", COLUMN_BOTH, 0},
    {"started", COLUMN_BOTH, 0},  {"ip", COLUMN_BOTH, 0},         {"labels", COLUMN_BOTH, 0},
    {"revision", COLUMN_BOTH, 0}, {"config", COLUMN_BOTH, 0},     {NULL, COLUMN_BOTH, 0},
};

/* One line a field of an object. */
static void tell_part(const char *before, const json_t *object)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        AUTO_FREE char *text = text_of_value(value);

        if (strcmp(key, "limits") == 0)
            continue;
        (void)printf("%s%-*s %s\n", before, FIELD_WIDTH - (int)strlen(before), key,
                     text == NULL ? "" : text);
    }
}

/* The configuration and its limits stand one and two steps in. */
static void tell(const struct render *render, const json_t *row)
{
    struct column_walk walk = {0};
    const struct column *column;

    while ((column = render_column_next(render, &walk)) != NULL) {
        const json_t *value = json_object_get(row, column->key);
        AUTO_FREE char *text = json_is_object(value) && strcmp(column->key, "config") == 0
                                   ? NULL
                                   : text_of_value(value);

        if (text != NULL) {
            (void)printf("%-*s %s\n", FIELD_WIDTH, column->key, text);
            continue;
        }
        (void)printf("%s\n", column->key);
        tell_part("  ", value);
        (void)printf("  limits\n");
        tell_part("    ", json_object_get(value, "limits"));
    }
}

static int on_shown(void *context, const struct answer *answer)
{
    struct render *render = context;

    for (size_t i = 0; i < answer->container_count; i++)
        render_add(render, row_shown(&answer->containers[i], answer->config));
    return 0;
}

/* Tables are rows of like things; this is one thing after another. */
static int tell_all(struct cli *cli, struct render *render, int code)
{
    size_t index;
    json_t *row;

    if (cli->format != FORMAT_TABLE)
        return cli_render_end(cli, render, code);
    render_sort(render);
    json_array_foreach(render->rows, index, row)
    {
        if (index > 0)
            (void)putchar('\n');
        tell(render, row);
    }
    render_drop(render);
    return code;
}

int verb_show(struct cli *cli)
{
    struct render render;
    struct targets targets = {0};
    int all = -1;

    if (cli->argument_count == 0 && !options_has(&cli->options, OPTION_ALL))
        return cli_usage(cli, "which container? a name, a glob, @node, key=value, or --all");
    int code = cli_render(cli, &render, columns);
    if (code != 0)
        return code;
    code = cli_connect(cli);
    if (code == 0)
        code = targets_find(cli, &targets);
    for (size_t i = 0; i < targets.count && all != status_exit_code(STATUS_UNREACHABLE); i++) {
        struct query query = {
            .kind = QUERY_SHOW, .container = targets.list[i].name, .node = targets.list[i].node};
        all = cli_code_join(all, cli_ask(cli, &query, on_shown, &render));
    }
    targets_close(&targets);
    return tell_all(cli, &render, all < 0 ? code : all);
}
