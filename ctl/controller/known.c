/* SPDX-License-Identifier: Apache-2.0 */
/* The containers of one member: see registry.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ensure.h"
#include "registry.h"

static bool is_same_labels(const struct container_view *a, const struct container_view *b)
{
    for (size_t i = 0; i < a->label_count; i++)
        if (strcmp(a->labels[i].key, b->labels[i].key) != 0 ||
            strcmp(a->labels[i].value, b->labels[i].value) != 0)
            return false;
    return true;
}

/* But for name and node, which are the known one's. */
static bool is_same_view(const struct container_view *a, const struct container_view *b)
{
    return memcmp(a->uuid, b->uuid, UUID_BYTES) == 0 && a->state == b->state &&
           a->generation == b->generation && a->pid == b->pid && a->is_ready == b->is_ready &&
           a->cause == b->cause && a->has_status == b->has_status &&
           a->wait_status == b->wait_status && a->started_wall_ns == b->started_wall_ns &&
           a->revision == b->revision && a->label_count == b->label_count && is_same_labels(a, b);
}

/* Where the name is, or would be. */
static size_t known_place(const struct member *member, const char *name)
{
    size_t low = 0;
    size_t high = member->known_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(member->known[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct known *find_name(const struct member *member, const char *name)
{
    size_t at = known_place(member, name);

    return at < member->known_count && strcmp(member->known[at]->name, name) == 0
               ? member->known[at]
               : NULL;
}

struct known *known_find(const struct member *member, const char *container)
{
    uint8_t uuid[UUID_BYTES];
    struct known *known = find_name(member, container);

    if (known != NULL || !uuid_parse(container, uuid))
        return known;
    for (size_t i = 0; i < member->known_count; i++)
        if (memcmp(member->known[i]->view.uuid, uuid, UUID_BYTES) == 0)
            return member->known[i];
    return NULL;
}

static int copy_labels(const struct container_view *view, struct pair **ret_labels)
{
    size_t size_bytes = view->label_count * sizeof(struct pair);

    *ret_labels = NULL;
    if (view->label_count == 0)
        return 0;
    for (size_t i = 0; i < view->label_count; i++)
        size_bytes += strlen(view->labels[i].key) + strlen(view->labels[i].value) + 2;
    struct pair *labels = malloc(size_bytes);
    if (labels == NULL)
        return -ENOMEM;

    char *text = (char *)&labels[view->label_count];
    for (size_t i = 0; i < view->label_count; i++) {
        labels[i].key = text;
        text = stpcpy(text, view->labels[i].key) + 1;
        labels[i].value = text;
        text = stpcpy(text, view->labels[i].value) + 1;
    }
    *ret_labels = labels;
    return 0;
}

static int known_add(struct member *member, const char *name, struct known **ret_known)
{
    size_t at = known_place(member, name);

    if (member->known_count == KNOWN_MAX)
        return -ENOSPC;
    if (member->known_count == member->known_room) {
        size_t room = member->known_room == 0 ? 16 : member->known_room * 2;
        struct known **grown = realloc(member->known, room * sizeof(struct known *));
        if (grown == NULL)
            return -ENOMEM;
        member->known = grown;
        member->known_room = room;
    }
    struct known *known = calloc(1, sizeof(*known));
    if (known == NULL)
        return -ENOMEM;
    memcpy(known->name, name, strlen(name) + 1); /* name_check() has bounded it */
    memmove(&member->known[at + 1], &member->known[at],
            (member->known_count - at) * sizeof(struct known *));
    known->place = ++member->place_last;
    member->known[at] = known;
    member->known_count++;
    *ret_known = known;
    return 0;
}

int known_tell(struct member *member, const struct container_view *view, uint64_t mark)
{
    struct known *known = find_name(member, view->name);
    struct pair *labels;

    if (!name_check(view->name))
        return -EINVAL;
    if (known != NULL && is_same_view(&known->view, view)) {
        known->mark = mark > known->mark ? mark : known->mark;
        return 0;
    }
    int result = copy_labels(view, &labels);
    if (result == 0 && known == NULL)
        result = known_add(member, view->name, &known);
    if (result < 0) {
        free(labels);
        return result;
    }
    free(known->labels);
    known->labels = labels;
    known->view = *view;
    known->view.name = known->name;
    known->view.node = member->name;
    known->view.labels = labels;
    if (mark > known->mark)
        known->mark = mark;
    known_mark_dirty(member, known);
    return 0;
}

/* Places stay as long as the order does: a list that is told in pieces has nothing twice. */
int known_list(struct member *member, const struct container_view *view, uint64_t mark)
{
    int result = known_tell(member, view, mark);
    if (result < 0)
        return result;

    struct known *known = find_name(member, view->name);
    if (known->place <= member->place_told)
        known->place = ++member->place_last;
    member->place_told = known->place;
    return 0;
}

void known_remove(struct member *member, const struct known *known)
{
    size_t at = known_place(member, known->name);

    ENSURE(at < member->known_count);
    ENSURE(member->known[at] == known);
    known_mark_dropped(member, member->known[at]);
    free(member->known[at]->labels);
    free(member->known[at]);
    member->known_count--;
    memmove(&member->known[at], &member->known[at + 1],
            (member->known_count - at) * sizeof(struct known *));
}

static bool ct_state_has_init(enum ct_state state)
{
    return state == CT_BOOTING || state == CT_RUNNING || state == CT_FROZEN || state == CT_STOPPING;
}

bool known_has_init(const struct known *known)
{
    return ct_state_has_init(known->view.state);
}

static void apply_move(struct container_view *view, const struct event *event)
{
    bool had_init = ct_state_has_init(event->from);

    view->state = event->to;
    view->generation = event->generation;
    view->is_ready = event->to == CT_RUNNING || (view->is_ready && event->to == CT_FROZEN);
    if (!had_init && ct_state_has_init(event->to)) {
        view->started_wall_ns = event->time_wall_ns;
        view->cause = CAUSE_UNSET;
        view->has_status = false;
    }
    if (!ct_state_has_init(event->to))
        view->pid = 0;
    if (event->cause != CAUSE_UNSET) {
        view->cause = event->cause;
        view->has_status = event->has_status;
        view->wait_status = event->wait_status;
    }
}

void known_apply_event(struct member *member, const struct event *event, uint64_t mark)
{
    struct known *known = find_name(member, event->name);
    bool is_same = known != NULL && memcmp(known->view.uuid, event->uuid, UUID_BYTES) == 0;

    if (event->type == EVENT_DESTROYED && is_same)
        known_remove(member, known);
    if (event->type == EVENT_CREATED && !is_same) {
        struct container_view view = {.name = event->name, .state = CT_STOPPED};
        memcpy(view.uuid, event->uuid, UUID_BYTES);
        (void)known_tell(member, &view, mark); /* no room: the next list tells it again */
    }
    if (event->type == EVENT_CHANGED && is_same) {
        apply_move(&known->view, event);
        known_mark_dirty(member, known);
    }
}

bool known_is_selected(const struct known *known, const char *const *selectors,
                       size_t selector_count)
{
    char uuid[UUID_TEXT_BYTES];
    const struct container_view *view = &known->view;
    struct selectable what = {view->name, view->node, uuid_format(view->uuid, uuid), view->labels,
                              view->label_count};

    for (size_t i = 0; i < selector_count; i++)
        if (selector_match(selectors[i], &what))
            return true;
    return selector_count == 0;
}

void known_sweep(struct member *member, uint64_t mark, const char *const *selectors,
                 size_t selector_count)
{
    member->place_told = 0;
    for (size_t i = member->known_count; i-- > 0;) {
        const struct known *known = member->known[i];
        if (known->mark < mark && known_is_selected(known, selectors, selector_count))
            known_remove(member, known);
    }
}
