/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.h — which node is meant by a container's name.
 *
 * Shape    functions from (node, container) as typed to a member and the container's name there.
 * Units    none.
 * Errors   a fault: no such node, on no node, on several (they are named).
 * Owner    the target's member is the registry's.
 * Context  the loop's thread.
 */
#ifndef DROVER_ROUTE_H
#define DROVER_ROUTE_H

#include "registry.h"

struct target {
    struct member *member;
    char container[NAME_BYTES]; /* without @node */
};

enum route { ROUTE_FOUND, ROUTE_UNKNOWN, ROUTE_FAILED };

/* Of a single node FOUND says nothing about the container. UNKNOWN: no node told of it; the fault
 * says so, for when the nodes have been asked. */
enum route route_find(const struct registry *registry, const char *node, const char *container,
                      struct target *ret_target, struct fault *fault);

/* Where a new container goes: the node that is named; else one that has that name already, which
 * will say so; else the one that is up and has the fewest. */
enum route route_create(const struct registry *registry, const char *node, const char *container,
                        struct target *ret_target, struct fault *fault);

void route_fault_node(const char *node, struct fault *fault);
void route_fault_down(const struct member *member, struct fault *fault);
void route_fault_nobody(struct fault *fault);

#endif
