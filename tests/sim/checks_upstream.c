/* SPDX-License-Identifier: Apache-2.0 */
/* I5: what was acknowledged is there, once; what is not there is counted as a gap. */
#include "checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ensure.h"
#include "node_life.h"
#include "upstream.h"

/* ---- facts ---- */

static uint32_t bucket_of(uint64_t epoch, uint64_t seq)
{
    uint64_t mixed = (epoch ^ seq * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);

    return (uint32_t)(mixed >> 32) % FACT_BUCKETS;
}

struct fact *checks_fact(struct sim *sim, uint64_t epoch, uint64_t seq)
{
    struct checks *checks = sim->checks;

    for (uint32_t at = bucket_of(epoch, seq); checks->buckets[at] != 0;
         at = (at + 1) % FACT_BUCKETS) {
        struct fact *fact = &checks->facts[checks->buckets[at] - 1];

        if (fact->epoch == epoch && fact->seq == seq)
            return fact;
    }
    return NULL;
}

/* FNV-1a of what every reader must see alike. */
uint64_t checks_hash(const struct event *event)
{
    uint64_t words[] = {
        event->epoch,           event->seq,
        event->time_wall_ns,    event->generation,
        (uint64_t)event->type,  (uint64_t)event->from,
        (uint64_t)event->to,    (uint64_t)event->cause,
        event->has_status,      event->has_status ? (uint64_t)event->wait_status : 0,
        (uint64_t)event->result};
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        hash = (hash ^ words[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < UUID_BYTES; i++)
        hash = (hash ^ event->uuid[i]) * UINT64_C(0x100000001b3);
    for (const char *at = event->request; *at != '\0'; at++)
        hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    return hash;
}

void checks_add_fact(struct sim *sim, const struct event *event)
{
    struct checks *checks = sim->checks;
    uint32_t at = bucket_of(event->epoch, event->seq);

    ENSURE(checks->fact_count < FACTS_MAX);
    ENSURE(checks->node.line_count < FACTS_MAX);
    if (checks_fact(sim, event->epoch, event->seq) != NULL)
        sim_fail(sim, "I5", "seq %" PRIu64 " of one epoch stands for two events", event->seq);
    while (checks->buckets[at] != 0)
        at = (at + 1) % FACT_BUCKETS;
    checks->facts[checks->fact_count] = (struct fact){
        .epoch = event->epoch, .seq = event->seq, .hash = checks_hash(event), .line = checks->line};
    checks->order[checks->node.line_count++] = checks->fact_count;
    checks->buckets[at] = ++checks->fact_count;
}

/* ---- acknowledgements ---- */

/* The node believes that upstream has all up to `seq`: each was committed there. */
void checks_acked(struct sim *sim, uint64_t seq)
{
    struct checks *checks = sim->checks;

    for (; checks->acked_at < checks->node.line_count; checks->acked_at++) {
        const struct fact *fact = &checks->facts[checks->order[checks->acked_at]];

        if (fact->seq > seq)
            return;
        if (!fact->was_at_ctl && !fact->is_doubted)
            sim_fail(sim, "I5", "seq %" PRIu64 " is acknowledged, and upstream never had it",
                     fact->seq);
    }
}

/* What arrives there was durable here. */
void checks_told_upstream(struct sim *sim, const struct event_batch *events)
{
    if (events->count > 0)
        sim_trace(sim, "  told upstream: seq %" PRIu64 " to %" PRIu64, events->events[0].event.seq,
                  events->events[events->count - 1].event.seq);
    for (size_t i = 0; i < events->count; i++) {
        const struct event *event = &events->events[i].event;
        const struct fact *fact = checks_fact(sim, event->epoch, event->seq);

        if (fact == NULL)
            sim_fail(sim, "order", "seq %" PRIu64 " is told upstream before its commit",
                     event->seq);
        if (fact->hash != checks_hash(event))
            sim_fail(sim, "I5",
                     "seq %" PRIu64 " arrives as another event: %s %s gen %" PRIu64
                     " %s -> %s %s %s",
                     event->seq, event_type_name(event->type), event->name, event->generation,
                     ct_state_name(event->from), ct_state_name(event->to), cause_name(event->cause),
                     event->request);
    }
}

/* ---- the controller's store ---- */

void checks_ctl_committed(struct sim *sim, const struct ctl_batch *batch)
{
    struct checks *checks = sim->checks;

    checks->ctl_commits++;
    for (size_t i = 0; i < batch->count; i++) {
        const struct ctl_change *change = &batch->changes[i];
        struct fact *fact;

        if (change->kind != CTL_ADD_EVENT)
            continue;
        fact = checks_fact(sim, change->add.event.epoch, change->add.event.seq);
        ENSURE(fact != NULL);
        if (change->add.cursor == 0 && fact->ctl_commit == 0 && !fact->is_doubted)
            sim_fail(sim, "I5", "seq %" PRIu64 " is new upstream, and is dropped there", fact->seq);
        if (change->add.cursor != 0 && fact->ctl_commit != 0)
            sim_fail(sim, "I5", "seq %" PRIu64 " is there twice", fact->seq);
        if (fact->ctl_commit == 0)
            fact->ctl_commit = checks->ctl_commits;
        fact->was_at_ctl = true;
    }
}

void checks_ctl_commit_failed(struct sim *sim)
{
    const struct ctl *ctl = sim->ctl;

    /* They may have come to the disk, unheard of. */
    for (uint32_t i = ctl->committed; i < ctl->count; i++) {
        const struct ctl_batch *batch = ctl->posted[(ctl->first + i) % CTL_BATCHES_MAX];

        for (size_t j = 0; j < batch->count; j++) {
            const struct ctl_change *change = &batch->changes[j];

            if (change->kind == CTL_ADD_EVENT)
                checks_fact(sim, change->add.event.epoch, change->add.event.seq)->is_doubted = true;
        }
    }
}

/* An event that a HELLO is answered with must not be lost there. */
void checks_ctl_started(struct sim *sim, const struct ingest_mark *committed)
{
    (void)sim;
    (void)committed;
}

bool checks_copy_ctl(struct sim *sim)
{
    if (sim->ctl->committed > 0)
        return false;
    sim->checks->ctl_commits_copy = sim->checks->ctl_commits;
    return true;
}

void checks_restore_ctl(struct sim *sim)
{
    struct checks *checks = sim->checks;

    for (uint32_t i = 0; i < checks->fact_count; i++)
        if (checks->facts[i].ctl_commit > checks->ctl_commits_copy)
            checks->facts[i].ctl_commit = 0;
}

/* ---- at the end: all that is there beside all that should be ---- */

/* Seqs that gaps count as lost: [after + 1, after + count]. */
struct lost {
    uint64_t after;
    uint64_t count;
};
#define LOST_MAX 256

static bool is_counted(const struct lost *lost, size_t count, uint64_t seq)
{
    for (size_t i = 0; i < count; i++)
        if (seq > lost[i].after && seq <= lost[i].after + lost[i].count)
            return true;
    return false;
}

static void read_ctl(struct sim *sim, uint8_t *seen, struct lost *lost, size_t *ret_lost_count)
{
    struct ctl_read *read = ctl_read_new(CTL_READ_EVENTS);

    ENSURE(read != NULL);
    read->until = UINT64_MAX >> 1;
    for (;;) {
        read->count = 0;
        int result = ctl_reader_read(&sim->ctl->reader, read);

        ENSURE(result == 0);
        for (size_t i = 0; i < read->count; i++) {
            const struct event *event = &read->events[i].event;
            struct fact *fact = checks_fact(sim, event->epoch, event->seq);
            unsigned long long count;
            unsigned long long after;

            if (fact == NULL || fact->hash != checks_hash(event))
                sim_fail(sim, "I5", "upstream holds seq %" PRIu64 ", which never was", event->seq);
            if (seen[fact - sim->checks->facts]++ > 0)
                sim_fail(sim, "I5", "upstream holds seq %" PRIu64 " twice", event->seq);
            if (event->type == EVENT_GAP && *ret_lost_count < LOST_MAX &&
                sscanf(event->detail, "%*[a-z_]: %llu events after %llu", &count, &after) == 2)
                lost[(*ret_lost_count)++] = (struct lost){after, count};
        }
        if (read->position == read->after || read->count == 0)
            break;
        read->after = read->position;
    }
    ctl_read_free(read);
}

void checks_compare(struct sim *sim)
{
    static uint8_t seen[FACTS_MAX];
    static struct lost lost[LOST_MAX];
    struct checks *checks = sim->checks;
    size_t lost_count = 0;

    if (sim->agent->core.is_acked_by_self)
        return;
    memset(seen, 0, checks->fact_count);
    read_ctl(sim, seen, lost, &lost_count);
    for (uint32_t i = 0; i < checks->node.line_count; i++) {
        const struct fact *fact = &checks->facts[checks->order[i]];

        if (seen[checks->order[i]] == 0 && !is_counted(lost, lost_count, fact->seq))
            sim_fail(sim, "I5", "seq %" PRIu64 " is not upstream, and no gap counts it", fact->seq);
    }
}
