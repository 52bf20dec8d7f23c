/* SPDX-License-Identifier: Apache-2.0 */
#include "codec_pb.h"

static void in_hello(struct in *in, const Drover__Hello *from, struct hello *ret)
{
    *ret = (struct hello){.version = from->version,
                          .node = from->node,
                          .build = from->build,
                          .epoch = from->epoch,
                          .ledger_last = from->ledger_last,
                          .started_wall_ns = from->started,
                          .is_partial = from->partial};
    ret->containers =
        in_containers(in, from->containers, from->n_containers, &ret->container_count);
}

static void in_container_list(struct in *in, const Drover__ContainerList *from,
                              struct container_list *ret)
{
    *ret = (struct container_list){.is_last = from->is_last};
    ret->containers =
        in_containers(in, from->containers, from->n_containers, &ret->container_count);
}

static void in_hello_answer(const Drover__HelloAnswer *from, struct hello_answer *ret)
{
    *ret = (struct hello_answer){.version = from->version,
                                 .session = from->session,
                                 .acknowledged = from->acknowledged,
                                 .acknowledged_epoch = from->acknowledged_epoch};
}

static const struct setting *in_settings(struct in *in, const Drover__Command *from,
                                         size_t *ret_count)
{
    struct setting *to = in_list(in, from->n_settings, sizeof(*to));
    if (to == NULL)
        return NULL;
    for (size_t i = 0; i < from->n_settings; i++)
        to[i] = (struct setting){
            .key =
                (enum setting_key)in_needed_order(in, (int)from->settings[i]->key, SETTING_COUNT),
            .is_cleared = from->settings[i]->cleared,
            .removed = from->settings[i]->removed,
        };
    *ret_count = from->n_settings;
    return to;
}

static void in_command(struct in *in, const Drover__Command *from, struct command *ret)
{
    *ret = (struct command){
        .request_id = from->request_id,
        .node = from->node,
        .container = from->container,
        .time_left_ns = from->time_left_ns,
        .verb = (enum verb)in_needed_order(in, (int)from->verb, VERB_COUNT),
        .config = in_config_new(in, from->config),
        .is_started = from->started,
        .wait = (enum wait_for)in_order(in, (int)from->wait, WAIT_FOR_COUNT),
        .grace_ns = from->grace_ns,
        .is_forced = from->forced,
        .is_for_shutdown = from->for_shutdown,
        .set_when = (enum set_when)in_order(in, (int)from->set_when, SET_WHEN_COUNT),
        .base_revision = from->base_revision,
    };
    bool has_config = ret->verb == VERB_CREATE || ret->verb == VERB_SET;
    ret->settings = in_settings(in, from, &ret->setting_count);
    in_require(in, !has_config || from->config != NULL);
    in_require(in, ret->verb != VERB_SET || from->n_settings > 0);
}

/* A later version's key is passed over: its receipt is for those who know it. */
static void in_setting_receipts(const Drover__Receipt *from, struct receipt *ret)
{
    for (size_t i = 0; i < from->n_settings; i++) {
        int key = (int)from->settings[i]->key;
        bool is_known = key > 0 && key < SETTING_COUNT;

        if (is_known && from->settings[i]->applied)
            ret->applied |= SETTING_BIT(key);
        if (is_known && from->settings[i]->at_next_start)
            ret->at_next_start |= SETTING_BIT(key);
    }
}

static void in_receipt(struct in *in, const Drover__Receipt *from, struct receipt *ret)
{
    *ret = (struct receipt){.request_id = from->request_id,
                            .phase = (enum phase)from->phase,
                            .has_container = from->container != NULL};
    in_require(in, from->phase != DROVER__PHASE__PHASE_UNSPECIFIED);
    if ((int)from->phase < 0 || (int)from->phase >= PHASE_COUNT)
        ret->phase = PHASE_RESULT_UNKNOWN;
    in_fault(from->fault, &ret->fault);
    in_container(in, from->container, &ret->container);
    in_setting_receipts(from, ret);
    ret->config = in_config_new(in, from->config);
}

static void in_event_batch(struct in *in, const Drover__EventBatch *from, struct event_batch *ret)
{
    ret->count = 0;
    ret->events = in_events(in, from->events, from->n_events, &ret->count);
}

static void in_query(struct in *in, const Drover__Query *from, struct query *ret)
{
    *ret = (struct query){
        .request_id = from->request_id,
        .node = from->node,
        .kind = (enum query_kind)in_needed_order(in, (int)from->kind, QUERY_COUNT),
        .selectors = (const char *const *)from->selectors,
        .selector_count = from->n_selectors,
        .container = from->container,
        .since = (enum since)in_order(in, (int)from->since, SINCE_COUNT),
        .since_number = from->since_number,
        .since_cursor = from->since_cursor,
        .is_follow = from->follow,
    };
}

static const struct node_view *in_nodes(struct in *in, const Drover__Answer *from,
                                        size_t *ret_count)
{
    struct node_view *to = in_list(in, from->n_nodes, sizeof(*to));
    if (to == NULL)
        return NULL;
    for (size_t i = 0; i < from->n_nodes; i++) {
        const Drover__NodeState *node = from->nodes[i];
        to[i] = (struct node_view){.name = node->node,
                                   .state = node->state,
                                   .is_cordoned = node->cordoned,
                                   .agent_version = node->agent_version,
                                   .containers = node->containers,
                                   .running = node->running,
                                   .session = node->session,
                                   .seen_wall_ns = node->seen};
        to[i].labels = in_pairs(in, node->labels, node->n_labels, &to[i].label_count);
    }
    *ret_count = from->n_nodes;
    return to;
}

static const struct boot_step *in_steps(struct in *in, const Drover__Answer *from,
                                        size_t *ret_count)
{
    struct boot_step *to = in_list(in, from->n_steps, sizeof(*to));
    if (to == NULL)
        return NULL;
    for (size_t i = 0; i < from->n_steps; i++)
        to[i] = (struct boot_step){.step = from->steps[i]->step,
                                   .offset_ns = from->steps[i]->offset_ns,
                                   .duration_ns = from->steps[i]->duration_ns};
    *ret_count = from->n_steps;
    return to;
}

static void in_answer(struct in *in, const Drover__Answer *from, struct answer *ret)
{
    *ret = (struct answer){.request_id = from->request_id,
                           .is_last = from->is_last,
                           .config = in_config_new(in, from->config),
                           .version = from->version};
    in_fault(from->fault, &ret->fault);
    ret->containers =
        in_containers(in, from->containers, from->n_containers, &ret->container_count);
    ret->events = in_events(in, from->events, from->n_events, &ret->event_count);
    ret->nodes = in_nodes(in, from, &ret->node_count);
    ret->steps = in_steps(in, from, &ret->step_count);
}

static void in_stream_open(struct in *in, const Drover__StreamOpen *from, struct stream_open *ret)
{
    *ret = (struct stream_open){
        .stream = from->stream,
        .request_id = from->request_id,
        .node = from->node,
        .container = from->container,
        .kind = (enum stream_kind)in_needed_order(in, (int)from->kind, STREAM_COUNT),
        .cwd = in_bytes(in, from->cwd),
        .user = from->user,
        .is_tty = from->tty,
        .timeout_ns = from->timeout_ns,
        .rows = from->rows,
        .columns = from->columns,
        .is_follow = from->follow,
    };
    ret->env = in_pairs(in, from->env, from->n_env, &ret->env_count);
    const char **argv = in_list(in, from->n_argv, sizeof(*argv));
    if (argv == NULL)
        return;
    for (size_t i = 0; i < from->n_argv; i++)
        argv[i] = in_bytes(in, from->argv[i]);
    ret->argv = argv;
    ret->argv_count = from->n_argv;
}

static void in_stream_frame(struct in *in, const Drover__StreamFrame *from,
                            struct stream_frame *ret)
{
    *ret = (struct stream_frame){
        .stream = from->stream,
        .number = from->number,
        .lane = (enum lane)in_needed_order(in, (int)from->lane, LANE_COUNT),
        .data = {.data = from->data.data, .size_bytes = from->data.len},
        .is_end = from->is_end,
    };
    in_require(in, from->data.len <= STREAM_FRAME_BYTES_MAX);
    in_require(in, ret->lane != LANE_RESIZE || from->data.len == 0 || from->data.len == 4);
}

static void in_stream_credit(const Drover__StreamCredit *from, struct stream_credit *ret)
{
    *ret = (struct stream_credit){.stream = from->stream, .bytes = from->bytes};
}

static void in_stream_end(const Drover__StreamEnd *from, struct stream_end *ret)
{
    *ret = (struct stream_end){
        .stream = from->stream, .bytes = from->bytes, .exit_code = from->exit_code};
    in_fault(from->fault, &ret->fault);
}

void in_envelope(struct in *in, const Drover__Envelope *from, struct message *ret)
{
    switch (from->body_case) {
    case DROVER__ENVELOPE__BODY__NOT_SET:
    case _DROVER__ENVELOPE__BODY__CASE_IS_INT_SIZE:
        break;
    case DROVER__ENVELOPE__BODY_HELLO:
        ret->kind = MESSAGE_HELLO;
        in_hello(in, from->hello, &ret->hello);
        break;
    case DROVER__ENVELOPE__BODY_HELLO_ANSWER:
        ret->kind = MESSAGE_HELLO_ANSWER;
        in_hello_answer(from->hello_answer, &ret->hello_answer);
        break;
    case DROVER__ENVELOPE__BODY_PING:
        ret->kind = MESSAGE_PING;
        ret->ping_ns = from->ping->sent;
        break;
    case DROVER__ENVELOPE__BODY_PONG:
        ret->kind = MESSAGE_PONG;
        ret->ping_ns = from->pong->sent;
        break;
    case DROVER__ENVELOPE__BODY_RESET:
        ret->kind = MESSAGE_RESET;
        ret->reset = from->reset->session;
        break;
    case DROVER__ENVELOPE__BODY_COMMAND:
        ret->kind = MESSAGE_COMMAND;
        in_command(in, from->command, &ret->command);
        break;
    case DROVER__ENVELOPE__BODY_RECEIPT:
        ret->kind = MESSAGE_RECEIPT;
        in_receipt(in, from->receipt, &ret->receipt);
        break;
    case DROVER__ENVELOPE__BODY_EVENTS:
        ret->kind = MESSAGE_EVENTS;
        in_event_batch(in, from->events, &ret->events);
        break;
    case DROVER__ENVELOPE__BODY_EVENT_ACK:
        ret->kind = MESSAGE_EVENT_ACK;
        ret->event_ack = from->event_ack->seq;
        break;
    case DROVER__ENVELOPE__BODY_QUERY:
        ret->kind = MESSAGE_QUERY;
        in_query(in, from->query, &ret->query);
        break;
    case DROVER__ENVELOPE__BODY_ANSWER:
        ret->kind = MESSAGE_ANSWER;
        in_answer(in, from->answer, &ret->answer);
        break;
    case DROVER__ENVELOPE__BODY_CONTAINERS:
        ret->kind = MESSAGE_CONTAINERS;
        in_container_list(in, from->containers, &ret->containers);
        break;
    case DROVER__ENVELOPE__BODY_STREAM_OPEN:
        ret->kind = MESSAGE_STREAM_OPEN;
        in_stream_open(in, from->stream_open, &ret->stream_open);
        break;
    case DROVER__ENVELOPE__BODY_STREAM_FRAME:
        ret->kind = MESSAGE_STREAM_FRAME;
        in_stream_frame(in, from->stream_frame, &ret->stream_frame);
        break;
    case DROVER__ENVELOPE__BODY_STREAM_CREDIT:
        ret->kind = MESSAGE_STREAM_CREDIT;
        in_stream_credit(from->stream_credit, &ret->stream_credit);
        break;
    case DROVER__ENVELOPE__BODY_STREAM_END:
        ret->kind = MESSAGE_STREAM_END;
        in_stream_end(from->stream_end, &ret->stream_end);
        break;
    }
}
