/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec and shell. All failures of ours end with 125: other codes are the command's own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "config_read.h"
#include "relay.h"
#include "select.h"

#define LATE_NS (5 * NS_PER_S) /* the node's own word of a timeout is waited for so long */

/* With a terminal the guest has to know which one, unless it was told. */
static size_t add_term(struct pair *env, size_t count)
{
    const char *term = getenv("TERM");

    for (size_t i = 0; i < count; i++)
        if (strcmp(env[i].key, "TERM") == 0)
            return count;
    if (term == NULL || term[0] == '\0' || count == CONFIG_LIST_MAX)
        return count;
    env[count] = (struct pair){"TERM", term};
    return count + 1;
}

static const char *text_of(const struct cli *cli, enum option option)
{
    const char *text = options_find(&cli->options, option);

    return text == NULL ? "" : text;
}

static int relay_exec(struct cli *cli, struct relay *relay, const struct target_name *target)
{
    char request[REQUEST_ID_BYTES];
    const char *given = options_find(&cli->options, OPTION_REQUEST_ID);

    relay->cli = cli;
    relay->container = target->name;
    relay->is_exec = true;
    relay->has_input = true;
    relay->is_raw = relay->open.is_tty && isatty(STDIN_FILENO) == 1;
    relay->deadline_ns = cli->deadline_ns;
    if (relay->deadline_ns < WIRE_FOREVER - LATE_NS)
        relay->deadline_ns += LATE_NS;
    relay->open.kind = STREAM_EXEC;
    relay->open.request_id = given != NULL ? given : cli_request_new(request);
    relay->open.node = target->node;
    relay->open.container = target->name;
    relay->open.cwd = text_of(cli, OPTION_CWD);
    relay->open.user = text_of(cli, OPTION_USER);
    relay->open.timeout_ns = cli->timeout_ns;
    return cli_connect(cli) != 0 ? EXIT_OURS : relay_run(relay);
}

static int run(struct cli *cli, const struct target_name *target, const char *const *argv,
               size_t argv_count, bool is_tty)
{
    struct arena texts = {0};
    struct pair env[CONFIG_LIST_MAX];
    struct fault fault = {0};
    struct relay relay = {0};
    int count = pairs_read(&texts, &cli->options, OPTION_ENV, env, &fault);
    int code = EXIT_OURS;

    if (count < 0) {
        (void)cli_fail(cli, &fault, "", "");
    } else {
        relay.open.is_tty = is_tty;
        relay.open.argv = argv;
        relay.open.argv_count = argv_count;
        relay.open.env = env;
        relay.open.env_count = is_tty ? add_term(env, (size_t)count) : (size_t)count;
        code = relay_exec(cli, &relay, target);
    }
    arena_close(&texts);
    return code;
}

int verb_exec(struct cli *cli)
{
    struct target_name target;

    if (cli->command_at != 1 || cli->argument_count < 2)
        (void)cli_usage(cli, "a container, -- and a command are needed");
    else if (target_read(cli, cli->arguments[0], &target) == 0)
        return run(cli, &target, cli->arguments + 1, cli->argument_count - 1,
                   options_has(&cli->options, OPTION_TTY));
    return EXIT_OURS;
}

/* The user's shell is in the guest's own passwd; the line is looked for by the guest's own sh, that
 * must leave the loop first: in it, standard input is the file. */
static const char *const shell_argv[] = {
    "/bin/sh", "-c",
    "[ -n \"$0\" ] || cd; login=/bin/sh; "
    "while IFS=: read -r name x x x x x shell; do "
    "[ \"$name\" = \"$USER\" ] && [ -x \"$shell\" ] && login=$shell && break; "
    "done </etc/passwd 2>/dev/null; exec \"$login\" -l",
    ""};

int verb_shell(struct cli *cli)
{
    struct target_name target;
    const char *argv[COUNT_OF(shell_argv)];

    if (target_read_only(cli, &target) != 0)
        return EXIT_OURS;
    memcpy(argv, shell_argv, sizeof(argv));
    argv[COUNT_OF(argv) - 1] = text_of(cli, OPTION_CWD); /* without one it begins at home */
    return run(cli, &target, argv, COUNT_OF(argv), isatty(STDIN_FILENO) == 1);
}
