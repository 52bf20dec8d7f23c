/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events and history. Rows are printed as they come: a controller keeps a million of them.
 */
#include <errno.h>
#include <signal.h>

#include "event_columns.h"
#include "rows.h"
#include "select.h"
#include "since.h"

/* detail stands last and is for people: programs have status and cause. */
#define EVENT_COLUMNS                                                                              \
    {"node", COLUMN_BOTH, 10}, {"epoch", COLUMN_DATA, 20}, {"seq", COLUMN_BOTH, -7},               \
        {"time", COLUMN_BOTH, 24}, {"container", COLUMN_DATA, 36}, {"name", COLUMN_BOTH, 16},      \
        {"generation", COLUMN_BOTH, -10}, {"type", COLUMN_BOTH, 10}, {"from", COLUMN_BOTH, 9},     \
        {"to", COLUMN_BOTH, 9}, {"cause", COLUMN_BOTH, 15}, {"status", COLUMN_BOTH, 19},           \
    {                                                                                              \
        "request", COLUMN_DATA, 36                                                                 \
    }

const struct column event_columns_agent[] = {
    EVENT_COLUMNS, {"detail", COLUMN_TABLE, 0}, {NULL, COLUMN_BOTH, 0}};
const struct column event_columns_controller[] = {EVENT_COLUMNS,
                                                  {"cursor", COLUMN_DATA, 20},
                                                  {"detail", COLUMN_TABLE, 0},
                                                  {NULL, COLUMN_BOTH, 0}};

const struct column *event_columns(const struct cli *cli)
{
    return cli->is_controller ? event_columns_controller : event_columns_agent;
}

struct printing {
    struct cli *cli;
    struct render render;
};

static int on_events(void *context, const struct answer *answer)
{
    struct printing *printing = context;
    struct fault fault = {0};

    for (size_t i = 0; i < answer->event_count; i++)
        render_add(&printing->render, row_event(&answer->events[i], printing->cli->is_controller));
    int result = render_flush(&printing->render);
    if (result == 0)
        return 0;
    fault_set(&fault, STATUS_FAILED, -result, "cannot write to standard output");
    return cli_fail(printing->cli, &fault, "", "");
}

/* cli has greeted its server. */
static int print(struct cli *cli, struct query *query)
{
    struct printing printing = {.cli = cli};
    int code = cli_render(cli, &printing.render, event_columns(cli));

    if (code != 0)
        return code;
    printing.render.is_streaming = printing.render.sort == NULL;
    code = cli_ask(cli, query, on_events, &printing);
    return cli_render_end(cli, &printing.render, code);
}

static int read_since(struct cli *cli, struct query *query)
{
    const char *since = options_find(&cli->options, OPTION_SINCE);
    struct fault fault = {0};

    query->since = query->is_follow ? SINCE_NOW : SINCE_ALL;
    if (since != NULL && since_read(since, cli->is_controller, query, &fault) < 0)
        return cli_fail(cli, &fault, "", "");
    return 0;
}

int verb_events(struct cli *cli)
{
    static const int signals[] = {SIGINT, SIGTERM, 0};
    struct query query = {.kind = QUERY_EVENTS,
                          .is_follow = options_has(&cli->options, OPTION_FOLLOW)};

    if (cli->argument_count != 0)
        return cli_usage(cli, "events takes no name: `drover history NAME` tells those of one");
    if (query.is_follow && options_has(&cli->options, OPTION_SORT))
        return cli_usage(cli, "what is followed has no end, so it cannot be sorted");
    int code = cli_greet(cli);
    if (code == 0)
        code = read_since(cli, &query);
    if (code != 0)
        return code;
    cli->wire.is_output_watched = query.is_follow;
    if (query.is_follow && cli->format == FORMAT_JSON)
        (void)wire_catch(&cli->wire, signals); /* so that the array is closed at its end */
    return print(cli, &query);
}

int verb_history(struct cli *cli)
{
    struct target_name target;
    int code = target_read_only(cli, &target);
    struct query query = {.kind = QUERY_HISTORY, .container = target.name, .node = target.node};

    if (code == 0)
        code = cli_greet(cli);
    return code != 0 ? code : print(cli, &query);
}
