/* SPDX-License-Identifier: Apache-2.0 */
#include "requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "clock.h"
#include "controller.h"
#include "requests_words.h"
#include "route.h"

/* ---- what is stored ---- */

/* By the wall clock's span since it was first issued; one that was set back counts as no time. */
static uint64_t expires_at(const struct controller *controller, uint64_t issued_wall_ns)
{
    uint64_t now_wall_ns = clock_wall_ns();
    uint64_t age_ns = now_wall_ns > issued_wall_ns ? now_wall_ns - issued_wall_ns : 0;

    return age_ns >= REQUEST_EXPIRES_NS ? controller->now_ns
                                        : controller->now_ns + (REQUEST_EXPIRES_NS - age_ns);
}

/* False: no memory; the node is asked again. */
static bool store_receipt(struct controller *controller, const char *id,
                          const struct member *member, const struct receipt *receipt)
{
    struct message message = {.kind = MESSAGE_RECEIPT, .receipt = *receipt};
    struct ctl_change change = {.kind = CTL_PUT_RECEIPT};
    struct buffer buffer = {0};

    if (codec_encode(&message, &buffer) < 0)
        return false;
    memcpy(change.receipt.request, id, strlen(id) + 1); /* an id that was checked */
    change.receipt.node = member->index;
    change.receipt.phase = receipt->phase;
    change.receipt.closed_wall_ns = receipt->phase == PHASE_ACCEPTED ? 0 : clock_wall_ns();
    change.receipt.receipt = (struct octets){buffer.data, buffer.size_bytes};
    (void)ctl_batch_add(controller_batch(controller), &change);
    buffer_close(&buffer);
    return true;
}

/* Told to its listeners once it is stored. */
static void close_request(struct controller *controller, struct request *request,
                          const struct receipt *receipt)
{
    if (store_receipt(controller, request->id, request->member, receipt))
        request->is_closed = receipt->phase != PHASE_ACCEPTED;
}

static void close_undone(struct controller *controller, struct request *request,
                         const struct fault *fault)
{
    struct receipt receipt = {.request_id = request->id,
                              .phase = request->is_sent ? PHASE_RESULT_UNKNOWN : PHASE_NOT_SENT};

    receipt.fault = answers_view(fault, request->container, request->member->name);
    close_request(controller, request, &receipt);
}

static void close_unknown(struct controller *controller, struct request *request, const char *why)
{
    struct fault fault;

    words_unknown(request, why, &fault);
    close_undone(controller, request, &fault);
}

static void close_expired(struct controller *controller, struct request *request)
{
    struct fault fault;

    words_expired(&fault);
    close_undone(controller, request, &fault);
}

static void tell(struct controller *controller, struct request *request,
                 const struct octets *receipt)
{
    struct message message;

    arena_reset(&controller->kept);
    int result = codec_decode(receipt->data, receipt->size_bytes, &controller->kept, &message);
    for (uint32_t i = 0; i < request->listener_count; i++) {
        if (result == 0)
            answers_send(controller, request->listeners[i], &message);
        else /* it was encoded here: no memory */
            answers_drop(controller, request->listeners[i]);
    }
}

void requests_recorded(struct controller *controller, const struct ctl_change *change)
{
    const struct ctl_command *stored = &change->receipt;
    struct request *request = requests_find(&controller->requests, stored->request);

    if (request == NULL)
        return; /* it was told as unknown before: the store has the rest for who asks again */
    tell(controller, request, &stored->receipt);
    if (stored->phase != PHASE_ACCEPTED) {
        requests_remove(&controller->requests, request);
        return;
    }
    request->receipt.size_bytes = 0;
    /* No memory: who listens later hears only the end. */
    (void)buffer_append(&request->receipt, stored->receipt.data, stored->receipt.size_bytes);
}

/* ---- sending ---- */

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
    result = sessions_post(controller, request->member, CHANNEL_CONTROL, &message);
    request->is_sent = request->is_sent || result == 0;
    return result;
}

static bool may_send(const struct controller *controller, const struct request *request)
{
    return request->is_claimed && !request->is_closed && request->expires_ns > controller->now_ns &&
           member_is_up(request->member);
}

/* Its way begins, or begins anew. */
static void send_first(struct controller *controller, struct request *request)
{
    int result;

    controller_due(controller, request->expires_ns);
    if (request->expires_ns <= controller->now_ns) {
        close_expired(controller, request);
        return;
    }
    if (!member_is_up(request->member)) {
        close_unknown(controller, request, "it is down");
        return;
    }
    result = send_command(controller, request);
    if (result < 0 && result != -ENOTCONN)
        close_unknown(controller, request, "there is no room for another command to it");
    else if (request->deadline_ns != 0)
        controller_due(controller, request->deadline_ns + REQUEST_LATE_NS);
}

/* ---- request ids that are known ---- */

static void replay(struct controller *controller, const struct octets *receipt, uint64_t client)
{
    struct message message;

    if (receipt->size_bytes == 0)
        return;
    arena_reset(&controller->kept);
    if (codec_decode(receipt->data, receipt->size_bytes, &controller->kept, &message) == 0)
        answers_send(controller, client, &message);
    else
        answers_drop(controller, client);
}

static bool is_ended(const struct ctl_command *found)
{
    return found->closed_wall_ns != 0 && found->phase != PHASE_RESULT_UNKNOWN &&
           found->phase != PHASE_NOT_SENT;
}

/* Goes on as what the store has. False: it cannot, and nothing has changed. */
static bool adopt(struct controller *controller, struct request *request,
                  const struct ctl_command *found)
{
    struct buffer command = {0};

    if (found->node >= controller->registry.member_count ||
        buffer_append(&command, found->command.data, found->command.size_bytes) < 0)
        return false;
    if (request->verb == VERB_CREATE)
        request->member->creating--;
    request->member = controller->registry.members[found->node];
    request->verb = found->verb;
    if (request->verb == VERB_CREATE)
        request->member->creating++;
    memcpy(request->container, found->container, sizeof(request->container));
    memcpy(request->digest, found->digest, sizeof(request->digest));
    buffer_close(&request->command);
    request->command = command;
    request->issued_wall_ns = found->issued_wall_ns;
    request->expires_ns = expires_at(controller, found->issued_wall_ns);
    request->is_claimed = true;
    request->is_sent = found->phase != PHASE_NOT_SENT;
    return true;
}

/* The store had the request id that a client came with: it hears the end, or it is gone after. */
static void take_found(struct controller *controller, struct request *request,
                       const struct ctl_command *found)
{
    bool is_same = memcmp(found->digest, request->digest, sizeof(found->digest)) == 0;

    if (!is_same || is_ended(found)) {
        for (uint32_t i = 0; i < request->listener_count; i++) {
            if (is_same)
                replay(controller, &found->receipt, request->listeners[i]);
            else
                words_refuse_reused(controller, request->listeners[i], request);
        }
        requests_remove(&controller->requests, request);
        return;
    }
    if (adopt(controller, request, found))
        send_first(controller, request);
    else
        close_unknown(controller, request, "the command cannot be sent again");
}

void requests_claimed(struct controller *controller, const struct ctl_change *change)
{
    struct request *request = requests_find(&controller->requests, change->command.given.request);

    if (request == NULL || request->is_claimed)
        return; /* cannot be: a claim is posted once, and its request stays until it is back */
    request->is_claimed = true;
    if (change->command.found == NULL)
        send_first(controller, request);
    else
        take_found(controller, request, change->command.found);
}

/* The same request id while it is open: listen to what is on its way. */
static void take_again(struct controller *controller, uint64_t client, struct request *request,
                       const struct message *message)
{
    uint8_t digest[CTL_DIGEST_BYTES];
    const struct octets receipt = {request->receipt.data, request->receipt.size_bytes};

    if (requests_digest(message, digest) < 0)
        words_refuse(controller, client, &message->command, STATUS_BUSY,
                     "no memory to compare it with what was asked before");
    else if (memcmp(digest, request->digest, sizeof(digest)) != 0)
        words_refuse_reused(controller, client, request);
    else if (!requests_listen(request, client))
        words_refuse(controller, client, &message->command, STATUS_BUSY,
                     "too many ask for the result of this request");
    else
        replay(controller, &receipt, client);
}

/* ---- new ones ---- */

static struct request *add(struct controller *controller, uint64_t client,
                           const struct message *message, const struct target *target)
{
    uint64_t asked_ns = message->command.time_left_ns;
    uint64_t time_left_ns = asked_ns < REQUEST_EXPIRES_NS ? asked_ns : REQUEST_EXPIRES_NS;
    struct message sent = *message;
    struct request *request =
        requests_add(&controller->requests, message->command.request_id, target->member,
                     message->command.verb, target->container);

    if (request == NULL)
        return NULL;
    sent.command.node = target->member->name;
    sent.command.container = target->container;
    request->issued_wall_ns = clock_wall_ns();
    request->expires_ns = controller->now_ns + REQUEST_EXPIRES_NS;
    request->deadline_ns = time_left_ns == 0 ? 0 : controller->now_ns + time_left_ns;
    if (requests_digest(message, request->digest) < 0 || !requests_listen(request, client) ||
        codec_encode(&sent, &request->command) < 0) {
        requests_remove(&controller->requests, request);
        return NULL;
    }
    return request;
}

/* The store has it before its node: what it answers then is this command's, for ever. */
static void claim(struct controller *controller, uint64_t client, const struct message *message,
                  const struct target *target)
{
    struct ctl_change change = {.kind = CTL_ADD_COMMAND};
    struct request *request = add(controller, client, message, target);
    struct ctl_command *given = &change.command.given;

    if (request == NULL) {
        words_refuse(controller, client, &message->command, STATUS_BUSY,
                     "too many commands are on their way");
        return;
    }
    *given = (struct ctl_command){.node = target->member->index,
                                  .verb = request->verb,
                                  .issued_wall_ns = request->issued_wall_ns,
                                  .command = {request->command.data, request->command.size_bytes}};
    if (request->deadline_ns != 0)
        given->deadline_wall_ns =
            request->issued_wall_ns + (request->deadline_ns - controller->now_ns);
    memcpy(given->request, request->id, sizeof(given->request));
    memcpy(given->digest, request->digest, sizeof(given->digest));
    memcpy(given->container, request->container, sizeof(given->container));
    (void)ctl_batch_add(controller_batch(controller), &change);
}

static enum route find_route(struct controller *controller, const struct command *command,
                             struct target *ret_target, struct fault *fault)
{
    const struct registry *registry = &controller->registry;
    const struct request *create;

    if (command->verb != VERB_CREATE)
        return route_find(registry, command->node, command->container, ret_target, fault);
    enum route route = route_create(registry, command->node, command->container, ret_target, fault);
    if (route != ROUTE_FOUND || command->node[0] != '\0' || strchr(command->container, '@') != NULL)
        return route;
    /* It is being made somewhere: whoever asks for another of that name hears it there. */
    create = requests_find_create(&controller->requests, ret_target->container);
    if (create != NULL)
        ret_target->member = create->member;
    return route;
}

/* The store does not have it, and there is no node to send it to as things stood. */
static void take_unknown(struct controller *controller, uint64_t client,
                         const struct message *message, bool is_asked)
{
    const struct command *command = &message->command;
    struct target target;
    struct fault fault;
    enum route route = find_route(controller, command, &target, &fault);

    if (route == ROUTE_FOUND && member_is_up(target.member)) {
        claim(controller, client, message, &target);
        return;
    }
    if (route == ROUTE_FOUND) {
        words_refuse_down(controller, client, command->request_id, &target);
        return;
    }
    if (route == ROUTE_UNKNOWN && !is_asked &&
        queries_ask_all(controller, client, target.container, message))
        return;
    struct fault_view view = answers_view(&fault, command->container, command->node);
    answers_refuse(controller, client, command->request_id,
                   fault.status == STATUS_UNREACHABLE ? PHASE_NOT_SENT : PHASE_FAILED, &view);
}

static void look_up(struct controller *controller, uint64_t client, const struct message *message,
                    bool is_asked)
{
    struct lookup *lookup = lookups_add(&controller->requests, client, message);
    const char *id = message->command.request_id;

    if (lookup == NULL) {
        words_refuse(controller, client, &message->command, STATUS_BUSY,
                     "too many request ids are being looked for");
        return;
    }
    lookup->is_asked = is_asked;
    memcpy(lookup->read->request, id, strlen(id) + 1); /* its length was checked */
    controller->store->ops->read(controller->store, lookup->read);
}

/* Found in the store: as if it had been claimed and found then. */
static void take_stored(struct controller *controller, uint64_t client,
                        const struct message *message, const struct ctl_command *found)
{
    struct target target = {0};
    struct request *request = NULL;

    if (found->node < controller->registry.member_count) {
        target.member = controller->registry.members[found->node];
        memcpy(target.container, found->container, sizeof(target.container));
        request = add(controller, client, message, &target);
    }
    if (request == NULL)
        words_refuse(controller, client, &message->command, STATUS_BUSY,
                     "too many commands are on their way");
    else
        take_found(controller, request, found);
}

void requests_take_read(struct controller *controller, struct ctl_read *read_consumed)
{
    struct lookup *lookup = lookups_take(&controller->requests, read_consumed);
    struct arena arena = {0}; /* of its own: others are used by what is called */
    struct message message;

    if (codec_decode(lookup->message.data, lookup->message.size_bytes, &arena, &message) == 0) {
        struct request *open = requests_find(&controller->requests, message.command.request_id);

        if (open != NULL)
            take_again(controller, lookup->client, open, &message);
        else if (read_consumed->result < 0)
            words_refuse(controller, lookup->client, &message.command, STATUS_FAILED,
                         "the controller's store cannot be read");
        else if (read_consumed->found != NULL)
            take_stored(controller, lookup->client, &message, read_consumed->found);
        else
            take_unknown(controller, lookup->client, &message, lookup->is_asked);
    } else {
        answers_drop(controller, lookup->client);
    }
    arena_close(&arena);
    lookups_free(lookup);
    ctl_read_free(read_consumed);
}

void requests_take(struct controller *controller, uint64_t client, const struct message *message,
                   bool is_asked)
{
    const struct command *command = &message->command;
    struct target target;
    struct fault fault;

    if (command->request_id[0] == '\0' || strlen(command->request_id) >= REQUEST_ID_BYTES) {
        words_refuse(controller, client, command, STATUS_INVALID,
                     "a command needs a request id of 1 to 71 octets");
        return;
    }
    struct request *known = requests_find(&controller->requests, command->request_id);
    if (known != NULL)
        take_again(controller, client, known, message);
    else if (find_route(controller, command, &target, &fault) == ROUTE_FOUND &&
             member_is_up(target.member))
        claim(controller, client, message, &target);
    else
        look_up(controller, client, message, is_asked); /* it may have ended before */
}

/* ---- what nodes say ---- */

static void learn_config(struct controller *controller, struct member *member, const char *name,
                         const struct config *config)
{
    const struct known *known = known_find(member, name);
    struct buffer buffer = {0};

    if (known != NULL && codec_encode_config(config, &buffer) == 0) {
        const struct octets octets = {buffer.data, buffer.size_bytes};
        registry_store_known(known, member, &octets, controller_batch(controller));
    }
    buffer_close(&buffer);
}

/* What it was created as is known before the first `show`. */
static void learn_created(struct controller *controller, struct member *member,
                          const struct request *request, const char *name)
{
    struct message message;

    arena_reset(&controller->kept);
    if (codec_decode(request->command.data, request->command.size_bytes, &controller->kept,
                     &message) == 0 &&
        message.command.config != NULL)
        learn_config(controller, member, name, message.command.config);
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
        if (request->verb == VERB_CREATE && receipt->phase == PHASE_DONE)
            learn_created(controller, member, request, receipt->container.name);
        if (receipt->config != NULL) /* what a set made of it */
            learn_config(controller, member, receipt->container.name, receipt->config);
        return;
    }
    const struct known *known = known_find(member, receipt->container.name);
    if (known != NULL && memcmp(known->view.uuid, receipt->container.uuid, UUID_BYTES) == 0)
        known_remove(member, known);
}

void requests_take_receipt(struct controller *controller, struct member *member,
                           struct receipt *receipt)
{
    struct request *request = requests_find(&controller->requests, receipt->request_id);

    receipt->container.node = member->name;
    if (receipt->fault.status != STATUS_UNSET)
        receipt->fault.node = member->name;
    if (request != NULL && !request->is_closed) {
        if (request->member != member || !request->is_claimed)
            return; /* not that node's to say */
        learn(controller, member, request, receipt);
        close_request(controller, request, receipt);
        return;
    }
    /* Its result was told as unknown, or this is a repeat, of which the store takes no notice. */
    if (receipt->phase != PHASE_ACCEPTED && receipt->request_id[0] != '\0' &&
        strlen(receipt->request_id) < REQUEST_ID_BYTES)
        (void)store_receipt(controller, receipt->request_id, member, receipt); /* likewise */
}

void requests_member_up(struct controller *controller, struct member *member)
{
    for (struct request *at = controller->requests.first; at != NULL; at = at->next)
        if (at->member == member && may_send(controller, at))
            (void)send_command(controller, at); /* no room: its deadline or the next session */
}

void requests_member_down(struct controller *controller, struct member *member)
{
    if (controller->requests.first != NULL)
        controller_due(controller, member->lost_ns); /* then what is open there is unknown */
}

/* ---- time ---- */

int requests_load(struct controller *controller, const struct ctl_command *command)
{
    uint64_t now_wall_ns = clock_wall_ns();

    if (command->node >= controller->registry.member_count)
        return -EUCLEAN;
    struct request *request = requests_add(&controller->requests, command->request,
                                           controller->registry.members[command->node],
                                           command->verb, command->container);
    if (request == NULL || !adopt(controller, request, command) ||
        buffer_append(&request->receipt, command->receipt.data, command->receipt.size_bytes) < 0)
        return -ENOMEM;
    /* One whose time is over is closed by the first sweep, before any node is back. */
    if (command->deadline_wall_ns > now_wall_ns)
        request->deadline_ns = controller->now_ns + (command->deadline_wall_ns - now_wall_ns);
    else if (command->deadline_wall_ns != 0)
        request->deadline_ns = 1;
    controller_due(controller, controller->now_ns);
    return 0;
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

/* Closes it if its time is over; else says when to come again. */
static uint64_t sweep_one(struct controller *controller, struct request *request)
{
    uint64_t late_ns =
        request->deadline_ns == 0 ? UINT64_MAX : request->deadline_ns + REQUEST_LATE_NS;
    uint64_t lost_ns = member_is_up(request->member) ? UINT64_MAX : request->member->lost_ns;
    uint64_t due_ns = late_ns < lost_ns ? late_ns : lost_ns;

    if (request->expires_ns <= controller->now_ns) {
        close_expired(controller, request);
        return UINT64_MAX;
    }
    if (due_ns <= controller->now_ns) {
        close_unknown(controller, request,
                      late_ns <= lost_ns ? "no answer in time" : "down since it was sent");
        return UINT64_MAX;
    }
    due_ns = request->expires_ns < due_ns ? request->expires_ns : due_ns;
    uint64_t again_ns = ask_again(controller, request);
    return again_ns < due_ns ? again_ns : due_ns;
}

uint64_t requests_sweep(struct controller *controller)
{
    uint64_t next_ns = UINT64_MAX;

    for (struct request *at = controller->requests.first; at != NULL; at = at->next) {
        if (!at->is_claimed || at->is_closed)
            continue; /* the store's answer goes first */
        uint64_t due_ns = sweep_one(controller, at);
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    return next_ns;
}
