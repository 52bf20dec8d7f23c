/* SPDX-License-Identifier: Apache-2.0 */
#include "publisher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "ensure.h"

int publisher_open(struct publisher *publisher, struct agent *agent, uint64_t published)
{
    publisher->agent = agent;
    publisher->published = published;
    publisher->recent = calloc(PUBLISHER_RECENT, sizeof(*publisher->recent));
    return publisher->recent == NULL ? -ENOMEM : 0;
}

/* What follows `after`: from memory if it reaches back so far, else from the ledger. */
static size_t read_after(struct publisher *publisher, const struct follower *follower,
                         struct event *events)
{
    size_t count = 0;

    if (publisher->recent_first != 0 && follower->seq + 1 >= publisher->recent_first &&
        !follower->has_filter && follower->after_wall_ns == 0) {
        for (uint64_t seq = follower->seq + 1;
             seq <= publisher->published && count < PUBLISHER_CHUNK; seq++)
            events[count++] = publisher->recent[seq % PUBLISHER_RECENT];
        return count;
    }
    int result = store_read_events(
        publisher->agent->store,
        &(struct store_query){.after = follower->seq,
                              .after_wall_ns = follower->after_wall_ns,
                              .uuid = follower->has_filter ? follower->uuid : NULL},
        events, PUBLISHER_CHUNK, &count);
    return result < 0 ? 0 : count;
}

void publisher_pump(struct publisher *publisher, struct follower *follower)
{
    static struct event events[PUBLISHER_CHUNK]; /* the loop's thread alone comes here */
    uint64_t end = follower->is_bounded ? follower->until_seq : publisher->published;

    while (!follower->is_done) {
        size_t count = follower->seq < end ? read_after(publisher, follower, events) : 0;

        while (count > 0 && events[count - 1].seq > end)
            count--;
        if (count == 0 && !follower->is_bounded) {
            follower->seq = end; /* what its filters passed over is behind it */
            follower->after_wall_ns = 0;
            return;
        }
        bool is_last = follower->is_bounded && (count == 0 || events[count - 1].seq >= end);
        if (!follower->send(follower, events, count, is_last))
            return;
        if (count > 0)
            follower->seq = events[count - 1].seq;
        follower->is_done = is_last;
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
