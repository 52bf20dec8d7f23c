/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest.h"

#include <string.h>

void ingest_init(struct ingest *ingest, uint32_t node)
{
    *ingest = (struct ingest){.node = node};
}

/* The epoch's mark, moved to the end as the one used last. NULL: not known. */
static struct ingest_mark *find_epoch(struct ingest *ingest, uint64_t epoch)
{
    uint32_t at = ingest->epoch_count;

    while (at > 0 && ingest->epochs[at - 1].epoch != epoch)
        at--;
    if (at == 0)
        return NULL;
    struct ingest_mark *last = &ingest->epochs[ingest->epoch_count - 1];
    if (&ingest->epochs[at - 1] != last) {
        struct ingest_mark mark = ingest->epochs[at - 1];
        memmove(&ingest->epochs[at - 1], &ingest->epochs[at],
                (ingest->epoch_count - at) * sizeof(mark));
        *last = mark;
    }
    return last;
}

static struct ingest_mark *add_epoch(struct ingest *ingest, uint64_t epoch)
{
    if (ingest->epoch_count == INGEST_EPOCHS_MAX) {
        ingest->epoch_count--;
        memmove(&ingest->epochs[0], &ingest->epochs[1],
                ingest->epoch_count * sizeof(ingest->epochs[0]));
    }
    struct ingest_mark *mark = &ingest->epochs[ingest->epoch_count++];
    *mark = (struct ingest_mark){.epoch = epoch};
    return mark;
}

void ingest_load(struct ingest *ingest, const struct ctl_head *head)
{
    *add_epoch(ingest, head->epoch) = (struct ingest_mark){head->epoch, head->seq};
    if (!head->is_highest)
        return;
    ingest->highest = (struct ingest_mark){head->epoch, head->seq};
    ingest->committed = ingest->highest;
}

/* True: beyond what was taken of its epoch. */
static bool note(struct ingest *ingest, const struct event *event)
{
    struct ingest_mark *mark = find_epoch(ingest, event->epoch);

    if (mark == NULL)
        mark = add_epoch(ingest, event->epoch);
    if (event->seq <= mark->seq)
        return false;
    mark->seq = event->seq;
    /* The later of two that are as high: its epoch is the one that goes on. */
    if (event->seq >= ingest->highest.seq)
        ingest->highest = *mark;
    return true;
}

/* Signed in the store, and no ledger comes so far. */
static bool is_valid(const struct event *event)
{
    return event->epoch != 0 && event->seq != 0 && event->seq <= INT64_MAX;
}

static void add_head(const struct ingest *ingest, const struct ingest_mark *mark,
                     struct ctl_batch *batch)
{
    struct ctl_change change = {.kind = CTL_PUT_HEAD};

    change.head = (struct ctl_head){.node = ingest->node,
                                    .epoch = mark->epoch,
                                    .seq = mark->seq,
                                    .is_highest = mark->epoch == ingest->highest.epoch &&
                                                  mark->seq == ingest->highest.seq};
    (void)ctl_batch_add(batch, &change);
}

size_t ingest_take(struct ingest *ingest, const struct event_view *events, size_t count,
                   struct ctl_batch *batch)
{
    struct ctl_change change = {.kind = CTL_ADD_EVENT};
    struct ctl_change acknowledge = {.kind = CTL_ACKNOWLEDGE};
    const struct event *before = NULL; /* new, and its head is not in the batch yet */
    size_t new_count = 0;

    acknowledge.acknowledge.node = change.add.node = ingest->node;
    acknowledge.acknowledge.session = ingest->session;
    for (size_t i = 0; i < count; i++) {
        const struct event *event = &events[i].event;

        if (!is_valid(event))
            continue;
        if (before != NULL && before->epoch != event->epoch) {
            add_head(ingest, find_epoch(ingest, before->epoch), batch);
            before = NULL;
        }
        change.add.event = *event;
        change.add.is_late = !note(ingest, event);
        (void)ctl_batch_add(batch, &change);
        acknowledge.acknowledge.seq = event->seq;
        if (change.add.is_late)
            continue;
        before = event;
        new_count++;
    }
    if (before != NULL)
        add_head(ingest, find_epoch(ingest, before->epoch), batch);
    if (acknowledge.acknowledge.seq != 0)
        (void)ctl_batch_add(batch, &acknowledge);
    return new_count;
}

uint64_t ingest_committed(struct ingest *ingest, const struct ctl_change *change)
{
    if (change->kind == CTL_ACKNOWLEDGE)
        return change->acknowledge.session == ingest->session ? change->acknowledge.seq : 0;
    if (change->kind == CTL_PUT_HEAD && change->head.is_highest)
        ingest->committed = (struct ingest_mark){change->head.epoch, change->head.seq};
    return 0;
}
