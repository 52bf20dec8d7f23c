/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_limits.h — what node.db may forget, and when.
 *
 * Shape    history is what upstream has acknowledged. It stays until it is both older and more than
 *          the minimum, and goes at the maximum however new it is, so that it does not crowd out
 *          what upstream does not have yet. What is not acknowledged stays up to the ledger's
 *          bound; beyond it commands that change something are refused, and what goes is counted in
 *          an event `gap`, ends of generations last.
 * Units    *_ns by the events' own wall clock; *_bytes of the whole node.db, without its log.
 * Errors   none: transactions prune a few rows each.
 * Owner    struct store.
 * Context  store_set_limits() before the first post; for tests.
 */
#ifndef DROVER_STORE_LIMITS_H
#define DROVER_STORE_LIMITS_H

#include <stdint.h>

struct store;

#define STORE_RESERVE_BYTES (UINT64_C(16) << 20) /* given up where the disk is full */
/* After what upstream has acknowledged, as node.db knows it, so many events are never dropped: who
 * sends no more than these before that is durable sends nothing that turns into a gap. */
#define STORE_WINDOW_EVENTS 8192

struct store_limits {
    uint64_t history_min_ns;
    uint64_t history_min_bytes;
    uint64_t history_max_bytes;
    uint64_t ledger_max_bytes;
    uint64_t result_min_ns; /* a result stays so long, and until its event is acknowledged */
    uint32_t results_max;   /* more than these: an acknowledged one goes before its time */
    uint32_t window_events; /* > 0 */
    uint32_t wal_frames;    /* pages in the log: the next commit that finds more moves them */
};
extern const struct store_limits store_limits_default;

void store_set_limits(struct store *store, const struct store_limits *limits);

#endif
