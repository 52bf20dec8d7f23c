/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world_keeper.h — the keeper of the made-up node: the real table, and a socket that is full soon.
 *
 * Shape    packets of the agent wait in `in`, records to it in `out`, each in their order; what
 *          does not go out is marked in the table.
 * Units    `life` numbers keepers from 1.
 * Errors   none; what it refuses is answered.
 * Owner    struct sim.
 * Context  parent of all guests that it launched.
 */
#ifndef DROVER_SIM_WORLD_KEEPER_H
#define DROVER_SIM_WORLD_KEEPER_H

#include "sim.h"
#include "table.h" /* the keeper's own */
#include "world_kernel.h"

#define KEEPER_IN_MAX 512
#define KEEPER_OUT_MAX 6
#define KEEPER_HELD_MAX 256

enum keeper_order { KEEPER_LAUNCH, KEEPER_GO, KEEPER_ABORT, KEEPER_ACK, KEEPER_ADOPT };

struct keeper_packet {
    enum keeper_order order;
    uint64_t launch;
    struct kw_labels labels; /* LAUNCH, ADOPT */
    int leaf;                /* LAUNCH */
    bool is_ready_on_exec;   /* LAUNCH: what the guest is like */
    uint32_t birth;          /* ADOPT: the process that the pidfd is of */
    struct kw_ack ack;
};

struct keeper_word {
    bool is_refusal; /* of the launch: its number is in record */
    bool is_of_go;   /* not of LAUNCH */
    struct kw_record record;
};

struct keeper {
    bool is_alive;
    bool has_agent;
    bool is_older;      /* knows no KW_EARLY_GO: it says STAGED, and takes GO after it */
    bool is_agent_lost; /* its end of the socket is closed; what it sent is read first */
    uint32_t life;
    uint64_t launch_last;
    uint64_t hung_until_ns;
    struct table *table;
    struct keeper_packet in[KEEPER_IN_MAX];
    uint32_t in_count;
    struct keeper_word out[KEEPER_OUT_MAX];
    uint32_t out_count;
    struct kw_record held[KEEPER_HELD_MAX]; /* what it told its newest agent before SYNCED */
    uint32_t held_count;
};

void keeper_open(struct sim *sim);
void keeper_start(struct sim *sim);
/* kill -9: its table is gone; guests go on under the host's init. */
void keeper_crash(struct sim *sim);
/* It executes itself anew: nothing but what it tells again. */
void keeper_reexec(struct sim *sim);

/* ---- the agent's end of the socket ---- */
void keeper_send(struct sim *sim, const struct keeper_packet *packet);
/* The oldest word that waits; false: none. */
bool keeper_receive(struct sim *sim, struct keeper_word *ret_word);
/* A new agent: the packets of the one before are read first, then all is told. */
void keeper_connect(struct sim *sim);
void keeper_disconnect(struct sim *sim);

/* HAPPENING_KEEPER_TURN */
void keeper_turn(struct sim *sim);

/* ---- what happens to its children, and those it watches ---- */
void keeper_on_staged(struct sim *sim, const struct proc *proc);
void keeper_on_exec(struct sim *sim, const struct proc *proc);
void keeper_on_exec_failed(struct sim *sim, const struct proc *proc);
void keeper_on_ready(struct sim *sim, const struct proc *proc);
void keeper_on_stage_late(struct sim *sim, int proc);
/* Its word of a launch is lost: somebody else tells of the end. */
void keeper_forget(struct sim *sim, uint64_t launch);
void keeper_on_end(struct sim *sim, const struct proc *proc, int status);

#endif
