/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "cli.h"
#include "clock.h"

#define BIT(upper) OPTION_BIT(upper)
#define SERVER (BIT(AGENT) | BIT(CONTROLLER) | BIT(NODE) | BIT(TIMEOUT) | BIT(REQUEST_ID))
#define OUTPUT (BIT(FORMAT) | BIT(NO_HEADER) | BIT(COLUMNS) | BIT(SORT))
#define TARGETS "NAME|GLOB|@NODE|KEY=VALUE..."

const struct cli_verb verbs[] = {
    {"ls", "[" TARGETS "]", "list containers", BIT(ALL), BIT(REQUEST_ID), verb_list},
    {"show", TARGETS, "show containers and their configuration", BIT(ALL), BIT(REQUEST_ID),
     verb_show},
    {"history", "NAME", "print the events of a container", 0, BIT(REQUEST_ID), verb_history},
    {"create", "NAME --template T | --root DIR", "make a container",
     BIT(TEMPLATE) | BIT(ROOT) | BIT(MEMORY) | BIT(SWAP) | BIT(PIDS) | BIT(CPUS) | BIT(CPU_WEIGHT) |
         BIT(BIND) | BIT(TMPFS) | BIT(ENV) | BIT(INIT) | BIT(FAMILY) | BIT(READY) |
         BIT(READY_TIMEOUT) | BIT(READY_POLICY) | BIT(RESTART) | BIT(ALLOW_REBOOT) |
         BIT(ON_NODE_LOST) | BIT(PRIVILEGED) | BIT(HOOK) | BIT(NESTED) | BIT(FUSE) | BIT(TUN) |
         BIT(PTRACE) | BIT(LABEL) | BIT(START) | BIT(STOP_GRACE) | BIT(AUTOSTART) | BIT(ORDER) |
         BIT(DEPENDS) | BIT(WAIT) | BIT(DETACH),
     0, verb_create},
    {"start", TARGETS, "boot containers; returns when they are ready",
     BIT(ALL) | BIT(WAIT) | BIT(DETACH) | BIT(FORCE), 0, verb_life},
    {"stop", TARGETS, "ask containers to halt; --timeout is their grace (120s)",
     BIT(ALL) | BIT(DETACH), 0, verb_life},
    {"kill", TARGETS, "end containers at once", BIT(ALL) | BIT(DETACH), 0, verb_life},
    {"reboot", TARGETS, "ask containers to reboot; returns when they are ready",
     BIT(ALL) | BIT(WAIT) | BIT(DETACH), 0, verb_life},
    {"freeze", TARGETS, "hold containers where they are", BIT(ALL) | BIT(DETACH), 0, verb_life},
    {"thaw", TARGETS, "let frozen containers go on", BIT(ALL) | BIT(DETACH), 0, verb_life},
    {"destroy", TARGETS, "remove stopped containers with all they have",
     BIT(ALL) | BIT(FORCE) | BIT(DETACH), 0, verb_life},
    {"set", TARGETS " KEY=VALUE...", "change containers; lists: KEY=ENTRY, KEY-=NAME, KEY=",
     BIT(ALL) | BIT(DETACH) | BIT(NEXT_START) | BIT(RESTART_NOW) | BIT(REVISION), 0, verb_set},
    {"exec", "NAME -- COMMAND [ARGUMENT...]", "run a command in a container",
     BIT(TTY) | BIT(ENV) | BIT(USER) | BIT(CWD), OUTPUT, verb_exec},
    {"shell", "NAME", "a login shell in a container", BIT(ENV) | BIT(USER) | BIT(CWD), OUTPUT,
     verb_shell},
    {"console", "NAME", "a container's console; ~. at the start of a line leaves it", 0, OUTPUT,
     verb_console},
    {"logs", "NAME", "what a container wrote to its console", BIT(FOLLOW), OUTPUT, verb_logs},
    {"events", "[--follow] [--since SEQ|CURSOR|TIME]", "print what happened",
     BIT(FOLLOW) | BIT(SINCE), BIT(REQUEST_ID), verb_events},
    {"wait", "[" TARGETS "] --for running|stopped|generation=N|event=X",
     "wait for a state or an event", BIT(ALL) | BIT(FOR) | BIT(SINCE), BIT(REQUEST_ID), verb_wait},
    {"boot", "NAME", "where the time of the last boot went", 0, BIT(REQUEST_ID), verb_boot},
    {"template", "import NAME PATH", "make a template from a directory or a tar", 0, 0,
     verb_template},
    {"import", "openvz|lxc FILE...", "make containers as their OpenVZ or LXC configurations say",
     BIT(TEMPLATE) | BIT(DRY_RUN) | BIT(START) | BIT(WAIT) | BIT(DETACH), 0, verb_import},
    {"node", "ls|shutdown", "list nodes; stop all containers of this one, in reverse boot order",
     BIT(PARALLEL), BIT(REQUEST_ID), verb_node},
    {"completion", "bash", "print the completion script of a shell", 0, SERVER | OUTPUT,
     verb_completion},
    {"help", "[VERB|statuses]", "say how a verb is used, or what exit codes mean", 0, SERVER,
     verb_help},
    {"version", "", "the version of this program and of the server", 0, BIT(REQUEST_ID),
     verb_version},
    {NULL, NULL, NULL, 0, 0, NULL},
};

const struct cli_verb *cli_find_verb(const char *name)
{
    for (const struct cli_verb *verb = verbs; verb->name != NULL; verb++)
        if (strcmp(verb->name, name) == 0)
            return verb;
    return NULL;
}

const char *cli_unsupported(const char *name)
{
    static const char *const names[] = {"top",    "apply",   "plan",  "job",
                                        "doctor", "metrics", "token", "key"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(names[i], name) == 0)
            return "unsupported: this version cannot do it yet";
    return NULL;
}

static int read_common(struct cli *cli, struct fault *fault)
{
    int format = options_get_word(&cli->options, OPTION_FORMAT, format_words, FORMAT_TABLE, fault);

    if (format < 0)
        return format;
    cli->format = (enum format)format;
    cli->node =
        options_has(&cli->options, OPTION_NODE) ? options_find(&cli->options, OPTION_NODE) : "";
    if (options_get_duration(&cli->options, OPTION_TIMEOUT, &cli->timeout_ns, fault) < 0)
        return -EINVAL;
    if (options_has(&cli->options, OPTION_TIMEOUT)) {
        if (cli->timeout_ns == 0)
            cli->timeout_ns = 1; /* at once; on the wire 0 means not given */
        cli->deadline_ns = clock_monotonic_ns() + cli->timeout_ns;
        if (cli->deadline_ns < cli->timeout_ns)
            cli->deadline_ns = WIRE_FOREVER;
    }
    const char *request = options_find(&cli->options, OPTION_REQUEST_ID);
    if (request != NULL && (request[0] == '\0' || strlen(request) >= REQUEST_ID_BYTES)) {
        fault_set(fault, STATUS_INVALID, 0, "--request-id: 1 to %u octets",
                  (uint64_t)REQUEST_ID_BYTES - 1);
        return -EINVAL;
    }
    return 0;
}

/* Of these, what prints no rows has no use for any. */
#define ROWS (BIT(NO_HEADER) | BIT(COLUMNS) | BIT(SORT))

static int run_verb(struct cli *cli, const char *name)
{
    struct fault fault = {0};
    const char *words = cli_unsupported(name);

    cli->verb = cli_find_verb(name);
    if (cli->verb == NULL) {
        fault_set(&fault, STATUS_INVALID, 0, "%s: %s", name,
                  words == NULL ? "no such verb" : words);
        fault_hint(&fault, "`drover help` lists what there is");
        return cli_fail(cli, &fault, "", "");
    }
    if (options_has(&cli->options, OPTION_HELP))
        return verb_help(cli);
    uint64_t taken = OPTIONS_COMMON & ~(cli->verb->needless & ROWS);
    if (options_check(&cli->options, taken | cli->verb->options, name, &fault) < 0)
        return cli_fail(cli, &fault, "", "");
    return cli->verb->run(cli);
}

/* A wrong word may stand before or behind the format in which it is to be told of. */
static int tell_wrong(struct cli *cli, const struct fault *fault)
{
    struct fault ignored;
    int format =
        options_get_word(&cli->options, OPTION_FORMAT, format_words, FORMAT_TABLE, &ignored);

    if (format >= 0)
        cli->format = (enum format)format;
    return cli_fail(cli, fault, "", "");
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct fault fault = {0};

    if (options_parse(&cli->options, argc, argv, &fault) < 0 || read_common(cli, &fault) < 0)
        return tell_wrong(cli, &fault);
    if (cli->options.argument_count == 0 || cli->options.command_at == 0) {
        if (options_has(&cli->options, OPTION_HELP))
            return verb_help(cli);
        if (options_has(&cli->options, OPTION_VERSION))
            return verb_version(cli);
        return cli_usage(cli, "what is to be done? `drover help` lists the verbs");
    }
    cli->arguments = cli->options.arguments + 1;
    cli->argument_count = cli->options.argument_count - 1;
    cli->command_at = cli->options.command_at - 1;
    return run_verb(cli, cli->options.arguments[0]);
}

/* The codes of exec and shell are the command's own, so all failures of ours share another. */
static int translate(const struct cli *cli, int code)
{
    const char *name = cli->options.argument_count > 0 ? cli->options.arguments[0] : "";
    bool is_exec = strcmp(name, "exec") == 0 || strcmp(name, "shell") == 0;
    bool is_help = options_has(&cli->options, OPTION_HELP);

    return is_exec && cli->wire.fd < 0 && code != 0 && !is_help ? EXIT_OURS : code;
}

/* A file that we open must not become the standard output of somebody's `>&-`: writes to it are to
 * fail, as they would without. */
static void guard_standard_files(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* the lowest: fd */
}

static int close_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    if (code != 0)
        return code;
    (void)fprintf(stderr, "drover: cannot write to standard output: %s\n", strerror(errno));
    return status_exit_code(STATUS_FAILED);
}

int main(int argc, char **argv)
{
    struct cli cli = {.wire = WIRE_EMPTY, .deadline_ns = WIRE_FOREVER, .node = ""};

    guard_standard_files();
    (void)setlocale(LC_CTYPE, ""); /* for the width of what tables show; messages stay English */
    int code = translate(&cli, run(&cli, argc, argv));
    wire_close(&cli.wire);
    options_close(&cli.options);
    return close_output(code);
}
