/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait: first it listens, then it asks what is; so nothing that happens in between is missed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ensure.h"
#include "event_columns.h"
#include "goal.h"
#include "rows.h"
#include "select.h"
#include "since.h"

#define ASKED_MAX 64 /* questions without an answer: theirs must not fill the server's queue */

struct item {
    const char *name;               /* or an id */
    const char *node;               /* "": the only one that has it */
    char request[REQUEST_ID_BYTES]; /* of the question that is open; "": none */
    bool is_seen;
    bool is_met; /* by an event: asked once more, for what is printed */
    bool is_over;
    char heard_node[NAME_BYTES];
    uint8_t uuid[UUID_BYTES];
    enum ct_state state; /* when it was seen */
    enum ct_state last;  /* that was heard of */
    uint64_t generation;
    json_t *row;
    int code;
};

struct wait {
    struct cli *cli;
    struct goal goal;
    struct item *items;
    size_t count;
    size_t over;
    size_t asked; /* index of the next to be asked at the beginning */
    size_t asking;
    char request[REQUEST_ID_BYTES]; /* of the events */
    struct render render;
    struct fault fault; /* of the connection */
};

static void end(struct wait *wait, struct item *item, int code)
{
    item->is_over = true;
    item->code = code;
    wait->over++;
}

static void end_in_fault(struct wait *wait, struct item *item, const struct fault *fault)
{
    end(wait, item,
        cli_fail(wait->cli, fault, item->name,
                 item->heard_node[0] != '\0' ? item->heard_node : item->node));
}

/* ---- asking ---- */

static int ask(struct wait *wait, struct item *item)
{
    struct message message = {.kind = MESSAGE_QUERY};

    message.query =
        (struct query){.request_id = cli_request_new(item->request),
                       .kind = QUERY_SHOW,
                       .container = item->name,
                       .node = item->heard_node[0] != '\0' ? item->heard_node : item->node};
    wait->asking++;
    return wire_post(&wait->cli->wire, &message, &wait->fault);
}

static int ask_more(struct wait *wait)
{
    int result = 0;

    while (result == 0 && wait->asked < wait->count && wait->asking < ASKED_MAX)
        result = ask(wait, &wait->items[wait->asked++]);
    return result;
}

static int listen_for_events(struct wait *wait)
{
    const char *since = options_find(&wait->cli->options, OPTION_SINCE);
    struct message message = {.kind = MESSAGE_QUERY};
    struct query *query = &message.query;

    *query = (struct query){.request_id = cli_request_new(wait->request),
                            .kind = QUERY_EVENTS,
                            .node = wait->cli->node,
                            .since = SINCE_NOW,
                            .is_follow = true};
    if (wait->goal.kind == GOAL_EVENT && since != NULL &&
        since_read(since, wait->cli->is_controller, query, &wait->fault) < 0)
        return -EINVAL;
    return wire_post(&wait->cli->wire, &message, &wait->fault);
}

/* ---- hearing ---- */

static void tell_level(struct wait *wait, struct item *item)
{
    if (item->row != NULL && wait->cli->format != FORMAT_TABLE) {
        render_add(&wait->render, item->row);
        item->row = NULL;
    }
    cli_say(wait->cli, "%s: %s, generation %llu\n", item->name, ct_state_name(item->state),
            (unsigned long long)item->generation);
    end(wait, item, 0);
}

static void take_view(struct wait *wait, struct item *item, const struct container_view *view)
{
    json_decref(item->row);
    item->row = row_container(view);
    if (item->is_met) { /* what it is by now may be another thing again */
        tell_level(wait, item);
        return;
    }
    item->is_seen = true;
    memcpy(item->uuid, view->uuid, UUID_BYTES);
    item->state = item->last = view->state;
    item->generation = view->generation;
    (void)snprintf(item->heard_node, sizeof(item->heard_node), "%s", view->node);
    if (goal_is_met(&wait->goal, item->state, item->generation))
        tell_level(wait, item);
}

static void take_refusal(struct wait *wait, struct item *item, const struct fault_view *view)
{
    struct fault fault;

    if (item->is_met) {
        tell_level(wait, item); /* it is gone since; that it was there is known */
        return;
    }
    if (wait->goal.kind == GOAL_EVENT && view->status == STATUS_NOT_FOUND)
        return; /* its first event, or its last, may be what is waited for */
    cli_fault_copy(view, &fault);
    end_in_fault(wait, item, &fault);
}

static void take_shown(struct wait *wait, const struct answer *answer)
{
    for (size_t i = 0; i < wait->count; i++) {
        struct item *item = &wait->items[i];

        if (item->is_over || item->request[0] == '\0' ||
            strcmp(item->request, answer->request_id) != 0)
            continue;
        if (!answer->is_last && answer->container_count == 0)
            return;
        item->request[0] = '\0';
        wait->asking--;
        if (answer->fault.status != STATUS_UNSET)
            take_refusal(wait, item, &answer->fault);
        else if (answer->container_count > 0)
            take_view(wait, item, &answer->containers[0]);
        return;
    }
}

static bool is_of(const struct item *item, const struct event_view *view)
{
    const char *node = item->heard_node[0] != '\0' ? item->heard_node : item->node;
    char uuid[UUID_TEXT_BYTES];

    if (node[0] != '\0' && strcmp(node, view->node) != 0)
        return false;
    if (item->name[0] == '\0' ||
        (item->is_seen && memcmp(item->uuid, view->event.uuid, UUID_BYTES) == 0))
        return true;
    return strcmp(item->name, view->event.name) == 0 ||
           strcmp(item->name, uuid_format(view->event.uuid, uuid)) == 0;
}

static void meet(struct wait *wait, struct item *item, const struct event_view *view)
{
    if (wait->goal.kind == GOAL_EVENT) {
        render_add(&wait->render, row_event(view, wait->cli->is_controller));
        end(wait, item, 0);
        return;
    }
    item->is_met = true;
    item->state = view->event.to;
    item->generation = view->event.generation;
    if (wait->cli->format == FORMAT_TABLE || ask(wait, item) < 0)
        tell_level(wait, item);
}

static void take_event(struct wait *wait, struct item *item, const struct event_view *view)
{
    bool is_level = wait->goal.kind != GOAL_EVENT;
    struct fault fault;

    if (item->is_over || item->is_met || !is_of(item, view))
        return;
    if (is_level && (!item->is_seen || memcmp(item->uuid, view->event.uuid, UUID_BYTES) != 0))
        return; /* not asked yet: the answer will be newer */
    if (view->event.type == EVENT_CHANGED)
        item->last = view->event.to;
    if (goal_is_met_by(&wait->goal, &view->event, item->state, item->generation)) {
        meet(wait, item, view);
    } else if (is_level && view->event.type == EVENT_DESTROYED) {
        fault_set(&fault, STATUS_NOT_FOUND, 0, "it was destroyed");
        end_in_fault(wait, item, &fault);
    }
}

static int take_answer(struct wait *wait, const struct answer *answer)
{
    if (cli_is_refused(answer, wait->request)) {
        cli_fault_copy(&answer->fault, &wait->fault);
        return -ECONNREFUSED;
    }
    if (strcmp(answer->request_id, wait->request) != 0) {
        take_shown(wait, answer);
        return 0;
    }
    for (size_t n = 0; n < answer->event_count; n++)
        for (size_t i = 0; i < wait->count; i++)
            take_event(wait, &wait->items[i], &answer->events[n]);
    return 0;
}

static int pump(struct wait *wait)
{
    struct message message;
    int result = listen_for_events(wait);

    while (result == 0 && wait->over < wait->count) {
        result = ask_more(wait);
        if (result == 0)
            result = wire_receive(&wait->cli->wire, &message, wait->cli->deadline_ns, &wait->fault);
        if (result == 0 && message.kind == MESSAGE_ANSWER)
            result = take_answer(wait, &message.answer);
    }
    return result;
}

/* ---- its end ---- */

static void give_up(struct wait *wait)
{
    bool is_late = wait->fault.status == STATUS_TIMEOUT;

    if (!is_late)
        (void)cli_fail(wait->cli, &wait->fault, "", "");
    for (size_t i = 0; i < wait->count; i++) {
        struct item *item = &wait->items[i];

        if (item->is_over)
            continue;
        if (is_late && item->is_seen && wait->goal.kind != GOAL_EVENT)
            fault_set(&wait->fault, STATUS_TIMEOUT, 0, "%s not met in the time given; it is %s",
                      options_find(&wait->cli->options, OPTION_FOR), ct_state_name(item->last));
        else if (is_late)
            fault_set(&wait->fault, STATUS_TIMEOUT, 0, "%s not met in the time given",
                      options_find(&wait->cli->options, OPTION_FOR));
        if (is_late)
            end_in_fault(wait, item, &wait->fault);
        else
            end(wait, item, status_exit_code(wait->fault.status));
    }
}

static int run(struct wait *wait)
{
    static const struct column levels[] = {
        {"name", COLUMN_BOTH, 0},    {"id", COLUMN_BOTH, 0},         {"node", COLUMN_BOTH, 0},
        {"state", COLUMN_BOTH, 0},   {"generation", COLUMN_BOTH, 0}, {"pid", COLUMN_BOTH, 0},
        {"ready", COLUMN_BOTH, 0},   {"cause", COLUMN_BOTH, 0},      {"status", COLUMN_BOTH, 0},
        {"started", COLUMN_BOTH, 0}, {"ip", COLUMN_BOTH, 0},         {"labels", COLUMN_BOTH, 0},
        {NULL, COLUMN_BOTH, 0},
    };
    bool is_event = wait->goal.kind == GOAL_EVENT;
    int code = cli_render(wait->cli, &wait->render, is_event ? event_columns(wait->cli) : levels);

    if (code != 0)
        return code;
    if (pump(wait) < 0)
        give_up(wait);
    code = -1;
    for (size_t i = 0; i < wait->count; i++)
        code = cli_code_join(code, wait->items[i].code);
    return cli_render_end(wait->cli, &wait->render, code < 0 ? 0 : code);
}

static int run_targets(struct wait *wait, const struct targets *targets)
{
    wait->items = calloc(targets->count + 1, sizeof(*wait->items));
    ENSURE(wait->items != NULL);
    wait->count = targets->count;
    for (size_t i = 0; i < wait->count; i++) {
        wait->items[i].name = targets->list[i].name;
        wait->items[i].node = targets->list[i].node;
    }
    int code = run(wait);
    for (size_t i = 0; i < wait->count; i++)
        json_decref(wait->items[i].row);
    free(wait->items);
    return code;
}

/* An event of no container in particular, as those of a node are. */
static int run_any(struct wait *wait)
{
    struct item item = {.name = "", .node = wait->cli->node};

    wait->items = &item;
    wait->count = 1;
    wait->asked = 1; /* there is nothing to ask about */
    return run(wait);
}

int verb_wait(struct cli *cli)
{
    const char *what = options_find(&cli->options, OPTION_FOR);
    struct wait wait = {.cli = cli};
    struct targets targets = {0};

    if (what == NULL)
        return cli_usage(cli, "wait for what? --for running|stopped|generation=N|event=X");
    if (goal_read(what, &wait.goal, &wait.fault) < 0)
        return cli_fail(cli, &wait.fault, "", "");
    bool is_any = cli->argument_count == 0 && !options_has(&cli->options, OPTION_ALL);
    if (is_any && wait.goal.kind != GOAL_EVENT)
        return cli_usage(cli, "which container? a name, a glob, @node, key=value, or --all");
    int code = cli_greet(cli);
    if (code == 0 && is_any)
        return run_any(&wait);
    if (code == 0)
        code = targets_find(cli, &targets);
    if (code == 0)
        code = run_targets(&wait, &targets);
    targets_close(&targets);
    return code;
}
