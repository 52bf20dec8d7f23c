/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.h — what agent and controller do alike at their start.
 *
 * Shape    functions for main().
 * Units    none.
 * Errors   a fault in words; daemon_complain() says it and gives the exit code.
 * Owner    the caller owns the descriptor.
 * Context  once, at start, before any thread. Source: signalfd(2), getrlimit(2), inih's ini.h.
 */
#ifndef DROVER_DAEMON_H
#define DROVER_DAEMON_H

#include <stdbool.h>

#include "fault.h"

/* "drover-agent: what: errno's words", and the hint on a line of its own. Returns the exit code. */
int daemon_complain(const char *program, const struct fault *fault);

/* As many descriptors as are allowed, and a table with room for thousands; the soft limit serves as
 * well, for fewer. Before threads are made. */
void daemon_raise_nofile(void);

/* Blocks of 128 KiB and more go back to the kernel when they are freed, and what is free at the
 * heap's end: mallopt(3). */
void daemon_return_memory(void);

/* SIGTERM and SIGINT as a descriptor to read; both are blocked for this and all later threads. */
int daemon_open_signals(struct fault *fault);

/* False: a fault is set, or the value is not understood. Sections are for people: names alone
 * count. */
typedef bool (*daemon_key_fn)(void *context, const char *name, const char *value,
                              struct fault *fault);
/* Each key of an ini file. path "": `fallback`, which need not be there. */
int daemon_read_ini(const char *path, const char *fallback, daemon_key_fn on_key, void *context,
                    struct fault *fault);

#endif
