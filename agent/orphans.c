/* SPDX-License-Identifier: Apache-2.0 */
#include "orphans.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "adopt_found.h"
#include "cleanup.h"
#include "clock.h"
#include "console_rebind.h"
#include "launching.h"
#include "slots.h"

/* A guest that cannot be watched must not be taken for a dead one: the next agent tries again, with
 * the descriptors that this one gives back. */
static void send_adopt(struct agent *agent, struct kw_adopt *record, int pidfd)
{
    struct fault fault;
    int result =
        keeper_client_send(&agent->keeper, &record->header, KW_ADOPT, sizeof(*record), &pidfd, 1);

    if (result == 0)
        return;
    fault_set(&fault, STATUS_NO_CAPACITY, -result,
              "no descriptors are left to hand %s to the new keeper with", record->labels.name);
    agent_die(&fault);
}

void orphans_lose_notify(struct agent *agent, uint32_t index)
{
    struct slot *slot = &agent->slots[index];
    struct input input = {.kind = INPUT_OBSERVATION, .observation = {.kind = IN_READY}};

    slot->has_lost_notify = true;
    if (slot->seen.is_ready || slot_ready(slot) == READY_FILE || slot_ready(slot) == READY_TCP)
        return; /* those are looked for again */
    slot->seen.is_ready = true;
    readiness_stop(agent, index);
    input.observation.ct = index;
    input.observation.generation = node_get(agent->node, index)->generation;
    inbox_post(&agent->inbox, &input);
}

/* Have the keeper watch a guest that is not its child. False: it is no more. */
static bool adopt_at_keeper(struct agent *agent, uint32_t index, pid_t pid)
{
    const struct ct *ct = node_get(agent->node, index);
    struct slot *slot = &agent->slots[index];
    struct kw_adopt record = {.roles = {KW_FD_PID}};
    AUTO_FD pidfd = pid == 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);

    /* Opened first, checked then: a number that was given to another cannot pass. */
    bool is_in_cgroup = pidfd >= 0 && cgroup_has_process(&slot->cgroup, pid);
    if (!adopt_is_its_init(pidfd >= 0, is_in_cgroup))
        return false;
    console_rebind_lose(agent, index);
    slot->launch = record.launch = keeper_records_number(agent, index);
    slot->seen.change = 0;
    memcpy(record.labels.uuid, ct->uuid, UUID_BYTES);
    record.labels.generation = ct->generation;
    memcpy(record.labels.name, ct->name, NAME_BYTES);
    send_adopt(agent, &record, pidfd);
    orphans_lose_notify(agent, index);
    console_rebind_begin(agent, index); /* with the old master, where an agent still has it */
    return true;
}

static void tell_console_lost(struct agent *agent, const struct ct *ct)
{
    struct now now = {clock_monotonic_ns(), clock_wall_ns()};

    if (!node_has_room(&agent->core.out))
        turn_finish(agent, &now); /* a turn does not hold an event of each container */
    struct event *event = turn_core_event(&agent->core);
    *event = (struct event){
        .time_wall_ns = now.wall_ns, .generation = ct->generation, .type = EVENT_CONSOLE_LOST};
    memcpy(event->uuid, ct->uuid, UUID_BYTES);
    memcpy(event->name, ct->name, NAME_BYTES);
}

static void post_lost(struct agent *agent, const struct ct *ct)
{
    struct input input = {.kind = INPUT_OBSERVATION};

    adopt_lose(ct, &input.observation);
    inbox_post(&agent->inbox, &input);
}

void orphans_take(struct agent *agent, uint32_t index, pid_t pid)
{
    const struct ct *ct = node_get(agent->node, index);

    if (adopt_at_keeper(agent, index, pid)) {
        tell_console_lost(agent, ct);
        return;
    }
    slot_close_console(&agent->slots[index]);
    post_lost(agent, ct);
}

void keeper_records_on_lost(struct keeper_client *client)
{
    struct agent *agent = container_of(client, struct agent, keeper);
    struct fault fault = {0};
    uint64_t launch_last = client->launch_last;

    streams_keeper_lost(&agent->streams);
    hook_run_keeper_lost(agent);
    (void)fprintf(stderr, "drover-agent: the keeper is gone; starting another\n");
    if (keeper_client_open(client, agent->options->run_dir, agent->options->keeper, &agent->cgroups,
                           &fault) < 0)
        agent_die(&fault);
    if (!client->is_started_now) { /* it holds all that it held: a start of the agent adopts that */
        fault_set(&fault, STATUS_FAILED, 0, "the connection to a keeper that lives broke off");
        agent_die(&fault);
    }
    if (keeper_client_sync(client, &fault) < 0 || keeper_client_watch(client, &agent->loop) < 0)
        agent_die(&fault);
    if (client->launch_last < launch_last)
        client->launch_last = launch_last;
    console_rebind_lose_all(agent);
    launching_keeper_lost(agent);
    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        const struct ct *ct = node_get(agent->node, i);

        if (!adopt_is_at_keeper(ct))
            continue;
        orphans_take(agent, i, ct->has_init && agent->slots[i].has_cgroup ? ct->pid : 0);
    }
    agent_wake(agent);
}
