/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orphans.h — guests and launches whose keeper died: a new one watches what lives, the rest is
 * over.
 *
 * Shape    one call a container.
 * Units    pids of this pid namespace.
 * Errors   a guest that lives and cannot be watched ends the agent: nobody would tell its end.
 * Owner    struct agent.
 * Context  the loop's thread, or before it runs; the new keeper is connected.
 */
#ifndef DROVER_ORPHANS_H
#define DROVER_ORPHANS_H

#include "agent.h"

/*
 * Hand an init to the keeper, with a console anew and the event `console_lost`; or observe that it
 * is no more.
 *   pid  in  it was this one's; believed only if it lives in the container's cgroup. 0: none was
 */
void orphans_take(struct agent *agent, uint32_t index, pid_t pid);

/* Its notify socket died with its keeper. One that boots cannot be heard to be ready any more: that
 * it was executed has to do, or it would be killed at its boot's deadline for a death of ours. */
void orphans_lose_notify(struct agent *agent, uint32_t index);

#endif
