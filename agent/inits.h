/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inits.h — the guests' PID 1s that run in this node's groups, where no keeper can tell of them.
 *
 * Shape    struct inits is one look at /proc, for as many containers as are asked about. Zero is
 *          one that has not looked.
 * Units    pids of this pid namespace.
 * Errors   -errno: /proc cannot be read, which says nothing about who lives.
 * Owner    the caller; a pid may be another's by the time it is used: see adopt.c.
 * Context  the loop's thread, at start only: thousands of files of /proc are read. Source: proc(5),
 *          pid_namespaces(7).
 */
#ifndef DROVER_INITS_H
#define DROVER_INITS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cgroup.h"
#include "uuid.h"

struct init;

struct inits {
    struct init *found; /* sorted by leaf */
    size_t count;
    size_t room;
    bool is_read;
};

/* Look once; again it costs nothing. */
int inits_read(struct inits *inits, const struct cgroups *cgroups);
void inits_close(struct inits *inits);

/* 0: none runs in it. */
pid_t inits_find(const struct inits *inits, const char *leaf);

/* Did it execute anything since it was cloned? Else it is a stage, which no keeper watches. */
bool inits_has_executed(pid_t pid);

/* Kill such a one, and remove its group, unless it lasts. False: it is no stage, or it does. */
bool inits_end_stage(struct cgroups *cgroups, const char *leaf, pid_t pid);

/* The container that an init was told it is of, from its first environment. A guest can rewrite
 * that: it tells one container from another of the same name, and gives no right. */
bool inits_read_uuid(pid_t pid, uint8_t ret_uuid[UUID_BYTES]);

#endif
