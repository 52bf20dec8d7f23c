/* SPDX-License-Identifier: Apache-2.0 */
/* What must be true of the node: processes, orders, commands. */
#include "checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checks_commands.h"
#include "checks_moves.h"
#include "faults.h"
#include "node_life.h"
#include "operators.h"
#include "upstream.h"

#define ANSWER_NS (100 * MS_NS)
#define COMMIT_SLACK_NS (100 * MS_NS) /* of the made-up disk and loop, at their slowest */

void checks_open(struct sim *sim)
{
    struct checks *checks = sim->checks;

    memset(&checks->node, 0, sizeof(checks->node));
    memset(checks->buckets, 0, sizeof(checks->buckets));
    checks->fact_count = 0;
    checks->line = 1;
    checks->acked_checked = 0;
    checks->acked_at = 0;
    checks->starts = 0;
    checks->oom_due_ns = 0;
    checks->ctl_commits = checks->ctl_commits_copy = 0;
    checks->ctl_acked = 0;
    checks->ending_count = 0;
    checks->taken_count = 0;
    checks->refusal = NULL;
}

/* ---- processes ---- */

/* I1: at most one init a container, and none that nobody would know of. */
void checks_init_runs(struct sim *sim, const struct proc *proc)
{
    const struct story *story = checks_story(sim, proc->uuid);

    /* A node.db that was put back knows less. */
    if (sim->checks->line == 1 && (story == NULL || story->row_generation < proc->generation))
        sim_fail(sim, "order",
                 "an init of generation %" PRIu64 " runs before its intent is durable",
                 proc->generation);
    for (int i = 0; i < PROCS_MAX; i++) {
        const struct proc *other = &sim->kernel->procs[i];

        if (other->is_used && other != proc && other->is_init &&
            memcmp(other->uuid, proc->uuid, UUID_BYTES) == 0)
            sim_fail(sim, "I1", "a second init runs: generation %" PRIu64 " beside %" PRIu64,
                     proc->generation, other->generation);
    }
}

static const struct proc *find_live(const struct sim *sim, const uint8_t uuid[UUID_BYTES])
{
    for (int i = 0; i < PROCS_MAX; i++) {
        const struct proc *proc = &sim->kernel->procs[i];

        if (proc->is_used && !proc->is_foreign && memcmp(proc->uuid, uuid, UUID_BYTES) == 0)
            return proc;
    }
    return NULL;
}

/* I2: nothing is removed under a guest. A stage that was killed is none and will not
 * be one, however long the kernel holds it. */
void checks_removed(struct sim *sim, const uint8_t uuid[UUID_BYTES])
{
    const struct proc *proc = find_live(sim, uuid);

    if (proc != NULL && (proc->is_init || !proc->is_killed))
        sim_fail(sim, "I2", "a directory is removed under pid %d", proc->pid);
}

/* I10: only a container's own init is watched on its behalf, and ended with it. */
void checks_watched(struct sim *sim, const struct ct *ct, const struct proc *proc)
{
    if (proc->is_foreign || memcmp(proc->uuid, ct->uuid, UUID_BYTES) != 0)
        sim_fail(sim, "I10", "%s watches pid %d, which is another's", ct->name, proc->pid);
    /* One without an exec result may only be ended; a node.db that was put back knows of none. */
    if (sim->checks->line == 1 && !proc->is_init && ct->state != CT_STOPPING &&
        ct->state != CT_KILLING && ct->state != CT_STUCK)
        sim_fail(sim, "order", "%s is %s by pid %d, which never executed an init", ct->name,
                 ct_state_name(ct->state), proc->pid);
}

/* ---- intent before effect ---- */

void checks_effect(struct sim *sim, const struct effect *effect)
{
    const struct ct *ct = node_get(sim->agent->node, effect->ct);
    const struct story *story = checks_story(sim, ct->uuid);

    if (!effect->waits_commit && effect->kind != EFFECT_LAUNCH)
        return;
    if (story == NULL || !story->has_row)
        sim_fail(sim, "order", "%s of %s before its row is durable", effect_name(effect->kind),
                 ct->name);
    if (story->row_generation < effect->generation)
        sim_fail(sim, "order", "%s of %s, generation %" PRIu64 ", before its intent is durable",
                 effect_name(effect->kind), ct->name, effect->generation);
    if ((effect->kind == EFFECT_PREPARE || effect->kind == EFFECT_LAUNCH) &&
        effect->generation <= story->spent)
        sim_fail(sim, "order", "%s of %s, generation %" PRIu64 ", is begun again by another agent",
                 effect_name(effect->kind), ct->name, effect->generation);
}

/* ---- ends ---- */

static struct ending_seen *find_ending(struct sim *sim, const uint8_t *uuid, uint64_t generation)
{
    struct checks *checks = sim->checks;
    uint32_t kept = checks->ending_count < ENDINGS_MAX ? checks->ending_count : ENDINGS_MAX;

    /* The newest: after node.db was put back, a number may be given again. */
    for (uint32_t i = 1; i <= kept; i++) {
        struct ending_seen *seen = &checks->endings[(checks->ending_count - i) % ENDINGS_MAX];

        if (seen->generation == generation && memcmp(seen->uuid, uuid, UUID_BYTES) == 0)
            return seen;
    }
    return NULL;
}

static void add_ending(struct sim *sim, const uint8_t *uuid, uint64_t generation, int status)
{
    struct checks *checks = sim->checks;
    struct ending_seen *seen = &checks->endings[checks->ending_count++ % ENDINGS_MAX];

    *seen = (struct ending_seen){.generation = generation, .status = status, .line = checks->line};
    memcpy(seen->uuid, uuid, UUID_BYTES);
}

void checks_end_known(struct sim *sim, const struct kw_record *record)
{
    add_ending(sim, record->labels.uuid, record->labels.generation,
               record->is_status_known ? record->wait_status : STATUS_NOBODY_SAW);
}

void checks_power_lost(struct sim *sim, const struct proc *proc)
{
    if (proc->is_init)
        add_ending(sim, proc->uuid, proc->generation, STATUS_POWER_LOST);
}

/* A number that is given again, as the boot that had it first is in no node.db. */
void checks_begins(struct sim *sim, const struct event *event)
{
    struct ending_seen *seen = find_ending(sim, event->uuid, event->generation);

    if (event->to == CT_PREPARING && seen != NULL && seen->status == STATUS_POWER_LOST)
        seen->generation = 0;
}

/* Of a node.db that was put back, with a later generation than that in the world: it is taken up,
 * and what it outgrew was told before, under another epoch. */
static bool is_outgrown(const struct sim *sim, const struct kw_record *record)
{
    const struct node *node = sim->agent->node;

    for (uint32_t i = 0; sim->agent->is_alive && node_next(node, &i); i++)
        if (memcmp(node_get(node, i)->uuid, record->labels.uuid, UUID_BYTES) == 0)
            return sim->checks->line > 1 &&
                   node_get(node, i)->generation > record->labels.generation;
    return false;
}

/* The keeper may forget an end only once it is durable. */
void checks_end_forgotten(struct sim *sim, const struct kw_record *record)
{
    const struct story *story = checks_story(sim, record->labels.uuid);

    if (story == NULL || !story->has_row)
        return; /* of a container that is gone, or that node.db does not know any more */
    if (story->generation == record->labels.generation && !story->is_ended &&
        !is_outgrown(sim, record))
        sim_fail(sim, "order",
                 "the keeper forgot the end of generation %" PRIu64 " before it was durable",
                 record->labels.generation);
}

static bool is_status_held(const struct sim *sim, const uint8_t *uuid, uint64_t generation)
{
    const struct table *table = sim->keeper->table;

    for (uint32_t i = 0; sim->keeper->is_alive && i < table->high; i++) {
        const struct kw_record *record = &table->entries[i].record;

        if (table->numbers[i] != 0 && record->phase == KW_PHASE_ENDED && record->is_status_known &&
            record->labels.generation == generation &&
            memcmp(record->labels.uuid, uuid, UUID_BYTES) == 0)
            return true;
    }
    return false;
}

/* An end is told as it was, and never guessed. */
void checks_ending(struct sim *sim, const struct event *event)
{
    const struct ending_seen *seen = find_ending(sim, event->uuid, event->generation);

    if (event->has_status && (seen == NULL || seen->status != event->wait_status))
        sim_fail(sim, "cause", "%s ended with %#x, told %#x", event->name,
                 seen == NULL ? 0 : (unsigned)seen->status, (unsigned)event->wait_status);
    bool is_known_to_run =
        event->from == CT_BOOTING || event->from == CT_RUNNING || event->from == CT_FROZEN;
    /* A node.db that was put back since may be older than that boot of the machine. */
    if (is_known_to_run && seen != NULL && seen->status == STATUS_POWER_LOST &&
        seen->line == sim->checks->line && event->cause != CAUSE_NODE_DOWN)
        sim_fail(sim, "cause", "%s ran when the node lost its power, and %s is told", event->name,
                 cause_name(event->cause));
    if (!event->has_status && event->cause != CAUSE_NODE_DOWN &&
        event->cause != CAUSE_START_FAILED && is_status_held(sim, event->uuid, event->generation))
        sim_fail(sim, "cause", "the keeper knows how %s ended, and %s is told", event->name,
                 cause_name(event->cause));
}

/* ---- commands ---- */

/* I8: a command is answered soon, whatever trouble others are in. */
void checks_command_taken(struct sim *sim, const struct ct_command *command)
{
    struct checks *checks = sim->checks;

    if (checks->taken_count == TAKEN_MAX)
        return;
    struct taken *taken = &checks->taken[checks->taken_count++];
    memcpy(taken->request, command->request, REQUEST_ID_BYTES);
    taken->at_ns = sim->now.ns;
}

void checks_receipt(struct sim *sim, const struct ct_receipt *receipt)
{
    struct checks *checks = sim->checks;

    if (receipt->phase == PHASE_ACCEPTED) {
        const struct demand *asked = operators_find(sim, receipt->request);

        if (asked != NULL && asked->final != PHASE_UNSET && !asked->is_refused && !asked->is_reset)
            sim_fail(sim, "I3", "%s is begun again after its end", receipt->request);
    }
    for (uint32_t i = 0; i < checks->taken_count; i++)
        if (strcmp(checks->taken[i].request, receipt->request) == 0) {
            checks->taken[i] = checks->taken[--checks->taken_count];
            return;
        }
}

void checks_expect_refusal(struct sim *sim, const char *request)
{
    if (request == NULL && sim->checks->refusal != NULL)
        sim_fail(sim, "I3", "another command under the id %s was not refused",
                 sim->checks->refusal);
    sim->checks->refusal = request;
}

bool checks_is_refusal_expected(struct sim *sim, const char *request, enum phase phase,
                                enum status status)
{
    if (sim->checks->refusal == NULL || strcmp(sim->checks->refusal, request) != 0)
        return false;
    if (phase != PHASE_FAILED || status != STATUS_REQUEST_ID_REUSED)
        sim_fail(sim, "I3", "another command under the id %s is answered %s", request,
                 status_name(status));
    sim->checks->refusal = NULL;
    return true;
}

/* ---- after each turn ---- */

static void check_answers(struct sim *sim)
{
    struct checks *checks = sim->checks;

    if (!sim->agent->is_alive)
        checks->taken_count = 0;
    for (uint32_t i = 0; i < checks->taken_count; i++)
        if (sim->now.ns - checks->taken[i].at_ns > ANSWER_NS + COMMIT_SLACK_NS)
            sim_fail(sim, "I8", "%s was not answered in %u ms", checks->taken[i].request,
                     (unsigned)((ANSWER_NS + COMMIT_SLACK_NS) / MS_NS));
}

/* I7: being prepared or staged, but for those that hang. */
static void check_in_flight(struct sim *sim)
{
    const struct agent *agent = sim->agent;
    unsigned count = 0;

    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        const struct ct *ct = node_get(agent->node, i);

        if (ct->state == CT_STUCK)
            continue;
        if (agent->slots[i].preparing.is_on) {
            count++;
            continue;
        }
        /* Of a boot that is over what is left is swept, and does not count; nor does a stage that
         * was killed: it will not be an init. */
        for (int j = 0; ct->is_open && !ct->has_init && j < PROCS_MAX; j++) {
            const struct proc *proc = &sim->kernel->procs[j];

            if (proc->is_used && !proc->is_init && !proc->is_foreign && !proc->is_killed &&
                proc->generation == ct->generation && memcmp(proc->uuid, ct->uuid, UUID_BYTES) == 0)
                count++;
        }
    }
    if (count > BOOTS_MAX)
        sim_fail(sim, "I7", "%u boots in flight", count);
}

/* I2: at rest nothing is left; I3: and nothing is in progress. I6 is node_check()'s. */
static void check_rest(struct sim *sim)
{
    const struct agent *agent = sim->agent;

    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        const struct ct *ct = node_get(agent->node, i);

        checks_waiting(sim, ct);
        checks_overdue_of(sim, ct);
        if (ct->state != CT_STOPPED && ct->state != CT_BACKOFF)
            continue;
        const struct proc *proc = find_live(sim, ct->uuid);
        if (proc != NULL && proc->generation == ct->generation)
            sim_fail(sim, "I2", "%s is %s, and pid %d runs", ct->name, ct_state_name(ct->state),
                     proc->pid);
        if (ct->has_command && ct->state == CT_STOPPED)
            sim_fail(sim, "I3", "%s is at rest, and %s is in progress", ct->name,
                     ct->command.request);
    }
}

void checks_turn(struct sim *sim)
{
    check_answers(sim);
    if (!sim->agent->is_alive)
        return;
    checks_overdue(sim);
    check_rest(sim);
    check_in_flight(sim);
}

/* ---- in calm ---- */

static bool is_frozen(const struct sim *sim, const struct ct *ct)
{
    char name[LEAF_BYTES];

    kernel_leaf_name(ct->name, ct->generation, name);
    int at = kernel_find_leaf(sim->kernel, name);
    return at >= 0 && sim->kernel->leaves[at].is_frozen;
}

/* What is in force is what is stored, whoever died while it was set. A node.db that was put back
 * may be older than what was set: nobody can see that in a cgroup. */
static bool has_its_limits(const struct sim *sim, uint32_t index)
{
    const struct ct *ct = node_get(sim->agent->node, index);
    const struct sim_slot *slot = &sim->agent->slots[index];
    char name[LEAF_BYTES];

    kernel_leaf_name(ct->name, ct->generation, name);
    int leaf = kernel_find_leaf(sim->kernel, name);
    if (leaf < 0 || ct->awaited == EFFECT_LIMIT || ct->late_keys != 0 ||
        sim->faults->counts[FAULT_RESTORE] > 0)
        return true;
    return sim->kernel->leaves[leaf].limit == requests_limit(&slot->config);
}

/* NULL: nothing more is to come of the node itself. */
static const char *find_unrest(struct sim *sim, const struct ct **ret_ct)
{
    const struct agent *agent = sim->agent;

    *ret_ct = NULL;
    if (!agent->is_alive)
        return "the agent is dead";
    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        const struct ct *ct = node_get(agent->node, i);
        /* One that never says that it is ready, and is to be kept, boots for ever. */
        bool is_kept = ct->state == CT_BOOTING && ct->policy.is_ready_kept;
        bool is_up = ct->state == CT_RUNNING || ct->state == CT_FROZEN || is_kept;
        const struct proc *proc = find_live(sim, ct->uuid);

        *ret_ct = ct;
        if (!is_up && ct->state != CT_STOPPED)
            return ct_state_name(ct->state);
        if (ct->has_command)
            return "a command is in progress";
        if (!is_up && (ct->deadline_ns != 0 || ct->step_ns != 0))
            return "a timer of it runs";
        if (ct->is_wanted != is_up)
            return "desired is not observed";
        if (ct->is_restart_owed)
            return "a restart is owed";
        if (ct->boot == CT_BOOT_DUE)
            return "it is to come up with the node";
        if (is_up != (proc != NULL))
            return "observed is not the world";
        if (is_up && (ct->state == CT_FROZEN) != is_frozen(sim, ct))
            return "its freezer is not as observed";
        if (is_up && !has_its_limits(sim, i))
            return "its limits are not those of its row";
    }
    *ret_ct = NULL;
    if (agent->store.count > 0 || !inbox_is_empty(&agent->inbox))
        return "something is to be committed";
    for (uint32_t i = 0; i < sim->keeper->table->high; i++)
        if (sim->keeper->table->numbers[i] != 0 && entry_is_final(&sim->keeper->table->entries[i]))
            return "the keeper holds an end";
    if (!operators_are_content(sim))
        return "a command has no end";
    if (agent->core.is_acked_by_self)
        return NULL;
    if (!sim->ctl->is_alive || sim->ctl->count > 0)
        return "the controller is not at rest";
    if (!agent->up.is_up || !sim->ctl->is_up || agent->up.session.id != sim->ctl->session.id)
        return "agent and controller have no session"; /* who was put back is asked anew */
    if (agent->up.uplink.acked.seq < agent->up.uplink.durable)
        return "not all events are acknowledged";
    return NULL;
}

bool checks_is_quiet(struct sim *sim)
{
    const struct ct *ct;

    return find_unrest(sim, &ct) == NULL;
}

void checks_not_quiet(struct sim *sim)
{
    const struct ct *ct;
    const char *why = find_unrest(sim, &ct);

    sim_fail(sim, "liveness", "%s%s%s", ct == NULL ? "" : ct->name, ct == NULL ? "" : ": ",
             why == NULL ? "nothing" : why);
}
