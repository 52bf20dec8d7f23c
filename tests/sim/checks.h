/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checks.h — what must be true, whatever happens: I1 to I8 of the design, and the order of intent,
 * effect, outcome and notice. They know what the world did, and nothing of the model's inside.
 *
 * Shape    what is known of each container from its committed events (struct story), and of each
 *          event where it has been (struct fact).
 * Units    seqs and generations.
 * Errors   sim_fail() names the checker: I1 … I10, order, cause, ledger, answer, moves, oom,
 *          restart, liveness.
 * Owner    struct sim.
 * Context  checks.c world and node; checks_events.c ledger; checks_upstream.c controller;
 *          checks_moves.c states; checks_commands.c commands; checks_rest.c what is left.
 */
#ifndef DROVER_SIM_CHECKS_H
#define DROVER_SIM_CHECKS_H

#include "keeper_wire.h"
#include "message.h"
#include "sim.h"
#include "store_parts.h"

#define STORIES_MAX 512
#define FACTS_MAX 65536
#define FACT_BUCKETS (FACTS_MAX * 2)
#define REQUESTS_MAX 8192
#define TAKEN_MAX 64
#define STARTS_EACH 4 /* at every so many all histories are read; and at the end */

/* A container as its committed events and its row tell it. */
struct story {
    bool is_used;
    bool is_created; /* `created` was told */
    uint8_t uuid[UUID_BYTES];
    enum ct_state state;
    uint64_t generation;
    bool is_ended; /* the present generation told its cause */
    uint64_t row_generation;
    enum ct_state row_state;
    bool has_row;
    bool is_owed;      /* the row says that it is to boot again, */
    uint64_t boot_id;  /* … in this boot of the machine: of the next its autostart decides */
    uint64_t since_ns; /* of the present state, at its commit */
    uint64_t spent;    /* generations up to here were begun by earlier agents */
    uint64_t oom_owed; /* kills for memory that were observed and not told */
    uint64_t oom_generation;
    uint32_t oom_life;
    uint32_t ready_life; /* of an agent that heard of readiness before it heard of the boot */
    uint64_t ready_generation;
    uint32_t booted_life; /* of an agent that heard of its boot */
    uint64_t booted_generation;
    uint64_t booted_ns;
    uint64_t running_generation; /* the last that was told to run */
    uint64_t late_generation;    /* whose boot was given up at a deadline */
    uint64_t odd_generation;     /* whose end was told in other words */
    uint64_t odd_ns;
    uint32_t odd_life;
    uint32_t removal_life;    /* of an agent that heard what became of its directory */
    uint64_t removal_ns;      /* 0: what follows from it was told */
    uint64_t started_wall_ns; /* of the row */
    uint64_t started_before;  /* of the generation before */
    uint64_t revision;        /* of the row's configuration */
    uint64_t configured;      /* events of that name in the batch that is looked at */
};

/* An event that was ever committed on the node. */
struct fact {
    uint64_t epoch;
    uint64_t seq;
    uint64_t hash;
    uint32_t line;       /* of node.db: a new one since each restore */
    uint32_t ctl_commit; /* number of the controller's commit that brought it; 0: it has it not */
    bool was_at_ctl;
    bool is_doubted; /* a commit of the controller with it failed: it may be there */
};

/* What a generation's end really was. */
struct ending_seen {
    uint8_t uuid[UUID_BYTES];
    uint64_t generation;
    int status;
    uint32_t line; /* of node.db then */
};
#define STATUS_NOBODY_SAW (-1)
#define STATUS_POWER_LOST (-2)
#define ENDINGS_MAX 512

/* What goes back with node.db. */
struct checks_node {
    struct story stories[STORIES_MAX];
    uint32_t story_count;
    uint8_t results[REQUESTS_MAX]; /* `result` events, by the number in the request id */
    uint64_t committed;            /* seq: all up to here is durable */
    uint32_t line_count;           /* of order[] */
};

struct taken {
    char request[REQUEST_ID_BYTES];
    uint64_t at_ns;
};

struct checks {
    struct checks_node node;
    struct checks_node node_copy;
    uint32_t line; /* number of the present one */
    struct fact facts[FACTS_MAX];
    uint32_t fact_count;
    uint32_t buckets[FACT_BUCKETS];
    uint32_t order[FACTS_MAX]; /* facts of the present node.db, by seq */
    uint64_t acked_checked;
    uint32_t acked_at; /* in order[]: all before were looked at */
    uint32_t ctl_commits;
    uint32_t ctl_commits_copy;
    uint64_t oom_due_ns; /* some kills for memory are to be told by then; 0: none are */
    uint32_t starts;     /* of agents */
    uint64_t ctl_acked;  /* highest that it said it has, committed */
    struct ending_seen endings[ENDINGS_MAX]; /* a ring */
    uint32_t ending_count;
    struct taken taken[TAKEN_MAX];
    uint32_t taken_count;
    const char *refusal;
};

void checks_open(struct sim *sim);

/* ---- checks.c ---- */
void checks_init_runs(struct sim *sim, const struct proc *proc);
void checks_effect(struct sim *sim, const struct effect *effect);
void checks_removed(struct sim *sim, const uint8_t uuid[UUID_BYTES]);
void checks_watched(struct sim *sim, const struct ct *ct, const struct proc *proc);
void checks_end_known(struct sim *sim, const struct kw_record *record);
void checks_power_lost(struct sim *sim, const struct proc *proc);
void checks_end_forgotten(struct sim *sim, const struct kw_record *record);
void checks_command_taken(struct sim *sim, const struct ct_command *command);
void checks_receipt(struct sim *sim, const struct ct_receipt *receipt);
void checks_expect_refusal(struct sim *sim, const char *request);
bool checks_is_refusal_expected(struct sim *sim, const char *request, enum phase phase,
                                enum status status);
void checks_turn(struct sim *sim); /* after each */
/* In calm: has all come to rest? */
bool checks_is_quiet(struct sim *sim);
/* In calm, and for too long: what has not? */
_Noreturn void checks_not_quiet(struct sim *sim);

/* ---- checks_events.c ---- */
struct story *checks_story(struct sim *sim, const uint8_t uuid[UUID_BYTES]);
void checks_agent_started(struct sim *sim, const struct store_heads *heads);
void checks_committed(struct sim *sim, const struct store_batch *batch);
void checks_commit_failed(struct sim *sim);
void checks_published(struct sim *sim, const struct event *events, size_t count);
bool checks_copy_node(struct sim *sim);
void checks_restore_node(struct sim *sim);

/* ---- checks_upstream.c ---- */
void checks_ending(struct sim *sim, const struct event *event); /* checks.c */
void checks_begins(struct sim *sim, const struct event *event); /* checks.c */
struct fact *checks_fact(struct sim *sim, uint64_t epoch, uint64_t seq);
void checks_acked(struct sim *sim, uint64_t seq);
void checks_told_upstream(struct sim *sim, const struct event_batch *events);
struct ctl_batch;
void checks_ctl_committed(struct sim *sim, const struct ctl_batch *batch);
void checks_ctl_commit_failed(struct sim *sim);
struct ingest_mark;
void checks_ctl_started(struct sim *sim, const struct ingest_mark *committed);
bool checks_copy_ctl(struct sim *sim);
void checks_restore_ctl(struct sim *sim);
/* All that the controller holds, beside all that the ledger holds and counts as lost. */
void checks_compare(struct sim *sim);
uint64_t checks_hash(const struct event *event);
void checks_add_fact(struct sim *sim, const struct event *event);

#endif
