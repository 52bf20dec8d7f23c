/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leaves.h — the groups NAME.GEN that are there when the agent starts, in any hierarchy.
 *
 * Shape    struct leaves is one look, sorted by name and generation. Zero is one that saw nothing.
 * Units    generations.
 * Errors   -errno: the hierarchies cannot be read.
 * Owner    the caller.
 * Context  the loop's thread, at start only.
 */
#ifndef DROVER_LEAVES_H
#define DROVER_LEAVES_H

#include <stddef.h>
#include <stdint.h>

#include "cgroup.h"
#include "event.h"

struct leaf {
    char name[NAME_BYTES]; /* of the container, as the group's name has it */
    uint64_t generation;
};

struct leaves {
    struct leaf *list;
    size_t count;
    size_t room;
};

/* What has no generation in its name is not a container's, and is left out. */
int leaves_read(struct leaves *leaves, struct cgroups *cgroups);
void leaves_close(struct leaves *leaves);

/* The highest generation of a name; NULL: none. */
const struct leaf *leaves_find_highest(const struct leaves *leaves, const char *name);

#endif
