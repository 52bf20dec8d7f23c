/* SPDX-License-Identifier: Apache-2.0 */
/*
 * executor.h — the named threads on which everything that may block is done.
 *
 * Shape    struct work is embedded in what it works on. run() on the worker, then on_done() on the
 *          loop. Works of one worker run in the order in which they were posted.
 * Units    none.
 * Errors   carried by what embeds the work.
 * Owner    the poster; the executor only borrows until on_done() was called.
 * Context  executor_post() from any thread; on_done() on the loop's.
 */
#ifndef DROVER_EXECUTOR_H
#define DROVER_EXECUTOR_H

#include <pthread.h>
#include <stdbool.h>
#include <uv.h>

/* cgroup: all of libcgroup, and making cgroups. mount: plans and directories made. clean: kill and
 * removal of cgroups. remove: removal of directories. import: templates. */
#define WORKER_LIST(X) X(CGROUP, cgroup) X(MOUNT, mount) X(CLEAN, clean) X(REMOVE, remove) X(READ, read)

enum worker {
#define WORKER_ENUM(upper, lower) WORKER_##upper,
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

struct worker_thread {
    struct executor *executor;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t posted;
    struct work *first;
    struct work *last;
    bool is_ending;
    bool is_started;
};

struct executor {
    struct worker_thread workers[WORKER_COUNT];
    uv_async_t done;
    pthread_mutex_t lock;
    struct work *done_first;
    struct work *done_last;
};

int executor_open(struct executor *executor, uv_loop_t *loop);
/* Finishes what was posted; on_done() of it is called before the return. */
void executor_close(struct executor *executor);
void executor_post(struct executor *executor, enum worker worker, struct work *work);

#endif
