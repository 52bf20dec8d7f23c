/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's disk: what store.c does with a thread. A group is all that was posted when the writer
 * comes to it; the loop hears of it later, and may die in between. */
#include "node_life.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "database.h"
#include "ensure.h"
#include "faults.h"
#include "vfs.h"

#define PATH_DB DISK_NODE "/node.db"
#define LEDGER_ID "3fc46f4a-0000-4000-8000-000000000001"

static int connect_to_disk(int flags, sqlite3 **ret_db)
{
    int code = sqlite3_open_v2(PATH_DB, ret_db, flags | SQLITE_OPEN_NOMUTEX, SIMVFS_NAME);

    if (code == SQLITE_OK)
        code = database_set_up(*ret_db);
    if (code == SQLITE_OK)
        return 0;
    int result = database_error(*ret_db, code);
    (void)sqlite3_close(*ret_db);
    *ret_db = NULL;
    return result;
}

/* Made before the seed's first turn: a new node.db beside the old one is the file's business. */
static void make(struct sim *sim)
{
    sqlite3 *db;
    int code = sqlite3_open_v2(PATH_DB, &db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                               SIMVFS_NAME);

    if (code == SQLITE_OK)
        code = store_db_init_new(db, LEDGER_ID);
    ENSURE(code == SQLITE_OK);
    (void)sqlite3_close(db);
    simvfs_sync_directory(DISK_NODE);
    sim->agent->is_disk_made = true;
}

static int open_both(struct sim *sim)
{
    struct agent_store *store = &sim->agent->store;
    struct fault fault = {0};
    sqlite3 *db;
    int result = connect_to_disk(SQLITE_OPEN_READWRITE, &db);

    if (result < 0)
        return result;
    result = store_db_check(db, PATH_DB, &fault);
    if (result < 0) {
        (void)sqlite3_close(db);
        if (result == -EUCLEAN)
            sim_fail(sim, "ledger", "node.db is damaged: %s", fault.text);
        return result;
    }
    if (store_writer_open(&store->writer, db) != SQLITE_OK) {
        store_writer_close(&store->writer, false);
        return -EIO;
    }
    faults_limit_store(sim, &store->writer.limits);
    result = connect_to_disk(SQLITE_OPEN_READWRITE, &db);
    if (result == 0)
        result = store_reader_open(&store->reader, db);
    if (result < 0)
        store_writer_close(&store->writer, false);
    return result;
}

int agent_store_open(struct sim *sim)
{
    struct agent_store *store = &sim->agent->store;

    if (!sim->agent->is_disk_made)
        make(sim);
    memset(store, 0, sizeof(*store));
    int result = open_both(sim);
    store->is_open = result == 0;
    return result;
}

void agent_store_close(struct sim *sim, bool is_whole)
{
    struct agent_store *store = &sim->agent->store;

    if (!store->is_open)
        return;
    store->is_open = false;
    simvfs_kill(DISK_NODE);
    store_reader_close(&store->reader);
    store_writer_close(&store->writer, is_whole);
    for (uint32_t i = 0; i < store->count; i++) {
        struct posted *posted = &store->posted[(store->first + i) % POSTED_MAX];

        store_batch_free(posted->batch);
        told_free(posted->told);
    }
    store->count = 0;
}

void agent_store_post(struct sim *sim, struct store_batch *batch, struct told *told)
{
    struct agent_store *store = &sim->agent->store;

    ENSURE(store->count < POSTED_MAX);
    store->posted[(store->first + store->count++) % POSTED_MAX] = (struct posted){batch, told};
    if (store->is_commit_due)
        return;
    store->is_commit_due = true;
    sim_after(sim, sim_delay(sim, 200 * US_NS), HAPPENING_AGENT_COMMIT, sim->agent->life, 0);
}

void agent_commit(struct sim *sim)
{
    struct agent_store *store = &sim->agent->store;
    int code;

    store->is_commit_due = false;
    if (store->committed == store->count)
        return;
    code = store_writer_begin(&store->writer, sim->now.ns, sim->now.wall_ns);
    for (uint32_t i = store->committed; code == SQLITE_OK && i < store->count; i++)
        code = store_writer_apply(&store->writer,
                                  store->posted[(store->first + i) % POSTED_MAX].batch);
    if (code == SQLITE_OK)
        code = store_writer_commit(&store->writer);
    if (code != SQLITE_OK) { /* never again: what was promised durable may not be */
        checks_commit_failed(sim);
        agent_crash(sim, "its commit failed");
        return;
    }
    for (uint32_t i = store->committed; i < store->count; i++)
        checks_committed(sim, store->posted[(store->first + i) % POSTED_MAX].batch);
    store->committed = store->count;
    sim_after(sim, sim_delay(sim, 50 * US_NS), HAPPENING_AGENT_TOLD, sim->agent->life, 0);
    if (store_writer_checkpoint(&store->writer) != SQLITE_OK)
        agent_crash(sim, "its checkpoint failed");
}

void agent_told(struct sim *sim)
{
    struct agent *agent = sim->agent;
    struct agent_store *store = &agent->store;

    while (agent->is_alive && store->committed > 0) {
        struct posted posted = store->posted[store->first];

        store->first = (store->first + 1) % POSTED_MAX;
        store->count--;
        store->committed--;
        store_batch_free(posted.batch);
        adopt_on_committed(sim);
        turn_core_tell(posted.told);
        if (agent->is_alive && faults_is_last_word(sim))
            agent_crash(sim, "between two batches that were committed together");
    }
}
