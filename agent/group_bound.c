/* SPDX-License-Identifier: Apache-2.0 */
#include "group_bound.h"

#include <stdio.h>

#include "agent.h"
#include "cleanup.h"

#define LOOK_MS 1000

static void on_killed(const char *leaf)
{
    (void)fprintf(stderr,
                  "drover-agent: %s has more than %d groups in name=systemd, or deeper than %d: it "
                  "was killed\n",
                  leaf, CGROUP_SYSTEMD_GROUPS_MAX, CGROUP_SYSTEMD_DEPTH_MAX);
}

static bool run_look(struct work *work)
{
    struct group_bound *bound = container_of(work, struct group_bound, work);
    struct agent *agent = container_of(bound, struct agent, group_bound);

    bound->found = cgroup_bound_systemd(&agent->cgroups, on_killed);
    return true;
}

static void on_looked(struct work *work)
{
    struct group_bound *bound = container_of(work, struct group_bound, work);

    bound->is_at_work = false;
    if (bound->found == 0 && !bound->is_wanted)
        (void)uv_timer_stop(&bound->timer); /* nodes without such guests do not wake for them */
}

static void on_timer(uv_timer_t *timer)
{
    struct group_bound *bound = container_of(timer, struct group_bound, timer);
    struct agent *agent = container_of(bound, struct agent, group_bound);

    if (bound->is_at_work)
        return;
    bound->is_at_work = true;
    bound->is_wanted = false;
    bound->work = (struct work){.run = run_look, .on_done = on_looked};
    executor_post(&agent->executor, WORKER_CGROUP, &bound->work);
}

int group_bound_open(struct group_bound *bound, uv_loop_t *loop)
{
    return uv_timer_init(loop, &bound->timer);
}

void group_bound_start(struct group_bound *bound)
{
    bound->is_wanted = true;
    if (!uv_is_active((uv_handle_t *)&bound->timer))
        (void)uv_timer_start(&bound->timer, on_timer, LOOK_MS, LOOK_MS);
}
