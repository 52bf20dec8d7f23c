/* SPDX-License-Identifier: Apache-2.0 */
#include "launching.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent.h"
#include "boundary.h"
#include "clean.h"
#include "clock.h"
#include "ensure.h"
#include "watch.h"

static void post(struct agent *agent, const struct observation *seen)
{
    struct input input = {.kind = INPUT_OBSERVATION, .observation = *seen};

    inbox_post(&agent->inbox, &input);
    agent_wake(agent);
}

/* ---- LAUNCH ---- */

static void map_ring(struct slot *slot)
{
    size_t size_bytes = KW_RING_DATA_OFFSET + KW_RING_DEFAULT_BYTES;
    void *ring = mmap(NULL, size_bytes, PROT_READ, MAP_SHARED, slot->plan.ring, 0);

    (void)close(slot->plan.ring);
    slot->plan.ring = -1;
    if (ring == MAP_FAILED)
        return; /* the guest boots without its console being readable here */
    slot->ring = ring;
    slot->ring_bytes = size_bytes;
}

/* Nobody can be told GO of what was not sent. */
static void fail_unsent(struct agent *agent, const struct ct *ct, int result)
{
    struct observation seen = {
        .kind = IN_LAUNCH_FAILED, .ct = ct->index, .generation = ct->generation};

    fault_set(&seen.fault, STATUS_NO_CAPACITY, -result,
              "%s: no descriptors are left to send its launch with", ct->name);
    if (!launching_keeps(agent, ct->index, &seen))
        post(agent, &seen);
}

static size_t gather(const struct slot *slot, struct kw_launch *record, int fds[KW_FDS_MAX])
{
    size_t count = slot->plan.fd_count;

    ENSURE(slot->has_plan);
    ENSURE(count + 1 + slot->cgroup.task_count <= KW_FDS_MAX);
    memcpy(fds, slot->plan.fds, count * sizeof(*fds));
    memcpy(record->roles, slot->plan.roles, count);
    fds[count] = slot->cgroup.guest;
    record->roles[count++] = KW_FD_CGROUP;
    for (size_t i = 0; i < slot->cgroup.task_count; i++) {
        fds[count] = slot->cgroup.tasks[i];
        record->roles[count++] = KW_FD_TASKS;
    }
    return count;
}

static void forget_the_last(struct slot *slot)
{
    slot->seen = (struct record_seen){0};
    slot->hooks.fault = (struct fault){0};
    slot->hooks.is_stop_done = false;
    slot->has_lost_notify = slot->is_rebind_due = slot->is_pty_old = false;
    slot->oom_kills = 0;
    memcpy(slot->candidates, slot->plan.candidates, sizeof(slot->candidates));
    slot->candidate_count = slot->plan.candidate_count;
}

/* 0, or why it could not be sent. */
static int send_launch(struct agent *agent, const struct ct *ct)
{
    struct slot *slot = &agent->slots[ct->index];
    struct kw_launch record = {0};
    int fds[KW_FDS_MAX];

    slot->times.began_ns[BOOT_send] = clock_monotonic_ns();
    size_t count = gather(slot, &record, fds);
    slot->launch = record.launch = keeper_records_number(agent, ct->index);
    forget_the_last(slot);
    record.stage_deadline_ns = clock_monotonic_ns() + STAGE_DEADLINE_NS;
    memcpy(record.labels.uuid, ct->uuid, UUID_BYTES);
    record.labels.generation = ct->generation;
    memcpy(record.labels.name, ct->name, NAME_BYTES);
    if (ct->has_command)
        memcpy(record.labels.request, ct->command.request, REQUEST_ID_BYTES);
    map_ring(slot);
    (void)watch_start(agent, ct->index);
    slot->times.done_ns[BOOT_send] = clock_monotonic_ns(); /* the keeper may read it at once */
    boundary(launch_unsent);
    if (slot->hooks.has_start)
        keeper_client_early_go(&agent->keeper, record.launch); /* they wait for its STAGED */
    int result =
        keeper_client_send(&agent->keeper, &record.header, KW_LAUNCH, sizeof(record), fds, count);
    boundary(launch_sent);
    launch_close(&slot->plan);
    slot->has_plan = false;
    return result;
}

void launching_stage(struct agent *agent, uint32_t index)
{
    const struct ct *ct = node_get(agent->node, index);

    hold_stage(&agent->slots[index].hold);
    int result = send_launch(agent, ct);
    if (result < 0)
        fail_unsent(agent, ct, result);
    boundary(launch_held);
}

/* ---- GO ---- */

static void send_order(struct agent *agent, uint32_t index, uint16_t type)
{
    struct kw_go order = {.launch = agent->slots[index].launch};

    (void)keeper_client_send(&agent->keeper, &order.header, type, sizeof(order), NULL, 0);
}

static void send_go(struct agent *agent, uint32_t index)
{
    boundary(go_unsent);
    send_order(agent, index, KW_GO);
    boundary(go_sent);
}

static void free_end(struct slot *slot)
{
    free(slot->held_end);
    slot->held_end = NULL;
}

void launching_go(struct agent *agent, const struct effect *effect)
{
    const struct ct *ct = node_get(agent->node, effect->ct);
    struct slot *slot = &agent->slots[effect->ct];
    enum hold_order order = hold_order(&slot->hold);

    ENSURE(ct->generation == effect->generation);
    if (order == HOLD_TELL) {
        ENSURE(slot->held_end != NULL);
        post(agent, slot->held_end);
        free_end(slot);
        return;
    }
    int result = order == HOLD_LAUNCH ? send_launch(agent, ct) : 0;
    if (result < 0)
        fail_unsent(agent, ct, result);
    else if (!slot->hooks.has_start)
        send_go(agent, effect->ct);
}

void launching_go_refused(struct agent *agent, uint32_t index)
{
    if (hold_go_refused(&agent->slots[index].hold))
        send_order(agent, index, KW_GO);
}

void launching_said_staged(struct agent *agent, uint32_t index)
{
    if (hold_said_staged(&agent->slots[index].hold))
        send_order(agent, index, KW_GO);
}

/* ---- its end ---- */

static void clean(struct agent *agent, uint32_t index)
{
    const struct effect effect = {
        .kind = EFFECT_CLEAN, .ct = index, .generation = node_get(agent->node, index)->generation};

    clean_generation(agent, &effect);
}

bool launching_keeps(struct agent *agent, uint32_t index, const struct observation *seen)
{
    struct slot *slot = &agent->slots[index];
    enum hold_end end = hold_end(&slot->hold);

    if (end == HOLD_CLEAN)
        clean(agent, index);
    if (end != HOLD_KEEP)
        return end != HOLD_NOW;
    if (slot->held_end == NULL)
        slot->held_end = malloc(sizeof(*slot->held_end));
    ENSURE(slot->held_end != NULL);
    *slot->held_end = *seen;
    return true;
}

void launching_clean(struct agent *agent, const struct effect *effect)
{
    struct slot *slot = &agent->slots[effect->ct];

    free_end(slot);
    if (!hold_drop(&slot->hold)) {
        clean_generation(agent, effect);
        return;
    }
    send_order(agent, effect->ct, KW_ABORT);
}

void launching_keeper_lost(struct agent *agent)
{
    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        const struct ct *ct = node_get(agent->node, i);
        struct observation seen = {.kind = IN_LAUNCH_FAILED, .ct = i, .generation = ct->generation};

        if (agent->slots[i].hold.phase == HOLD_NONE)
            continue;
        fault_set(&seen.fault, STATUS_INTERRUPTED, 0, "%s: the keeper ended during its start",
                  ct->name);
        (void)launching_keeps(agent, i, &seen);
    }
}
