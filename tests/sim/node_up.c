/* SPDX-License-Identifier: Apache-2.0 */
/* The node's half of its session: what upstream.c and upstream_events.c do with link and timers. */
#include "node_life.h"

#include <errno.h>
#include <string.h>

#include "checks.h"
#include "ensure.h"
#include "faults.h"
#include "wire.h"

#define HELLO_FIRST_NS (SECOND_NS / 50)
#define HELLO_MAX_NS SECOND_NS
#define RECONNECT_NS (SECOND_NS / 10)
#define ACK_NS (SECOND_NS / 50)
#define CHUNK 64 /* events of one message */

static uint64_t next_ns(const struct agent_up *up)
{
    uint64_t next = up->is_up ? session_next_ns(&up->session) : up->hello_ns;

    if (up->is_up && up->session.is_ack_owed && up->ack_ns < next)
        next = up->ack_ns;
    return next;
}

static void arm(struct sim *sim)
{
    struct agent_up *up = &sim->agent->up;
    uint64_t next = next_ns(up);

    if (!faults_has_controller(sim) || next == UINT64_MAX)
        return;
    if (next < sim->now.ns)
        next = sim->now.ns;
    if (up->timer_ns != 0 && up->timer_ns <= next)
        return;
    up->timer_ns = next;
    sim_at(sim, next, HAPPENING_AGENT_UPSTREAM, sim->agent->life, 0);
}

static void flush(struct sim *sim)
{
    struct buffer *out = &sim->agent->up.out;

    if (out->size_bytes > 0)
        wire_send(sim, WIRE_UP, out->data, out->size_bytes);
    buffer_consume(out, out->size_bytes);
}

/* ---- sessions ---- */

static void begin_session(struct sim *sim, uint64_t id)
{
    struct agent_up *up = &sim->agent->up;

    session_close(&up->session);
    session_init(&up->session, id, sim->now.ns);
    outbox_close(&up->outbox);
    up->is_up = id != 0;
}

static void lose_session(struct sim *sim)
{
    struct agent_up *up = &sim->agent->up;

    begin_session(sim, 0);
    up->hello_wait_ns = HELLO_FIRST_NS;
    up->hello_ns = sim->now.ns + RECONNECT_NS + sim_below(sim, 400 * MS_NS);
    uplink_down(&up->uplink);
}

static void greet(struct sim *sim)
{
    struct agent_up *up = &sim->agent->up;
    struct message message = {.kind = MESSAGE_HELLO};

    message.hello = (struct hello){.version = MESSAGE_VERSION,
                                   .node = "n0",
                                   .build = "sim",
                                   .epoch = sim->agent->core.epoch,
                                   .ledger_last = up->uplink.durable};
    begin_session(sim, 0);
    up->hello_wait_ns = up->hello_wait_ns * 2 > HELLO_MAX_NS ? HELLO_MAX_NS : up->hello_wait_ns * 2;
    up->hello_ns = sim->now.ns + up->hello_wait_ns;
    (void)session_post(&up->session, &message, sim->now.ns, &up->out);
    flush(sim);
}

void up_open(struct sim *sim, const struct store_heads *heads)
{
    struct agent_up *up = &sim->agent->up;
    const struct uplink_head acked = {heads->acked_epoch, heads->acked_seq};

    uplink_init(&up->uplink, heads->last_seq, &acked);
    session_init(&up->session, 0, sim->now.ns);
    up->is_up = false;
    up->begun = (struct session_begun){0};
    up->hello_wait_ns = HELLO_FIRST_NS;
    up->hello_ns = sim->now.ns;
    up->timer_ns = 0;
    arm(sim);
}

void up_close(struct sim *sim)
{
    struct agent_up *up = &sim->agent->up;

    session_close(&up->session);
    outbox_close(&up->outbox);
    arena_close(&up->arena);
    buffer_close(&up->out);
    buffer_close(&up->held);
}

/* ---- events on their way ---- */

static void send_events(struct sim *sim)
{
    static struct event events[CHUNK];
    static struct event_view views[CHUNK];
    struct agent_up *up = &sim->agent->up;
    size_t room;

    while (up->is_up && outbox_is_empty(&up->outbox) && (room = uplink_room(&up->uplink)) > 0) {
        struct message message = {.kind = MESSAGE_EVENTS};
        size_t count = 0;
        int result = store_reader_events(&sim->agent->store.reader,
                                         &(struct store_query){.after = up->uplink.sent}, events,
                                         room < CHUNK ? room : CHUNK, &count);

        ENSURE(result == 0);
        while (count > 0 && events[count - 1].seq > up->uplink.durable)
            count--; /* committed, and the loop has not heard of it */
        if (count == 0)
            return;
        for (size_t i = 0; i < count; i++)
            views[i] = (struct event_view){events[i], "n0", ""};
        message.events = (struct event_batch){views, count};
        if (session_post(&up->session, &message, sim->now.ns, &up->out) < 0)
            return;
        sim_trace(sim, "  sends seq %llu to %llu", (unsigned long long)events[0].seq,
                  (unsigned long long)events[count - 1].seq);
        uplink_sent(&up->uplink, &events[count - 1], count);
        flush(sim);
    }
}

void up_published(struct sim *sim, uint64_t last_seq)
{
    uplink_committed(&sim->agent->up.uplink, last_seq);
    if (sim->agent->up.uplink.state == UPLINK_LOOKING)
        agent_wake(sim);
    send_events(sim);
    arm(sim);
}

void up_turn(struct sim *sim)
{
    struct agent_up *up = &sim->agent->up;
    char detail[EVENT_DETAIL_BYTES];
    struct uplink_gap gap;
    struct uplink_look look;
    struct uplink_head acked;

    if (uplink_take_acked(&up->uplink, &acked))
        turn_core_ack_events(&sim->agent->core, acked.epoch, acked.seq);
    if (uplink_take_gap(&up->uplink, &gap)) {
        uplink_gap_format(&gap, detail);
        uplink_gap_numbered(&up->uplink,
                            turn_core_gap(&sim->agent->core, gap.above, detail, sim->now.wall_ns));
        sim_trace(sim, "  gap: %s", detail);
    }
    if (!uplink_wants_look(&up->uplink, &look))
        return;
    int result = store_reader_look(&sim->agent->store.reader, &look);
    ENSURE(result == 0);
    uplink_looked(&up->uplink, &look);
    agent_wake(sim);
    send_events(sim);
}

/* ---- receipts ---- */

void up_receipt(struct sim *sim, const struct ct_receipt *receipt)
{
    struct agent_up *up = &sim->agent->up;
    struct message message = {.kind = MESSAGE_RECEIPT};

    if (!up->is_up)
        return; /* it is asked for again */
    message.receipt = (struct receipt){.request_id = receipt->request, .phase = receipt->phase};
    message.receipt.fault = (struct fault_view){.status = receipt->fault.status,
                                                .text = receipt->fault.text,
                                                .hint = "",
                                                .container = "",
                                                .node = "n0"};
    (void)outbox_post(&up->outbox, &up->session, &message, sim->now.ns, &up->out);
    flush(sim);
    arm(sim);
}

/* ---- what comes down ---- */

static void on_hello_answer(struct sim *sim, const struct hello_answer *answer)
{
    struct agent_up *up = &sim->agent->up;
    const struct uplink_head head = {answer->acknowledged_epoch, answer->acknowledged};

    if (!session_may_begin(&up->begun, answer->session))
        return;
    if (up->is_up)
        lose_session(sim);
    begin_session(sim, answer->session);
    sim_trace(sim, "  session: upstream has seq %llu", (unsigned long long)head.seq);
    uplink_up(&up->uplink, &head);
    agent_wake(sim);
}

static void take(struct sim *sim, const struct message *message, const uint8_t *data,
                 size_t size_bytes)
{
    struct agent_up *up = &sim->agent->up;

    if (message->kind == MESSAGE_HELLO_ANSWER) {
        on_hello_answer(sim, &message->hello_answer);
        return;
    }
    if (message->kind == MESSAGE_RESET) {
        if (up->is_up && message->reset == up->session.id)
            lose_session(sim);
        return;
    }
    if (!up->is_up)
        return;
    bool was_owed = up->session.is_ack_owed;
    enum session_verdict verdict = session_accept(&up->session, message, sim->now.ns);
    if (up->session.is_ack_owed && !was_owed)
        up->ack_ns = sim->now.ns + ACK_NS;
    if (verdict == SESSION_GAP)
        session_hold(&up->session, message->number, data, size_bytes);
    if (verdict != SESSION_TAKE)
        return;
    if (message->kind == MESSAGE_COMMAND)
        requests_take(sim, ORIGIN_UPSTREAM, &message->command);
    if (message->kind == MESSAGE_EVENT_ACK &&
        uplink_acknowledge(&up->uplink, message->event_ack) == UPLINK_ACK_NEW)
        agent_wake(sim);
}

static void take_octets(struct sim *sim, const uint8_t *data, size_t size_bytes)
{
    struct agent_up *up = &sim->agent->up;
    struct message message;

    arena_reset(&up->arena);
    int result = codec_decode(data, size_bytes, &up->arena, &message);
    ENSURE(result == 0);
    take(sim, &message, data, size_bytes);
}

void up_packet(struct sim *sim, const uint8_t *data, size_t size_bytes)
{
    struct agent_up *up = &sim->agent->up;

    take_octets(sim, data, size_bytes);
    while (up->is_up && session_next_held(&up->session, &up->held)) {
        take_octets(sim, up->held.data, up->held.size_bytes);
        buffer_consume(&up->held, up->held.size_bytes);
    }
    while (up->is_up && outbox_next(&up->outbox, &up->session, sim->now.ns, &up->arena, &up->out))
        flush(sim);
    send_events(sim);
    arm(sim);
}

void up_wake(struct sim *sim)
{
    struct agent_up *up = &sim->agent->up;
    struct message ping = {.kind = MESSAGE_PING, .ping_ns = sim->now.ns};
    struct message pong = {.kind = MESSAGE_PONG};

    if (up->timer_ns <= sim->now.ns)
        up->timer_ns = 0;
    if (!up->is_up && sim->now.ns >= up->hello_ns)
        greet(sim);
    while (up->is_up && session_due(&up->session, sim->now.ns, &up->out))
        flush(sim);
    if (up->is_up && up->session.is_ack_owed && sim->now.ns >= up->ack_ns) {
        (void)session_post(&up->session, &pong, sim->now.ns, &up->out);
        flush(sim);
    }
    if (up->is_up && session_is_dead(&up->session, sim->now.ns))
        lose_session(sim);
    if (up->is_up && sim->now.ns >= up->session.ping_ns) {
        (void)session_post(&up->session, &ping, sim->now.ns, &up->out);
        flush(sim);
    }
    arm(sim);
}
