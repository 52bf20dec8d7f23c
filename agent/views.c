/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include <string.h>

void view_container(const struct agent *agent, uint32_t index, struct container_view *ret_view)
{
    const struct ct *ct = node_get(agent->node, index);
    const struct slot *slot = &agent->slots[index];

    *ret_view = (struct container_view){.name = ct->name,
                                        .node = agent->options->node,
                                        .state = ct->state,
                                        .generation = ct->generation,
                                        .pid = ct->pid,
                                        .is_ready = ct->is_ready,
                                        .cause = ct->is_open ? CAUSE_UNSET : ct->cause,
                                        .has_status = !ct->is_open && ct->has_status,
                                        .wait_status = ct->wait_status,
                                        .started_wall_ns = ct->started_wall_ns,
                                        .labels = slot->view.labels,
                                        .label_count = slot->view.label_count,
                                        .revision = slot->revision};
    memcpy(ret_view->uuid, ct->uuid, UUID_BYTES);
}

void view_fault(const struct agent *agent, const struct fault *fault, const char *container,
                struct fault_view *ret_view)
{
    *ret_view = (struct fault_view){.status = fault->status,
                                    .error = fault->error,
                                    .text = fault->text,
                                    .hint = fault->hint,
                                    .container = container,
                                    .node = agent->options->node};
}
