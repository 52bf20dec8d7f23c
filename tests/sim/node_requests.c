/* SPDX-License-Identifier: Apache-2.0 */
/* Commands and their receipts: what requests.c does with clients and upstream. */
#include "node_life.h"

#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "ensure.h"
#include "operators.h"

static uint64_t hash_command(const struct command *command)
{
    struct buffer buffer = {0};
    struct message message = {.kind = MESSAGE_COMMAND, .command = *command};
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    message.command.time_left_ns = 0; /* the same command, asked again later */
    message.command.node = "";
    int result = codec_encode(&message, &buffer);
    ENSURE(result == 0);
    for (size_t i = 0; i < buffer.size_bytes; i++)
        hash = (hash ^ buffer.data[i]) * UINT64_C(0x100000001b3);
    buffer_close(&buffer);
    return hash & INT64_MAX; /* SQLite's integers are signed */
}

static void send(struct sim *sim, uint64_t origin, const struct ct_receipt *receipt)
{
    if (origin == ORIGIN_UPSTREAM)
        up_receipt(sim, receipt);
    else
        operators_hear(sim, receipt->request, receipt->phase, receipt->fault.status);
}

static void refuse(struct sim *sim, uint64_t origin, const char *request, enum status status)
{
    struct ct_receipt receipt = {.phase = PHASE_FAILED};

    (void)strncpy(receipt.request, request, REQUEST_ID_BYTES - 1);
    fault_set(&receipt.fault, status, 0, "refused");
    send(sim, origin, &receipt);
}

void requests_answer(struct sim *sim, const struct ct_receipt *receipt)
{
    uint64_t listeners[RESULT_LISTENERS_MAX];

    if (!sim->agent->is_alive)
        return; /* it died between two words of one commit */
    uint32_t count = results_settle(&sim->agent->results, receipt, listeners);
    checks_receipt(sim, receipt);
    for (uint32_t i = 0; i < count; i++)
        send(sim, listeners[i], receipt);
}

uint64_t requests_limit(const struct octets *config)
{
    struct arena arena = {0};
    struct config view;
    int result = codec_decode_config(config->data, config->size_bytes, &arena, &view);

    ENSURE(result == 0);
    arena_close(&arena);
    return view.memory_max_bytes;
}

void requests_configure(struct sim *sim, uint32_t index)
{
    const struct ct *ct = node_get(sim->agent->node, index);
    struct sim_slot *slot = &sim->agent->slots[index];

    if (!ct->is_used || ct->revision == slot->revision || slot->next.data == NULL)
        return;
    free((void *)(uintptr_t)slot->config.data);
    slot->config = slot->next;
    slot->next = (struct octets){0};
    slot->is_config_new = true;
    slot->revision = ct->revision;
}

void requests_settle_config(struct sim *sim, const struct ct_receipt *receipt)
{
    struct octets config = configs_take(&sim->agent->configs, receipt->request);
    struct sim_slot *slot;
    struct arena arena = {0};
    struct config view;

    if (config.data == NULL)
        return;
    if (receipt->phase != PHASE_ACCEPTED) {
        free((void *)(uintptr_t)config.data);
        return;
    }
    ENSURE(receipt->ct < AGENT_SLOTS_MAX);
    slot = &sim->agent->slots[receipt->ct];
    if (receipt->verb == VERB_SET) {
        free((void *)(uintptr_t)slot->next.data);
        slot->next = config;
        return;
    }
    *slot = (struct sim_slot){.config = config, .is_config_new = true, .revision = 1};
    int result = codec_decode_config(config.data, config.size_bytes, &arena, &view);
    ENSURE(result == 0);
    slot->policy = config_policy(&view);
    arena_close(&arena);
}

static bool answer_again(struct sim *sim, uint64_t origin, const struct command *command,
                         uint64_t hash)
{
    struct result *result = NULL;

    switch (results_ask(&sim->agent->results, command->request_id, hash, origin, &result)) {
    case ASKED_NEW:
        return false;
    case ASKED_AGAIN:
        send(sim, origin, &result->receipt);
        return true;
    case ASKED_WAITING:
        if (result->receipt.has_ct)
            send(sim, origin, &result->receipt);
        return true;
    case ASKED_REUSED:
        refuse(sim, origin, command->request_id, STATUS_REQUEST_ID_REUSED);
        return true;
    case ASKED_CROWDED:
        refuse(sim, origin, command->request_id, STATUS_BUSY);
        return true;
    }
    return false;
}

static bool take_config(struct sim *sim, const struct command *command, struct ct_command *to)
{
    struct fault fault = {0};

    to->policy = config_policy(command->config);
    to->is_started = command->is_started;
    for (size_t i = 0; i < UUID_BYTES; i += 8) {
        uint64_t half = prng_next(&sim->prng);

        memcpy(to->uuid + i, &half, sizeof(half));
    }
    return configs_expect(&sim->agent->configs, to->request, command->config, &fault) == 0;
}

/* As take_set() of requests.c. */
static bool take_set(struct sim *sim, const struct command *command, struct ct_command *to)
{
    const struct ct *ct = node_find(sim->agent->node, command->container);
    struct arena arena = {0};
    struct config base;
    struct config config;
    struct fault fault = {0};

    if (ct == NULL || !ct->is_announced)
        return true;
    const struct sim_slot *slot = &sim->agent->slots[ct->index];
    int result = codec_decode_config(slot->config.data, slot->config.size_bytes, &arena, &base);
    ENSURE(result == 0);
    to->set.when = command->set_when;
    to->set.asked_base = command->base_revision;
    to->set.base = slot->revision;
    result = setting_apply(&base, command, &arena, &config, &to->set, &fault);
    if (result == 0) {
        to->policy = config_policy(&config);
        result = configs_expect(&sim->agent->configs, to->request, &config, &fault);
    }
    arena_close(&arena);
    return result == 0;
}

void requests_take(struct sim *sim, uint64_t origin, const struct command *command)
{
    struct input input = {.kind = INPUT_COMMAND};
    struct ct_command *to = &input.command;
    uint64_t hash = hash_command(command);

    if (answer_again(sim, origin, command, hash))
        return;
    int stray = kernel_find_stray(sim->kernel, command->container);
    if (stray >= 0 && node_find(sim->agent->node, command->container) == NULL) {
        if (command->verb == VERB_KILL)
            kernel_kill_leaf(sim, stray); /* as strays.c does, once its intent is durable */
        refuse(sim, origin, command->request_id, STATUS_WRONG_STATE);
        return;
    }
    (void)strncpy(to->request, command->request_id, REQUEST_ID_BYTES - 1);
    (void)strncpy(to->container, command->container, NAME_BYTES - 1);
    to->origin = origin;
    to->hash = hash;
    to->verb = command->verb;
    to->wait = command->wait == WAIT_FOR_UNSET ? WAIT_FOR_READY : command->wait;
    to->grace_ns = command->grace_ns;
    to->is_forced = command->is_forced;
    to->is_for_shutdown = command->is_for_shutdown;
    if ((command->verb == VERB_CREATE && !take_config(sim, command, to)) ||
        (command->verb == VERB_SET && !take_set(sim, command, to))) {
        refuse(sim, origin, command->request_id, STATUS_INVALID);
        return;
    }
    struct result *result = results_add(&sim->agent->results, to->request, hash);
    if (result == NULL) {
        free((void *)(uintptr_t)configs_take(&sim->agent->configs, to->request).data);
        refuse(sim, origin, to->request, STATUS_BUSY);
        return;
    }
    result->receipt.origin = origin;
    (void)result_listen(result, origin);
    checks_command_taken(sim, to);
    inbox_post(&sim->agent->inbox, &input);
    agent_wake(sim);
}
