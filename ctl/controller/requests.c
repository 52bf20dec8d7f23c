/* SPDX-License-Identifier: Apache-2.0 */
#include "requests.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "clock.h"
#include "controller.h"
#include "route.h"

static struct request **bucket_of(struct requests *requests, const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    for (; *id != '\0'; id++)
        hash = (hash ^ (uint8_t)*id) * UINT64_C(1099511628211);
    return &requests->buckets[hash % REQUEST_BUCKETS];
}

static struct request *find(struct requests *requests, const char *id)
{
    struct request *request = *bucket_of(requests, id);

    while (request != NULL && strcmp(request->id, id) != 0)
        request = request->chain;
    return request;
}

static void list_add(struct request_list *list, struct request *request)
{
    request->next = NULL;
    request->prev = list->last;
    if (list->last != NULL)
        list->last->next = request;
    else
        list->first = request;
    list->last = request;
}

static void list_remove(struct request_list *list, struct request *request)
{
    if (request->prev != NULL)
        request->prev->next = request->next;
    else
        list->first = request->next;
    if (request->next != NULL)
        request->next->prev = request->prev;
    else
        list->last = request->prev;
}

static void count_creates(const struct request *request, bool is_more)
{
    if (request->verb != VERB_CREATE || request->member == NULL)
        return;
    if (is_more)
        request->member->creating++;
    else
        request->member->creating--;
}

static void remove_request(struct requests *requests, struct request *request)
{
    struct request **at = bucket_of(requests, request->id);

    while (*at != request)
        at = &(*at)->chain;
    *at = request->chain;
    list_remove(request->is_finished ? &requests->finished : &requests->open, request);
    if (!request->is_finished)
        count_creates(request, false);
    requests->count--;
    buffer_close(&request->command);
    buffer_close(&request->receipt);
    free(request->listeners);
    free(request);
}

void requests_close(struct requests *requests)
{
    while (requests->open.first != NULL)
        remove_request(requests, requests->open.first);
    while (requests->finished.first != NULL)
        remove_request(requests, requests->finished.first);
}

/* NULL: all REQUESTS_MAX are open, or no memory. */
static struct request *add(struct requests *requests, const char *id)
{
    if (requests->count == REQUESTS_MAX) {
        if (requests->finished.first == NULL)
            return NULL;
        remove_request(requests, requests->finished.first);
    }
    struct request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return NULL;
    request->listeners = calloc(1, sizeof(*request->listeners));
    if (request->listeners == NULL) {
        free(request);
        return NULL;
    }
    memcpy(request->id, id, strlen(id) + 1); /* its length was checked */
    struct request **bucket = bucket_of(requests, id);
    request->chain = *bucket;
    *bucket = request;
    list_add(&requests->open, request);
    requests->count++;
    return request;
}

static bool listen_to(struct request *request, uint64_t client)
{
    for (uint32_t i = 0; i < request->listener_count; i++)
        if (request->listeners[i] == client)
            return true;
    if (request->listener_count == REQUEST_LISTENERS_MAX)
        return false;
    uint64_t *grown = realloc(request->listeners, (request->listener_count + 1) * sizeof(*grown));
    if (grown == NULL)
        return false;
    request->listeners = grown;
    request->listeners[request->listener_count++] = client;
    return true;
}

static void move_to(struct requests *requests, struct request *request, bool is_finished)
{
    if (request->is_finished == is_finished)
        return;
    count_creates(request, !is_finished);
    list_remove(is_finished ? &requests->open : &requests->finished, request);
    list_add(is_finished ? &requests->finished : &requests->open, request);
    request->is_finished = is_finished;
}

/* What is told to each listener, and kept for those who ask again. */
static void tell(struct controller *controller, struct request *request,
                 const struct receipt *receipt)
{
    struct message message = {.kind = MESSAGE_RECEIPT, .receipt = *receipt};
    bool is_final = receipt->phase != PHASE_ACCEPTED;

    request->receipt.size_bytes = 0;
    (void)codec_encode(&message, &request->receipt); /* else a repeat asks the node again */
    for (uint32_t i = 0; i < request->listener_count; i++)
        answers_send(controller, request->listeners[i], &message);
    if (!is_final)
        return;
    request->listener_count = 0;
    move_to(&controller->requests, request, true);
    /* An unknown result can be asked for again with the same command. */
    if (receipt->phase != PHASE_RESULT_UNKNOWN)
        buffer_close(&request->command);
}

static void tell_unknown(struct controller *controller, struct request *request, const char *why)
{
    struct fault fault;
    struct receipt receipt = {.request_id = request->id, .phase = PHASE_RESULT_UNKNOWN};

    fault_set(&fault, STATUS_UNREACHABLE, 0, "node %s: %s; the result is unknown",
              request->member->name, why);
    fault_hint(&fault, "ask again with the same request id once the node is back");
    receipt.fault = answers_view(&fault, request->container, request->member->name);
    tell(controller, request, &receipt);
}

static int send_command(struct controller *controller, struct request *request)
{
    struct message message;

    request->again_ns = controller->now_ns + request->again_wait_ns;
    controller_due(controller, request->again_ns);
    arena_reset(&controller->kept);
    int result = codec_decode(request->command.data, request->command.size_bytes, &controller->kept,
                              &message);
    if (result < 0)
        return result;
    if (request->deadline_ns != 0)
        message.command.time_left_ns = request->deadline_ns > controller->now_ns
                                           ? request->deadline_ns - controller->now_ns
                                           : NS_PER_MS;
    return sessions_post(controller, request->member, CHANNEL_CONTROL, &message);
}

static void digest_command(const struct message *message, uint8_t digest[REQUEST_DIGEST_BYTES])
{
    struct message timeless = *message;
    struct buffer buffer = {0};

    timeless.command.time_left_ns = 0;
    memset(digest, 0, REQUEST_DIGEST_BYTES);
    if (codec_encode(&timeless, &buffer) == 0)
        (void)crypto_generichash(digest, REQUEST_DIGEST_BYTES, buffer.data, buffer.size_bytes, NULL,
                                 0); /* cannot fail for this length */
    buffer_close(&buffer);
}

static void refuse(struct controller *controller, uint64_t client, const struct command *command,
                   enum status status, const char *text)
{
    struct fault fault;

    fault_set(&fault, status, 0, "%s", text);
    struct fault_view view = answers_view(&fault, command->container, command->node);
    answers_refuse(controller, client, command->request_id, PHASE_FAILED, &view);
}

static void replay(struct controller *controller, struct request *request, uint64_t client)
{
    struct message message;

    if (request->receipt.size_bytes == 0)
        return;
    arena_reset(&controller->kept);
    if (codec_decode(request->receipt.data, request->receipt.size_bytes, &controller->kept,
                     &message) == 0)
        answers_send(controller, client, &message);
}

static void refuse_unreachable(struct controller *controller, uint64_t client, const char *id,
                               const struct target *target)
{
    struct fault fault;

    fault_set(&fault, STATUS_UNREACHABLE, 0, "node %s is down: the command was not sent",
              target->member->name);
    fault_hint(&fault, "drover node ls shows the nodes");
    struct fault_view view = answers_view(&fault, target->container, target->member->name);
    answers_refuse(controller, client, id, PHASE_NOT_SENT, &view);
}

/* The same request id again: listen to what is on its way, or hear what was answered. */
static void take_again(struct controller *controller, uint64_t client, struct request *request,
                       const struct message *message)
{
    uint8_t digest[REQUEST_DIGEST_BYTES];

    digest_command(message, digest);
    if (memcmp(digest, request->digest, sizeof(digest)) != 0) {
        struct fault fault;

        fault_set(&fault, STATUS_REQUEST_ID_REUSED, 0,
                  "this request id belongs to another command");
        struct fault_view view =
            answers_view(&fault, message->command.container, request->member->name);
        answers_refuse(controller, client, request->id, PHASE_FAILED, &view);
        return;
    }
    if (request->is_finished && request->command.size_bytes == 0) {
        replay(controller, request, client);
        return;
    }
    if (!listen_to(request, client)) {
        refuse(controller, client, &message->command, STATUS_BUSY,
               "too many ask for the result of this request");
        return;
    }
    if (!request->is_finished) {
        replay(controller, request, client);
        return;
    }
    uint64_t time_left_ns = message->command.time_left_ns;
    request->deadline_ns = time_left_ns == 0 ? 0 : controller->now_ns + time_left_ns;
    move_to(&controller->requests, request, false);
    if (send_command(controller, request) < 0)
        tell_unknown(controller, request, "it is still down");
    else if (request->deadline_ns != 0)
        controller_due(controller, request->deadline_ns + REQUEST_LATE_NS);
}

static void take_new(struct controller *controller, uint64_t client, const struct message *message,
                     const struct target *target)
{
    struct message sent = *message;
    uint64_t time_left_ns = message->command.time_left_ns;
    const char *id = message->command.request_id;

    if (!member_is_up(target->member)) {
        refuse_unreachable(controller, client, id, target);
        return;
    }
    struct request *request = add(&controller->requests, id);
    if (request == NULL) {
        refuse(controller, client, &message->command, STATUS_BUSY,
               "too many commands are on their way");
        return;
    }
    sent.command.node = target->member->name;
    sent.command.container = target->container;
    request->member = target->member;
    memcpy(request->container, target->container, sizeof(request->container));
    request->verb = message->command.verb;
    request->again_wait_ns = REQUEST_AGAIN_NS;
    count_creates(request, true);
    request->deadline_ns = time_left_ns == 0 ? 0 : controller->now_ns + time_left_ns;
    request->listeners[request->listener_count++] = client;
    digest_command(message, request->digest);
    if (codec_encode(&sent, &request->command) < 0 || send_command(controller, request) < 0) {
        remove_request(&controller->requests, request);
        refuse(controller, client, &sent.command, STATUS_BUSY,
               "no room for another command to this node");
        return;
    }
    if (request->deadline_ns != 0)
        controller_due(controller, request->deadline_ns + REQUEST_LATE_NS);
}

/* A container of that name is being made somewhere: whoever asks for another hears it there. */
static bool find_create(const struct requests *requests, struct target *target)
{
    for (const struct request *at = requests->open.first; at != NULL; at = at->next) {
        if (at->verb != VERB_CREATE || strcmp(at->container, target->container) != 0)
            continue;
        target->member = at->member;
        return true;
    }
    return false;
}

static enum route find_route(struct controller *controller, const struct command *command,
                             struct target *ret_target, struct fault *fault)
{
    const struct registry *registry = &controller->registry;

    if (command->verb != VERB_CREATE)
        return route_find(registry, command->node, command->container, ret_target, fault);
    enum route route = route_create(registry, command->node, command->container, ret_target, fault);
    if (route == ROUTE_FOUND && command->node[0] == '\0' && strchr(command->container, '@') == NULL)
        (void)find_create(&controller->requests, ret_target);
    return route;
}

void requests_take(struct controller *controller, uint64_t client, const struct message *message,
                   bool is_asked)
{
    const struct command *command = &message->command;
    struct target target;
    struct fault fault;

    if (command->request_id[0] == '\0' || strlen(command->request_id) >= REQUEST_ID_BYTES) {
        refuse(controller, client, command, STATUS_INVALID,
               "a command needs a request id of 1 to 71 octets");
        return;
    }
    struct request *known = find(&controller->requests, command->request_id);
    if (known != NULL) {
        take_again(controller, client, known, message);
        return;
    }
    enum route route = find_route(controller, command, &target, &fault);
    if (route == ROUTE_FOUND) {
        take_new(controller, client, message, &target);
        return;
    }
    if (route == ROUTE_UNKNOWN && !is_asked &&
        queries_ask_all(controller, client, target.container, message))
        return;
    struct fault_view view = answers_view(&fault, command->container, command->node);
    answers_refuse(controller, client, command->request_id,
                   fault.status == STATUS_UNREACHABLE ? PHASE_NOT_SENT : PHASE_FAILED, &view);
}

/* What the receipt shows of the container is newer than what was known, but for a destroyed one. */
static void learn(struct controller *controller, struct member *member,
                  const struct request *request, const struct receipt *receipt)
{
    if (!receipt->has_container)
        return;
    if (request->verb != VERB_DESTROY || receipt->phase != PHASE_DONE) {
        /* No room: the next list tells it again. */
        (void)known_tell(member, &receipt->container, controller->registry.mark);
        return;
    }
    const struct known *known = known_find(member, receipt->container.name);
    if (known != NULL && memcmp(known->view.uuid, receipt->container.uuid, UUID_BYTES) == 0)
        known_remove(member, known);
}

void requests_take_receipt(struct controller *controller, struct member *member,
                           struct receipt *receipt)
{
    struct request *request = find(&controller->requests, receipt->request_id);

    if (request == NULL || request->member != member ||
        (request->is_finished && request->command.size_bytes == 0))
        return; /* answered before: the agent answers every repeat */
    receipt->container.node = member->name;
    if (receipt->fault.status != STATUS_UNSET)
        receipt->fault.node = member->name;
    learn(controller, member, request, receipt);
    if (receipt->phase == PHASE_ACCEPTED && request->is_finished)
        return; /* told as unknown: only its end is still news */
    tell(controller, request, receipt);
}

void requests_member_up(struct controller *controller, struct member *member)
{
    for (struct request *at = controller->requests.open.first; at != NULL; at = at->next)
        if (at->member == member)
            (void)send_command(controller, at); /* no room: its deadline or the next session */
}

void requests_member_down(struct controller *controller, struct member *member)
{
    (void)member; /* its down_since_ns is what counts */
    if (controller->requests.open.first != NULL)
        controller_due(controller, controller->now_ns + NODE_LOST_NS);
}

/* When it is to be asked again; UINT64_MAX: not while its node is down. */
static uint64_t ask_again(struct controller *controller, struct request *request)
{
    if (!member_is_up(request->member))
        return UINT64_MAX;
    if (request->again_ns <= controller->now_ns) {
        request->again_wait_ns *= 2;
        if (request->again_wait_ns > REQUEST_AGAIN_MAX_NS)
            request->again_wait_ns = REQUEST_AGAIN_MAX_NS;
        (void)send_command(controller, request); /* no room: the next time */
    }
    return request->again_ns;
}

uint64_t requests_sweep(struct controller *controller)
{
    uint64_t next_ns = UINT64_MAX;
    struct request *next;

    for (struct request *at = controller->requests.open.first; at != NULL; at = next) {
        uint64_t late_ns = at->deadline_ns == 0 ? UINT64_MAX : at->deadline_ns + REQUEST_LATE_NS;
        uint64_t lost_ns =
            member_is_up(at->member) ? UINT64_MAX : at->member->down_since_ns + NODE_LOST_NS;
        uint64_t due_ns = late_ns < lost_ns ? late_ns : lost_ns;

        next = at->next;
        if (due_ns <= controller->now_ns) {
            tell_unknown(controller, at,
                         late_ns <= lost_ns ? "no answer in time" : "down since it was sent");
            continue;
        }
        next_ns = due_ns < next_ns ? due_ns : next_ns;
        uint64_t again_ns = ask_again(controller, at);
        next_ns = again_ns < next_ns ? again_ns : next_ns;
    }
    return next_ns;
}
