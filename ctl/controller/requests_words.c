/* SPDX-License-Identifier: Apache-2.0 */
#include "requests_words.h"

#include "answers.h"
#include "controller.h"
#include "route.h"

void words_unknown(const struct request *request, const char *why, struct fault *fault)
{
    if (!request->is_sent) {
        fault_set(fault, STATUS_UNREACHABLE, 0, "node %s: %s; the command was not sent",
                  request->member->name, why);
        fault_hint(fault, "drover node ls shows the nodes");
        return;
    }
    fault_set(fault, STATUS_UNREACHABLE, 0, "node %s: %s; the result is unknown",
              request->member->name, why);
    fault_hint(fault, "ask again with the same request id once the node is back");
}

void words_expired(struct fault *fault)
{
    fault_set(fault, STATUS_EXPIRED, 0,
              "this command was first issued more than 12 hours ago: it is not sent any more");
    fault_hint(fault, "look at the container, then issue it with a new request id");
}

void words_refuse(struct controller *controller, uint64_t client, const struct command *command,
                  enum status status, const char *text)
{
    struct fault fault;

    fault_set(&fault, status, 0, "%s", text);
    struct fault_view view = answers_view(&fault, command->container, command->node);
    answers_refuse(controller, client, command->request_id, PHASE_FAILED, &view);
}

void words_refuse_reused(struct controller *controller, uint64_t client,
                         const struct request *request)
{
    struct fault fault;

    fault_set(&fault, STATUS_REQUEST_ID_REUSED, 0, "this request id belongs to another command");
    struct fault_view view = answers_view(&fault, request->container, request->member->name);
    answers_refuse(controller, client, request->id, PHASE_FAILED, &view);
}

void words_refuse_down(struct controller *controller, uint64_t client, const char *id,
                       const struct target *target)
{
    struct fault fault;

    fault_set(&fault, STATUS_UNREACHABLE, 0, "node %s is down: the command was not sent",
              target->member->name);
    fault_hint(&fault, "drover node ls shows the nodes");
    struct fault_view view = answers_view(&fault, target->container, target->member->name);
    answers_refuse(controller, client, id, PHASE_NOT_SENT, &view);
}
