/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an ended generation leaves behind, taken away: whatever still runs is killed, its console's
 * tail kept, its cgroups removed. Killing and removing are a worker's; waiting for the last process
 * is the loop's, so that one that does not die holds up nobody else (I8).
 */
#include "clean.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent.h"
#include "boundary.h"
#include "cleanup.h"
#include "clock.h"
#include "console_tail.h"
#include "ensure.h"
#include "slots.h"
#include "watch.h"

#define EMPTY_WAIT_MS 2000 /* for a killed cgroup; then it is `stuck`, and tried again */

struct cleaning {
    struct work work;
    struct agent *agent;
    struct observation seen;
    char name[NAME_BYTES];
    char leaf[CGROUP_LEAF_BYTES];
    uint8_t uuid[UUID_BYTES];
    struct cgroup cgroup;
    bool has_cgroup;
    bool is_leaf_taken;
    bool is_populated;  /* the worker left it to the loop to wait */
    uint32_t own_hooks; /* likewise, of the container's own */
    uint32_t hooks;     /* HOOK_BIT of those to run before the groups go */
    bool is_hooked;     /* they have run, or there is none */
    const struct kw_ring *ring;
    size_t ring_bytes;
    uv_poll_t events;
    uv_timer_t timer;
    unsigned handles;
};

static void finish(struct cleaning *cleaning)
{
    struct input input = {.kind = INPUT_OBSERVATION, .observation = cleaning->seen};

    if (cleaning->has_cgroup)
        cgroup_close(&cleaning->cgroup);
    if (cleaning->ring != NULL)
        (void)munmap((void *)(uintptr_t)cleaning->ring, cleaning->ring_bytes);
    inbox_post(&cleaning->agent->inbox, &input);
    agent_wake(cleaning->agent);
    free(cleaning);
}

/* Whatever ran is gone: the hooks of the way down have their turn, if there are any. */
static bool has_hooks(struct cleaning *cleaning)
{
    if (!cleaning->is_hooked && cleaning->has_cgroup)
        cleaning->hooks = hook_run_look(cleaning->agent->options->hooks_dir, HOOKS_DOWN);
    cleaning->is_hooked = cleaning->is_hooked || (cleaning->hooks | cleaning->own_hooks) == 0 ||
                          !cleaning->has_cgroup;
    if (!cleaning->is_hooked)
        (void)cgroup_freeze(&cleaning->cgroup, false); /* or they would be frozen, too */
    return !cleaning->is_hooked;
}

static void remove_groups(struct cleaning *cleaning)
{
    if (has_hooks(cleaning))
        return;
    int result = cgroup_remove(&cleaning->agent->cgroups, cleaning->leaf, &cleaning->seen.fault);

    cleaning->seen.kind = result < 0 ? IN_CLEAN_FAILED : IN_CLEANED_STOP;
    boundary(cgroup_removed);
}

static bool is_populated(const struct cleaning *cleaning)
{
    bool populated = false;
    bool frozen = false;

    return cgroup_read_events(&cleaning->cgroup, &populated, &frozen) == 0 && populated;
}

/* On the worker: mostly nothing lives any more, and all is done here. */
static bool run_sweep(struct work *work)
{
    struct cleaning *cleaning = container_of(work, struct cleaning, work);
    struct agent *agent = cleaning->agent;
    struct fault ignored;

    boundary(clean_begun);
    if (cleaning->ring != NULL && !cleaning->is_hooked)
        console_tail_keep(&agent->rootfs, cleaning->uuid, cleaning->ring, cleaning->ring_bytes);
    boundary(tail_kept);
    if (cleaning->is_leaf_taken) {
        cleaning->seen.kind = IN_CLEANED_STOP;
        return true;
    }
    if (!cleaning->has_cgroup) /* the group of a crashed start, or none */
        cleaning->has_cgroup =
            cgroup_adopt(&agent->cgroups, cleaning->leaf, &cleaning->cgroup, &ignored) == 0;
    if (cleaning->has_cgroup && is_populated(cleaning)) {
        /* A frozen group dies too, but what it left half done in the kernel is thawed sooner. */
        (void)cgroup_kill(&cleaning->cgroup);
        cleaning->is_populated = is_populated(cleaning);
    }
    if (!cleaning->is_populated)
        remove_groups(cleaning);
    return true;
}

static bool run_remove(struct work *work)
{
    remove_groups(container_of(work, struct cleaning, work));
    return true;
}

static void on_swept(struct work *work);

/* What they left behind is swept like what the guest did. */
static void on_hooked(void *context, const struct hook_walk *walk, int root_consumed)
{
    struct cleaning *cleaning = context;

    if (root_consumed >= 0)
        (void)close(root_consumed);
    if (walk->has_failed)
        (void)fprintf(stderr, "drover-agent: %s: %s; it is cleaned up all the same\n",
                      cleaning->name, walk->fault.text);
    cleaning->is_hooked = true;
    cleaning->is_populated = false;
    cleaning->work = (struct work){.run = run_sweep, .on_done = on_swept};
    executor_post(&cleaning->agent->executor, WORKER_CLEAN, &cleaning->work);
}

/* All is removed, or nothing yet because of hooks. */
static void go_on(struct cleaning *cleaning)
{
    struct hook_request request = {.ct = cleaning->seen.ct,
                                   .generation = cleaning->seen.generation,
                                   .cgroup = &cleaning->cgroup,
                                   .there = cleaning->hooks,
                                   .way = HOOKS_DOWN,
                                   .on_end = on_hooked,
                                   .context = cleaning};

    if (cleaning->is_hooked || cleaning->seen.kind != IN_UNSET) {
        finish(cleaning);
        return;
    }
    memcpy(request.name, cleaning->name, NAME_BYTES);
    memcpy(request.uuid, cleaning->uuid, UUID_BYTES);
    hook_run_begin(cleaning->agent, &request);
}

static void on_removed(struct work *work)
{
    go_on(container_of(work, struct cleaning, work));
}

/* ---- waiting for the last process, on the loop ---- */

/* libuv has let go of the descriptor: now it may be closed, or the worker may go on with it. */
static void on_handle_closed(struct cleaning *cleaning)
{
    if (--cleaning->handles > 0)
        return;
    if (cleaning->seen.kind == IN_CLEAN_FAILED) {
        finish(cleaning);
        return;
    }
    cleaning->work.run = run_remove;
    cleaning->work.on_done = on_removed;
    executor_post(&cleaning->agent->executor, WORKER_CLEAN, &cleaning->work);
}

static void on_events_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_poll_t *)(void *)handle, struct cleaning, events));
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_timer_t *)(void *)handle, struct cleaning, timer));
}

static void end_wait(struct cleaning *cleaning)
{
    if (uv_is_closing((uv_handle_t *)&cleaning->timer))
        return;
    if (cleaning->handles == 2)
        uv_close((uv_handle_t *)&cleaning->events, on_events_closed);
    uv_close((uv_handle_t *)&cleaning->timer, on_timer_closed);
}

static void name_survivor(struct cleaning *cleaning)
{
    struct fault *fault = &cleaning->seen.fault;
    char process[32] = "";
    pid_t pid = 0;

    if (cgroup_find_process(&cleaning->cgroup, &pid, process, sizeof(process)))
        fault_set(fault, STATUS_TIMEOUT, EBUSY, "%s waits for process %d (%s)", cleaning->name,
                  (int64_t)pid, process);
    else
        fault_set(fault, STATUS_TIMEOUT, EBUSY, "%s: its cgroups are not empty", cleaning->name);
}

static void on_late(uv_timer_t *timer)
{
    struct cleaning *cleaning = container_of(timer, struct cleaning, timer);

    if (is_populated(cleaning)) {
        cleaning->seen.kind = IN_CLEAN_FAILED;
        name_survivor(cleaning);
    }
    end_wait(cleaning);
}

static void on_events(uv_poll_t *handle, int status, int events)
{
    struct cleaning *cleaning = container_of(handle, struct cleaning, events);

    (void)status; /* the level counts, the wake-up is only a hint */
    (void)events;
    if (!is_populated(cleaning))
        end_wait(cleaning);
}

static void on_swept(struct work *work)
{
    struct cleaning *cleaning = container_of(work, struct cleaning, work);
    uv_loop_t *loop = &cleaning->agent->loop;

    if (!cleaning->is_populated) {
        go_on(cleaning);
        return;
    }
    (void)uv_timer_init(loop, &cleaning->timer);
    cleaning->handles = 1;
    if (uv_poll_init(loop, &cleaning->events, cleaning->cgroup.events) == 0) {
        cleaning->handles = 2;
        (void)uv_poll_start(&cleaning->events, UV_PRIORITIZED, on_events);
    } /* else (no memory, too many watches) the timer alone looks again */
    (void)uv_timer_start(&cleaning->timer, on_late, EMPTY_WAIT_MS, 0);
    if (!is_populated(cleaning)) /* it may have emptied before it was watched */
        end_wait(cleaning);
}

void clean_generation(struct agent *agent, const struct effect *effect)
{
    struct slot *slot = &agent->slots[effect->ct];
    const struct ct *ct = node_get(agent->node, effect->ct);
    struct cleaning *cleaning = calloc(1, sizeof(*cleaning));

    ENSURE(cleaning != NULL);
    watch_stop(agent, effect->ct);
    readiness_stop(agent, effect->ct);
    hook_inside_drop(agent, effect->ct);
    streams_end_generation(&agent->streams, effect->ct);
    cleaning->work = (struct work){.run = run_sweep, .on_done = on_swept};
    cleaning->agent = agent;
    cleaning->seen = (struct observation){.ct = effect->ct, .generation = effect->generation};
    memcpy(cleaning->name, ct->name, NAME_BYTES);
    memcpy(cleaning->uuid, ct->uuid, UUID_BYTES);
    cgroup_leaf(ct->name, effect->generation, cleaning->leaf);
    cleaning->cgroup = slot->has_cgroup ? slot->cgroup : (struct cgroup)CGROUP_EMPTY;
    cleaning->has_cgroup = slot->has_cgroup;
    cleaning->own_hooks = hook_run_own(agent, effect->ct, HOOKS_DOWN);
    cleaning->is_leaf_taken = slot->is_leaf_taken;
    slot->is_leaf_taken = false;
    cleaning->ring = slot->ring;
    cleaning->ring_bytes = slot->ring_bytes;
    slot->has_cgroup = false;
    slot->ring = NULL;
    if (slot->has_plan)
        launch_close(&slot->plan);
    slot->has_plan = false;
    slot_close_console(slot);
    slot->launch = 0;
    executor_post(&agent->executor, WORKER_CLEAN, &cleaning->work);
}
