/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each guest is started, then told by a signal to exit; it says when it does ("down"). The event
 * that ends its generation is awaited at two subscribers at once.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#include "cleanup.h"
#include "clock.h"
#include "driver.h"
#include "trivial_init.h"

#define EXIT_CODE 7

enum place { AT_AGENT, AT_CONTROLLER, PLACES };

struct subscriber {
    const char *socket;
    struct wire wire;
    uint64_t heard_wall_ns; /* of the guest at hand; 0: not yet */
    double took_ms[GUESTS_MAX];
};

static struct subscriber subscribers[PLACES];

/* A follower has no first answer; the answer to a second query, which is served after it, tells
 * that it is in force. */
static int subscribe(struct subscriber *subscriber)
{
    const uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_MS * NS_PER_MS;
    struct message message = {.kind = MESSAGE_QUERY};
    struct fault fault = {0};

    if (driver_connect(&subscriber->wire, subscriber->socket) < 0)
        return -1;
    message.query = (struct query){.request_id = "bench-follow",
                                   .node = "",
                                   .container = "",
                                   .since_cursor = "",
                                   .kind = QUERY_EVENTS,
                                   .since = SINCE_NOW,
                                   .is_follow = true};
    int rc = wire_post(&subscriber->wire, &message, &fault);
    message.query = (struct query){.request_id = "bench-version",
                                   .node = "",
                                   .container = "",
                                   .since_cursor = "",
                                   .kind = QUERY_VERSION};
    if (rc == 0)
        rc = wire_post(&subscriber->wire, &message, &fault);
    while (rc >= 0) {
        rc = wire_receive(&subscriber->wire, &message, deadline_ns, &fault);
        if (rc >= 0 && message.kind == MESSAGE_ANSWER &&
            strcmp(message.answer.request_id, "bench-version") == 0)
            return 0;
    }
    return driver_complain(subscriber->socket, &fault);
}

static bool is_end_of(const struct event *event, const char *name)
{
    return event->type == EVENT_CHANGED && event->cause != CAUSE_UNSET &&
           strcmp(event->name, name) == 0;
}

static int take_events(struct subscriber *subscriber, const char *name, uint64_t now_wall_ns)
{
    struct message message;
    struct fault fault = {0};
    int rc;

    while ((rc = wire_take(&subscriber->wire, &message, &fault)) == 1) {
        if (message.kind != MESSAGE_ANSWER)
            continue;
        for (size_t i = 0; i < message.answer.event_count; i++) {
            const struct event *event = &message.answer.events[i].event;
            if (!is_end_of(event, name) || subscriber->heard_wall_ns != 0)
                continue;
            subscriber->heard_wall_ns = now_wall_ns;
            if (event->cause != CAUSE_EXITED || event->wait_status != EXIT_CODE << 8) {
                (void)fprintf(stderr, "%s: exited with %d, told as %s\n", name, EXIT_CODE,
                              cause_name(event->cause));
                return -1;
            }
        }
    }
    return rc < 0 ? driver_complain(subscriber->socket, &fault) : 0;
}

/* Both sockets are watched in one poll, so that neither waits for the other. */
static int await_events(const char *name)
{
    const uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_MS * NS_PER_MS;
    struct subscriber *agent = &subscribers[AT_AGENT];
    struct subscriber *controller = &subscribers[AT_CONTROLLER];

    agent->heard_wall_ns = controller->heard_wall_ns = 0;
    while (agent->heard_wall_ns == 0 || controller->heard_wall_ns == 0) {
        struct pollfd other = {.fd = controller->wire.fd, .events = POLLIN};
        struct fault fault = {0};
        if (wire_wait(&agent->wire, &other, 1, deadline_ns, &fault) < 0)
            return driver_complain(name, &fault);
        uint64_t now_wall_ns = clock_wall_ns();
        if (other.revents != 0 && wire_wait(&controller->wire, NULL, 0, deadline_ns, &fault) < 0)
            return driver_complain(controller->socket, &fault);
        if (take_events(agent, name, now_wall_ns) < 0 ||
            take_events(controller, name, now_wall_ns) < 0)
            return -1;
    }
    return 0;
}

static int await_report(struct driver *driver, const char *name, bool is_ready,
                        struct report *ret_report)
{
    int rc;

    while ((rc = reports_next(driver->reports, PATIENCE_MS, ret_report)) == 1)
        if (ret_report->is_ready == is_ready && strcmp(ret_report->host, name) == 0)
            return 0;
    (void)fprintf(stderr, "%s does not report: %s\n", name,
                  rc < 0 ? strerror(-rc) : "nothing heard");
    return -1;
}

static int tell_to_exit(pid_t pid)
{
    AUTO_FD pidfd = pidfd_open(pid, 0);
    siginfo_t info = {.si_signo = TRIVIAL_SIGNAL, .si_code = SI_QUEUE};

    info.si_value.sival_int = TRIVIAL_EXIT * 256 + EXIT_CODE;
    if (pidfd >= 0 && pidfd_send_signal(pidfd, TRIVIAL_SIGNAL, &info, 0) == 0)
        return 0;
    (void)fprintf(stderr, "init %d cannot be told to exit: %s\n", pid, strerror(errno));
    return -1;
}

static int measure_exit(struct driver *driver, unsigned index, unsigned gap_ms)
{
    const struct command start = {.verb = VERB_START, .wait = WAIT_FOR_EXEC};
    char name[NAME_TEXT_BYTES];
    struct report report;

    (void)snprintf(name, sizeof(name), "%s%u", driver->prefix, index);
    if (driver_ask(driver, index, start) < 0 || driver_collect(driver, 1) < 0 ||
        await_report(driver, name, true, &report) < 0)
        return -1;
    measure_sleep_until(clock_wall_ns() + gap_ms * NS_PER_MS); /* what its start set off is over */
    if (tell_to_exit(report.pid) < 0 || await_events(name) < 0 ||
        await_report(driver, name, false, &report) < 0)
        return -1;
    for (int place = 0; place < PLACES; place++)
        subscribers[place].took_ms[index] =
            (double)(subscribers[place].heard_wall_ns - report.wall_ns) / NS_PER_MS;
    return 0;
}

int driver_exits(struct driver *driver, unsigned gap_ms, const char *controller)
{
    static const char *const keys[PLACES][2] = {{"agent_ms", "agent_p95_ms"},
                                                {"controller_ms", "controller_p95_ms"}};
    int rc = 0;

    subscribers[AT_AGENT] = (struct subscriber){.socket = driver->socket, .wire = WIRE_EMPTY};
    subscribers[AT_CONTROLLER] = (struct subscriber){.socket = controller, .wire = WIRE_EMPTY};
    for (int place = 0; place < PLACES && rc == 0; place++)
        rc = subscribe(&subscribers[place]);
    for (unsigned i = 0; i < driver->count && rc == 0; i++)
        rc = measure_exit(driver, i, gap_ms);
    for (int place = 0; place < PLACES; place++) {
        double *took_ms = subscribers[place].took_ms;
        wire_close(&subscribers[place].wire);
        if (rc < 0)
            continue;
        measure_print(keys[place][0], measure_percentile(took_ms, driver->count, 50));
        measure_print(keys[place][1], measure_percentile(took_ms, driver->count, 95));
    }
    return rc;
}
