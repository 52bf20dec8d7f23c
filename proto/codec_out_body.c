/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "codec_pb.h"

static Drover__Hello *out_hello(struct out *out, const struct hello *from)
{
    Drover__Hello *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__hello__init(to);
    to->version = from->version;
    to->node = (char *)from->node;
    to->build = (char *)from->build;
    to->epoch = from->epoch;
    to->ledger_last = from->ledger_last;
    to->started = from->started_wall_ns;
    to->containers =
        out_containers(out, from->containers, from->container_count, &to->n_containers);
    to->partial = from->is_partial;
    return to;
}

static Drover__ContainerList *out_container_list(struct out *out, const struct container_list *from)
{
    Drover__ContainerList *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__container_list__init(to);
    to->containers =
        out_containers(out, from->containers, from->container_count, &to->n_containers);
    to->is_last = from->is_last;
    return to;
}

static Drover__HelloAnswer *out_hello_answer(struct out *out, const struct hello_answer *from)
{
    Drover__HelloAnswer *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__hello_answer__init(to);
    to->version = from->version;
    to->session = from->session;
    to->acknowledged = from->acknowledged;
    to->acknowledged_epoch = from->acknowledged_epoch;
    return to;
}

static Drover__Ping *out_ping(struct out *out, uint64_t sent_ns)
{
    Drover__Ping *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__ping__init(to);
    to->sent = sent_ns;
    return to;
}

static Drover__Pong *out_pong(struct out *out, uint64_t sent_ns)
{
    Drover__Pong *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__pong__init(to);
    to->sent = sent_ns;
    return to;
}

static Drover__Reset *out_reset(struct out *out, uint64_t session)
{
    Drover__Reset *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__reset__init(to);
    to->session = session;
    return to;
}

static Drover__Setting **out_settings(struct out *out, const struct command *from,
                                      size_t *ret_count)
{
    Drover__Setting *to = out_list(out, from->setting_count, sizeof(*to));
    Drover__Setting **list = out_pointers(out, to, from->setting_count, sizeof(*to));
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < from->setting_count; i++) {
        const struct setting *setting = &from->settings[i];
        drover__setting__init(&to[i]);
        to[i].key = (Drover__SettingKey)out_needed(out, setting->key, SETTING_COUNT);
        to[i].cleared = setting->is_cleared;
        to[i].removed = (char *)setting->removed;
    }
    *ret_count = from->setting_count;
    return list;
}

static Drover__Command *out_command(struct out *out, const struct command *from)
{
    Drover__Command *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__command__init(to);
    to->request_id = (char *)from->request_id;
    to->node = (char *)from->node;
    to->container = (char *)from->container;
    to->time_left_ns = from->time_left_ns;
    to->verb = (Drover__Verb)out_needed(out, from->verb, VERB_COUNT);
    to->config = out_config(out, from->config);
    to->started = from->is_started;
    to->wait = (Drover__WaitFor)from->wait;
    to->grace_ns = from->grace_ns;
    to->forced = from->is_forced;
    to->for_shutdown = from->is_for_shutdown;
    to->settings = out_settings(out, from, &to->n_settings);
    to->set_when = (Drover__SetWhen)from->set_when;
    to->base_revision = from->base_revision;
    if ((from->verb == VERB_CREATE || from->verb == VERB_SET) && from->config == NULL)
        out_fail(out, -EINVAL);
    if (from->verb == VERB_SET && from->setting_count == 0)
        out_fail(out, -EINVAL);
    return to;
}

static Drover__SettingReceipt **out_setting_receipts(struct out *out, const struct receipt *from,
                                                     size_t *ret_count)
{
    uint64_t all = from->applied | from->at_next_start;
    size_t count = (size_t)__builtin_popcountll(all);
    Drover__SettingReceipt *to = out_list(out, count, sizeof(*to));
    Drover__SettingReceipt **list = out_pointers(out, to, count, sizeof(*to));
    size_t at = 0;
    if (list == NULL)
        return NULL;
    for (unsigned key = 0; key < 64; key++) {
        if ((all & SETTING_BIT(key)) == 0)
            continue;
        drover__setting_receipt__init(&to[at]);
        to[at].key = (Drover__SettingKey)out_needed(out, key, SETTING_COUNT);
        to[at].applied = (from->applied & SETTING_BIT(key)) != 0;
        to[at++].at_next_start = (from->at_next_start & SETTING_BIT(key)) != 0;
    }
    *ret_count = count;
    return list;
}

static Drover__Receipt *out_receipt(struct out *out, const struct receipt *from)
{
    Drover__Receipt *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__receipt__init(to);
    to->request_id = (char *)from->request_id;
    to->phase = (Drover__Phase)out_needed(out, from->phase, PHASE_COUNT);
    to->fault = out_fault(out, &from->fault);
    if (from->has_container)
        to->container = out_container(out, &from->container);
    to->settings = out_setting_receipts(out, from, &to->n_settings);
    to->config = out_config(out, from->config);
    return to;
}

static Drover__EventBatch *out_event_batch(struct out *out, const struct event_batch *from)
{
    Drover__EventBatch *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__event_batch__init(to);
    to->events = out_events(out, from->events, from->count, &to->n_events);
    return to;
}

static Drover__EventAck *out_event_ack(struct out *out, uint64_t seq)
{
    Drover__EventAck *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__event_ack__init(to);
    to->seq = seq;
    return to;
}

static Drover__Query *out_query(struct out *out, const struct query *from)
{
    Drover__Query *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__query__init(to);
    to->request_id = (char *)from->request_id;
    to->node = (char *)from->node;
    to->kind = (Drover__QueryKind)out_needed(out, from->kind, QUERY_COUNT);
    to->selectors = (char **)from->selectors;
    to->n_selectors = from->selector_count;
    to->container = (char *)from->container;
    to->since = (Drover__Since)from->since;
    to->since_number = from->since_number;
    to->since_cursor = (char *)from->since_cursor;
    to->follow = from->is_follow;
    return to;
}

static Drover__NodeState **out_nodes(struct out *out, const struct answer *from, size_t *ret_count)
{
    Drover__NodeState *to = out_list(out, from->node_count, sizeof(*to));
    Drover__NodeState **list = out_pointers(out, to, from->node_count, sizeof(*to));
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < from->node_count; i++) {
        const struct node_view *node = &from->nodes[i];
        drover__node_state__init(&to[i]);
        to[i].node = (char *)node->name;
        to[i].state = (char *)node->state;
        to[i].cordoned = node->is_cordoned;
        to[i].agent_version = (char *)node->agent_version;
        to[i].containers = node->containers;
        to[i].running = node->running;
        to[i].session = (char *)node->session;
        to[i].seen = node->seen_wall_ns;
        to[i].labels = out_pairs(out, node->labels, node->label_count, &to[i].n_labels);
    }
    *ret_count = from->node_count;
    return list;
}

static Drover__BootStep **out_steps(struct out *out, const struct answer *from, size_t *ret_count)
{
    Drover__BootStep *to = out_list(out, from->step_count, sizeof(*to));
    Drover__BootStep **list = out_pointers(out, to, from->step_count, sizeof(*to));
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < from->step_count; i++) {
        drover__boot_step__init(&to[i]);
        to[i].step = (char *)from->steps[i].step;
        to[i].offset_ns = from->steps[i].offset_ns;
        to[i].duration_ns = from->steps[i].duration_ns;
    }
    *ret_count = from->step_count;
    return list;
}

static Drover__Answer *out_answer(struct out *out, const struct answer *from)
{
    Drover__Answer *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__answer__init(to);
    to->request_id = (char *)from->request_id;
    to->is_last = from->is_last;
    to->fault = out_fault(out, &from->fault);
    to->containers =
        out_containers(out, from->containers, from->container_count, &to->n_containers);
    to->config = out_config(out, from->config);
    to->events = out_events(out, from->events, from->event_count, &to->n_events);
    to->nodes = out_nodes(out, from, &to->n_nodes);
    to->steps = out_steps(out, from, &to->n_steps);
    to->version = (char *)from->version;
    return to;
}

static Drover__StreamOpen *out_stream_open(struct out *out, const struct stream_open *from)
{
    Drover__StreamOpen *to = out_list(out, 1, sizeof(*to));
    ProtobufCBinaryData *argv = out_list(out, from->argv_count, sizeof(*argv));
    if (to == NULL)
        return NULL;
    drover__stream_open__init(to);
    to->stream = from->stream;
    to->request_id = (char *)from->request_id;
    to->node = (char *)from->node;
    to->container = (char *)from->container;
    to->kind = (Drover__StreamKind)out_needed(out, from->kind, STREAM_COUNT);
    for (size_t i = 0; argv != NULL && i < from->argv_count; i++)
        argv[i] = out_bytes(from->argv[i]);
    to->argv = argv;
    to->n_argv = argv != NULL ? from->argv_count : 0;
    to->env = out_pairs(out, from->env, from->env_count, &to->n_env);
    to->cwd = out_bytes(from->cwd);
    to->user = (char *)from->user;
    to->tty = from->is_tty;
    to->timeout_ns = from->timeout_ns;
    to->rows = from->rows;
    to->columns = from->columns;
    to->follow = from->is_follow;
    return to;
}

static Drover__StreamFrame *out_stream_frame(struct out *out, const struct stream_frame *from)
{
    Drover__StreamFrame *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__stream_frame__init(to);
    to->stream = from->stream;
    to->number = from->number;
    to->lane = (Drover__Lane)out_needed(out, from->lane, LANE_COUNT);
    to->data =
        (ProtobufCBinaryData){.len = from->data.size_bytes, .data = (uint8_t *)from->data.data};
    to->is_end = from->is_end;
    if (from->data.size_bytes > STREAM_FRAME_BYTES_MAX)
        out_fail(out, -EMSGSIZE);
    return to;
}

static Drover__StreamCredit *out_stream_credit(struct out *out, const struct stream_credit *from)
{
    Drover__StreamCredit *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__stream_credit__init(to);
    to->stream = from->stream;
    to->bytes = from->bytes;
    return to;
}

static Drover__StreamEnd *out_stream_end(struct out *out, const struct stream_end *from)
{
    Drover__StreamEnd *to = out_list(out, 1, sizeof(*to));
    if (to == NULL)
        return NULL;
    drover__stream_end__init(to);
    to->stream = from->stream;
    to->bytes = from->bytes;
    to->fault = out_fault(out, &from->fault);
    to->exit_code = from->exit_code;
    return to;
}

static void out_body(struct out *out, const struct message *from, Drover__Envelope *ret)
{
    switch (from->kind) {
    case MESSAGE_UNSET:
    case MESSAGE_COUNT:
        out_fail(out, -EINVAL);
        break;
    case MESSAGE_HELLO:
        ret->body_case = DROVER__ENVELOPE__BODY_HELLO;
        ret->hello = out_hello(out, &from->hello);
        break;
    case MESSAGE_HELLO_ANSWER:
        ret->body_case = DROVER__ENVELOPE__BODY_HELLO_ANSWER;
        ret->hello_answer = out_hello_answer(out, &from->hello_answer);
        break;
    case MESSAGE_PING:
        ret->body_case = DROVER__ENVELOPE__BODY_PING;
        ret->ping = out_ping(out, from->ping_ns);
        break;
    case MESSAGE_PONG:
        ret->body_case = DROVER__ENVELOPE__BODY_PONG;
        ret->pong = out_pong(out, from->ping_ns);
        break;
    case MESSAGE_RESET:
        ret->body_case = DROVER__ENVELOPE__BODY_RESET;
        ret->reset = out_reset(out, from->reset);
        break;
    case MESSAGE_COMMAND:
        ret->body_case = DROVER__ENVELOPE__BODY_COMMAND;
        ret->command = out_command(out, &from->command);
        break;
    case MESSAGE_RECEIPT:
        ret->body_case = DROVER__ENVELOPE__BODY_RECEIPT;
        ret->receipt = out_receipt(out, &from->receipt);
        break;
    case MESSAGE_EVENTS:
        ret->body_case = DROVER__ENVELOPE__BODY_EVENTS;
        ret->events = out_event_batch(out, &from->events);
        break;
    case MESSAGE_EVENT_ACK:
        ret->body_case = DROVER__ENVELOPE__BODY_EVENT_ACK;
        ret->event_ack = out_event_ack(out, from->event_ack);
        break;
    case MESSAGE_QUERY:
        ret->body_case = DROVER__ENVELOPE__BODY_QUERY;
        ret->query = out_query(out, &from->query);
        break;
    case MESSAGE_ANSWER:
        ret->body_case = DROVER__ENVELOPE__BODY_ANSWER;
        ret->answer = out_answer(out, &from->answer);
        break;
    case MESSAGE_CONTAINERS:
        ret->body_case = DROVER__ENVELOPE__BODY_CONTAINERS;
        ret->containers = out_container_list(out, &from->containers);
        break;
    case MESSAGE_STREAM_OPEN:
        ret->body_case = DROVER__ENVELOPE__BODY_STREAM_OPEN;
        ret->stream_open = out_stream_open(out, &from->stream_open);
        break;
    case MESSAGE_STREAM_FRAME:
        ret->body_case = DROVER__ENVELOPE__BODY_STREAM_FRAME;
        ret->stream_frame = out_stream_frame(out, &from->stream_frame);
        break;
    case MESSAGE_STREAM_CREDIT:
        ret->body_case = DROVER__ENVELOPE__BODY_STREAM_CREDIT;
        ret->stream_credit = out_stream_credit(out, &from->stream_credit);
        break;
    case MESSAGE_STREAM_END:
        ret->body_case = DROVER__ENVELOPE__BODY_STREAM_END;
        ret->stream_end = out_stream_end(out, &from->stream_end);
        break;
    }
}

void out_envelope(struct out *out, const struct message *from, Drover__Envelope *ret)
{
    drover__envelope__init(ret);
    ret->number = from->number;
    ret->received = from->received;
    ret->committed = from->committed;
    ret->session = from->session;
    out_body(out, from, ret);
}
