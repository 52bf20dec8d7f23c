/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events on their way up: what uplink.c decides meets ledger, turn and session here.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "agent.h"
#include "cleanup.h"
#include "clock.h"
#include "store_limits.h"

#define ACKED_WAIT_NS (SECOND_NS / 10)

static_assert(UPLINK_SEQS_AHEAD <= STORE_WINDOW_EVENTS, "what was sent is not dropped");

void upstream_events_init(struct upstream *upstream, const struct store_heads *heads)
{
    const struct uplink_head acked = {heads->acked_epoch, heads->acked_seq};

    uplink_init(&upstream->uplink, heads->last_seq, &acked);
}

/* ---- read from the ledger, sent in order ---- */

static bool send_events(struct follower *follower, const struct event *events, size_t count,
                        bool is_last)
{
    struct upstream *upstream = &follower->agent->upstream;
    struct event_view views[PUBLISHER_CHUNK];

    (void)is_last; /* upstream follows for ever */
    if (count == 0)
        return true;
    if (count > uplink_room(&upstream->uplink))
        return false;
    for (size_t i = 0; i < count; i++)
        views[i] = (struct event_view){events[i], follower->agent->options->node, ""};
    if (!upstream_send_events(upstream, &(struct event_batch){views, count}))
        return false;
    uplink_sent(&upstream->uplink, &events[count - 1], count);
    return true;
}

/* What the ledger holds for upstream cannot be told. */
static _Noreturn void die_unread(int error)
{
    struct fault fault = {0};

    fault_set(&fault, STATUS_FAILED, -error, "the ledger cannot be read");
    agent_die(&fault);
}

static void fail_events(struct follower *follower, int error)
{
    (void)follower;
    die_unread(error);
}

static void stop_reading(struct upstream *upstream)
{
    if (upstream->follower != NULL)
        publisher_remove(&upstream->agent->publisher, upstream->follower);
    upstream->follower = NULL;
}

static void read_on(struct upstream *upstream)
{
    struct follower follower = {.send = send_events,
                                .fail = fail_events,
                                .origin = ORIGIN_UPSTREAM,
                                .seq = upstream->uplink.sent};

    if (upstream->uplink.state == UPLINK_SENDING && upstream->follower == NULL)
        upstream->follower = publisher_add(&upstream->agent->publisher, &follower);
}

/* ---- what the ledger shows of upstream's head ---- */

static bool run_look(struct work *work)
{
    struct upstream_look *look = container_of(work, struct upstream_look, work);

    look->result = store_look(look->store, &look->look);
    return true;
}

static void on_looked(struct work *work)
{
    struct upstream_look *look = container_of(work, struct upstream_look, work);
    struct upstream *upstream = look->upstream;

    look->is_busy = false;
    if (upstream->agent->is_ending)
        return;
    if (look->result < 0)
        die_unread(look->result);
    uplink_looked(&upstream->uplink, &look->look);
    read_on(upstream);
    agent_wake(upstream->agent); /* a gap, or another look, is the next turn's */
}

static void begin_look(struct upstream *upstream)
{
    struct upstream_look *look = &upstream->look;

    if (look->is_busy || !uplink_wants_look(&upstream->uplink, &look->look))
        return;
    look->is_busy = true;
    look->upstream = upstream;
    look->store = upstream->agent->store;
    look->work = (struct work){.run = run_look, .on_done = on_looked};
    executor_post(&upstream->agent->executor, WORKER_LEDGER, &look->work);
}

/* ---- the turn ---- */

void upstream_give_acked(struct upstream *upstream, struct turn_core *core)
{
    struct uplink_head acked;

    if (uplink_take_acked(&upstream->uplink, &acked))
        turn_core_ack_events(core, acked.epoch, acked.seq);
    upstream->acked_due_ns = 0;
}

void upstream_give(struct upstream *upstream, struct turn_core *core, const struct now *now)
{
    struct uplink *uplink = &upstream->uplink;
    char detail[EVENT_DETAIL_BYTES];
    struct uplink_gap gap;

    if (uplink_is_acked_urgent(uplink) ||
        (upstream->acked_due_ns != 0 && upstream->acked_due_ns <= now->ns))
        upstream_give_acked(upstream, core);
    if (uplink_take_gap(uplink, &gap)) {
        uplink_gap_format(&gap, detail);
        uplink_gap_numbered(uplink, turn_core_gap(core, gap.above, detail, now->wall_ns));
        (void)fprintf(stderr, "drover-agent: warning: told the controller a gap: %s\n", detail);
    }
    begin_look(upstream);
}

void upstream_on_committed(struct upstream *upstream, uint64_t seq)
{
    uplink_committed(&upstream->uplink, seq);
    if (upstream->uplink.state != UPLINK_SENDING)
        stop_reading(upstream); /* the gap is durable: it is looked again before more is sent */
}

void upstream_on_acked_committed(struct upstream *upstream, uint64_t seq)
{
    uplink_acked_committed(&upstream->uplink, seq);
    if (upstream->follower != NULL)
        publisher_pump(&upstream->agent->publisher, upstream->follower);
}

/* ---- the session ---- */

void upstream_events_up(struct upstream *upstream, const struct uplink_head *head)
{
    stop_reading(upstream);
    uplink_up(&upstream->uplink, head);
}

void upstream_events_down(struct upstream *upstream)
{
    stop_reading(upstream);
    uplink_down(&upstream->uplink);
}

void upstream_events_acked(struct upstream *upstream, uint64_t seq)
{
    struct uplink *uplink = &upstream->uplink;
    enum uplink_ack ack = uplink_acknowledge(uplink, seq);

    /* A write of its own for each would cost a second sync for each event. */
    if (ack == UPLINK_ACK_NEW && upstream->acked_due_ns == 0)
        upstream->acked_due_ns = clock_monotonic_ns() + ACKED_WAIT_NS;
    if (ack == UPLINK_ACK_STRANGE && uplink->strange_acks == 1)
        (void)fprintf(stderr,
                      "drover-agent: warning: the controller acknowledged event %" PRIu64
                      ", which was never sent; ignored, this time and later\n",
                      seq);
    if (upstream->follower != NULL)
        publisher_pump(&upstream->agent->publisher, upstream->follower);
}
