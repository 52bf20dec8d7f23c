/* SPDX-License-Identifier: Apache-2.0 */
#include "answers.h"

#include <errno.h>

#include "controller.h"

void answers_send(struct controller *controller, uint64_t client_id, const struct message *message)
{
    struct local_client *client = local_find(&controller->local, client_id);

    if (client != NULL && local_send(client, message) == -ENOBUFS)
        local_hang_up(client);
}

void answers_drop(struct controller *controller, uint64_t client_id)
{
    struct local_client *client = local_find(&controller->local, client_id);

    if (client != NULL)
        local_hang_up(client);
}

void answers_fault(struct controller *controller, uint64_t client, const char *request_id,
                   const struct fault_view *fault)
{
    struct message message = {.kind = MESSAGE_ANSWER};

    message.answer = (struct answer){.request_id = request_id, .is_last = true, .fault = *fault};
    answers_send(controller, client, &message);
}

void answers_refuse(struct controller *controller, uint64_t client, const char *request_id,
                    enum phase phase, const struct fault_view *fault)
{
    struct message message = {.kind = MESSAGE_RECEIPT};

    message.receipt = (struct receipt){.request_id = request_id, .phase = phase, .fault = *fault};
    answers_send(controller, client, &message);
}

struct fault_view answers_view(const struct fault *fault, const char *container, const char *node)
{
    return (struct fault_view){.status = fault->status,
                               .error = fault->error,
                               .text = fault->text,
                               .hint = fault->hint,
                               .container = container,
                               .node = node};
}
