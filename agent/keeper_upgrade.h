/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_upgrade.h — putting this agent's build of the keeper in the place of an older one.
 *
 * Shape    one call between the keeper's table being read and its being believed: the new build
 *          says its table again.
 * Units    none.
 * Errors   only a keeper that went away; one that will not or cannot change goes on as it is, which
 *          is said on stderr.
 * Owner    struct agent; what was held of the old table is let go.
 * Context  at start, before the loop runs; blocks for at most 10 s. Source: keeper_wire.h, REEXEC.
 */
#ifndef DROVER_KEEPER_UPGRADE_H
#define DROVER_KEEPER_UPGRADE_H

#include "fault.h"

struct agent;

/* Nothing is in flight: no agent lived to order it. */
int keeper_upgrade(struct agent *agent, struct fault *fault);

#endif
