/* SPDX-License-Identifier: Apache-2.0 */
/*
 * since.h — where to begin reading events: a seq, a cursor or a time.
 *
 * Shape    text in, the fields of a query out.
 * Units    *_wall_ns CLOCK_REALTIME nanoseconds.
 * Errors   -EINVAL with a fault of status `invalid`.
 * Owner    the text is borrowed by the query.
 * Context  pure. Source: RFC 3339 5.6.
 */
#ifndef DROVER_SINCE_H
#define DROVER_SINCE_H

#include "fault.h"
#include "message.h"

/* A controller's events have cursors, opaque to us; an agent's have seqs. Both take times. */
int since_read(const char *text, bool is_controller, struct query *query, struct fault *fault);

/* 2026-01-02T03:04:05[.123456789]Z, or +01:00 instead of Z; from 1970 on. */
bool time_read(const char *text, uint64_t *ret_wall_ns);

#endif
