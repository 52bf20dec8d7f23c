/* SPDX-License-Identifier: Apache-2.0 */
/* What must be true of the ledger: I4, the order of events, and that nothing committed is lost. */
#include "checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks_commands.h"
#include "checks_moves.h"
#include "checks_rest.h"
#include "ensure.h"
#include "node_life.h"
#include "operators.h"
#include "vfs.h"

/* ---- stories ---- */

struct story *checks_story(struct sim *sim, const uint8_t uuid[UUID_BYTES])
{
    struct checks_node *node = &sim->checks->node;

    for (uint32_t i = 0; i < node->story_count; i++)
        if (node->stories[i].is_used && memcmp(node->stories[i].uuid, uuid, UUID_BYTES) == 0)
            return &node->stories[i];
    return NULL;
}

static struct story *add_story(struct sim *sim, const uint8_t uuid[UUID_BYTES])
{
    struct checks_node *node = &sim->checks->node;
    struct story *story = checks_story(sim, uuid);

    for (uint32_t i = 0; story == NULL && i < node->story_count; i++)
        if (!node->stories[i].is_used)
            story = &node->stories[i];
    if (story == NULL) {
        ENSURE(node->story_count < STORIES_MAX);
        story = &node->stories[node->story_count++];
    }
    if (!story->is_used) {
        *story = (struct story){.is_used = true};
        memcpy(story->uuid, uuid, UUID_BYTES);
    }
    return story;
}

static void tell_created(struct sim *sim, const struct event *event)
{
    struct story *story = add_story(sim, event->uuid);

    if (story->is_created)
        sim_fail(sim, "I4", "%s is created twice", event->name);
    story->is_created = true;
    story->state = CT_STOPPED;
    story->is_ended = true;
}

static void tell_changed(struct sim *sim, const struct event *event)
{
    struct story *story = add_story(sim, event->uuid);
    /* A node.db that was put back does not know the boot of what it meets. */
    bool is_new =
        event->to == CT_PREPARING || (event->to == CT_LAUNCHING && sim->checks->line > 1 &&
                                      event->generation != story->generation);

    if (!story->is_created)
        sim_fail(sim, "I4", "%s changes, and was never created", event->name);
    if (event->from != story->state)
        sim_fail(sim, "I4", "%s goes from %s to %s, and was %s", event->name,
                 ct_state_name(event->from), ct_state_name(event->to), ct_state_name(story->state));
    checks_moved(sim, story, event);
    if (is_new ? event->generation <= story->generation : event->generation != story->generation)
        sim_fail(sim, "I4", "%s: generation %" PRIu64 " after %" PRIu64, event->name,
                 event->generation, story->generation);
    if (is_new) {
        story->is_ended = false;
        checks_begins(sim, event);
    }
    if (event->cause != CAUSE_UNSET) {
        if (story->is_ended)
            sim_fail(sim, "I4", "%s: generation %" PRIu64 " ends twice", event->name,
                     event->generation);
        story->is_ended = true;
        checks_ending(sim, event);
    }
    if ((event->to == CT_CLEANING || event->to == CT_STOPPED || event->to == CT_BACKOFF) &&
        !story->is_ended)
        sim_fail(sim, "I4", "%s is %s without an end", event->name, ct_state_name(event->to));
    story->state = event->to;
    story->since_ns = sim->now.ns;
    story->generation = event->generation;
}

/* One event is durable: `result` events close a command, once. */
static void tell_result(struct sim *sim, const struct event *event)
{
    unsigned long long number = 0;

    if (sscanf(event->request, "r%llu", &number) != 1 || number >= REQUESTS_MAX)
        return;
    if (++sim->checks->node.results[number] > 1)
        sim_fail(sim, "I3", "%s has two results", event->request);
    checks_result(sim, checks_story(sim, event->uuid), event);
}

static void tell_configured(struct sim *sim, const struct event *event)
{
    struct story *story = checks_story(sim, event->uuid);

    if (story != NULL)
        story->configured++;
}

static void tell(struct sim *sim, const struct event *event)
{
    struct checks *checks = sim->checks;
    struct fact *fact = checks_fact(sim, event->epoch, event->seq);
    struct story *story;

    if (event->seq <= checks->node.committed)
        sim_fail(sim, "ledger", "seq %" PRIu64 " after %" PRIu64, event->seq,
                 checks->node.committed);
    if (fact != NULL && fact->line == checks->line)
        sim_fail(sim, "ledger", "seq %" PRIu64 " of one epoch is given twice", event->seq);
    checks->node.committed = event->seq;
    checks_add_fact(sim, event);
    checks_gap(sim, event);
    sim_note(sim, checks_hash(event));
    switch ((int)event->type) {
    case EVENT_CREATED:
        tell_created(sim, event);
        break;
    case EVENT_CHANGED:
        tell_changed(sim, event);
        break;
    case EVENT_RESULT:
        tell_result(sim, event);
        break;
    case EVENT_ESCALATED:
        checks_escalated(sim, checks_story(sim, event->uuid), event);
        break;
    case EVENT_OOM:
        checks_oom_told(sim, checks_story(sim, event->uuid), event);
        break;
    case EVENT_CONFIGURED:
        tell_configured(sim, event);
        break;
    case EVENT_DESTROYED:
        story = checks_story(sim, event->uuid);
        if (story == NULL || !story->is_created)
            sim_fail(sim, "I4", "%s is destroyed twice", event->name);
        story->is_created = false;
        story->state = CT_UNSET;
        story->removal_ns = 0;
        if (kernel_has_directory(sim->kernel, event->uuid))
            sim_fail(sim, "I2", "%s is destroyed, and its directory is there", event->name);
        break;
    }
    sim_trace(sim, "  durable: seq %" PRIu64 " %s %s gen %" PRIu64 " %s -> %s %s %s %s", event->seq,
              event_type_name(event->type), event->name, event->generation,
              ct_state_name(event->from), ct_state_name(event->to), cause_name(event->cause),
              event->request, event->detail);
}

/* ---- batches ---- */

static bool has_result_event(const struct store_batch *batch, const char *request)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->changes[i].kind == STORE_ADD_EVENT &&
            batch->changes[i].event.type == EVENT_RESULT &&
            strcmp(batch->changes[i].event.request, request) == 0)
            return true;
    return false;
}

/* What changed nothing, be it refused, is a result without an event. */
static bool has_changed(struct sim *sim, const struct store_result *result)
{
    const struct demand *asked = operators_find(sim, result->request);

    return result->phase != PHASE_UNCHANGED &&
           (result->phase != PHASE_FAILED || asked == NULL || asked->has_intent);
}

/* A result is an event in the transaction of the change that it made. */
static void check_results(struct sim *sim, const struct store_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct store_change *change = &batch->changes[i];
        struct demand *asked =
            change->kind == STORE_PUT_INTENT ? operators_find(sim, change->result.request) : NULL;

        if (asked != NULL)
            checks_intent(sim, asked);
        if (change->kind == STORE_PUT_RESULT && has_changed(sim, &change->result) &&
            !has_result_event(batch, change->result.request))
            sim_fail(sim, "I3", "the result of %s has no event in its transaction",
                     change->result.request);
        if (change->kind != STORE_ADD_EVENT || change->event.type != EVENT_RESULT)
            continue;
        bool is_there = false;
        for (size_t j = 0; j < batch->count && !is_there; j++)
            is_there = batch->changes[j].kind == STORE_PUT_RESULT &&
                       strcmp(batch->changes[j].result.request, change->event.request) == 0;
        if (!is_there)
            sim_fail(sim, "I3", "the event of %s's result has no result in its transaction",
                     change->event.request);
    }
}

static void take_row(struct sim *sim, const struct store_row *row)
{
    struct story *story = add_story(sim, row->uuid);

    story->has_row = true;
    story->row_generation = row->generation;
    story->row_state = row->state;
    story->is_owed = row->is_restart_owed;
    if (story->revision != 0 && row->revision != story->revision + story->configured)
        sim_fail(sim, "I4",
                 "%s is at revision %" PRIu64 " after %" PRIu64 " and %" PRIu64 " events",
                 row->name, row->revision, story->revision, story->configured);
    if (story->configured > 0 && !row->has_config)
        sim_fail(sim, "order", "%s is configured, and its row is not", row->name);
    story->revision = row->revision;
    story->configured = 0;
    if (story->is_created && row->state != story->state)
        sim_fail(sim, "I4", "%s is %s, and its events say %s", row->name, ct_state_name(row->state),
                 ct_state_name(story->state));
}

void checks_committed(struct sim *sim, const struct store_batch *batch)
{
    check_results(sim, batch);
    for (size_t i = 0; i < batch->count; i++)
        if (batch->changes[i].kind == STORE_ADD_EVENT)
            tell(sim, &batch->changes[i].event);
    checks_owed(sim, batch);
    for (size_t i = 0; i < batch->count; i++) {
        const struct store_change *change = &batch->changes[i];
        struct story *story;

        if (change->kind == STORE_PUT_ROW) {
            checks_row_started(sim, add_story(sim, change->row.uuid), &change->row);
            take_row(sim, &change->row);
            checks_story(sim, change->row.uuid)->boot_id = sim->kernel->boot_id;
            checks_row_command(sim, &change->row);
            checks_row_ready(sim, checks_story(sim, change->row.uuid), &change->row);
        }
        if (change->kind == STORE_ACK_EVENTS && !sim->agent->core.is_acked_by_self)
            checks_acked(sim, change->ack.seq);
        if (change->kind != STORE_DELETE_ROW)
            continue;
        story = checks_story(sim, change->row.uuid);
        if (story != NULL && story->is_created)
            sim_fail(sim, "I4", "the row of %s goes, and it was never destroyed", change->row.name);
        if (story != NULL)
            story->is_used = false;
        if (kernel_has_directory(sim->kernel, change->row.uuid))
            sim_fail(sim, "I2", "the row of %s goes, and its directory stays", change->row.name);
    }
}

void checks_commit_failed(struct sim *sim)
{
    (void)sim; /* what became of it, the next start shows */
}

/* ---- notice after commit ---- */

void checks_published(struct sim *sim, const struct event *events, size_t count)
{
    if (count > 0 && events[count - 1].seq > sim->checks->node.committed)
        sim_fail(sim, "order", "seq %" PRIu64 " is told before its commit", events[count - 1].seq);
}

/* ---- the agent's start ---- */

static bool note_row(const struct store_row *row, void *context)
{
    struct sim *sim = context;

    take_row(sim, row);
    return true;
}

/* Of a commit that failed, or of which nobody heard: it may have come to the disk. */
static void read_doubtful(struct sim *sim)
{
    static struct event events[64];
    size_t count = 0;

    do {
        int result = store_reader_events(
            &sim->agent->store.reader, &(struct store_query){.after = sim->checks->node.committed},
            events, 64, &count);

        ENSURE(result == 0);
        for (size_t i = 0; i < count; i++)
            tell(sim, &events[i]);
    } while (count > 0);
}

static void check_rows(struct sim *sim)
{
    struct checks_node *node = &sim->checks->node;

    for (uint32_t i = 0; i < node->story_count; i++)
        node->stories[i].has_row = false;
    int result = store_reader_rows(&sim->agent->store.reader, note_row, sim);
    ENSURE(result == 0);
    for (uint32_t i = 0; i < node->story_count; i++) {
        struct story *story = &node->stories[i];

        if (story->is_used && story->is_created && !story->has_row)
            sim_fail(sim, "ledger", "a container that was created has no row");
        if (story->is_used && !story->has_row)
            story->is_used = false;
        story->spent = story->row_generation;
    }
}

void checks_agent_started(struct sim *sim, const struct store_heads *heads)
{
    struct checks *checks = sim->checks;

    if (heads->last_seq < checks->node.committed)
        sim_fail(sim, "ledger",
                 "events after %" PRIu64 " were durable, up to %" PRIu64 ", and are lost",
                 heads->last_seq, checks->node.committed);
    read_doubtful(sim);
    check_rows(sim);
    if (checks->starts++ % STARTS_EACH == 0)
        checks_histories(sim);
}

/* ---- put back ---- */

bool checks_copy_node(struct sim *sim)
{
    struct agent_store *store = &sim->agent->store;

    if (store->committed > 0)
        return false; /* what it holds, the loop has not heard of: not now */
    sim->checks->node_copy = sim->checks->node;
    return true;
}

void checks_restore_node(struct sim *sim)
{
    struct checks *checks = sim->checks;

    checks->node = checks->node_copy;
    checks->line++;
    checks->acked_at = 0;
    checks->acked_checked = 0;
    for (uint32_t i = 0; i < checks->node.line_count; i++)
        checks->facts[checks->order[i]].line = checks->line;
}
