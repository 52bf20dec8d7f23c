/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life.h — commands to many containers at once on one connection, and what became of each.
 *
 * Shape    struct life is one round: an item a container, in the order of its targets.
 * Units    *_ns; counts.
 * Errors   exit codes of the contract: all end alike → that code, else 6.
 * Owner    the caller; life_close() releases the items.
 * Context  one thread.
 */
#ifndef DROVER_LIFE_H
#define DROVER_LIFE_H

#include "cli.h"
#include "select.h"

#define LIFE_IN_FLIGHT_MAX 1024 /* commands without a final receipt; the rest wait here */

struct life_item {
    const char *name;
    const char *node;
    char request[REQUEST_ID_BYTES];
    enum phase phase; /* UNSET: no word yet */
    bool is_posted;
    bool is_over;
    bool is_waiting;    /* it was busy: asked again at again_ns, or when something is heard of it */
    bool is_given_up;   /* without its last receipt */
    struct fault fault; /* status UNSET: none */
    bool has_view;
    uint8_t uuid[UUID_BYTES];
    enum ct_state state;
    uint64_t generation;
    int32_t pid;
    uint64_t applied;       /* sets of keys, of a set: in force now, */
    uint64_t at_next_start; /* … and later */
    char *heard_node;       /* that the receipt named; NULL: none */
    bool has_waited;        /* and a person was told so */
    uint64_t again_ns;
    uint64_t began_ns;
    uint64_t took_ns;
};

/* What a round may have of its own; NULL: as usual. */
struct life;
struct life_own {
    const struct config *const *configs;                    /* one a target */
    void (*on_end)(void *context, const struct life *life); /* prints the rows */
    /* Whom to ask now, of those that were not; life->count: nobody before more is heard. */
    size_t (*next)(void *context, const struct life *life);
    uint64_t late_ns; /* CLOCK_MONOTONIC: who is not stopped by then, or would not, is killed */
    void *context;
};

struct life {
    struct cli *cli;
    const struct life_own *own; /* NULL: the shape is the same for all */
    struct command shape;       /* without container, node and request id */
    struct life_item *items;
    size_t count;
    size_t posted;
    size_t over;
    size_t waiting;
    char events[REQUEST_ID_BYTES]; /* the question for what happens; "": not asked */
    bool is_late;                  /* own->late_ns is over */
    bool is_detached;              /* accepted is enough */
    bool is_many;
    uint64_t deadline_ns; /* of ours; WIRE_FOREVER */
    uint64_t began_ns;
};

/* Without a connection (the person was told) nothing is sent, and the rows say so. */
int life_run(struct cli *cli, const struct command *shape, const struct targets *targets);
int life_run_own(struct cli *cli, const struct command *shape, const struct targets *targets,
                 const struct life_own *own);

/* Pure: the exit code of one receipt, and of many. */
int life_exit_code(const struct life_item *item);
int life_exit_code_all(const struct life_item *items, size_t count);
/* done, unchanged, failed, … */
const char *life_phase_word(enum phase phase);

/* life_tell.c: lines for people as they come, rows for programs at the end. */
void life_tell_item(const struct life *life, const struct life_item *item);
/* Nobody answered, and the person was told why: the word of each receipt, in a line of its own. */
void life_tell_lost(const struct life *life);
void life_tell_progress(const struct life *life);
void life_clear_progress(const struct life *life);
int life_tell_end(struct life *life);

#endif
