/* SPDX-License-Identifier: Apache-2.0 */
#include "uplink.h"

#include <inttypes.h>
#include <stdio.h>

#include "ensure.h"

static const char *const reasons[] = {
    [UPLINK_PRUNED] = "pruned",
    [UPLINK_ROLLED_BACK] = "ledger_rolled_back",
};

void uplink_init(struct uplink *uplink, uint64_t durable, const struct uplink_head *acked)
{
    *uplink = (struct uplink){.durable = durable,
                              .acked = *acked,
                              .stored = *acked,
                              .stored_durable = acked->seq,
                              .sent = acked->seq};
}

/* ---- sessions ---- */

static void forget_batches(struct uplink *uplink)
{
    uplink->batch_count = 0;
    uplink->in_flight = 0;
}

static void look(struct uplink *uplink)
{
    uplink->state = UPLINK_LOOKING;
    uplink->is_look_asked = false;
}

void uplink_up(struct uplink *uplink, const struct uplink_head *head)
{
    forget_batches(uplink);
    uplink->head = (struct uplink_head){0};
    if (head->seq > 0 && head->seq <= UPLINK_HEAD_MAX)
        uplink->head = *head;
    uplink->strange_acks += head->seq > UPLINK_HEAD_MAX;
    look(uplink);
    /* It was put back: what it lost must not be pruned here. */
    if (uplink->head.seq < uplink->acked.seq)
        uplink->acked = uplink->head;
}

void uplink_down(struct uplink *uplink)
{
    forget_batches(uplink);
    uplink->state = UPLINK_DOWN;
}

/* ---- what the ledger shows of upstream's head ---- */

bool uplink_wants_look(struct uplink *uplink, struct uplink_look *ret_question)
{
    /* A gap of the session before must be there to be found, or it would be told twice; and what is
     * counted as pruned must not become more meanwhile. */
    if (uplink->state != UPLINK_LOOKING || uplink->is_look_asked ||
        uplink->gap_seq > uplink->durable || uplink->stored_durable > uplink->head.seq)
        return false;
    uplink->is_look_asked = true;
    *ret_question = (struct uplink_look){.number = ++uplink->looks, .head = uplink->head};
    return true;
}

bool uplink_look_is_enough(const struct uplink_look *look)
{
    if (look->first > look->head.seq + 1)
        return false;
    return look->head.seq == 0 || (look->epoch_at != 0 && look->epoch_at == look->head.epoch);
}

/* One may go on where another ends: upstream was put back again, and more had gone meanwhile. */
static void look_at_pruned(struct uplink_look *look, uint64_t after, uint64_t count)
{
    uint64_t from = look->is_rollback_told ? look->rollback_after : look->head.seq;

    if (look->is_pruned_told)
        from = look->pruned_through;
    if (after != from)
        return;
    look->is_pruned_told = true;
    look->pruned_through = after + count;
}

void uplink_look_at_gap(struct uplink_look *look, const char *detail)
{
    uint64_t head = look->head.seq;
    uint64_t count = 0;
    uint64_t after = 0;

    if (sscanf(detail, "pruned: %" SCNu64 " events after %" SCNu64, &count, &after) == 2) {
        look_at_pruned(look, after, count);
        return;
    }
    if (sscanf(detail, "ledger_rolled_back: %" SCNu64 " events after %" SCNu64, &count, &after) !=
            2 ||
        after > head || count != head - after)
        return;
    look->is_rollback_told = true;
    look->rollback_after = after;
}

/* Nothing goes up before the gap is durable: an acknowledgement of what follows would hide how much
 * is missing from who looks again after a crash. Told once in this life, it is not told again. */
static void tell(struct uplink *uplink, const struct uplink_gap *gap)
{
    const struct uplink_gap *told = &uplink->gap;

    if (uplink->gap_seq != 0 && told->reason == gap->reason && told->after == gap->after &&
        told->count == gap->count)
        return;
    uplink->state = UPLINK_GAP;
    uplink->gap = *gap;
}

/* Is this ledger the one that upstream's head is of? */
static bool is_beside(const struct uplink_look *look)
{
    if (look->head.seq > look->last || look->is_rollback_told)
        return true;
    return look->epoch_at != 0 && look->head.epoch != 0 && look->epoch_at != look->head.epoch;
}

/*
 * Up to where both have the same. node.db was put back, and has perhaps numbered others since under
 * the same seqs: the common part ends at the newest event of upstream's epoch, or at what upstream
 * acknowledged before the copy was made. An acknowledgement of that very epoch proves nothing: it
 * is the head itself, noted when it was below what had been acknowledged before.
 */
static struct uplink_head common_of(const struct uplink *uplink, const struct uplink_look *look)
{
    if (look->is_rollback_told)
        return (struct uplink_head){look->head.epoch, look->rollback_after};
    if (!is_beside(look))
        return look->head;
    if (uplink->acked.epoch != look->head.epoch && uplink->acked.seq > look->last_of_epoch)
        return uplink->acked;
    return (struct uplink_head){look->head.epoch, look->last_of_epoch};
}

void uplink_looked(struct uplink *uplink, const struct uplink_look *look)
{
    uint64_t head = look->head.seq;

    if (uplink->state != UPLINK_LOOKING || look->number != uplink->looks)
        return; /* of a session that is gone */
    struct uplink_head common = common_of(uplink, look);
    uint64_t counted = look->is_pruned_told ? look->pruned_through : common.seq;
    uplink->acked = common;
    uplink->sent = common.seq;
    uplink->state = UPLINK_SENDING;
    if (common.seq < head && !look->is_rollback_told)
        tell(uplink, &(struct uplink_gap){UPLINK_ROLLED_BACK, common.seq, head - common.seq, head});
    else if (look->first > counted + 1)
        tell(uplink, &(struct uplink_gap){UPLINK_PRUNED, counted, look->first - counted - 1, 0});
}

/* ---- gaps ---- */

bool uplink_take_gap(struct uplink *uplink, struct uplink_gap *ret_gap)
{
    if (uplink->state != UPLINK_GAP)
        return false;
    uplink->state = UPLINK_TELLING;
    uplink->is_gap_numbered = false;
    *ret_gap = uplink->gap;
    return true;
}

void uplink_gap_format(const struct uplink_gap *gap, char ret_detail[EVENT_DETAIL_BYTES])
{
    (void)snprintf(ret_detail, EVENT_DETAIL_BYTES, "%s: %" PRIu64 " events after %" PRIu64,
                   reasons[gap->reason], gap->count, gap->after);
}

void uplink_gap_numbered(struct uplink *uplink, uint64_t seq)
{
    ENSURE(seq > uplink->gap_seq);
    uplink->gap_seq = seq;
    uplink->is_gap_numbered = true;
}

/* ---- on their way ---- */

void uplink_committed(struct uplink *uplink, uint64_t durable)
{
    ENSURE(durable >= uplink->durable);
    uplink->durable = durable;
    if (uplink->state == UPLINK_TELLING && uplink->is_gap_numbered && durable >= uplink->gap_seq)
        look(uplink); /* the other reason may hold as well */
}

size_t uplink_room(const struct uplink *uplink)
{
    uint64_t ahead =
        uplink->sent > uplink->stored_durable ? uplink->sent - uplink->stored_durable : 0;
    size_t room = UPLINK_EVENTS_IN_FLIGHT - uplink->in_flight;

    if (uplink->state != UPLINK_SENDING || uplink->sent >= uplink->durable ||
        uplink->batch_count == UPLINK_BATCHES_IN_FLIGHT || ahead >= UPLINK_SEQS_AHEAD)
        return 0;
    return room < UPLINK_SEQS_AHEAD - ahead ? room : (size_t)(UPLINK_SEQS_AHEAD - ahead);
}

void uplink_sent(struct uplink *uplink, const struct event *last, size_t count)
{
    uint32_t at = (uplink->batch_first + uplink->batch_count) % UPLINK_BATCHES_IN_FLIGHT;

    ENSURE(count > 0 && count <= uplink_room(uplink));
    ENSURE(last->seq > uplink->sent && last->seq <= uplink->durable);
    uplink->batches[at] =
        (struct uplink_batch){.last = {last->epoch, last->seq}, .count = (uint32_t)count};
    uplink->batch_count++;
    uplink->in_flight += (uint32_t)count;
    uplink->sent = last->seq;
}

/* ---- acknowledged ---- */

enum uplink_ack uplink_acknowledge(struct uplink *uplink, uint64_t seq)
{
    /* Until the ledger was looked at, upstream can only repeat what its head said. */
    if (seq <= uplink->acked.seq || (uplink->state != UPLINK_SENDING && seq <= uplink->head.seq))
        return UPLINK_ACK_OLD;
    if (uplink->state != UPLINK_SENDING || seq > uplink->sent) {
        uplink->strange_acks++;
        return UPLINK_ACK_STRANGE;
    }
    while (uplink->batch_count > 0) {
        const struct uplink_batch *batch = &uplink->batches[uplink->batch_first];

        uplink->acked = (struct uplink_head){batch->last.epoch, seq};
        if (batch->last.seq > seq)
            break;
        uplink->in_flight -= batch->count;
        uplink->batch_first = (uplink->batch_first + 1) % UPLINK_BATCHES_IN_FLIGHT;
        uplink->batch_count--;
    }
    return UPLINK_ACK_NEW;
}

bool uplink_has_acked(const struct uplink *uplink)
{
    return uplink->acked.seq != uplink->stored.seq || uplink->acked.epoch != uplink->stored.epoch;
}

bool uplink_is_acked_urgent(const struct uplink *uplink)
{
    return uplink_has_acked(uplink) &&
           (uplink->state != UPLINK_SENDING || uplink->acked.seq < uplink->stored.seq ||
            uplink->sent > uplink->stored_durable + UPLINK_SEQS_AHEAD / 2);
}

bool uplink_take_acked(struct uplink *uplink, struct uplink_head *ret_acked)
{
    if (!uplink_has_acked(uplink))
        return false;
    uplink->stored = uplink->acked;
    *ret_acked = uplink->acked;
    return true;
}

void uplink_acked_committed(struct uplink *uplink, uint64_t seq)
{
    uplink->stored_durable = seq;
}
