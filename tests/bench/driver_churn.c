/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "clock.h"
#include "driver.h"

static const struct command start = {.verb = VERB_START, .wait = WAIT_FOR_EXEC};
static const struct command end = {.verb = VERB_KILL};

/* Guests report each start; who does not read holds them up. */
static int drain_reports(struct driver *driver)
{
    struct report report;
    int rc;

    while ((rc = reports_next(driver->reports, 0, &report)) == 1)
        ;
    return rc;
}

/* A container that was started is killed, one that was killed is started, until enough were. */
static int take_turns(struct driver *driver, unsigned cycles, unsigned *started, unsigned *ended)
{
    static bool is_up[GUESTS_MAX];
    struct message message;
    struct fault fault = {0};
    int rc;

    while ((rc = wire_take(&driver->wire, &message, &fault)) == 1) {
        int good = driver_judge(&message);
        if (good < 0)
            return -1;
        if (good == 0 || !message.receipt.has_container)
            continue;
        int index = driver_index(driver, message.receipt.container.name);
        if (index < 0)
            return -1;
        is_up[index] = !is_up[index];
        *ended += !is_up[index];
        if (!is_up[index] && *started == cycles)
            continue;
        *started += !is_up[index];
        if (driver_ask(driver, (unsigned)index, is_up[index] ? end : start) < 0)
            return -1;
    }
    return rc < 0 ? driver_complain(driver->socket, &fault) : 0;
}

int driver_churn(struct driver *driver, unsigned cycles)
{
    struct fault fault = {0};
    unsigned started = 0;
    unsigned ended = 0;
    const uint64_t first_ns = clock_wall_ns();

    for (; started < driver->count && started < cycles; started++)
        if (driver_ask(driver, started, start) < 0)
            return -1;
    while (ended < cycles) {
        const uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_MS * NS_PER_MS;
        struct pollfd guests = {.fd = driver->reports, .events = POLLIN};
        if (wire_wait(&driver->wire, &guests, 1, deadline_ns, &fault) < 0) {
            (void)fprintf(stderr, "%u of %u cycles are done\n", ended, cycles);
            return driver_complain(driver->socket, &fault);
        }
        if (drain_reports(driver) < 0 || take_turns(driver, cycles, &started, &ended) < 0)
            return -1;
    }
    measure_print("per_s", cycles / ((double)(clock_wall_ns() - first_ns) / NS_PER_S));
    return 0;
}
