/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "config_read.h"
#include "life.h"

static int run(struct cli *cli, struct command *shape, char *name)
{
    char node[NAME_BYTES];
    char *at = strchr(name, '@');
    struct target target = {name, node};
    struct targets targets = {&target, 1, false};

    (void)snprintf(node, sizeof(node), "%s", at == NULL ? cli->node : at + 1);
    if (at != NULL)
        *at = '\0';
    if (!name_check(name))
        return cli_usage(cli, "a name has a-z, 0-9 and - (not first, not last), at most 63");
    int code = cli_connect(cli);
    if (code != 0 && code != status_exit_code(STATUS_UNREACHABLE))
        return code;
    return life_run(cli, shape, &targets);
}

int verb_create(struct cli *cli)
{
    static const char *const waits[] = {"exec", "ready", NULL};
    struct config_read read;
    struct fault fault = {0};
    char name[2 * NAME_BYTES];
    int wait = options_get_word(&cli->options, OPTION_WAIT, waits, 1, &fault);

    if (wait < 0)
        return cli_fail(cli, &fault, "", "");
    if (cli->argument_count != 1 || strlen(cli->arguments[0]) >= sizeof(name))
        return cli_usage(cli, "one name for the new container is needed");
    (void)snprintf(name, sizeof(name), "%s", cli->arguments[0]);
    int result = config_read(&read, &cli->options, &fault);
    struct command shape = {.verb = VERB_CREATE,
                            .config = &read.config,
                            .is_started = options_has(&cli->options, OPTION_START),
                            .wait = wait == 0 ? WAIT_FOR_EXEC : WAIT_FOR_READY,
                            .time_left_ns = cli->timeout_ns};
    if (options_has(&cli->options, OPTION_DETACH))
        shape.wait = WAIT_FOR_ACCEPTED;
    int code = result < 0 ? cli_fail(cli, &fault, "", "") : run(cli, &shape, name);
    config_read_close(&read);
    return code;
}
