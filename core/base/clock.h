/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h — the two clocks, and wall-clock time as text.
 *
 * Shape    functions that answer nanoseconds in uint64_t.
 * Units    ns since boot (monotonic) or since 1970-01-01 UTC (wall).
 * Errors   none: clock_gettime(2) cannot fail for these clocks.
 * Owner    nobody.
 * Context  any thread; async-signal-safe but for clock_format_wall().
 */
#ifndef DROVER_CLOCK_H
#define DROVER_CLOCK_H

#include <stdint.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define CLOCK_TEXT_BYTES 40

uint64_t clock_monotonic_ns(void);
uint64_t clock_wall_ns(void);

/* RFC 3339, UTC, nine digits: 2026-01-02T03:04:05.000000006Z. Returns text. */
const char *clock_format_wall(uint64_t wall_ns, char text[CLOCK_TEXT_BYTES]);

#endif
