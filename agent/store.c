/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "cleanup.h"
#include "clock.h"
#include "database.h"
#include "ensure.h"
#include "store_parts.h"
#include "store_reserve.h"

#define RESERVE_AGAIN_S 1

struct store {
    uv_async_t committed_async;
    store_committed_fn on_committed;
    store_failed_fn on_failed;
    char path[PATH_MAX];

    /* the loop's thread alone */
    struct store_batch *first; /* posted and not yet told, by next_told */
    struct store_batch *last;
    uint64_t number; /* of the newest batch that changes something */
    bool is_failure_told;
    struct store_reader reader; /* under a lock of its own */

    /* the writer's thread alone, once it runs */
    struct store_writer writer;
    struct store_reserve reserve;
    pthread_t thread;

    /* the writer's thread sets them, the loop reads them */
    atomic_bool is_bound_reached;
    atomic_bool is_reserve_spent;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t posted_cond;
    pthread_cond_t committed_cond;
    struct store_batch *posted_first; /* by next_posted */
    struct store_batch *posted_last;
    uint64_t committed; /* number of the newest batch that is durable */
    bool is_stopping;
    bool is_failed; /* nothing is committed any more */
    struct fault fault;
};

/* ---- the writer's thread ---- */

static void note_fullness(struct store *store);

/* While the reserve is spent, the room for it is looked for each second: commands that are refused
 * commit nothing, and so would never find out. */
static void await_post(struct store *store)
{
    struct timespec end;

    if (!atomic_load(&store->is_reserve_spent)) {
        (void)pthread_cond_wait(&store->posted_cond, &store->lock);
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += RESERVE_AGAIN_S;
    if (pthread_cond_timedwait(&store->posted_cond, &store->lock, &end) != ETIMEDOUT)
        return;
    (void)pthread_mutex_unlock(&store->lock);
    note_fullness(store);
    (void)pthread_mutex_lock(&store->lock);
}

/* Waits for batches and takes as many as make one transaction; none where old ones are to go and
 * nobody waits. False: there will be none. */
static bool take_group(struct store *store, struct store_batch **ret_group)
{
    struct store_batch *group;
    struct store_batch *end;
    size_t count;

    (void)pthread_mutex_lock(&store->lock);
    while (store->posted_first == NULL && !store->is_stopping && !store->writer.is_behind)
        await_post(store);
    group = end = store->posted_first;
    if (group != NULL) {
        for (count = end->count; end->next_posted != NULL; end = end->next_posted) {
            count += end->next_posted->count;
            if (count > STORE_GROUP_CHANGES)
                break;
        }
        store->posted_first = end->next_posted;
        end->next_posted = NULL;
    }
    *ret_group = group;
    bool is_wanted = group != NULL || !store->is_stopping;
    (void)pthread_mutex_unlock(&store->lock);
    return is_wanted;
}

static int commit_group(struct store *store, const struct store_batch *group)
{
    struct store_writer *writer = &store->writer;
    int code = store_writer_begin(writer, clock_monotonic_ns(), clock_wall_ns());

    if (group == NULL)
        writer->added = STORE_IDLE_ADDED;
    for (; code == SQLITE_OK && group != NULL; group = group->next_posted)
        code = store_writer_apply(writer, group);
    return code == SQLITE_OK ? store_writer_commit(writer) : code;
}

/* True: a write found no room, and there is more now. Never of an fsync. */
static bool spend_reserve(struct store *store, int code)
{
    return code != SQLITE_OK && store_db_is_room_missing(store->writer.db, code) &&
           store_reserve_spend(&store->reserve);
}

/* What waits for it in a file that is not yet committed was not promised: it may be tried again. */
static int write_group(struct store *store, const struct store_batch *group)
{
    int code = commit_group(store, group);

    if (spend_reserve(store, code)) {
        code = store_writer_rollback(&store->writer);
        if (code == SQLITE_OK)
            code = commit_group(store, group);
    }
    return code;
}

static int checkpoint(struct store *store)
{
    int code = store_writer_checkpoint(&store->writer);

    return spend_reserve(store, code) ? store_writer_checkpoint(&store->writer) : code;
}

static void log_fullness(const struct store *store, bool is_full, const char *why)
{
    (void)fprintf(stderr, "drover-agent: %s: %s\n", store->path,
                  is_full ? why : "there is room again, commands are taken");
}

static void note_fullness(struct store *store)
{
    bool is_bound_reached = store->writer.is_full;
    bool is_spent;

    store_reserve_renew(&store->reserve);
    is_spent = !store->reserve.is_held;
    if (atomic_exchange(&store->is_bound_reached, is_bound_reached) != is_bound_reached)
        log_fullness(store, is_bound_reached,
                     "it reached its bound; commands that change something are refused");
    if (atomic_exchange(&store->is_reserve_spent, is_spent) != is_spent)
        log_fullness(store, is_spent,
                     "no room for its reserve; commands that change something are refused");
}

/* The loop may free the batches from the moment on in which their number is said. */
static void say_committed(struct store *store, uint64_t number)
{
    (void)pthread_mutex_lock(&store->lock);
    store->committed = number;
    (void)pthread_cond_signal(&store->committed_cond);
    (void)pthread_mutex_unlock(&store->lock);
    (void)uv_async_send(&store->committed_async); /* fails only for a handle that is closed */
}

static void say_failed(struct store *store, int code)
{
    struct fault fault = {0};

    (void)store_db_fault(store->writer.db, code, "write", store->path, &fault);
    (void)pthread_mutex_lock(&store->lock);
    store->fault = fault;
    store->is_failed = true;
    (void)pthread_cond_signal(&store->committed_cond);
    (void)pthread_mutex_unlock(&store->lock);
    (void)uv_async_send(&store->committed_async); /* fails only for a handle that is closed */
}

static uint64_t last_number(const struct store_batch *group)
{
    while (group != NULL && group->next_posted != NULL)
        group = group->next_posted;
    return group == NULL ? 0 : group->number;
}

static void *write_batches(void *context)
{
    struct store *store = context;
    struct store_batch *group;
    int code = SQLITE_OK;

    while (code == SQLITE_OK && take_group(store, &group)) {
        uint64_t number = last_number(group);

        code = write_group(store, group);
        if (code == SQLITE_OK) {
            note_fullness(store);
            if (group != NULL)
                say_committed(store, number);
            code = checkpoint(store);
        }
    }
    if (code != SQLITE_OK)
        say_failed(store, code);
    return NULL;
}

static int start_writer(struct store *store)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
    int error = pthread_create(&store->thread, NULL, write_batches, store);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        (void)pthread_setname_np(store->thread, "store"); /* for the eye only */
    return -error;
}

/* ---- the loop ---- */

static bool take_told(struct store *store, uint64_t committed, struct store_batch **ret_batch)
{
    struct store_batch *batch = store->first;

    if (batch == NULL || batch->number > committed)
        return false;
    store->first = batch->next_told;
    if (store->first == NULL)
        store->last = NULL;
    *ret_batch = batch;
    return true;
}

/* Only what was posted before: a callback that posts finds its answer in the next round. */
static void tell(struct store *store)
{
    struct store_batch *end = store->last;
    struct store_batch *batch;
    bool is_end = end == NULL;
    bool is_failed;

    (void)pthread_mutex_lock(&store->lock);
    uint64_t committed = store->committed;
    is_failed = store->is_failed;
    (void)pthread_mutex_unlock(&store->lock);

    while (!is_end && take_told(store, committed, &batch)) {
        is_end = batch == end;
        store->on_committed(store, batch->context);
        store_batch_free(batch);
    }
    if (is_failed && !store->is_failure_told) {
        store->is_failure_told = true;
        store->on_failed(store, &store->fault);
    }
}

static void on_committed_async(uv_async_t *handle)
{
    tell(container_of(handle, struct store, committed_async));
}

void store_post(struct store *store, struct store_batch *batch_consumed, void *context)
{
    struct store_batch *batch = batch_consumed;
    bool is_change = batch->count > 0;
    bool is_waiting;

    batch->context = context;
    batch->number = is_change ? ++store->number : store->number;
    if (store->last == NULL)
        store->first = batch;
    else
        store->last->next_told = batch;
    store->last = batch;

    (void)pthread_mutex_lock(&store->lock);
    is_waiting = store->committed < batch->number;
    if (is_change) {
        if (store->posted_first == NULL)
            store->posted_first = batch;
        else
            store->posted_last->next_posted = batch;
        store->posted_last = batch;
    }
    (void)pthread_mutex_unlock(&store->lock);
    if (is_change)
        (void)pthread_cond_signal(&store->posted_cond);
    if (!is_waiting)
        (void)uv_async_send(&store->committed_async); /* nothing to write, nothing to wait for */
}

/* ---- open and close ---- */

static int open_writer(struct store *store, struct fault *fault)
{
    sqlite3 *db = NULL;
    int result = store_db_open(store->path, &db, fault);

    if (result < 0)
        return result;
    int code = store_writer_open(&store->writer, db);
    if (code == SQLITE_OK)
        return 0;
    result = store_db_fault(db, code, "open", store->path, fault);
    store_writer_close(&store->writer, false);
    return result;
}

static int open_database(struct store *store, struct fault *fault)
{
    sqlite3 *db = NULL;

    store_reserve_open(&store->reserve, store->path);
    int result = open_writer(store, fault);
    if (result == -ENOSPC && store_reserve_spend(&store->reserve))
        result = open_writer(store, fault);
    if (result < 0)
        return result;
    note_fullness(store);
    result = database_open_reader(store->path, &db);
    if (result == 0)
        result = store_reader_open(&store->reader, db);
    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "cannot read %s", store->path);
        store_reader_close(&store->reader);
        store_writer_close(&store->writer, false);
    }
    return result;
}

static int open_threads(struct store *store, uv_loop_t *loop)
{
    pthread_condattr_t attributes;

    (void)pthread_mutex_init(&store->lock, NULL); /* none of these can fail on Linux */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* the other one may be set */
    (void)pthread_cond_init(&store->posted_cond, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_cond_init(&store->committed_cond, NULL);
    return uv_async_init(loop, &store->committed_async, on_committed_async);
}

static void close_database(struct store *store, bool is_whole)
{
    store_reader_close(&store->reader);
    store_writer_close(&store->writer, is_whole); /* last: it moves the log into the database */
}

static void on_async_closed(uv_handle_t *handle)
{
    struct store *store = container_of(handle, struct store, committed_async);

    (void)pthread_mutex_destroy(&store->lock);
    (void)pthread_cond_destroy(&store->posted_cond);
    (void)pthread_cond_destroy(&store->committed_cond);
    free(store);
}

int store_open(const char *state_dir, uv_loop_t *loop, store_committed_fn on_committed,
               store_failed_fn on_failed, struct store **ret_store, struct fault *fault)
{
    struct store *store = calloc(1, sizeof(*store));

    ENSURE(store != NULL);
    store->on_committed = on_committed;
    store->on_failed = on_failed;
    int length = snprintf(store->path, sizeof(store->path), "%s/node.db", state_dir);
    if (length < 0 || (size_t)length >= sizeof(store->path)) {
        fault_set(fault, STATUS_INVALID, ENAMETOOLONG, "the state directory's path is too long");
        free(store);
        return -ENAMETOOLONG;
    }
    int result = open_database(store, fault);
    if (result < 0) {
        free(store);
        return result;
    }
    result = open_threads(store, loop);
    if (result < 0) {
        close_database(store, true);
        free(store);
    } else if ((result = start_writer(store)) < 0) {
        close_database(store, true);
        uv_close((uv_handle_t *)&store->committed_async, on_async_closed);
    }
    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "cannot start what writes node.db");
        return result;
    }
    *ret_store = store;
    return 0;
}

static void wait_committed(struct store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    while (store->committed < store->number && !store->is_failed)
        (void)pthread_cond_wait(&store->committed_cond, &store->lock);
    (void)pthread_mutex_unlock(&store->lock);
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    while (store->first != NULL && !store->is_failure_told) { /* callbacks may post more */
        wait_committed(store);
        tell(store);
    }

    (void)pthread_mutex_lock(&store->lock);
    store->is_stopping = true;
    (void)pthread_cond_signal(&store->posted_cond);
    (void)pthread_mutex_unlock(&store->lock);
    (void)pthread_join(store->thread, NULL); /* ours, joined once */
    tell(store);                             /* the last checkpoint may have failed */

    for (struct store_batch *batch = store->first, *next; batch != NULL; batch = next) {
        next = batch->next_told;
        store_batch_free(batch);
    }
    close_database(store, !store->is_failed);
    uv_close((uv_handle_t *)&store->committed_async, on_async_closed);
}

bool store_is_full(const struct store *store)
{
    return atomic_load(&store->is_bound_reached) || atomic_load(&store->is_reserve_spent);
}

void store_full_fault(const struct store *store, struct fault *fault)
{
    if (atomic_load(&store->is_bound_reached)) {
        fault_set(fault, STATUS_STORE_FULL, 0, "the ledger %s has reached its bound", store->path);
        fault_hint(fault, "let a controller take its events; guests go on meanwhile");
        return;
    }
    fault_set(fault, STATUS_STORE_FULL, ENOSPC,
              "the file system of %s is full: it has no room for the reserve of %u MiB",
              store->path, STORE_RESERVE_BYTES >> 20);
    fault_hint(fault, "make room there; guests go on meanwhile, and the reserve is for their ends");
}

const char *store_ledger_id(const struct store *store)
{
    return store->reader.ledger_id;
}

int store_read_rows(struct store *store, bool (*found)(const struct store_row *row, void *context),
                    void *context)
{
    return store_reader_rows(&store->reader, found, context);
}

int store_read_results(struct store *store,
                       bool (*found)(const struct store_result *result, void *context),
                       void *context)
{
    return store_reader_results(&store->reader, found, context);
}

int store_read_heads(struct store *store, struct store_heads *ret_heads)
{
    return store_reader_heads(&store->reader, ret_heads);
}

int store_read_events(struct store *store, const struct store_query *query,
                      struct event *ret_events, size_t max, size_t *ret_count)
{
    return store_reader_events(&store->reader, query, ret_events, max, ret_count);
}

int store_look(struct store *store, struct uplink_look *look)
{
    return store_reader_look(&store->reader, look);
}

void store_stop_reading(struct store *store)
{
    atomic_store(&store->reader.is_stopped, true);
}

int store_find_result(struct store *store, const char *request, struct store_result *ret_result)
{
    return store_reader_result(&store->reader, request, ret_result);
}

void store_set_limits(struct store *store, const struct store_limits *limits)
{
    store->writer.limits = *limits; /* the first post makes it visible to the writer */
}
