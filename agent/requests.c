/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "boot.h"
#include "clock.h"
#include "ensure.h"
#include "recall.h"
#include "strays.h"

void requests_send(struct agent *agent, uint64_t origin, const struct message *message)
{
    if (origin == ORIGIN_UPSTREAM) {
        upstream_send(&agent->upstream, message);
        return;
    }
    struct local_client *client = local_find(&agent->local, origin);
    if (client != NULL && local_send(client, message) == -ENOBUFS)
        local_hang_up(client); /* it asks and does not read */
}

/* ---- receipts ---- */

static void send_receipt(struct agent *agent, uint64_t origin, const struct ct_receipt *receipt)
{
    struct message message = {.kind = MESSAGE_RECEIPT};
    const char *name = "";

    message.receipt = (struct receipt){.request_id = receipt->request,
                                       .phase = receipt->phase,
                                       .applied = receipt->applied,
                                       .at_next_start = receipt->at_next_start};
    /* One that failed may have been stored all the same: it was its restart that failed. */
    if (receipt->has_ct && receipt->verb == VERB_SET && receipt->phase != PHASE_ACCEPTED &&
        !agent->slots[receipt->ct].is_config_bad)
        message.receipt.config = &agent->slots[receipt->ct].view;
    if (receipt->has_ct) {
        message.receipt.has_container = true;
        view_container(agent, receipt->ct, &message.receipt.container);
        name = message.receipt.container.name;
    }
    if (receipt->fault.status != STATUS_UNSET)
        view_fault(agent, &receipt->fault, name, &message.receipt.fault);
    requests_send(agent, origin, &message);
}

void requests_answer_receipt(struct agent *agent, const struct ct_receipt *receipt)
{
    uint64_t listeners[RESULT_LISTENERS_MAX];
    uint32_t count = results_settle(&agent->results, receipt, listeners);

    for (uint32_t i = 0; i < count; i++)
        send_receipt(agent, listeners[i], receipt);
}

/* What is meant for another node must not be done here. */
static bool is_ours(const struct agent *agent, const char *node, struct fault *fault)
{
    if (node[0] == '\0' || strcmp(node, agent->options->node) == 0)
        return true;
    fault_set(fault, STATUS_NOT_FOUND, 0, "this is node %s, not %s", agent->options->node, node);
    fault_hint(fault, "ask that node's own agent, or a controller");
    return false;
}

/* ---- commands ---- */

static void refuse(struct agent *agent, uint64_t origin, const char *request, enum status status,
                   const char *text)
{
    struct ct_receipt receipt = {.phase = PHASE_FAILED};

    (void)strncpy(receipt.request, request, REQUEST_ID_BYTES - 1);
    fault_set(&receipt.fault, status, 0, "%s", text);
    send_receipt(agent, origin, &receipt);
}

/* -errno of the codec: without a hash a command cannot be told from another. */
static int hash_command(const struct command *command, uint64_t *ret_hash)
{
    struct buffer buffer = {0};
    struct message message = {.kind = MESSAGE_COMMAND, .command = *command};
    uint64_t hash = 0;
    unsigned char digest[crypto_generichash_BYTES];

    message.command.time_left_ns = 0; /* the same command, asked again later */
    message.command.node = "";
    int result = codec_encode(&message, &buffer);
    if (result == 0) {
        (void)crypto_generichash(digest, sizeof(digest), buffer.data, buffer.size_bytes, NULL, 0);
        memcpy(&hash, digest, sizeof(hash));
        *ret_hash = hash & INT64_MAX; /* SQLite's integers are signed */
    }
    buffer_close(&buffer);
    return result;
}

static void say_again(struct agent *agent, uint64_t origin, const struct result *result)
{
    struct ct_receipt again = result->receipt;
    const struct ct *ct = again.has_ct ? node_get(agent->node, again.ct) : NULL;

    /* Its slot may be another container's by now. */
    again.has_ct = ct != NULL && ct->is_used && memcmp(ct->uuid, result->uuid, UUID_BYTES) == 0;
    send_receipt(agent, origin, &again);
}

/* True: it was answered from what is known of its request id. */
static bool answer_again(struct agent *agent, uint64_t origin, const struct command *command,
                         uint64_t *ret_hash)
{
    struct result *result = NULL;

    if (hash_command(command, ret_hash) < 0) {
        refuse(agent, origin, command->request_id, STATUS_BUSY,
               "no memory to compare it with what was asked before");
        return true;
    }
    switch (results_ask(&agent->results, command->request_id, *ret_hash, origin, &result)) {
    case ASKED_NEW:
        return false;
    case ASKED_AGAIN:
        say_again(agent, origin, result);
        return true;
    case ASKED_WAITING:
        if (result->receipt.has_ct) /* its intent is committed, and `accepted` was said of it */
            send_receipt(agent, origin, &result->receipt);
        return true;
    case ASKED_REUSED:
        refuse(agent, origin, command->request_id, STATUS_REQUEST_ID_REUSED,
               "this request id belongs to another command");
        return true;
    case ASKED_CROWDED:
        refuse(agent, origin, command->request_id, STATUS_BUSY,
               "too many ask for the result of this request");
        return true;
    }
    return false;
}

/* All of them are told in one piece of every list. */
static bool is_label_list(const struct config *config)
{
    size_t size_bytes = 0;

    for (size_t i = 0; i < config->label_count; i++)
        size_bytes += strlen(config->labels[i].key) + strlen(config->labels[i].value);
    return size_bytes <= LABELS_BYTES_MAX;
}

/* What a peer may have wrong that is no option's value alone. */
static int check_config(const struct config *config, const char *name, struct fault *fault)
{
    const char *words = NULL;

    if (!config_has_ready(config))
        words = "that cannot be waited for to be ready";
    else if (!config_has_hooks(config))
        words = "its hooks are no hooks";
    else if (!is_label_list(config))
        words = "its labels have more than 64 KiB";
    if (words == NULL)
        return 0;
    fault_set(fault, STATUS_INVALID, 0, "%s: %s", name, words);
    return -EINVAL;
}

static int take_config(struct agent *agent, const struct command *command,
                       struct ct_command *ret_command, struct fault *fault)
{
    const struct config *config = command->config;

    if (config == NULL || !name_check(command->container)) {
        fault_set(fault, STATUS_INVALID, 0, "%s: not a name for a container", command->container);
        fault_hint(fault, "lower case letters, digits and -, at most 63");
        return -EINVAL;
    }
    if (check_config(config, command->container, fault) < 0)
        return -EINVAL;
    ret_command->policy = config_policy(config);
    ret_command->is_started = command->is_started;
    if (command->is_started && ret_command->policy.is_start_disabled) {
        fault_set(fault, STATUS_INVALID, 0, "%s: to be started, and its start is disabled",
                  command->container);
        return -EINVAL;
    }
    randombytes_buf(ret_command->uuid, UUID_BYTES);
    ret_command->uuid[6] =
        (uint8_t)((ret_command->uuid[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
    ret_command->uuid[8] = (uint8_t)((ret_command->uuid[8] & 0x3f) | 0x80);
    return configs_expect(&agent->configs, ret_command->request, config, fault);
}

static int check_set(struct agent *agent, const struct config *config, const char *name,
                     const struct ct_set *set, struct fault *fault)
{
    struct cgroup_limits limits;

    int result = check_config(config, name, fault);
    if (result == 0)
        result = rootfs_check_words(config, fault);
    if (result < 0)
        return result;
    limits_of_config(config, &limits);
    return set->limit_keys != 0 ? cgroup_check(&agent->cgroups, &limits, fault) : 0;
}

/* What it becomes is worked out from what it is now; should that change before the command's turn,
 * the model sees it by the revision. */
static int take_set(struct agent *agent, const struct command *command,
                    struct ct_command *ret_command, struct fault *fault)
{
    const struct ct *ct = node_find(agent->node, command->container);
    struct ct_set *set = &ret_command->set;
    struct arena arena = {0};
    struct config config;

    if (ct == NULL || !ct->is_announced)
        return 0; /* it is not found, or busy: the model's answer */
    const struct slot *slot = &agent->slots[ct->index];
    if (slot->is_config_bad) { /* with what is not known of it, it would be overwritten */
        fault_set(fault, STATUS_INVALID, 0, "the configuration of %s cannot be read", ct->name);
        return -EINVAL;
    }
    set->when = command->set_when;
    set->asked_base = command->base_revision;
    set->base = slot->revision;
    int result = setting_apply(&slot->view, command, &arena, &config, set, fault);
    if (result == 0)
        result = check_set(agent, &config, ct->name, set, fault);
    if (result == 0) {
        ret_command->policy = config_policy(&config);
        result = configs_expect(&agent->configs, ret_command->request, &config, fault);
    }
    arena_close(&arena);
    return result;
}

/* Known by its id for this life of the agent alone: nothing is written. */
static void refuse_full(struct agent *agent, const struct ct_command *command)
{
    struct ct_receipt receipt = {
        .origin = command->origin, .verb = command->verb, .phase = PHASE_FAILED};

    memcpy(receipt.request, command->request, REQUEST_ID_BYTES);
    store_full_fault(agent->store, &receipt.fault);
    free((void *)(uintptr_t)configs_take(&agent->configs, command->request).data);
    requests_answer_receipt(agent, &receipt);
}

static int take_values(struct agent *agent, const struct command *command,
                       struct ct_command *ret_command, struct fault *fault)
{
    if (command->verb == VERB_CREATE)
        return take_config(agent, command, ret_command, fault);
    return command->verb == VERB_SET ? take_set(agent, command, ret_command, fault) : 0;
}

/* Known from now on: sent again before its turn, it must not come to a turn of its own. */
static void submit(struct agent *agent, const struct input *input)
{
    const struct ct_command *to = &input->command;
    bool makes_room = to->verb == VERB_KILL || to->verb == VERB_DESTROY;
    struct result *result = results_add(&agent->results, to->request, to->hash);

    if (result == NULL) {
        free((void *)(uintptr_t)configs_take(&agent->configs, to->request).data);
        refuse(agent, to->origin, to->request, STATUS_BUSY, "too many commands are in progress");
        return;
    }
    result->receipt.origin = to->origin;
    (void)result_listen(result, to->origin);
    if (store_is_full(agent->store) && !makes_room) {
        refuse_full(agent, to);
        return;
    }
    struct stray *stray = strays_find(agent, to->container);
    if (stray != NULL) {
        free((void *)(uintptr_t)configs_take(&agent->configs, to->request).data);
        strays_command(agent, stray, to);
        return;
    }
    inbox_post(&agent->inbox, input);
    agent_wake(agent);
}

static void take_command(struct agent *agent, uint64_t origin, const struct command *command,
                         bool is_recalled)
{
    struct input input = {.kind = INPUT_COMMAND};
    struct ct_command *to = &input.command;
    struct fault fault = {0};
    size_t name_length = strlen(command->container);

    if (command->request_id[0] == '\0' || strlen(command->request_id) >= REQUEST_ID_BYTES) {
        refuse(agent, origin, "", STATUS_INVALID, "a command needs a request id of 1 to 71 octets");
        return;
    }
    if (!is_ours(agent, command->node, &fault)) {
        struct ct_receipt receipt = {.phase = PHASE_FAILED, .fault = fault};

        (void)strncpy(receipt.request, command->request_id, REQUEST_ID_BYTES - 1);
        send_receipt(agent, origin, &receipt);
        return;
    }
    uint64_t hash;
    if (answer_again(agent, origin, command, &hash))
        return;
    if (command->verb == VERB_UNSET || name_length == 0 || name_length >= NAME_BYTES) {
        refuse(agent, origin, command->request_id,
               command->verb == VERB_UNSET ? STATUS_UNSUPPORTED : STATUS_INVALID,
               command->verb == VERB_UNSET ? "this agent does not know that verb"
                                           : "not a container's name or id");
        return;
    }
    if (agent->results.is_partial && !is_recalled) {
        if (!recall_begin(agent, origin, command))
            refuse(agent, origin, command->request_id, STATUS_BUSY,
                   "too many commands wait for node.db to be read");
        return;
    }
    (void)strncpy(to->request, command->request_id, REQUEST_ID_BYTES - 1);
    memcpy(to->container, command->container, name_length + 1);
    to->origin = origin;
    to->hash = hash;
    to->verb = command->verb;
    to->wait = command->wait == WAIT_FOR_UNSET ? WAIT_FOR_READY : command->wait;
    to->grace_ns = command->grace_ns;
    to->is_forced = command->is_forced;
    to->is_for_shutdown = command->is_for_shutdown;
    if (take_values(agent, command, to, &fault) < 0) {
        struct ct_receipt receipt = {.phase = PHASE_FAILED, .fault = fault};

        memcpy(receipt.request, to->request, REQUEST_ID_BYTES);
        send_receipt(agent, origin, &receipt);
        return;
    }
    submit(agent, &input);
}

void requests_take_command(struct agent *agent, uint64_t origin, const struct command *command)
{
    take_command(agent, origin, command, false);
}

void requests_take_recalled(struct agent *agent, uint64_t origin, const struct command *command)
{
    take_command(agent, origin, command, true);
}

/* ---- queries ---- */

static void answer_fault(struct agent *agent, uint64_t origin, const struct query *query,
                         const struct fault *fault)
{
    struct message message = {.kind = MESSAGE_ANSWER};

    message.answer = (struct answer){.request_id = query->request_id, .is_last = true};
    view_fault(agent, fault, query->container, &message.answer.fault);
    requests_send(agent, origin, &message);
}

static void answer_show(struct agent *agent, uint64_t origin, const struct query *query)
{
    struct container_view view;
    struct message message = {.kind = MESSAGE_ANSWER};
    struct fault fault = {0};
    const struct ct *ct = agent_find(agent, query->container, &fault);

    if (ct == NULL) {
        answer_fault(agent, origin, query, &fault);
        return;
    }
    view_container(agent, ct->index, &view);
    message.answer = (struct answer){.request_id = query->request_id,
                                     .is_last = true,
                                     .containers = &view,
                                     .container_count = 1,
                                     .config = &agent->slots[ct->index].view};
    requests_send(agent, origin, &message);
}

static void answer_boot(struct agent *agent, uint64_t origin, const struct query *query)
{
    struct boot_step steps[BOOT_STEPS_MAX];
    struct message message = {.kind = MESSAGE_ANSWER};
    struct fault fault = {0};
    const struct ct *ct = agent_find(agent, query->container, &fault);

    if (ct == NULL) {
        answer_fault(agent, origin, query, &fault);
        return;
    }
    message.answer =
        (struct answer){.request_id = query->request_id,
                        .is_last = true,
                        .steps = steps,
                        .step_count = boot_steps(&agent->slots[ct->index].times, steps)};
    requests_send(agent, origin, &message);
}

static void answer_node(struct agent *agent, uint64_t origin, const struct query *query)
{
    struct message message = {.kind = MESSAGE_ANSWER};
    struct node_view view = {.name = agent->options->node,
                             .state = "up",
                             .agent_version = DROVER_VERSION,
                             .session = upstream_session_text(&agent->upstream),
                             .seen_wall_ns = clock_wall_ns()};

    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        const struct ct *ct = node_get(agent->node, i);

        view.containers += ct->is_announced;
        view.running += ct->has_init;
    }
    message.answer = (struct answer){
        .request_id = query->request_id, .is_last = true, .nodes = &view, .node_count = 1};
    requests_send(agent, origin, &message);
}

static void answer_version(struct agent *agent, uint64_t origin, const struct query *query)
{
    struct message message = {.kind = MESSAGE_ANSWER};

    message.answer = (struct answer){.request_id = query->request_id,
                                     .is_last = true,
                                     .version = "drover-agent " DROVER_VERSION};
    requests_send(agent, origin, &message);
}

/* Events of the ledger go out as answers to the query that asked for them. */
static bool send_events(struct follower *follower, const struct event *events, size_t count,
                        bool is_last)
{
    struct event_view views[PUBLISHER_CHUNK];
    struct message message = {.kind = MESSAGE_ANSWER};
    struct agent *agent = follower->agent;

    for (size_t i = 0; i < count; i++)
        views[i] = (struct event_view){events[i], agent->options->node, ""};
    message.answer = (struct answer){
        .request_id = follower->request, .is_last = is_last, .events = views, .event_count = count};
    if (follower->origin == ORIGIN_UPSTREAM)
        return upstream_has_room(&agent->upstream) && upstream_send(&agent->upstream, &message);
    struct local_client *client = local_find(&agent->local, follower->origin);
    return client != NULL && local_send(client, &message) == 0;
}

static void fail_events(struct follower *follower, int error)
{
    struct query query = {.request_id = follower->request, .container = follower->name};
    struct fault fault = {0};

    if (error == -ENOENT)
        fault_set(&fault, STATUS_NOT_FOUND, 0, "no container %s", follower->name);
    else
        fault_set(&fault, STATUS_FAILED, -error, "the ledger cannot be read");
    answer_fault(follower->agent, follower->origin, &query, &fault);
}

/* One that is there, by its uuid; else all that had this name or uuid, as long as events tell. */
static bool seek_history(struct agent *agent, const char *container, struct follower *follower)
{
    const struct ct *ct = node_find(agent->node, container);

    if (ct != NULL && ct->is_announced) {
        follower->has_uuid = true;
        memcpy(follower->uuid, ct->uuid, UUID_BYTES);
        return true;
    }
    follower->is_sought = true;
    follower->has_uuid = uuid_parse(container, follower->uuid);
    if (follower->has_uuid)
        return true;
    (void)strncpy(follower->name, container, NAME_BYTES - 1);
    return name_check(container);
}

static bool seek_events(struct agent *agent, const struct query *query, struct follower *follower,
                        struct fault *fault)
{
    follower->is_bounded = !query->is_follow || query->kind == QUERY_HISTORY;
    follower->until_seq = agent->publisher.published;
    if (query->kind == QUERY_HISTORY) {
        if (seek_history(agent, query->container, follower))
            return true;
        fault_set(fault, STATUS_NOT_FOUND, 0, "no container %s", query->container);
        return false;
    }
    if (query->since == SINCE_SEQ)
        follower->seq = query->since_number;
    else if (query->since == SINCE_TIME)
        follower->after_wall_ns = query->since_number;
    else if (query->since == SINCE_NOW)
        follower->seq = agent->publisher.published;
    if (query->since != SINCE_CURSOR)
        return true;
    fault_set(fault, STATUS_INVALID, 0, "an agent's events have no cursor; give a seq");
    return false;
}

static void answer_events(struct agent *agent, uint64_t origin, const struct query *query)
{
    struct follower follower = {.send = send_events, .fail = fail_events, .origin = origin};
    struct fault fault = {0};

    (void)strncpy(follower.request, query->request_id, REQUEST_ID_BYTES - 1);
    if (!publisher_has_room(&agent->publisher)) {
        fault_set(&fault, STATUS_BUSY, 0, "this agent has %u readers of its events already",
                  (uint64_t)PUBLISHER_FOLLOWERS_MAX);
        fault_hint(&fault, "follow at a controller, or end some");
        answer_fault(agent, origin, query, &fault);
    } else if (seek_events(agent, query, &follower, &fault)) {
        (void)publisher_add(&agent->publisher, &follower);
    } else {
        answer_fault(agent, origin, query, &fault);
    }
}

void requests_take_query(struct agent *agent, uint64_t origin, const struct query *query)
{
    struct fault fault = {0};

    if (!is_ours(agent, query->node, &fault)) {
        answer_fault(agent, origin, query, &fault);
        return;
    }
    switch (query->kind) {
    case QUERY_LIST:
        listings_add(&agent->listings, origin, query);
        return;
    case QUERY_SHOW:
        answer_show(agent, origin, query);
        return;
    case QUERY_EVENTS:
    case QUERY_HISTORY:
        answer_events(agent, origin, query);
        return;
    case QUERY_NODES:
        answer_node(agent, origin, query);
        return;
    case QUERY_BOOT:
        answer_boot(agent, origin, query);
        return;
    case QUERY_VERSION:
        answer_version(agent, origin, query);
        return;
    case QUERY_UNSET:
    case QUERY_COUNT:
        break;
    }
    fault_set(&fault, STATUS_UNSUPPORTED, 0, "this agent does not know that query");
    answer_fault(agent, origin, query, &fault);
}
