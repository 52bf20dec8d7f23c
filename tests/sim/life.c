/* SPDX-License-Identifier: Apache-2.0 */
/* One seed from its beginning to its end: all is made, much goes wrong, then nothing does, and all
 * must come to rest. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "checks_rest.h"
#include "ensure.h"
#include "faults.h"
#include "handlers.h"
#include "node_life.h"
#include "operators.h"
#include "reach.h"
#include "upstream.h"
#include "vfs.h"
#include "wire.h"
#include "world_keeper.h"
#include "world_kernel.h"

#define CALM_NS (7200 * SECOND_NS) /* virtual: hung works return, every back-off is over */
#define CALM_LOOK 8                /* turns between two looks whether all is at rest */

/* ---- who is told of what ---- */

static void on_nothing(struct sim *sim, const struct due *due)
{
    (void)sim;
    (void)due;
}

#define FORWARD(name, call)                                                                        \
    static void name(struct sim *sim, const struct due *due)                                       \
    {                                                                                              \
        (void)due;                                                                                 \
        call;                                                                                      \
    }

FORWARD(on_agent_start, agent_start(sim))
FORWARD(on_agent_turn, agent_turn(sim))
FORWARD(on_agent_commit, agent_commit(sim))
FORWARD(on_agent_told, agent_told(sim))
FORWARD(on_agent_work, effects_work(sim, due->arg))
FORWARD(on_agent_hook, hooks_over(sim, due->arg))
FORWARD(on_agent_record, agent_record(sim))
FORWARD(on_agent_upstream, up_wake(sim))
FORWARD(on_keeper_turn, keeper_turn(sim))
FORWARD(on_freezer, kernel_freezer(sim, due->arg))
FORWARD(on_guest, kernel_guest(sim, due->life, due->arg))
FORWARD(on_packet, wire_packet(sim, due->arg))
FORWARD(on_ctl_start, ctl_start(sim))
FORWARD(on_ctl_turn, ctl_turn(sim))
FORWARD(on_ctl_commit, ctl_commit(sim))
FORWARD(on_ctl_told, ctl_told(sim))
FORWARD(on_operator, operators_act(sim))
FORWARD(on_fault, faults_act(sim))

static void (*const handlers[HAPPENING_COUNT])(struct sim *sim, const struct due *due) = {
    [HAPPENING_NOTHING] = on_nothing,
    [HAPPENING_AGENT_START] = on_agent_start,
    [HAPPENING_AGENT_TURN] = on_agent_turn,
    [HAPPENING_AGENT_COMMIT] = on_agent_commit,
    [HAPPENING_AGENT_TOLD] = on_agent_told,
    [HAPPENING_AGENT_WORK] = on_agent_work,
    [HAPPENING_AGENT_HOOK] = on_agent_hook,
    [HAPPENING_AGENT_RECORD] = on_agent_record,
    [HAPPENING_AGENT_UPSTREAM] = on_agent_upstream,
    [HAPPENING_KEEPER_TURN] = on_keeper_turn,
    [HAPPENING_FREEZER] = on_freezer,
    [HAPPENING_GUEST] = on_guest,
    [HAPPENING_PACKET] = on_packet,
    [HAPPENING_CTL_START] = on_ctl_start,
    [HAPPENING_CTL_TURN] = on_ctl_turn,
    [HAPPENING_CTL_COMMIT] = on_ctl_commit,
    [HAPPENING_CTL_TOLD] = on_ctl_told,
    [HAPPENING_OPERATOR] = on_operator,
    [HAPPENING_FAULT] = on_fault,
};

bool handlers_is_current(const struct sim *sim, const struct due *due)
{
    switch (due->happening) {
    case HAPPENING_AGENT_TURN:
    case HAPPENING_AGENT_COMMIT:
    case HAPPENING_AGENT_TOLD:
    case HAPPENING_AGENT_WORK:
    case HAPPENING_AGENT_HOOK:
    case HAPPENING_AGENT_RECORD:
    case HAPPENING_AGENT_UPSTREAM:
        return sim->agent->is_alive && sim->agent->life == due->life;
    case HAPPENING_KEEPER_TURN:
        return sim->keeper->is_alive && sim->keeper->life == due->life;
    case HAPPENING_CTL_TURN:
    case HAPPENING_CTL_COMMIT:
    case HAPPENING_CTL_TOLD:
        return sim->ctl->is_alive && sim->ctl->life == due->life;
    case HAPPENING_GUEST:
        return kernel_is_guest_current(sim->kernel, due->life, due->arg);
    case HAPPENING_FREEZER:
        return sim->kernel->leaves[due->arg].is_used &&
               sim->kernel->leaves[due->arg].birth == due->life;
    case HAPPENING_NOTHING:
    case HAPPENING_AGENT_START:
    case HAPPENING_PACKET:
    case HAPPENING_CTL_START:
    case HAPPENING_OPERATOR:
    case HAPPENING_FAULT:
    case HAPPENING_COUNT:
        break;
    }
    return true;
}

void handlers_run(struct sim *sim, const struct due *due)
{
    ENSURE(handlers[due->happening] != NULL);
    handlers[due->happening](sim, due);
}

/* ---- one seed ---- */

/* Made once a process: what a seed does not touch costs it nothing. */
static struct sim *world(void)
{
    static struct due due[DUE_MAX];
    static struct kernel kernel;
    static struct keeper keeper;
    static struct agent agent;
    static struct wire wire;
    static struct ctl ctl;
    static struct operators operators;
    static struct faults faults;
    static struct checks checks;
    static struct sim sim = {.due = due,
                             .kernel = &kernel,
                             .keeper = &keeper,
                             .agent = &agent,
                             .wire = &wire,
                             .ctl = &ctl,
                             .operators = &operators,
                             .faults = &faults,
                             .checks = &checks};

    return &sim;
}

static void begin(struct sim *sim, uint64_t seed, const struct sim_options *options)
{
    sim->seed = sim->prng.state = seed;
    sim->turn = 0;
    sim->is_calm = false;
    sim->is_traced = options->is_traced;
    sim->hash = seed;
    sim->due_count = 0;
    sim->now.ns = 0;
    sim->wall_offset_ns = (int64_t)(UINT64_C(1700000000) * SECOND_NS);
    sim_set_time(sim, 1000 * SECOND_NS);
    simvfs_open(prng_next(&sim->prng));
    simvfs_set_sync_noop(options->is_sync_noop);
    checks_open(sim);
    reach_open(sim);
    faults_open(sim);
    kernel_open(sim);
    keeper_open(sim);
    wire_open(sim);
    agent_open(sim);
    ctl_open(sim);
    operators_open(sim);
    agent_start(sim);
    if (faults_has_controller(sim))
        ctl_start(sim);
    sim_after(sim, MS_NS, HAPPENING_OPERATOR, 0, 0);
}

static void end(struct sim *sim)
{
    agent_close(sim);
    ctl_close(sim);
    wire_close(sim);
    faults_close(sim);
    simvfs_close();
}

static void calm_down(struct sim *sim)
{
    uint64_t until_ns = sim->now.ns + CALM_NS;
    uint64_t look = 0;

    sim->is_calm = true;
    faults_end(sim);
    sim_trace(sim, "  from here on nothing fails");
    sim_after(sim, SECOND_NS, HAPPENING_OPERATOR, 0, 0);
    while (sim->now.ns < until_ns) {
        if (!sim_step(sim))
            break;
        checks_turn(sim);
        if (++look % CALM_LOOK == 0 && checks_is_quiet(sim)) {
            checks_compare(sim);
            checks_histories(sim);
            checks_leaves(sim);
            return;
        }
    }
    checks_not_quiet(sim);
}

uint64_t sim_run(uint64_t seed, const struct sim_options *options, uint64_t *ret_hash)
{
    struct sim *sim = world();

    begin(sim, seed, options);
    while (sim->turn < options->turns) {
        bool is_going = sim_step(sim);

        ENSURE(is_going);
        checks_turn(sim);
    }
    calm_down(sim);
    uint64_t turns = sim->turn;
    *ret_hash = sim->hash;
    end(sim);
    return turns;
}
