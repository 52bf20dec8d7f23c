/* SPDX-License-Identifier: Apache-2.0 */
#include "hold.h"

#include "ensure.h"

enum hold_next hold_next(const struct hold *hold)
{
    if (!hold->is_plan_done || !hold->is_cgroup_done)
        return HOLD_WAIT;
    if (hold->is_durable)
        return HOLD_PREPARED;
    return hold->must_wait || hold->phase != HOLD_NONE ? HOLD_WAIT : HOLD_STAGE;
}

void hold_stage(struct hold *hold)
{
    ENSURE(hold->phase == HOLD_NONE);
    hold->phase = HOLD_STAGED;
}

enum hold_order hold_order(struct hold *hold)
{
    enum hold_phase phase = hold->phase;

    ENSURE(phase != HOLD_DROPPED);
    hold->phase = HOLD_NONE;
    if (phase == HOLD_NONE)
        return HOLD_LAUNCH;
    return phase == HOLD_STAGED ? HOLD_GO : HOLD_TELL;
}

enum hold_end hold_end(struct hold *hold)
{
    if (hold->phase == HOLD_NONE)
        return HOLD_NOW;
    if (hold->phase == HOLD_DROPPED) {
        hold->phase = HOLD_NONE;
        return HOLD_CLEAN;
    }
    hold->phase = HOLD_OVER;
    return HOLD_KEEP;
}

bool hold_drop(struct hold *hold)
{
    bool is_staged = hold->phase == HOLD_STAGED;

    ENSURE(hold->phase != HOLD_DROPPED);
    hold->phase = is_staged ? HOLD_DROPPED : HOLD_NONE;
    return is_staged;
}

bool hold_go_refused(struct hold *hold)
{
    bool is_due = hold->is_staged && !hold->is_go_refused;

    hold->is_go_refused = true;
    return is_due; /* once: its stage may be gone */
}

bool hold_said_staged(struct hold *hold)
{
    bool is_due = hold->is_go_refused && !hold->is_staged;

    hold->is_staged = true;
    return is_due;
}

bool hold_was_never_told(const struct kw_record *record)
{
    return record->go_ns == 0 && !record->is_adopted && record->phase != KW_PHASE_BOOTED &&
           record->phase != KW_PHASE_ENDED;
}
