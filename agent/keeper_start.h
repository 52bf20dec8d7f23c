/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_start.h — the one time that an agent makes a process.
 *
 * Shape    one call: bind RUN/keeper.sock, start drover-keeper with it as an inherited descriptor.
 * Units    none.
 * Errors   -errno and a fault that names the binary or the path.
 * Owner    the keeper owns itself from then on.
 * Context  the caller holds RUN/agent.lock, which is what makes unlinking the old socket safe.
 */
#ifndef DROVER_KEEPER_START_H
#define DROVER_KEEPER_START_H

#include "cgroup.h"
#include "fault.h"

int keeper_start(const char *path, const char *binary, const struct cgroups *cgroups,
                 struct fault *fault);

#endif
