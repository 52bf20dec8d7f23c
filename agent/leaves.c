/* SPDX-License-Identifier: Apache-2.0 */
#include "leaves.h"

#include <stdlib.h>
#include <string.h>

#include "ensure.h"

#define ROOM_FIRST 64

static bool on_leaf(const char *name, void *context)
{
    struct leaves *leaves = context;
    const char *dot = strrchr(name, '.');
    char *end = NULL;
    bool is_number = dot != NULL && dot[1] >= '1' && dot[1] <= '9'; /* no sign, no zero before it */
    uint64_t generation = is_number ? strtoull(dot + 1, &end, 10) : 0;

    if (generation == 0 || generation > INT64_MAX || *end != '\0' ||
        (size_t)(dot - name) >= NAME_BYTES)
        return true; /* the keeper's own, or nobody's of ours */
    if (leaves->count == leaves->room) {
        leaves->room = leaves->room == 0 ? ROOM_FIRST : leaves->room * 2;
        leaves->list = realloc(leaves->list, leaves->room * sizeof(*leaves->list));
        ENSURE(leaves->list != NULL);
    }
    struct leaf *leaf = &leaves->list[leaves->count++];
    *leaf = (struct leaf){.generation = generation};
    memcpy(leaf->name, name, (size_t)(dot - name));
    return true;
}

static int compare(const void *one, const void *other)
{
    const struct leaf *left = one;
    const struct leaf *right = other;
    int order = strcmp(left->name, right->name);

    if (order != 0)
        return order;
    return left->generation < right->generation ? -1 : left->generation > right->generation;
}

int leaves_read(struct leaves *leaves, struct cgroups *cgroups)
{
    int result = cgroup_find_all(cgroups, on_leaf, leaves);

    if (leaves->count > 0)
        qsort(leaves->list, leaves->count, sizeof(*leaves->list), compare);
    return result;
}

void leaves_close(struct leaves *leaves)
{
    free(leaves->list);
    *leaves = (struct leaves){0};
}

static int compare_name(const void *name, const void *leaf)
{
    return strcmp(name, ((const struct leaf *)leaf)->name);
}

const struct leaf *leaves_find_highest(const struct leaves *leaves, const char *name)
{
    const struct leaf *end = leaves->list + leaves->count;

    if (leaves->count == 0)
        return NULL;
    const struct leaf *leaf =
        bsearch(name, leaves->list, leaves->count, sizeof(*leaves->list), compare_name);
    if (leaf == NULL)
        return NULL;
    while (leaf + 1 < end && strcmp(leaf[1].name, name) == 0)
        leaf++;
    return leaf;
}
