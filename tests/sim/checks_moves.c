/* SPDX-License-Identifier: Apache-2.0 */
#include "checks_moves.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node_life.h"
#include "operators.h"

#define BIT(state) (1u << (unsigned)(state))
#define END BIT(CT_CLEANING)

static const unsigned nexts[CT_STATE_COUNT] = {
    [CT_STOPPED] = BIT(CT_PREPARING) | BIT(CT_CLEANING),
    [CT_PREPARING] = BIT(CT_LAUNCHING) | BIT(CT_STOPPING) | BIT(CT_KILLING) | BIT(CT_STUCK) | END,
    [CT_LAUNCHING] = BIT(CT_BOOTING) | BIT(CT_STOPPING) | BIT(CT_KILLING) | END,
    [CT_BOOTING] = BIT(CT_RUNNING) | BIT(CT_STOPPING) | BIT(CT_KILLING) | END,
    [CT_RUNNING] = BIT(CT_FROZEN) | BIT(CT_STOPPING) | BIT(CT_KILLING) | END,
    [CT_FROZEN] = BIT(CT_RUNNING) | BIT(CT_STOPPING) | BIT(CT_KILLING) | END,
    [CT_STOPPING] = BIT(CT_KILLING) | END | BIT(CT_BOOTING) | BIT(CT_RUNNING),
    [CT_KILLING] = BIT(CT_STUCK) | END,
    [CT_CLEANING] = BIT(CT_STOPPED) | BIT(CT_PREPARING) | BIT(CT_BACKOFF) | BIT(CT_STUCK),
    [CT_BACKOFF] = BIT(CT_PREPARING) | BIT(CT_STOPPED) | BIT(CT_CLEANING),
    [CT_STUCK] = BIT(CT_CLEANING) | BIT(CT_STOPPED) | BIT(CT_PREPARING) | BIT(CT_BACKOFF),
};

#define EARLY_NS SECOND_NS      /* a move is seen at its commit, some time after it was made */
#define TOLD_NS (2 * SECOND_NS) /* what an agent heard is durable by then */

static const struct proc *find_init(const struct sim *sim, const struct event *event)
{
    for (int i = 0; i < PROCS_MAX; i++) {
        const struct proc *proc = &sim->kernel->procs[i];

        if (proc->is_used && proc->is_init && proc->generation == event->generation &&
            memcmp(proc->uuid, event->uuid, UUID_BYTES) == 0)
            return proc;
    }
    return NULL;
}

/* By the agent that lives, and long enough ago to have been acted upon. */
static bool is_boot_heard(const struct sim *sim, const struct story *story, uint64_t generation)
{
    return story->booted_life == sim->agent->life && story->booted_generation == generation &&
           sim->now.ns > story->booted_ns + TOLD_NS;
}

/* By whom or what it may be killed that was not stopping. */
static void check_killed(struct sim *sim, struct story *story, const struct event *event)
{
    const struct demand *asked = operators_find(sim, event->request);
    uint64_t lasted_ns = sim->now.ns - story->since_ns;
    uint64_t deadline_ns = event->from == CT_LAUNCHING ? LAUNCH_DEADLINE_NS : BOOT_DEADLINE_NS;
    bool is_boot = event->from == CT_LAUNCHING || event->from == CT_BOOTING;

    if (asked != NULL && (asked->verb == VERB_KILL || asked->verb == VERB_DESTROY))
        return;
    if (asked == NULL && event->request[0] != '\0')
        return; /* long forgotten */
    if (!is_boot || lasted_ns + EARLY_NS < deadline_ns)
        sim_fail(sim, "moves", "%s was %s for %" PRIu64 " ms and is killed for %s", event->name,
                 ct_state_name(event->from), lasted_ns / MS_NS,
                 asked == NULL ? "nobody" : verb_name(asked->verb));
    if (event->from == CT_LAUNCHING && is_boot_heard(sim, story, event->generation))
        sim_fail(sim, "moves", "%s is killed as if it had not booted", event->name);
    story->late_generation = event->generation;
}

/* A worker that hangs over it may come to it yet. */
static bool is_kill_out(const struct sim *sim, const struct event *event)
{
    for (int i = 0; i < WORKS_MAX; i++) {
        const struct work *work = &sim->agent->works[i];

        if (work->is_used && work->effect.kind == EFFECT_KILL &&
            memcmp(work->uuid, event->uuid, UUID_BYTES) == 0)
            return true;
    }
    return false;
}

/* It passed a deadline, and whoever asked for it did his part. */
static void check_stuck(struct sim *sim, const struct story *story, const struct event *event)
{
    const struct proc *proc = find_init(sim, event);

    if (proc != NULL && !proc->is_killed && !is_kill_out(sim, event) &&
        is_boot_heard(sim, story, event->generation))
        sim_fail(sim, "moves", "%s is stuck, and its init was never killed", event->name);
}

static void check_cause(struct sim *sim, const struct story *story, const struct event *event)
{
    bool is_late = story->late_generation == event->generation;
    bool is_of_late = event->cause == CAUSE_BOOT_TIMEOUT || event->cause == CAUSE_OPERATOR_KILL ||
                      event->cause == CAUSE_OPERATOR_STOP || event->cause == CAUSE_NODE_DOWN ||
                      event->cause == CAUSE_START_FAILED || event->cause == CAUSE_UNKNOWN ||
                      event->cause == CAUSE_OPERATOR_REBOOT || event->cause == CAUSE_CRASH_LOOP;

    if (is_late ? !is_of_late : event->cause == CAUSE_BOOT_TIMEOUT && sim->checks->line == 1)
        sim_fail(sim, "cause", "%s %s its boot's deadline, and ends with %s", event->name,
                 is_late ? "passed" : "did not pass", cause_name(event->cause));
}

static bool is_ready(const struct sim *sim, const struct story *story, const struct event *event)
{
    if (story->ready_life == sim->agent->life && story->ready_generation == event->generation)
        return true;
    for (uint32_t i = 0; node_next(sim->agent->node, &i); i++)
        if (memcmp(node_get(sim->agent->node, i)->uuid, event->uuid, UUID_BYTES) == 0)
            return sim->agent->slots[i].seen.is_ready || sim->agent->slots[i].is_ready_on_exec;
    return true;
}

/* A stop hook that failed took the order back: it is as it was. */
static void check_unasked(struct sim *sim, const struct story *story, const struct event *event)
{
    bool was_running = story->running_generation == event->generation;

    if (!hooks_are_there(event->uuid))
        sim_fail(sim, "moves", "%s goes from stopping to %s, and has no hook", event->name,
                 ct_state_name(event->to));
    if (event->to == CT_BOOTING && was_running)
        sim_fail(sim, "moves", "%s was running, and boots after its hook failed", event->name);
    if (event->to == CT_RUNNING && !was_running && !is_ready(sim, story, event))
        sim_fail(sim, "moves", "%s was not ready, and runs after its hook failed", event->name);
}

void checks_moved(struct sim *sim, struct story *story, const struct event *event)
{
    bool is_outgrown = event->to == CT_LAUNCHING && sim->checks->line > 1;

    if (!is_outgrown && (nexts[event->from] & BIT(event->to)) == 0)
        sim_fail(sim, "moves", "%s goes from %s to %s", event->name, ct_state_name(event->from),
                 ct_state_name(event->to));
    if (event->from == CT_STOPPING && (event->to == CT_BOOTING || event->to == CT_RUNNING))
        check_unasked(sim, story, event);
    if (event->to == CT_RUNNING)
        story->running_generation = event->generation;
    if (event->to == CT_KILLING && event->from != CT_STOPPING)
        check_killed(sim, story, event);
    if (event->from == CT_KILLING && event->to == CT_STUCK)
        check_stuck(sim, story, event);
    if (event->cause != CAUSE_UNSET)
        check_cause(sim, story, event);
    story->removal_ns = 0;
    if (event->cause != CAUSE_UNSET && story->oom_life == sim->agent->life &&
        story->oom_generation == event->generation && story->oom_owed > 0)
        sim_fail(sim, "oom", "%s ends, and %" PRIu64 " kills for memory were never told",
                 event->name, story->oom_owed);
}

static void check_grace_over(struct sim *sim, const struct story *story, const struct event *event)
{
    const struct proc *proc = find_init(sim, event);

    if (story->state == CT_STOPPING)
        sim_fail(sim, "moves", "%s is killed after its grace, and is %s", event->name,
                 ct_state_name(story->state));
    if (proc == NULL || hooks_are_there(event->uuid)) /* whose hooks may take all of it */
        return;
    if (proc->asked_count == 0 && is_boot_heard(sim, story, event->generation))
        sim_fail(sim, "moves", "%s is killed, and was never asked", event->name);
    if (proc->asked_count == 1 && proc->asked_life == sim->agent->life &&
        sim->now.ns - proc->asked_ns > STOP_STEP_NS + TOLD_NS)
        sim_fail(sim, "moves", "%s is killed, and was asked only once in %" PRIu64 " ms",
                 event->name, (sim->now.ns - proc->asked_ns) / MS_NS);
}

void checks_escalated(struct sim *sim, const struct story *story, const struct event *event)
{
    if (story == NULL)
        return;
    if (strncmp(event->detail, "grace of", strlen("grace of")) == 0)
        check_grace_over(sim, story, event);
    else if (strncmp(event->detail, "hook ", strlen("hook ")) != 0 &&
             sim->now.ns - story->since_ns + EARLY_NS < STOP_STEP_NS)
        sim_fail(sim, "moves", "%s is asked again after %" PRIu64 " ms", event->name,
                 (sim->now.ns - story->since_ns) / MS_NS);
}

/* ---- kills for memory ---- */

/* What comes first in a turn finds the state as it is known; of what follows nobody could say
 * whether the generation was over before. */
static bool is_first(const struct sim *sim, const struct ct *ct)
{
    return inbox_is_empty(&sim->agent->inbox) && ct->is_open && ct->state != CT_UNSET;
}

void checks_oom_seen(struct sim *sim, const struct ct *ct, uint64_t count)
{
    struct story *story = checks_story(sim, ct->uuid);

    if (story == NULL || !is_first(sim, ct))
        return;
    if (story->oom_life != sim->agent->life || story->oom_generation != ct->generation)
        story->oom_owed = 0;
    story->oom_life = sim->agent->life;
    story->oom_generation = ct->generation;
    story->oom_owed += count;
    sim->checks->oom_due_ns = sim->now.ns + TOLD_NS;
}

void checks_oom_told(struct sim *sim, struct story *story, const struct event *event)
{
    uint64_t count = 0;

    (void)sim;
    if (story == NULL || story->oom_generation != event->generation ||
        sscanf(event->detail, "%" SCNu64 " killed", &count) != 1)
        return;
    story->oom_owed -= count < story->oom_owed ? count : story->oom_owed;
}

/* ---- readiness ---- */

void checks_ready_seen(struct sim *sim, const struct ct *ct)
{
    struct story *story = checks_story(sim, ct->uuid);

    if (story == NULL || !is_first(sim, ct))
        return;
    story->ready_life = sim->agent->life;
    story->ready_generation = ct->generation;
}

void checks_row_ready(struct sim *sim, const struct story *story, const struct store_row *row)
{
    if (row->state == CT_BOOTING && story->ready_life == sim->agent->life &&
        story->ready_generation == row->generation)
        sim_fail(sim, "moves", "%s was ready before its boot was heard of, and is only booting",
                 row->name);
}

/* ---- boots, ends, directories ---- */

void checks_booted_seen(struct sim *sim, const struct ct *ct)
{
    struct story *story = checks_story(sim, ct->uuid);

    if (story == NULL)
        return;
    story->booted_life = sim->agent->life;
    story->booted_generation = ct->generation;
    story->booted_ns = sim->now.ns;
}

void checks_end_is_odd(struct sim *sim, const struct ct *ct)
{
    struct story *story = checks_story(sim, ct->uuid);

    if (story == NULL)
        return;
    story->odd_generation = ct->generation;
    story->odd_ns = sim->now.ns;
    story->odd_life = sim->agent->life;
}

/* A generation that ended with a status was started: when, its row says. */
void checks_row_started(struct sim *sim, struct story *story, const struct store_row *row)
{
    if (row->generation > story->row_generation)
        story->started_before = story->started_wall_ns;
    story->started_wall_ns = row->started_wall_ns;
    if (row->has_status && row->cause != CAUSE_UNSET && sim->checks->line == 1 &&
        story->odd_generation != row->generation && row->started_wall_ns == story->started_before)
        sim_fail(sim, "moves", "%s ended with %#x, and was never started", row->name,
                 (unsigned)row->wait_status);
}

void checks_removal_seen(struct sim *sim, const struct ct *ct)
{
    struct story *story = checks_story(sim, ct->uuid);

    if (story == NULL || ct->awaited != EFFECT_REMOVE || ct->state == CT_UNSET)
        return; /* nobody was told of one that is being made */
    story->removal_life = sim->agent->life;
    story->removal_ns = sim->now.ns;
}

void checks_overdue_of(struct sim *sim, const struct ct *ct)
{
    const struct story *story = checks_story(sim, ct->uuid);
    bool is_up = ct->state == CT_BOOTING || ct->state == CT_RUNNING || ct->state == CT_FROZEN;

    if (is_up && ct->pid == 0)
        sim_fail(sim, "moves", "%s is %s, and nobody knows its init", ct->name,
                 ct_state_name(ct->state));
    if (ct->state == CT_UNSET && !ct->has_command && ct->awaited == EFFECT_UNSET &&
        ct->step_ns == 0)
        sim_fail(sim, "I6", "%s was not made, and nobody removes what is left of it", ct->name);
    if (story != NULL && ct->is_open && story->odd_generation == ct->generation &&
        story->odd_life == sim->agent->life && sim->now.ns > story->odd_ns + TOLD_NS)
        sim_fail(sim, "moves", "%s is %s, and its end was heard of long ago", ct->name,
                 ct_state_name(ct->state));
    if (story != NULL && story->removal_ns != 0 && story->removal_life == sim->agent->life &&
        sim->now.ns > story->removal_ns + TOLD_NS)
        sim_fail(sim, "moves", "%s is %s, and what became of its directory was told long ago",
                 ct->name, ct_state_name(ct->state));
}

void checks_overdue(struct sim *sim)
{
    const struct checks_node *node = &sim->checks->node;

    if (sim->checks->oom_due_ns == 0 || sim->now.ns < sim->checks->oom_due_ns)
        return;
    sim->checks->oom_due_ns = 0;
    for (uint32_t i = 0; i < node->story_count; i++)
        if (node->stories[i].is_used && node->stories[i].oom_owed > 0 &&
            node->stories[i].oom_life == sim->agent->life)
            sim_fail(sim, "oom",
                     "%" PRIu64 " kills for memory in generation %" PRIu64 " were not told",
                     node->stories[i].oom_owed, node->stories[i].oom_generation);
}

/* ---- orders ---- */

void checks_stepped(struct sim *sim, const struct ct *ct, size_t effects, const struct out *out)
{
    for (size_t i = effects; i < out->effect_count; i++)
        if (out->effects[i].kind == EFFECT_ASK && ct->state != CT_STOPPING)
            sim_fail(sim, "order", "%s is %s, and asked to end", ct->name,
                     ct_state_name(ct->state));
}

void checks_order(struct sim *sim, const struct effect *effect)
{
    const struct ct *ct = node_get(sim->agent->node, effect->ct);
    const struct story *story = checks_story(sim, ct->uuid);
    char name[LEAF_BYTES];

    /* A node.db that was put back may not know that it was. */
    if (effect->waits_commit && sim->checks->line == 1 && effect->kind != EFFECT_MAKE &&
        effect->kind != EFFECT_REMOVE && (story == NULL || story->row_state == CT_UNSET))
        sim_fail(sim, "order", "%s of %s, which is not made", effect_name(effect->kind), ct->name);
    if (effect->kind != EFFECT_THAW || !effect->waits_commit)
        return; /* or an undoing of what may not have been done */
    kernel_leaf_name(ct->name, effect->generation, name);
    int at = kernel_find_leaf(sim->kernel, name);
    const struct leaf *leaf = at < 0 ? NULL : &sim->kernel->leaves[at];
    /* Of a stop that took the place of a start: the one thaws what the other is thawing. */
    if (leaf != NULL && !leaf->is_frozen && !leaf->is_freeze_wanted &&
        (leaf->thawed_ns == 0 || sim->now.ns > leaf->thawed_ns + TOLD_NS))
        sim_fail(sim, "order", "%s is thawed, and is not frozen", ct->name);
}
