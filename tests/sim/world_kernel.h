/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world_kernel.h — processes, cgroups and directories of the made-up node; guests do as they like.
 *
 * Shape    a process is a stage until it executes an init; a leaf is a container's cgroup. Numbers
 *          of processes are few, so that they are soon given again.
 * Units    nanoseconds; wait statuses as waitpid(2) gives them.
 * Errors   -errno.
 * Owner    struct sim.
 * Context  effects reach it through the agent's workers and the keeper only.
 */
#ifndef DROVER_SIM_WORLD_KERNEL_H
#define DROVER_SIM_WORLD_KERNEL_H

#include "sim.h"

#define PROCS_MAX 96
#define LEAVES_MAX 96
#define DIRECTORIES_MAX 128
#define PID_LAST 120 /* then from 2 again */
#define LEAF_BYTES 88

struct proc {
    bool is_used;
    bool is_init; /* executed it */
    bool is_foreign;
    bool is_ready_on_exec;
    bool is_stubborn; /* SIGKILL takes its time: it hangs in the kernel */
    bool is_dying;
    bool is_killed; /* by SIGKILL: no freezer keeps it */
    bool is_at_go;  /* a stage that was told GO: it goes on although the agent dies */
    bool is_staged; /* it waits for that */
    pid_t pid;
    uint32_t birth; /* no two processes have the same */
    int leaf;       /* -1: of nobody of ours */
    uint8_t uuid[UUID_BYTES];
    uint64_t generation;
    uint64_t launch;
    uint32_t parent;      /* life of the keeper that is; 0: the host's init */
    uint32_t watcher;     /* life of a keeper that holds a pidfd of it, not being its parent */
    int status;           /* with which it is dying */
    uint32_t asked_count; /* to stop or reboot, by the agent of this life */
    uint32_t asked_life;
    uint64_t asked_ns; /* the first time */
};

struct leaf {
    bool is_used;
    bool has_limits;
    bool is_frozen;
    bool is_stray;         /* lives, and no row names it */
    bool is_freeze_wanted; /* what was written last; reached some time later */
    uint64_t thawed_ns;    /* last; 0: never */
    uint32_t birth;
    char name[LEAF_BYTES];
    uint64_t oom_kills;
    uint64_t limit; /* of memory: one stands for all */
    uint32_t population;
};

struct kernel {
    struct proc procs[PROCS_MAX];
    struct leaf leaves[LEAVES_MAX];
    uint8_t directories[DIRECTORIES_MAX][UUID_BYTES];
    uint32_t directory_count;
    pid_t last_pid;
    uint32_t births;
    uint64_t boot_id;
};

void kernel_open(struct sim *sim);
/* The power is gone: nothing runs, no cgroup is left. */
void kernel_crash(struct sim *sim);

/* ---- cgroups ---- */
void kernel_leaf_name(const char *name, uint64_t generation, char *ret_leaf);
int kernel_find_leaf(const struct kernel *kernel, const char *leaf); /* -1: none */
/* With its limits in force. The leaf that is there already is taken over, if it is empty. */
int kernel_make_leaf(struct sim *sim, const char *leaf);
int kernel_remove_leaf(struct sim *sim, int leaf); /* -EBUSY */
void kernel_kill_leaf(struct sim *sim, int leaf);
/* Guests of this name that no row names: -1: none. */
int kernel_find_stray(const struct kernel *kernel, const char *name);
void kernel_kill(struct sim *sim, int proc);
void kernel_freeze_leaf(struct sim *sim, int leaf, bool is_frozen);
void kernel_freezer(struct sim *sim, uint32_t leaf); /* HAPPENING_FREEZER */
/* The PID 1 of its namespace, as /proc shows it, a stage as well; 0: none. */
pid_t kernel_find_init(const struct kernel *kernel, int leaf);

/* ---- processes ---- */
/* A stage in this leaf; -1: no room. */
int kernel_fork(struct sim *sim, int leaf, uint32_t keeper);
/* A stage is told GO. */
void kernel_go(struct sim *sim, int proc);
/* A process that is none of ours. */
void kernel_fork_foreign(struct sim *sim);
/* One container's process dies of a signal. False: it has none, or it is dying. */
bool kernel_end_init(struct sim *sim, const uint8_t uuid[UUID_BYTES], uint64_t generation,
                     int status);
/* One init dies, and its number is given to such a process. False: there is none. */
bool kernel_replace_init(struct sim *sim);
/* -1: no such process. */
int kernel_find_pid(const struct kernel *kernel, pid_t pid);
/* Its init is asked to halt or reboot; a frozen one hears when it is thawed. */
void kernel_ask(struct sim *sim, int leaf, bool is_reboot);
void kernel_end(struct sim *sim, int proc, int status);
/* All children of a keeper that died go to the host's init. */
void kernel_orphan(struct sim *sim, uint32_t keeper);

/* ---- directories ---- */
bool kernel_has_directory(const struct kernel *kernel, const uint8_t uuid[UUID_BYTES]);
void kernel_make_directory(struct sim *sim, const uint8_t uuid[UUID_BYTES]);
void kernel_remove_directory(struct sim *sim, const uint8_t uuid[UUID_BYTES]);

/* HAPPENING_GUEST */
void kernel_guest(struct sim *sim, uint32_t birth, uint32_t arg);
bool kernel_is_guest_current(const struct kernel *kernel, uint32_t birth, uint32_t arg);

#endif
