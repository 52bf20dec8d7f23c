/* SPDX-License-Identifier: Apache-2.0 */
#include "executor.h"

#include <signal.h>

#include "cleanup.h"

static const char *const worker_names[WORKER_COUNT] = {
#define WORKER_NAME(upper, lower) [WORKER_##upper] = "drover-" #lower,
    WORKER_LIST(WORKER_NAME)
#undef WORKER_NAME
};

static void append(struct work **first, struct work **last, struct work *work)
{
    work->next = NULL;
    if (*first == NULL)
        *first = work;
    else
        (*last)->next = work;
    *last = work;
}

static struct work *take(struct worker_thread *worker)
{
    (void)pthread_mutex_lock(&worker->lock);
    while (worker->first == NULL && !worker->is_ending)
        (void)pthread_cond_wait(&worker->posted, &worker->lock);
    struct work *work = worker->first;
    if (work != NULL)
        worker->first = work->next;
    (void)pthread_mutex_unlock(&worker->lock);
    return work;
}

static void *worker_main(void *argument)
{
    struct worker_thread *worker = argument;
    struct executor *executor = worker->executor;

    (void)pthread_setname_np(pthread_self(), worker_names[worker - executor->workers]);
    for (struct work *work = take(worker); work != NULL; work = take(worker)) {
        if (!work->run(work))
            continue;
        (void)pthread_mutex_lock(&executor->lock);
        append(&executor->done_first, &executor->done_last, work);
        (void)pthread_mutex_unlock(&executor->lock);
        (void)uv_async_send(&executor->done);
    }
    return NULL;
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

int executor_open(struct executor *executor, uv_loop_t *loop)
{
    int result = uv_async_init(loop, &executor->done, on_done);

    if (result < 0)
        return result;
    (void)pthread_mutex_init(&executor->lock, NULL);
    for (size_t i = 0; i < WORKER_COUNT; i++) {
        struct worker_thread *worker = &executor->workers[i];

        worker->executor = executor;
        (void)pthread_mutex_init(&worker->lock, NULL);
        (void)pthread_cond_init(&worker->posted, NULL);
        result = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (result != 0)
            return -result;
        worker->is_started = true;
    }
    return 0;
}

void executor_close(struct executor *executor)
{
    for (size_t i = 0; i < WORKER_COUNT; i++) {
        struct worker_thread *worker = &executor->workers[i];

        if (!worker->is_started)
            continue;
        (void)pthread_mutex_lock(&worker->lock);
        worker->is_ending = true;
        (void)pthread_cond_signal(&worker->posted);
        (void)pthread_mutex_unlock(&worker->lock);
        (void)pthread_join(worker->thread, NULL);
        worker->is_started = false;
    }
    on_done(&executor->done);
}

void executor_post(struct executor *executor, enum worker worker, struct work *work)
{
    struct worker_thread *thread = &executor->workers[worker];

    (void)pthread_mutex_lock(&thread->lock);
    append(&thread->first, &thread->last, work);
    (void)pthread_cond_signal(&thread->posted);
    (void)pthread_mutex_unlock(&thread->lock);
}
