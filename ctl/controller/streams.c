/* SPDX-License-Identifier: Apache-2.0 */
#include "streams.h"

#include <string.h>

#include "answers.h"
#include "controller.h"
#include "relay.h"
#include "route.h"

/* ---- opening ---- */

static void refuse(struct controller *controller, uint64_t client, const struct stream_open *open)
{
    struct message message = {.kind = MESSAGE_STREAM_END};
    struct fault fault;

    fault_set(&fault, STATUS_BUSY, 0, "there is no room for another stream");
    message.stream_end = (struct stream_end){.stream = open->stream,
                                             .fault = answers_view(&fault, open->container, ""),
                                             .exit_code = status_exit_code(STATUS_BUSY)};
    answers_send(controller, client, &message);
}

/* False: it has been ended. */
static bool add_leg(struct controller *controller, struct relay *relay, struct member *member)
{
    struct fault fault;

    if (!member_is_up(member)) {
        route_fault_down(member, &fault);
        if (relay->kind == STREAM_IMPORT)
            fault_hint(&fault, "--node NODE imports to one node alone");
        relay_fail(controller, relay, &fault, member->name);
        return false;
    }
    if (relay_add_leg(&controller->streams, relay, member) < 0) {
        fault_set(&fault, STATUS_BUSY, 0, "too many streams are open");
        relay_fail(controller, relay, &fault, "");
        return false;
    }
    return true;
}

static void begin(struct controller *controller, struct relay *relay, const struct message *message,
                  const char *container)
{
    struct message copy = *message;

    copy.stream_open.container = container;
    if (codec_encode(&copy, &relay->opening) < 0)
        relay_lose(controller, relay, "", "no memory");
    else
        relay_open(controller, relay);
}

/* To the node that is named, or in step to all: it ends well if it does so on each. */
static void open_import(struct controller *controller, struct relay *relay,
                        const struct message *message)
{
    const struct registry *registry = &controller->registry;
    const char *node = message->stream_open.node;
    struct fault fault;

    if (registry->member_count == 0 || (node[0] != '\0' && registry_find(registry, node) == NULL)) {
        if (node[0] != '\0')
            route_fault_node(node, &fault);
        else
            route_fault_nobody(&fault);
        relay_fail(controller, relay, &fault, node);
        return;
    }
    for (uint32_t i = 0; i < registry->member_count; i++) {
        struct member *member = registry->by_name[i];

        if ((node[0] == '\0' || strcmp(node, member->name) == 0) &&
            !add_leg(controller, relay, member))
            return;
    }
    begin(controller, relay, message, message->stream_open.container);
}

static void open_container(struct controller *controller, struct relay *relay,
                           const struct message *message, bool is_asked)
{
    const struct stream_open *open = &message->stream_open;
    struct target target;
    struct fault fault;
    enum route route =
        route_find(&controller->registry, open->node, open->container, &target, &fault);

    if (route == ROUTE_FOUND) {
        if (add_leg(controller, relay, target.member))
            begin(controller, relay, message, target.container);
        return;
    }
    if (route == ROUTE_UNKNOWN && !is_asked &&
        queries_ask_all(controller, relay->client, target.container, message))
        return; /* RELAY_ROUTING until then */
    relay_fail(controller, relay, &fault, open->node);
}

static void take_open(struct controller *controller, uint64_t client, const struct message *message,
                      bool is_asked)
{
    const struct stream_open *open = &message->stream_open;
    struct relay *relay = relay_find(&controller->streams, client, open->stream);

    if (is_asked ? relay == NULL || relay->state != RELAY_ROUTING : relay != NULL)
        return; /* ended while the nodes were asked; or said twice */
    if (relay == NULL)
        relay = relay_new(&controller->streams, client, open);
    if (relay == NULL)
        refuse(controller, client, open);
    else if (open->kind == STREAM_IMPORT)
        open_import(controller, relay, message);
    else
        open_container(controller, relay, message, is_asked);
}

/* ---- what clients say ---- */

static void take_frame(struct controller *controller, struct relay *relay,
                       const struct message *message)
{
    const struct stream_frame *frame = &message->stream_frame;
    uint64_t bytes = relay->up_bytes + frame->data.size_bytes;

    if (frame->number != relay->up_number + 1) {
        relay_lose(controller, relay, "", "a frame is missing");
        return;
    }
    if (bytes > relay->up_granted_bytes) {
        relay_lose(controller, relay, "", "more was sent than was granted");
        return;
    }
    relay->up_number++;
    relay->up_bytes = bytes;
    relay_send_up(controller, relay, message);
}

static void take_credit(struct controller *controller, struct relay *relay,
                        const struct message *message)
{
    if (message->stream_credit.bytes <= relay->down_granted_bytes)
        return;
    relay->down_granted_bytes = message->stream_credit.bytes;
    relay_send_up(controller, relay, message);
}

static struct relay *find_live(const struct controller *controller, uint64_t client,
                               uint64_t number)
{
    struct relay *relay = relay_find(&controller->streams, client, number);

    return relay != NULL && relay->state != RELAY_OVER ? relay : NULL;
}

void streams_take_client(struct controller *controller, uint64_t client,
                         const struct message *message, bool is_asked)
{
    struct relay *relay;

    switch ((int)message->kind) {
    case MESSAGE_STREAM_OPEN:
        take_open(controller, client, message, is_asked);
        return;
    case MESSAGE_STREAM_FRAME:
        relay = find_live(controller, client, message->stream_frame.stream);
        if (relay != NULL)
            take_frame(controller, relay, message);
        return;
    case MESSAGE_STREAM_CREDIT:
        relay = find_live(controller, client, message->stream_credit.stream);
        if (relay != NULL)
            take_credit(controller, relay, message);
        return;
    case MESSAGE_STREAM_END:
        relay = find_live(controller, client, message->stream_end.stream);
        if (relay != NULL)
            relay_abandon(controller, relay);
        return;
    }
}

/* ---- all of a client's, or of a node's ---- */

typedef void (*relay_fn)(struct controller *controller, struct relay *relay);

static void for_client(struct controller *controller, uint64_t client, relay_fn act)
{
    struct relay *next;

    for (struct relay *relay = controller->streams.buckets[client % RELAY_BUCKETS]; relay != NULL;
         relay = next) {
        next = relay->next;
        if (relay->client == client)
            act(controller, relay);
    }
}

void streams_client_drained(struct controller *controller, uint64_t client)
{
    for_client(controller, client, relay_flush_down);
}

void streams_client_gone(struct controller *controller, uint64_t client)
{
    for_client(controller, client, relay_abandon);
}

typedef void (*relay_member_fn)(struct controller *controller, struct relay *relay,
                                const struct member *member);

static void for_member(struct controller *controller, const struct member *member,
                       enum relay_state state, relay_member_fn act)
{
    struct relay *next;

    for (size_t i = 0; i < RELAY_BUCKETS && controller->streams.leg_count != 0; i++)
        for (struct relay *relay = controller->streams.buckets[i]; relay != NULL; relay = next) {
            next = relay->next;
            if (relay->state == state && relay_has_leg(relay, member))
                act(controller, relay, member);
        }
}

static void on_up(struct controller *controller, struct relay *relay, const struct member *member)
{
    (void)member; /* one more of those that it waits for */
    relay_open(controller, relay);
}

void streams_member_up(struct controller *controller, struct member *member)
{
    for_member(controller, member, RELAY_WAITING, on_up);
}

static void on_lost_down(struct controller *controller, struct relay *relay,
                         const struct member *member)
{
    relay_lose(controller, relay, member->name, "its node went down");
}

/* What ran for an exec died with the agent; other streams are lost, and nothing else. */
static void on_restarted(struct controller *controller, struct relay *relay,
                         const struct member *member)
{
    struct fault fault;

    if (relay->kind != STREAM_EXEC) {
        relay_lose(controller, relay, member->name, "the agent of its node was restarted");
        return;
    }
    fault_set(&fault, STATUS_AGENT_LOST, 0, "the agent ended under it");
    relay_fail(controller, relay, &fault, member->name);
}

static void on_replaced(struct controller *controller, struct relay *relay,
                        const struct member *member)
{
    relay_lose(controller, relay, member->name, "its node had to connect anew");
}

void streams_member_lost(struct controller *controller, struct member *member,
                         enum stream_loss loss)
{
    static const relay_member_fn acts[] = {[STREAM_LOSS_DOWN] = on_lost_down,
                                           [STREAM_LOSS_RESTARTED] = on_restarted,
                                           [STREAM_LOSS_REPLACED] = on_replaced};

    for_member(controller, member, RELAY_OPEN, acts[loss]);
}

static void on_down(struct controller *controller, struct relay *relay, const struct member *member)
{
    struct fault fault;

    route_fault_down(member, &fault);
    relay_fail(controller, relay, &fault, member->name);
}

void streams_member_down(struct controller *controller, struct member *member)
{
    for_member(controller, member, RELAY_WAITING, on_down);
}

static const char *missing_node(const struct relay *relay)
{
    for (uint32_t i = 0; i < relay->leg_count; i++)
        if (!relay->legs[i]->member->channels[CHANNEL_BULK].is_up)
            return relay->legs[i]->member->name;
    return "";
}

static void give_up(struct controller *controller, struct relay *relay)
{
    const char *node = missing_node(relay);
    struct fault fault;

    fault_set(&fault, STATUS_UNREACHABLE, 0, "node %s has no connection for streams", node);
    fault_hint(&fault, "it comes to the port above the controller's own");
    relay_fail(controller, relay, &fault, node);
}

uint64_t streams_sweep(struct controller *controller)
{
    struct streams *streams = &controller->streams;
    uint64_t next_ns = UINT64_MAX;
    struct relay *next;

    for (size_t i = 0; i < RELAY_BUCKETS && streams->waiting_count != 0; i++)
        for (struct relay *relay = streams->buckets[i]; relay != NULL; relay = next) {
            next = relay->next;
            if (relay->state != RELAY_WAITING)
                continue;
            if (relay->deadline_ns <= controller->now_ns)
                give_up(controller, relay);
            else if (relay->deadline_ns < next_ns)
                next_ns = relay->deadline_ns;
        }
    return next_ns;
}

/* ---- what nodes say ---- */

static void take_down_frame(struct controller *controller, struct leg *leg, struct message *message)
{
    struct stream_frame *frame = &message->stream_frame;
    struct relay *relay = leg->relay;
    uint64_t bytes = relay->down_bytes + frame->data.size_bytes;

    if (relay->kind == STREAM_IMPORT)
        return; /* an importer has nothing to say but its end */
    if (frame->number != relay->down_number + 1 || bytes > relay->down_granted_bytes) {
        relay_lose(controller, relay, leg->member->name,
                   frame->number != relay->down_number + 1 ? "a frame is missing"
                                                           : "its node sent more than was granted");
        return;
    }
    relay->down_number++;
    relay->down_bytes = bytes;
    frame->stream = relay->number;
    relay_send_down(controller, relay, message);
}

/* The slowest of the nodes that still listen sets the pace. */
static void pass_credit(struct controller *controller, struct relay *relay)
{
    struct message message = {.kind = MESSAGE_STREAM_CREDIT};
    uint64_t granted_bytes = UINT64_MAX;

    for (uint32_t i = 0; i < relay->leg_count; i++)
        if (!relay->legs[i]->is_over && relay->legs[i]->granted_bytes < granted_bytes)
            granted_bytes = relay->legs[i]->granted_bytes;
    if (granted_bytes <= relay->up_granted_bytes || granted_bytes == UINT64_MAX)
        return;
    relay->up_granted_bytes = granted_bytes;
    message.stream_credit = (struct stream_credit){relay->number, granted_bytes};
    relay_send_down(controller, relay, &message);
}

static void take_down_end(struct controller *controller, struct leg *leg, struct stream_end *end)
{
    struct relay *relay = leg->relay;
    bool is_well = end->fault.status == STATUS_UNSET && end->exit_code == 0;

    relay_leg_over(&controller->streams, leg);
    if (end->fault.status != STATUS_UNSET)
        end->fault.node = leg->member->name;
    for (uint32_t i = 0; is_well && i < relay->leg_count; i++) {
        if (relay->legs[i]->is_over)
            continue;
        pass_credit(controller, relay); /* the others go on */
        return;
    }
    relay_end(controller, relay, end);
}

void streams_take_member(struct controller *controller, struct member *member,
                         struct message *message)
{
    const struct streams *streams = &controller->streams;
    struct leg *leg; /* NULL: its client is gone, and the node will hear or has heard it */

    switch ((int)message->kind) {
    case MESSAGE_STREAM_FRAME:
        leg = relay_leg_find(streams, member, message->stream_frame.stream);
        if (leg != NULL)
            take_down_frame(controller, leg, message);
        return;
    case MESSAGE_STREAM_CREDIT:
        leg = relay_leg_find(streams, member, message->stream_credit.stream);
        if (leg == NULL || message->stream_credit.bytes <= leg->granted_bytes)
            return;
        leg->granted_bytes = message->stream_credit.bytes;
        pass_credit(controller, leg->relay);
        return;
    case MESSAGE_STREAM_END:
        leg = relay_leg_find(streams, member, message->stream_end.stream);
        if (leg != NULL)
            take_down_end(controller, leg, &message->stream_end);
        return;
    }
}
