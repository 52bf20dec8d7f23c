/* SPDX-License-Identifier: Apache-2.0 */
#include "life.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "ensure.h"
#include "node_limits.h"

#define LATE_NS (30 * SECOND_NS) /* for a kill */
/* For what no event tells the end of, as a node that has no room for a command. */
#define AGAIN_NS (2 * SECOND_NS)

int life_exit_code(const struct life_item *item)
{
    if (item->fault.status != STATUS_UNSET && item->fault.status != STATUS_DONE)
        return status_exit_code(item->fault.status);
    switch (item->phase) {
    case PHASE_ACCEPTED:
    case PHASE_DONE:
    case PHASE_UNCHANGED:
    case PHASE_QUEUED:
        return 0;
    case PHASE_SUPERSEDED:
        return status_exit_code(STATUS_SUPERSEDED);
    case PHASE_NOT_SENT:
    case PHASE_RESULT_UNKNOWN:
        return status_exit_code(STATUS_UNREACHABLE);
    case PHASE_UNSET:
    case PHASE_FAILED:
    case PHASE_COUNT:
        return status_exit_code(STATUS_FAILED);
    }
    return status_exit_code(STATUS_FAILED);
}

int life_exit_code_all(const struct life_item *items, size_t count)
{
    int code = count == 0 ? 0 : life_exit_code(&items[0]);

    for (size_t i = 1; i < count; i++)
        if (life_exit_code(&items[i]) != code)
            return status_exit_code(STATUS_PARTLY_FAILED);
    return code;
}

/* ---- sending ---- */

static int name_request(const struct life *life, struct life_item *item, struct fault *fault)
{
    const char *given = options_find(&life->cli->options, OPTION_REQUEST_ID);
    const char *at = item->node[0] == '\0' ? "" : "@";

    if (given == NULL) {
        (void)cli_request_new(item->request);
        return 0;
    }
    int length = life->is_many ? snprintf(item->request, REQUEST_ID_BYTES, "%s.%s%s%s", given,
                                          item->name, at, item->node)
                               : snprintf(item->request, REQUEST_ID_BYTES, "%s", given);
    if (length < REQUEST_ID_BYTES)
        return 0;
    fault_set(fault, STATUS_INVALID, 0, "--request-id %s: too long for many containers", given);
    return -EINVAL;
}

static size_t next_of(const struct life *life)
{
    size_t at = 0;

    if (life->own != NULL && life->own->next != NULL && !life->is_late)
        return life->own->next(life->own->context, life);
    while (at < life->count && life->items[at].is_posted)
        at++;
    return at;
}

static int post_item(struct life *life, size_t at, struct fault *fault)
{
    struct life_item *item = &life->items[at];
    struct message message = {.kind = MESSAGE_COMMAND, .command = life->shape};

    message.command.container = item->name;
    message.command.node = item->node;
    message.command.request_id = item->request;
    if (life->own != NULL && life->own->configs != NULL)
        message.command.config = life->own->configs[at];
    int result = wire_post(&life->cli->wire, &message, fault);
    if (result < 0)
        return result;
    item->is_posted = true;
    item->began_ns = clock_monotonic_ns();
    life->posted++;
    return 0;
}

static int post_more(struct life *life, struct fault *fault)
{
    while (life->posted < life->count && life->posted - life->over < LIFE_IN_FLIGHT_MAX) {
        size_t at = next_of(life);

        if (at == life->count)
            return 0;
        int result = post_item(life, at, fault);
        if (result < 0)
            return result;
    }
    return 0;
}

/* ---- receiving ---- */

static struct life_item *find_item(const struct life *life, const char *request)
{
    for (size_t i = 0; i < life->count; i++)
        if (life->items[i].is_posted && strcmp(life->items[i].request, request) == 0)
            return &life->items[i];
    return NULL;
}

static void note_view(struct life_item *item, const struct container_view *view)
{
    item->has_view = true;
    memcpy(item->uuid, view->uuid, UUID_BYTES);
    item->state = view->state;
    item->generation = view->generation;
    item->pid = view->pid;
    free(item->heard_node);
    item->heard_node = view->node[0] == '\0' ? NULL : strdup(view->node);
}

static bool is_to_be_killed(const struct life *life)
{
    return life->own != NULL && life->own->late_ns != 0 && !life->is_late;
}

/* Who is busy with somebody else's command is asked again while there is time: that may be a stop
 * too, with a grace of its own. */
static void await(struct life *life, struct life_item *item)
{
    item->is_waiting = true;
    item->again_ns = clock_monotonic_ns() + AGAIN_NS;
    life->waiting++;
    if (!item->has_waited)
        cli_say(life->cli, "%s: asked again when it is not busy: %s\n", item->name,
                item->fault.text);
    item->has_waited = true;
}

static void take_receipt(struct life *life, const struct receipt *receipt)
{
    struct life_item *item = find_item(life, receipt->request_id);

    if (item == NULL || item->is_over || item->is_waiting)
        return;
    item->phase = receipt->phase;
    item->applied = receipt->applied;
    item->at_next_start = receipt->at_next_start;
    if (receipt->has_container)
        note_view(item, &receipt->container);
    if (receipt->fault.status != STATUS_UNSET) {
        cli_fault_copy(&receipt->fault, &item->fault);
        if (item->heard_node == NULL && receipt->fault.node[0] != '\0')
            item->heard_node = strdup(receipt->fault.node);
    }
    if (receipt->phase == PHASE_ACCEPTED && !life->is_detached)
        return;
    if (item->phase == PHASE_FAILED && item->fault.status == STATUS_BUSY && is_to_be_killed(life)) {
        await(life, item);
        return;
    }
    item->is_over = true;
    item->took_ns = clock_monotonic_ns() - item->began_ns;
    life->over++;
    life_tell_item(life, item);
}

/* The rest will not be heard of: what is known of it. */
static void give_up(struct life *life, const struct fault *fault)
{
    for (size_t i = 0; i < life->count; i++) {
        struct life_item *item = &life->items[i];

        if (item->is_over)
            continue;
        if (item->is_waiting) { /* nothing of ours is under way */
            item->is_over = item->is_given_up = true;
            continue;
        }
        if (!item->is_posted || !life->cli->wire.has_sent)
            item->phase = PHASE_NOT_SENT;
        else if (item->phase != PHASE_ACCEPTED || fault->status == STATUS_UNREACHABLE)
            item->phase = PHASE_RESULT_UNKNOWN;
        item->fault = *fault;
        item->is_over = true;
        item->is_given_up = true;
    }
}

static int interrupt(struct life *life)
{
    int signal = wire_signal_take(&life->cli->wire);
    struct fault fault = {0};

    life_clear_progress(life);
    fault_set(&fault, STATUS_INTERRUPTED, 0, "interrupted; %u of %u commands go on without us",
              (uint64_t)(life->posted - life->over - life->waiting), (uint64_t)life->count);
    fault_hint(&fault, "`drover events` tells how they end");
    (void)cli_fail(life->cli, &fault, life->count == 1 ? life->items[0].name : "", "");
    give_up(life, &fault);
    (void)life_tell_end(life);
    return 128 + signal;
}

static void forget_answer(struct life *life, struct life_item *item)
{
    life->over -= item->is_over;
    life->posted -= item->is_posted;
    life->waiting -= item->is_waiting;
    item->is_over = item->is_posted = item->is_waiting = false;
    item->fault = (struct fault){0};
    (void)cli_request_new(item->request);
}

/* Before anybody is asked to stop, so that no end of what he is busy with is missed. */
static int listen_for_events(struct life *life, struct fault *fault)
{
    struct message message = {.kind = MESSAGE_QUERY};

    if (!is_to_be_killed(life))
        return 0;
    message.query = (struct query){.request_id = cli_request_new(life->events),
                                   .kind = QUERY_EVENTS,
                                   .node = life->cli->node,
                                   .since = SINCE_NOW,
                                   .is_follow = true};
    return wire_post(&life->cli->wire, &message, fault);
}

static void take_events(struct life *life, const struct answer *answer)
{
    for (size_t i = 0; i < life->count && life->waiting > 0; i++)
        for (size_t n = 0; n < answer->event_count; n++)
            if (strcmp(life->items[i].name, answer->events[n].event.name) == 0)
                life->items[i].again_ns = 0;
}

static int ask_again(struct life *life, struct fault *fault)
{
    uint64_t now_ns = clock_monotonic_ns();
    int result = 0;

    for (size_t i = 0; i < life->count && life->waiting > 0 && result == 0; i++) {
        struct life_item *item = &life->items[i];

        if (!item->is_waiting || item->again_ns > now_ns)
            continue;
        forget_answer(life, item);
        result = post_item(life, i, fault);
    }
    return result;
}

/* The end of our time, or of an item's. */
static uint64_t next_deadline(const struct life *life)
{
    uint64_t deadline_ns = life->deadline_ns;

    for (size_t i = 0; i < life->count && life->waiting > 0; i++)
        if (life->items[i].is_waiting && life->items[i].again_ns < deadline_ns)
            deadline_ns = life->items[i].again_ns;
    return deadline_ns;
}

/* Who is not down is killed: it was asked under another id, whose end is of no interest now. */
static bool be_late(struct life *life)
{
    bool is_anybody = false;

    if (!is_to_be_killed(life))
        return false;
    life->is_late = true;
    life->shape.verb = VERB_KILL;
    life->deadline_ns = clock_monotonic_ns() + LATE_NS;
    for (size_t i = 0; i < life->count; i++) {
        struct life_item *item = &life->items[i];

        if (item->is_over && life_exit_code(item) == 0)
            continue;
        is_anybody = true;
        forget_answer(life, item);
        cli_say(life->cli, "%s: not stopped: it is killed\n", item->name);
    }
    return is_anybody;
}

static int take_answer(struct life *life, const struct answer *answer, struct fault *fault)
{
    if (life->events[0] != '\0' && strcmp(answer->request_id, life->events) == 0) {
        take_events(life, answer); /* none, where they are refused: the time remains */
        return 0;
    }
    if (answer->fault.status == STATUS_UNSET)
        return 0;
    cli_fault_copy(&answer->fault, fault); /* the server refuses the connection */
    return -ECONNREFUSED;
}

/* 0, or -errno with a fault as wire_receive() says. */
static int pump(struct life *life, struct fault *fault)
{
    int result = listen_for_events(life, fault);

    while (life->over < life->count || be_late(life)) {
        struct message message = {.kind = MESSAGE_UNSET};

        if (result == 0)
            result = ask_again(life, fault);
        if (result == 0)
            result = post_more(life, fault);
        if (result == 0) {
            life_tell_progress(life);
            result = wire_receive(&life->cli->wire, &message, next_deadline(life), fault);
        }
        if (result == -ETIMEDOUT && (clock_monotonic_ns() < life->deadline_ns || be_late(life))) {
            result = 0;
            continue;
        }
        if (result < 0)
            return result;
        if (message.kind == MESSAGE_RECEIPT)
            take_receipt(life, &message.receipt);
        if (message.kind == MESSAGE_ANSWER)
            result = take_answer(life, &message.answer, fault);
        if (result < 0)
            return result;
    }
    return 0;
}

static int finish(struct life *life, int result, struct fault *fault)
{
    life_clear_progress(life);
    if (result < 0) {
        if (fault->status == STATUS_TIMEOUT)
            fault_set(fault, STATUS_TIMEOUT, 0, "not done in the time given; the command goes on");
        give_up(life, fault);
        if (life->cli->wire.fd < 0) /* it was told already why */
            life_tell_lost(life);
        for (size_t i = 0; life->cli->wire.fd >= 0 && i < life->count; i++)
            if (life->items[i].is_given_up)
                life_tell_item(life, &life->items[i]);
    }
    int told = life_tell_end(life);
    return told != 0 ? told : life_exit_code_all(life->items, life->count);
}

static int open_items(struct life *life, const struct targets *targets, struct fault *fault)
{
    life->items = calloc(targets->count + 1, sizeof(*life->items));
    ENSURE(life->items != NULL);
    life->count = targets->count;
    for (size_t i = 0; i < life->count; i++) {
        life->items[i].name = targets->list[i].name;
        life->items[i].node = targets->list[i].node;
        if (name_request(life, &life->items[i], fault) < 0)
            return -EINVAL;
    }
    return 0;
}

static void life_close(struct life *life)
{
    for (size_t i = 0; i < life->count; i++)
        free(life->items[i].heard_node);
    free(life->items);
}

int life_run(struct cli *cli, const struct command *shape, const struct targets *targets)
{
    return life_run_own(cli, shape, targets, NULL);
}

int life_run_own(struct cli *cli, const struct command *shape, const struct targets *targets,
                 const struct life_own *own)
{
    static const int signals[] = {SIGINT, SIGTERM, 0};
    struct fault fault = {0};
    struct life life = {.cli = cli,
                        .own = own,
                        .shape = *shape,
                        .is_detached = options_has(&cli->options, OPTION_DETACH),
                        .is_many = targets->is_many,
                        .deadline_ns = shape->verb == VERB_STOP ? WIRE_FOREVER : cli->deadline_ns,
                        .began_ns = clock_monotonic_ns()};
    int result = open_items(&life, targets, &fault);
    int code;

    if (own != NULL && own->late_ns != 0)
        life.deadline_ns = own->late_ns;
    if (result < 0) {
        code = cli_fail(cli, &fault, "", "");
        life_close(&life);
        return code;
    }
    if (cli->wire.fd < 0) {
        fault_set(&fault, STATUS_UNREACHABLE, 0, "not sent");
        result = -ENOTCONN;
    } else {
        (void)wire_catch(&cli->wire, signals); /* without it Ctrl-C ends us without a word */
        result = pump(&life, &fault);
    }
    code = result == -EINTR ? interrupt(&life) : finish(&life, result, &fault);
    life_close(&life);
    return code;
}
