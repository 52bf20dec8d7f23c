/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cleanup.h"
#include "life.h"

static int read_shape(const struct cli *cli, struct command *shape, struct fault *fault)
{
    static const char *const waits[] = {"exec", "ready", NULL};
    int wait = options_get_word(&cli->options, OPTION_WAIT, waits, 1, fault);

    if (wait < 0)
        return wait;
    for (unsigned verb = 1; verb < VERB_COUNT; verb++)
        if (strcmp(verb_name((enum verb)verb), cli->verb->name) == 0)
            shape->verb = (enum verb)verb;
    shape->wait = wait == 0 ? WAIT_FOR_EXEC : WAIT_FOR_READY;
    if (options_has(&cli->options, OPTION_DETACH))
        shape->wait = WAIT_FOR_ACCEPTED;
    shape->is_forced = options_has(&cli->options, OPTION_FORCE);
    if (shape->verb == VERB_STOP)
        shape->grace_ns = cli->timeout_ns;
    else
        shape->time_left_ns = cli->timeout_ns;
    return 0;
}

/* Nobody answers: the receipts of those named say that nothing was sent. */
static int tell_not_sent(struct cli *cli, const struct command *shape, int code)
{
    struct targets targets = {0};

    for (size_t i = 0; i < cli->argument_count; i++)
        if (!target_is_plain(cli->arguments[i]))
            return code;
    if (code != status_exit_code(STATUS_UNREACHABLE) || options_has(&cli->options, OPTION_ALL))
        return code;
    code = targets_find(cli, &targets);
    if (code == 0)
        code = life_run(cli, shape, &targets);
    targets_close(&targets);
    return code;
}

int verb_life(struct cli *cli)
{
    struct command shape = {0};
    struct targets targets = {0};
    struct fault fault = {0};

    if (read_shape(cli, &shape, &fault) < 0)
        return cli_fail(cli, &fault, "", "");
    if (cli->argument_count == 0 && !options_has(&cli->options, OPTION_ALL))
        return cli_usage(cli, "which container? a name, a glob, @node, key=value, or --all");
    int code = cli_connect(cli);
    if (code != 0)
        return tell_not_sent(cli, &shape, code);
    code = targets_find(cli, &targets);
    if (code == 0)
        code = life_run(cli, &shape, &targets);
    targets_close(&targets);
    return code;
}
