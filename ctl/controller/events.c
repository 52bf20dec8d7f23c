/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "clock.h"
#include "controller.h"

#define SCAN_MAX 65536 /* events looked at for one reader in one turn */

/* Most events have neither a request nor words: packed they take a quarter of a struct event, and
 * a million of them 130 MiB. Texts follow each other, NUL-terminated: name, request, detail. */
struct packed {
    const char *node;
    uint64_t epoch;
    uint64_t seq;
    uint64_t time_wall_ns;
    uint64_t generation;
    int wait_status;
    uint8_t uuid[UUID_BYTES];
    uint8_t type;
    uint8_t from;
    uint8_t to;
    uint8_t cause;
    uint8_t result;
    bool has_status;
    char texts[];
};

int events_open(struct events *events, uint64_t room, uint64_t now_wall_ns)
{
    events->ring = calloc(room, sizeof(struct packed *));
    if (events->ring == NULL)
        return -ENOMEM;
    events->room = room;
    events->last = now_wall_ns / 1000;
    events->first = events->last + 1;
    events->born = events->first;
    return 0;
}

void events_close(struct events *events)
{
    for (uint64_t i = 0; events->ring != NULL && i < events->room; i++)
        free(events->ring[i]);
    free(events->ring);
    while (events->readers != NULL) {
        struct reader *reader = events->readers;
        events->readers = reader->next;
        free(reader);
    }
    *events = (struct events){0};
}

int events_add(struct events *events, const char *node, const struct event *event)
{
    size_t name_bytes = strlen(event->name) + 1;
    size_t request_bytes = strlen(event->request) + 1;
    size_t detail_bytes = strlen(event->detail) + 1;
    struct packed *packed = malloc(sizeof(*packed) + name_bytes + request_bytes + detail_bytes);
    if (packed == NULL)
        return -ENOMEM;

    *packed = (struct packed){.node = node,
                              .epoch = event->epoch,
                              .seq = event->seq,
                              .time_wall_ns = event->time_wall_ns,
                              .generation = event->generation,
                              .wait_status = event->wait_status,
                              .type = (uint8_t)event->type,
                              .from = (uint8_t)event->from,
                              .to = (uint8_t)event->to,
                              .cause = (uint8_t)event->cause,
                              .result = (uint8_t)event->result,
                              .has_status = event->has_status};
    memcpy(packed->uuid, event->uuid, UUID_BYTES);
    memcpy(packed->texts, event->name, name_bytes);
    memcpy(packed->texts + name_bytes, event->request, request_bytes);
    memcpy(packed->texts + name_bytes + request_bytes, event->detail, detail_bytes);

    struct packed **place = &events->ring[++events->last % events->room];
    free(*place);
    *place = packed;
    if (events->last - events->first >= events->room)
        events->first++;
    return 0;
}

static void unpack(const struct packed *packed, struct event *event)
{
    const char *request = packed->texts + strlen(packed->texts) + 1;
    const char *detail = request + strlen(request) + 1;

    *event = (struct event){.epoch = packed->epoch,
                            .seq = packed->seq,
                            .time_wall_ns = packed->time_wall_ns,
                            .generation = packed->generation,
                            .type = (enum event_type)packed->type,
                            .from = (enum ct_state)packed->from,
                            .to = (enum ct_state)packed->to,
                            .cause = (enum cause)packed->cause,
                            .has_status = packed->has_status,
                            .wait_status = packed->wait_status,
                            .result = (enum status)packed->result};
    memcpy(event->uuid, packed->uuid, UUID_BYTES);
    memcpy(event->name, packed->texts, strlen(packed->texts) + 1); /* as long as they came in */
    memcpy(event->request, request, strlen(request) + 1);
    memcpy(event->detail, detail, strlen(detail) + 1);
}

static bool is_wanted(const struct reader *reader, const struct packed *packed)
{
    if (packed->time_wall_ns <= reader->after_wall_ns)
        return false;
    if (reader->node[0] != '\0' && strcmp(reader->node, packed->node) != 0)
        return false;
    return !reader->has_uuid || memcmp(reader->uuid, packed->uuid, UUID_BYTES) == 0;
}

/* One batch's worth, in static room: the loop's thread alone pumps, one reader at a time. */
static struct {
    struct event_view views[EVENT_BATCH_MAX];
    char cursors[EVENT_BATCH_MAX][CURSOR_BYTES];
    size_t count;
} batch;

static void batch_add(const char *node, uint64_t cursor, struct event_view **ret_view)
{
    struct event_view *view = &batch.views[batch.count];

    (void)snprintf(batch.cursors[batch.count], CURSOR_BYTES, "%" PRIu64, cursor);
    view->node = node;
    view->cursor = batch.cursors[batch.count];
    batch.count++;
    *ret_view = view;
}

/* The ring went over what this reader had still to see: say so, and how much it was. */
static void batch_add_gap(struct events *events, uint64_t position)
{
    struct event_view *view;

    batch_add("", events->first - 1, &view);
    view->event = (struct event){.type = EVENT_GAP, .time_wall_ns = clock_wall_ns()};
    (void)snprintf(view->event.detail, EVENT_DETAIL_BYTES,
                   "%" PRIu64 " events are no longer kept by the controller",
                   events->first - 1 - position);
}

/* Collects from `position` on; returns the cursor up to which the ring was looked at. */
static uint64_t collect(struct events *events, const struct reader *reader)
{
    uint64_t position = reader->position;
    uint64_t end = reader->until < events->last ? reader->until : events->last;

    batch.count = 0;
    if (position + 1 < events->first) {
        batch_add_gap(events, position);
        position = events->first - 1;
    }
    for (unsigned n = 0; n < SCAN_MAX && position < end && batch.count < EVENT_BATCH_MAX; n++) {
        const struct packed *packed = events->ring[++position % events->room];
        struct event_view *view;

        if (!is_wanted(reader, packed))
            continue;
        batch_add(packed->node, position, &view);
        unpack(packed, &view->event);
    }
    return position;
}

enum pumped { PUMPED_DONE, PUMPED_IDLE, PUMPED_MORE };

static enum pumped pump(struct controller *controller, struct reader *reader)
{
    struct events *events = &controller->events;
    struct local_client *client = local_find(&controller->local, reader->client);
    struct message message = {.kind = MESSAGE_ANSWER};

    if (client == NULL)
        return PUMPED_DONE;
    uint64_t position = collect(events, reader);
    bool is_last = position >= reader->until;
    if (batch.count == 0 && !is_last) {
        reader->position = position;
        return position < events->last ? PUMPED_MORE : PUMPED_IDLE;
    }
    message.answer = (struct answer){.request_id = reader->request,
                                     .is_last = is_last,
                                     .events = batch.views,
                                     .event_count = batch.count};
    int result = local_send(client, &message);
    if (result == -ENOBUFS) {
        reader->is_starved = true;
        return PUMPED_IDLE;
    }
    if (result < 0 || is_last)
        return PUMPED_DONE;
    reader->position = position;
    return position < events->last ? PUMPED_MORE : PUMPED_IDLE;
}

bool events_pump(struct controller *controller)
{
    struct events *events = &controller->events;
    bool has_more = false;

    for (struct reader **at = &events->readers; *at != NULL;) {
        struct reader *reader = *at;
        enum pumped pumped = PUMPED_IDLE;

        if (!reader->is_starved &&
            (reader->position < events->last || reader->position >= reader->until))
            pumped = pump(controller, reader);
        has_more = has_more || pumped == PUMPED_MORE;
        if (pumped == PUMPED_DONE) {
            *at = reader->next;
            events->reader_count--;
            free(reader);
        } else {
            at = &reader->next;
        }
    }
    return has_more;
}

static int place_reader(const struct events *events, const struct query *query,
                        struct reader *reader)
{
    char *end = NULL;

    reader->position = events->first - 1;
    reader->until = query->is_follow ? UINT64_MAX : events->last;
    if (query->kind == QUERY_HISTORY) {
        reader->until = events->last;
        return 0;
    }
    switch (query->since) {
    case SINCE_ALL:
    case SINCE_COUNT:
        return 0;
    case SINCE_NOW:
        reader->position = events->last;
        return 0;
    case SINCE_TIME:
        reader->after_wall_ns = query->since_number;
        return 0;
    case SINCE_SEQ: /* here a number is a cursor: seqs are a node's own */
        reader->position = query->since_number;
        break;
    case SINCE_CURSOR:
        errno = 0;
        reader->position = strtoull(query->since_cursor, &end, 10);
        /* strtoull(3) takes a sign and white space for parts of a number. */
        if (errno != 0 || query->since_cursor[0] < '0' || query->since_cursor[0] > '9' ||
            *end != '\0')
            return -EINVAL;
        break;
    }
    if (reader->position > events->last)
        reader->position = events->last;
    /* A cursor of an earlier life of this controller: all that is kept came after it. */
    if (reader->position + 1 < events->born)
        reader->position = events->first - 1;
    return 0;
}

void events_read(struct controller *controller, uint64_t client, const struct query *query,
                 const struct reader *filter)
{
    struct events *events = &controller->events;
    struct reader *reader = NULL;

    if (events->reader_count < READERS_MAX)
        reader = malloc(sizeof(*reader));
    if (reader == NULL) {
        const struct fault_view view = {.status = STATUS_BUSY,
                                        .text = "too many read events already"};
        answers_fault(controller, client, query->request_id, &view);
        return;
    }
    *reader = *filter;
    reader->client = client;
    (void)snprintf(reader->request, sizeof(reader->request), "%s", query->request_id);
    if (place_reader(events, query, reader) < 0) {
        struct fault fault;
        fault_set(&fault, STATUS_INVALID, 0, "%s is not a cursor", query->since_cursor);
        fault_hint(&fault, "give a number from the field cursor of an event");
        struct fault_view view = answers_view(&fault, "", "");
        answers_fault(controller, client, query->request_id, &view);
        free(reader);
        return;
    }
    reader->next = events->readers;
    events->readers = reader;
    events->reader_count++;
}

void events_client_drained(struct events *events, uint64_t client)
{
    for (struct reader *at = events->readers; at != NULL; at = at->next)
        if (at->client == client)
            at->is_starved = false;
}

void events_client_gone(struct events *events, uint64_t client)
{
    for (struct reader **at = &events->readers; *at != NULL;) {
        struct reader *reader = *at;
        if (reader->client != client) {
            at = &reader->next;
            continue;
        }
        *at = reader->next;
        events->reader_count--;
        free(reader);
    }
}
