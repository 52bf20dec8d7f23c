/* SPDX-License-Identifier: Apache-2.0 */
#include "publisher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "ensure.h"

int publisher_open(struct publisher *publisher, struct agent *agent, struct store *store,
                   struct executor *executor, uint64_t published)
{
    publisher->agent = agent;
    publisher->store = store;
    publisher->executor = executor;
    publisher->published = published;
    publisher->recent = calloc(PUBLISHER_RECENT, sizeof(*publisher->recent));
    return publisher->recent == NULL ? -ENOMEM : 0;
}

bool publisher_has_room(const struct publisher *publisher)
{
    return publisher->follower_count < PUBLISHER_FOLLOWERS_MAX;
}

static uint64_t end_of(const struct publisher *publisher, const struct follower *follower)
{
    return follower->is_bounded ? follower->until_seq : publisher->published;
}

/* ---- the ledger, on a worker ---- */

struct reading {
    struct work work;
    struct publisher *publisher;
    struct follower *follower; /* NULL: it is gone */
    struct store *store;
    struct store_query query;
    uint8_t uuid[UUID_BYTES];
    char name[NAME_BYTES];
    uint64_t end; /* all up to here can be read */
    int result;
    size_t count;
    struct event events[PUBLISHER_CHUNK];
};

static bool run_read(struct work *work)
{
    struct reading *reading = container_of(work, struct reading, work);

    reading->result = store_read_events(reading->store, &reading->query, reading->events,
                                        PUBLISHER_CHUNK, &reading->count);
    return true;
}

static void fail(struct follower *follower, int error)
{
    follower->is_done = true;
    if (follower->fail != NULL)
        follower->fail(follower, error);
}

/* A chunk, perhaps empty, after which there is nothing up to `through`. False: no room. */
static bool give(struct publisher *publisher, struct follower *follower, const struct event *events,
                 size_t count, uint64_t through)
{
    uint64_t last = count > 0 ? events[count - 1].seq : follower->seq;
    bool is_last;

    if (last < through)
        last = through;
    is_last = follower->is_bounded && last >= end_of(publisher, follower);
    follower->is_found = follower->is_found || count > 0;
    if (is_last && follower->is_sought && !follower->is_found) {
        fail(follower, -ENOENT);
        return true;
    }
    if ((count > 0 || is_last) && !follower->send(follower, events, count, is_last))
        return false;
    if (follower->seq < last)
        follower->seq = last;
    if (follower->seq >= publisher->published)
        follower->after_wall_ns = 0; /* what comes now is later, whatever the clock says */
    follower->is_done = is_last;
    return true;
}

static void remove_done(struct publisher *publisher);

static void on_read(struct work *work)
{
    struct reading *reading = container_of(work, struct reading, work);
    struct publisher *publisher = reading->publisher;
    struct follower *follower = reading->follower;
    bool is_whole = reading->count < PUBLISHER_CHUNK; /* nothing is left up to the end */

    if (follower != NULL)
        follower->reading = NULL;
    if (follower != NULL && !publisher->is_stopped) {
        /* What is durable already and not told yet is not told here first. */
        while (reading->count > 0 && reading->events[reading->count - 1].seq > reading->end) {
            reading->count--;
            is_whole = true; /* what is beyond the end stands behind all before it */
        }
        if (reading->result < 0)
            fail(follower, reading->result);
        else if (give(publisher, follower, reading->events, reading->count,
                      is_whole ? reading->end : 0))
            publisher_pump(publisher, follower);
        remove_done(publisher);
    }
    free(reading);
}

static void begin_read(struct publisher *publisher, struct follower *follower)
{
    struct reading *reading = malloc(sizeof(*reading));

    ENSURE(reading != NULL);
    follower->reading = reading;
    reading->work = (struct work){.run = run_read, .on_done = on_read};
    reading->publisher = publisher;
    reading->follower = follower;
    reading->store = publisher->store;
    reading->end = end_of(publisher, follower);
    reading->result = 0;
    reading->count = 0;
    memcpy(reading->uuid, follower->uuid, UUID_BYTES);
    memcpy(reading->name, follower->name, NAME_BYTES);
    reading->query = (struct store_query){.after = follower->seq,
                                          .after_wall_ns = follower->after_wall_ns,
                                          .uuid = follower->has_uuid ? reading->uuid : NULL,
                                          .name = follower->name[0] != '\0' ? reading->name : NULL};
    executor_post(publisher->executor, WORKER_LEDGER, &reading->work);
}

void publisher_stop(struct publisher *publisher)
{
    publisher->is_stopped = true;
    store_stop_reading(publisher->store);
    executor_rest(publisher->executor, WORKER_LEDGER);
}

/* ---- followers ---- */

static bool is_in_memory(const struct publisher *publisher, const struct follower *follower)
{
    return publisher->recent_first != 0 && follower->seq + 1 >= publisher->recent_first &&
           !follower->has_uuid && follower->name[0] == '\0' && follower->after_wall_ns == 0;
}

static size_t take_recent(const struct publisher *publisher, uint64_t after, uint64_t end,
                          struct event *events)
{
    size_t count = 0;

    for (uint64_t seq = after + 1; seq <= end && count < PUBLISHER_CHUNK; seq++)
        events[count++] = publisher->recent[seq % PUBLISHER_RECENT];
    return count;
}

void publisher_pump(struct publisher *publisher, struct follower *follower)
{
    static struct event events[PUBLISHER_CHUNK]; /* the loop's thread alone comes here */

    while (!follower->is_done && follower->reading == NULL && !publisher->is_stopped) {
        uint64_t end = end_of(publisher, follower);

        if (follower->seq >= end) {
            if (!follower->is_bounded || !give(publisher, follower, NULL, 0, end))
                return;
        } else if (is_in_memory(publisher, follower)) {
            size_t count = take_recent(publisher, follower->seq, end, events);

            if (!give(publisher, follower, events, count, 0))
                return;
        } else {
            begin_read(publisher, follower);
        }
    }
}

static void remove_done(struct publisher *publisher)
{
    struct follower *next;

    for (struct follower *at = publisher->followers; at != NULL; at = next) {
        next = at->next;
        if (at->is_done)
            publisher_remove(publisher, at);
    }
}

void publisher_post(struct publisher *publisher, const struct event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ENSURE(events[i].seq > publisher->published);
        if (publisher->recent_first == 0 || events[i].seq != publisher->published + 1)
            publisher->recent_first = events[i].seq;
        publisher->recent[events[i].seq % PUBLISHER_RECENT] = events[i];
        publisher->published = events[i].seq;
        if (publisher->published - publisher->recent_first >= PUBLISHER_RECENT)
            publisher->recent_first = publisher->published - PUBLISHER_RECENT + 1;
    }
    for (struct follower *at = publisher->followers; at != NULL; at = at->next)
        publisher_pump(publisher, at);
    remove_done(publisher);
}

struct follower *publisher_add(struct publisher *publisher, const struct follower *follower)
{
    struct follower *added = malloc(sizeof(*added));

    ENSURE(added != NULL);
    *added = *follower;
    added->agent = publisher->agent;
    added->next = publisher->followers;
    publisher->followers = added;
    publisher->follower_count++;
    publisher_pump(publisher, added);
    if (added->is_done) {
        publisher_remove(publisher, added);
        return NULL;
    }
    return added;
}

void publisher_remove(struct publisher *publisher, struct follower *follower)
{
    for (struct follower **at = &publisher->followers; *at != NULL; at = &(*at)->next) {
        if (*at != follower)
            continue;
        *at = follower->next;
        if (follower->reading != NULL)
            follower->reading->follower = NULL;
        publisher->follower_count--;
        free(follower);
        return;
    }
}

void publisher_remove_origin(struct publisher *publisher, uint64_t origin)
{
    for (struct follower *at = publisher->followers; at != NULL; at = at->next)
        if (at->origin == origin && at->request[0] != '\0')
            at->is_done = true;
    remove_done(publisher);
}

void publisher_pump_origin(struct publisher *publisher, uint64_t origin)
{
    for (struct follower *at = publisher->followers; at != NULL; at = at->next)
        if (at->origin == origin)
            publisher_pump(publisher, at);
    remove_done(publisher);
}
