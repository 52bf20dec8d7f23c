/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "scratch.h"

#define GUARD_MS 60000

struct rig rig;

static void on_committed(struct store *store, void *context)
{
    assert_ptr_equal(store, rig.store);
    assert_false(rig.is_posting);
    assert_int_equal((uintptr_t)context, rig.told + 1); /* in the order of posting, each once */
    assert_int_equal(rig.failures, 0);
    rig.told++;
    if (rig.on_told != NULL)
        rig.on_told(rig.told);
}

static void on_failed(struct store *store, const struct fault *fault)
{
    assert_ptr_equal(store, rig.store);
    rig.failures++;
    rig.fault = *fault;
}

const char *rig_path(const char *name)
{
    static char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", rig.directory, name);
    return path;
}

uint64_t rig_file_bytes(const char *name)
{
    struct stat status;

    assert_int_equal(stat(rig_path(name), &status), 0);
    return (uint64_t)status.st_size;
}

int rig_make(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    if (scratch_make(rig.directory, sizeof(rig.directory), "drover-store") == NULL)
        return -1;
    return uv_loop_init(&rig.loop);
}

int rig_remove(void **state)
{
    static const char *const names[] = {
        "node.db",         "node.db-wal",     "node.db-shm", "node.db.new",    "node.db.new-wal",
        "node.db.new-shm", "node.db-journal", "copy",        "node.db.reserve"};

    (void)state;
    if (rig.store != NULL)
        rig_close();
    (void)uv_loop_close(&rig.loop);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (unlink(rig_path(names[i])) < 0)
            (void)rmdir(rig_path(names[i])); /* most are not there */
    return rmdir(rig.directory);
}

int rig_try_open(struct fault *fault)
{
    rig.posted = rig.told = rig.failures = 0;
    return store_open(rig.directory, &rig.loop, on_committed, on_failed, &rig.store, fault);
}

void rig_open(void)
{
    struct fault fault = {0};

    if (rig_try_open(&fault) < 0)
        fail_msg("%s", fault.text);
}

void rig_close(void)
{
    store_close(rig.store);
    rig.store = NULL;
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT); /* on_closed frees it */
}

void rig_post(struct store_batch *batch_consumed)
{
    rig.is_posting = true;
    store_post(rig.store, batch_consumed, (void *)(uintptr_t)++rig.posted);
    rig.is_posting = false;
}

void rig_post_one(const struct store_change *change)
{
    struct store_batch *batch = store_batch_new();

    store_batch_add(batch, change);
    rig_post(batch);
}

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("a batch is never told");
}

void rig_settle(void)
{
    static uv_timer_t guard;

    assert_int_equal(uv_timer_init(&rig.loop, &guard), 0);
    assert_int_equal(uv_timer_start(&guard, on_guard, GUARD_MS, 0), 0);
    while (rig.told < rig.posted && rig.failures == 0)
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&guard, NULL);
    (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
}

/* ---- what is put in ---- */

void rig_uuid(uint32_t ct, uint8_t uuid[UUID_BYTES])
{
    for (size_t i = 0; i < UUID_BYTES; i++)
        uuid[i] = (uint8_t)(ct >> (i % 4 * 8));
    uuid[UUID_BYTES - 1] = 0xc7;
}

struct store_change rig_event(uint64_t seq, uint32_t ct)
{
    struct store_change change = {.kind = STORE_ADD_EVENT};
    struct event *event = &change.event;

    event->epoch = UINT64_C(0x7123456789abcdef) ^ seq;
    event->seq = seq;
    event->time_wall_ns = UINT64_C(1700000000000000000) + seq * 1000;
    event->generation = seq / 2;
    event->type = (enum event_type)(1 + seq % (EVENT_TYPE_COUNT - 1));
    if (event->type == EVENT_GAP) /* the node's own, of no container */
        event->type = EVENT_CHANGED;
    event->from = (enum ct_state)(seq % CT_STATE_COUNT);
    event->to = (enum ct_state)(seq / 3 % CT_STATE_COUNT);
    event->cause = (enum cause)(seq % CAUSE_COUNT);
    event->has_status = seq % 2 == 0;
    event->wait_status = event->has_status ? (int)(seq % 0x10000) : 0;
    event->result = (enum status)(seq % STATUS_COUNT);
    rig_uuid(ct, event->uuid);
    (void)snprintf(event->name, sizeof(event->name), "web-%u", ct);
    (void)snprintf(event->request, sizeof(event->request), "request %d", (int)seq);
    if (seq % 3 == 0)
        memset(event->detail, 'd', seq % EVENT_DETAIL_BYTES);
    return change;
}

void rig_check_event(const struct event *event, uint64_t seq, uint32_t ct)
{
    struct store_change change = rig_event(seq, ct);
    const struct event *expected = &change.event;

    assert_int_equal(event->epoch, expected->epoch);
    assert_int_equal(event->seq, expected->seq);
    assert_int_equal(event->time_wall_ns, expected->time_wall_ns);
    assert_memory_equal(event->uuid, expected->uuid, UUID_BYTES);
    assert_string_equal(event->name, expected->name);
    assert_int_equal(event->generation, expected->generation);
    assert_int_equal(event->type, expected->type);
    assert_int_equal(event->from, expected->from);
    assert_int_equal(event->to, expected->to);
    assert_int_equal(event->cause, expected->cause);
    assert_int_equal(event->has_status, expected->has_status);
    assert_int_equal(event->wait_status, expected->wait_status);
    assert_int_equal(event->result, expected->result);
    assert_string_equal(event->request, expected->request);
    assert_string_equal(event->detail, expected->detail);
}

struct store_change rig_row(uint32_t ct)
{
    struct store_change change = {.kind = STORE_PUT_ROW};
    struct store_row *row = &change.row;

    *row = (struct store_row){.revision = UINT64_MAX - ct,
                              .generation = 7 + ct,
                              .state = (enum ct_state)(1 + ct % (CT_STATE_COUNT - 1)),
                              .is_wanted_running = ct % 2 == 0,
                              .is_restart_owed = ct % 3 == 0,
                              .uid_base = UINT32_MAX - ct,
                              .family = ct % 5,
                              .is_ready_on_exec = ct % 2 == 1,
                              .created_wall_ns = 1000000 + ct,
                              .started_wall_ns = 2000000 + ct,
                              .ended_wall_ns = 3000000 + ct,
                              .oom_kills = 40 + ct,
                              .cause = (enum cause)(ct % CAUSE_COUNT),
                              .has_status = ct % 2 == 0,
                              .wait_status = ct % 2 == 0 ? -1 - (int)ct : 0,
                              .request_verb = (enum verb)(ct % VERB_COUNT)};
    rig_uuid(ct, row->uuid);
    (void)snprintf(row->name, sizeof(row->name), "web-%u", ct);
    (void)snprintf(row->request, sizeof(row->request), "in progress %u", ct);
    return change;
}

struct store_change rig_delete(uint32_t ct)
{
    struct store_change change = rig_row(ct);

    change.kind = STORE_DELETE_ROW;
    return change;
}

struct store_change rig_ack(uint64_t seq)
{
    struct store_change change = {.kind = STORE_ACK_EVENTS};

    change.ack.epoch = 99;
    change.ack.seq = seq;
    return change;
}

void rig_post_events(uint64_t first, uint64_t last, uint32_t cts)
{
    struct store_batch *batch = store_batch_new();

    for (uint64_t seq = first; seq <= last; seq++) {
        struct store_change change = rig_event(seq, (uint32_t)(seq % cts));

        store_batch_add(batch, &change);
    }
    rig_post(batch);
}
