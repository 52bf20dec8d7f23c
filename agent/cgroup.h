/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h — the cgroups of this node's containers: one layout over v2, hybrid and v1 hosts.
 *
 * Shape    struct cgroups is what was discovered; struct cgroup is one container's, held by
 *          descriptors. PATH/NAME.GEN carries limits, freeze and kill; below it `guest` (delegated,
 *          init is cloned into it) and `exec.N` (one leaf a session).
 * Units    *_bytes octets; LIMIT_NONE "max"; cpu_milli thousandths of a processor.
 * Errors   -errno and a fault that names the file; libcgroup's own numbers stay inside.
 * Owner    the caller owns both structs; descriptors are close-on-exec.
 * Context  cgroups_open() once, before all else. The rest may run on any thread: by held
 *          descriptors, and where libcgroup (not thread-safe) is asked under a lock.
 *          Source: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/; libcgroup 2.0.2.
 */
#ifndef DROVER_CGROUP_H
#define DROVER_CGROUP_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "fault.h"

#define CGROUP_HIERARCHIES_MAX 16
#define CGROUP_LEAF_BYTES 96 /* NAME.GEN */

struct cgroup_hierarchy {
    int root; /* directory of the hierarchy's root */
    int path; /* directory PATH in it; -1: it carries nothing that we use, no group is made in it */
    bool is_v2;
    bool has_memory, has_pids, has_cpu, has_cpuset; /* controllers it carries */
    bool has_swap;                                  /* swap is counted and can be limited */
    bool is_systemd;       /* name=systemd, beside v2: for guests whose systemd knows no other */
    char controllers[128]; /* "memory", "cpu,cpuacct", "name=systemd"; v2: on for our groups */
};

struct cgroups {
    struct cgroup_hierarchy hierarchies[CGROUP_HIERARCHIES_MAX]; /* v2 first, always there */
    size_t count;
    char path[80];   /* without a leading slash: drover.NODE */
    char ledger[64]; /* whose PATH is */
};

struct cgroup_limits {
    uint64_t memory_max_bytes;
    uint64_t swap_max_bytes;
    uint64_t pids_max;
    uint32_t cpu_milli;  /* 0: none */
    uint32_t cpu_weight; /* 1..10000 */
};

/* What cgroup_make() is asked for. */
struct cgroup_request {
    const char *leaf; /* NAME.GEN */
    const struct cgroup_limits *limits;
    uid_t owner; /* uid and gid that guest/ is delegated to: directory, cgroup.procs, .threads,
                  * .subtree_control. 0: nobody but root */
    int devices; /* program that says which devices may be opened (devices.h); 0: none */
};

struct cgroup {
    char leaf[CGROUP_LEAF_BYTES];
    const char *path; /* PATH, of struct cgroups, which outlives it */
    int dir;          /* v2 PATH/NAME.GEN */
    int guest;        /* v2 PATH/NAME.GEN/guest: clone3 INTO_CGROUP */
    int events; /* cgroup.events of dir, to be polled for POLLPRI: `populated` and `frozen` move */
    int tasks[CGROUP_HIERARCHIES_MAX]; /* `tasks` of each v1 group, O_WRONLY: LAUNCH, SPAWN */
    size_t task_count;
    int oom;         /* to be polled: readable (v1) or memory.events (v2, POLLPRI); -1: none */
    bool is_oom_v1;  /* how `oom` is polled and what is read */
    int oom_counter; /* memory.oom_control (v1) or memory.events (v2), read by pread */
    int oom_event;   /* v1: the kernel's eventfd, and a timer to look again: both behind `oom` */
    int oom_timer;
};
#define CGROUP_EMPTY                                                                               \
    {                                                                                              \
        .dir = -1, .guest = -1, .events = -1, .oom = -1, .oom_counter = -1, .oom_event = -1,       \
        .oom_timer = -1                                                                            \
    }

/*
 * Discover the hierarchies (libcgroup), hold or make a v2 one (a detached mount where the host has
 * none mounted), make PATH in each, switch on the controllers we use for its children.
 *   path       in  drover.NODE
 *   ledger_id  in  text; PATH carries it as xattr trusted.drover.ledger. Another's is refused
 * The v2 PATH directory is flocked until cgroups_close(); held by another: STATUS_BUSY, its pid
 * named. The hierarchies that carry nothing we use are held by their root alone: a keeper leaves
 * them too.
 */
int cgroups_open(struct cgroups *cgroups, const char *path, const char *ledger_id,
                 struct fault *fault);
/* Removes PATH where nothing is in it. */
void cgroups_close(struct cgroups *cgroups);
/* Has this host a hierarchy name=systemd that guests can be given a group in? */
bool cgroups_has_systemd(const struct cgroups *cgroups);

/* Check limits against what this host can say (bad limit: STATUS_INVALID with the key). */
int cgroup_check(const struct cgroups *cgroups, const struct cgroup_limits *limits,
                 struct fault *fault);

/*
 * Make PATH/NAME.GEN and guest/ with limits in force, in every hierarchy that carries one we use.
 * Hot path: directly by held descriptors (libcgroup's creation costs a third of a storm).
 * On failure nothing is left.
 */
int cgroup_make(struct cgroups *cgroups, const struct cgroup_request *request,
                struct cgroup *ret_cgroup, struct fault *fault);
/*
 * Make PATH/NAME.GEN in name=systemd too, delegated as a whole to owner: no limit is there, so init
 * and exec sessions begin in the group that is the guest's root. The host must have it.
 * On failure nothing is left there; the other groups are.
 * v1 bounds neither the number nor the depth of groups in it: cgroup_bound_systemd() does.
 */
int cgroup_add_systemd(struct cgroups *cgroups, uid_t owner, struct cgroup *cgroup,
                       struct fault *fault);
/* A systemd of that time has some 300 of a depth of five. */
#define CGROUP_SYSTEMD_GROUPS_MAX 2048
#define CGROUP_SYSTEMD_DEPTH_MAX 32
/* Kill each container that has more groups or deeper ones there. Returns how many have any. */
size_t cgroup_bound_systemd(const struct cgroups *cgroups, void (*on_killed)(const char *leaf));
/* Open again what an earlier agent made; nothing is written. -ENOENT: not there. */
int cgroup_adopt(struct cgroups *cgroups, const char *leaf, struct cgroup *ret_cgroup,
                 struct fault *fault);
void cgroup_close(struct cgroup *cgroup);
/* NAME.GEN: the one place that knows the form. */
static inline void cgroup_leaf(const char *name, uint64_t generation, char leaf[CGROUP_LEAF_BYTES])
{
    (void)snprintf(leaf, CGROUP_LEAF_BYTES, "%s.%" PRIu64, name, generation);
}

/* Remove leaf with all below it in every hierarchy, deepest first. -EBUSY: something lives in it.
 * Gone already: 0. Never moves or signals a process. */
int cgroup_remove(struct cgroups *cgroups, const char *leaf, struct fault *fault);
/* Each NAME.GEN below PATH in any hierarchy, once. Stops when found() answers false. */
int cgroup_find_all(struct cgroups *cgroups, bool (*found)(const char *leaf, void *context),
                    void *context);

/* A leaf exec.N beside guest/: its directory, v1 tasks files (of the container's groups) and
 * kill. */
struct cgroup_exec {
    int dir;
    int kill; /* cgroup.kill, O_WRONLY */
};
int cgroup_exec_make(const struct cgroup *cgroup, uint64_t number, struct cgroup_exec *ret_exec,
                     struct fault *fault);
int cgroup_exec_remove(const struct cgroup *cgroup, uint64_t number);
/* Remove every exec leaf of a lower number; what lives in one is killed, and it goes at the next
 * sweep. Returns how many of them are left. */
uint32_t cgroup_exec_sweep(const struct cgroup *cgroup, uint64_t below);

int cgroup_kill(const struct cgroup *cgroup);                   /* whole subtree, SIGKILL */
int cgroup_freeze(const struct cgroup *cgroup, bool is_frozen); /* asks; `events` tells when */
/* What was asked last, reached or not. */
bool cgroup_is_freeze_asked(const struct cgroup *cgroup);
/* Levels, read now from cgroup.events. */
int cgroup_read_events(const struct cgroup *cgroup, bool *ret_populated, bool *ret_frozen);
/* Kills so far; 0 without a memory controller. Clears what made `oom` readable; on v1 that happens
 * again shortly after, because the kernel notifies before it counts. */
uint64_t cgroup_read_oom_kills(const struct cgroup *cgroup);
/* pid of whom a process of the subtree is; for `stuck`: first pid and its name. false: empty. */
bool cgroup_find_process(const struct cgroup *cgroup, pid_t *ret_pid, char *name,
                         size_t name_bytes);

/* Did a keeper live in PATH/keeper, and none does now? */
bool cgroup_is_keeper_gone(const struct cgroups *cgroups);

/* Does pid live in the container's subtree (read from /proc/PID/cgroup)? */
bool cgroup_has_process(const struct cgroup *cgroup, pid_t pid);
/* The leaf in whose subtree pid lives: a container's, or the keeper's own. */
bool cgroup_find_leaf(const struct cgroups *cgroups, pid_t pid, char leaf[CGROUP_LEAF_BYTES]);

/* Live change of limits through libcgroup's tables; memory is never lowered below use:
 * -EBUSY, STATUS_BUSY "uses N", nothing changed. May reclaim, and so block for long. */
int cgroup_set(struct cgroups *cgroups, const struct cgroup *cgroup,
               const struct cgroup_limits *limits, struct fault *fault);

#endif
