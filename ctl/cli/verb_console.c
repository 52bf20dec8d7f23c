/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console and logs: what a guest's own terminal says, live or as it was kept.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "relay.h"
#include "select.h"

static int run(struct cli *cli, struct relay *relay, const struct target_name *target)
{
    char request[REQUEST_ID_BYTES];
    const char *given = options_find(&cli->options, OPTION_REQUEST_ID);

    relay->cli = cli;
    relay->container = target->name;
    relay->deadline_ns = cli->deadline_ns;
    relay->open.request_id = given != NULL ? given : cli_request_new(request);
    relay->open.node = target->node;
    relay->open.container = target->name;
    relay->open.cwd = "";
    relay->open.user = "";
    int code = cli_connect(cli);
    return code != 0 ? code : relay_run(relay);
}

int verb_console(struct cli *cli)
{
    struct target_name target;
    struct relay relay = {.has_input = true,
                          .is_raw = isatty(STDIN_FILENO) == 1,
                          .escape = {.is_wanted = true},
                          .open = {.kind = STREAM_CONSOLE}};
    int code = target_read_only(cli, &target);

    if (code != 0)
        return code;
    if (relay.is_raw) {
        (void)fprintf(stderr, "console of %s; ~. at the start of a line leaves it\n", target.name);
        relay.left_words = "left the console";
    }
    return run(cli, &relay, &target);
}

int verb_logs(struct cli *cli)
{
    struct target_name target;
    bool is_terminal = isatty(STDOUT_FILENO) == 1;
    struct relay relay = {
        .is_cleaned = is_terminal,
        .cleaner = {.has_colour = render_may_colour()},
        .open = {.kind = STREAM_LOGS, .is_follow = options_has(&cli->options, OPTION_FOLLOW)}};
    int code = target_read_only(cli, &target);

    return code != 0 ? code : run(cli, &relay, &target);
}
