/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "ensure.h"
#include "store_parts.h"

#define ROOM_FIRST 256 /* doubled when full; a power of two */

/* Uuids are random or our own, so any few octets of them are a hash. */
static uint32_t *bucket_of(const struct subjects *subjects, const uint8_t *uuid)
{
    uint32_t hash;

    memcpy(&hash, uuid, sizeof(hash));
    return &subjects->buckets[hash & (subjects->room - 1)];
}

static struct subject *at(const struct subjects *subjects, uint32_t place)
{
    return place == 0 ? NULL : &subjects->list[place - 1];
}

uint32_t subjects_id(const struct subjects *subjects, const struct subject *subject)
{
    return (uint32_t)(subject - subjects->list);
}

struct subject *subjects_find(struct subjects *subjects, const uint8_t *uuid, const char *name)
{
    struct subject *subject = subjects->room == 0 ? NULL : at(subjects, *bucket_of(subjects, uuid));

    while (subject != NULL && (memcmp(subject->uuid, uuid, UUID_BYTES) != 0 ||
                               strncmp(subject->name, name, NAME_BYTES) != 0))
        subject = at(subjects, subject->next);
    return subject;
}

struct subject *subjects_find_live(struct subjects *subjects, const uint8_t *uuid)
{
    struct subject *subject = subjects->room == 0 ? NULL : at(subjects, *bucket_of(subjects, uuid));

    while (subject != NULL && (!subject->is_live || memcmp(subject->uuid, uuid, UUID_BYTES) != 0))
        subject = at(subjects, subject->next);
    return subject;
}

static void link_in(struct subjects *subjects, struct subject *subject)
{
    uint32_t *bucket = bucket_of(subjects, subject->uuid);

    subject->next = *bucket;
    *bucket = subjects_id(subjects, subject) + 1;
}

static bool grow(struct subjects *subjects, uint32_t room)
{
    struct subject *list = realloc(subjects->list, room * sizeof(*list));
    if (list == NULL)
        return false;
    subjects->list = list;

    uint32_t *dirty = realloc(subjects->dirty, room * sizeof(*dirty));
    if (dirty == NULL)
        return false;
    subjects->dirty = dirty;

    uint32_t *buckets = calloc(room, sizeof(*buckets));
    if (buckets == NULL)
        return false;
    free(subjects->buckets);
    subjects->buckets = buckets;

    memset(list + subjects->room, 0, (room - subjects->room) * sizeof(*list));
    subjects->room = room;
    for (uint32_t id = 0; id < subjects->top; id++)
        if (list[id].is_used)
            link_in(subjects, &list[id]);
    return true;
}

static struct subject *fill(struct subjects *subjects, uint32_t id, const uint8_t *uuid,
                            const char *name)
{
    struct subject *subject = &subjects->list[id];

    *subject = (struct subject){.is_used = true};
    memcpy(subject->uuid, uuid, UUID_BYTES);
    (void)strncpy(subject->name, name, NAME_BYTES - 1);
    link_in(subjects, subject);
    return subject;
}

struct subject *subjects_add(struct subjects *subjects, const uint8_t *uuid, const char *name)
{
    uint32_t id = subjects->free;

    if (id != 0) {
        subjects->free = subjects->list[--id].next;
        return fill(subjects, id, uuid, name);
    }
    if (subjects->top == STORE_SUBJECTS_MAX)
        return NULL;
    if (subjects->top == subjects->room &&
        !grow(subjects, subjects->room == 0 ? ROOM_FIRST : subjects->room * 2))
        return NULL;
    return fill(subjects, subjects->top++, uuid, name);
}

struct subject *subjects_add_at(struct subjects *subjects, uint32_t id, const uint8_t *uuid,
                                const char *name)
{
    uint32_t room = subjects->room == 0 ? ROOM_FIRST : subjects->room;

    ENSURE(id < STORE_SUBJECTS_MAX);
    while (room <= id)
        room *= 2;
    if (room > subjects->room && !grow(subjects, room))
        return NULL;
    ENSURE(!subjects->list[id].is_used);
    if (id >= subjects->top)
        subjects->top = id + 1;
    return fill(subjects, id, uuid, name);
}

void subjects_link_free(struct subjects *subjects)
{
    subjects->free = 0;
    for (uint32_t id = subjects->top; id-- > 0;) {
        if (subjects->list[id].is_used)
            continue;
        subjects->list[id].next = subjects->free;
        subjects->free = id + 1;
    }
}

void subjects_remove(struct subjects *subjects, struct subject *subject)
{
    uint32_t place = subjects_id(subjects, subject) + 1;
    uint32_t *link = bucket_of(subjects, subject->uuid);

    ENSURE(!subject->is_listed);
    while (*link != place)
        link = &at(subjects, *link)->next;
    *link = subject->next;
    *subject = (struct subject){.next = subjects->free};
    subjects->free = place;
}

void subjects_mark_dirty(struct subjects *subjects, struct subject *subject)
{
    subject->is_dirty = true;
    if (subject->is_listed)
        return;
    subject->is_listed = true;
    subjects->dirty[subjects->dirty_count++] = subjects_id(subjects, subject);
}

void subjects_close(struct subjects *subjects)
{
    free(subjects->list);
    free(subjects->buckets);
    free(subjects->dirty);
    *subjects = (struct subjects){0};
}
