/* SPDX-License-Identifier: Apache-2.0 */
#include "goal.h"

#include <errno.h>
#include <string.h>

#include "options.h"

static int refuse(const char *text, const char *hint, struct fault *fault)
{
    fault_set(fault, STATUS_INVALID, 0, "--for %s: nothing that can be waited for", text);
    fault_hint(fault, hint);
    return -EINVAL;
}

int goal_read(const char *text, struct goal *ret_goal, struct fault *fault)
{
    struct goal goal = {.kind = GOAL_RUNNING};
    const char *value = strchr(text, '=');
    size_t length = value == NULL ? strlen(text) : (size_t)(value - text);

    if (strcmp(text, "running") == 0) {
        goal.kind = GOAL_RUNNING;
    } else if (strcmp(text, "stopped") == 0) {
        goal.kind = GOAL_STOPPED;
    } else if (value != NULL && length == 10 && memcmp(text, "generation", length) == 0) {
        goal.kind = GOAL_GENERATION;
        if (!number_read(value + 1, &goal.generation) || goal.generation == 0)
            return refuse(text, "generations are counted from 1", fault);
    } else if (value != NULL && length == 5 && memcmp(text, "event", length) == 0) {
        goal.kind = GOAL_EVENT;
        goal.type = event_type_find(value + 1);
        goal.cause = cause_find(value + 1);
        if (goal.type == EVENT_UNSET && goal.cause == CAUSE_UNSET)
            return refuse(text, "X of event=X is a type or a cause of `drover events`", fault);
    } else {
        return refuse(text, "one of running, stopped, generation=N, event=X", fault);
    }

    *ret_goal = goal;
    return 0;
}

static enum ct_state goal_state(const struct goal *goal)
{
    return goal->kind == GOAL_STOPPED ? CT_STOPPED : CT_RUNNING;
}

bool goal_is_met(const struct goal *goal, enum ct_state state, uint64_t generation)
{
    return goal->kind != GOAL_EVENT && state == goal_state(goal) && generation >= goal->generation;
}

/* Can this state still lead to `running` without a new generation? */
static bool is_before_running(enum ct_state seen, enum ct_state from)
{
    switch (seen) {
    case CT_PREPARING:
    case CT_LAUNCHING:
    case CT_BOOTING:
        return true;
    case CT_FROZEN:
        return from == CT_FROZEN;
    case CT_UNSET:
    case CT_STOPPED:
    case CT_RUNNING:
    case CT_STOPPING:
    case CT_KILLING:
    case CT_CLEANING:
    case CT_BACKOFF:
    case CT_STUCK:
    case CT_STATE_COUNT:
        return false;
    }
    return false;
}

bool goal_is_met_by(const struct goal *goal, const struct event *event, enum ct_state seen_state,
                    uint64_t seen_generation)
{
    if (goal->kind == GOAL_EVENT)
        return (goal->type != EVENT_UNSET && event->type == goal->type) ||
               (goal->cause != CAUSE_UNSET && event->cause == goal->cause);
    if (event->type != EVENT_CHANGED || !goal_is_met(goal, event->to, event->generation))
        return false;
    if (event->generation != seen_generation)
        return event->generation > seen_generation;
    return goal->kind == GOAL_STOPPED || is_before_running(seen_state, event->from);
}
