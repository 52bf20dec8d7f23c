/* SPDX-License-Identifier: Apache-2.0 */
#include "checks_rest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ensure.h"
#include "faults.h"
#include "node_life.h"

#define PAGE 64

/* ---- histories ---- */

/* Seqs of one container after another's, in pages; 0: there is none. */
struct reading {
    const uint8_t *uuid; /* NULL: all, of which only wanted's count */
    const uint8_t *wanted;
    struct event events[PAGE];
    size_t count, at;
    uint64_t after;
};

static const struct event *read_next(struct sim *sim, struct reading *reading)
{
    for (;;) {
        while (reading->at < reading->count) {
            const struct event *event = &reading->events[reading->at++];

            reading->after = event->seq;
            if (memcmp(event->uuid, reading->wanted, UUID_BYTES) == 0)
                return event;
        }
        const struct store_query query = {.after = reading->after, .uuid = reading->uuid};
        int result = store_reader_events(&sim->agent->store.reader, &query, reading->events, PAGE,
                                         &reading->count);

        ENSURE(result == 0);
        reading->at = 0;
        if (reading->count == 0)
            return NULL;
    }
}

static void check_history(struct sim *sim, const uint8_t *uuid)
{
    static struct reading chain;
    static struct reading whole;
    const struct event *here;
    const struct event *there;

    chain.uuid = chain.wanted = whole.wanted = uuid;
    chain.count = chain.at = whole.count = whole.at = 0;
    chain.after = whole.after = 0;
    do {
        here = read_next(sim, &chain);
        there = read_next(sim, &whole);
        if ((here == NULL) != (there == NULL) || (here != NULL && here->seq != there->seq))
            sim_fail(sim, "ledger", "a history goes on with seq %" PRIu64 " instead of %" PRIu64,
                     here == NULL ? 0 : here->seq, there == NULL ? 0 : there->seq);
    } while (here != NULL);
}

void checks_histories(struct sim *sim)
{
    const struct checks_node *node = &sim->checks->node;

    for (uint32_t i = 0; i < node->story_count; i++)
        if (node->stories[i].is_used && node->stories[i].is_created)
            check_history(sim, node->stories[i].uuid);
}

/* ---- a ledger that was put back ---- */

void checks_gap(struct sim *sim, const struct event *event)
{
    uint64_t count;
    uint64_t after;

    if (event->type == EVENT_GAP &&
        sscanf(event->detail, "ledger_rolled_back: %" SCNu64 " events after %" SCNu64, &count,
               &after) == 2 &&
        event->seq <= after + count)
        sim_fail(sim, "I5", "seq %" PRIu64 " is given to a gap, and upstream has it already",
                 event->seq);
}

/* ---- restarts ---- */

static bool is_forbidden(const struct store_batch *batch, const uint8_t *uuid)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct store_change *change = &batch->changes[i];
        enum verb verb = change->result.verb;

        if (change->kind == STORE_PUT_INTENT &&
            memcmp(change->result.uuid, uuid, UUID_BYTES) == 0 &&
            (verb == VERB_STOP || verb == VERB_KILL || verb == VERB_DESTROY))
            return true;
    }
    return false;
}

void checks_owed(struct sim *sim, const struct store_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct event *event = &batch->changes[i].event;

        if (batch->changes[i].kind != STORE_ADD_EVENT || event->type != EVENT_CHANGED ||
            event->to != CT_STOPPED)
            continue;
        const struct story *story = checks_story(sim, event->uuid);
        if (story != NULL && story->is_owed && story->boot_id == sim->kernel->boot_id &&
            !is_forbidden(batch, event->uuid))
            sim_fail(sim, "restart", "%s is owed one after generation %" PRIu64 ", and rests",
                     event->name, event->generation);
    }
}

/* ---- cgroups ---- */

/* A node.db that was put back may not know it at all; then it is not ours to remove. */
static bool is_somebodys(const struct sim *sim, const char *leaf)
{
    const struct node *node = sim->agent->node;
    bool is_known = sim->faults->counts[FAULT_RESTORE] == 0;
    size_t length = strcspn(leaf, ".");
    char own[LEAF_BYTES];

    for (uint32_t i = 0; node_next(node, &i); i++) {
        const struct ct *ct = node_get(node, i);

        kernel_leaf_name(ct->name, ct->generation, own);
        if (strcmp(own, leaf) == 0)
            return ct->state != CT_STOPPED;
        is_known = is_known || (strlen(ct->name) == length && memcmp(ct->name, leaf, length) == 0 &&
                                strtoull(leaf + length + 1, NULL, 10) <= ct->generation);
    }
    return !is_known;
}

/* Of containers that the node does not hold. A node.db that was put back may not know them. */
static void check_directories(struct sim *sim)
{
    const struct kernel *kernel = sim->kernel;
    const struct node *node = sim->agent->node;

    for (uint32_t i = 0; i < kernel->directory_count && sim->checks->line == 1; i++) {
        bool is_somebodys = false;

        for (uint32_t j = 0; node_next(node, &j) && !is_somebodys; j++)
            is_somebodys = memcmp(node_get(node, j)->uuid, kernel->directories[i], UUID_BYTES) == 0;
        if (!is_somebodys)
            sim_fail(sim, "I2", "directory %u of %u is nobody's", i, kernel->directory_count);
    }
}

void checks_leaves(struct sim *sim)
{
    check_directories(sim);
    for (uint32_t i = 0; i < LEAVES_MAX; i++) {
        const struct leaf *leaf = &sim->kernel->leaves[i];

        if (leaf->is_used && leaf->population == 0 && !is_somebodys(sim, leaf->name))
            sim_fail(sim, "I2", "cgroup %s is left over", leaf->name);
    }
}
