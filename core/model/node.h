/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.h — all containers of this node, who may boot now, and what a command may displace.
 *
 * Shape    struct node holds CT_MAX slots (a few MiB of addresses; only used slots are touched).
 *          node_step() takes one input and appends to struct out.
 * Units    as container.h.
 * Errors   a refused command is a receipt with a fault.
 * Owner    the agent, one at a time.
 * Context  pure; one thread.
 */
#ifndef DROVER_NODE_H
#define DROVER_NODE_H

#include "boot_order.h"
#include "container.h"
#include "deadlines.h"

struct node {
    struct ct slots[CT_MAX];
    uint32_t count;     /* slots in use */
    uint32_t slots_end; /* no slot at or above it was ever used */
    struct deadlines deadlines;
    uint32_t dirty[CT_MAX]; /* slots whose row differs from the store's, freed ones included */
    uint32_t dirty_count;
    uint32_t queue[CT_MAX]; /* admission, a ring of slots in the order they asked */
    uint32_t queue_first;
    uint32_t queue_count;
    uint32_t in_flight;
    uint32_t in_flight_max;
    bool is_admission_stopped; /* while the keeper re-executes, or at the end of the agent */
    uint64_t seed;             /* of restart jitter */
    struct boot_order boot;    /* of those that come up with the node */
};

void node_init(struct node *node, uint64_t seed);

/* Room for one more input in `out`? */
bool node_has_room(const struct out *out);
void node_step(struct node *node, const struct input *input, const struct now *now,
               struct out *out);
/* Deadlines that are due, and admissions: call once a turn after the inputs, until false. */
bool node_tick(struct node *node, const struct now *now, struct out *out);
/* 0: nothing waits. */
uint64_t node_next_deadline(const struct node *node);

/* By name, or uuid as text. NULL: none. */
const struct ct *node_find(const struct node *node, const char *name_or_uuid);
const struct ct *node_get(const struct node *node, uint32_t index);
/* false when none is left at or above *index. */
bool node_next(const struct node *node, uint32_t *index);

/* What the store, the keeper and the cgroups say of one container after the agent's start. */
struct ct_found {
    uint8_t uuid[UUID_BYTES];
    char name[NAME_BYTES];
    struct ct_policy policy;
    uint64_t revision;
    uint64_t late_keys;
    enum ct_state state; /* last committed */
    uint64_t generation;
    uint64_t spent; /* highest of its name for which there is a cgroup, whosever */
    bool is_wanted;
    bool is_restart_owed;
    enum ct_boot boot;
    uint64_t created_wall_ns;
    uint64_t started_wall_ns;
    uint64_t ended_wall_ns;
    enum cause cause;
    bool has_status;
    int wait_status;
    bool has_command; /* an open intent */
    struct ct_command command;
    bool is_outgrown;       /* node.db was put back: a later generation lives than it knows */
    enum ct_state outgrown; /* the state that it knew */
    bool is_command_lost;   /* nobody can say what became of `command` */

    bool is_live;      /* init is alive (keeper, or its cgroup) */
    bool is_launching; /* the keeper still stages it */
    bool is_frozen;    /* or is to be: what its group was asked last */
    bool is_ready;
    bool is_ready_on_exec;
    bool is_staged;      /* the keeper has, or had, an exec result of this generation */
    bool is_boot_unseen; /* … not of its own: it was taken over, or no keeper knows it */
    bool has_ended;      /* `ended` is its end, to be fed after adoption */
    bool is_init_oom;    /* its init dies, and kills for memory were counted */
    bool is_oom_seen;    /* its cgroup counts kills for memory that no agent has told of */
    uint64_t oom_kills;  /* that one has */
    pid_t pid;
    uint64_t booted_ns;
    struct observation ended;
    bool is_node_down; /* the machine was down meanwhile */
};

/*
 * Take up a container where an earlier agent left it; never begins an intent again.
 * Returns its slot. Outputs (events of what happened meanwhile, effects that go on) go to `out`.
 */
uint32_t node_adopt(struct node *node, const struct ct_found *found, const struct now *now,
                    struct out *out);

/* Once all are taken up: it comes up with the node after the one of that name does, if both do. */
void node_boot_after(struct node *node, uint32_t index, const char *name);
/* How many may be on their way at the node's boot. */
void node_set_boot_parallel(struct node *node, uint32_t count);

/* A slot to be written (in use) or deleted (not), each once; false: none. */
bool node_take_dirty(struct node *node, uint32_t *ret_index);
/* Stop or resume booting. */
void node_stop_admission(struct node *node, bool is_stopped);

/* Every invariant that a node alone can show; ENSUREs. */
void node_check(const struct node *node);

#endif
