/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream.h"

#include <inttypes.h>
#include <string.h>

#include "checks.h"
#include "ensure.h"
#include "faults.h"
#include "operators.h"
#include "vfs.h"
#include "wire.h"

static void flush(struct sim *sim)
{
    struct buffer *out = &sim->ctl->out;

    if (out->size_bytes > 0)
        wire_send(sim, WIRE_DOWN, out->data, out->size_bytes);
    buffer_consume(out, out->size_bytes);
}

static void arm(struct sim *sim)
{
    struct ctl *ctl = sim->ctl;
    uint64_t next = session_next_ns(&ctl->session);

    if (!ctl->is_up)
        return;
    if (ctl->session.is_ack_owed && sim->now.ns + 20 * MS_NS < next)
        next = sim->now.ns + 20 * MS_NS;
    if (next < sim->now.ns)
        next = sim->now.ns;
    if (ctl->timer_ns != 0 && ctl->timer_ns <= next)
        return;
    ctl->timer_ns = next;
    sim_at(sim, next, HAPPENING_CTL_TURN, ctl->life, 0);
}

static int post(struct sim *sim, struct message *message)
{
    struct ctl *ctl = sim->ctl;
    int result = outbox_post(&ctl->outbox, &ctl->session, message, sim->now.ns, &ctl->out);

    flush(sim);
    arm(sim);
    return result;
}

/* ---- life ---- */

void ctl_open(struct sim *sim)
{
    memset(sim->ctl, 0, sizeof(*sim->ctl));
}

static void forget(struct ctl *ctl)
{
    session_close(&ctl->session);
    outbox_close(&ctl->outbox);
    arena_close(&ctl->arena);
    buffer_close(&ctl->out);
    buffer_close(&ctl->held);
    ctl->is_up = false;
    ctl->timer_ns = 0;
    ctl->ack_due = 0;
}

void ctl_close(struct sim *sim)
{
    if (!sim->ctl->is_alive)
        return;
    ctl_disk_close(sim);
    forget(sim->ctl);
}

void ctl_start(struct sim *sim)
{
    struct ctl *ctl = sim->ctl;

    if (ctl->is_alive)
        return;
    ctl->life++;
    if (ctl_disk_open(sim) < 0) {
        simvfs_kill(DISK_CTL); /* it dies of it */
        sim_after(sim, SECOND_NS, HAPPENING_CTL_START, 0, 0);
        return;
    }
    ctl->is_alive = true;
    session_init(&ctl->session, 0, sim->now.ns);
    sim_trace(sim, "  controller %" PRIu32 " starts with seq %" PRIu64, ctl->life,
              ctl->ingest.committed.seq);
}

void ctl_crash(struct sim *sim, const char *why)
{
    struct ctl *ctl = sim->ctl;

    if (!ctl->is_alive)
        return;
    sim_trace(sim, "  controller %" PRIu32 " dies: %s", ctl->life, why);
    ctl->is_alive = false;
    ctl->life++;
    ctl_disk_close(sim);
    forget(ctl);
    sim_after(sim, sim_delay(sim, 300 * MS_NS), HAPPENING_CTL_START, 0, 0);
}

/* ---- the session ---- */

static void take_hello(struct sim *sim, const struct hello *hello)
{
    struct ctl *ctl = sim->ctl;
    struct message message = {.kind = MESSAGE_HELLO_ANSWER};

    if (!ctl->is_up || ctl->session.received != 0 || ctl->session.sent != 0 ||
        ctl->session_epoch != hello->epoch) {
        session_close(&ctl->session);
        outbox_close(&ctl->outbox);
        session_init(&ctl->session, prng_next(&sim->prng) | 1, sim->now.ns);
        ctl->ingest.session = ctl->session.id;
        ctl->is_up = true;
        ctl->session_epoch = hello->epoch;
        ctl->ack_due = 0;
    }
    message.hello_answer = (struct hello_answer){.version = MESSAGE_VERSION,
                                                 .session = ctl->session.id,
                                                 .acknowledged = ctl->ingest.committed.seq,
                                                 .acknowledged_epoch = ctl->ingest.committed.epoch};
    if (codec_encode(&message, &ctl->out) == 0)
        flush(sim);
    arm(sim);
}

static void hint_reset(struct sim *sim, uint64_t session)
{
    struct message message = {.kind = MESSAGE_RESET, .reset = session};

    if (session != 0 && codec_encode(&message, &sim->ctl->out) == 0)
        flush(sim);
}

static void take_events(struct sim *sim, const struct event_batch *events)
{
    struct ctl_batch *batch = ctl_batch_new();

    batch->now_wall_ns = sim->now.wall_ns;
    checks_told_upstream(sim, events);
    (void)ingest_take(&sim->ctl->ingest, events->events, events->count, batch);
    ctl_post(sim, batch);
}

static void act(struct sim *sim, const struct message *message)
{
    if (message->kind == MESSAGE_EVENTS)
        take_events(sim, &message->events);
    if (message->kind == MESSAGE_RECEIPT)
        operators_hear(sim, message->receipt.request_id, message->receipt.phase,
                       message->receipt.fault.status);
}

static void take_octets(struct sim *sim, const uint8_t *data, size_t size_bytes)
{
    struct ctl *ctl = sim->ctl;
    struct message message;
    struct message pong = {.kind = MESSAGE_PONG};

    arena_reset(&ctl->arena);
    int result = codec_decode(data, size_bytes, &ctl->arena, &message);
    ENSURE(result == 0);
    if (message.kind == MESSAGE_HELLO) {
        take_hello(sim, &message.hello);
        return;
    }
    if (!ctl->is_up || message.session != ctl->session.id) {
        hint_reset(sim, message.session);
        return;
    }
    enum session_verdict verdict = session_accept(&ctl->session, &message, sim->now.ns);
    if (message.kind == MESSAGE_PING) {
        pong.ping_ns = message.ping_ns;
        (void)post(sim, &pong);
    } else if (verdict == SESSION_TAKE) {
        act(sim, &message);
    }
    if (verdict == SESSION_GAP)
        session_hold(&ctl->session, message.number, data, size_bytes);
}

void ctl_packet(struct sim *sim, const uint8_t *data, size_t size_bytes)
{
    struct ctl *ctl = sim->ctl;

    if (!ctl->is_alive)
        return;
    take_octets(sim, data, size_bytes);
    while (ctl->is_alive && ctl->is_up && session_next_held(&ctl->session, &ctl->held)) {
        take_octets(sim, ctl->held.data, ctl->held.size_bytes);
        buffer_consume(&ctl->held, ctl->held.size_bytes);
    }
    while (ctl->is_alive &&
           outbox_next(&ctl->outbox, &ctl->session, sim->now.ns, &ctl->arena, &ctl->out))
        flush(sim);
    arm(sim);
}

void ctl_acknowledge(struct sim *sim, uint64_t seq)
{
    struct message message = {.kind = MESSAGE_EVENT_ACK, .event_ack = seq};

    if (sim->ctl->is_up)
        (void)post(sim, &message);
}

void ctl_turn(struct sim *sim)
{
    struct ctl *ctl = sim->ctl;
    struct message pong = {.kind = MESSAGE_PONG};

    if (ctl->timer_ns <= sim->now.ns)
        ctl->timer_ns = 0;
    if (ctl->is_up && session_is_dead(&ctl->session, sim->now.ns)) {
        session_close(&ctl->session);
        outbox_close(&ctl->outbox);
        ctl->is_up = false;
        return;
    }
    while (ctl->is_up && session_due(&ctl->session, sim->now.ns, &ctl->out))
        flush(sim);
    if (ctl->is_up && (ctl->session.is_ack_owed || sim->now.ns >= ctl->session.ping_ns)) {
        if (sim->now.ns >= ctl->session.ping_ns)
            pong = (struct message){.kind = MESSAGE_PING, .ping_ns = sim->now.ns};
        (void)session_post(&ctl->session, &pong, sim->now.ns, &ctl->out);
        flush(sim);
    }
    arm(sim);
}

bool ctl_command(struct sim *sim, const struct command *command)
{
    struct message message = {.kind = MESSAGE_COMMAND, .command = *command};

    if (!sim->ctl->is_alive || !sim->ctl->is_up)
        return false;
    message.command.node = "n0";
    return post(sim, &message) >= 0;
}
