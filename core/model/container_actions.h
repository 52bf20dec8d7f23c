/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_actions.h — what the actions of the rule table do, for container.c alone.
 *
 * Shape    ct_actions[action] is called once with the step it belongs to.
 * Units    as container.h.
 * Errors   none.
 * Owner    the step lives on ct_step()'s stack.
 * Context  pure.
 */
#ifndef DROVER_CONTAINER_ACTIONS_H
#define DROVER_CONTAINER_ACTIONS_H

#include "container.h"

/* All that one step works with. */
struct step {
    struct ct *ct;
    const struct observation *seen;
    const struct now *now;
    struct out *out;
};

extern void (*const ct_actions[ACT_COUNT])(struct step *step);

/* Append an event about a container, with its generation and the command in progress. */
struct event *ct_tell(struct out *out, const struct ct *ct, enum event_type type,
                      const struct now *now);

#endif
