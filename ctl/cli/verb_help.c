/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help and version: all of it is made from the tables of verbs, options and statuses.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "rows.h"
#include "setting_read.h"

#define SCHEMA 1 /* of what -f json prints; fields are only added within one */

static void help_all(void)
{
    (void)printf("Usage: drover [--agent SOCKET | --controller SOCKET] VERB ...\n\n"
                 "Boots and keeps system containers.\n\nVerbs:\n");
    for (const struct cli_verb *verb = verbs; verb->name != NULL; verb++)
        (void)printf("  %-11s %s\n", verb->name, verb->words);
    (void)printf("\nContainers are named by NAME, NAME@NODE or id; many at once by a glob of "
                 "names, @NODE,\nKEY=VALUE of a label, or --all.\n"
                 "Without --agent and --controller: $DROVER_SOCKET, else controller.sock, else "
                 "agent.sock\nof /run/drover.\n"
                 "`drover help VERB` tells its options, `drover help statuses` the exit codes.\n");
}

static void help_option(enum option option)
{
    const struct option_row *row = &option_rows[option];
    char left[64];
    char letter[5] = "";

    if (row->letter != 0)
        (void)snprintf(letter, sizeof(letter), "-%c, ", row->letter);
    (void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, row->name,
                   row->value == NULL ? "" : " ", row->value == NULL ? "" : row->value);
    (void)printf("  %-32s %s\n", left, row->words);
}

static void help_verb(const struct cli_verb *verb)
{
    uint64_t all = (verb->options | OPTIONS_COMMON) & ~verb->needless;

    (void)printf("Usage: drover %s %s\n\n%s\n\nOptions:\n", verb->name, verb->usage, verb->words);
    for (unsigned option = 0; option < OPTION_COUNT; option++)
        if ((verb->options & UINT64_C(1) << option) != 0)
            help_option((enum option)option);
    for (unsigned option = 0; option < OPTION_COUNT; option++)
        if ((all & ~verb->options & UINT64_C(1) << option) != 0)
            help_option((enum option)option);
}

static void help_keys(void)
{
    (void)printf("\nKeys:\n");
    for (unsigned key = SETTING_UNSET + 1; key < SETTING_COUNT; key++) {
        const struct option_row *row = &option_rows[setting_option((enum setting_key)key)];
        char left[64];

        (void)snprintf(left, sizeof(left), "%s=%s", row->name,
                       row->value == NULL ? "yes|no" : row->value);
        (void)printf("  %-32s %s\n", left, row->words);
    }
    (void)printf("  %-32s %s\n", "cpuunits=N", "as cpu-weight, in OpenVZ's units: 8 to 500000");
}

static int help_statuses(struct cli *cli)
{
    static const struct column columns[] = {
        {"status", COLUMN_BOTH, 0}, {"exit_code", COLUMN_BOTH, -1}, {NULL, COLUMN_BOTH, 0}};
    struct render render;
    int code = cli_render(cli, &render, columns);

    if (code != 0)
        return code;
    for (unsigned status = STATUS_UNSET + 1; status < STATUS_COUNT; status++)
        render_add(&render, json_pack("{s:s, s:i}", "status", status_name((enum status)status),
                                      "exit_code", status_exit_code((enum status)status)));
    return cli_render_end(cli, &render, 0);
}

int verb_help(struct cli *cli)
{
    bool is_asked_of = cli->verb != NULL && cli->verb->run != verb_help; /* VERB --help */
    const struct cli_verb *verb = is_asked_of ? cli->verb : NULL;

    if (!is_asked_of && cli->argument_count > 1)
        return cli_usage(cli, "one verb, or `statuses`");
    if (!is_asked_of && cli->argument_count == 1) {
        if (strcmp(cli->arguments[0], "statuses") == 0)
            return help_statuses(cli);
        verb = cli_find_verb(cli->arguments[0]);
        if (verb == NULL) {
            const char *words = cli_unsupported(cli->arguments[0]);
            return cli_usage(cli, words == NULL ? "no such verb" : words);
        }
    }
    if (verb == NULL)
        help_all();
    else
        help_verb(verb);
    if (verb != NULL && verb->run == verb_set)
        help_keys();
    return 0;
}

/* ---- version ---- */

static const struct column version_columns[] = {{"version", COLUMN_BOTH, 0},
                                                {"schema", COLUMN_BOTH, 0},
                                                {"server", COLUMN_BOTH, 0},
                                                {NULL, COLUMN_BOTH, 0}};

struct heard {
    char version[128]; /* "": no server was asked */
};

static int on_version(void *context, const struct answer *answer)
{
    struct heard *heard = context;

    (void)snprintf(heard->version, sizeof(heard->version), "%s", answer->version);
    return 0;
}

/* A server that nobody named may well not be there: then only our own version is told. */
static int ask_version(struct cli *cli, struct heard *heard)
{
    bool is_named =
        options_has(&cli->options, OPTION_AGENT) || options_has(&cli->options, OPTION_CONTROLLER);
    struct query query = {.kind = QUERY_VERSION};
    struct fault fault = {0};

    if (!is_named && wire_connect(&cli->wire, cli_socket(cli), &fault) < 0)
        return 0;
    int code = is_named ? cli_connect(cli) : 0;
    return code != 0 ? code : cli_ask(cli, &query, on_version, heard);
}

/* One object, and no array around it: it says how to read all else. */
static int tell_version(struct cli *cli, const struct heard *heard)
{
    json_t *row = json_pack("{s:s, s:i, s:o}", "version", DROVER_VERSION, "schema", SCHEMA,
                            "server", row_text(heard->version));
    struct render render;
    int code = cli_render(cli, &render, version_columns);

    if (code != 0) {
        json_decref(row);
        return code;
    }
    if (cli->format == FORMAT_JSON)
        render.format = FORMAT_JSONL;
    render_add(&render, row);
    return cli_render_end(cli, &render, 0);
}

int verb_version(struct cli *cli)
{
    struct heard heard = {""};

    if (cli->argument_count != 0)
        return cli_usage(cli, "version takes no argument");
    int code = ask_version(cli, &heard);
    if (code != 0)
        return code;
    if (cli->format == FORMAT_TABLE) {
        (void)printf("drover %s\n", DROVER_VERSION);
        if (heard.version[0] != '\0')
            (void)printf("%s\n", heard.version);
        return 0;
    }
    return tell_version(cli, &heard);
}
