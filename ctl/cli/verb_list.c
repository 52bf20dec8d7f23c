/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs that ask one question and print its rows: ls, node ls, boot.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "rows.h"
#include "select.h"

/* sort: without -s; NULL: as they come. */
static int ask_and_print(struct cli *cli, struct query *query, const struct column *columns,
                         const char *sort, answer_fn on_answer)
{
    struct render render;
    int code = cli_render(cli, &render, columns);

    if (code != 0)
        return code;
    if (render.sort == NULL)
        render.sort = sort;
    code = cli_connect(cli);
    if (code == 0)
        code = cli_ask(cli, query, on_answer, &render);
    if (code == 0)
        return cli_render_end(cli, &render, 0);
    render_drop(&render); /* half a list would be taken for a whole one */
    return code;
}

static int on_containers(void *context, const struct answer *answer)
{
    for (size_t i = 0; i < answer->container_count; i++)
        render_add(context, row_container(&answer->containers[i]));
    return 0;
}

int verb_list(struct cli *cli)
{
    static const struct column columns[] = {
        {"name", COLUMN_BOTH, 0},    {"id", COLUMN_DATA, 0},          {"node", COLUMN_BOTH, 0},
        {"state", COLUMN_BOTH, 0},   {"generation", COLUMN_BOTH, -1}, {"pid", COLUMN_BOTH, -1},
        {"ready", COLUMN_BOTH, 0},   {"cause", COLUMN_BOTH, 0},       {"status", COLUMN_DATA, 0},
        {"started", COLUMN_BOTH, 0}, {"ip", COLUMN_DATA, 0},          {"labels", COLUMN_BOTH, 0},
        {NULL, COLUMN_BOTH, 0},
    };
    bool is_all = options_has(&cli->options, OPTION_ALL);
    struct query query = {.kind = QUERY_LIST,
                          .selectors = cli->arguments,
                          .selector_count = is_all ? 0 : cli->argument_count};

    return ask_and_print(cli, &query, columns, "name", on_containers);
}

/* ---- nodes ---- */

static int on_nodes(void *context, const struct answer *answer)
{
    for (size_t i = 0; i < answer->node_count; i++)
        render_add(context, row_node(&answer->nodes[i]));
    return 0;
}

int verb_node(struct cli *cli)
{
    static const struct column columns[] = {
        {"node", COLUMN_BOTH, 0},        {"state", COLUMN_BOTH, 0},
        {"cordoned", COLUMN_BOTH, 0},    {"agent_version", COLUMN_BOTH, 0},
        {"containers", COLUMN_BOTH, -1}, {"running", COLUMN_BOTH, -1},
        {"session", COLUMN_DATA, 0},     {"seen", COLUMN_BOTH, 0},
        {"labels", COLUMN_BOTH, 0},      {NULL, COLUMN_BOTH, 0},
    };
    struct query query = {.kind = QUERY_NODES};

    if (cli->argument_count == 1 && strcmp(cli->arguments[0], "shutdown") == 0)
        return verb_shutdown(cli);
    if (cli->argument_count != 1 || strcmp(cli->arguments[0], "ls") != 0)
        return cli_usage(cli, cli->argument_count == 0
                                  ? "what about nodes? `node ls` lists them"
                                  : "unsupported: this version has `node ls` and `node shutdown`");
    return ask_and_print(cli, &query, columns, "node", on_nodes);
}

/* ---- boots ---- */

/* In tables nobody wants nanoseconds. */
static void add_ms(json_t *row, const char *from, const char *to)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%.3f",
                   (double)json_integer_value(json_object_get(row, from)) / 1e6);
    (void)json_object_set_new(row, to, json_string(text));
}

static int on_steps(void *context, const struct answer *answer)
{
    for (size_t i = 0; i < answer->step_count; i++) {
        json_t *row = row_step(&answer->steps[i]);

        add_ms(row, "offset_ns", "offset_ms");
        add_ms(row, "duration_ns", "duration_ms");
        render_add(context, row);
    }
    return 0;
}

int verb_boot(struct cli *cli)
{
    static const struct column columns[] = {
        {"step", COLUMN_BOTH, 0},          {"offset_ns", COLUMN_DATA, -1},
        {"duration_ns", COLUMN_DATA, -1},  {"offset_ms", COLUMN_TABLE, -1},
        {"duration_ms", COLUMN_TABLE, -1}, {NULL, COLUMN_BOTH, 0},
    };
    struct target_name target;
    int code = target_read_only(cli, &target);
    struct query query = {.kind = QUERY_BOOT, .container = target.name, .node = target.node};

    return code != 0 ? code : ask_and_print(cli, &query, columns, NULL, on_steps);
}
