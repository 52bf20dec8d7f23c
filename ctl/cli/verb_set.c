/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "life.h"
#include "setting_read.h"

/* The first word names containers, whatever it looks like; behind it a KEY=VALUE is a change. */
static size_t count_targets(const struct cli *cli)
{
    size_t count = options_has(&cli->options, OPTION_ALL) ? 0 : 1;

    while (count > 0 && count < cli->argument_count && strchr(cli->arguments[count], '=') == NULL)
        count++;
    return count;
}

static int read_shape(const struct cli *cli, struct command *shape, struct fault *fault)
{
    bool is_next = options_has(&cli->options, OPTION_NEXT_START);
    bool is_restart = options_has(&cli->options, OPTION_RESTART_NOW);

    if (is_next && is_restart) {
        fault_set(fault, STATUS_INVALID, 0, "one of --next-start and --restart");
        return -1;
    }
    shape->verb = VERB_SET;
    shape->wait = options_has(&cli->options, OPTION_DETACH) ? WAIT_FOR_ACCEPTED : WAIT_FOR_READY;
    shape->time_left_ns = cli->timeout_ns;
    shape->set_when = is_next ? SET_NEXT_START : is_restart ? SET_RESTART : SET_AT_ONCE;
    return options_get_number(&cli->options, OPTION_REVISION, &shape->base_revision, fault);
}

static int run(struct cli *cli, const struct command *shape, size_t target_count)
{
    struct targets targets = {0};
    size_t argument_count = cli->argument_count;
    int code = cli_connect(cli);

    cli->argument_count = target_count;
    if (code == 0)
        code = targets_find(cli, &targets);
    if (code == 0)
        code = life_run(cli, shape, &targets);
    cli->argument_count = argument_count;
    targets_close(&targets);
    return code;
}

int verb_set(struct cli *cli)
{
    struct setting_read read = {0};
    struct command shape = {0};
    struct fault fault = {0};
    size_t target_count = count_targets(cli);

    if (target_count > cli->argument_count)
        return cli_usage(cli, "which container? a name, a glob, @node, key=value, or --all");
    if (target_count == cli->argument_count)
        return cli_usage(cli, "what is to be set? KEY=VALUE behind the container's name");
    if (read_shape(cli, &shape, &fault) < 0)
        return cli_fail(cli, &fault, "", "");
    int result = setting_read(&read, cli->arguments + target_count,
                              cli->argument_count - target_count, &fault);
    shape.config = &read.values.config;
    shape.settings = read.settings;
    shape.setting_count = read.count;
    int code = result < 0 ? cli_fail(cli, &fault, "", "") : run(cli, &shape, target_count);
    setting_read_close(&read);
    return code;
}
