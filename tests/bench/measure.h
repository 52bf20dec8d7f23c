/* SPDX-License-Identifier: Apache-2.0 */
/*
 * measure.h — what every bench program shares: the guests' reports, and figures of many samples.
 *
 * Shape    a datagram socket DIR/sock that is bound into each guest on /bench; trivial_init.c
 *          sends "HOSTNAME ready|down NANOSECONDS" to it.
 * Units    *_wall_ns CLOCK_REALTIME nanoseconds: no time namespace moves that clock.
 * Errors   -errno.
 * Owner    the caller owns the socket; the path stays behind for whoever removes DIR.
 * Context  any thread. Source: unix(7) SO_PASSCRED.
 */
#ifndef DROVER_BENCH_MEASURE_H
#define DROVER_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define REPORT_HOST_BYTES 65

struct report {
    char host[REPORT_HOST_BYTES];
    bool is_ready; /* else down */
    uint64_t wall_ns;
    pid_t pid; /* the guest's PID 1, as this process sees it */
};

int reports_open(const char *dir);

/* Returns 1 with a report, 0 when none came within timeout_ms, or -errno. */
int reports_next(int sock, int timeout_ms, struct report *ret_report);

/* Sorts. The value below which percent of the samples lie; NaN of none. */
double measure_percentile(double *values, size_t count, unsigned percent);

/* "KEY VALUE", as tests/bench/run reads it. */
void measure_print(const char *key, double value);

/* Sleep to an instant of CLOCK_REALTIME: the spacing that a bench asks for. */
void measure_sleep_until(uint64_t wall_ns);

/* A count from the command line: 1 to max, or the process ends with 2. */
unsigned measure_count(const char *text, unsigned max);

#endif
