/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.h — a node in a made-up world, all from one seed: executor, keeper, guests, store and the
 * agent's own death, watched by checkers that know nothing of the model's inside.
 *
 * Shape    walk_step() does one random thing; walk_settle() lets the world behave until all rests.
 * Units    virtual nanoseconds.
 * Errors   a broken promise is a failed assertion that names seed and step.
 * Owner    the test.
 * Context  one thread.
 */
#ifndef DROVER_WALK_H
#define DROVER_WALK_H

#include "node.h"

#define WALK_NAMES 24  /* containers that may be there at once */
#define WALK_GUESTS 64 /* boots whose end is not acknowledged */
#define WALK_JOBS 64   /* effects on a worker */
#define WALK_COMMANDS (1 << 16)

enum guest_phase { GUEST_NONE, GUEST_STAGED, GUEST_LIVE, GUEST_ENDED, GUEST_FAILED };

/* One launch, as the keeper knows it; and what the agent was told of it. */
struct guest {
    enum guest_phase phase;
    uint8_t uuid[UUID_BYTES];
    uint64_t generation;
    uint64_t booted_ns;
    uint64_t booted_wall_ns;
    uint64_t ended_ns;
    uint64_t ended_wall_ns;
    int status;
    bool is_ready_on_exec;
    bool is_ready;
    bool is_frozen;
    enum effect_kind freezer; /* FREEZE or THAW that is under way */
    bool is_boot_told, is_ready_told, is_end_told;
};

struct job {
    struct effect effect;
    uint8_t uuid[UUID_BYTES];
};

/* What is known of a container from its committed events alone. */
struct story {
    bool is_used;
    uint8_t uuid[UUID_BYTES];
    enum ct_state state;
    uint64_t generation;
    bool is_ended;     /* the present generation told its cause */
    uint64_t prepared; /* generation whose limits are in force */
};

struct asked {
    char request[REQUEST_ID_BYTES];
    bool is_accepted;
    unsigned finals;
};

struct walk {
    uint64_t seed;
    struct prng prng;
    uint64_t step;
    bool is_wild;   /* also what no sane keeper would say */
    bool is_mortal; /* the agent may die */
    bool is_calm;   /* from now on everything works */
    struct now now;
    struct node *node;
    struct out out;
    struct ct rows[CT_MAX]; /* committed */
    uint32_t rows_end;
    struct guest guests[WALK_GUESTS];
    struct job jobs[WALK_JOBS];
    size_t job_count;
    struct story stories[WALK_NAMES * 4];
    struct asked *asked; /* WALK_COMMANDS, a ring: the oldest are over */
    uint64_t asked_count;
    uint32_t uuids;
    struct observation last[16]; /* said lately: to be said again */
    uint8_t last_uuid[16][UUID_BYTES];
    size_t last_count;
    size_t most_per_step;
    unsigned deaths;
};

struct walk *walk_open(uint64_t seed);
void walk_close(struct walk *walk);
void walk_step(struct walk *walk);
/* From now on nobody asks for anything and everything works: all must come to rest. */
void walk_settle(struct walk *walk);

/* walk_check.c: what was told upstream, and what was ordered, against the promises. */
void check_receipts(struct walk *walk);
void check_events(struct walk *walk);
void check_effect(struct walk *walk, const struct effect *effect);
void check_rest(struct walk *walk); /* after each turn */
void check_settled(struct walk *walk);
struct story *find_story(struct walk *walk, const uint8_t uuid[UUID_BYTES]);
struct guest *find_guest(struct walk *walk, const uint8_t uuid[UUID_BYTES], uint64_t generation);
_Noreturn void walk_fail(const struct walk *walk, const char *promise, const char *name);

#endif
