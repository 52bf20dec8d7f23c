/* SPDX-License-Identifier: Apache-2.0 */
#include "flow.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int flow_open(struct flow *flow, struct wire *wire, struct stream_open *open, struct fault *fault)
{
    struct message message = {.kind = MESSAGE_STREAM_OPEN};

    *flow = (struct flow){.wire = wire,
                          .number = 1,
                          .credit_bytes = STREAM_CREDIT_BYTES,
                          .granted_bytes = STREAM_CREDIT_BYTES};
    (void)snprintf(flow->request, sizeof(flow->request), "%s", open->request_id);
    open->stream = flow->number;
    message.stream_open = *open;
    return wire_post(wire, &message, fault);
}

/* ---- out ---- */

size_t flow_room(const struct flow *flow)
{
    uint64_t room = flow->credit_bytes > flow->out_bytes ? flow->credit_bytes - flow->out_bytes : 0;

    if (flow->is_over)
        return 0;
    return room < STREAM_FRAME_BYTES_MAX ? (size_t)room : STREAM_FRAME_BYTES_MAX;
}

int flow_send(struct flow *flow, enum lane lane, struct octets data, bool is_end,
              struct fault *fault)
{
    struct message message = {.kind = MESSAGE_STREAM_FRAME};

    message.stream_frame = (struct stream_frame){.stream = flow->number,
                                                 .number = flow->out_number + 1,
                                                 .lane = lane,
                                                 .data = data,
                                                 .is_end = is_end};
    int result = wire_post(flow->wire, &message, fault);
    if (result < 0)
        return result;
    flow->out_number++;
    flow->out_bytes += data.size_bytes;
    return 0;
}

/* ---- in ---- */

static int lost(struct fault *fault, const char *why)
{
    fault_set(fault, STATUS_STREAM_LOST, 0, "the stream is broken: %s", why);
    return -EPROTO;
}

static int take_frame(struct flow *flow, const struct stream_frame *frame,
                      struct stream_frame *ret_frame, struct fault *fault)
{
    uint64_t bytes = flow->in_bytes + frame->data.size_bytes;

    if (frame->number != flow->in_number + 1)
        return lost(fault, "a part of it is missing");
    if (bytes > flow->granted_bytes)
        return lost(fault, "the server sent more than it was granted");
    flow->in_number++;
    flow->in_bytes = bytes;
    *ret_frame = *frame;
    return 1;
}

static int take_end(struct flow *flow, const struct stream_end *end, struct fault *fault)
{
    flow->is_over = true;
    flow->exit_code = end->exit_code;
    flow->fault = (struct fault){.status = end->fault.status, .error = end->fault.error};
    (void)snprintf(flow->fault.text, sizeof(flow->fault.text), "%s", end->fault.text);
    (void)snprintf(flow->fault.hint, sizeof(flow->fault.hint), "%s", end->fault.hint);
    (void)snprintf(flow->node, sizeof(flow->node), "%s", end->fault.node);
    if (end->bytes == flow->in_bytes || end->fault.status != STATUS_UNSET)
        return 0;
    flow->is_over = false;
    return lost(fault, "its end does not come where it should");
}

static int take_refusal(const struct flow *flow, const struct answer *answer, struct fault *fault)
{
    bool is_ours = answer->request_id[0] == '\0' || strcmp(answer->request_id, flow->request) == 0;

    if (answer->fault.status == STATUS_UNSET || !is_ours)
        return 0;
    fault_set(fault, answer->fault.status, answer->fault.error, "%s", answer->fault.text);
    fault_hint(fault, answer->fault.hint);
    return -ECONNREFUSED;
}

int flow_take(struct flow *flow, const struct message *message, struct stream_frame *ret_frame,
              struct fault *fault)
{
    if (flow->is_over)
        return 0;
    switch ((int)message->kind) { /* all other kinds are nothing we asked for */
    case MESSAGE_ANSWER:
        return take_refusal(flow, &message->answer, fault);
    case MESSAGE_STREAM_FRAME:
        return message->stream_frame.stream == flow->number
                   ? take_frame(flow, &message->stream_frame, ret_frame, fault)
                   : 0;
    case MESSAGE_STREAM_CREDIT:
        if (message->stream_credit.stream == flow->number &&
            message->stream_credit.bytes > flow->credit_bytes)
            flow->credit_bytes = message->stream_credit.bytes;
        return 0;
    case MESSAGE_STREAM_END:
        return message->stream_end.stream == flow->number
                   ? take_end(flow, &message->stream_end, fault)
                   : 0;
    }
    return 0;
}

int flow_done(struct flow *flow, size_t size_bytes, struct fault *fault)
{
    struct message message = {.kind = MESSAGE_STREAM_CREDIT};

    flow->done_bytes += size_bytes;
    uint64_t wanted = flow->done_bytes + STREAM_CREDIT_BYTES;
    if (flow->is_over || wanted < flow->granted_bytes + STREAM_CREDIT_BYTES / 4)
        return 0;
    message.stream_credit = (struct stream_credit){flow->number, wanted};
    int result = wire_post(flow->wire, &message, fault);
    if (result == 0)
        flow->granted_bytes = wanted;
    return result;
}

void flow_abandon(struct flow *flow)
{
    struct message message = {.kind = MESSAGE_STREAM_END};
    struct fault ignored;

    if (flow->is_over || flow->wire->fd < 0)
        return;
    message.stream_end = (struct stream_end){.stream = flow->number, .bytes = flow->out_bytes};
    flow->is_over = true;
    if (wire_post(flow->wire, &message, &ignored) == 0)
        wire_flush(flow->wire);
}
