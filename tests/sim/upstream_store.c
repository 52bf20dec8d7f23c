/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's disk: what ctl_store_sqlite.c does with a thread. */
#include <errno.h>
#include <string.h>

#include "checks.h"
#include "ensure.h"
#include "faults.h"
#include "upstream.h"
#include "vfs.h"

#define SEQ_NEVER 1000000 /* no seed comes so far */

#define PATH_DB DISK_CTL "/controller.db"

static int connect_to_disk(sqlite3 **ret_db)
{
    int code = sqlite3_open_v2(PATH_DB, ret_db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                               SIMVFS_NAME);

    if (code == SQLITE_OK)
        code = database_set_up(*ret_db);
    if (code == SQLITE_OK)
        return 0;
    int result = database_error(*ret_db, code);
    (void)sqlite3_close(*ret_db);
    return result;
}

static void make(struct sim *sim)
{
    sqlite3 *db;
    int code = sqlite3_open_v2(PATH_DB, &db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                               SIMVFS_NAME);

    if (code == SQLITE_OK)
        code = database_init_new(db, &ctl_database);
    ENSURE(code == SQLITE_OK);
    (void)sqlite3_close(db);
    simvfs_sync_directory(DISK_CTL);
    sim->ctl->is_disk_made = true;
}

static int on_node(const struct ctl_node *node, void *context)
{
    (void)node;
    (void)context;
    return 0;
}

static int on_head(const struct ctl_head *head, void *context)
{
    struct sim *sim = context;

    ingest_load(&sim->ctl->ingest, head);
    return 0;
}

static int on_container(const struct ctl_container *container, void *context)
{
    (void)container;
    (void)context;
    return 0;
}

static int on_command(const struct ctl_command *command, void *context)
{
    (void)command;
    (void)context;
    return 0;
}

static int on_last(uint64_t cursor, void *context)
{
    (void)cursor;
    (void)context;
    return 0;
}

static int load(struct sim *sim)
{
    static const struct ctl_found found = {.node = on_node,
                                           .head = on_head,
                                           .container = on_container,
                                           .command = on_command,
                                           .last = on_last};

    ingest_init(&sim->ctl->ingest, 0);
    return ctl_reader_load(&sim->ctl->reader, &found, sim);
}

int ctl_disk_open(struct sim *sim)
{
    struct ctl *ctl = sim->ctl;
    struct fault fault = {0};
    sqlite3 *db;

    if (!ctl->is_disk_made)
        make(sim);
    int result = connect_to_disk(&db);
    if (result < 0)
        return result;
    result = database_check(db, &ctl_database, PATH_DB, &fault);
    if (result < 0) {
        (void)sqlite3_close(db);
        if (result == -EUCLEAN)
            sim_fail(sim, "upstream", "controller.db is damaged: %s", fault.text);
        return result;
    }
    result = ctl_writer_open(&ctl->writer, db, CTL_EVENTS_KEPT, sim->now.wall_ns);
    if (result < 0)
        return result;
    result = connect_to_disk(&db);
    if (result == 0)
        result = ctl_reader_open(&ctl->reader, db);
    if (result == 0)
        result = load(sim);
    if (result < 0)
        ctl_writer_close(&ctl->writer, false);
    else
        checks_ctl_started(sim, &ctl->ingest.committed);
    return result;
}

void ctl_disk_close(struct sim *sim)
{
    struct ctl *ctl = sim->ctl;

    simvfs_kill(DISK_CTL);
    ctl_reader_close(&ctl->reader);
    ctl_writer_close(&ctl->writer, false);
    while (ctl->count > 0) {
        ctl_batch_free(ctl->posted[ctl->first]);
        ctl->first = (ctl->first + 1) % CTL_BATCHES_MAX;
        ctl->count--;
    }
    ctl->committed = 0;
    ctl->is_commit_due = false;
}

void ctl_post(struct sim *sim, struct ctl_batch *batch)
{
    struct ctl *ctl = sim->ctl;

    ENSURE(ctl->count < CTL_BATCHES_MAX);
    ctl->posted[(ctl->first + ctl->count++) % CTL_BATCHES_MAX] = batch;
    if (ctl->is_commit_due)
        return;
    ctl->is_commit_due = true;
    sim_after(sim, sim_delay(sim, 300 * US_NS), HAPPENING_CTL_COMMIT, ctl->life, 0);
}

void ctl_commit(struct sim *sim)
{
    struct ctl *ctl = sim->ctl;
    int code;

    ctl->is_commit_due = false;
    if (ctl->committed == ctl->count)
        return;
    code = ctl_writer_begin(&ctl->writer, sim->now.wall_ns);
    for (uint32_t i = ctl->committed; code == SQLITE_OK && i < ctl->count; i++)
        code = ctl_writer_apply(&ctl->writer, ctl->posted[(ctl->first + i) % CTL_BATCHES_MAX]);
    if (code == SQLITE_OK)
        code = ctl_writer_commit(&ctl->writer);
    if (code != SQLITE_OK) {
        checks_ctl_commit_failed(sim);
        ctl_crash(sim, "its commit failed");
        return;
    }
    for (uint32_t i = ctl->committed; i < ctl->count; i++)
        checks_ctl_committed(sim, ctl->posted[(ctl->first + i) % CTL_BATCHES_MAX]);
    ctl->committed = ctl->count;
    sim_after(sim, sim_delay(sim, 50 * US_NS), HAPPENING_CTL_TOLD, ctl->life, 0);
    if (ctl_writer_checkpoint(&ctl->writer) != SQLITE_OK)
        ctl_crash(sim, "its checkpoint failed");
}

void ctl_told(struct sim *sim)
{
    struct ctl *ctl = sim->ctl;
    uint64_t acknowledged = 0;

    for (; ctl->committed > 0; ctl->committed--, ctl->count--) {
        struct ctl_batch *batch = ctl->posted[ctl->first];

        ctl->first = (ctl->first + 1) % CTL_BATCHES_MAX;
        for (size_t i = 0; i < batch->count; i++) {
            uint64_t seq = ingest_committed(&ctl->ingest, &batch->changes[i]);

            if (seq != 0)
                acknowledged = seq;
        }
        ctl_batch_free(batch);
    }
    if (acknowledged != 0)
        ctl_acknowledge(sim, acknowledged);
    if (acknowledged != 0 && faults_is_ack_strange(sim))
        ctl_acknowledge(sim, acknowledged + SEQ_NEVER);
}
