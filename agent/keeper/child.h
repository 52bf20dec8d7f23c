/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.h — what a launch and a spawn have in common: descriptors, a plan, a clone, its reports.
 *
 * Shape    struct cargo is the descriptors of one record; struct birth is a child between clone and
 *          exec; struct child_order is what a clone needs.
 * Units    none.
 * Errors   -errno; NULL for a plan that does not parse.
 * Owner    a cargo closes what nobody took; a birth belongs to its launch or spawn.
 * Context  single-threaded; the plan read last is the only one there is.
 */
#ifndef DROVER_KEEPER_CHILD_H
#define DROVER_KEEPER_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper_plan.h"
#include "keeper_wire.h"
#include "stage.h"

/* The descriptors of a record that is being handled. */
struct cargo {
    int fds[KW_FDS_MAX];
    uint8_t roles[KW_FDS_MAX];
    size_t count;
};

/* A child between clone and exec, as its parent sees it. */
struct birth {
    int report;     /* read end; -1: its end was read, or no child */
    int go;         /* write end; -1: GO was said */
    bool is_trying; /* STAGE_TRY without STAGE_ERRNO: an end now means that it was executed */
};

/* Ours that a child uses too, which shares our descriptors until it has its own. */
struct lent {
    int fds[3];
    size_t count;
};

/* Read the plan of a cargo into the one buffer for plans. NULL: it does not parse. */
const struct kp_header *child_plan(const struct cargo *cargo);

/* First descriptor with a role, its index, or -1; how many have it. */
int cargo_find(const struct cargo *cargo, enum kw_role role);
size_t cargo_count(const struct cargo *cargo, enum kw_role role);
int cargo_take(struct cargo *cargo, enum kw_role role);
void cargo_close(struct cargo *cargo);

/* Make report socket and go pipe, clone, and in the child run `body`, which does not return. With
 * `lent` it copies what lies below its highest descriptor, instead of all that we have: its cargo,
 * and its slave, which is lent then, stay open until its first word or its end. */
struct child_order {
    uint64_t flags; /* CLONE_* beside those that every child has */
    const struct kp_header *plan;
    const struct cargo *cargo;
    int slave;
    struct lent *lent;      /* NULL: the child has copies of all from the start */
    bool is_quiet;          /* as of struct stage */
    bool is_owned_by_range; /* the user namespace is to be charged to uid_base */
    void (*body)(const struct stage *stage);
};
pid_t child_clone(const struct child_order *order, struct birth *birth, int *ret_pidfd);

/* It has its own descriptors, or ended. */
void child_take_back(struct lent *lent);

/* Move a descriptor that is kept for long above those that are in use for a moment, so that a child
 * which copies these does not copy it too. Where that is not possible it stays as it is. */
void child_keep_above(int *fd);

int child_limit(pid_t pid, const struct kp_header *plan);
int child_say(const struct birth *birth, const char *text);

/* Whether an unreaped child of ours has executed a program. */
bool child_has_executed(pid_t pid);

/* One report. Returns 1, 0 at the end (and when nothing is there: -EAGAIN). */
int child_read(struct birth *birth, struct stage_report *report, int *fds, size_t fd_max,
               size_t *ret_fd_count);

#endif
