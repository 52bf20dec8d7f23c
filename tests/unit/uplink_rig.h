/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uplink_rig.h — an uplink under test, and a ledger's answers to it.
 *
 * Shape    one static struct uplink a test program.
 * Units    seq of the ledger.
 * Errors   a cmocka failure.
 * Owner    the test.
 * Context  tests of agent/uplink.h.
 */
#ifndef DROVER_TEST_UPLINK_RIG_H
#define DROVER_TEST_UPLINK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "uplink.h"

#define E1 UINT64_C(0xe1)
#define E2 UINT64_C(0xe2)

static struct uplink uplink;

/* A ledger of one epoch that keeps first..last, as it answers the question. */
static struct uplink_look whole(const struct uplink_look *question, uint64_t first, uint64_t last,
                                uint64_t epoch)
{
    struct uplink_look look = *question;
    uint64_t head = question->head.seq;

    look.first = first;
    look.last = last;
    look.epoch_at = head >= first && head <= last ? epoch : 0;
    if (epoch == question->head.epoch && head >= first)
        look.last_of_epoch = head < last ? head : last;
    return look;
}

static struct uplink_look ask(void)
{
    struct uplink_look question;

    assert_true(uplink_wants_look(&uplink, &question));
    assert_false(uplink_wants_look(&uplink, &question));
    return question;
}

/* As node.db has it: what is acknowledged is of the first epoch. */
static void begin(uint64_t durable, uint64_t acked)
{
    const struct uplink_head head = {acked == 0 ? 0 : E1, acked};

    uplink_init(&uplink, durable, &head);
}

static void went(uint64_t last_seq, size_t count)
{
    const struct event last = {.epoch = E1, .seq = last_seq};

    uplink_sent(&uplink, &last, count);
}
static void store_acked(uint64_t wanted)
{
    struct uplink_head acked = {0};

    assert_true(uplink_take_acked(&uplink, &acked));
    assert_int_equal(acked.seq, wanted);
    assert_false(uplink_take_acked(&uplink, &acked));
    uplink_acked_committed(&uplink, acked.seq);
}

#endif
