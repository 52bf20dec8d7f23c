/* SPDX-License-Identifier: Apache-2.0 */
#include "listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "ensure.h"
#include "strays.h"

#define PIECE_VIEWS 256
#define PIECE_BYTES (MESSAGE_BYTES_MAX / 4)

struct listing {
    struct listing *next;
    uint64_t origin;
    uint32_t index; /* of the slot that is looked at next */
    bool is_all;    /* as CONTAINERS, not as the answer to a query */
    struct arena arena;
    struct query query; /* in the arena, once it has to wait */
};

/* One piece, in static room: the loop's thread alone lists, one list at a time. */
static struct {
    struct container_view views[PIECE_VIEWS];
    size_t count;
} piece;

static bool is_selected(const struct agent *agent, const struct query *query,
                        const struct container_view *view)
{
    char uuid[UUID_TEXT_BYTES];
    struct selectable what = {view->name, agent->options->node, uuid_format(view->uuid, uuid),
                              view->labels, view->label_count};

    for (size_t i = 0; i < query->selector_count; i++)
        if (selector_match(query->selectors[i], &what))
            return true;
    return query->selector_count == 0;
}

bool listing_view_at(struct agent *agent, uint32_t *index, struct container_view *view)
{
    const struct stray *stray = NULL;

    for (; *index < CT_MAX && node_next(agent->node, index); (*index)++) {
        if (!node_get(agent->node, *index)->is_announced)
            continue;
        view_container(agent, *index, view);
        return true;
    }
    if (*index < CT_MAX)
        *index = CT_MAX;
    for (uint32_t i = CT_MAX; (stray = strays_next(agent, stray)) != NULL; i++) {
        if (i < *index)
            continue;
        strays_view(agent, stray, view);
        return true;
    }
    return false;
}

/* Collects from *index on. True: those were the last ones. */
static bool collect(struct agent *agent, const struct listing *listing, uint32_t *index)
{
    size_t size_bytes = 0;

    piece.count = 0;
    while (listing_view_at(agent, index, &piece.views[piece.count])) {
        const struct container_view *view = &piece.views[piece.count];

        if (is_selected(agent, &listing->query, view)) {
            size_bytes += codec_view_bytes(view);
            if (piece.count > 0 && size_bytes > PIECE_BYTES)
                return false;
            piece.count++;
        }
        (*index)++;
        if (piece.count == PIECE_VIEWS || size_bytes > PIECE_BYTES)
            return false; /* perhaps they were: an empty piece says so */
    }
    return true;
}

static int send_piece(struct agent *agent, const struct listing *listing, bool is_last)
{
    struct message message = {.kind = MESSAGE_ANSWER};

    message.answer = (struct answer){.request_id = listing->query.request_id,
                                     .is_last = is_last,
                                     .containers = piece.views,
                                     .container_count = piece.count};
    if (listing->is_all) {
        message.kind = MESSAGE_CONTAINERS;
        message.containers = (struct container_list){piece.views, piece.count, is_last};
    }
    if (listing->origin == ORIGIN_UPSTREAM) {
        if (!upstream_has_room(&agent->upstream))
            return -ENOBUFS;
        return upstream_send(&agent->upstream, &message) ? 0 : -EPIPE;
    }
    struct local_client *client = local_find(&agent->local, listing->origin);
    return client == NULL ? -EPIPE : local_send(client, &message);
}

/* True: it is done, or nobody is there to hear the rest. */
static bool pump(struct agent *agent, struct listing *listing)
{
    for (;;) {
        uint32_t index = listing->index;
        bool is_last = collect(agent, listing, &index);
        int result = send_piece(agent, listing, is_last);

        if (result == -ENOBUFS)
            return false;
        if (result < 0 || is_last)
            return true;
        listing->index = index;
    }
}

static struct listing *find(const struct listings *listings, uint64_t origin)
{
    struct listing *at = listings->first;

    while (at != NULL && at->origin != origin)
        at = at->next;
    return at;
}

static void drop(struct listings *listings, struct listing *listing)
{
    struct listing **at = &listings->first;

    while (*at != listing)
        at = &(*at)->next;
    *at = listing->next;
    listings->count--;
    arena_close(&listing->arena);
    free(listing);
}

/* The query is its asker's, whose message does not live on. */
static void copy_query(struct listing *listing, const struct query *query)
{
    size_t count = query->selector_count;
    const char **selectors = arena_take(&listing->arena, (count + 1) * sizeof(*selectors));

    ENSURE(selectors != NULL); /* it was decoded into an arena with the same cap */
    for (size_t i = 0; i < count; i++)
        ENSURE((selectors[i] = arena_text(&listing->arena, query->selectors[i])) != NULL);
    listing->query = (struct query){.request_id = arena_text(&listing->arena, query->request_id),
                                    .selectors = selectors,
                                    .selector_count = count};
    ENSURE(listing->query.request_id != NULL);
}

static void refuse(struct agent *agent, uint64_t origin, const struct query *query)
{
    struct message message = {.kind = MESSAGE_ANSWER};
    struct fault fault = {0};

    fault_set(&fault, STATUS_BUSY, 0, "too many lists wait for their askers to read them");
    message.answer = (struct answer){.request_id = query->request_id, .is_last = true};
    view_fault(agent, &fault, "", &message.answer.fault);
    requests_send(agent, origin, &message);
}

void listings_add(struct listings *listings, uint64_t origin, const struct query *query)
{
    static const struct query all = {.request_id = ""};
    struct listing listing = {
        .origin = origin, .is_all = query == NULL, .query = query == NULL ? all : *query};
    struct listing **end = &listings->first;

    if (find(listings, origin) == NULL && pump(listings->agent, &listing))
        return;
    if (listings->count == LISTINGS_MAX && query != NULL) {
        refuse(listings->agent, origin, query);
        return;
    }
    struct listing *kept = malloc(sizeof(*kept));
    ENSURE(kept != NULL);
    *kept = listing;
    if (query != NULL)
        copy_query(kept, query);
    while (*end != NULL)
        end = &(*end)->next;
    *end = kept;
    listings->count++;
}

void listings_pump(struct listings *listings, uint64_t origin)
{
    struct listing *listing;

    while ((listing = find(listings, origin)) != NULL && pump(listings->agent, listing))
        drop(listings, listing);
}

void listings_drop(struct listings *listings, uint64_t origin)
{
    struct listing *listing;

    while ((listing = find(listings, origin)) != NULL)
        drop(listings, listing);
}
