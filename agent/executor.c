/* SPDX-License-Identifier: Apache-2.0 */
#include "executor.h"

#include <assert.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"

static const struct {
    const char *name;
    uint32_t threads;
} kinds[WORKER_COUNT] = {
#define WORKER_KIND(upper, lower, threads) [WORKER_##upper] = {"drover-" #lower, threads},
    WORKER_LIST(WORKER_KIND)
#undef WORKER_KIND
};

#define WORKER_FITS(upper, lower, threads)                                                         \
    static_assert((threads) <= WORKER_THREADS_MAX, "worker " #lower);
WORKER_LIST(WORKER_FITS)
#undef WORKER_FITS

static void append(struct work **first, struct work **last, struct work *work)
{
    work->next = NULL;
    if (*first == NULL)
        *first = work;
    else
        (*last)->next = work;
    *last = work;
}

static struct work *take(struct worker_queue *worker)
{
    (void)pthread_mutex_lock(&worker->lock);
    while (worker->first == NULL || worker->is_stopped)
        (void)pthread_cond_wait(&worker->posted, &worker->lock);
    struct work *work = worker->first;
    worker->first = work->next;
    worker->running++;
    (void)pthread_mutex_unlock(&worker->lock);
    return work;
}

static void rest(struct worker_queue *worker)
{
    (void)pthread_mutex_lock(&worker->lock);
    worker->running--;
    (void)pthread_cond_broadcast(&worker->rested);
    (void)pthread_mutex_unlock(&worker->lock);
}

_Noreturn static void *worker_main(void *argument)
{
    struct worker_queue *worker = argument;
    struct executor *executor = worker->executor;

    (void)pthread_setname_np(pthread_self(), kinds[worker - executor->workers].name);
    for (;;) {
        struct work *work = take(worker);
        bool is_done = work->run(work);

        rest(worker);
        if (!is_done)
            continue;
        (void)pthread_mutex_lock(&executor->lock);
        append(&executor->done_first, &executor->done_last, work);
        (void)pthread_mutex_unlock(&executor->lock);
        (void)uv_async_send(&executor->done);
    }
}

static void on_done(uv_async_t *handle)
{
    struct executor *executor = container_of(handle, struct executor, done);

    (void)pthread_mutex_lock(&executor->lock);
    struct work *work = executor->done_first;
    executor->done_first = NULL;
    (void)pthread_mutex_unlock(&executor->lock);
    while (work != NULL) {
        struct work *next = work->next;

        work->on_done(work);
        work = next;
    }
}

static int start_worker(struct executor *executor, enum worker kind)
{
    struct worker_queue *worker = &executor->workers[kind];
    pthread_condattr_t monotonic;

    worker->executor = executor;
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_cond_init(&worker->posted, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&worker->rested, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    for (uint32_t i = 0; i < kinds[kind].threads; i++) {
        pthread_t thread;
        int result = pthread_create(&thread, NULL, worker_main, worker);

        if (result == 0)
            result = pthread_detach(thread);
        if (result != 0)
            return -result;
    }
    return 0;
}

int executor_open(struct executor *executor, uv_loop_t *loop)
{
    int result = uv_async_init(loop, &executor->done, on_done);

    if (result < 0)
        return result;
    (void)pthread_mutex_init(&executor->lock, NULL);
    for (size_t i = 0; i < WORKER_COUNT && result == 0; i++)
        result = start_worker(executor, (enum worker)i);
    return result;
}

void executor_post(struct executor *executor, enum worker worker, struct work *work)
{
    struct worker_queue *thread = &executor->workers[worker];

    (void)pthread_mutex_lock(&thread->lock);
    append(&thread->first, &thread->last, work);
    (void)pthread_cond_signal(&thread->posted);
    (void)pthread_mutex_unlock(&thread->lock);
}

void executor_rest(struct executor *executor, enum worker worker)
{
    struct worker_queue *thread = &executor->workers[worker];

    (void)pthread_mutex_lock(&thread->lock);
    while (thread->first != NULL || thread->running > 0)
        (void)pthread_cond_wait(&thread->rested, &thread->lock);
    (void)pthread_mutex_unlock(&thread->lock);
}

bool executor_stop(struct executor *executor, enum worker worker, unsigned limit_ms)
{
    struct worker_queue *thread = &executor->workers[worker];
    uint64_t until_ns = clock_monotonic_ns() + limit_ms * NS_PER_MS;
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                             .tv_nsec = (long)(until_ns % NS_PER_S)};
    int result = 0;

    (void)pthread_mutex_lock(&thread->lock);
    thread->is_stopped = true;
    while (thread->running > 0 && result == 0)
        result = pthread_cond_timedwait(&thread->rested, &thread->lock, &until);
    bool is_quiet = thread->running == 0;
    (void)pthread_mutex_unlock(&thread->lock);
    return is_quiet;
}
