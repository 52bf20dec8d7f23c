/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_life.h — the made-up node's agent: the real decisions, turn by turn, from start to death.
 *
 * Shape    model, turn, requests, adoption and uplink are the agent's own code; here is what agent/
 *          does around them with loop, threads and descriptors, done with virtual time instead.
 * Units    virtual nanoseconds; `life` numbers agents from 1.
 * Errors   what would end the agent ends this life: it starts again from what is durable.
 * Owner    struct sim.
 * Context  node.c life and turn; node_store.c its disk; node_effects.c its workers; node_watch.c
 *          its cgroups' notices; node_hooks.c scripts inside guests; node_adopt.c its start;
 *          node_requests.c commands; node_up.c its session.
 */
#ifndef DROVER_SIM_NODE_LIFE_H
#define DROVER_SIM_NODE_LIFE_H

#include "adopt_found.h"
#include "configs.h"
#include "node_slots.h"
#include "outbox.h"
#include "sim.h"
#include "store_parts.h"
#include "turn_core.h"
#include "uplink.h"
#include "world_keeper.h"

#define BOOTS_MAX 3 /* in flight: fewer than there are containers, so that some wait */
#define ORIGIN_LOCAL 7
#define ORIGIN_UPSTREAM UINT64_MAX

/* Batches on their way to the disk, and committed ones that the loop has not heard of. */
struct posted {
    struct store_batch *batch;
    struct told *told;
};
#define POSTED_MAX 512

struct agent_store {
    struct store_writer writer;
    struct store_reader reader;
    struct posted posted[POSTED_MAX]; /* a ring */
    uint32_t first, count;
    uint32_t committed; /* of those, from first */
    bool is_open;
    bool is_commit_due;
};

struct agent_up {
    struct uplink uplink;
    struct session session;
    struct outbox outbox;
    bool is_up; /* a session stands */
    struct session_begun begun;
    uint64_t hello_ns;
    uint64_t hello_wait_ns;
    uint64_t ack_ns;
    uint64_t timer_ns; /* for which a wake-up is set; 0: none */
    struct arena arena;
    struct buffer out;
    struct buffer held;
};

struct agent {
    bool is_alive;
    bool is_woken; /* a turn is due already */
    uint32_t life;
    uint64_t timer_ns; /* for which a turn is set; 0: none */
    struct node *node;
    struct results results;
    struct turn_core core;
    struct inbox inbox;
    struct configs configs;
    struct sim_slot slots[AGENT_SLOTS_MAX];
    struct work works[WORKS_MAX];
    uint64_t launch_last;
    uint64_t boot_id; /* of the machine, as it was noted last; on its disk */
    bool is_disk_made;
    bool has_boot_noted;
    bool is_adopted;
    uint32_t adopted_unsaved; /* turns of the adoption that are not committed yet */
    struct agent_store store;
    struct agent_up up;
};

/* ---- node.c ---- */
void agent_open(struct sim *sim);
void agent_close(struct sim *sim);
void agent_start(struct sim *sim);
/* kill -9, or its own end; it is started again after a while. */
void agent_crash(struct sim *sim, const char *why);
void agent_turn(struct sim *sim);
void agent_wake(struct sim *sim);
uint32_t agent_life(const struct sim *sim);
void agent_observe(struct sim *sim, const struct observation *seen);
/* Compose and post what came out so far. */
void agent_finish(struct sim *sim);
void agent_record(struct sim *sim); /* HAPPENING_AGENT_RECORD */

/* ---- node_store.c ---- */
int agent_store_open(struct sim *sim);
void agent_store_close(struct sim *sim, bool is_whole);
void agent_store_post(struct sim *sim, struct store_batch *batch, struct told *told);
void agent_commit(struct sim *sim);
void agent_told(struct sim *sim);

/* ---- node_effects.c ---- */
void effects_begin(struct sim *sim, const struct effect *effect);
void effects_apply(struct sim *sim, const struct effect *effect);
void effects_work(struct sim *sim, uint32_t arg); /* HAPPENING_AGENT_WORK */
/* As launching.c: a launch failed; false: the model is to hear of it now. */
bool effects_keeps(struct sim *sim, uint32_t index, const struct observation *seen);
void effects_fail(struct observation *seen, enum ct_input kind);
void effects_go_refused(struct sim *sim, uint32_t index);
void effects_said_staged(struct sim *sim, uint32_t index);
void effects_keeper_lost(struct sim *sim);

/* ---- node_watch.c ---- */
int effects_leaf(const struct sim *sim, uint32_t index); /* -1: it has none */
void effects_freeze(struct sim *sim, const struct effect *effect);
void effects_watch(struct sim *sim, uint32_t index);
/* The level of kills for memory becomes an observation, if it rose. */
void effects_read_oom(struct sim *sim, uint32_t index);
void agent_on_oom(struct sim *sim, int leaf);
void agent_on_freezer(struct sim *sim, int leaf);

/* ---- node_hooks.c ---- */
/* As run_hooks() of stop.c; true: they have the word, and the guest is not asked. */
bool hooks_ask(struct sim *sim, const struct effect *effect);
void hooks_over(struct sim *sim, uint32_t index); /* HAPPENING_AGENT_HOOK */
bool hooks_are_there(const uint8_t uuid[UUID_BYTES]);

/* ---- node_adopt.c ---- */
void adopt_rows(struct sim *sim);
void adopt_on_committed(struct sim *sim); /* a turn was */
void adopt_keeper_lost(struct sim *sim);
uint64_t adopt_number(struct sim *sim, uint32_t index); /* of a new launch */
/* Why a launch failed, in words. */
void adopt_failure(const struct kw_record *record, struct fault *ret_fault);

/* ---- node_requests.c ---- */
void requests_take(struct sim *sim, uint64_t origin, const struct command *command);
void requests_answer(struct sim *sim, const struct ct_receipt *receipt);
void requests_settle_config(struct sim *sim, const struct ct_receipt *receipt);
void requests_configure(struct sim *sim, uint32_t index);
/* What of a configuration a cgroup is to show. */
uint64_t requests_limit(const struct octets *config);

/* ---- node_up.c ---- */
void up_open(struct sim *sim, const struct store_heads *heads);
void up_close(struct sim *sim);
void up_published(struct sim *sim, uint64_t last_seq);
void up_turn(struct sim *sim); /* before the model's: gaps, acknowledgements */
void up_packet(struct sim *sim, const uint8_t *data, size_t size_bytes);
void up_wake(struct sim *sim); /* HAPPENING_AGENT_UPSTREAM */
void up_receipt(struct sim *sim, const struct ct_receipt *receipt);

#endif
