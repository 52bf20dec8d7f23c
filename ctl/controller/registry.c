/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where the name is, or would be, in by_name. */
static uint32_t member_place(const struct registry *registry, const char *name)
{
    uint32_t low = 0;
    uint32_t high = registry->member_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(registry->by_name[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void known_free(struct known *known)
{
    free(known->labels);
    free(known);
}

void registry_close(struct registry *registry)
{
    for (uint32_t i = 0; i < registry->member_count; i++) {
        struct member *member = registry->members[i];

        for (size_t at = 0; at < member->known_count; at++)
            known_free(member->known[at]);
        free(member->known);
        for (unsigned kind = 0; kind < CHANNEL_COUNT; kind++)
            channel_close(&member->channels[kind]);
        free(member);
    }
    registry->member_count = 0;
    free(registry->dirty);
    ctl_batch_free(registry->dropped);
}

struct member *registry_find(const struct registry *registry, const char *name)
{
    uint32_t at = member_place(registry, name);

    return at < registry->member_count && strcmp(registry->by_name[at]->name, name) == 0
               ? registry->by_name[at]
               : NULL;
}

int registry_add(struct registry *registry, const char *name, struct member **ret_member)
{
    uint32_t at = member_place(registry, name);

    if (registry->member_count == MEMBERS_MAX)
        return -ENOSPC;
    struct member *member = calloc(1, sizeof(*member));
    if (member == NULL)
        return -ENOMEM;
    memcpy(member->name, name, strlen(name) + 1); /* name_check() has bounded it */
    member->index = registry->member_count;
    member->registry = registry;
    ingest_init(&member->ingest, member->index);
    memmove(&registry->by_name[at + 1], &registry->by_name[at],
            (registry->member_count - at) * sizeof(struct member *));
    registry->by_name[at] = member;
    registry->members[registry->member_count++] = member;
    *ret_member = member;
    return 0;
}

bool member_is_up(const struct member *member)
{
    return member->channels[CHANNEL_CONTROL].is_up;
}

uint32_t member_running(const struct member *member)
{
    uint32_t count = 0;

    for (size_t i = 0; i < member->known_count; i++)
        count += known_has_init(member->known[i]);
    return count;
}
