/* SPDX-License-Identifier: Apache-2.0 */
#include "route.h"

#include <stdio.h>
#include <string.h>

static int copy_container(struct target *target, const char *text, size_t length,
                          struct fault *fault)
{
    if (length == 0 || length >= sizeof(target->container)) {
        fault_set(fault, STATUS_INVALID, 0, "%s: not a container's name or id", text);
        return -1;
    }
    memcpy(target->container, text, length);
    target->container[length] = '\0';
    return 0;
}

/* name@node and --node say the same or one of them says nothing. */
static int split(const char *node, const char *container, const char **ret_node,
                 struct target *target, struct fault *fault)
{
    const char *at = strchr(container, '@');
    size_t length = at == NULL ? strlen(container) : (size_t)(at - container);

    *ret_node = node;
    if (at != NULL) {
        if (node[0] != '\0' && strcmp(node, at + 1) != 0) {
            fault_set(fault, STATUS_INVALID, 0, "%s is not on the node %s that was named",
                      container, node);
            return -1;
        }
        *ret_node = at + 1;
    }
    return copy_container(target, container, length, fault);
}

static enum route find_node(const struct registry *registry, const char *node,
                            struct target *target, struct fault *fault)
{
    target->member = registry_find(registry, node);
    if (target->member != NULL)
        return ROUTE_FOUND;
    route_fault_node(node, fault);
    return ROUTE_FAILED;
}

void route_fault_node(const char *node, struct fault *fault)
{
    fault_set(fault, STATUS_NOT_FOUND, 0, "no node %s is known here", node);
    fault_hint(fault, "drover node ls names those that are");
}

void route_fault_down(const struct member *member, struct fault *fault)
{
    fault_set(fault, STATUS_UNREACHABLE, 0, "node %s is down", member->name);
    fault_hint(fault, "drover node ls shows the nodes");
}

/* A controller that was just started knows nobody, but may in a moment: what is asked for may well
 * exist. */
void route_fault_nobody(struct fault *fault)
{
    fault_set(fault, STATUS_UNREACHABLE, 0, "no node has spoken to this controller yet");
    fault_hint(fault, "start an agent with --controller and this one's address");
}

static void name_candidates(const struct registry *registry, const char *container,
                            struct fault *fault)
{
    char names[FAULT_TEXT_BYTES / 2] = "";
    size_t length = 0;

    for (uint32_t i = 0; i < registry->member_count; i++) {
        const struct member *member = registry->by_name[i];
        size_t more = strlen(container) + strlen(member->name) + 3;

        if (known_find(member, container) == NULL)
            continue;
        if (length + more + sizeof(" ...") > sizeof(names)) {
            memcpy(names + length, " ...", sizeof(" ..."));
            break;
        }
        char *end = stpcpy(stpcpy(stpcpy(names + length, length == 0 ? "" : ", "), container), "@");
        length = (size_t)(stpcpy(end, member->name) - names);
    }
    fault_set(fault, STATUS_INVALID, 0, "%s is on several nodes: %s", container, names);
    fault_hint(fault, "name the node as well: NAME@NODE");
}

/* Not there, as far as is known: a node that is down may have been given one since. */
static void fault_unknown(const struct registry *registry, const char *container,
                          struct fault *fault)
{
    char hint[FAULT_HINT_BYTES];

    fault_set(fault, STATUS_NOT_FOUND, 0, "no node has a container %s", container);
    for (uint32_t i = 0; i < registry->member_count; i++) {
        if (member_is_up(registry->by_name[i]))
            continue;
        (void)snprintf(hint, sizeof(hint), "as far as is known: node %s is down",
                       registry->by_name[i]->name);
        fault_hint(fault, hint);
        return;
    }
}

enum route route_find(const struct registry *registry, const char *node, const char *container,
                      struct target *ret_target, struct fault *fault)
{
    uint32_t count = 0;

    if (split(node, container, &node, ret_target, fault) < 0)
        return ROUTE_FAILED;
    if (node[0] != '\0')
        return find_node(registry, node, ret_target, fault);
    if (registry->member_count == 0) {
        route_fault_nobody(fault);
        return ROUTE_FAILED;
    }
    /* The only one knows best what it has. */
    if (registry->member_count == 1) {
        ret_target->member = registry->members[0];
        return ROUTE_FOUND;
    }

    for (uint32_t i = 0; i < registry->member_count; i++) {
        if (known_find(registry->by_name[i], ret_target->container) == NULL)
            continue;
        ret_target->member = registry->by_name[i];
        count++;
    }
    if (count == 1)
        return ROUTE_FOUND;
    if (count > 1) {
        name_candidates(registry, ret_target->container, fault);
        return ROUTE_FAILED;
    }
    fault_unknown(registry, ret_target->container, fault);
    return ROUTE_UNKNOWN;
}

/* LIMIT: until there is a placement by room, the node with the fewest containers gets the next. */
static struct member *choose(const struct registry *registry)
{
    struct member *best = registry->by_name[0]; /* if none is up the caller says so of this one */

    for (uint32_t i = 0; i < registry->member_count; i++) {
        struct member *member = registry->by_name[i];

        if (!member_is_up(member))
            continue;
        if (!member_is_up(best) ||
            member->known_count + member->creating < best->known_count + best->creating)
            best = member;
    }
    return best;
}

enum route route_create(const struct registry *registry, const char *node, const char *container,
                        struct target *ret_target, struct fault *fault)
{
    if (split(node, container, &node, ret_target, fault) < 0)
        return ROUTE_FAILED;
    if (node[0] != '\0')
        return find_node(registry, node, ret_target, fault);
    if (registry->member_count == 0) {
        route_fault_nobody(fault);
        return ROUTE_FAILED;
    }
    for (uint32_t i = 0; i < registry->member_count; i++) {
        if (known_find(registry->by_name[i], ret_target->container) == NULL)
            continue;
        ret_target->member = registry->by_name[i];
        return ROUTE_FOUND;
    }
    ret_target->member = choose(registry);
    return ROUTE_FOUND;
}
