/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli.h — one run of `drover`: what was typed, whom it asks, and how it tells of failure.
 *
 * Shape    struct cli lives in main(); each verb is one row of the table in main.c.
 * Units    deadline_ns CLOCK_MONOTONIC ns.
 * Errors   functions that answer an exit code have told the person why: 0 is done, else the code of
 *          the contract.
 * Owner    main().
 * Context  one thread.
 */
#ifndef DROVER_CLI_H
#define DROVER_CLI_H

#include "options.h"
#include "render.h"
#include "wire.h"

#define EXIT_OURS 125 /* of exec and shell: any failure that is not the command's */

struct cli;

struct cli_verb {
    const char *name;  /* NULL ends the table */
    const char *usage; /* what follows the name */
    const char *words; /* one line */
    uint64_t options;  /* beside OPTIONS_COMMON */
    uint64_t needless; /* of OPTIONS_COMMON: without effect on this one, so not in its help */
    int (*run)(struct cli *cli);
};
extern const struct cli_verb verbs[];

struct cli {
    struct options options;
    const struct cli_verb *verb;
    const char *const *arguments; /* behind the verb */
    size_t argument_count;
    size_t command_at; /* index in `arguments` of the first one after -- */
    enum format format;
    struct wire wire;
    bool is_controller;   /* set by cli_greet() */
    uint64_t timeout_ns;  /* --timeout; 0: not given */
    uint64_t deadline_ns; /* of the whole run; WIRE_FOREVER without --timeout */
    const char *node;     /* --node, "" if not given */
};

/* The socket that options and environment name. */
const char *cli_socket(const struct cli *cli);
/* Connect to it. */
int cli_connect(struct cli *cli);
/* cli_connect(), and ask whether it is a controller. */
int cli_greet(struct cli *cli);

/* Tell a failure on standard error; container and node may be "". Returns its exit code. */
int cli_fail(const struct cli *cli, const struct fault *fault, const char *container,
             const char *node);
int cli_fail_view(const struct cli *cli, const struct fault_view *fault);
/* Wrong usage; `text` is printed after the verb. Returns 2. */
int cli_usage(const struct cli *cli, const char *text);
/* A copy that outlives the message. */
void cli_fault_copy(const struct fault_view *view, struct fault *ret_fault);

/* Words for people alone: nothing with a format for programs. */
__attribute__((format(printf, 2, 3))) void cli_say(const struct cli *cli, const char *format, ...);

/* A fresh request id: a random uuid as text. */
const char *cli_request_new(char text[REQUEST_ID_BYTES]);

/* 0, or the exit code with which to ask no more. */
typedef int (*answer_fn)(void *context, const struct answer *answer);

/* Ask and hand over each answer until the last. The request id is filled in, and --node where the
 * query names none. */
int cli_ask(struct cli *cli, struct query *query, answer_fn on_answer, void *context);
/* A fault that answers this request, or the whole connection. */
bool cli_is_refused(const struct answer *answer, const char *request);

/* Many that ended: one code if all are alike, else 6. `so_far` begins as -1. */
int cli_code_join(int so_far, int code);

/* Open output for rows; on a wrong -o or -s it tells. */
int cli_render(struct cli *cli, struct render *ret_render, const struct column *columns);
/* Print what waits, unless nothing of it can be had. Returns `code`, or 1 if it cannot be
 * printed. */
int cli_render_end(struct cli *cli, struct render *render, int code);

const struct cli_verb *cli_find_verb(const char *name);
/* NULL: it is no verb of the contract; else what to say of a verb that is not built yet. */
const char *cli_unsupported(const char *name);

/* The verbs. */
int verb_list(struct cli *cli);
int verb_show(struct cli *cli);
int verb_history(struct cli *cli);
int verb_node(struct cli *cli);
int verb_shutdown(struct cli *cli); /* of node */
int verb_boot(struct cli *cli);
int verb_version(struct cli *cli);
int verb_create(struct cli *cli);
int verb_life(struct cli *cli);
int verb_set(struct cli *cli);
int verb_events(struct cli *cli);
int verb_wait(struct cli *cli);
int verb_exec(struct cli *cli);
int verb_shell(struct cli *cli);
int verb_console(struct cli *cli);
int verb_logs(struct cli *cli);
int verb_template(struct cli *cli);
int verb_completion(struct cli *cli);
int verb_help(struct cli *cli);
int verb_import(struct cli *cli);

#endif
