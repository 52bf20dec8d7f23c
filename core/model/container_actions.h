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

/* Append an effect; MAKE, PREPARE, CLEAN and REMOVE one at a time, until each is answered. */
struct effect *ct_order(struct out *out, struct ct *ct, enum effect_kind kind);
/* On behalf of a command: only once its intent is durable. */
struct effect *ct_order_after_commit(struct out *out, struct ct *ct, enum effect_kind kind);

/* Ask the guest to stop or reboot, as its order says, in the way of its present step. */
void ct_ask(struct ct *ct, const struct now *now, struct out *out);

/* Is the command in progress one that is done when the guest is ready? */
bool ct_has_boot_command(const struct ct *ct);

#endif
