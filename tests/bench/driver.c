/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-driver SOCKET REPORTS PREFIX N VERB…
 *
 *   create template NAME | create roots DIR | storm | apart GAP_MS | exits GAP_MS CONTROLLER_SOCKET
 *   | restart PID LOG AGENT [ARGUMENT…] | list ROUNDS | churn CYCLES | destroy
 */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"

#define MEMORY_MAX_BYTES (64 << 20) /* the limits that the peers are given as well */
#define PIDS_MAX 64

int driver_complain(const char *what, const struct fault *fault)
{
    (void)fprintf(stderr, "%s: %s%s%s\n", what, fault->text, fault->error == 0 ? "" : ": ",
                  fault->error == 0 ? "" : strerror(fault->error));
    return -1;
}

int driver_connect(struct wire *ret_wire, const char *socket)
{
    struct fault fault = {0};

    *ret_wire = WIRE_EMPTY;
    return wire_connect(ret_wire, socket, &fault) < 0 ? driver_complain(socket, &fault) : 0;
}

int driver_ask(struct driver *driver, unsigned index, struct command command)
{
    struct fault fault = {0};
    char request[64];
    char name[NAME_TEXT_BYTES];
    struct message message = {.kind = MESSAGE_COMMAND, .command = command};

    (void)snprintf(name, sizeof(name), "%s%u", driver->prefix, index);
    (void)snprintf(request, sizeof(request), "bench-%d-%llu", getpid(),
                   (unsigned long long)driver->asked++);
    message.command.request_id = request;
    message.command.node = "";
    message.command.container = name;
    return wire_post(&driver->wire, &message, &fault) < 0 ? driver_complain(name, &fault) : 0;
}

int driver_judge(const struct message *message)
{
    const struct receipt *receipt = &message->receipt;

    if (message->kind != MESSAGE_RECEIPT || receipt->phase == PHASE_ACCEPTED)
        return 0;
    if (receipt->phase == PHASE_DONE || receipt->phase == PHASE_UNCHANGED)
        return 1;
    (void)fprintf(stderr, "%s: %s\n",
                  receipt->has_container ? receipt->container.name : receipt->request_id,
                  receipt->fault.text);
    return -1;
}

int driver_collect(struct driver *driver, unsigned count)
{
    const uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_MS * NS_PER_MS;

    for (unsigned done = 0; done < count;) {
        struct message message;
        struct fault fault = {0};
        if (wire_receive(&driver->wire, &message, deadline_ns, &fault) < 0)
            return driver_complain(driver->socket, &fault);
        int good = driver_judge(&message);
        if (good < 0)
            return -1;
        done += (unsigned)good;
    }
    return 0;
}

int driver_index(const struct driver *driver, const char *name)
{
    size_t length = strlen(driver->prefix);
    char *end = NULL;

    if (strncmp(name, driver->prefix, length) != 0)
        return -1;
    unsigned long index = strtoul(name + length, &end, 10);
    return *end == '\0' && end != name + length && index < driver->count ? (int)index : -1;
}

int driver_create(struct driver *driver, const char *kind, const char *path,
                  const char *reports_dir)
{
    const struct bind bench = {.source = reports_dir, .target = "/bench"};
    const bool is_privileged = strcmp(kind, "roots") == 0;
    struct config config = {.template_name = is_privileged ? "" : path,
                            .root = "",
                            .memory_max_bytes = MEMORY_MAX_BYTES,
                            .swap_max_bytes = LIMIT_NONE,
                            .pids_max = PIDS_MAX,
                            .cpu_weight = 100,
                            .binds = &bench,
                            .bind_count = 1,
                            .init = "",
                            .ready = READY_EXEC,
                            .restart = RESTART_NEVER,
                            .on_node_lost = NODE_LOST_REPORT,
                            .is_privileged = is_privileged};

    for (unsigned i = 0; i < driver->count; i++) {
        char root[512];
        (void)snprintf(root, sizeof(root), "%s/%u", path, i);
        if (is_privileged)
            config.root = root;
        if (driver_ask(driver, i, (struct command){.verb = VERB_CREATE, .config = &config}) < 0)
            return -1;
    }
    return driver_collect(driver, driver->count);
}

int driver_destroy(struct driver *driver)
{
    for (unsigned i = 0; i < driver->count; i++)
        if (driver_ask(driver, i, (struct command){.verb = VERB_DESTROY, .is_forced = true}) < 0)
            return -1;
    return driver_collect(driver, driver->count);
}

static int run(struct driver *driver, const char *reports_dir, int argc, char **argv)
{
    const char *verb = argv[0];

    if (strcmp(verb, "create") == 0 && argc == 3)
        return driver_create(driver, argv[1], argv[2], reports_dir);
    if (strcmp(verb, "storm") == 0 && argc == 1)
        return driver_storm(driver);
    if (strcmp(verb, "apart") == 0 && argc == 2)
        return driver_apart(driver, measure_count(argv[1], 10000));
    if (strcmp(verb, "exits") == 0 && argc == 3)
        return driver_exits(driver, measure_count(argv[1], 10000), argv[2]);
    if (strcmp(verb, "restart") == 0 && argc > 3)
        return driver_restart(driver, (pid_t)measure_count(argv[1], 1 << 30), argv[2], argv + 3);
    if (strcmp(verb, "list") == 0 && argc == 2)
        return driver_list(driver, measure_count(argv[1], 10000));
    if (strcmp(verb, "churn") == 0 && argc == 2)
        return driver_churn(driver, measure_count(argv[1], 10000000));
    if (strcmp(verb, "destroy") == 0 && argc == 1)
        return driver_destroy(driver);
    (void)fprintf(stderr, "bench-driver: '%s' is not a verb with these arguments\n", verb);
    return -1;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        (void)fputs("usage: bench-driver SOCKET REPORTS PREFIX N VERB…\n", stderr);
        return 2;
    }
    struct driver driver = {.socket = argv[1],
                            .prefix = argv[3],
                            .count = measure_count(argv[4], GUESTS_MAX),
                            .reports = reports_open(argv[2])};
    if (driver.reports < 0) {
        (void)fprintf(stderr, "%s/sock: %s\n", argv[2], strerror(-driver.reports));
        return 1;
    }
    if (driver_connect(&driver.wire, driver.socket) < 0)
        return 1;
    int rc = run(&driver, argv[2], argc - 5, argv + 5);
    wire_close(&driver.wire);
    fd_closep(&driver.reports);
    return rc < 0 ? 1 : 0;
}
