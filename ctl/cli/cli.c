/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "clock.h"
#include "rows.h"
#include "text.h"

#define SOCKET_CONTROLLER "/run/drover/controller.sock"
#define SOCKET_AGENT "/run/drover/agent.sock"
#define ANSWER_NS (60 * NS_PER_S) /* of silence after a question, without --timeout */

/* ---- failure ---- */

static void tell_json(const struct fault *fault, const char *container, const char *node)
{
    json_t *error = json_pack("{s:{s:s, s:o, s:o, s:o, s:o, s:o}}", "error", "status",
                              status_name(fault->status), "text", row_text(fault->text),
                              "container", row_text(container), "node", row_text(node), "errno",
                              fault->error == 0 ? json_null() : json_integer(fault->error), "hint",
                              row_text(fault->hint));
    AUTO_FREE char *text = json_dumps(error, JSON_COMPACT);

    (void)fprintf(stderr, "%s\n", text == NULL ? "{\"error\":null}" : text);
    json_decref(error);
}

/* Many servers' words begin with the name themselves. */
static bool begins_with_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    return text != NULL && strncmp(text, word, length) == 0 &&
           (text[length] == ' ' || text[length] == ':');
}

static void tell_text(const struct fault *fault, const char *container, const char *node)
{
    AUTO_FREE char *text = text_sanitise(fault->text, strlen(fault->text), false);
    AUTO_FREE char *hint = text_sanitise(fault->hint, strlen(fault->hint), false);
    AUTO_FREE char *where = text_sanitise(container, strlen(container), false);
    AUTO_FREE char *on = text_sanitise(node, strlen(node), false);

    (void)fputs("drover: ", stderr);
    if (where != NULL && where[0] != '\0' && !begins_with_word(text, where))
        (void)fprintf(stderr, "%s: ", where);
    (void)fprintf(stderr, "%s",
                  text == NULL || text[0] == '\0' ? status_name(fault->status) : text);
    if (fault->error != 0 && (text == NULL || strstr(text, strerror(fault->error)) == NULL))
        (void)fprintf(stderr, ": %s", strerror(fault->error));
    if (on != NULL && on[0] != '\0')
        (void)fprintf(stderr, " (node %s)", on);
    (void)fputc('\n', stderr);
    if (hint != NULL && hint[0] != '\0')
        (void)fprintf(stderr, "        %s\n", hint);
}

int cli_fail(const struct cli *cli, const struct fault *fault, const char *container,
             const char *node)
{
    bool is_data = cli->format == FORMAT_JSON || cli->format == FORMAT_JSONL;
    (is_data ? tell_json : tell_text)(fault, container, node);
    return status_exit_code(fault->status);
}

void cli_fault_copy(const struct fault_view *view, struct fault *ret_fault)
{
    *ret_fault = (struct fault){.status = view->status, .error = view->error};
    (void)snprintf(ret_fault->text, sizeof(ret_fault->text), "%s", view->text);
    (void)snprintf(ret_fault->hint, sizeof(ret_fault->hint), "%s", view->hint);
}

int cli_fail_view(const struct cli *cli, const struct fault_view *view)
{
    struct fault fault;

    cli_fault_copy(view, &fault);
    return cli_fail(cli, &fault, view->container, view->node);
}

int cli_usage(const struct cli *cli, const char *text)
{
    struct fault fault = {0};

    fault_set(&fault, STATUS_INVALID, 0, "%s", text);
    if (cli->verb != NULL) {
        char hint[FAULT_HINT_BYTES];
        (void)snprintf(hint, sizeof(hint), "`drover help %s` says how it is used", cli->verb->name);
        fault_hint(&fault, hint);
    }
    return cli_fail(cli, &fault, "", "");
}

void cli_say(const struct cli *cli, const char *format, ...)
{
    va_list list;

    if (cli->format != FORMAT_TABLE)
        return;
    va_start(list, format);
    (void)vprintf(format, list);
    va_end(list);
    (void)fflush(stdout);
}

/* ---- whom it asks ---- */

const char *cli_socket(const struct cli *cli)
{
    struct stat status;
    const char *socket = getenv("DROVER_SOCKET");

    if (options_has(&cli->options, OPTION_AGENT))
        return options_find(&cli->options, OPTION_AGENT);
    if (options_has(&cli->options, OPTION_CONTROLLER))
        return options_find(&cli->options, OPTION_CONTROLLER);
    if (socket != NULL && socket[0] != '\0')
        return socket;
    return stat(SOCKET_CONTROLLER, &status) == 0 ? SOCKET_CONTROLLER : SOCKET_AGENT;
}

static const char *absent_hint(const struct cli *cli, const char *socket)
{
    const char *slash = strrchr(socket, '/');
    const char *name = slash == NULL ? socket : slash + 1;

    if (options_has(&cli->options, OPTION_CONTROLLER) || strcmp(name, "controller.sock") == 0)
        return "is drover-controller running? --controller names its socket";
    if (options_has(&cli->options, OPTION_AGENT))
        return "is drover-agent running? --agent names its socket";
    return "is drover-agent or drover-controller running? --agent, --controller name their sockets";
}

int cli_connect(struct cli *cli)
{
    struct fault fault = {0};
    const char *socket = cli_socket(cli);

    if (options_has(&cli->options, OPTION_AGENT) && options_has(&cli->options, OPTION_CONTROLLER))
        return cli_usage(cli, "whom to ask? one of --agent and --controller");
    if (strncmp(socket, "tcp://", 6) == 0) {
        fault_set(&fault, STATUS_INVALID, 0, "unsupported: %s: operators reach it by its socket",
                  socket);
        fault_hint(&fault, "run drover on the controller's machine");
        return cli_fail(cli, &fault, "", "");
    }
    if (wire_connect(&cli->wire, socket, &fault) == 0)
        return 0;
    if (fault.status == STATUS_UNREACHABLE && fault.hint[0] == '\0')
        fault_hint(&fault, absent_hint(cli, socket));
    return cli_fail(cli, &fault, "", "");
}

static int on_version(void *context, const struct answer *answer)
{
    static const char controller[] = "drover-controller ";
    struct cli *cli = context;

    cli->is_controller = strncmp(answer->version, controller, sizeof(controller) - 1) == 0;
    return 0;
}

int cli_greet(struct cli *cli)
{
    struct query query = {.kind = QUERY_VERSION};
    int code = cli_connect(cli);

    return code != 0 ? code : cli_ask(cli, &query, on_version, cli);
}

/* ---- asking ---- */

const char *cli_request_new(char text[REQUEST_ID_BYTES])
{
    uint8_t uuid[UUID_BYTES];

    if (getrandom(uuid, sizeof(uuid), 0) != sizeof(uuid))
        abort(); /* 16 octets are given whole, once the machine has booted: getrandom(2) */
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* RFC 9562: version 4, its variant */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    return uuid_format(uuid, text);
}

bool cli_is_refused(const struct answer *answer, const char *request)
{
    return answer->fault.status != STATUS_UNSET &&
           (answer->request_id[0] == '\0' || strcmp(answer->request_id, request) == 0);
}

/* A question is answered from what is known: silence is a server that hangs. */
static int receive_answer(struct cli *cli, bool is_follow, struct message *ret_message,
                          struct fault *fault)
{
    bool is_ours = cli->deadline_ns == WIRE_FOREVER && !is_follow;
    uint64_t deadline_ns = is_ours ? clock_monotonic_ns() + ANSWER_NS : cli->deadline_ns;
    int result = wire_receive(&cli->wire, ret_message, deadline_ns, fault);

    if (result == -ETIMEDOUT && is_follow)
        fault_set(fault, STATUS_TIMEOUT, 0, "the time given is over");
    if (result == -ETIMEDOUT && is_ours) {
        fault_set(fault, STATUS_UNREACHABLE, 0, "no answer from %s", cli_socket(cli));
        fault_hint(fault, "does the server hang? its log may tell");
    }
    return result;
}

int cli_ask(struct cli *cli, struct query *query, answer_fn on_answer, void *context)
{
    char request[REQUEST_ID_BYTES];
    struct message message = {.kind = MESSAGE_QUERY};
    struct fault fault = {0};

    query->request_id = cli_request_new(request);
    if (query->node == NULL || query->node[0] == '\0')
        query->node = cli->node;
    message.query = *query;
    if (wire_post(&cli->wire, &message, &fault) < 0)
        return cli_fail(cli, &fault, "", "");
    for (;;) {
        struct message got;
        int result = receive_answer(cli, query->is_follow, &got, &fault);

        if (result == -EINTR)
            return 128 + wire_signal_take(&cli->wire);
        if (result < 0)
            return cli_fail(cli, &fault, "", "");
        if (got.kind != MESSAGE_ANSWER)
            continue;
        const struct answer *answer = &got.answer;
        if (cli_is_refused(answer, request)) {
            if (answer->container_count > 0) /* a copy, with why the node does not answer itself */
                (void)on_answer(context, answer);
            return cli_fail_view(cli, &answer->fault);
        }
        if (strcmp(answer->request_id, request) != 0)
            continue;
        int code = on_answer(context, answer);
        if (code != 0 || answer->is_last)
            return code;
    }
}

/* ---- telling ---- */

int cli_render(struct cli *cli, struct render *ret_render, const struct column *columns)
{
    struct fault fault = {0};

    if (render_open(ret_render, cli->format, &cli->options, columns, &fault) == 0)
        return 0;
    return cli_fail(cli, &fault, "", "");
}

int cli_code_join(int so_far, int code)
{
    return so_far < 0 || so_far == code ? code : status_exit_code(STATUS_PARTLY_FAILED);
}

int cli_render_end(struct cli *cli, struct render *render, int code)
{
    struct fault fault = {0};

    if (code != 0 && render->count + json_array_size(render->rows) == 0) {
        render_drop(render);
        return code;
    }
    int result = render_close(render);
    if (result == 0 || code != 0)
        return code;
    fault_set(&fault, STATUS_FAILED, -result, "cannot write to standard output");
    return cli_fail(cli, &fault, "", "");
}
