/* SPDX-License-Identifier: Apache-2.0 */
/* Effects on their way: what executor, prepare.c, effects.c, clean.c, stop.c and watch.c do. The
 * world changes at one time, the loop hears of it at another, and the agent may die in between. */
#include "node_life.h"

#include <string.h>

#include "checks_commands.h"
#include "checks_moves.h"
#include "ensure.h"
#include "faults.h"
#include "operators.h"

#define EMPTY_WAIT_NS (2 * SECOND_NS) /* for a killed cgroup, as clean.c waits */

static struct work *take_work(struct sim *sim, enum work_kind kind, const struct effect *effect)
{
    struct agent *agent = sim->agent;
    const struct ct *ct = node_get(agent->node, effect->ct);

    for (uint32_t i = 0; i < WORKS_MAX; i++) {
        struct work *work = &agent->works[i];

        if (work->is_used)
            continue;
        *work = (struct work){.is_used = true, .kind = kind, .effect = *effect};
        memcpy(work->uuid, ct->uuid, UUID_BYTES);
        kernel_leaf_name(ct->name, effect->generation, work->leaf);
        work->seen.ct = effect->ct;
        work->seen.generation = effect->generation;
        return work;
    }
    sim_fail(sim, "I8", "works pile up");
}

static void go_on(struct sim *sim, const struct work *work, uint64_t delay_ns)
{
    sim_after(sim, delay_ns, HAPPENING_AGENT_WORK, sim->agent->life,
              (uint32_t)(work - sim->agent->works));
}

/* Now and then a disk or a mount hangs for longer than any deadline. */
static uint64_t work_delay(struct sim *sim, uint64_t usual_ns)
{
    if (!sim->is_calm && sim_chance(sim, 12))
        return sim_between(sim, 20 * SECOND_NS, 700 * SECOND_NS);
    return sim_delay(sim, usual_ns);
}

static bool is_stubborn(const struct sim *sim, const uint8_t uuid[UUID_BYTES])
{
    for (int i = 0; i < PROCS_MAX; i++) {
        const struct proc *proc = &sim->kernel->procs[i];

        if (proc->is_used && proc->is_stubborn && memcmp(proc->uuid, uuid, UUID_BYTES) == 0)
            return true;
    }
    return false;
}

/* Writing limits reclaims memory, often for longer than their deadline; and who set them may lose
 * patience at once, or when he hears that it takes long. */
static void hang_limit(struct sim *sim, struct work *work)
{
    uint64_t begin_ns = sim_between(sim, 10 * US_NS, MS_NS);

    /* The frozen and the stubborn are few: more of them show what a deadline comes to. */
    bool is_frozen = node_get(sim->agent->node, work->effect.ct)->state == CT_FROZEN;
    uint64_t late_ns = LIMIT_DEADLINE_NS + sim_between(sim, 5 * MS_NS, SECOND_NS);
    unsigned way = is_frozen && sim_chance(sim, 500) ? 2 : (unsigned)sim_below(sim, 6);
    if (is_stubborn(sim, work->uuid))
        way = 1;
    switch (way) {
    case 0:
        work->impatient = VERB_KILL;
        work->then_ns = sim_between(sim, 10 * US_NS, 2 * MS_NS);
        break;
    case 1:
        work->impatient = VERB_KILL;
        work->then_ns = sim_between(sim, SECOND_NS, 60 * SECOND_NS);
        begin_ns = sim_chance(sim, 500) ? late_ns : begin_ns;
        break;
    case 2:
    case 3:
        work->impatient = VERB_STOP;
        work->then_ns = sim_between(sim, MS_NS, 50 * MS_NS);
        begin_ns = late_ns;
        break;
    default:
        begin_ns = work_delay(sim, 2 * MS_NS);
    }
    go_on(sim, work, begin_ns);
}

static void post(struct sim *sim, enum work_kind kind, const struct effect *effect,
                 uint64_t usual_ns)
{
    struct work *work = take_work(sim, kind, effect);
    struct sim_slot *slot = &sim->agent->slots[effect->ct];

    /* Removing a directory has the longest of all deadlines. */
    if (effect->kind == EFFECT_REMOVE && !sim->is_calm && sim_chance(sim, 20)) {
        work->is_hung = true;
        go_on(sim, work, sim_between(sim, 590 * SECOND_NS, 700 * SECOND_NS));
        return;
    }
    if (effect->kind == EFFECT_CLEAN) {
        work->is_leaf_taken = slot->is_leaf_taken;
        slot->is_leaf_taken = false;
    }
    const struct ct *ct = node_get(sim->agent->node, effect->ct);
    bool is_next = effect->kind == EFFECT_LIMIT && ct->has_set && slot->next.data != NULL;
    if (kind == WORK_CGROUP || effect->kind == EFFECT_LIMIT)
        work->limit = requests_limit(is_next ? &slot->next : &slot->config);
    if (effect->kind == EFFECT_LIMIT && !sim->is_calm) {
        hang_limit(sim, work);
        return;
    }

    go_on(sim, work, work_delay(sim, usual_ns));
}

void effects_fail(struct observation *seen, enum ct_input kind)
{
    seen->kind = kind;
    fault_set(&seen->fault, STATUS_FAILED, 5, "%s", ct_input_name(kind));
}

/* ---- PREPARE ---- */

void effects_begin(struct sim *sim, const struct effect *effect)
{
    struct preparing *preparing = &sim->agent->slots[effect->ct].preparing;

    ENSURE(!preparing->is_on);
    *preparing = (struct preparing){.is_on = true, .generation = effect->generation};
    ENSURE(sim->agent->slots[effect->ct].hold.phase == HOLD_NONE);
    sim->agent->slots[effect->ct].hold = (struct hold){0};
    post(sim, WORK_PLAN, effect, 2 * MS_NS);
    post(sim, WORK_CGROUP, effect, MS_NS);
}

static void send_launch(struct sim *sim, const struct ct *ct);

static void fill_slot(struct sim_slot *slot)
{
    const struct preparing *preparing = &slot->preparing;

    slot->generation = preparing->generation;
    slot->is_leaf_taken = false;
    slot->has_cgroup = !preparing->is_cgroup_failed;
    slot->has_plan = !preparing->is_plan_failed;
    if (slot->has_plan)
        slot->is_ready_on_exec = preparing->is_ready_on_exec;
}

static void tell_prepared(struct sim *sim, uint32_t index)
{
    struct preparing *preparing = &sim->agent->slots[index].preparing;
    struct observation seen = {.ct = index, .generation = preparing->generation};

    preparing->is_on = false;
    seen.kind = IN_PREPARED;
    seen.is_ready_on_exec = preparing->is_ready_on_exec;
    if (preparing->is_plan_failed || preparing->is_cgroup_failed)
        effects_fail(&seen, IN_PREPARE_FAILED);
    agent_observe(sim, &seen);
}

static void settle(struct sim *sim, uint32_t index)
{
    struct sim_slot *slot = &sim->agent->slots[index];

    slot->hold.must_wait = slot->preparing.is_plan_failed || slot->preparing.is_cgroup_failed;
    switch (hold_next(&slot->hold)) {
    case HOLD_WAIT:
        return;
    case HOLD_STAGE:
        fill_slot(slot);
        hold_stage(&slot->hold);
        send_launch(sim, node_get(sim->agent->node, index));
        if (!sim->is_calm && sim_chance(sim, 10)) /* somebody thinks better of it at once */
            operators_order(sim, node_get(sim->agent->node, index)->name,
                            sim_chance(sim, 500) ? VERB_STOP : VERB_KILL);
        return;
    case HOLD_PREPARED:
        if (slot->hold.phase == HOLD_NONE)
            fill_slot(slot);
        tell_prepared(sim, index);
        return;
    }
}

static void prepare_apply(struct sim *sim, const struct effect *effect)
{
    struct preparing *preparing = &sim->agent->slots[effect->ct].preparing;

    ENSURE(preparing->is_on);
    ENSURE(preparing->generation == effect->generation);
    sim->agent->slots[effect->ct].hold.is_durable = true;
    settle(sim, effect->ct);
}

static void plan_done(struct sim *sim, struct work *work)
{
    struct preparing *preparing = &sim->agent->slots[work->effect.ct].preparing;

    sim->agent->slots[work->effect.ct].hold.is_plan_done = true;
    preparing->is_plan_failed = faults_fail_effect(sim);
    preparing->is_ready_on_exec = sim_chance(sim, 500);
    settle(sim, work->effect.ct);
}

static void group_done(struct sim *sim, struct work *work)
{
    struct preparing *preparing = &sim->agent->slots[work->effect.ct].preparing;

    sim->agent->slots[work->effect.ct].hold.is_cgroup_done = true;
    preparing->is_cgroup_failed = work->seen.kind == IN_PREPARE_FAILED;
    settle(sim, work->effect.ct);
}

/* ---- LAUNCH and GO ---- */

static void send_launch(struct sim *sim, const struct ct *ct)
{
    struct sim_slot *slot = &sim->agent->slots[ct->index];
    struct keeper_packet packet = {.order = KEEPER_LAUNCH,
                                   .is_ready_on_exec = slot->is_ready_on_exec};
    char leaf[LEAF_BYTES];

    ENSURE(slot->has_plan);
    kernel_leaf_name(ct->name, ct->generation, leaf);
    packet.leaf = kernel_find_leaf(sim->kernel, leaf);
    if (packet.leaf < 0 || !sim->kernel->leaves[packet.leaf].has_limits)
        sim_fail(sim, "I9", "%s is launched before its limits are in force", ct->name);
    slot->launch = packet.launch = adopt_number(sim, ct->index);
    slot->seen = (struct record_seen){0};
    slot->oom_kills = 0;
    slot->has_plan = false;
    memcpy(packet.labels.uuid, ct->uuid, UUID_BYTES);
    packet.labels.generation = ct->generation;
    memcpy(packet.labels.name, ct->name, NAME_BYTES);
    effects_watch(sim, ct->index);
    keeper_send(sim, &packet);
}

static void send_order(struct sim *sim, uint32_t index, enum keeper_order order)
{
    struct keeper_packet packet = {.order = order, .launch = sim->agent->slots[index].launch};

    keeper_send(sim, &packet);
}

static void launch(struct sim *sim, const struct effect *effect)
{
    struct sim_slot *slot = &sim->agent->slots[effect->ct];
    enum hold_order order = hold_order(&slot->hold);

    if (order == HOLD_TELL) {
        agent_observe(sim, &slot->held_end);
        return;
    }
    if (order == HOLD_LAUNCH)
        send_launch(sim, node_get(sim->agent->node, effect->ct));
    send_order(sim, effect->ct, KEEPER_GO);
}

void effects_go_refused(struct sim *sim, uint32_t index)
{
    if (hold_go_refused(&sim->agent->slots[index].hold))
        send_order(sim, index, KEEPER_GO);
}

void effects_said_staged(struct sim *sim, uint32_t index)
{
    if (hold_said_staged(&sim->agent->slots[index].hold))
        send_order(sim, index, KEEPER_GO);
}

static void clean(struct sim *sim, const struct effect *effect)
{
    struct sim_slot *slot = &sim->agent->slots[effect->ct];

    slot->has_cgroup = slot->has_plan = slot->has_watch = false;
    slot->launch = 0;
    post(sim, WORK_EFFECT, effect, MS_NS);
}

bool effects_keeps(struct sim *sim, uint32_t index, const struct observation *seen)
{
    struct sim_slot *slot = &sim->agent->slots[index];
    const struct effect effect = {
        .kind = EFFECT_CLEAN, .ct = index, .generation = slot->generation};

    switch (hold_end(&slot->hold)) {
    case HOLD_NOW:
        return false;
    case HOLD_KEEP:
        slot->held_end = *seen;
        return true;
    case HOLD_CLEAN:
        clean(sim, &effect);
        return true;
    }
    return false;
}

static void clean_apply(struct sim *sim, const struct effect *effect)
{
    if (hold_drop(&sim->agent->slots[effect->ct].hold))
        send_order(sim, effect->ct, KEEPER_ABORT);
    else
        clean(sim, effect);
}

void effects_keeper_lost(struct sim *sim)
{
    for (uint32_t i = 0; node_next(sim->agent->node, &i); i++) {
        struct observation seen = {.kind = IN_LAUNCH_FAILED,
                                   .ct = i,
                                   .generation = node_get(sim->agent->node, i)->generation};

        if (sim->agent->slots[i].hold.phase == HOLD_NONE)
            continue;
        fault_set(&seen.fault, STATUS_INTERRUPTED, 0, "the keeper ended during its start");
        (void)effects_keeps(sim, i, &seen);
    }
}

/* ---- the world changes ---- */

static void do_clean(struct sim *sim, struct work *work)
{
    int leaf = work->is_leaf_taken ? -1 : kernel_find_leaf(sim->kernel, work->leaf);

    if (work->until_ns == 0)
        work->until_ns = sim->now.ns + EMPTY_WAIT_NS;
    if (leaf >= 0 && sim->kernel->leaves[leaf].population > 0) {
        kernel_kill_leaf(sim, leaf);
        if (sim->now.ns >= work->until_ns)
            effects_fail(&work->seen, IN_CLEAN_FAILED);
        else
            go_on(sim, work, 5 * MS_NS);
        return;
    }
    if (faults_fail_effect(sim)) {
        effects_fail(&work->seen, IN_CLEAN_FAILED);
        return;
    }
    if (leaf >= 0)
        (void)kernel_remove_leaf(sim, leaf);
    work->seen.kind = IN_CLEANED_STOP;
}

static void do_make(struct sim *sim, struct work *work)
{
    bool is_failed = faults_fail_effect(sim);

    if (is_failed && sim_chance(sim, 500)) {
        effects_fail(&work->seen, IN_MAKE_FAILED);
        return;
    }
    kernel_make_directory(sim, work->uuid);
    work->seen.kind = IN_MADE;
}

static void do_remove(struct sim *sim, struct work *work)
{
    checks_removed(sim, work->uuid);
    if (faults_fail_effect(sim) || (work->is_hung && sim_chance(sim, 500))) {
        effects_fail(&work->seen, IN_REMOVE_FAILED);
        return;
    }
    kernel_remove_directory(sim, work->uuid);
    work->seen.kind = IN_REMOVED;
}

/* What failed changed nothing: in use, or written back. Of those of its row, after a crash, nobody
 * would write them a third time. */
static void do_limit(struct sim *sim, struct work *work, int leaf)
{
    const struct ct *ct = node_get(sim->agent->node, work->effect.ct);
    bool is_being_killed = ct->state == CT_KILLING || ct->state == CT_STUCK;
    bool may_fail = ct->has_set || !ct->is_open || is_being_killed; /* else those of its row */

    work->seen.kind = IN_LIMITED;
    bool is_bad =
        !sim->is_calm || is_being_killed; /* SIGKILL's deadline is long: calm may be first */
    if (may_fail && (faults_fail_effect(sim) || (is_bad && sim_chance(sim, 500))))
        effects_fail(&work->seen, IN_LIMIT_FAILED);
    else if (leaf >= 0)
        sim->kernel->leaves[leaf].limit = work->limit;
}

static void do_effect(struct sim *sim, struct work *work)
{
    int leaf = kernel_find_leaf(sim->kernel, work->leaf);

    switch (work->effect.kind) {
    case EFFECT_MAKE:
        do_make(sim, work);
        return;
    case EFFECT_KILL:
        if (leaf >= 0)
            kernel_kill_leaf(sim, leaf);
        work->is_used = false;
        return;
    case EFFECT_CLEAN:
        do_clean(sim, work);
        return;
    case EFFECT_REMOVE:
        do_remove(sim, work);
        return;
    case EFFECT_LIMIT:
        do_limit(sim, work, leaf);
        return;
    case EFFECT_UNSET:
    case EFFECT_PREPARE:
    case EFFECT_LAUNCH:
    case EFFECT_ASK:
    case EFFECT_FREEZE:
    case EFFECT_THAW:
    case EFFECT_COUNT:
        break;
    }
    ENSURE(false);
}

static bool make_group(struct sim *sim, const struct work *work)
{
    int leaf = faults_fail_effect(sim) ? -1 : kernel_make_leaf(sim, work->leaf);

    if (leaf >= 0)
        sim->kernel->leaves[leaf].limit = work->limit;
    return leaf >= 0;
}

static void change_world(struct sim *sim, struct work *work)
{
    if (work->kind == WORK_EFFECT) {
        do_effect(sim, work);
        if (work->is_used && work->seen.kind == IN_UNSET && work->until_ns == 0)
            work->is_used = false; /* nobody waits for it */
    } else if (work->kind == WORK_CGROUP && !make_group(sim, work)) {
        effects_fail(&work->seen, IN_PREPARE_FAILED);
    } else {
        work->seen.kind = IN_PREPARED;
    }
    if (!work->is_used || work->seen.kind == IN_UNSET)
        return;
    work->is_done = true;
    go_on(sim, work, sim_delay(sim, 20 * US_NS));
}

static void effect_done(struct sim *sim, const struct work *work)
{
    if (work->effect.kind == EFFECT_REMOVE)
        checks_removal_seen(sim, node_get(sim->agent->node, work->effect.ct));
    agent_observe(sim, &work->seen);
}

void effects_work(struct sim *sim, uint32_t arg)
{
    struct work *work = &sim->agent->works[arg];

    ENSURE(work->is_used);
    if (work->impatient != VERB_UNSET) {
        operators_order(sim, node_get(sim->agent->node, work->effect.ct)->name, work->impatient);
        work->impatient = VERB_UNSET;
        go_on(sim, work, work->then_ns);
        return;
    }
    if (!work->is_done) {
        change_world(sim, work);
        return;
    }
    work->is_used = false;
    if (work->kind == WORK_PLAN)
        plan_done(sim, work);
    else if (work->kind == WORK_CGROUP)
        group_done(sim, work);
    else
        effect_done(sim, work);
}

/* ---- the table of effects ---- */

void effects_apply(struct sim *sim, const struct effect *effect)
{
    struct sim_slot *slot = &sim->agent->slots[effect->ct];

    switch (effect->kind) {
    case EFFECT_PREPARE:
        prepare_apply(sim, effect);
        return;
    case EFFECT_LAUNCH:
        launch(sim, effect);
        return;
    case EFFECT_CLEAN:
        clean_apply(sim, effect);
        return;
    case EFFECT_ASK:
        if (!hooks_ask(sim, effect) && slot->has_cgroup)
            kernel_ask(sim, effects_leaf(sim, effect->ct), effect->is_reboot);
        return;
    case EFFECT_FREEZE:
    case EFFECT_THAW:
        effects_freeze(sim, effect);
        return;
    case EFFECT_KILL:
        if (slot->has_cgroup)
            post(sim, WORK_EFFECT, effect, 100 * US_NS);
        return;
    case EFFECT_MAKE:
    case EFFECT_REMOVE:
    case EFFECT_LIMIT:
        post(sim, WORK_EFFECT, effect, 2 * MS_NS);
        return;
    case EFFECT_UNSET:
    case EFFECT_COUNT:
        break;
    }
    ENSURE(false);
}
