/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the model ordered, carried out: on a worker where it may block, at the keeper, or here. Each
 * worker's piece is a struct deed: a copy of what it needs, and the observation it ends in.
 */
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boundary.h"
#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "launching.h"
#include "prepare.h"
#include "slots.h"
#include "watch.h"

struct deed {
    struct work work;
    struct agent *agent; /* on_done() alone looks at more than its thread-safe parts */
    struct observation seen;
    char name[NAME_BYTES];
    char leaf[CGROUP_LEAF_BYTES];
    uint8_t uuid[UUID_BYTES];
    struct octets config;        /* a copy, heap */
    struct cgroup_limits before; /* LIMIT: those of the row */
    uint32_t uid_base;
    struct cgroup cgroup;
    bool has_cgroup;
};

static struct deed *deed_new(struct agent *agent, const struct effect *effect)
{
    struct deed *deed = calloc(1, sizeof(*deed));
    const struct ct *ct = node_get(agent->node, effect->ct);
    struct slot *slot = &agent->slots[effect->ct];

    ENSURE(deed != NULL);
    deed->agent = agent;
    deed->seen = (struct observation){.ct = effect->ct, .generation = effect->generation};
    memcpy(deed->name, ct->name, NAME_BYTES);
    memcpy(deed->uuid, ct->uuid, UUID_BYTES);
    cgroup_leaf(ct->name, effect->generation, deed->leaf);
    deed->uid_base = slot->uid_base;
    deed->cgroup = (struct cgroup)CGROUP_EMPTY;
    return deed;
}

static void deed_end(struct deed *deed)
{
    struct input input = {.kind = INPUT_OBSERVATION, .observation = deed->seen};

    inbox_post(&deed->agent->inbox, &input);
    agent_wake(deed->agent);
    free((void *)(uintptr_t)deed->config.data);
    free(deed);
}

static void on_done(struct work *work)
{
    deed_end(container_of(work, struct deed, work));
}

static void deed_post(struct deed *deed, enum worker worker, bool (*run)(struct work *work),
                      void (*done)(struct work *work))
{
    deed->work.run = run;
    deed->work.on_done = done;
    executor_post(&deed->agent->executor, worker, &deed->work);
}

/* ---- make and remove a container's directory ---- */

void limits_of_config(const struct config *config, struct cgroup_limits *ret_limits)
{
    *ret_limits = (struct cgroup_limits){
        .memory_max_bytes = config->memory_max_bytes,
        .swap_max_bytes = config->swap_max_bytes,
        .pids_max = config->pids_max,
        .cpu_milli = config->cpu_milli,
        .cpu_weight = config->cpu_weight == 0 ? 100 : config->cpu_weight,
    };
}

static int make(struct deed *deed)
{
    struct agent *agent = deed->agent;
    struct arena arena = {0};
    struct config config;
    struct cgroup_limits limits;
    struct fault *fault = &deed->seen.fault;

    int result = codec_decode_config(deed->config.data, deed->config.size_bytes, &arena, &config);
    if (result < 0)
        fault_set(fault, STATUS_INVALID, -result, "the configuration cannot be read");
    if (result == 0 && !config.is_privileged && deed->uid_base == 0) {
        fault_set(fault, STATUS_NO_CAPACITY, 0, "no range of %u ids is free for %s",
                  (uint64_t)(config.is_nested ? UID_RANGE_NESTED : UID_RANGE), deed->name);
        fault_hint(fault, "give drover-agent a larger --uid-count, or destroy a container");
        result = -ENOSPC;
    }
    if (result == 0) {
        limits_of_config(&config, &limits);
        result = cgroup_check(&agent->cgroups, &limits, fault);
    }
    if (result == 0)
        result = rootfs_check(&agent->rootfs, &config, fault);
    if (result == 0)
        result = rootfs_make(&agent->rootfs, deed->uuid, fault);
    arena_close(&arena);
    return result;
}

static bool run_make(struct work *work)
{
    struct deed *deed = container_of(work, struct deed, work);

    boundary(make_begun);
    deed->seen.kind = make(deed) < 0 ? IN_MAKE_FAILED : IN_MADE;
    boundary(made);
    return true;
}

static bool run_remove(struct work *work)
{
    struct deed *deed = container_of(work, struct deed, work);

    boundary(remove_begun);
    int result = rootfs_remove(&deed->agent->rootfs, deed->uuid, &deed->seen.fault);

    deed->seen.kind = result < 0 ? IN_REMOVE_FAILED : IN_REMOVED;
    boundary(removed);
    return true;
}

/* ---- kill ---- */

static bool run_kill(struct work *work)
{
    struct deed *deed = container_of(work, struct deed, work);

    boundary(kill_unsent);
    (void)cgroup_kill(&deed->cgroup); /* its end, or its absence, comes as the keeper's record */
    boundary(kill_sent);
    return true;
}

static void on_killed(struct work *work)
{
    free(container_of(work, struct deed, work));
}

static void apply_kill(struct agent *agent, const struct effect *effect)
{
    struct slot *slot = &agent->slots[effect->ct];

    if (!slot->has_cgroup)
        return;
    struct deed *deed = deed_new(agent, effect);
    deed->cgroup = slot->cgroup; /* borrowed: it is closed by a CLEAN, later on the same thread */
    deed_post(deed, WORKER_CLEAN, run_kill, on_killed);
}

/* ---- limits of one that lives ---- */

static int limit(struct deed *deed)
{
    struct cgroups *cgroups = &deed->agent->cgroups;
    struct arena arena = {0};
    struct config config;
    struct cgroup_limits limits;
    struct fault ignored = {0};
    struct fault *fault = &deed->seen.fault;

    int result = codec_decode_config(deed->config.data, deed->config.size_bytes, &arena, &config);
    if (result == 0) {
        limits_of_config(&config, &limits);
        result = cgroup_set(cgroups, &deed->cgroup, &limits, fault);
    }
    arena_close(&arena);
    if (result < 0 && fault->status == STATUS_UNSET)
        fault_set(fault, STATUS_FAILED, -result, "%s: its limits cannot be written", deed->name);
    if (result < 0 && fault->status != STATUS_BUSY) /* which changed nothing */
        (void)cgroup_set(cgroups, &deed->cgroup, &deed->before, &ignored);
    return result;
}

static bool run_limit(struct work *work)
{
    struct deed *deed = container_of(work, struct deed, work);

    boundary(limit_begun);
    deed->seen.kind = limit(deed) < 0 ? IN_LIMIT_FAILED : IN_LIMITED;
    boundary(limited);
    return true;
}

/* By its name, not by descriptors: others close those while this may hang. */
static void apply_limit(struct agent *agent, const struct effect *effect)
{
    struct slot *slot = &agent->slots[effect->ct];
    const struct ct *ct = node_get(agent->node, effect->ct);
    bool is_next = ct->has_set && slot->next.data != NULL;
    struct deed *deed = deed_new(agent, effect);

    deed->config = octets_copy(is_next ? &slot->next : &slot->config);
    limits_of_config(&slot->view, &deed->before);
    memcpy(deed->cgroup.leaf, deed->leaf, CGROUP_LEAF_BYTES);
    if (!slot->has_cgroup) { /* nothing is there that could be limited */
        deed->seen.kind = IN_LIMITED;
        deed_end(deed);
        return;
    }
    deed_post(deed, WORKER_LIMITS, run_limit, on_done);
}

/* ---- the table of effects ---- */

static void apply_make(struct agent *agent, const struct effect *effect)
{
    struct deed *deed = deed_new(agent, effect);

    deed->config = octets_copy(&agent->slots[effect->ct].config);
    deed_post(deed, WORKER_MOUNT, run_make, on_done);
}

static void apply_remove(struct agent *agent, const struct effect *effect)
{
    deed_post(deed_new(agent, effect), WORKER_REMOVE, run_remove, on_done);
}

static void apply_freeze(struct agent *agent, const struct effect *effect)
{
    watch_freeze(agent, effect->ct, true);
}

static void apply_thaw(struct agent *agent, const struct effect *effect)
{
    watch_freeze(agent, effect->ct, false);
}

void effects_apply(struct agent *agent, const struct effect *effect)
{
    static void (*const appliers[EFFECT_COUNT])(struct agent *, const struct effect *) = {
        [EFFECT_MAKE] = apply_make,     [EFFECT_PREPARE] = prepare_apply,
        [EFFECT_LAUNCH] = launching_go, [EFFECT_ASK] = stop_ask,
        [EFFECT_KILL] = apply_kill,     [EFFECT_CLEAN] = launching_clean,
        [EFFECT_REMOVE] = apply_remove, [EFFECT_FREEZE] = apply_freeze,
        [EFFECT_THAW] = apply_thaw,     [EFFECT_LIMIT] = apply_limit,
    };

    ENSURE(appliers[effect->kind] != NULL);
    if (agent->is_ending)
        return; /* the next agent goes on from what is durable */
    appliers[effect->kind](agent, effect);
}
