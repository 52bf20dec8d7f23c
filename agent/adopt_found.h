/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adopt_found.h — what is believed of a container after a crash: its row, the keeper's word and
 * what its cgroup shows, brought together; and what is nobody's any more.
 *
 * Shape    struct adopt_facts says what was read; struct ct_found is what node_adopt() takes.
 * Units    *_ns CLOCK_MONOTONIC, *_wall_ns CLOCK_REALTIME.
 * Errors   none: what cannot be read is not handed in here.
 * Owner    adopt.c keeps descriptors, slots and the words; all here is borrowed for the call.
 * Context  pure.
 */
#ifndef DROVER_ADOPT_FOUND_H
#define DROVER_ADOPT_FOUND_H

#include "keeper_wire.h"
#include "node.h"
#include "store.h"

struct adopt_facts {
    const struct store_row *row;
    struct ct_policy policy;        /* of the row's configuration */
    uint64_t command_hash;          /* of the row's open command; 0: not known */
    uint64_t command_origin;        /* who is to hear of it */
    bool is_other_boot;             /* the machine was down meanwhile */
    bool is_ready_on_exec;          /* of the row, or guessed from the process */
    const struct kw_record *record; /* NULL: the keeper holds nothing of this generation */
    const struct fault *failure;    /* why it failed, of a record that says so; NULL: unsaid */
    pid_t pid;                      /* its init, seen in its cgroup; 0: none, or not looked for */
    uint64_t pid_generation;        /* whose cgroup that was; 0: the row's */
    uint64_t spent; /* highest generation that has a cgroup of its name, or a launch; 0: none */
    bool is_frozen;
    uint64_t oom_kills; /* its cgroup's count; 0 also where none can be read */
    bool is_init_dying; /* of a signal, and has no end yet */
};

/* Is this record about this row's generation, or a later one of the same container? Of several the
 * latest is. A row is older than the world where node.db was put back from a copy. A later one that
 * was never told GO is none: its intent was on its way to the disk, and its stage goes unseen. */
bool adopt_is_of(const struct kw_record *record, const struct store_row *row);
/* Its number is not given again, whatever became of it. */
void adopt_note_spent(struct adopt_facts *facts, const struct kw_record *record);
/* Is its cgroup the last that knows whether its init lives? */
bool adopt_must_look(const struct store_row *row, const struct kw_record *record, bool has_cgroup);
/* The generation that is taken up: the row's, or the later one that lives. */
uint64_t adopt_generation(const struct adopt_facts *facts);
void adopt_find(const struct adopt_facts *facts, const struct now *now, struct ct_found *ret_found);

/* A process with its init's number: a pidfd was opened of it, then its cgroup looked at. Is it its
 * init, and not another that was given the number since? */
bool adopt_is_its_init(bool has_pidfd, bool is_in_cgroup);

/* Does a leaf NAME.GEN of ours still belong to what the node holds? What has no generation in its
 * name is not a container's. */
bool adopt_keeps_leaf(const struct node *node, const char *leaf);
/* The keeper died under us and a new one cannot watch it: what became of it. False: nothing hung on
 * the keeper. */
bool adopt_is_at_keeper(const struct ct *ct);
void adopt_lose(const struct ct *ct, struct observation *ret_seen);

#endif
