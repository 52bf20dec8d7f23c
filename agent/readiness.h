/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readiness.h — when is a guest ready that does not say so by the notify socket: a text on its
 * console, a file, a port.
 *
 * Shape    struct readiness watches one generation from its init's start until it was ready once.
 * Units    *_ms milliseconds.
 * Errors   a probe that cannot be run is run again: the deadline is the model's.
 * Owner    struct slot; the handle frees it.
 * Context  the loop's thread. All three are levels: the console's ring holds what was said while no
 *          agent lived; a file and a port are looked for again.
 */
#ifndef DROVER_READINESS_H
#define DROVER_READINESS_H

#include <stdbool.h>
#include <stdint.h>

struct agent;

/* Of a slot whose init runs and that was not ready yet; anything else is passed over. */
void readiness_start(struct agent *agent, uint32_t index);
/* The generation is over, or its console is another. */
void readiness_stop(struct agent *agent, uint32_t index);
/* There is more in its console's ring. */
void readiness_console_grew(struct agent *agent, uint32_t index);
/* Is it one of these three, so that READY=1 means nothing? */
bool readiness_is_watched(const struct agent *agent, uint32_t index);

#endif
