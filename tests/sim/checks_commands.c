/* SPDX-License-Identifier: Apache-2.0 */
/* What commands come to, by the contract alone: which are taken, fulfilled already or refused in
 * which state, how long one may last, and in which state its success leaves the container. */
#include "checks_commands.h"

#include <inttypes.h>
#include <string.h>

#include "node_life.h"
#include "operators.h"

#define BIT(number) (1u << (unsigned)(number))
#define BOOTS (BIT(VERB_START) | BIT(VERB_CREATE) | BIT(VERB_REBOOT))
#define ENDS (BIT(VERB_STOP) | BIT(VERB_KILL) | BIT(VERB_DESTROY))

/* ---- what is answered ---- */

/* t taken, = unchanged, w wrong_state, f taken with force only, o the same where it is to boot
 * again, - busy with a command that nothing of this kind displaces. */
static const enum verb asked_verbs[] = {VERB_START,  VERB_STOP, VERB_KILL,   VERB_REBOOT,
                                        VERB_FREEZE, VERB_THAW, VERB_DESTROY};
static const char *const answers[CT_STATE_COUNT] = {
    [CT_STOPPED] = "t==wwwt",  [CT_PREPARING] = "tttwwwf", [CT_LAUNCHING] = "tttwwwf",
    [CT_BOOTING] = "ttttwwf",  [CT_RUNNING] = "=tttt=f",   [CT_FROZEN] = "tttt=tf",
    [CT_STOPPING] = "-tt---f", [CT_KILLING] = "wttwwwf",   [CT_CLEANING] = "tttwwwo",
    [CT_BACKOFF] = "ttttwwo",  [CT_STUCK] = "wttwwwf",
};

/* Does it boot it again, or would it? */
static bool is_set_restart(const struct answered *answered)
{
    const struct ct_set *set = &answered->command->set;

    return answered->is_bound && set->when == SET_RESTART &&
           (set->stop_keys | (set->keys & answered->late_keys)) != 0;
}

static bool is_set_of_limits(const struct answered *answered)
{
    return answered->is_bound && answered->command->set.limit_keys != 0 &&
           !is_set_restart(answered);
}

/* What takes a stop must be told how; and who boots or is being killed has no limits to write. */
static char answer_of_set(const struct answered *answered)
{
    const struct ct_set *set = &answered->command->set;
    bool is_said = set->when == SET_NEXT_START || set->when == SET_RESTART;
    bool is_up = answered->state == CT_BOOTING || answered->state == CT_RUNNING ||
                 answered->state == CT_FROZEN;

    if (answered->is_bound && set->stop_keys != 0 && !is_said)
        return 'w';
    if (set->is_same && !is_set_restart(answered))
        return '=';
    if (answered->is_removing)
        return 'w';
    return is_up || !(is_set_restart(answered) || is_set_of_limits(answered)) ? 't' : 'w';
}

static bool is_right(char answer, const struct ct_command *command, enum phase phase)
{
    switch (answer) {
    case 't':
        return phase == PHASE_ACCEPTED;
    case '=':
        return phase == PHASE_UNCHANGED;
    case 'w':
        return phase == PHASE_FAILED;
    case 'f':
        return phase == (command->is_forced ? PHASE_ACCEPTED : PHASE_FAILED);
    case 'o':
        return phase == PHASE_ACCEPTED || (!command->is_forced && phase == PHASE_FAILED);
    }
    return false;
}

static void check_answer(struct sim *sim, const struct answered *answered,
                         const struct ct_receipt *receipt)
{
    const struct ct_command *command = answered->command;
    const char *row = answers[answered->state];
    char answer = 0;

    if (receipt->phase == PHASE_FAILED && receipt->fault.status != STATUS_WRONG_STATE)
        return; /* busy, unknown: of no state */
    for (size_t i = 0; row != NULL && i < sizeof(asked_verbs) / sizeof(*asked_verbs); i++)
        if (asked_verbs[i] == command->verb)
            answer = row[i];
    if (command->verb == VERB_SET && row != NULL)
        answer = answer_of_set(answered);
    if (answer == 0)
        return;
    if (command->verb != VERB_SET && answered->is_removing && command->verb != VERB_DESTROY)
        answer = 'w';
    if (!is_right(answer, command, receipt->phase))
        sim_fail(sim, "answer", "%s of a container that is %s ends with phase %d (%s)",
                 verb_name(command->verb), ct_state_name(answered->state), (int)receipt->phase,
                 status_name(receipt->fault.status));
}

/* What a command that is taken must order at once; UNSET: nothing that could be said of all. */
static enum effect_kind order_of(const struct answered *answered)
{
    const struct ct_command *command = answered->command;
    bool is_kill = command->verb == VERB_KILL || command->verb == VERB_DESTROY;
    const struct ct *ct = answered->ct;

    if (command->verb == VERB_SET && is_set_restart(answered))
        return EFFECT_ASK;
    if (command->verb == VERB_SET)
        return is_set_of_limits(answered) ? EFFECT_LIMIT : EFFECT_UNSET;
    switch ((int)answered->state) {
    case CT_LAUNCHING:
        return is_kill ? EFFECT_KILL : EFFECT_UNSET;
    case CT_BOOTING:
    case CT_RUNNING:
        if (command->verb == VERB_STOP || command->verb == VERB_REBOOT)
            return EFFECT_ASK;
        return is_kill ? EFFECT_KILL : EFFECT_UNSET;
    case CT_STOPPING:
        if (command->verb == VERB_STOP && ct->has_init)
            return EFFECT_ASK;
        return is_kill ? EFFECT_KILL : EFFECT_UNSET;
    case CT_KILLING:
        return is_kill ? EFFECT_KILL : EFFECT_UNSET;
    case CT_STUCK:
        if (answered->is_awaiting)
            return EFFECT_UNSET;
        return ct->is_open ? EFFECT_KILL : EFFECT_CLEAN;
    }
    return EFFECT_UNSET;
}

static bool must_move(const struct answered *answered)
{
    enum verb verb = answered->command->verb;

    if (verb == VERB_SET)
        return is_set_restart(answered);
    switch ((int)answered->state) {
    case CT_STOPPED:
        return true;
    case CT_BACKOFF: /* whoever asks need not wait for what waits by itself */
        return true;
    case CT_PREPARING:
    case CT_LAUNCHING:
        return verb != VERB_START;
    case CT_BOOTING:
        return verb != VERB_START;
    case CT_RUNNING:
    case CT_FROZEN:
        return verb == VERB_STOP || verb == VERB_KILL || verb == VERB_REBOOT ||
               verb == VERB_DESTROY;
    case CT_STOPPING:
        return verb != VERB_STOP;
    }
    return false;
}

static void check_taken(struct sim *sim, const struct answered *answered, size_t effects,
                        const struct out *out)
{
    struct demand *asked = operators_find(sim, answered->command->request);
    enum effect_kind kind = order_of(answered);
    const struct ct *ct = answered->ct;
    bool is_ordered = kind == EFFECT_UNSET;
    bool is_of_limits = answered->command->verb != VERB_SET || is_set_of_limits(answered);

    if (asked != NULL) {
        asked->taken_in = answered->state;
        asked->taken_generation = ct->generation;
    }
    for (size_t i = effects; i < out->effect_count && !is_ordered; i++)
        is_ordered = out->effects[i].ct == ct->index && out->effects[i].kind == kind;
    for (size_t i = effects; i < out->effect_count; i++)
        if (!is_of_limits && out->effects[i].ct == ct->index &&
            out->effects[i].kind == EFFECT_LIMIT)
            sim_fail(sim, "answer", "set of %s writes limits that it does not name", ct->name);
    if (!is_of_limits && !is_set_restart(answered) && ct->has_command &&
        strcmp(ct->command.request, answered->command->request) == 0)
        sim_fail(sim, "answer", "set of %s has nothing to wait for, and waits", ct->name);
    if (!is_ordered)
        sim_fail(sim, "answer", "%s of a container that is %s orders no %s",
                 verb_name(answered->command->verb), ct_state_name(answered->state),
                 effect_name(kind));
    if (must_move(answered) && ct->is_used && ct->state == answered->state)
        sim_fail(sim, "answer", "%s is taken, and it stays %s", verb_name(answered->command->verb),
                 ct_state_name(answered->state));
}

void checks_answered(struct sim *sim, const struct answered *answered, size_t receipts,
                     size_t effects, const struct out *out)
{
    for (size_t i = receipts; i < out->receipt_count; i++) {
        const struct ct_receipt *receipt = &out->receipts[i];

        if (strcmp(receipt->request, answered->command->request) != 0)
            continue;
        check_answer(sim, answered, receipt);
        if (receipt->phase == PHASE_ACCEPTED)
            check_taken(sim, answered, effects, out);
        return; /* what follows is its end */
    }
    if (answered->command->verb == VERB_SET)
        sim_fail(sim, "answer", "set of a container that is %s is not answered",
                 ct_state_name(answered->state));
}

/* Limits that are in force are those of the row, and who asked for them is answered, be it that
 * they failed or take too long. */
static void check_limits(struct sim *sim, const struct heard *heard, const struct ct *ct)
{
    enum ct_input kind = heard->observation->kind;
    bool is_over = ct->state == CT_KILLING || ct->state == CT_STUCK || !ct->is_open;

    if (is_over)
        return; /* with its end, what was asked is answered */
    if (ct->has_command && ct->command.verb == VERB_SET && ct->command.set.when != SET_RESTART)
        sim_fail(sim, "answer", "%s heard %s, and its set waits", ct->name, ct_input_name(kind));
    if (kind != IN_LIMIT_LATE && ct->has_set)
        sim_fail(sim, "answer", "%s heard %s, and goes on setting", ct->name, ct_input_name(kind));
    if (kind == IN_LIMITED && heard->has_set && ct->revision == heard->revision)
        sim_fail(sim, "answer", "%s has limits in force that its row has not", ct->name);
}

void checks_heard(struct sim *sim, const struct heard *heard, const struct ct *ct, size_t effects,
                  const struct out *out)
{
    enum ct_input kind = heard->observation->kind;
    bool is_cleaned = false;

    if ((kind == IN_UNASKED || kind == IN_UNASKED_READY) && heard->state == CT_STOPPING &&
        ct->state == CT_STOPPING)
        sim_fail(sim, "answer", "a hook of %s said no, and it goes on stopping", ct->name);
    if (kind != IN_LIMITED && kind != IN_LIMIT_FAILED && kind != IN_LIMIT_LATE)
        return;
    check_limits(sim, heard, ct);
    for (size_t i = effects; i < out->effect_count; i++)
        is_cleaned |= out->effects[i].ct == ct->index && out->effects[i].kind == EFFECT_CLEAN;
    if (heard->state == CT_STUCK && !ct->is_open && !is_cleaned)
        sim_fail(sim, "answer", "nothing holds %s any more, and nothing cleans it up", ct->name);
}

/* ---- what is in progress ---- */

/* In each state the commands that can still be on their way. */
static const unsigned open_verbs[CT_STATE_COUNT] = {
    [CT_UNSET] = BIT(VERB_CREATE),
    [CT_STOPPED] = 0,
    [CT_PREPARING] = BOOTS,
    [CT_LAUNCHING] = BOOTS,
    [CT_BOOTING] = BOOTS | BIT(VERB_SET),
    [CT_RUNNING] = BIT(VERB_FREEZE) | BIT(VERB_SET),
    [CT_FROZEN] = BIT(VERB_START) | BIT(VERB_THAW) | BIT(VERB_SET),
    [CT_STOPPING] = BIT(VERB_STOP) | BIT(VERB_REBOOT),
    [CT_KILLING] = BOOTS | ENDS | BIT(VERB_SET),
    [CT_CLEANING] = BOOTS | ENDS,
    [CT_BACKOFF] = BOOTS,
    [CT_STUCK] = ENDS,
};

void checks_row_command(struct sim *sim, const struct store_row *row)
{
    const struct demand *asked = operators_find(sim, row->request);

    if (asked == NULL || row->request_verb != asked->verb)
        return; /* long forgotten, or none */
    if ((open_verbs[row->state] & BIT(asked->verb)) == 0)
        sim_fail(sim, "I3", "%s is %s, and %s (%s) is in progress", row->name,
                 ct_state_name(row->state), asked->request, verb_name(asked->verb));
    if (row->state == CT_BOOTING && asked->verb != VERB_SET &&
        asked->intent_life == sim->agent->life && operators_wait(asked) == WAIT_FOR_EXEC)
        sim_fail(sim, "I3", "%s has executed its init, which %s waits for", row->name,
                 asked->request);
}

void checks_intent(struct sim *sim, struct demand *asked)
{
    asked->has_intent = true;
    asked->intent_ns = sim->now.ns;
    asked->intent_life = sim->agent->life;
    asked->failed_ns = asked->reached_ns = 0;
}

/* The one that waits for the freezer. */
static struct demand *find_freezing(struct sim *sim, const struct ct *ct)
{
    bool is_waiting = ct->has_command && ct->command.verb != VERB_SET &&
                      (ct->state == CT_RUNNING || ct->state == CT_FROZEN);

    return is_waiting ? operators_find(sim, ct->command.request) : NULL;
}

void checks_freezer_failed(struct sim *sim, const struct ct *ct)
{
    struct demand *asked = find_freezing(sim, ct);

    if (asked != NULL)
        asked->failed_ns = sim->now.ns;
}

void checks_freezer_reached(struct sim *sim, const struct ct *ct)
{
    struct demand *asked = find_freezing(sim, ct);

    if (asked != NULL)
        asked->reached_ns = sim->now.ns;
}

/* How long what was observed, or a timer that ran out, may take to be durable. */
#define TOLD_NS (2 * SECOND_NS)

static bool is_late(const struct sim *sim, uint64_t since_ns, uint64_t after_ns)
{
    return since_ns != 0 && sim->now.ns > since_ns + after_ns + TOLD_NS;
}

void checks_waiting(struct sim *sim, const struct ct *ct)
{
    const struct demand *asked = ct->has_command ? operators_find(sim, ct->command.request) : NULL;
    bool is_up = ct->state == CT_RUNNING || ct->state == CT_FROZEN;

    if (asked == NULL || asked->intent_life != sim->agent->life)
        return;
    bool is_freezer = is_up && asked->verb != VERB_SET;
    if (is_up && !is_freezer && is_late(sim, asked->intent_ns, LIMIT_DEADLINE_NS))
        sim_fail(sim, "I6", "%s is %s, and waits for its limits too long (%s)", ct->name,
                 ct_state_name(ct->state), asked->request);
    if (is_freezer && (is_late(sim, asked->intent_ns, FREEZER_DEADLINE_NS) ||
                       is_late(sim, asked->failed_ns, 0) || is_late(sim, asked->reached_ns, 0)))
        sim_fail(sim, "I6", "%s is %s, and waits for its freezer too long (%s)", ct->name,
                 ct_state_name(ct->state), asked->request);
    if (ct->state == CT_STUCK && asked->taken_in == CT_STUCK &&
        is_late(sim, asked->intent_ns, KILL_DEADLINE_NS))
        sim_fail(sim, "I6", "%s is stuck, and %s has no end", ct->name, asked->request);
}

/* ---- what came of it ---- */

/* In each of these its success may leave the container. */
static unsigned states_of_success(enum verb verb)
{
    switch ((int)verb) {
    case VERB_CREATE:
        return BIT(CT_STOPPED) | BIT(CT_BOOTING) | BIT(CT_RUNNING);
    case VERB_START:
    case VERB_REBOOT:
        return BIT(CT_BOOTING) | BIT(CT_RUNNING);
    case VERB_STOP:
    case VERB_KILL:
        return BIT(CT_STOPPED);
    case VERB_FREEZE:
        return BIT(CT_FROZEN);
    case VERB_THAW:
        return BIT(CT_RUNNING);
    case VERB_DESTROY:
        return BIT(CT_UNSET);
    }
    return UINT32_MAX;
}

/* It failed: had it had its time? */
static void check_failure(struct sim *sim, const struct demand *asked, const struct story *story,
                          const struct event *event)
{
    uint64_t lasted_ns = sim->now.ns - asked->intent_ns + SECOND_NS; /* seen at commits */
    bool is_set = asked->verb == VERB_SET;
    bool is_freezer = !is_set && (asked->taken_in == CT_RUNNING || asked->taken_in == CT_FROZEN);
    bool is_end = asked->verb == VERB_STOP || asked->verb == VERB_KILL;

    if (is_freezer && event->result == STATUS_TIMEOUT &&
        (story->state == CT_RUNNING || story->state == CT_FROZEN) &&
        (lasted_ns < FREEZER_DEADLINE_NS || asked->reached_ns != 0))
        sim_fail(sim, "I6", "%s (%s) of %s timed out, and had %s", asked->request,
                 verb_name(asked->verb), event->name,
                 asked->reached_ns != 0 ? "come to its end" : "time left");
    if (is_set && event->result == STATUS_TIMEOUT && lasted_ns < LIMIT_DEADLINE_NS &&
        (story->state == CT_BOOTING || story->state == CT_RUNNING || story->state == CT_FROZEN))
        sim_fail(sim, "I6", "%s (set) of %s timed out, and had time left", asked->request,
                 event->name);
    if (is_end && asked->taken_in == CT_STUCK && story->state == CT_STUCK &&
        story->since_ns <= asked->intent_ns && /* and was it all the while */
        event->result != STATUS_SUPERSEDED && lasted_ns < KILL_DEADLINE_NS)
        sim_fail(sim, "I6", "%s (%s) of %s is given up early", asked->request,
                 verb_name(asked->verb), event->name);
    if (asked->verb == VERB_START && asked->taken_in == CT_CLEANING &&
        event->result != STATUS_SUPERSEDED && story->state == CT_STOPPED &&
        event->generation == asked->taken_generation)
        sim_fail(sim, "I3", "%s (start) of %s was to follow its clean-up, and was never begun",
                 asked->request, event->name);
}

void checks_result(struct sim *sim, const struct story *story, const struct event *event)
{
    const struct demand *asked = operators_find(sim, event->request);

    if (asked == NULL || story == NULL)
        return;
    if (event->result == STATUS_UNSET)
        sim_fail(sim, "I3", "%s (%s) of %s ends without a word", asked->request,
                 verb_name(asked->verb), event->name);
    if (event->result == STATUS_DONE && (states_of_success(asked->verb) & BIT(story->state)) == 0)
        sim_fail(sim, "I3", "%s (%s) of %s is done, and that is %s", asked->request,
                 verb_name(asked->verb), event->name, ct_state_name(story->state));
    if (event->result != STATUS_DONE && asked->intent_life == sim->agent->life)
        check_failure(sim, asked, story, event);
}
