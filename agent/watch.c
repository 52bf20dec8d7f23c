/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notifications of one container's cgroup: kills for memory all its life, and the freezer's level
 * while a freeze or thaw waits for it.
 */
#include "watch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"
#include "boundary.h"
#include "cleanup.h"
#include "ensure.h"
#include "stop_look.h"

struct cgroup_watch {
    struct agent *agent;
    uint32_t ct;
    uv_poll_t oom;
    uv_poll_t events;
    bool has_oom;
    bool has_events;
    unsigned closing;
    int oom_fd; /* duplicates: libuv must let go of a descriptor before it is closed */
    int events_fd;
};

static void post(struct agent *agent, uint32_t index, struct observation seen)
{
    struct input input = {.kind = INPUT_OBSERVATION, .observation = seen};

    input.observation.ct = index;
    input.observation.generation = node_get(agent->node, index)->generation;
    inbox_post(&agent->inbox, &input);
    agent_wake(agent);
}

void watch_read_oom(struct agent *agent, uint32_t index)
{
    struct slot *slot = &agent->slots[index];

    if (!slot->has_cgroup)
        return;
    uint64_t kills = cgroup_read_oom_kills(&slot->cgroup);
    /* LIMIT: the kernel counts a kill just before its signal. Who is quicker than that does not see
     * that it is the init's: then the time between tells (OOM_WINDOW_NS). */
    if (kills > slot->oom_kills)
        post(agent, index,
             (struct observation){.kind = IN_OOM,
                                  .count = kills - slot->oom_kills,
                                  .is_init_dying =
                                      look_is_dying(node_get(agent->node, index)->pid)});
    slot->oom_kills = kills;
}

static void on_oom(uv_poll_t *handle, int status, int events)
{
    struct cgroup_watch *watch = container_of(handle, struct cgroup_watch, oom);

    (void)events;
    if (status >= 0)
        watch_read_oom(watch->agent, watch->ct);
}

static void read_freezer(struct agent *agent, uint32_t index)
{
    struct slot *slot = &agent->slots[index];
    bool is_populated;
    bool is_frozen;

    if (!slot->has_cgroup || cgroup_read_events(&slot->cgroup, &is_populated, &is_frozen) < 0)
        return;
    if (slot->is_freezing && is_frozen) {
        slot->is_freezing = false;
        post(agent, index, (struct observation){.kind = IN_FROZEN});
    }
    if (slot->is_thawing && !is_frozen) {
        slot->is_thawing = false;
        post(agent, index, (struct observation){.kind = IN_THAWED});
    }
    if (!slot->is_freezing && !slot->is_thawing && slot->watch != NULL && slot->watch->has_events)
        (void)uv_poll_stop(&slot->watch->events);
}

static void on_events(uv_poll_t *handle, int status, int events)
{
    struct cgroup_watch *watch = container_of(handle, struct cgroup_watch, events);

    (void)events;
    if (status >= 0)
        read_freezer(watch->agent, watch->ct);
}

static int add(struct agent *agent, uv_poll_t *poll, int fd, int *ret_copy)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0 || uv_poll_init(&agent->loop, poll, copy) < 0) {
        if (copy >= 0)
            (void)close(copy);
        return -1;
    }
    *ret_copy = copy;
    return 0;
}

int watch_start(struct agent *agent, uint32_t index)
{
    struct slot *slot = &agent->slots[index];
    struct cgroup_watch *watch = calloc(1, sizeof(*watch));

    ENSURE(watch != NULL);
    ENSURE(slot->watch == NULL);
    watch->agent = agent;
    watch->ct = index;
    watch->has_oom =
        slot->cgroup.oom >= 0 && add(agent, &watch->oom, slot->cgroup.oom, &watch->oom_fd) == 0;
    watch->has_events = add(agent, &watch->events, slot->cgroup.events, &watch->events_fd) == 0;
    slot->watch = watch;
    slot->is_freezing = slot->is_thawing = false;
    watch_read_oom(agent, index); /* which arms what is polled; and tells of those before us */
    if (watch->has_oom)
        return uv_poll_start(&watch->oom, slot->cgroup.is_oom_v1 ? UV_READABLE : UV_PRIORITIZED,
                             on_oom);
    return 0;
}

/* The last handle to close frees the watch. */
static void close_one(struct cgroup_watch *watch, int fd)
{
    (void)close(fd);
    if (--watch->closing == 0)
        free(watch);
}

static void on_oom_closed(uv_handle_t *handle)
{
    struct cgroup_watch *watch =
        container_of((uv_poll_t *)(void *)handle, struct cgroup_watch, oom);

    close_one(watch, watch->oom_fd);
}

static void on_events_closed(uv_handle_t *handle)
{
    struct cgroup_watch *watch =
        container_of((uv_poll_t *)(void *)handle, struct cgroup_watch, events);

    close_one(watch, watch->events_fd);
}

void watch_stop(struct agent *agent, uint32_t index)
{
    struct slot *slot = &agent->slots[index];
    struct cgroup_watch *watch = slot->watch;

    if (watch == NULL)
        return;
    slot->watch = NULL;
    watch->closing = (unsigned)watch->has_oom + (unsigned)watch->has_events;
    if (watch->has_oom)
        uv_close((uv_handle_t *)&watch->oom, on_oom_closed);
    if (watch->has_events)
        uv_close((uv_handle_t *)&watch->events, on_events_closed);
    if (watch->closing == 0)
        free(watch);
}

void watch_freeze(struct agent *agent, uint32_t index, bool is_frozen)
{
    struct slot *slot = &agent->slots[index];

    if (!slot->has_cgroup)
        return;
    slot->is_freezing = is_frozen;
    slot->is_thawing = !is_frozen;
    boundary(freezer_unset);
    int result = cgroup_freeze(&slot->cgroup, is_frozen);
    boundary(freezer_set);
    if (result < 0) {
        struct observation seen = {.kind = IN_FREEZE_FAILED};

        slot->is_freezing = slot->is_thawing = false;
        fault_set(&seen.fault, STATUS_FAILED, -result, "%s: cgroup.freeze cannot be written",
                  node_get(agent->node, index)->name);
        post(agent, index, seen);
        return;
    }
    if (slot->watch != NULL && slot->watch->has_events)
        (void)uv_poll_start(&slot->watch->events, UV_PRIORITIZED, on_events);
    read_freezer(agent, index); /* it may hold already */
}
