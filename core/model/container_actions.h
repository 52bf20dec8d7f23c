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

/* Append an effect; MAKE, PREPARE, CLEAN, REMOVE and LIMIT one at a time, until it is answered. */
struct effect *ct_order(struct out *out, struct ct *ct, enum effect_kind kind);
/* On behalf of a command: only once its intent is durable. */
struct effect *ct_order_after_commit(struct out *out, struct ct *ct, enum effect_kind kind);

/* Ask the guest to stop or reboot, as its order says, in the way of its present step. */
void ct_ask(struct ct *ct, const struct now *now, struct out *out);
/* Its init was executed at `wall_ns`: later than the last end, also by a clock that went back, as
 * which of the two came last is all that a row tells of that. */
void ct_started(struct ct *ct, uint64_t wall_ns);

/* Is the command in progress one that is done when the guest is ready? */
bool ct_has_boot_command(const struct ct *ct);
/* … is it a SET that boots it again, or one that does not? */
bool ct_is_set_restart(const struct ct *ct);
bool ct_is_setting(const struct ct *ct);

/* The SET that was accepted takes force: policy, revision, event. */
void ct_configure(struct ct *ct, const struct now *now, struct out *out);
/* Its generation ended meanwhile. */
void ct_end_set(struct step *step);
void ct_act_configure(struct step *step);
void ct_act_limit(struct step *step);
void ct_act_limited(struct step *step);
void ct_act_limit_failed(struct step *step);
void ct_act_limit_late(struct step *step);
/* Which of a SET's keys are in force, and which will be. */
void ct_tell_keys(const struct ct *ct, const struct ct_set *set, struct ct_receipt *receipt);

#endif
