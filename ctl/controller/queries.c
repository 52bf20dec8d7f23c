/* SPDX-License-Identifier: Apache-2.0 */
#include "queries.h"

#include <stdio.h>
#include <string.h>

#include "answers.h"
#include "controller.h"
#include "route.h"

#define VERSION_TEXT "drover-controller " DROVER_VERSION

static void answer_fault(struct controller *controller, uint64_t client, const struct query *query,
                         const struct fault *fault)
{
    struct fault_view view = answers_view(fault, query->container, query->node);

    answers_fault(controller, client, query->request_id, &view);
}

static void refuse(struct controller *controller, uint64_t client, const struct query *query,
                   enum status status, const char *text)
{
    struct fault fault;

    fault_set(&fault, status, 0, "%s", text);
    answer_fault(controller, client, query, &fault);
}

/* False: a node is named that is not known, and the client was told. */
static bool check_node(struct controller *controller, uint64_t client, const struct query *query)
{
    struct fault fault;

    if (query->node[0] == '\0' || registry_find(&controller->registry, query->node) != NULL)
        return true;
    route_fault_node(query->node, &fault);
    answer_fault(controller, client, query, &fault);
    return false;
}

static void take_list(struct controller *controller, uint64_t client, const struct message *message)
{
    struct ask *ask;

    if (!check_node(controller, client, &message->query))
        return;
    ask = asks_add(controller, client, ASK_LIST, message);
    if (ask == NULL) {
        refuse(controller, client, &message->query, STATUS_BUSY, "too many ask for lists already");
        return;
    }
    (void)snprintf(ask->node, sizeof(ask->node), "%s", message->query.node);
    if (!asks_ask_all(controller, ask))
        asks_finish(controller, ask);
}

/* True: there is one to go on with; else the client has been told, or will be. */
static bool find_target(struct controller *controller, uint64_t client,
                        const struct message *message, bool is_asked, struct target *ret_target)
{
    const struct query *query = &message->query;
    struct fault fault;
    enum route route =
        route_find(&controller->registry, query->node, query->container, ret_target, &fault);

    if (route == ROUTE_FOUND)
        return true;
    if (route == ROUTE_FAILED || is_asked ||
        !queries_ask_all(controller, client, ret_target->container, message))
        answer_fault(controller, client, query, &fault);
    return false;
}

static void take_for_node(struct controller *controller, uint64_t client,
                          const struct message *message, bool is_asked)
{
    struct target target;
    struct fault fault;

    if (!find_target(controller, client, message, is_asked, &target))
        return;
    struct ask *ask = asks_add(controller, client, ASK_NODE, message);
    if (ask == NULL) {
        refuse(controller, client, &message->query, STATUS_BUSY, "too many queries are under way");
        return;
    }
    memcpy(ask->container, target.container, sizeof(ask->container));
    if (member_is_up(target.member)) {
        asks_ask(controller, ask, target.member);
        return;
    }
    if (message->query.kind == QUERY_SHOW && asks_copy(controller, ask, target.member, "is down"))
        return;
    asks_remove(&controller->asks, ask);
    route_fault_down(target.member, &fault);
    struct fault_view view = answers_view(&fault, target.container, target.member->name);
    answers_fault(controller, client, message->query.request_id, &view);
}

/* Of a container that is there by its id, of one that was by its name. */
static void take_history(struct controller *controller, uint64_t client,
                         const struct message *message, bool is_asked)
{
    const struct query *query = &message->query;
    struct reader filter = {0};
    struct target target = {0};
    struct fault fault;
    enum route route =
        route_find(&controller->registry, query->node, query->container, &target, &fault);
    const struct known *known =
        route == ROUTE_FOUND ? known_find(target.member, target.container) : NULL;

    if (route == ROUTE_FAILED) {
        answer_fault(controller, client, query, &fault);
        return;
    }
    if (known == NULL && !is_asked &&
        queries_ask_all(controller, client, target.container, message))
        return;
    filter.has_node = route == ROUTE_FOUND;
    filter.node = filter.has_node ? target.member->index : 0;
    if (known != NULL)
        memcpy(filter.uuid, known->view.uuid, UUID_BYTES);
    filter.has_uuid = known != NULL || uuid_parse(target.container, filter.uuid);
    if (!filter.has_uuid)
        memcpy(filter.name, target.container, sizeof(filter.name));
    events_read(controller, client, query, &filter);
}

static void take_events(struct controller *controller, uint64_t client, const struct query *query)
{
    struct reader filter = {0};
    const struct member *member = registry_find(&controller->registry, query->node);

    if (!check_node(controller, client, query))
        return;
    filter.has_node = member != NULL;
    filter.node = member == NULL ? 0 : member->index;
    events_read(controller, client, query, &filter);
}

static void take_version(struct controller *controller, uint64_t client, const struct query *query)
{
    struct message message = {.kind = MESSAGE_ANSWER};

    message.answer =
        (struct answer){.request_id = query->request_id, .is_last = true, .version = VERSION_TEXT};
    answers_send(controller, client, &message);
}

void queries_take(struct controller *controller, uint64_t client, const struct message *message,
                  bool is_asked)
{
    const struct query *query = &message->query;

    if (strlen(query->request_id) >= REQUEST_ID_BYTES) {
        refuse(controller, client, query, STATUS_INVALID,
               "a query's request id has at most 71 octets");
        return;
    }
    switch (query->kind) {
    case QUERY_LIST:
        take_list(controller, client, message);
        return;
    case QUERY_SHOW:
    case QUERY_BOOT:
        take_for_node(controller, client, message, is_asked);
        return;
    case QUERY_HISTORY:
        take_history(controller, client, message, is_asked);
        return;
    case QUERY_EVENTS:
        take_events(controller, client, query);
        return;
    case QUERY_NODES:
        if (check_node(controller, client, query))
            queries_tell_nodes(controller, client, query);
        return;
    case QUERY_VERSION:
        take_version(controller, client, query);
        return;
    case QUERY_UNSET:
    case QUERY_COUNT:
        break;
    }
    refuse(controller, client, query, STATUS_UNSUPPORTED,
           "this controller does not know that query");
}

bool queries_ask_all(struct controller *controller, uint64_t client, const char *container,
                     const struct message *message)
{
    struct ask *ask = asks_add(controller, client, ASK_PLACE, message);

    if (ask == NULL)
        return false;
    (void)snprintf(ask->container, sizeof(ask->container), "%s", container);
    if (asks_ask_all(controller, ask))
        return true;
    asks_remove(&controller->asks, ask);
    return false;
}
