/* SPDX-License-Identifier: Apache-2.0 */
/* The registry in the store: see registry.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "ensure.h"
#include "registry.h"

void known_mark_dirty(struct member *member, struct known *known)
{
    struct registry *registry = member->registry;

    if (registry->is_loading || known->dirty_place != 0)
        return;
    if (registry->dirty_count == registry->dirty_room) {
        registry->dirty_room = registry->dirty_room == 0 ? 64 : registry->dirty_room * 2;
        registry->dirty = realloc(registry->dirty, registry->dirty_room * sizeof(*registry->dirty));
        ENSURE(registry->dirty != NULL);
    }
    registry->dirty[registry->dirty_count++] = known;
    known->dirty_place = registry->dirty_count;
}

void known_mark_dropped(struct member *member, struct known *known)
{
    struct registry *registry = member->registry;
    struct ctl_change change = {.kind = CTL_DROP_CONTAINER};

    if (known->dirty_place != 0) {
        struct known *last = registry->dirty[--registry->dirty_count];

        registry->dirty[known->dirty_place - 1] = last;
        last->dirty_place = known->dirty_place;
        known->dirty_place = 0;
    }
    if (registry->dropped == NULL)
        registry->dropped = ctl_batch_new();
    change.container.node = member->index;
    memcpy(change.container.name, known->name, sizeof(known->name));
    (void)ctl_batch_add(registry->dropped, &change);
}

/* Before anything that is put: one of the same name may have been made since, and what is put of it
 * must not go with its predecessor. */
static void store_dropped(struct registry *registry, struct ctl_batch *batch)
{
    for (size_t i = 0; registry->dropped != NULL && i < registry->dropped->count; i++)
        (void)ctl_batch_add(batch, &registry->dropped->changes[i]);
    ctl_batch_free(registry->dropped);
    registry->dropped = NULL;
}

void registry_store_known(const struct known *known, const struct member *member,
                          const struct octets *config, struct ctl_batch *batch)
{
    struct message message = {.kind = MESSAGE_ANSWER};
    struct ctl_change change = {.kind = CTL_PUT_CONTAINER};
    struct buffer buffer = {0};

    store_dropped(member->registry, batch);
    message.answer = (struct answer){.containers = &known->view, .container_count = 1};
    /* What came through the codec goes through it; without memory the next word of its node is
     * stored instead. */
    if (codec_encode(&message, &buffer) == 0) {
        change.container.node = member->index;
        memcpy(change.container.name, known->name, sizeof(known->name));
        memcpy(change.container.uuid, known->view.uuid, UUID_BYTES);
        change.container.view = (struct octets){buffer.data, buffer.size_bytes};
        change.container.config = *config;
        (void)ctl_batch_add(batch, &change);
    }
    buffer_close(&buffer);
}

static struct member *member_of(const struct registry *registry, const struct known *known)
{
    return registry_find(registry, known->view.node);
}

bool registry_has_changes(const struct registry *registry)
{
    return registry->dirty_count != 0 || registry->dropped != NULL;
}

void registry_store(struct registry *registry, struct ctl_batch *batch)
{
    const struct octets none = {0};

    store_dropped(registry, batch);
    for (size_t i = 0; i < registry->dirty_count; i++) {
        struct known *known = registry->dirty[i];

        known->dirty_place = 0;
        registry_store_known(known, member_of(registry, known), &none, batch);
    }
    registry->dirty_count = 0;
}

int registry_load_container(struct registry *registry, const struct ctl_container *container)
{
    struct arena arena = {0};
    struct message message;

    if (container->node >= registry->member_count)
        return -EUCLEAN;
    int result = codec_decode(container->view.data, container->view.size_bytes, &arena, &message);
    if (result == 0 && (message.kind != MESSAGE_ANSWER || message.answer.container_count != 1))
        result = -EUCLEAN;
    if (result == 0)
        result = known_tell(registry->members[container->node], message.answer.containers, 0);
    arena_close(&arena);
    return result == -ENOMEM ? result : result < 0 ? -EUCLEAN : 0;
}
