/* SPDX-License-Identifier: Apache-2.0 */
/*
 * goal.h — what `wait --for` waits for, and what meets it.
 *
 * Shape    a level (running, stopped, generation=N) is met by what a container is, or by the news
 *          that it became so; event=X by an event alone.
 * Units    generations.
 * Errors   -EINVAL with a fault of status `invalid`.
 * Owner    nobody.
 * Context  pure.
 */
#ifndef DROVER_GOAL_H
#define DROVER_GOAL_H

#include "event.h"
#include "fault.h"

enum goal_kind { GOAL_RUNNING, GOAL_STOPPED, GOAL_GENERATION, GOAL_EVENT };

struct goal {
    enum goal_kind kind;
    uint64_t generation;  /* GENERATION: this one or a later one */
    enum event_type type; /* EVENT: UNSET if the word names a cause alone */
    enum cause cause;     /* EVENT: likewise */
};

int goal_read(const char *text, struct goal *ret_goal, struct fault *fault);

bool goal_is_met(const struct goal *goal, enum ct_state state, uint64_t generation);

/*
 * Does this event meet it, when the container was seen in this state after we had begun to listen?
 * Through a controller, news older than that may come late: what it tells is over by then.
 */
bool goal_is_met_by(const struct goal *goal, const struct event *event, enum ct_state seen_state,
                    uint64_t seen_generation);

#endif
