/* SPDX-License-Identifier: Apache-2.0 */
#include "asks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "controller.h"

static void free_ask(struct ask *ask)
{
    if (ask->read != NULL)
        ask->read->context = NULL; /* is answered to nobody */
    buffer_close(&ask->message);
    free(ask->waiting);
    free(ask);
}

void asks_close(struct asks *asks)
{
    while (asks->first != NULL) {
        struct ask *ask = asks->first;

        asks->first = ask->next;
        free_ask(ask);
    }
    asks->count = 0;
}

static void unlink_ask(struct asks *asks, const struct ask *ask)
{
    struct ask **at = &asks->first;

    while (*at != ask)
        at = &(*at)->next;
    *at = ask->next;
    asks->count--;
}

void asks_remove(struct asks *asks, struct ask *ask)
{
    unlink_ask(asks, ask);
    free_ask(ask);
}

struct ask *asks_add(struct controller *controller, uint64_t client, enum ask_kind kind,
                     const struct message *message)
{
    struct asks *asks = &controller->asks;
    struct ask *ask = asks->count < ASKS_MAX ? calloc(1, sizeof(*ask)) : NULL;

    if (ask == NULL)
        return NULL;
    ask->waiting = calloc(controller->registry.member_count + 1, sizeof(struct member *));
    if (ask->waiting == NULL || codec_encode(message, &ask->message) < 0) {
        free_ask(ask);
        return NULL;
    }
    ask->number = ++asks->last_number;
    ask->client = client;
    ask->kind = kind;
    ask->mark = ++controller->registry.mark;
    ask->deadline_ns = controller->now_ns + (kind == ASK_LIST ? ASK_LIST_LATE_NS : ASK_LATE_NS);
    ask->next = asks->first;
    asks->first = ask;
    asks->count++;
    controller_due(controller, ask->deadline_ns);
    return ask;
}

static struct ask *find_ask(const struct asks *asks, const char *request_id)
{
    struct ask *ask = asks->first;
    char *end = NULL;
    uint64_t number = strtoull(request_id, &end, 10);

    if (end == request_id || *end != '\0')
        return NULL;
    while (ask != NULL && ask->number != number)
        ask = ask->next;
    return ask;
}

static void send_to(struct controller *controller, const struct ask *ask, struct member *member)
{
    struct arena arena = {0};
    struct message message = {.kind = MESSAGE_QUERY};
    const char *selector = ask->container;
    char number[24];

    (void)snprintf(number, sizeof(number), "%" PRIu64, ask->number);
    if (ask->kind == ASK_PLACE)
        message.query =
            (struct query){.kind = QUERY_LIST, .selectors = &selector, .selector_count = 1};
    else if (codec_decode(ask->message.data, ask->message.size_bytes, &arena, &message) == 0 &&
             ask->kind == ASK_NODE)
        message.query.container = ask->container;
    message.query.request_id = number;
    message.query.node = member->name;
    /* No room, no memory: it is as late as a node that does not answer. */
    (void)sessions_post(controller, member, CHANNEL_CONTROL, &message);
    arena_close(&arena);
}

static bool stop_waiting(struct ask *ask, const struct member *member)
{
    for (uint32_t i = 0; i < ask->waiting_count; i++) {
        if (ask->waiting[i] != member)
            continue;
        ask->waiting[i] = ask->waiting[--ask->waiting_count];
        return true;
    }
    return false;
}

static bool is_waiting(const struct ask *ask, const struct member *member)
{
    for (uint32_t i = 0; i < ask->waiting_count; i++)
        if (ask->waiting[i] == member)
            return true;
    return false;
}

void asks_ask(struct controller *controller, struct ask *ask, struct member *member)
{
    ask->waiting[ask->waiting_count++] = member;
    send_to(controller, ask, member);
}

bool asks_ask_all(struct controller *controller, struct ask *ask)
{
    for (uint32_t i = 0; i < controller->registry.member_count; i++) {
        struct member *member = controller->registry.by_name[i];

        if (member_is_up(member) && (ask->node[0] == '\0' || strcmp(ask->node, member->name) == 0))
            asks_ask(controller, ask, member);
    }
    return ask->waiting_count != 0;
}

void asks_finish(struct controller *controller, struct ask *ask)
{
    ask->waiting_count = 0;
    if (ask->kind == ASK_LIST) {
        ask->is_told = true;
        if (queries_tell_list(controller, ask))
            asks_remove(&controller->asks, ask);
        return;
    }
    unlink_ask(&controller->asks, ask);
    if (ask->kind == ASK_PLACE)
        controller_take_kept(controller, ask->client, &ask->message, true);
    free_ask(ask);
}

/* ---- what nodes answer ---- */

static void learn(const struct ask *ask, struct member *member, const struct answer *answer)
{
    struct arena arena = {0};
    struct message message;
    const char *selector = ask->container;

    for (size_t i = 0; i < answer->container_count; i++)
        (void)known_list(member, &answer->containers[i], ask->mark); /* the next tells it again */
    if (!answer->is_last || answer->fault.status != STATUS_UNSET)
        return;
    if (ask->kind == ASK_PLACE)
        known_sweep(member, ask->mark, &selector, 1);
    else if (codec_decode(ask->message.data, ask->message.size_bytes, &arena, &message) == 0)
        known_sweep(member, ask->mark, message.query.selectors, message.query.selector_count);
    arena_close(&arena);
}

/* For when the node is down. */
static void store_config(struct controller *controller, const struct member *member,
                         const struct answer *answer)
{
    const struct known *known = known_find(member, answer->containers[0].name);
    struct buffer buffer = {0};

    if (known != NULL && codec_encode_config(answer->config, &buffer) == 0) {
        const struct octets config = {buffer.data, buffer.size_bytes};
        registry_store_known(known, member, &config, controller_batch(controller));
    }
    buffer_close(&buffer);
}

/* From a node to the one who asked for it. */
static void pass_on(struct controller *controller, struct ask *ask, struct member *member,
                    struct answer *answer)
{
    struct arena arena = {0};
    struct message asked;
    struct message message = {.kind = MESSAGE_ANSWER};

    for (size_t i = 0; i < answer->container_count; i++)
        (void)known_tell(member, &answer->containers[i], controller->registry.mark); /* likewise */
    if (answer->config != NULL && answer->container_count == 1)
        store_config(controller, member, answer);
    if (answer->fault.status != STATUS_UNSET)
        answer->fault.node = member->name;
    if (codec_decode(ask->message.data, ask->message.size_bytes, &arena, &asked) == 0) {
        message.answer = *answer;
        message.answer.request_id = asked.query.request_id;
        answers_send(controller, ask->client, &message);
    } else {
        answers_drop(controller, ask->client);
    }
    arena_close(&arena);
    if (answer->is_last)
        asks_remove(&controller->asks, ask);
}

void asks_take_answer(struct controller *controller, struct member *member, struct answer *answer)
{
    struct ask *ask = find_ask(&controller->asks, answer->request_id);

    if (ask == NULL || !is_waiting(ask, member))
        return; /* its client is gone, or it was too late */
    if (ask->kind == ASK_NODE) {
        pass_on(controller, ask, member, answer);
        return;
    }
    learn(ask, member, answer);
    if (answer->is_last && stop_waiting(ask, member) && ask->waiting_count == 0)
        asks_finish(controller, ask);
}

void asks_member_up(struct controller *controller, struct member *member)
{
    for (const struct ask *ask = controller->asks.first; ask != NULL; ask = ask->next)
        if (is_waiting(ask, member))
            send_to(controller, ask, member);
}

/* ---- nodes that do not answer ---- */

static void tell_copy(struct controller *controller, const struct ask *ask,
                      const struct ctl_read *read)
{
    struct member *member = controller->registry.members[read->node];
    const struct known *known = known_find(member, read->name);
    struct message message = {.kind = MESSAGE_ANSWER};
    struct arena arena = {0};
    struct message asked;
    struct config config;

    if (codec_decode(ask->message.data, ask->message.size_bytes, &arena, &asked) == 0) {
        message.answer.request_id = asked.query.request_id;
        message.answer.is_last = true;
        message.answer.fault = answers_view(&ask->fault, ask->container, member->name);
        if (known != NULL) {
            message.answer.containers = &known->view;
            message.answer.container_count = 1;
        }
        if (known != NULL && read->result == 0 && read->config.size_bytes != 0 &&
            codec_decode_config(read->config.data, read->config.size_bytes, &arena, &config) == 0)
            message.answer.config = &config;
        answers_send(controller, ask->client, &message);
    } else {
        answers_drop(controller, ask->client);
    }
    arena_close(&arena);
}

void asks_take_read(struct controller *controller, struct ctl_read *read_consumed)
{
    struct ask *ask = read_consumed->context;

    if (ask != NULL) {
        tell_copy(controller, ask, read_consumed);
        ask->read = NULL;
        asks_remove(&controller->asks, ask);
    }
    ctl_read_free(read_consumed);
}

bool asks_copy(struct controller *controller, struct ask *ask, const struct member *member,
               const char *why)
{
    const struct known *known = known_find(member, ask->container);
    struct ctl_read *read = known == NULL ? NULL : ctl_read_new(CTL_READ_CONFIG);

    if (read == NULL)
        return false;
    fault_set(&ask->fault, STATUS_UNREACHABLE, 0, "node %s %s: this is what it last told",
              member->name, why);
    fault_hint(&ask->fault, "drover node ls shows the nodes");
    read->context = ask;
    read->node = member->index;
    memcpy(read->name, known->name, sizeof(read->name));
    ask->kind = ASK_COPY;
    ask->read = read;
    ask->is_told = true; /* nothing is waited for but the store */
    ask->waiting_count = 0;
    controller->store->ops->read(controller->store, read);
    return true;
}

/* The node that an ASK_NODE waits for does not answer. */
static void give_up(struct controller *controller, struct ask *ask, const char *why)
{
    const struct member *member = ask->waiting[0];
    struct arena arena = {0};
    struct message message;
    struct fault fault;
    bool is_copied = false;

    fault_set(&fault, STATUS_UNREACHABLE, 0, "node %s %s", member->name, why);
    fault_hint(&fault, "drover node ls shows the nodes");
    if (codec_decode(ask->message.data, ask->message.size_bytes, &arena, &message) == 0) {
        struct fault_view view = answers_view(&fault, ask->container, member->name);

        is_copied = message.query.kind == QUERY_SHOW && asks_copy(controller, ask, member, why);
        if (!is_copied)
            answers_fault(controller, ask->client, message.query.request_id, &view);
    } else {
        answers_drop(controller, ask->client);
    }
    arena_close(&arena);
    if (!is_copied)
        asks_remove(&controller->asks, ask);
}

void asks_member_down(struct controller *controller, struct member *member)
{
    struct ask *next;

    for (struct ask *ask = controller->asks.first; ask != NULL; ask = next) {
        next = ask->next;
        if (!is_waiting(ask, member))
            continue;
        if (ask->kind == ASK_NODE)
            give_up(controller, ask, "is down");
        else if (stop_waiting(ask, member) && ask->waiting_count == 0)
            asks_finish(controller, ask);
    }
}

void asks_client_drained(struct controller *controller, uint64_t client)
{
    struct ask *next;

    for (struct ask *ask = controller->asks.first; ask != NULL; ask = next) {
        next = ask->next;
        if (ask->client == client && ask->is_starved && queries_tell_list(controller, ask))
            asks_remove(&controller->asks, ask);
    }
}

void asks_client_gone(struct asks *asks, uint64_t client)
{
    struct ask *next;

    for (struct ask *ask = asks->first; ask != NULL; ask = next) {
        next = ask->next;
        if (ask->client == client)
            asks_remove(asks, ask);
    }
}

uint64_t asks_sweep(struct controller *controller)
{
    uint64_t next_ns = UINT64_MAX;
    struct ask *next;

    for (struct ask *ask = controller->asks.first; ask != NULL; ask = next) {
        next = ask->next;
        if (ask->is_told)
            continue;
        if (ask->deadline_ns > controller->now_ns)
            next_ns = ask->deadline_ns < next_ns ? ask->deadline_ns : next_ns;
        else if (ask->kind == ASK_NODE)
            give_up(controller, ask, "does not answer");
        else
            asks_finish(controller, ask);
    }
    return next_ns;
}
