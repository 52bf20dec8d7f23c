/* SPDX-License-Identifier: Apache-2.0 */
/*
 * executor.h — the named threads on which everything that may block is done.
 *
 * Shape    struct work is embedded in what it works on. run() on the worker, then on_done() on the
 *          loop. Works of one worker begin in the order in which they were posted; a worker
 *          of several threads runs some side by side.
 * Units    none.
 * Errors   carried by what embeds the work.
 * Owner    the poster; the executor only borrows until on_done() was called.
 * Context  executor_post() from any thread; on_done() on the loop's.
 */
#ifndef DROVER_EXECUTOR_H
#define DROVER_EXECUTOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/*
 * X(name, name of the threads, how many). cgroup: libcgroup, which is not thread-safe, and making
 * cgroups. mount: plans and directories made; a source that hangs holds up its own thread only.
 * guest: what reads a running guest's own files, which may hang (FUSE), and must not stop boots.
 * limits: limits of running guests, written where the kernel may reclaim first.
 * clean: kill and removal of cgroups. remove: removal of directories, large ones beside small.
 * hooks: looks which scripts the node has; stops wait for it, so that nothing else is there.
 * ledger: looks into node.db that may go through all of it.
 */
#define WORKER_LIST(X)                                                                             \
    X(CGROUP, cgroup, 1)                                                                           \
    X(MOUNT, mount, 4)                                                                             \
    X(GUEST, guest, 2)                                                                             \
    X(LIMITS, limits, 8)                                                                           \
    X(CLEAN, clean, 1)                                                                             \
    X(REMOVE, remove, 2)                                                                           \
    X(HOOKS, hooks, 1)                                                                             \
    X(SCRIPTS, scripts, 2)                                                                         \
    X(LEDGER, ledger, 1)
#define WORKER_THREADS_MAX 8

enum worker {
#define WORKER_ENUM(upper, lower, threads) WORKER_##upper,
    WORKER_LIST(WORKER_ENUM)
#undef WORKER_ENUM
        WORKER_COUNT
};

struct work {
    struct work *next;
    /* false: it was posted again, to another worker, and is not done. */
    bool (*run)(struct work *work);
    void (*on_done)(struct work *work);
};

struct executor;

struct worker_queue {
    struct executor *executor;
    pthread_mutex_t lock;
    pthread_cond_t posted;
    pthread_cond_t rested;
    uint32_t running;
    bool is_stopped;
    struct work *first;
    struct work *last;
};

struct executor {
    struct worker_queue workers[WORKER_COUNT];
    uv_async_t done;
    pthread_mutex_t lock;
    struct work *done_first;
    struct work *done_last;
};

/* The threads end with the process: one that hangs must not keep it from ending. */
int executor_open(struct executor *executor, uv_loop_t *loop);
void executor_post(struct executor *executor, enum worker worker, struct work *work);
/* Waits until all that was posted to it has run; on_done() of it may still come. */
void executor_rest(struct executor *executor, enum worker worker);
/* What waits for `worker` is not begun any more. False: after `limit_ms` some of it still runs. */
bool executor_stop(struct executor *executor, enum worker worker, unsigned limit_ms);

#endif
