/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "driver.h"

static const struct command start = {.verb = VERB_START, .wait = WAIT_FOR_EXEC};

/* What came in since the last look. */
struct progress {
    unsigned reported;
    unsigned receipted;
    uint64_t last_ready_ns;
};

static int take_reports(struct driver *driver, struct progress *progress)
{
    struct report report;
    int rc;

    while ((rc = reports_next(driver->reports, 0, &report)) == 1) {
        if (!report.is_ready || driver_index(driver, report.host) < 0)
            continue;
        progress->reported++;
        progress->last_ready_ns = report.wall_ns;
    }
    return rc;
}

static int take_receipts(struct driver *driver, struct progress *progress)
{
    struct message message;
    struct fault fault = {0};
    int rc;

    while ((rc = wire_take(&driver->wire, &message, &fault)) == 1) {
        int good = driver_judge(&message);
        if (good < 0)
            return -1;
        progress->receipted += (unsigned)good;
    }
    return rc < 0 ? driver_complain(driver->socket, &fault) : 0;
}

/* Wait until so many guests have reported and so many starts were receipted. */
static int wait_for(struct driver *driver, struct progress *progress, unsigned count)
{
    const uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_MS * NS_PER_MS;
    struct fault fault = {0};

    while (progress->reported < count || progress->receipted < count) {
        struct pollfd guests = {.fd = driver->reports, .events = POLLIN};
        if (wire_wait(&driver->wire, &guests, 1, deadline_ns, &fault) < 0) {
            (void)fprintf(stderr, "%u of %u guests reported, %u were receipted\n",
                          progress->reported, count, progress->receipted);
            return driver_complain(driver->socket, &fault);
        }
        if (take_reports(driver, progress) < 0 || take_receipts(driver, progress) < 0)
            return -1;
    }
    return 0;
}

int driver_storm(struct driver *driver)
{
    struct progress progress = {0};

    for (unsigned i = 0; i < driver->count; i++)
        if (driver_ask(driver, i, start) < 0)
            return -1;
    const uint64_t first_ns = clock_wall_ns();
    if (wait_for(driver, &progress, driver->count) < 0)
        return -1;
    measure_print("per_s", driver->count / ((double)(clock_wall_ns() - first_ns) / NS_PER_S));
    return 0;
}

int driver_apart(struct driver *driver, unsigned gap_ms)
{
    static double took_ms[GUESTS_MAX];
    struct progress progress = {0};
    uint64_t next_ns = clock_wall_ns();

    for (unsigned i = 0; i < driver->count; i++, next_ns += gap_ms * NS_PER_MS) {
        measure_sleep_until(next_ns);
        uint64_t asked_ns = clock_wall_ns();
        if (driver_ask(driver, i, start) < 0 || wait_for(driver, &progress, i + 1) < 0)
            return -1;
        took_ms[i] = (double)(progress.last_ready_ns - asked_ns) / NS_PER_MS;
    }
    measure_print("median_ms", measure_percentile(took_ms, driver->count, 50));
    measure_print("p95_ms", measure_percentile(took_ms, driver->count, 95));
    measure_print("p99_ms", measure_percentile(took_ms, driver->count, 99));
    return 0;
}
