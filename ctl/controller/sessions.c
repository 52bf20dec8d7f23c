/* SPDX-License-Identifier: Apache-2.0 */
#include "sessions.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "controller.h"

#define RIVAL_QUIET_NS (60 * NS_PER_S)

static uint64_t session_number(const struct member *member, enum channel_kind kind)
{
    uint64_t number;

    do {
        randombytes_buf(&number, sizeof(number));
        number >>= CHANNEL_MEMBERS_BITS + 1;
    } while (number == 0);
    return number << (CHANNEL_MEMBERS_BITS + 1) | (uint64_t)member->index << 1 | (uint64_t)kind;
}

static bool is_same_peer(const struct link_peer *a, const struct link_peer *b)
{
    return a->size_bytes == b->size_bytes && memcmp(a->octets, b->octets, a->size_bytes) == 0;
}

static struct channel *channel_find(struct controller *controller, uint64_t session,
                                    enum channel_kind kind, const struct link_peer *peer,
                                    struct member **ret_member)
{
    uint64_t index = session >> 1 & (CHANNEL_MEMBERS_MAX - 1);

    if (index >= controller->registry.member_count || (session & 1) != (uint64_t)kind)
        return NULL;
    *ret_member = controller->registry.members[index];
    struct channel *channel = &(*ret_member)->channels[kind];
    return channel->is_up && channel->session.id == session && is_same_peer(&channel->peer, peer)
               ? channel
               : NULL;
}

/* The agent pings on control alone, so bulk's life hangs on it. */
static uint64_t member_next_ns(const struct member *member)
{
    const struct channel *control = &member->channels[CHANNEL_CONTROL];
    uint64_t next_ns = control->is_up ? control->session.heard_ns + SESSION_DEAD_NS : UINT64_MAX;

    if (control->is_up && member->probed_ns != 0 && member->probed_ns + PROBE_NS < next_ns)
        next_ns = member->probed_ns + PROBE_NS;

    for (unsigned kind = 0; kind < CHANNEL_COUNT; kind++)
        if (channel_next_ns(&member->channels[kind]) < next_ns)
            next_ns = channel_next_ns(&member->channels[kind]);
    return next_ns;
}

static void send_unnumbered(struct controller *controller, enum channel_kind kind,
                            const struct link_peer *peer, const struct message *message)
{
    struct buffer *wire = &controller->wire;

    wire->size_bytes = 0;
    if (codec_encode(message, wire) == 0) /* lost: the agent says it again, and so do we */
        (void)link_send(&controller->links[kind], peer, wire->data, wire->size_bytes);
}

static void hint_reset(struct controller *controller, enum channel_kind kind,
                       const struct link_peer *peer, uint64_t session)
{
    struct sessions *sessions = &controller->sessions;
    struct message message = {.kind = MESSAGE_RESET, .reset = session};

    for (uint32_t i = 0; i < RESETS_MAX; i++)
        if (sessions->resets[i].at_ns + NS_PER_S > controller->now_ns &&
            is_same_peer(&sessions->resets[i].peer, peer))
            return;
    sessions->resets[sessions->reset_next] =
        (struct reset_mark){.peer = *peer, .at_ns = controller->now_ns};
    sessions->reset_next = (sessions->reset_next + 1) % RESETS_MAX;
    send_unnumbered(controller, kind, peer, &message);
}

/* Bulk has no pings: an agent does not notice that its session there has ended here. */
void sessions_want_bulk(struct controller *controller, const struct member *member)
{
    if (member->lost_bulk != 0 && !member->channels[CHANNEL_BULK].is_up)
        hint_reset(controller, CHANNEL_BULK, &member->lost_bulk_peer, member->lost_bulk);
}

static void tell(struct controller *controller, struct member *member, enum event_type type)
{
    struct ctl_change change = {.kind = CTL_ADD_EVENT};

    (void)fprintf(stderr, "info: node=%s event=%s build=%s\n", member->name, event_type_name(type),
                  member->build);
    change.add.node = member->index;
    change.add.event = (struct event){.type = type, .time_wall_ns = clock_wall_ns()};
    (void)ctl_batch_add(controller_batch(controller), &change);
}

/* Who it is and when it was last heard; told to the store when that changes for long. */
static void store_node(struct controller *controller, const struct member *member)
{
    struct ctl_change change = {.kind = CTL_PUT_NODE};

    change.node.id = member->index;
    change.node.seen_wall_ns = member->seen_wall_ns;
    memcpy(change.node.name, member->name, sizeof(change.node.name));
    memcpy(change.node.build, member->build, sizeof(change.node.build));
    (void)ctl_batch_add(controller_batch(controller), &change);
}

static void bulk_down(struct controller *controller, struct member *member, enum stream_loss loss)
{
    struct channel *bulk = &member->channels[CHANNEL_BULK];

    if (!bulk->is_up)
        return;
    member->lost_bulk = bulk->session.id;
    member->lost_bulk_peer = bulk->peer;
    channel_close(bulk);
    streams_member_lost(controller, member, loss);
}

/* back_ns: so long it may take to be back before its results count as unknown. */
static void go_down(struct controller *controller, struct member *member, uint64_t back_ns)
{
    channel_close(&member->channels[CHANNEL_CONTROL]);
    member->lost_ns = controller->now_ns + back_ns;
    member->probed_ns = 0;
    store_node(controller, member);
    tell(controller, member, EVENT_NODE_DOWN);
    bulk_down(controller, member, STREAM_LOSS_DOWN);
    streams_member_down(controller, member);
    requests_member_down(controller, member);
    asks_member_down(controller, member);
}

static void answer_hello(struct controller *controller, const struct member *member,
                         enum channel_kind kind)
{
    const struct channel *channel = &member->channels[kind];
    struct message message = {.kind = MESSAGE_HELLO_ANSWER};

    message.hello_answer =
        (struct hello_answer){.version = MESSAGE_VERSION,
                              .session = channel->session.id,
                              .acknowledged = member->ingest.committed.seq,
                              .acknowledged_epoch = member->ingest.committed.epoch};
    send_unnumbered(controller, kind, &channel->peer, &message);
}

/* What a HELLO told or had no room for, or all of it anew. */
static void take_list(struct member *member, const struct container_list *list)
{
    if (!member->is_list_begun)
        member->list_mark = ++member->registry->mark;
    member->is_list_begun = !list->is_last;
    for (size_t i = 0; i < list->container_count; i++) /* no room: the next list tells it again */
        (void)known_list(member, &list->containers[i], member->list_mark);
    if (list->is_last)
        known_sweep(member, member->list_mark, NULL, 0);
}

static void take_snapshot(struct controller *controller, struct member *member,
                          const struct hello *hello)
{
    (void)snprintf(member->build, sizeof(member->build), "%s", hello->build);
    member->snapshot_seq = hello->ledger_last;
    member->place_told = 0;
    member->is_list_begun = false; /* of a session that is gone: told anew from its beginning */
    if (!hello->is_partial)        /* else all of them follow, and until then the copy stays */
        take_list(member,
                  &(struct container_list){hello->containers, hello->container_count, true});
    store_node(controller, member);
}

/* An agent that was restarted says HELLO under a new epoch; one that started before the last has no
 * business to come back. Two that claim one name take turns each second or so: say it once a
 * minute. */
static void note_life(struct controller *controller, struct member *member,
                      const struct hello *hello)
{
    bool is_older = hello->started_wall_ns < member->agent_started_wall_ns;

    if (!is_older) {
        (void)fprintf(stderr, "info: node=%s agent=restarted build=%s\n", member->name,
                      member->build);
        return;
    }
    if (member->rival_told_ns != 0 && controller->now_ns < member->rival_told_ns + RIVAL_QUIET_NS)
        return;
    member->rival_told_ns = controller->now_ns;
    (void)fprintf(stderr,
                  "warning: node=%s two agents claim this name: the one that spoke last stands\n",
                  member->name);
}

static void open_session(struct controller *controller, struct member *member,
                         enum channel_kind kind, const struct link_peer *peer,
                         const struct hello *hello)
{
    struct channel *channel = &member->channels[kind];
    const struct channel *bulk = &member->channels[CHANNEL_BULK];
    bool was_up = channel->is_up;
    bool is_new_life = channel->epoch != hello->epoch;

    channel_close(channel);
    if (kind == CHANNEL_BULK && was_up)
        streams_member_lost(controller, member,
                            is_new_life ? STREAM_LOSS_RESTARTED : STREAM_LOSS_REPLACED);
    *channel = (struct channel){
        .is_up = true, .link = &controller->links[kind], .peer = *peer, .epoch = hello->epoch};
    session_init(&channel->session, session_number(member, kind), controller->now_ns);
    controller_due(controller, member_next_ns(member));
    answer_hello(controller, member, kind);
    if (kind == CHANNEL_BULK) {
        streams_member_up(controller, member);
        return;
    }
    member->ingest.session = channel->session.id;
    member->ack_due = member->acked = 0; /* of the session before */
    take_snapshot(controller, member, hello);
    if (was_up && is_new_life)
        note_life(controller, member, hello);
    member->agent_started_wall_ns = hello->started_wall_ns;
    if (bulk->epoch != hello->epoch)
        bulk_down(controller, member, STREAM_LOSS_RESTARTED);
    /* A node that greets anew before it was missed was not down: nothing but its streams is lost,
     * which say so, and the commands on their way go on. */
    if (!was_up)
        tell(controller, member, EVENT_NODE_UP);
    sessions_want_bulk(controller, member);
    requests_member_up(controller, member);
    asks_member_up(controller, member);
}

/* The answer was lost or is still on its way: nothing of this session has been used yet. */
static bool is_repeated(const struct channel *channel, const struct link_peer *peer,
                        const struct hello *hello)
{
    const struct session *session = &channel->session;

    return channel->is_up && channel->epoch == hello->epoch && is_same_peer(&channel->peer, peer) &&
           session->received == 0 && session->sent == 0;
}

static void take_hello(struct controller *controller, enum channel_kind kind,
                       const struct link_peer *peer, const struct hello *hello)
{
    struct member *member = registry_find(&controller->registry, hello->node);
    bool is_new = member == NULL;

    if (hello->version == 0 || !name_check(hello->node))
        return;
    if (member == NULL && registry_add(&controller->registry, hello->node, &member) < 0) {
        (void)fprintf(stderr, "warning: node=%s not admitted: %u nodes are the limit\n",
                      hello->node, MEMBERS_MAX);
        return;
    }
    member->seen_wall_ns = clock_wall_ns();
    member->probed_ns = 0; /* whoever was asked, this one lives */
    if (is_new)
        store_node(controller, member); /* ids have no hole */
    if (!is_repeated(&member->channels[kind], peer, hello)) {
        open_session(controller, member, kind, peer, hello);
        return;
    }
    if (kind == CHANNEL_CONTROL)
        take_snapshot(controller, member, hello);
    answer_hello(controller, member, kind);
}

/* What is late may be known: only what is new beyond doubt changes the copy. */
static void take_events(struct controller *controller, struct member *member,
                        const struct event_batch *events)
{
    struct ctl_batch *batch = controller_batch(controller);
    size_t at = batch->count;

    (void)ingest_take(&member->ingest, events->events, events->count, batch);
    for (; at < batch->count; at++) {
        const struct ctl_change *change = &batch->changes[at];

        if (change->kind == CTL_ADD_EVENT && !change->add.is_late &&
            change->add.event.seq > member->snapshot_seq)
            known_apply_event(member, &change->add.event, controller->registry.mark);
    }
}

static void act(struct controller *controller, struct member *member, enum channel_kind kind,
                struct message *message)
{
    switch (message->kind) {
    case MESSAGE_RECEIPT:
        if (kind == CHANNEL_CONTROL)
            requests_take_receipt(controller, member, &message->receipt);
        return;
    case MESSAGE_EVENTS:
        if (kind == CHANNEL_CONTROL)
            take_events(controller, member, &message->events);
        return;
    case MESSAGE_CONTAINERS:
        if (kind == CHANNEL_CONTROL)
            take_list(member, &message->containers);
        return;
    case MESSAGE_ANSWER:
        if (kind == CHANNEL_CONTROL)
            asks_take_answer(controller, member, &message->answer);
        return;
    case MESSAGE_STREAM_FRAME:
    case MESSAGE_STREAM_CREDIT:
    case MESSAGE_STREAM_END:
        if (kind == CHANNEL_BULK)
            streams_take_member(controller, member, message);
        return;
    case MESSAGE_RESET:
        if (kind == CHANNEL_CONTROL && message->reset == member->channels[kind].session.id)
            go_down(controller, member, NODE_BACK_NS); /* the agent ends, and says so */
        return;
    case MESSAGE_UNSET:
    case MESSAGE_HELLO:
    case MESSAGE_HELLO_ANSWER:
    case MESSAGE_PING:
    case MESSAGE_PONG:
    case MESSAGE_COMMAND:
    case MESSAGE_EVENT_ACK:
    case MESSAGE_QUERY:
    case MESSAGE_STREAM_OPEN:
    case MESSAGE_COUNT:
        return; /* not an agent's to say; it was counted by its number */
    }
}

static void answer_ping(struct controller *controller, struct member *member,
                        enum channel_kind kind, uint64_t ping_ns)
{
    struct message message = {.kind = MESSAGE_PONG, .ping_ns = ping_ns};

    (void)sessions_post(controller, member, kind, &message); /* lost: the next ping is answered */
}

static void touch(struct controller *controller, struct member *member)
{
    if (member->is_touched)
        return;
    member->is_touched = true;
    member->next_touched = controller->sessions.touched;
    controller->sessions.touched = member;
}

void sessions_take_committed(struct controller *controller, const struct ctl_change *change)
{
    uint32_t node = change->kind == CTL_PUT_HEAD ? change->head.node : change->acknowledge.node;
    struct member *member = controller->registry.members[node]; /* it is ours that came back */
    uint64_t seq = ingest_committed(&member->ingest, change);

    if (seq == 0)
        return;
    member->ack_due = seq;
    touch(controller, member);
}

/* NULL: of no session. */
static struct channel *take_record(struct controller *controller, enum channel_kind kind,
                                   const struct link_peer *peer, const uint8_t *octets,
                                   size_t size_bytes)
{
    struct member *member;
    struct message message;

    arena_reset(&controller->arena);
    int result = codec_decode(octets, size_bytes, &controller->arena, &message);
    if (result < 0 && result != -EOPNOTSUPP)
        return NULL;
    if (result == -EOPNOTSUPP)
        message.kind = MESSAGE_UNSET; /* a later version's: numbered, and passed over */
    if (message.kind == MESSAGE_HELLO) {
        take_hello(controller, kind, peer, &message.hello);
        return NULL;
    }
    struct channel *channel = channel_find(controller, message.session, kind, peer, &member);
    if (channel == NULL) {
        hint_reset(controller, kind, peer, message.session);
        return NULL;
    }
    /* The store is behind: as good as lost, so that the session brings it again. */
    if (message.kind == MESSAGE_EVENTS && controller_is_behind(controller))
        return NULL;
    enum session_verdict verdict = session_accept(&channel->session, &message, controller->now_ns);
    member->seen_wall_ns = clock_wall_ns();
    member->probed_ns = 0;
    touch(controller, member);
    if (verdict == SESSION_GAP)
        session_hold(&channel->session, message.number, octets, size_bytes);
    if (message.kind == MESSAGE_PING)
        answer_ping(controller, member, kind, message.ping_ns);
    else if (verdict == SESSION_TAKE)
        act(controller, member, kind, &message);
    return channel;
}

void sessions_take(struct controller *controller, const struct arrival *arrival)
{
    enum channel_kind kind = arrival->kind == ARRIVAL_BULK ? CHANNEL_BULK : CHANNEL_CONTROL;
    struct buffer held = {0}; /* what came before its turn, in its turn */
    struct channel *channel =
        take_record(controller, kind, &arrival->peer, arrival->octets, arrival->size_bytes);

    while (channel != NULL && session_next_held(&channel->session, &held)) {
        (void)take_record(controller, kind, &arrival->peer, held.data, held.size_bytes);
        held.size_bytes = 0;
    }
    buffer_close(&held);
}

int sessions_post(struct controller *controller, struct member *member, enum channel_kind kind,
                  struct message *message)
{
    struct channel *channel = &member->channels[kind];
    int result = channel_post(channel, message, controller->now_ns, &controller->wire);

    if (result == 0)
        controller_due(controller, channel_next_ns(channel));
    return result;
}

static void acknowledge_events(struct controller *controller, struct member *member)
{
    struct message message = {.kind = MESSAGE_EVENT_ACK, .event_ack = member->ack_due};

    if (member->ack_due == 0 ||
        sessions_post(controller, member, CHANNEL_CONTROL, &message) == -ENOBUFS)
        return;
    member->acked = member->ack_due;
    member->ack_due = 0; /* not connected: the next HELLO's answer says it */
}

void sessions_settle(struct controller *controller)
{
    struct member *member;

    while ((member = controller->sessions.touched) != NULL) {
        controller->sessions.touched = member->next_touched;
        member->is_touched = false;
        acknowledge_events(controller, member);
        for (unsigned kind = 0; kind < CHANNEL_COUNT; kind++) {
            struct channel *channel = &member->channels[kind];
            channel_flush(channel, controller->now_ns, &controller->kept, &controller->wire);
            channel_acknowledge(channel, controller->now_ns, &controller->wire);
        }
        controller_due(controller, member_next_ns(member));
    }
}

/* Some connection of control broke, and nobody says whose: each node is asked for a word, which its
 * session acknowledges at once. What is said again was said in this session: of what came in an
 * earlier one, a node that was put back since would take it for a word about other events. */
void sessions_probe(struct controller *controller)
{
    for (uint32_t i = 0; i < controller->registry.member_count; i++) {
        struct member *member = controller->registry.members[i];
        struct message message = {.kind = MESSAGE_EVENT_ACK, .event_ack = member->acked};

        if (!member_is_up(member) || member->probed_ns != 0)
            continue;
        member->probed_ns = controller->now_ns;
        (void)sessions_post(controller, member, CHANNEL_CONTROL, &message); /* no room: it owes
                                                                               words already */
        controller_due(controller, controller->now_ns + PROBE_NS);
    }
}

static bool is_dead(const struct controller *controller, const struct member *member)
{
    return session_is_dead(&member->channels[CHANNEL_CONTROL].session, controller->now_ns) ||
           (member->probed_ns != 0 && controller->now_ns >= member->probed_ns + PROBE_NS);
}

uint64_t sessions_sweep(struct controller *controller)
{
    uint64_t next_ns = UINT64_MAX;

    for (uint32_t i = 0; i < controller->registry.member_count; i++) {
        struct member *member = controller->registry.members[i];
        struct channel *control = &member->channels[CHANNEL_CONTROL];

        if (control->is_up && is_dead(controller, member))
            go_down(controller, member, 0);
        for (unsigned kind = 0; kind < CHANNEL_COUNT; kind++)
            channel_resend(&member->channels[kind], controller->now_ns, &controller->wire);
        if (member_next_ns(member) < next_ns)
            next_ns = member_next_ns(member);
    }
    return next_ns;
}
