/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strays.h — guests that live and that node.db does not know: it was put back to a time before
 * them, and nobody can say any more what they are to be. They are shown and can be killed; nothing
 * else.
 *
 * Shape    struct stray is one group NAME.GEN with processes. What the keeper says of its launch
 *          names it; where nobody does, its id is made of the group's name. Not the model's: it has
 *          no row, no state to move and no policy.
 * Units    as cgroup.h.
 * Errors   a kill that does not empty the group in time ends its command as failed.
 * Owner    struct agent; one is freed when its group is empty and gone.
 * Context  the loop's thread; strays_add() before the loop runs.
 *
 * A controller has them in the lists that this node tells, and hears by an event `audit` that one
 * was found, and that it is gone.
 */
#ifndef DROVER_STRAYS_H
#define DROVER_STRAYS_H

#include <sys/types.h>

#include "command.h"
#include "keeper_wire.h"
#include "message.h"

#define STRAY_LABEL "drover.unknown"

struct agent;
struct stray;

/*
 * A group that no row names and that is not empty.
 *   label  in  the keeper's of that launch, or NULL
 *   pid    in  its init; 0: none is to be seen
 */
void strays_add(struct agent *agent, const char *leaf, const struct kw_labels *label, pid_t pid);

/* By name or id; only what no container of node.db is found by. NULL: none. */
struct stray *strays_find(struct agent *agent, const char *name_or_uuid);
/* One after another, from NULL on. */
const struct stray *strays_next(const struct agent *agent, const struct stray *stray);
void strays_view(const struct agent *agent, const struct stray *stray,
                 struct container_view *ret_view);

/*
 * A command that names one: a kill is accepted, and its effect waits for the commit of that; all
 * others are refused. Its request id is in agent->results already.
 */
void strays_command(struct agent *agent, struct stray *stray, const struct ct_command *command);
/* A receipt's commit: of an accepted kill, it is carried out. */
void strays_on_receipt(struct agent *agent, const struct ct_receipt *receipt);

#endif
