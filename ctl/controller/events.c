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

/* Most events have neither a request nor words: packed they take a quarter of a struct event. Texts
 * follow each other, NUL-terminated: name, request, detail. */
struct packed {
    uint64_t epoch;
    uint64_t seq;
    uint64_t time_wall_ns;
    uint64_t generation;
    uint32_t node;
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

/* ---- the newest ---- */

void events_close(struct events *events)
{
    for (size_t i = 0; i < EVENTS_RECENT; i++)
        free(events->ring[i]);
    while (events->readers != NULL) {
        struct reader *reader = events->readers;
        events->readers = reader->next;
        free(reader);
    }
    *events = (struct events){0};
}

static struct packed *pack(uint32_t node, const struct event *event)
{
    size_t name_bytes = strlen(event->name) + 1;
    size_t request_bytes = strlen(event->request) + 1;
    size_t detail_bytes = strlen(event->detail) + 1;
    struct packed *packed = malloc(sizeof(*packed) + name_bytes + request_bytes + detail_bytes);

    if (packed == NULL)
        return NULL;
    *packed = (struct packed){.epoch = event->epoch,
                              .seq = event->seq,
                              .time_wall_ns = event->time_wall_ns,
                              .generation = event->generation,
                              .node = node,
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
    return packed;
}

void events_publish(struct events *events, uint32_t node, const struct event *event,
                    uint64_t cursor)
{
    struct packed *packed = pack(node, event);

    /* The ring has no hole: at one (a new life's first cursor, no memory) it begins anew. */
    if (cursor != events->last + 1 || packed == NULL)
        events->first = packed == NULL ? 0 : cursor;
    else if (events->first == 0)
        events->first = cursor;
    events->last = cursor;
    if (packed == NULL)
        return;
    free(events->ring[cursor % EVENTS_RECENT]);
    events->ring[cursor % EVENTS_RECENT] = packed;
    if (cursor - events->first >= EVENTS_RECENT)
        events->first = cursor - EVENTS_RECENT + 1;
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
    return packed->time_wall_ns > reader->after_wall_ns &&
           (!reader->has_node || reader->node == packed->node) &&
           (reader->name[0] == '\0' || strcmp(reader->name, packed->texts) == 0) &&
           (!reader->has_uuid || memcmp(reader->uuid, packed->uuid, UUID_BYTES) == 0);
}

/* ---- what is sent ---- */

/* One batch's worth, in static room: the loop's thread alone sends, one reader at a
 * time. */
static struct {
    struct event_view views[EVENT_BATCH_MAX];
    char cursors[EVENT_BATCH_MAX][CURSOR_BYTES];
    size_t count;
} batch;

static void batch_add(const struct controller *controller, uint32_t node, uint64_t cursor,
                      struct event_view **ret_view)
{
    struct event_view *view = &batch.views[batch.count];

    (void)snprintf(batch.cursors[batch.count], CURSOR_BYTES, "%" PRIu64, cursor);
    view->node =
        node < controller->registry.member_count ? controller->registry.members[node]->name : "";
    view->cursor = batch.cursors[batch.count];
    batch.count++;
    *ret_view = view;
}

/* What this reader had still to see is no longer kept: say so, and how much it was. */
static void batch_add_gap(const struct controller *controller, const struct ctl_read *read)
{
    struct event_view *view;

    batch_add(controller, UINT32_MAX, read->lost_through, &view);
    view->event = (struct event){.type = EVENT_GAP, .time_wall_ns = clock_wall_ns()};
    (void)snprintf(view->event.detail, EVENT_DETAIL_BYTES,
                   "%" PRIu64 " events are no longer kept by the controller", read->lost);
}

enum pumped { PUMPED_DONE, PUMPED_IDLE, PUMPED_MORE };

static void refuse_name(struct controller *controller, const struct reader *reader)
{
    const char *node = reader->has_node ? controller->registry.members[reader->node]->name : "";
    struct fault fault;

    fault_set(&fault, STATUS_NOT_FOUND, 0, "no container %s", reader->name);
    struct fault_view view = answers_view(&fault, reader->name, node);
    answers_fault(controller, reader->client, reader->request, &view);
}

/* What is in `batch`, which ends at `position`. */
static enum pumped send_batch(struct controller *controller, struct reader *reader,
                              uint64_t position)
{
    struct local_client *client = local_find(&controller->local, reader->client);
    struct message message = {.kind = MESSAGE_ANSWER};
    bool is_last = position >= reader->until;
    int result = 0;

    if (client == NULL)
        return PUMPED_DONE;
    reader->has_sent = reader->has_sent || batch.count > 0;
    if (is_last && reader->name[0] != '\0' && !reader->has_sent) {
        refuse_name(controller, reader);
        return PUMPED_DONE;
    }
    message.answer = (struct answer){.request_id = reader->request,
                                     .is_last = is_last,
                                     .events = batch.views,
                                     .event_count = batch.count};
    if (batch.count > 0 || is_last)
        result = local_send(client, &message);
    if (result == -ENOBUFS) {
        reader->is_starved = true;
        return PUMPED_IDLE;
    }
    if (result < 0 || is_last)
        return PUMPED_DONE;
    reader->position = position;
    return position < controller->events.last ? PUMPED_MORE : PUMPED_IDLE;
}

/* Collects from the ring; returns the cursor up to which it was looked at. */
static uint64_t collect(const struct controller *controller, const struct reader *reader)
{
    const struct events *events = &controller->events;
    uint64_t position = reader->position;
    uint64_t end = reader->until < events->last ? reader->until : events->last;

    batch.count = 0;
    for (unsigned n = 0; n < EVENTS_SCAN_MAX && position < end && batch.count < EVENT_BATCH_MAX;
         n++) {
        const struct packed *packed = events->ring[++position % EVENTS_RECENT];
        struct event_view *view;

        if (!is_wanted(reader, packed))
            continue;
        batch_add(controller, packed->node, position, &view);
        unpack(packed, &view->event);
    }
    return position;
}

/* ---- what the store has ---- */

static enum pumped ask_store(struct controller *controller, struct reader *reader)
{
    struct events *events = &controller->events;
    struct ctl_read *read = NULL;

    if (events->read_count == EVENTS_READS_MAX)
        return PUMPED_IDLE; /* the next one that is answered brings the turn */
    read = ctl_read_new(CTL_READ_EVENTS);
    if (read == NULL)
        return PUMPED_MORE;
    read->context = reader;
    read->after = reader->position;
    read->until = reader->until < events->last ? reader->until : events->last;
    read->after_wall_ns = reader->after_wall_ns;
    read->has_node = reader->has_node;
    read->node = reader->node;
    read->has_uuid = reader->has_uuid;
    memcpy(read->uuid, reader->uuid, UUID_BYTES);
    read->has_name = reader->name[0] != '\0';
    memcpy(read->name, reader->name, sizeof(read->name));
    reader->read = read;
    events->read_count++;
    controller->store->ops->read(controller->store, read);
    return PUMPED_IDLE;
}

static void unlink_reader(struct events *events, const struct reader *reader)
{
    struct reader **at = &events->readers;

    while (*at != reader)
        at = &(*at)->next;
    *at = reader->next;
    events->reader_count--;
}

static void remove_reader(struct events *events, struct reader *reader)
{
    unlink_reader(events, reader);
    if (reader->read != NULL)
        reader->read->context = NULL; /* is answered to nobody */
    free(reader);
}

static void append_reader(struct events *events, struct reader *reader)
{
    struct reader **at = &events->readers;

    while (*at != NULL)
        at = &(*at)->next;
    *at = reader;
    reader->next = NULL;
    events->reader_count++;
}

static enum pumped tell_read(struct controller *controller, struct reader *reader,
                             const struct ctl_read *read)
{
    uint64_t position = read->position;

    batch.count = 0;
    if (read->result < 0) {
        struct fault fault;
        fault_set(&fault, STATUS_FAILED, -read->result, "the controller's store cannot be read");
        struct fault_view view = answers_view(&fault, "", "");
        answers_fault(controller, reader->client, reader->request, &view);
        return PUMPED_DONE;
    }
    if (read->lost > 0 && reader->is_placed)
        batch_add_gap(controller, read);
    for (size_t i = 0; i < read->count; i++) {
        struct event_view *view;

        batch_add(controller, read->events[i].node, read->events[i].cursor, &view);
        view->event = read->events[i].event;
    }
    if (position < read->lost_through)
        position = read->lost_through;
    reader->is_placed = true; /* from now on what is lost was missed */
    return send_batch(controller, reader, position);
}

void events_take_read(struct controller *controller, struct ctl_read *read_consumed)
{
    struct events *events = &controller->events;
    struct reader *reader = read_consumed->context;

    events->read_count--;
    if (reader != NULL) {
        reader->read = NULL;
        unlink_reader(events, reader);
        append_reader(events, reader);
        if (tell_read(controller, reader, read_consumed) == PUMPED_DONE)
            remove_reader(events, reader);
    }
    ctl_read_free(read_consumed);
}

/* ---- readers ---- */

static enum pumped pump(struct controller *controller, struct reader *reader)
{
    const struct events *events = &controller->events;
    bool is_behind = events->first == 0 || reader->position + 1 < events->first;

    if (reader->is_starved || reader->read != NULL)
        return PUMPED_IDLE;
    if (local_find(&controller->local, reader->client) == NULL)
        return PUMPED_DONE;
    batch.count = 0;
    if (reader->position >= reader->until)
        return send_batch(controller, reader, reader->position);
    if (reader->position >= events->last)
        return PUMPED_IDLE;
    if (is_behind)
        return ask_store(controller, reader);
    return send_batch(controller, reader, collect(controller, reader));
}

bool events_pump(struct controller *controller)
{
    bool has_more = false;
    struct reader *next;

    for (struct reader *at = controller->events.readers; at != NULL; at = next) {
        next = at->next;
        enum pumped pumped = pump(controller, at);
        has_more = has_more || pumped == PUMPED_MORE;
        if (pumped == PUMPED_DONE)
            remove_reader(&controller->events, at);
    }
    return has_more;
}

static int read_cursor(const char *text, uint64_t *ret_cursor)
{
    char *end = NULL;

    errno = 0;
    *ret_cursor = strtoull(text, &end, 10);
    /* strtoull(3) takes a sign and white space for parts of a number. */
    return errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' ? -EINVAL : 0;
}

static int place_reader(const struct events *events, const struct query *query,
                        struct reader *reader)
{
    int result = 0;

    reader->position = 0;
    reader->is_placed = false;
    reader->until = query->is_follow ? UINT64_MAX : events->last;
    if (query->kind == QUERY_HISTORY) {
        reader->until = events->last;
        return 0;
    }
    switch (query->since) {
    case SINCE_ALL:
    case SINCE_COUNT:
        return 0;
    case SINCE_TIME:
        reader->after_wall_ns = query->since_number;
        return 0;
    case SINCE_NOW:
        reader->position = events->last;
        break;
    case SINCE_SEQ: /* here a number is a cursor: seqs are a node's own */
        reader->position = query->since_number;
        break;
    case SINCE_CURSOR:
        result = read_cursor(query->since_cursor, &reader->position);
        break;
    }
    reader->is_placed = true;
    /* One beyond all that were given, or of a store that was put back since. */
    if (reader->position > events->last)
        reader->position = events->last;
    return result;
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
    append_reader(events, reader);
}

void events_client_drained(struct events *events, uint64_t client)
{
    for (struct reader *at = events->readers; at != NULL; at = at->next)
        if (at->client == client)
            at->is_starved = false;
}

void events_client_gone(struct events *events, uint64_t client)
{
    struct reader *next;

    for (struct reader *at = events->readers; at != NULL; at = next) {
        next = at->next;
        if (at->client == client)
            remove_reader(events, at);
    }
}
