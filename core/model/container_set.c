/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SET's way through a container: limits of a living cgroup first, as they alone can be refused by
 * the world; then the configuration takes force, with its event and the command's result.
 */
#include "container_actions.h"

#include <string.h>

#include "ensure.h"

void ct_tell_keys(const struct ct *ct, const struct ct_set *set, struct ct_receipt *receipt)
{
    receipt->at_next_start = set->keys & ct->late_keys;
    receipt->applied = set->keys & ~ct->late_keys;
}

bool ct_is_set_restart(const struct ct *ct)
{
    return ct->has_command && ct->command.verb == VERB_SET && ct->command.set.when == SET_RESTART;
}

bool ct_is_setting(const struct ct *ct)
{
    return ct->has_command && ct->command.verb == VERB_SET && ct->command.set.when != SET_RESTART;
}

void ct_configure(struct ct *ct, const struct now *now, struct out *out)
{
    uint64_t late_keys = ct->set.when == SET_NEXT_START ? ct->set.stop_keys : 0;
    struct fault words = {0};

    ENSURE(ct->has_set);
    if (ct->set.when == SET_RESTART) /* its hooks may yet say no to the stop */
        late_keys = ct->set.stop_keys | ct->set.limit_keys;
    else
        ct->late_keys &= ~ct->set.limit_keys;
    ct->has_set = false;
    ct->policy = ct->set_policy;
    if (ct->policy.autostart == AUTOSTART_NO || ct->policy.autostart == AUTOSTART_DISABLED)
        ct->boot = CT_BOOT_NONE;
    ct->revision++;
    ct->is_dirty = true;
    if (ct->is_open && !ct->is_queued) /* it was made, or is being made, from what was before */
        ct->late_keys |= late_keys;
    fault_set(&words, STATUS_UNSET, 0, "revision %u", ct->revision);
    struct event *event = ct_tell(out, ct, EVENT_CONFIGURED, now);
    memcpy(event->detail, words.text, EVENT_DETAIL_BYTES);
}

/* What it was to change went with the agent that had it in memory. */
static void fail_interrupted(struct step *step)
{
    struct ct *ct = step->ct;
    struct fault fault;

    fault_set(&fault, STATUS_INTERRUPTED, 0, "%s: the agent ended during set", ct->name);
    fault_hint(&fault, "give the command again");
    ct_finish(ct, PHASE_FAILED, &fault, step->now, step->out);
}

/* There is no guest any more whose limits could be refused. */
void ct_end_set(struct step *step)
{
    struct ct *ct = step->ct;

    if (!ct->has_set) {
        fail_interrupted(step);
        return;
    }
    ct_configure(ct, step->now, step->out);
    ct_finish(ct, PHASE_DONE, NULL, step->now, step->out);
}

void ct_act_configure(struct step *step)
{
    ct_configure(step->ct, step->now, step->out);
    ct_finish(step->ct, PHASE_DONE, NULL, step->now, step->out);
}

void ct_act_limit(struct step *step)
{
    step->ct->limit_ns = step->now->ns + LIMIT_DEADLINE_NS;
    (void)ct_order_after_commit(step->out, step->ct, EFFECT_LIMIT);
}

/* Late, nobody waits for it; after a crash it was written as the row has it: nothing was set. */
void ct_act_limited(struct step *step)
{
    struct ct *ct = step->ct;
    bool is_set = ct->has_set;

    if (is_set)
        ct_configure(ct, step->now, step->out);
    if (!ct_is_setting(ct))
        return;
    if (is_set)
        ct_finish(ct, PHASE_DONE, NULL, step->now, step->out);
    else
        fail_interrupted(step);
}

void ct_act_limit_failed(struct step *step)
{
    struct ct *ct = step->ct;

    ct->has_set = false;
    if (!ct_is_setting(ct))
        return;
    ct_finish(ct, PHASE_FAILED, &step->seen->fault, step->now, step->out);
}

/* It goes on, and is stored when it returns: what is in force and what is stored stay one. */
void ct_act_limit_late(struct step *step)
{
    struct ct *ct = step->ct;
    struct fault fault;

    fault_set(&fault, STATUS_TIMEOUT, 0, "%s: writing its limits takes more than %u s", ct->name,
              LIMIT_DEADLINE_NS / SECOND_NS);
    fault_hint(&fault, "they are stored when that returns: `drover show` tells");
    ct_finish(ct, PHASE_FAILED, &fault, step->now, step->out);
}
