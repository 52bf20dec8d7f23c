/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig.h — controller.db in a directory of its own, changed and read without threads.
 *
 * Shape    one database a test: rig_open() and rig_stop(); batches are composed, then committed.
 * Units    as in ctl_store.h.
 * Errors   cmocka's: any unexpected code fails the running test.
 * Owner    the rig; what rig_read() answers holds until the next call.
 * Context  one thread.
 */
#ifndef DROVER_TEST_CTL_STORE_RIG_H
#define DROVER_TEST_CTL_STORE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl_store_sqlite.h"
#include "ingest.h"

#define RIG_WALL_NS UINT64_C(1700000000000000000)

struct rig {
    char dir[64];
    char path[96];
    uint64_t events_max;
    uint64_t now_wall_ns;
    bool is_open;
    struct ctl_writer writer;
    struct ctl_reader reader;
    struct ctl_batch *batch; /* being composed */
    struct ctl_read *read;
};
extern struct rig rig;

int rig_start(void **state); /* cmocka's set-up and teardown */
int rig_stop(void **state);
void rig_open(void);
/* As if the process had been killed: what is not committed is gone. */
void rig_kill(void);
void rig_close(void); /* its log is moved into it */

void rig_add(const struct ctl_change *change);
/* Composed batch → transaction; it is looked at in rig.batch until the next rig_add(). */
void rig_commit(void);

void rig_node(uint32_t id, const char *name);
void rig_event(uint32_t node, uint64_t epoch, uint64_t seq);
const struct ctl_read *rig_read(const struct ctl_read *query);
/* All that are kept, by pages. */
size_t rig_count(void);

#endif
