/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "cleanup.h"
#include "clock.h"

#define HELLO_FIRST_NS (SECOND_NS / 50) /* a greeting without an answer is said again, doubled */
#define HELLO_MAX_NS SECOND_NS          /* up to this: nanomsg connects behind our back */
#define RECONNECT_NS (SECOND_NS / 10) /* a new session after the last was lost, plus up to 0.4 s */
#define ACK_NS (SECOND_NS / 50)       /* an acknowledgement waits so long for company */

static void rearm(struct upstream *upstream);

static void flush_out(struct channel *channel)
{
    if (channel->out.size_bytes == 0)
        return;
    /* A datagram that does not go now is lost like any other: the session sends it again. */
    (void)link_send(&channel->link, NULL, channel->out.data, channel->out.size_bytes);
    buffer_consume(&channel->out, channel->out.size_bytes);
}

/* The session stamps its numbers into `message`. Below 0: it is neither sent nor kept. */
static int post(struct channel *channel, struct message *message)
{
    int result = outbox_post(&channel->outbox, &channel->session, message, clock_monotonic_ns(),
                             &channel->out);

    if (result > 0)
        flush_out(channel);
    rearm(channel->upstream);
    return result;
}

/* After an acknowledgement: what waited goes out. */
static void flush_outbox(struct channel *channel)
{
    while (outbox_next(&channel->outbox, &channel->session, clock_monotonic_ns(), &channel->kept,
                       &channel->out))
        flush_out(channel);
}

static void begin_session(struct channel *channel, uint64_t id)
{
    session_close(&channel->session);
    outbox_close(&channel->outbox);
    session_init(&channel->session, id, clock_monotonic_ns());
}

/* ---- greeting ---- */

static bool views_have_room(struct container_view **views, const struct hello *hello, size_t *room)
{
    if (hello->container_count < *room)
        return true;
    size_t grown = *room == 0 ? 64 : *room * 2;
    struct container_view *bigger = realloc(*views, grown * sizeof(**views));
    if (bigger == NULL)
        return false;
    *views = bigger;
    *room = grown;
    return true;
}

/* The containers, if they fit into one record; else they are listed once the session stands. */
static struct container_view *greet_views(struct channel *channel, struct hello *hello)
{
    struct agent *agent = channel->upstream->agent;
    struct container_view *views = NULL;
    struct container_view view;
    size_t size_bytes = 0;
    size_t room = 0;

    channel->is_list_owed = false;
    for (uint32_t i = 0; channel == &channel->upstream->control; i++) {
        if (!listing_view_at(agent, &i, &view))
            break;
        size_bytes += codec_view_bytes(&view);
        if (size_bytes > MESSAGE_BYTES_MAX / 2 || !views_have_room(&views, hello, &room)) {
            channel->is_list_owed = hello->is_partial = true;
            hello->container_count = 0;
            break;
        }
        views[hello->container_count++] = view;
    }
    hello->containers = views;
    return views;
}

static void greet(struct channel *channel)
{
    struct agent *agent = channel->upstream->agent;
    struct message message = {.kind = MESSAGE_HELLO};

    message.hello = (struct hello){.version = MESSAGE_VERSION,
                                   .node = agent->options->node,
                                   .build = DROVER_VERSION,
                                   .epoch = agent->core.epoch,
                                   .ledger_last = agent->publisher.published,
                                   .started_wall_ns = agent->started_wall_ns};
    struct container_view *views = greet_views(channel, &message.hello);

    uint64_t now_ns = clock_monotonic_ns();
    begin_session(channel, 0);
    channel->state = UPSTREAM_GREETING;
    channel->hello_ns = now_ns + channel->hello_wait_ns;
    channel->hello_wait_ns =
        channel->hello_wait_ns * 2 > HELLO_MAX_NS ? HELLO_MAX_NS : channel->hello_wait_ns * 2;
    (void)session_post(&channel->session, &message, now_ns, &channel->out);
    flush_out(channel);
    free(views);
}

/* Nothing of the old session holds; streams end, events go up again from what is acknowledged. */
static void lose_session(struct channel *channel)
{
    struct upstream *upstream = channel->upstream;

    if (channel->state == UPSTREAM_OFF)
        return;
    channel->state = UPSTREAM_GREETING;
    channel->hello_wait_ns = HELLO_FIRST_NS;
    channel->hello_ns =
        clock_monotonic_ns() + RECONNECT_NS + randombytes_uniform(400) * UINT64_C(1000000);
    begin_session(channel, 0);
    if (channel == &upstream->control) {
        upstream->session_text[0] = '\0';
        upstream_events_down(upstream);
        listings_drop(&upstream->agent->listings, ORIGIN_UPSTREAM);
        publisher_remove_origin(&upstream->agent->publisher, ORIGIN_UPSTREAM);
    } else {
        streams_origin_gone(&upstream->agent->streams, ORIGIN_UPSTREAM);
    }
    rearm(upstream);
}

void upstream_list_again(struct upstream *upstream)
{
    if (upstream->control.state == UPSTREAM_UP)
        listings_add(&upstream->agent->listings, ORIGIN_UPSTREAM, NULL);
}

static void on_hello_answer(struct channel *channel, const struct hello_answer *answer)
{
    struct upstream *upstream = channel->upstream;
    const struct uplink_head head = {answer->acknowledged_epoch, answer->acknowledged};

    if (!session_may_begin(&channel->begun, answer->session))
        return;
    if (channel->state == UPSTREAM_UP)
        lose_session(channel); /* the other end began anew: its streams are gone there */
    begin_session(channel, answer->session);
    channel->state = UPSTREAM_UP;
    if (channel == &upstream->bulk)
        return;
    (void)snprintf(upstream->session_text, sizeof(upstream->session_text), "%016" PRIx64,
                   answer->session);
    if (channel->is_list_owed)
        upstream_list_again(upstream);
    upstream_events_up(upstream, &head);
}

/* ---- what comes down ---- */

static void take_control(struct upstream *upstream, const struct message *message)
{
    struct agent *agent = upstream->agent;

    switch ((int)message->kind) {
    case MESSAGE_COMMAND:
        requests_take_command(agent, ORIGIN_UPSTREAM, &message->command);
        return;
    case MESSAGE_QUERY:
        requests_take_query(agent, ORIGIN_UPSTREAM, &message->query);
        return;
    case MESSAGE_EVENT_ACK:
        upstream_events_acked(upstream, message->event_ack);
        return;
    }
}

static void answer_unsupported(struct channel *channel, const struct message *message)
{
    struct message answer = {.kind = MESSAGE_ANSWER};

    (void)message; /* of a kind that this build cannot even name: it has no request id for us */
    answer.answer.is_last = true;
    answer.answer.request_id = "";
    answer.answer.fault = (struct fault_view){.status = STATUS_UNSUPPORTED,
                                              .text = "this agent does not know that message",
                                              .hint = "",
                                              .container = "",
                                              .node = channel->upstream->agent->options->node};
    (void)post(channel, &answer);
}

static void act(struct channel *channel, const struct message *message, bool is_known)
{
    struct upstream *upstream = channel->upstream;

    if (!is_known)
        answer_unsupported(channel, message);
    else if (channel == &upstream->control)
        take_control(upstream, message);
    else
        streams_take(&upstream->agent->streams, ORIGIN_UPSTREAM, message);
}

/* One record. What is none of ours is as good as lost. */
static void take(struct channel *channel, const uint8_t *data, size_t size_bytes)
{
    struct session *session = &channel->session;
    uint64_t now_ns = clock_monotonic_ns();
    struct message message;

    arena_reset(&channel->arena);
    int result = codec_decode(data, size_bytes, &channel->arena, &message);
    if (result < 0 && result != -EOPNOTSUPP)
        return;
    bool is_known = result == 0;
    if (is_known && message.kind == MESSAGE_HELLO_ANSWER) {
        on_hello_answer(channel, &message.hello_answer);
        return;
    }
    if (is_known && message.kind == MESSAGE_RESET) {
        if (channel->state == UPSTREAM_UP && message.reset == session->id)
            lose_session(channel);
        return;
    }
    if (channel->state != UPSTREAM_UP)
        return;
    bool was_owed = session->is_ack_owed;
    enum session_verdict verdict = session_accept(session, &message, now_ns);
    if (session->is_ack_owed && !was_owed)
        channel->ack_ns = now_ns + ACK_NS;
    if (verdict == SESSION_GAP)
        session_hold(session, message.number, data, size_bytes);
    if (verdict == SESSION_TAKE)
        act(channel, &message, is_known);
}

/* What was acknowledged made room: first for what waits, then for what is read on. */
static void drained(struct channel *channel)
{
    struct agent *agent = channel->upstream->agent;

    if (channel->state != UPSTREAM_UP)
        return;
    flush_outbox(channel);
    if (!outbox_is_empty(&channel->outbox))
        return;
    if (channel == &channel->upstream->control) {
        listings_pump(&agent->listings, ORIGIN_UPSTREAM);
        publisher_pump_origin(&agent->publisher, ORIGIN_UPSTREAM);
    } else if (session_has_room(&channel->session, STREAM_FRAME_BYTES_MAX * 2)) {
        streams_origin_drained(&agent->streams, ORIGIN_UPSTREAM);
    }
}

static void on_message(struct link *link, const struct link_peer *peer, const uint8_t *data,
                       size_t size_bytes)
{
    struct channel *channel = container_of(link, struct channel, link);

    (void)peer; /* there is one */
    take(channel, data, size_bytes);
    while (session_next_held(&channel->session, &channel->held)) {
        take(channel, channel->held.data, channel->held.size_bytes);
        channel->held.size_bytes = 0;
    }
    drained(channel);
    rearm(channel->upstream);
}

static void on_changed(struct link *link)
{
    struct channel *channel = container_of(link, struct channel, link);

    lose_session(channel);
    if (channel->state == UPSTREAM_GREETING) {
        channel->hello_ns = clock_monotonic_ns();
        channel->hello_wait_ns = HELLO_FIRST_NS;
    }
    rearm(channel->upstream);
}

/* ---- time ---- */

static void tick_channel(struct channel *channel, uint64_t now_ns)
{
    struct message ping = {.kind = MESSAGE_PING, .ping_ns = now_ns};
    struct message ack = {.kind = MESSAGE_PONG};

    if (channel->state == UPSTREAM_GREETING && now_ns >= channel->hello_ns)
        greet(channel);
    if (channel->state != UPSTREAM_UP)
        return;
    while (session_due(&channel->session, now_ns, &channel->out))
        flush_out(channel);
    if (channel->session.is_ack_owed && now_ns >= channel->ack_ns) {
        (void)session_post(&channel->session, &ack, now_ns, &channel->out);
        flush_out(channel);
    }
    bool is_control = channel == &channel->upstream->control;
    if (is_control && session_is_dead(&channel->session, now_ns)) {
        lose_session(channel);
        lose_session(&channel->upstream->bulk);
        return;
    }
    if (is_control && now_ns >= channel->session.ping_ns) {
        (void)session_post(&channel->session, &ping, now_ns, &channel->out);
        flush_out(channel);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct upstream *upstream = container_of(timer, struct upstream, timer);
    uint64_t now_ns = clock_monotonic_ns();

    tick_channel(&upstream->control, now_ns);
    tick_channel(&upstream->bulk, now_ns);
    rearm(upstream);
}

static uint64_t channel_next(const struct channel *channel)
{
    if (channel->state == UPSTREAM_GREETING)
        return channel->hello_ns;
    if (channel->state != UPSTREAM_UP)
        return UINT64_MAX;
    /* Bulk has no pings: theirs would be due for ever, and the loop would never get to poll. */
    bool is_control = channel == &channel->upstream->control;
    uint64_t next_ns = is_control ? session_next_ns(&channel->session) : channel->session.due_ns;
    if (channel->session.is_ack_owed && channel->ack_ns < next_ns)
        next_ns = channel->ack_ns;
    return next_ns;
}

static void rearm(struct upstream *upstream)
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t control_ns = channel_next(&upstream->control);
    uint64_t bulk_ns = channel_next(&upstream->bulk);
    uint64_t next_ns = control_ns < bulk_ns ? control_ns : bulk_ns;

    /* The turn that follows the timer does it: a timer that is due at once would run before it. */
    if (upstream->acked_due_ns != 0 && upstream->acked_due_ns < next_ns)
        next_ns = upstream->acked_due_ns > now_ns ? upstream->acked_due_ns : now_ns + NS_PER_MS;
    if (upstream->control.state == UPSTREAM_OFF || next_ns == UINT64_MAX)
        return;
    uv_update_time(&upstream->agent->loop);
    (void)uv_timer_start(&upstream->timer, on_timer,
                         next_ns <= now_ns ? 0 : (next_ns - now_ns) / 1000000 + 1, 0);
}

/* ---- life ---- */

static int open_channel(struct upstream *upstream, struct channel *channel, const char *url,
                        struct fault *fault)
{
    int result = link_connect(&channel->link, &upstream->agent->loop, url, on_message, on_changed);

    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "cannot connect to %s", url);
        return result;
    }
    channel->upstream = upstream;
    channel->is_open = true;
    channel->state = UPSTREAM_GREETING;
    channel->hello_wait_ns = HELLO_FIRST_NS;
    channel->hello_ns = clock_monotonic_ns();
    session_init(&channel->session, 0, channel->hello_ns);
    return 0;
}

int upstream_open(struct upstream *upstream, struct agent *agent, const char *url,
                  struct fault *fault)
{
    char bulk[128];

    upstream->agent = agent;
    upstream->control.upstream = upstream->bulk.upstream = upstream;
    if (url[0] == '\0')
        return 0;
    int result = link_url_bulk(url, bulk, sizeof(bulk));
    if (result < 0) {
        fault_set(fault, STATUS_INVALID, 0, "%s has no port above it for bulk", url);
        return result;
    }
    (void)uv_timer_init(&agent->loop, &upstream->timer);
    result = open_channel(upstream, &upstream->control, url, fault);
    if (result == 0)
        result = open_channel(upstream, &upstream->bulk, bulk, fault);
    rearm(upstream);
    return result;
}

static void on_link_closed(struct link *link)
{
    struct channel *channel = container_of(link, struct channel, link);

    session_close(&channel->session);
    outbox_close(&channel->outbox);
    arena_close(&channel->arena);
    arena_close(&channel->kept);
    buffer_close(&channel->out);
    buffer_close(&channel->held);
}

void upstream_leave(struct upstream *upstream)
{
    struct message message = {.kind = MESSAGE_RESET, .reset = upstream->control.session.id};

    if (upstream->control.state == UPSTREAM_UP)
        (void)post(&upstream->control, &message); /* lost: it is missed by its pings */
    if (upstream->acked_due_ns != 0)
        upstream->acked_due_ns = 1; /* past: the last turn writes down what upstream has */
}

void upstream_close(struct upstream *upstream)
{
    struct channel *channels[] = {&upstream->control, &upstream->bulk};

    upstream_events_down(upstream);
    if (upstream->control.is_open)
        uv_close((uv_handle_t *)&upstream->timer, NULL);
    for (size_t i = 0; i < 2; i++) {
        if (!channels[i]->is_open)
            continue;
        channels[i]->is_open = false;
        channels[i]->state = UPSTREAM_OFF;
        link_close(&channels[i]->link, on_link_closed);
    }
}

bool upstream_send(struct upstream *upstream, const struct message *message)
{
    struct message copy = *message;

    return upstream->control.state == UPSTREAM_UP && post(&upstream->control, &copy) >= 0;
}

bool upstream_has_room(const struct upstream *upstream)
{
    const struct channel *control = &upstream->control;

    return control->state == UPSTREAM_UP && outbox_is_empty(&control->outbox) &&
           session_has_room(&control->session, MESSAGE_BYTES_MAX);
}

bool upstream_send_events(struct upstream *upstream, const struct event_batch *batch)
{
    struct message message = {.kind = MESSAGE_EVENTS, .events = *batch};

    return upstream_has_room(upstream) && post(&upstream->control, &message) > 0;
}

bool upstream_send_bulk(struct upstream *upstream, const struct message *message)
{
    const struct channel *bulk = &upstream->bulk;
    struct message copy = *message;

    /* Frames wait where they come from; the last word of a stream, and what it grants, here. */
    if (bulk->state != UPSTREAM_UP ||
        (message->kind == MESSAGE_STREAM_FRAME &&
         (!outbox_is_empty(&bulk->outbox) ||
          !session_has_room(&bulk->session, 2 * STREAM_FRAME_BYTES_MAX))))
        return false;
    return post(&upstream->bulk, &copy) >= 0;
}

const char *upstream_session_text(const struct upstream *upstream)
{
    return upstream->session_text;
}
