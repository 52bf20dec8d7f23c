/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of containers and of nodes, told from the registry: see queries.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "controller.h"

#define PIECE_VIEWS 128 /* containers in one answer */
#define PIECE_BYTES (MESSAGE_BYTES_MAX / 4)
#define PIECE_NODES 128

/* ---- containers ---- */

/* One piece, in static room: the loop's thread alone tells, one list at a time. */
static struct {
    struct container_view views[PIECE_VIEWS];
    size_t count;
    size_t size_bytes;
} piece;

static int compare_place(const void *a, const void *b)
{
    const struct known *const *left = a;
    const struct known *const *right = b;

    return ((*left)->place > (*right)->place) - ((*left)->place < (*right)->place);
}

/* Those of a member that are selected and were not told yet, in its own order. */
static size_t pick(const struct ask *ask, const struct member *member, const struct query *query,
                   const struct known **picked)
{
    bool is_begun = strcmp(member->name, ask->told_node) == 0;
    size_t count = 0;

    for (size_t i = 0; i < member->known_count; i++) {
        const struct known *known = member->known[i];

        if (is_begun && known->place <= ask->told_place)
            continue;
        if (known_is_selected(known, query->selectors, query->selector_count))
            picked[count++] = known;
    }
    qsort(picked, count, sizeof(const struct known *), compare_place);
    return count;
}

static int send_piece(struct controller *controller, const struct ask *ask,
                      const struct query *query, bool is_last)
{
    struct local_client *client = local_find(&controller->local, ask->client);
    struct message message = {.kind = MESSAGE_ANSWER};

    message.answer = (struct answer){.request_id = query->request_id,
                                     .is_last = is_last,
                                     .containers = piece.views,
                                     .container_count = piece.count};
    int result = client == NULL ? -EPIPE : local_send(client, &message);
    piece.count = 0;
    piece.size_bytes = 0;
    return result;
}

static int tell_member(struct controller *controller, struct ask *ask, const struct query *query,
                       const struct member *member)
{
    static const struct known *picked[KNOWN_MAX];
    size_t count = pick(ask, member, query, picked);

    for (size_t i = 0; i < count; i++) {
        piece.views[piece.count++] = picked[i]->view;
        piece.size_bytes += codec_view_bytes(&picked[i]->view);
        if (piece.count < PIECE_VIEWS && piece.size_bytes < PIECE_BYTES)
            continue;
        int result = send_piece(controller, ask, query, false);
        if (result < 0)
            return result;
        memcpy(ask->told_node, member->name, sizeof(ask->told_node));
        ask->told_place = picked[i]->place;
    }
    return 0;
}

static int tell_all(struct controller *controller, struct ask *ask, const struct query *query)
{
    const struct registry *registry = &controller->registry;

    piece.count = 0;
    piece.size_bytes = 0;
    for (uint32_t i = 0; i < registry->member_count; i++) {
        const struct member *member = registry->by_name[i];

        if (strcmp(member->name, ask->told_node) < 0 ||
            (ask->node[0] != '\0' && strcmp(member->name, ask->node) != 0))
            continue;
        int result = tell_member(controller, ask, query, member);
        if (result < 0)
            return result;
    }
    return send_piece(controller, ask, query, true);
}

bool queries_tell_list(struct controller *controller, struct ask *ask)
{
    struct arena arena = {0};
    struct message message;
    int result = codec_decode(ask->message.data, ask->message.size_bytes, &arena, &message);

    if (result == 0)
        result = tell_all(controller, ask, &message.query);
    if (result < 0 && result != -ENOBUFS && result != -EPIPE) {
        struct fault fault;
        fault_set(&fault, STATUS_FAILED, -result, "the list cannot be told");
        struct fault_view view = answers_view(&fault, "", "");
        answers_fault(controller, ask->client, message.query.request_id, &view);
    }
    arena_close(&arena);
    ask->is_starved = result == -ENOBUFS;
    return result != -ENOBUFS;
}

/* ---- nodes ---- */

static void view_node(const struct member *member, char session[24], struct node_view *ret_view)
{
    const struct channel *control = &member->channels[CHANNEL_CONTROL];

    session[0] = '\0';
    if (control->is_up)
        (void)snprintf(session, 24, "%016" PRIx64, control->session.id);
    *ret_view = (struct node_view){.name = member->name,
                                   .state = control->is_up ? "up" : "down",
                                   .agent_version = member->build,
                                   .containers = (uint32_t)member->known_count,
                                   .running = member_running(member),
                                   .session = session,
                                   .seen_wall_ns = member->seen_wall_ns};
}

/* MEMBERS_MAX of them are 1 MiB: they go out at once, or the client does not read. */
void queries_tell_nodes(struct controller *controller, uint64_t client, const struct query *query)
{
    static struct node_view views[PIECE_NODES];
    static char sessions[PIECE_NODES][24];
    struct message message = {.kind = MESSAGE_ANSWER};
    const struct registry *registry = &controller->registry;
    size_t count = 0;

    message.answer = (struct answer){.request_id = query->request_id, .nodes = views};
    for (uint32_t i = 0; i < registry->member_count; i++) {
        const struct member *member = registry->by_name[i];

        if (query->node[0] != '\0' && strcmp(member->name, query->node) != 0)
            continue;
        if (count == PIECE_NODES) {
            message.answer.node_count = count;
            answers_send(controller, client, &message);
            count = 0;
        }
        view_node(member, sessions[count], &views[count]);
        count++;
    }
    message.answer.node_count = count;
    message.answer.is_last = true;
    answers_send(controller, client, &message);
}
