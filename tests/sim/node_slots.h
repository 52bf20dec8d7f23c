/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_slots.h — what the made-up agent holds of each container, and its orders on their way.
 *
 * Shape    as struct slot of agent.h, with what the world is made of in place of descriptors.
 * Units    virtual nanoseconds.
 * Errors   none: plain data.
 * Owner    struct agent of node_life.h.
 * Context  one thread; nothing here outlives a life of the agent.
 */
#ifndef DROVER_SIM_NODE_SLOTS_H
#define DROVER_SIM_NODE_SLOTS_H

#include "hold.h"
#include "record_seen.h"
#include "sim.h"
#include "world_kernel.h"

#define AGENT_SLOTS_MAX 128
#define WORKS_MAX 256

/* A boot's plan and its cgroups, made side by side while its intent is committed. */
struct preparing {
    bool is_on;
    bool is_plan_failed, is_cgroup_failed;
    bool is_ready_on_exec;
    uint64_t generation;
};

/* Scripts that run inside a guest before it is asked to stop. */
struct stop_hooks {
    bool is_running, is_done;
    uint64_t generation; /* of both */
    uint64_t due_ns;     /* when those that run are over */
};

struct sim_slot {
    struct octets config; /* encoded, heap; NULL: free */
    bool is_config_new;
    struct octets next; /* by the SET that was accepted, heap */
    uint64_t revision;  /* of config */
    bool is_ready_on_exec;
    bool has_plan, has_cgroup;
    bool is_leaf_taken;
    bool has_watch;
    bool is_freezing, is_thawing;
    uint32_t uid_base;
    struct ct_policy policy;
    uint64_t launch;
    uint64_t generation; /* that has_cgroup is of */
    struct record_seen seen;
    uint64_t oom_kills;
    struct preparing preparing;
    struct hold hold;
    struct observation held_end; /* of HOLD_OVER */
    struct stop_hooks hooks;
};

enum work_kind {
    WORK_EFFECT, /* MAKE, CLEAN, REMOVE, KILL, LIMIT */
    WORK_PLAN,   /* halves of PREPARE */
    WORK_CGROUP
};

/* One order on its way: the world changes at one time, and the loop hears of it at another. */
struct work {
    bool is_used;
    bool is_done; /* the world has changed; `seen` is to be told */
    enum work_kind kind;
    struct effect effect;
    uint8_t uuid[UUID_BYTES];
    char leaf[LEAF_BYTES];
    struct observation seen;
    bool is_leaf_taken;
    bool is_hung;
    uint64_t limit;      /* that it writes: CGROUP, LIMIT */
    enum verb impatient; /* LIMIT: somebody orders this first, and it goes on then_ns later */
    uint64_t then_ns;
    uint64_t until_ns; /* of a wait for the last process */
};

#endif
