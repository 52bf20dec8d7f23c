/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

struct rig rig;

int rig_start(void **state)
{
    (void)state;
    rig = (struct rig){.events_max = 1000000, .now_wall_ns = RIG_WALL_NS};
    (void)snprintf(rig.dir, sizeof(rig.dir), "/tmp/drover-ctl-store.XXXXXX");
    assert_non_null(mkdtemp(rig.dir));
    (void)snprintf(rig.path, sizeof(rig.path), "%s/controller.db", rig.dir);
    rig_open();
    return 0;
}

void rig_open(void)
{
    struct fault fault = {0};
    sqlite3 *db = NULL;
    sqlite3 *reader = NULL;

    if (database_open(rig.path, &ctl_database, &db, &fault) < 0)
        fail_msg("%s", fault.text);
    assert_int_equal(ctl_writer_open(&rig.writer, db, rig.events_max, rig.now_wall_ns), SQLITE_OK);
    assert_int_equal(database_open_reader(rig.path, &reader), 0);
    assert_int_equal(ctl_reader_open(&rig.reader, reader), 0);
    rig.is_open = true;
}

static void close_both(bool is_whole)
{
    ctl_reader_close(&rig.reader);
    ctl_writer_close(&rig.writer, is_whole);
    rig.is_open = false;
}

void rig_kill(void)
{
    close_both(false);
}

void rig_close(void)
{
    close_both(true);
}

int rig_stop(void **state)
{
    static const char *const files[] = {"controller.db", "controller.db-wal", "controller.db-shm",
                                        "controller.db.new", "copy"};

    (void)state;
    if (rig.is_open)
        rig_kill();
    ctl_batch_free(rig.batch);
    ctl_read_free(rig.read);
    AUTO_FD dir = open(rig.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < COUNT_OF(files); i++)
        (void)unlinkat(dir, files[i], 0);
    assert_int_equal(rmdir(rig.dir), 0);
    return 0;
}

static struct ctl_batch *composed(void)
{
    if (rig.batch != NULL && rig.batch->now_wall_ns != 0) { /* committed: only to be looked at */
        ctl_batch_free(rig.batch);
        rig.batch = NULL;
    }
    if (rig.batch == NULL)
        rig.batch = ctl_batch_new();
    return rig.batch;
}

void rig_add(const struct ctl_change *change)
{
    (void)ctl_batch_add(composed(), change);
}

void rig_commit(void)
{
    struct ctl_batch *batch = composed();

    batch->now_wall_ns = rig.now_wall_ns;
    assert_int_equal(ctl_writer_begin(&rig.writer, rig.now_wall_ns), SQLITE_OK);
    assert_int_equal(ctl_writer_apply(&rig.writer, batch), SQLITE_OK);
    assert_int_equal(ctl_writer_commit(&rig.writer), SQLITE_OK);
    assert_int_equal(ctl_writer_checkpoint(&rig.writer), SQLITE_OK);
}

void rig_node(uint32_t id, const char *name)
{
    struct ctl_change change = {.kind = CTL_PUT_NODE};

    change.node.id = id;
    (void)snprintf(change.node.name, sizeof(change.node.name), "%s", name);
    rig_add(&change);
}

void rig_event(uint32_t node, uint64_t epoch, uint64_t seq)
{
    struct ctl_change change = {.kind = CTL_ADD_EVENT};

    change.add.node = node;
    change.add.event = (struct event){.epoch = epoch,
                                      .seq = seq,
                                      .time_wall_ns = rig.now_wall_ns,
                                      .uuid = {(uint8_t)(node + 1), 2, 3},
                                      .name = "web",
                                      .generation = 1,
                                      .type = EVENT_CHANGED,
                                      .from = CT_BOOTING,
                                      .to = CT_RUNNING};
    rig_add(&change);
}

const struct ctl_read *rig_read(const struct ctl_read *query)
{
    struct ctl_read *read = ctl_read_new(query->kind);
    struct ctl_event *events = read->events;

    *read = *query;
    read->events = events;
    assert_int_equal(ctl_reader_read(&rig.reader, read), 0);
    ctl_read_free(rig.read);
    rig.read = read;
    return read;
}

size_t rig_count(void)
{
    struct ctl_read query = {.kind = CTL_READ_EVENTS, .until = INT64_MAX};
    size_t count = 0;

    while (query.after < query.until) {
        const struct ctl_read *read = rig_read(&query);
        count += read->count;
        query.after = read->position;
    }
    return count;
}
