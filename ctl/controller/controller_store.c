/* SPDX-License-Identifier: Apache-2.0 */
/* The controller and its store: what is loaded at start, what a turn posts, and what follows from
 * each change once it is durable. */
#include <errno.h>
#include <string.h>

#include "clock.h"
#include "controller.h"
#include "ctl_store_sqlite.h"

/* ---- at start ---- */

static int load_node(const struct ctl_node *node, void *context)
{
    struct controller *controller = context;
    struct member *member;

    if (node->id != controller->registry.member_count)
        return -EUCLEAN; /* ids are given without a hole */
    int result = registry_add(&controller->registry, node->name, &member);
    if (result < 0)
        return result;
    memcpy(member->build, node->build, sizeof(member->build));
    member->seen_wall_ns = node->seen_wall_ns;
    member->lost_ns = controller->now_ns + NODES_BACK_NS;
    return 0;
}

static int load_head(const struct ctl_head *head, void *context)
{
    struct controller *controller = context;

    if (head->node >= controller->registry.member_count)
        return -EUCLEAN;
    ingest_load(&controller->registry.members[head->node]->ingest, head);
    return 0;
}

static int load_container(const struct ctl_container *container, void *context)
{
    struct controller *controller = context;

    return registry_load_container(&controller->registry, container);
}

static int load_command(const struct ctl_command *command, void *context)
{
    return requests_load(context, command);
}

static int load_last(uint64_t cursor, void *context)
{
    struct controller *controller = context;

    controller->events.last = cursor;
    return 0;
}

static void on_committed(struct ctl_store *store, struct ctl_batch *batch_consumed)
{
    struct controller *controller = store->context;

    batch_consumed->next = NULL;
    if (controller->committed == NULL)
        controller->committed = batch_consumed;
    else
        controller->committed_last->next = batch_consumed;
    controller->committed_last = batch_consumed;
}

static void on_answered(struct ctl_store *store, struct ctl_read *read_consumed)
{
    struct controller *controller = store->context;

    read_consumed->next = controller->answered;
    controller->answered = read_consumed;
}

static void on_failed(struct ctl_store *store, const struct fault *fault)
{
    struct controller *controller = store->context;

    controller->fault = *fault;
    controller->is_ending = true; /* what was promised durable is not: no more is promised */
}

int controller_open_store(struct controller *controller, const struct options *options,
                          struct fault *fault)
{
    static const struct ctl_found found = {.node = load_node,
                                           .head = load_head,
                                           .container = load_container,
                                           .command = load_command,
                                           .last = load_last};
    const struct ctl_store_options store_options = {.path = options->store,
                                                    .events_max = options->events_max,
                                                    .now_wall_ns = clock_wall_ns(),
                                                    .loop = &controller->loop,
                                                    .on_committed = on_committed,
                                                    .on_answered = on_answered,
                                                    .on_failed = on_failed,
                                                    .context = controller};
    int result = ctl_store_sqlite_open(&store_options, &controller->store, fault);

    if (result < 0)
        return result;
    controller->registry.is_loading = true;
    result = controller->store->ops->load(controller->store, &found, controller, fault);
    controller->registry.is_loading = false;
    return result;
}

/* ---- the turn ---- */

struct ctl_batch *controller_batch(struct controller *controller)
{
    if (controller->batch == NULL)
        controller->batch = ctl_batch_new();
    return controller->batch;
}

bool controller_is_behind(const struct controller *controller)
{
    uint64_t count = controller->batch == NULL ? 0 : controller->batch->count;

    return controller->posted_changes + count > CONTROLLER_BEHIND_EVENTS;
}

static void take_change(struct controller *controller, const struct ctl_change *change)
{
    switch (change->kind) {
    case CTL_ADD_EVENT:
        if (change->add.cursor != 0) /* else it was there */
            events_publish(&controller->events, change->add.node, &change->add.event,
                           change->add.cursor);
        return;
    case CTL_PUT_HEAD:
    case CTL_ACKNOWLEDGE:
        sessions_take_committed(controller, change);
        return;
    case CTL_ADD_COMMAND:
        requests_claimed(controller, change);
        return;
    case CTL_PUT_RECEIPT:
        requests_recorded(controller, change);
        return;
    case CTL_PUT_NODE:
    case CTL_PUT_CONTAINER:
    case CTL_DROP_CONTAINER:
        return; /* nobody waits for it */
    }
}

static void take_read(struct controller *controller, struct ctl_read *read)
{
    switch (read->kind) {
    case CTL_READ_EVENTS:
        events_take_read(controller, read);
        return;
    case CTL_READ_COMMAND:
        requests_take_read(controller, read);
        return;
    case CTL_READ_CONFIG:
        asks_take_read(controller, read);
        return;
    }
}

void controller_take_store(struct controller *controller)
{
    struct ctl_batch *batch;
    struct ctl_read *read;

    while ((batch = controller->committed) != NULL) {
        controller->committed = batch->next;
        controller->posted_changes -= batch->count;
        for (size_t i = 0; i < batch->count; i++)
            take_change(controller, &batch->changes[i]);
        ctl_batch_free(batch);
    }
    while ((read = controller->answered) != NULL) {
        controller->answered = read->next;
        take_read(controller, read);
    }
}

void controller_post_store(struct controller *controller)
{
    if (registry_has_changes(&controller->registry))
        registry_store(&controller->registry, controller_batch(controller));
    if (controller->batch == NULL)
        return;
    controller->batch->now_wall_ns = clock_wall_ns();
    controller->posted_changes += controller->batch->count;
    controller->store->ops->post(controller->store, controller->batch);
    controller->batch = NULL;
}

/* What is posted is committed yet; nobody hears of it. */
void controller_close_store(struct controller *controller)
{
    if (controller->store == NULL)
        return;
    controller_post_store(controller);
    controller->store->ops->close(controller->store);
    controller->store = NULL;
    while (controller->committed != NULL) {
        struct ctl_batch *batch = controller->committed;

        controller->committed = batch->next;
        ctl_batch_free(batch);
    }
    while (controller->answered != NULL) {
        struct ctl_read *read = controller->answered;

        controller->answered = read->next;
        ctl_read_free(read);
    }
}
