/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite backend on a loop: a thread that commits what is posted, many batches in one
 * transaction, and one that reads. */
#include "ctl_store_sqlite.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "ensure.h"

struct batches {
    struct ctl_batch *first;
    struct ctl_batch *last;
};

struct reads {
    struct ctl_read *first;
    struct ctl_read *last;
};

struct ctl_sqlite {
    struct ctl_store store;
    uv_async_t done_async;
    char path[PATH_MAX];
    bool is_failure_told; /* the loop's */

    struct ctl_writer writer; /* its thread's alone, once that runs */
    struct ctl_reader reader; /* likewise */
    pthread_t write_thread;
    pthread_t read_thread;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t posted_cond;
    pthread_cond_t asked_cond;
    struct batches posted;
    struct batches committed;
    struct reads asked;
    struct reads answered;
    bool is_stopping;
    bool is_failed; /* nothing is committed any more */
    struct fault fault;
};

static struct ctl_sqlite *sqlite_of(struct ctl_store *store)
{
    return container_of(store, struct ctl_sqlite, store);
}

static void batches_add(struct batches *list, struct ctl_batch *first, struct ctl_batch *last)
{
    if (first == NULL)
        return;
    if (list->first == NULL)
        list->first = first;
    else
        list->last->next = first;
    list->last = last;
}

static void reads_add(struct reads *list, struct ctl_read *read)
{
    read->next = NULL;
    if (list->first == NULL)
        list->first = read;
    else
        list->last->next = read;
    list->last = read;
}

static struct ctl_read *reads_take(struct reads *list)
{
    struct ctl_read *read = list->first;

    if (read != NULL)
        list->first = read->next;
    return read;
}

/* ---- the writer's thread ---- */

/* Waits for batches and takes as many as make one transaction. False: there will be none. */
static bool take_group(struct ctl_sqlite *sqlite, struct batches *ret_group)
{
    (void)pthread_mutex_lock(&sqlite->lock);
    while (sqlite->posted.first == NULL && !sqlite->is_stopping)
        (void)pthread_cond_wait(&sqlite->posted_cond, &sqlite->lock);
    struct ctl_batch *end = sqlite->posted.first;
    *ret_group = (struct batches){end, end};
    if (end != NULL) {
        for (size_t count = end->count; end->next != NULL; end = end->next) {
            count += end->next->count;
            if (count > CTL_GROUP_CHANGES)
                break;
        }
        ret_group->last = end;
        sqlite->posted.first = end->next;
        end->next = NULL;
    }
    (void)pthread_mutex_unlock(&sqlite->lock);
    return ret_group->first != NULL;
}

static bool is_change(const struct ctl_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->changes[i].kind != CTL_ACKNOWLEDGE)
            return true;
    return false;
}

static int commit_group(struct ctl_sqlite *sqlite, struct ctl_batch *group)
{
    bool has_change = false;
    int code = SQLITE_OK;

    for (const struct ctl_batch *batch = group; batch != NULL; batch = batch->next)
        has_change = has_change || is_change(batch);
    if (!has_change)
        return SQLITE_OK; /* all before it is durable: that is what it asks for */
    code = ctl_writer_begin(&sqlite->writer, group->now_wall_ns);
    for (; code == SQLITE_OK && group != NULL; group = group->next)
        code = ctl_writer_apply(&sqlite->writer, group);
    return code == SQLITE_OK ? ctl_writer_commit(&sqlite->writer) : code;
}

static void say_committed(struct ctl_sqlite *sqlite, const struct batches *group)
{
    (void)pthread_mutex_lock(&sqlite->lock);
    batches_add(&sqlite->committed, group->first, group->last);
    (void)pthread_mutex_unlock(&sqlite->lock);
    (void)uv_async_send(&sqlite->done_async); /* fails only for a handle that is closed */
}

static void say_failed(struct ctl_sqlite *sqlite, int code)
{
    struct fault fault = {0};

    (void)database_fault(sqlite->writer.db, &ctl_database, code, "write", sqlite->path, &fault);
    (void)pthread_mutex_lock(&sqlite->lock);
    sqlite->fault = fault;
    sqlite->is_failed = true;
    (void)pthread_mutex_unlock(&sqlite->lock);
    (void)uv_async_send(&sqlite->done_async); /* likewise */
}

static void free_batches(struct ctl_batch *batch)
{
    while (batch != NULL) {
        struct ctl_batch *next = batch->next;

        ctl_batch_free(batch);
        batch = next;
    }
}

static void *write_batches(void *context)
{
    struct ctl_sqlite *sqlite = context;
    struct batches group;
    int code = SQLITE_OK;

    while (code == SQLITE_OK && take_group(sqlite, &group)) {
        code = commit_group(sqlite, group.first);
        if (code == SQLITE_OK) {
            say_committed(sqlite, &group);
            code = ctl_writer_checkpoint(&sqlite->writer);
        } else {
            free_batches(group.first);
        }
    }
    if (code != SQLITE_OK)
        say_failed(sqlite, code);
    return NULL;
}

/* ---- the reader's thread ---- */

static void *answer_reads(void *context)
{
    struct ctl_sqlite *sqlite = context;
    struct ctl_read *read = NULL;

    (void)pthread_mutex_lock(&sqlite->lock);
    while (!sqlite->is_stopping) {
        read = reads_take(&sqlite->asked);
        if (read == NULL) {
            (void)pthread_cond_wait(&sqlite->asked_cond, &sqlite->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&sqlite->lock);
        (void)ctl_reader_read(&sqlite->reader, read); /* read->result has it */
        (void)pthread_mutex_lock(&sqlite->lock);
        reads_add(&sqlite->answered, read);
        (void)uv_async_send(&sqlite->done_async); /* fails only for a handle that is closed */
    }
    (void)pthread_mutex_unlock(&sqlite->lock);
    return NULL;
}

/* ---- the loop ---- */

static void on_done(uv_async_t *handle)
{
    struct ctl_sqlite *sqlite = container_of(handle, struct ctl_sqlite, done_async);
    struct ctl_store *store = &sqlite->store;
    struct ctl_read *read;

    (void)pthread_mutex_lock(&sqlite->lock);
    struct ctl_batch *batch = sqlite->committed.first;
    struct reads answered = sqlite->answered;
    bool is_failed = sqlite->is_failed;
    sqlite->committed = (struct batches){0};
    sqlite->answered = (struct reads){0};
    (void)pthread_mutex_unlock(&sqlite->lock);

    while (batch != NULL) {
        struct ctl_batch *next = batch->next;

        batch->next = NULL;
        store->on_committed(store, batch);
        batch = next;
    }
    while ((read = reads_take(&answered)) != NULL)
        store->on_answered(store, read);
    if (is_failed && !sqlite->is_failure_told) {
        sqlite->is_failure_told = true;
        store->on_failed(store, &sqlite->fault);
    }
}

static void post_batch(struct ctl_store *store, struct ctl_batch *batch_consumed)
{
    struct ctl_sqlite *sqlite = sqlite_of(store);

    batch_consumed->next = NULL;
    (void)pthread_mutex_lock(&sqlite->lock);
    batches_add(&sqlite->posted, batch_consumed, batch_consumed);
    (void)pthread_cond_signal(&sqlite->posted_cond);
    (void)pthread_mutex_unlock(&sqlite->lock);
}

static void post_read(struct ctl_store *store, struct ctl_read *read_consumed)
{
    struct ctl_sqlite *sqlite = sqlite_of(store);

    (void)pthread_mutex_lock(&sqlite->lock);
    reads_add(&sqlite->asked, read_consumed);
    (void)pthread_cond_signal(&sqlite->asked_cond);
    (void)pthread_mutex_unlock(&sqlite->lock);
}

/* At start, while no read is under way. */
static int load(struct ctl_store *store, const struct ctl_found *found, void *context,
                struct fault *fault)
{
    struct ctl_sqlite *sqlite = sqlite_of(store);

    int result = ctl_reader_load(&sqlite->reader, found, context);
    if (result == -EUCLEAN) {
        fault_set(fault, STATUS_FAILED, 0, "%s is damaged: a row has what was never written",
                  sqlite->path);
        fault_hint(fault, ctl_database.hint);
    } else if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "cannot read %s", sqlite->path);
    }
    return result;
}

/* ---- open and close ---- */

static void close_database(struct ctl_sqlite *sqlite, bool is_whole)
{
    ctl_reader_close(&sqlite->reader);
    ctl_writer_close(&sqlite->writer, is_whole); /* last: it moves the log into the database */
}

static void on_async_closed(uv_handle_t *handle)
{
    struct ctl_sqlite *sqlite = container_of(handle, struct ctl_sqlite, done_async);

    (void)pthread_mutex_destroy(&sqlite->lock);
    (void)pthread_cond_destroy(&sqlite->posted_cond);
    (void)pthread_cond_destroy(&sqlite->asked_cond);
    free(sqlite);
}

static void stop(struct ctl_sqlite *sqlite)
{
    (void)pthread_mutex_lock(&sqlite->lock);
    sqlite->is_stopping = true;
    (void)pthread_cond_signal(&sqlite->posted_cond);
    (void)pthread_cond_signal(&sqlite->asked_cond);
    (void)pthread_mutex_unlock(&sqlite->lock);
}

static void close_store(struct ctl_store *store)
{
    struct ctl_sqlite *sqlite = sqlite_of(store);
    struct ctl_read *read;

    stop(sqlite);
    (void)pthread_join(sqlite->write_thread, NULL); /* ours, joined once */
    (void)pthread_join(sqlite->read_thread, NULL);  /* likewise */
    free_batches(sqlite->committed.first);
    free_batches(sqlite->posted.first);
    while ((read = reads_take(&sqlite->asked)) != NULL)
        ctl_read_free(read);
    while ((read = reads_take(&sqlite->answered)) != NULL)
        ctl_read_free(read);
    close_database(sqlite, !sqlite->is_failed);
    uv_close((uv_handle_t *)&sqlite->done_async, on_async_closed);
}

static int open_database(struct ctl_sqlite *sqlite, const struct ctl_store_options *options,
                         struct fault *fault)
{
    sqlite3 *db = NULL;
    sqlite3 *reader = NULL;
    int result = database_open(sqlite->path, &ctl_database, &db, fault);

    if (result < 0)
        return result;
    int code = ctl_writer_open(&sqlite->writer, db, options->events_max, options->now_wall_ns);
    if (code == SQLITE_OK)
        result = database_extend_log(sqlite->path, CTL_WAL_FRAMES, fault);
    else
        result = database_fault(db, &ctl_database, code, "read", sqlite->path, fault);
    if (result == 0) {
        result = database_open_reader(sqlite->path, &reader);
        if (result == 0)
            result = ctl_reader_open(&sqlite->reader, reader);
        if (result < 0)
            fault_set(fault, STATUS_FAILED, -result, "cannot read %s", sqlite->path);
    }
    if (result < 0)
        close_database(sqlite, false);
    return result;
}

static int start_thread(pthread_t *thread, const char *name, void *(*run)(void *context),
                        struct ctl_sqlite *sqlite)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
    int error = pthread_create(thread, NULL, run, sqlite);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        (void)pthread_setname_np(*thread, name); /* for the eye only */
    return -error;
}

static int start_threads(struct ctl_sqlite *sqlite)
{
    int result = start_thread(&sqlite->write_thread, "store", write_batches, sqlite);

    if (result < 0)
        return result;
    result = start_thread(&sqlite->read_thread, "reader", answer_reads, sqlite);
    if (result < 0) {
        stop(sqlite);
        (void)pthread_join(sqlite->write_thread, NULL); /* ours, joined once */
    }
    return result;
}

static int open_loop(struct ctl_sqlite *sqlite, const struct ctl_store_options *options)
{
    static const struct ctl_store_ops ops = {
        .load = load, .post = post_batch, .read = post_read, .close = close_store};

    sqlite->store = (struct ctl_store){.ops = &ops,
                                       .on_committed = options->on_committed,
                                       .on_answered = options->on_answered,
                                       .on_failed = options->on_failed,
                                       .context = options->context};
    (void)pthread_mutex_init(&sqlite->lock, NULL); /* these three cannot fail on Linux */
    (void)pthread_cond_init(&sqlite->posted_cond, NULL);
    (void)pthread_cond_init(&sqlite->asked_cond, NULL);
    return uv_async_init(options->loop, &sqlite->done_async, on_done);
}

int ctl_store_sqlite_open(const struct ctl_store_options *options, struct ctl_store **ret_store,
                          struct fault *fault)
{
    struct ctl_sqlite *sqlite = calloc(1, sizeof(*sqlite));

    ENSURE(sqlite != NULL);
    int length = snprintf(sqlite->path, sizeof(sqlite->path), "%s", options->path);
    if (length < 0 || (size_t)length >= sizeof(sqlite->path)) { /* another file is not it */
        fault_set(fault, STATUS_INVALID, ENAMETOOLONG, "the store's path is too long");
        free(sqlite);
        return -ENAMETOOLONG;
    }
    int result = open_database(sqlite, options, fault);
    if (result < 0) {
        free(sqlite);
        return result;
    }
    result = open_loop(sqlite, options);
    if (result < 0) {
        close_database(sqlite, true);
        free(sqlite);
    } else if ((result = start_threads(sqlite)) < 0) {
        close_database(sqlite, true);
        uv_close((uv_handle_t *)&sqlite->done_async, on_async_closed);
    }
    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "cannot start what writes %s", options->path);
        return result;
    }
    *ret_store = &sqlite->store;
    return 0;
}
