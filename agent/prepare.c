/* SPDX-License-Identifier: Apache-2.0 */
#include "prepare.h"

#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "boundary.h"
#include "cleanup.h"
#include "clock.h"
#include "ensure.h"

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
    uint32_t uid_base;
    bool is_plan_done, is_cgroup_done, is_durable;

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
    preparing->plan_result =
        codec_decode_config(preparing->config.data, preparing->config.size_bytes, &arena, &config);
    if (preparing->plan_result == 0) {
        struct launch_request request = {
            .config = &config,
            .name = preparing->name,
            .uuid = preparing->uuid,
            .generation = preparing->generation,
            .uid_base = preparing->uid_base,
            .uid_count = UID_RANGE,
            .node = preparing->agent->options->node,
        };
        preparing->plan_result = rootfs_plan(&preparing->agent->rootfs, &request, &preparing->plan,
                                             &preparing->plan_fault);
    }
    arena_close(&arena);
    preparing->plan_ns = clock_monotonic_ns();
    boundary(plan_made);
    return true;
}

static bool run_cgroup(struct work *work)
{
    struct preparing *preparing = container_of(work, struct preparing, cgroup_work);
    struct arena arena = {0};
    struct config config;

    preparing->cgroup_began_ns = clock_monotonic_ns();
    preparing->cgroup_result =
        codec_decode_config(preparing->config.data, preparing->config.size_bytes, &arena, &config);
    if (preparing->cgroup_result == 0) {
        struct cgroup_limits limits;
        struct cgroup_request request = {preparing->leaf, &limits, preparing->uid_base};

        limits_of_config(&config, &limits);
        preparing->cgroup_result = cgroup_make(&preparing->agent->cgroups, &request,
                                               &preparing->cgroup, &preparing->cgroup_fault);
    }
    arena_close(&arena);
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
    seen->is_ready_on_exec = result == 0 && !preparing->plan.is_ready_by_notify;
    inbox_post(&preparing->agent->inbox, &input);
    agent_wake(preparing->agent);
}

/* The model waits for this before anything else of the container: the slot is its. */
static void settle(struct preparing *preparing)
{
    struct slot *slot = &preparing->agent->slots[preparing->ct];

    if (!preparing->is_plan_done || !preparing->is_cgroup_done || !preparing->is_durable)
        return;
    slot->generation = preparing->generation;
    slot->is_leaf_taken = false; /* that was another generation's group */
    slot->has_cgroup = preparing->cgroup_result == 0;
    slot->cgroup = slot->has_cgroup ? preparing->cgroup : (struct cgroup)CGROUP_EMPTY;
    slot->times.began_ns[BOOT_plan] = preparing->plan_began_ns;
    slot->times.done_ns[BOOT_plan] = preparing->plan_ns;
    slot->times.began_ns[BOOT_cgroup] = preparing->cgroup_began_ns;
    slot->times.done_ns[BOOT_cgroup] = preparing->cgroup_ns;
    if (preparing->plan_result == 0) {
        slot->plan = preparing->plan;
        slot->has_plan = true;
        slot->family = preparing->plan.family;
        slot->is_ready_on_exec = !preparing->plan.is_ready_by_notify;
    }
    slot->preparing = NULL;
    observe(preparing);
    free((void *)(uintptr_t)preparing->config.data);
    free(preparing);
}

static void on_planned(struct work *work)
{
    struct preparing *preparing = container_of(work, struct preparing, plan_work);

    preparing->is_plan_done = true;
    settle(preparing);
}

static void on_grouped(struct work *work)
{
    struct preparing *preparing = container_of(work, struct preparing, cgroup_work);

    preparing->is_cgroup_done = true;
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
    preparing->config = octets_copy(&slot->config);
    preparing->uid_base = slot->uid_base;
    preparing->cgroup = (struct cgroup)CGROUP_EMPTY;
    preparing->plan_work = (struct work){.run = run_plan, .on_done = on_planned};
    preparing->cgroup_work = (struct work){.run = run_cgroup, .on_done = on_grouped};
    slot->preparing = preparing;
    slot->times.done_ns[BOOT_admit] = clock_monotonic_ns();
    executor_post(&agent->executor, WORKER_MOUNT, &preparing->plan_work);
    executor_post(&agent->executor, WORKER_CGROUP, &preparing->cgroup_work);
}

void prepare_apply(struct agent *agent, const struct effect *effect)
{
    struct slot *slot = &agent->slots[effect->ct];

    if (slot->preparing == NULL)
        prepare_begin(agent, effect);
    ENSURE(slot->preparing->generation == effect->generation);
    slot->preparing->is_durable = true;
    settle(slot->preparing);
}
