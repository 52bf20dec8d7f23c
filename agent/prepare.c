/* SPDX-License-Identifier: Apache-2.0 */
#include "prepare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "boundary.h"
#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "launching.h"
#include "slots.h"

struct preparing {
    struct work plan_work;
    struct work cgroup_work;
    struct agent *agent; /* the loop's callbacks alone look at more than its thread-safe parts */
    uint32_t ct;
    uint64_t generation;
    char name[NAME_BYTES];
    char leaf[CGROUP_LEAF_BYTES];
    uint8_t uuid[UUID_BYTES];
    struct octets config; /* a copy, heap */
    uint32_t uid_base, uid_count;
    bool is_filled;     /* what was made is the slot's */
    uint32_t own_hooks; /* HOOK_BIT of the container's own, of start too */
    uint32_t hooks;     /* HOOK_BIT of those that are there: the plan waits for them */
    bool is_hooked;     /* they have run, or there is none */
    bool has_plan;      /* it was made */
    bool has_systemd; /* its group in name=systemd was begun: the plan says whether it needs one */
    int root;         /* that a mount hook left; -1: the container's own */

    struct launch plan;
    int plan_result;
    struct fault plan_fault;
    uint64_t plan_began_ns, plan_ns;

    struct cgroup cgroup;
    int cgroup_result;
    struct fault cgroup_fault;
    uint64_t cgroup_began_ns, cgroup_ns;
};

/* ---- on the workers ---- */

static bool run_plan(struct work *work)
{
    struct preparing *preparing = container_of(work, struct preparing, plan_work);
    struct arena arena = {0};
    struct config config;

    preparing->plan_began_ns = clock_monotonic_ns();
    if (!preparing->is_hooked)
        preparing->hooks =
            hook_run_look(preparing->agent->options->hooks_dir, HOOKS_UP | HOOKS_START);
    if (!preparing->is_hooked && ((preparing->hooks | preparing->own_hooks) & HOOKS_UP) != 0)
        return true;
    preparing->plan_result =
        codec_decode_config(preparing->config.data, preparing->config.size_bytes, &arena, &config);
    if (preparing->plan_result < 0)
        fault_set(&preparing->plan_fault, STATUS_INVALID, -preparing->plan_result,
                  "the configuration of %s cannot be read", preparing->name);
    if (preparing->plan_result == 0) {
        struct launch_request request = {
            .config = &config,
            .name = preparing->name,
            .uuid = preparing->uuid,
            .generation = preparing->generation,
            .uid_base = preparing->uid_base,
            .uid_count = preparing->uid_count,
            .sysfilter = sysfilters_get(&preparing->agent->sysfilters, &config),
            .node = preparing->agent->options->node,
            .has_systemd = cgroups_has_systemd(&preparing->agent->cgroups),
            .has_root = preparing->root >= 0,
            .root = preparing->root,
        };
        preparing->plan_result = rootfs_plan(&preparing->agent->rootfs, &request, &preparing->plan,
                                             &preparing->plan_fault);
    }
    preparing->has_plan = preparing->plan_result == 0;
    arena_close(&arena);
    preparing->plan_ns = clock_monotonic_ns();
    boundary(plan_made);
    return true;
}

static int make_cgroup(struct preparing *preparing, const struct config *config)
{
    struct fault *fault = &preparing->cgroup_fault;
    struct cgroup_limits limits;
    int devices = devices_program(&preparing->agent->devices, config);
    struct cgroup_request request = {preparing->leaf, &limits, preparing->uid_base, devices};

    if (devices < 0) {
        fault_set(fault, STATUS_FAILED, -devices, "%s: cannot load the program of its devices",
                  preparing->name);
        return devices;
    }
    limits_of_config(config, &limits);
    return cgroup_make(&preparing->agent->cgroups, &request, &preparing->cgroup, fault);
}

static bool run_cgroup(struct work *work)
{
    struct preparing *preparing = container_of(work, struct preparing, cgroup_work);
    struct arena arena = {0};
    struct config config;

    preparing->cgroup_began_ns = clock_monotonic_ns();
    preparing->cgroup_result =
        codec_decode_config(preparing->config.data, preparing->config.size_bytes, &arena, &config);
    if (preparing->cgroup_result == 0)
        preparing->cgroup_result = make_cgroup(preparing, &config);
    arena_close(&arena);
    preparing->cgroup_ns = clock_monotonic_ns();
    boundary(cgroup_made);
    return true;
}

/* Rare, and known only once its init was looked at. */
static bool run_systemd(struct work *work)
{
    struct preparing *preparing = container_of(work, struct preparing, cgroup_work);
    struct cgroups *cgroups = &preparing->agent->cgroups;
    struct fault ignored = {0};

    preparing->cgroup_result = cgroup_add_systemd(cgroups, preparing->uid_base, &preparing->cgroup,
                                                  &preparing->cgroup_fault);
    if (preparing->cgroup_result < 0) {
        cgroup_close(&preparing->cgroup);
        (void)cgroup_remove(cgroups, preparing->leaf, &ignored); /* what stays, adoption finds */
    }
    preparing->cgroup_ns = clock_monotonic_ns();
    boundary(cgroup_made);
    return true;
}

/* ---- on the loop ---- */

static void observe(struct preparing *preparing)
{
    struct input input = {.kind = INPUT_OBSERVATION};
    struct observation *seen = &input.observation;
    int result = preparing->plan_result < 0 ? preparing->plan_result : preparing->cgroup_result;

    *seen = (struct observation){.kind = result < 0 ? IN_PREPARE_FAILED : IN_PREPARED,
                                 .ct = preparing->ct,
                                 .generation = preparing->generation};
    if (result < 0)
        seen->fault = preparing->plan_result < 0 ? preparing->plan_fault : preparing->cgroup_fault;
    if (result < 0 && seen->fault.status == STATUS_UNSET)
        fault_set(&seen->fault, STATUS_FAILED, -result, "%s cannot be prepared", preparing->name);
    seen->is_ready_on_exec = result == 0 && preparing->plan.ready == READY_EXEC;
    inbox_post(&preparing->agent->inbox, &input);
    agent_wake(preparing->agent);
}

static void on_planned(struct work *work);
static void settle(struct preparing *preparing);

/* What they mounted may be the root, so the plan is made now. */
static void on_hooked(void *context, const struct hook_walk *walk, int root_consumed)
{
    struct preparing *preparing = context;

    preparing->is_hooked = true;
    preparing->root = root_consumed;
    if (walk->has_failed) {
        preparing->plan_result = -ECANCELED;
        preparing->plan_fault = walk->fault;
        settle(preparing);
        return;
    }
    preparing->agent->slots[preparing->ct].hold.is_plan_done = false;
    preparing->plan_work = (struct work){.run = run_plan, .on_done = on_planned};
    executor_post(&preparing->agent->executor, WORKER_MOUNT, &preparing->plan_work);
}

static bool awaits_hooks(const struct preparing *preparing)
{
    return !preparing->is_hooked && ((preparing->hooks | preparing->own_hooks) & HOOKS_UP) != 0 &&
           preparing->cgroup_result == 0;
}

/* They run in its stage, and change the world as well. */
static bool has_start_hooks(const struct preparing *preparing)
{
    return ((preparing->hooks | preparing->own_hooks) & HOOKS_START) != 0;
}

/* Hooks change the world, so the intent is durable before them. */
static void begin_hooks(struct preparing *preparing)
{
    struct hook_request request = {.ct = preparing->ct,
                                   .generation = preparing->generation,
                                   .cgroup = &preparing->cgroup,
                                   .there = preparing->hooks,
                                   .way = HOOKS_UP,
                                   .on_end = on_hooked,
                                   .context = preparing};

    memcpy(request.name, preparing->name, NAME_BYTES);
    memcpy(request.uuid, preparing->uuid, UUID_BYTES);
    hook_run_begin(preparing->agent, &request);
}

static void on_grouped(struct work *work);

/* True: it has begun. */
static bool begin_systemd(struct preparing *preparing)
{
    if (preparing->has_systemd || !preparing->has_plan || !preparing->plan.needs_systemd ||
        preparing->cgroup_result < 0)
        return false;
    preparing->has_systemd = true;
    preparing->agent->slots[preparing->ct].hold.is_cgroup_done = false;
    preparing->cgroup_work = (struct work){.run = run_systemd, .on_done = on_grouped};
    executor_post(&preparing->agent->executor, WORKER_CGROUP, &preparing->cgroup_work);
    return true;
}

/* What was made is the slot's from here on. */
static void fill_slot(struct preparing *preparing)
{
    struct slot *slot = &preparing->agent->slots[preparing->ct];

    if (preparing->is_filled)
        return;
    preparing->is_filled = true;
    if (preparing->has_systemd)
        group_bound_start(&preparing->agent->group_bound);
    if (preparing->root >= 0)
        (void)close(preparing->root);
    slot->generation = preparing->generation;
    slot->is_leaf_taken = false; /* that was another generation's group */
    slot->hooks.has_start = has_start_hooks(preparing);
    slot->has_cgroup = preparing->cgroup_result == 0;
    slot->cgroup = slot->has_cgroup ? preparing->cgroup : (struct cgroup)CGROUP_EMPTY;
    slot->times.began_ns[BOOT_plan] = preparing->plan_began_ns;
    slot->times.done_ns[BOOT_plan] = preparing->plan_ns;
    slot->times.began_ns[BOOT_cgroup] = preparing->cgroup_began_ns;
    slot->times.done_ns[BOOT_cgroup] = preparing->cgroup_ns;
    if (!preparing->has_plan)
        return;
    slot->plan = preparing->plan;
    slot->has_plan = true;
    slot->family = preparing->plan.family;
    slot->is_ready_on_exec = preparing->plan.ready == READY_EXEC;
}

static void finish(struct preparing *preparing)
{
    fill_slot(preparing);
    preparing->agent->slots[preparing->ct].preparing = NULL;
    observe(preparing);
    free((void *)(uintptr_t)preparing->config.data);
    free(preparing);
}

/* The model waits for this before anything else of the container: the slot is its. */
static void settle(struct preparing *preparing)
{
    struct agent *agent = preparing->agent;
    struct hold *hold = &agent->slots[preparing->ct].hold;

    if (!hold->is_plan_done || !hold->is_cgroup_done) /* a worker writes to the rest */
        return;
    if (begin_systemd(preparing))
        return;
    hold->must_wait =
        preparing->cgroup_result < 0 || !preparing->has_plan || has_start_hooks(preparing);
    switch (hold_next(hold)) {
    case HOLD_WAIT:
        return;
    case HOLD_STAGE:
        if (agent->is_ending || agent->keeper.socket < 0)
            return; /* it is launched when LAUNCH is ordered, if at all */
        fill_slot(preparing);
        launching_stage(agent, preparing->ct);
        return;
    case HOLD_PREPARED:
        if (awaits_hooks(preparing))
            begin_hooks(preparing);
        else
            finish(preparing);
        return;
    }
}

static void on_planned(struct work *work)
{
    struct preparing *preparing = container_of(work, struct preparing, plan_work);

    preparing->agent->slots[preparing->ct].hold.is_plan_done = true;
    settle(preparing);
}

static void on_grouped(struct work *work)
{
    struct preparing *preparing = container_of(work, struct preparing, cgroup_work);

    preparing->agent->slots[preparing->ct].hold.is_cgroup_done = true;
    settle(preparing);
}

void prepare_begin(struct agent *agent, const struct effect *effect)
{
    const struct ct *ct = node_get(agent->node, effect->ct);
    struct slot *slot = &agent->slots[effect->ct];
    struct preparing *preparing = calloc(1, sizeof(*preparing));

    ENSURE(preparing != NULL);
    ENSURE(slot->preparing == NULL);
    preparing->agent = agent;
    preparing->ct = effect->ct;
    preparing->generation = effect->generation;
    memcpy(preparing->name, ct->name, NAME_BYTES);
    memcpy(preparing->uuid, ct->uuid, UUID_BYTES);
    cgroup_leaf(ct->name, effect->generation, preparing->leaf);
    slot_make(slot);
    preparing->config = octets_copy(&slot->config);
    preparing->uid_base = slot->uid_base;
    preparing->uid_count = slot_uid_count(slot);
    preparing->cgroup = (struct cgroup)CGROUP_EMPTY;
    preparing->root = -1;
    preparing->own_hooks = hook_run_own(agent, effect->ct, HOOKS_UP | HOOKS_START);
    preparing->plan_work = (struct work){.run = run_plan, .on_done = on_planned};
    preparing->cgroup_work = (struct work){.run = run_cgroup, .on_done = on_grouped};
    slot->preparing = preparing;
    slot->hold = (struct hold){0};
    slot->times.done_ns[BOOT_admit] = clock_monotonic_ns();
    slot->times.began_ns[BOOT_commit] = slot->times.done_ns[BOOT_admit];
    executor_post(&agent->executor, WORKER_MOUNT, &preparing->plan_work);
    executor_post(&agent->executor, WORKER_CGROUP, &preparing->cgroup_work);
}

void prepare_apply(struct agent *agent, const struct effect *effect)
{
    struct slot *slot = &agent->slots[effect->ct];

    if (slot->preparing == NULL)
        prepare_begin(agent, effect);
    ENSURE(slot->preparing->generation == effect->generation);
    slot->hold.is_durable = true;
    settle(slot->preparing);
}
