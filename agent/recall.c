/* SPDX-License-Identifier: Apache-2.0 */
#include "recall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "cleanup.h"
#include "ensure.h"

struct recall {
    struct work work;
    struct agent *agent;
    uint64_t origin;
    struct arena arena; /* what the command is made of */
    struct command command;
    struct store_result stored;
    int result;
};

static bool run(struct work *work)
{
    struct recall *recall = container_of(work, struct recall, work);

    recall->result =
        store_find_result(recall->agent->store, recall->command.request_id, &recall->stored);
    return true;
}

/* As after a start: its container is named by its slot, if it is still there. */
static void remember(struct agent *agent, const struct store_result *stored)
{
    struct result *result = results_add(&agent->results, stored->request, stored->command_hash);

    if (result == NULL)
        return; /* all are in progress: the command is refused like any other */
    result_fill(result, stored);
    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        if (memcmp(node_get(agent->node, i)->uuid, stored->uuid, UUID_BYTES) != 0)
            continue;
        result->receipt.has_ct = true;
        result->receipt.ct = i;
    }
}

static void on_done(struct work *work)
{
    struct recall *recall = container_of(work, struct recall, work);
    struct agent *agent = recall->agent;
    struct fault fault = {0};

    agent->recall_count--;
    if (agent->is_ending) { /* nobody is answered any more, and the reading was cut short */
        arena_close(&recall->arena);
        free(recall);
        return;
    }
    if (recall->result < 0 && recall->result != -ENOENT) {
        fault_set(&fault, STATUS_FAILED, -recall->result, "node.db cannot be read");
        agent_die(&fault); /* what was done already cannot be told from what was not */
    }
    /* Another copy of it may have been looked up before. */
    if (recall->result == 0 && results_find(&agent->results, recall->command.request_id) == NULL)
        remember(agent, &recall->stored);
    requests_take_recalled(agent, recall->origin, &recall->command);
    arena_close(&recall->arena);
    free(recall);
}

bool recall_begin(struct agent *agent, uint64_t origin, const struct command *command)
{
    struct recall *recall = NULL;
    struct message message = {.kind = MESSAGE_COMMAND, .command = *command};
    struct buffer buffer = {0};

    if (agent->recall_count == RECALLS_MAX)
        return false;
    recall = calloc(1, sizeof(*recall));
    ENSURE(recall != NULL);
    *recall =
        (struct recall){.work = {.run = run, .on_done = on_done}, .agent = agent, .origin = origin};
    if (codec_encode(&message, &buffer) < 0 ||
        codec_decode(buffer.data, buffer.size_bytes, &recall->arena, &message) < 0) {
        buffer_close(&buffer); /* out of memory: it is asked again */
        arena_close(&recall->arena);
        free(recall);
        return false;
    }
    recall->command = message.command;
    buffer_close(&buffer);
    agent->recall_count++;
    executor_post(&agent->executor, WORKER_LEDGER, &recall->work);
    return true;
}
