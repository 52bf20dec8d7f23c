/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig.h — a store in a directory of its own, on a loop of its own, with notes of what it told.
 *
 * Shape    one rig a process: the store's callbacks carry no more than a batch's number.
 * Units    seconds where a wait is bounded.
 * Errors   a cmocka failure; rig_try_open() alone answers one.
 * Owner    the test.
 * Context  tests of agent/store.h; none of it knows SQLite.
 */
#ifndef DROVER_TEST_STORE_RIG_H
#define DROVER_TEST_STORE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "store.h"
#include "store_limits.h"

struct rig {
    uv_loop_t loop;
    struct store *store; /* NULL: closed */
    char directory[256];
    uint64_t posted; /* batches since the store was opened: their contexts are 1, 2, ... */
    uint64_t told;
    unsigned failures;
    struct fault fault; /* of the failure */
    bool is_posting;    /* a callback now would come from inside store_post() */
    void (*on_told)(uint64_t number);
};
extern struct rig rig;

int rig_make(void **state);   /* cmocka set-up: an empty directory */
int rig_remove(void **state); /* tear-down: closes, and removes the directory */
void rig_open(void);
int rig_try_open(struct fault *fault);
void rig_close(void);
void rig_post(struct store_batch *batch_consumed);
void rig_post_one(const struct store_change *change);
/* Runs the loop until all was told, or the store failed. */
void rig_settle(void);
const char *rig_path(const char *name); /* in the directory; until the next call */
uint64_t rig_file_bytes(const char *name);

void rig_uuid(uint32_t ct, uint8_t uuid[UUID_BYTES]);
/* Every field is a function of seq and ct; rig_check_event() asks for the same. */
struct store_change rig_event(uint64_t seq, uint32_t ct);
struct store_change rig_row(uint32_t ct);
struct store_change rig_delete(uint32_t ct);
struct store_change rig_ack(uint64_t seq);
void rig_check_event(const struct event *event, uint64_t seq, uint32_t ct);
/* rig_event()s first..last of containers seq % cts, in one batch. */
void rig_post_events(uint64_t first, uint64_t last, uint32_t cts);

#endif
