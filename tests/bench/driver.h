/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver.h — a client of the local socket that asks for many things at once and takes the time.
 *
 * Shape    containers are PREFIX0 … PREFIX(count-1); each measure is one function.
 * Units    *_wall_ns CLOCK_REALTIME nanoseconds.
 * Errors   0, or -1 with a line on stderr; no figure is printed then.
 * Owner    main() owns the driver.
 * Context  one thread, in an empty run of nothing else. Speaks through ctl/cli/wire.h, so that
 *          starting a command of the CLI for each container does not count.
 */
#ifndef DROVER_BENCH_DRIVER_H
#define DROVER_BENCH_DRIVER_H

#include "measure.h"
#include "wire.h"

#define GUESTS_MAX 4096
#define NAME_TEXT_BYTES 64
#define PATIENCE_MS 60000

struct driver {
    const char *socket;
    const char *prefix;
    unsigned count;
    int reports; /* the guests' socket */
    struct wire wire;
    uint64_t asked; /* of request ids: each is used once */
};

int driver_connect(struct wire *ret_wire, const char *socket);
/* Words of a fault, on stderr. Returns -1. */
int driver_complain(const char *what, const struct fault *fault);

/* Post one command of container `index`; verb and all else is the caller's. */
int driver_ask(struct driver *driver, unsigned index, struct command command);
/* 1: a final receipt, and a good one; 0: something else; -1: one that is not good. */
int driver_judge(const struct message *message);
/* Take `count` final receipts, all of which must be good. */
int driver_collect(struct driver *driver, unsigned count);

/* The number behind the prefix; -1: not one of ours. */
int driver_index(const struct driver *driver, const char *name);

/* kind "template": the defaults, from the template named `path`. "roots": privileged, and PATH/0 …
 * are their roots, as those of the plain floor and of the peers are directories. */
int driver_create(struct driver *driver, const char *kind, const char *path,
                  const char *reports_dir);
int driver_destroy(struct driver *driver);

/* All starts at once: `per_s` until the last guest runs and was receipted. Guests stay. */
int driver_storm(struct driver *driver);
/* One by one: `median_ms`, `p95_ms` and `p99_ms` from the command to init's first
 * instruction. */
int driver_apart(struct driver *driver, unsigned gap_ms);
/* End each guest by itself: `agent_ms` and `controller_ms`, medians from init's exit to the event
 * at a subscriber of either socket, with their p95. */
int driver_exits(struct driver *driver, unsigned gap_ms, const char *controller);
/* Kill the agent, start `argv` with its words in `log`: `ms` until it lists all as running. Prints
 * its `pid`, too. */
int driver_restart(struct driver *driver, pid_t agent, const char *log, char *const *argv);
/* Ask for all containers, again and again: `median_ms` and `p95_ms` to the last of them. */
int driver_list(struct driver *driver, unsigned rounds);
/* Start and kill, all containers side by side, so many times in all: `per_s`. */
int driver_churn(struct driver *driver, unsigned cycles);

#endif
