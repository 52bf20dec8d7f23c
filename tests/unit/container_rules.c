/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a pair of state and input that nobody thought of. What the life of a container asks
 * for is written down here a second time, state by state; all else must be refused or of no
 * effect. */
#include "world.h"

struct row {
    enum ct_state state;
    enum ct_input input;
    struct ct_rule rule;
};

#define GOES(state, act)                                                                           \
    {                                                                                              \
        VERDICT_MOVE, state, act                                                                   \
    }
#define DOES(act)                                                                                  \
    {                                                                                              \
        VERDICT_ACT, CT_UNSET, act                                                                 \
    }
#define FULFILLED                                                                                  \
    {                                                                                              \
        VERDICT_UNCHANGED, CT_UNSET, ACT_NONE                                                      \
    }

static const struct row rows[] = {
    /* Nobody sees it before its directory is there, nor while a failed create is undone. */
    {CT_UNSET, IN_MADE, GOES(CT_STOPPED, ACT_CREATED)},
    {CT_UNSET, IN_MADE_LATE, DOES(ACT_REMOVE)},
    {CT_UNSET, IN_MAKE_FAILED, DOES(ACT_FORGET)},
    {CT_UNSET, IN_DEADLINE, DOES(ACT_LATE)},
    {CT_UNSET, IN_REMOVED, DOES(ACT_REMOVED)},
    {CT_UNSET, IN_REMOVE_FAILED, DOES(ACT_REMOVE_LATER)},
    {CT_UNSET, IN_STEP, DOES(ACT_REMOVE)},

    /* At rest: it starts, or goes; stop and kill have nothing left to do. */
    {CT_STOPPED, IN_START, GOES(CT_PREPARING, ACT_QUEUE)},
    {CT_STOPPED, IN_STOP, FULFILLED},
    {CT_STOPPED, IN_KILL, FULFILLED},
    {CT_STOPPED, IN_BOOT, GOES(CT_PREPARING, ACT_AGAIN)},
    {CT_STOPPED, IN_DESTROY, GOES(CT_CLEANING, ACT_REMOVE)},

    /* Before launch: what was begun is waited for, whatever is ordered. */
    {CT_PREPARING, IN_START, DOES(ACT_NONE)},
    {CT_PREPARING, IN_STOP, GOES(CT_STOPPING, ACT_UNQUEUE)},
    {CT_PREPARING, IN_KILL, GOES(CT_KILLING, ACT_UNQUEUE)},
    {CT_PREPARING, IN_ADMITTED, DOES(ACT_PREPARE)},
    {CT_PREPARING, IN_PREPARED, GOES(CT_LAUNCHING, ACT_LAUNCH)},
    {CT_PREPARING, IN_PREPARE_FAILED, GOES(CT_CLEANING, ACT_END)},
    {CT_PREPARING, IN_LAUNCHED, GOES(CT_LAUNCHING, ACT_NONE)},
    {CT_PREPARING, IN_OOM, DOES(ACT_OOM)},
    {CT_PREPARING, IN_DEADLINE, GOES(CT_STUCK, ACT_STUCK)},

    /* Launched: a stop is held until there is somebody to hear it. */
    {CT_LAUNCHING, IN_START, DOES(ACT_NONE)},
    {CT_LAUNCHING, IN_STOP, GOES(CT_STOPPING, ACT_NONE)},
    {CT_LAUNCHING, IN_KILL, GOES(CT_KILLING, ACT_KILL)},
    {CT_LAUNCHING, IN_BOOTED, GOES(CT_BOOTING, ACT_BOOTED)},
    {CT_LAUNCHING, IN_READY, DOES(ACT_NOTE_READY)},
    {CT_LAUNCHING, IN_LAUNCH_FAILED, GOES(CT_CLEANING, ACT_END)},
    {CT_LAUNCHING, IN_ENDED, GOES(CT_CLEANING, ACT_END)},
    {CT_LAUNCHING, IN_OOM, DOES(ACT_OOM)},
    {CT_LAUNCHING, IN_DEADLINE, GOES(CT_KILLING, ACT_LAUNCH_LATE)},

    /* Init runs. */
    {CT_BOOTING, IN_START, DOES(ACT_JOIN)},
    {CT_BOOTING, IN_STOP, GOES(CT_STOPPING, ACT_ASK)},
    {CT_BOOTING, IN_KILL, GOES(CT_KILLING, ACT_KILL)},
    {CT_BOOTING, IN_REBOOT, GOES(CT_STOPPING, ACT_ASK)},
    {CT_BOOTING, IN_READY, GOES(CT_RUNNING, ACT_READY)},
    {CT_BOOTING, IN_LAUNCH_FAILED, GOES(CT_CLEANING, ACT_END)},
    {CT_BOOTING, IN_ENDED, GOES(CT_CLEANING, ACT_END)},
    {CT_BOOTING, IN_OOM, DOES(ACT_OOM)},
    {CT_BOOTING, IN_DEADLINE, GOES(CT_KILLING, ACT_BOOT_LATE)},
    {CT_BOOTING, IN_STEP, DOES(ACT_KEEP)},

    {CT_RUNNING, IN_START, FULFILLED},
    {CT_RUNNING, IN_STOP, GOES(CT_STOPPING, ACT_ASK)},
    {CT_RUNNING, IN_KILL, GOES(CT_KILLING, ACT_KILL)},
    {CT_RUNNING, IN_REBOOT, GOES(CT_STOPPING, ACT_ASK)},
    {CT_RUNNING, IN_FREEZE, DOES(ACT_FREEZE)},
    {CT_RUNNING, IN_THAW, FULFILLED},
    {CT_RUNNING, IN_LAUNCH_FAILED, GOES(CT_CLEANING, ACT_END)},
    {CT_RUNNING, IN_ENDED, GOES(CT_CLEANING, ACT_END)},
    {CT_RUNNING, IN_FROZEN, GOES(CT_FROZEN, ACT_FINISH)},
    {CT_RUNNING, IN_FREEZE_FAILED, DOES(ACT_FAIL)},
    {CT_RUNNING, IN_OOM, DOES(ACT_OOM)},
    {CT_RUNNING, IN_STEP, DOES(ACT_FREEZER_LATE)},

    /* Frozen, it must thaw before it can hear; only a kill reaches it as it is. */
    {CT_FROZEN, IN_START, DOES(ACT_THAW)},
    {CT_FROZEN, IN_STOP, GOES(CT_STOPPING, ACT_THAW_ASK)},
    {CT_FROZEN, IN_KILL, GOES(CT_KILLING, ACT_KILL)},
    {CT_FROZEN, IN_REBOOT, GOES(CT_STOPPING, ACT_THAW_ASK)},
    {CT_FROZEN, IN_FREEZE, FULFILLED},
    {CT_FROZEN, IN_THAW, DOES(ACT_THAW)},
    {CT_FROZEN, IN_LAUNCH_FAILED, GOES(CT_CLEANING, ACT_END)},
    {CT_FROZEN, IN_ENDED, GOES(CT_CLEANING, ACT_END)},
    {CT_FROZEN, IN_FREEZE_FAILED, DOES(ACT_FAIL)},
    {CT_FROZEN, IN_THAWED, GOES(CT_RUNNING, ACT_FINISH)},
    {CT_FROZEN, IN_OOM, DOES(ACT_OOM)},
    {CT_FROZEN, IN_STEP, DOES(ACT_FREEZER_LATE)},

    /* On the way down: only harder ways follow, and every completion leads to the end. */
    {CT_STOPPING, IN_STOP, DOES(ACT_ASK)},
    {CT_STOPPING, IN_KILL, GOES(CT_KILLING, ACT_KILL)},
    {CT_STOPPING, IN_PREPARED, GOES(CT_CLEANING, ACT_END)},
    {CT_STOPPING, IN_PREPARE_FAILED, GOES(CT_CLEANING, ACT_END)},
    {CT_STOPPING, IN_BOOTED, DOES(ACT_NOTE_BOOT_ASK)},
    {CT_STOPPING, IN_LAUNCH_FAILED, GOES(CT_CLEANING, ACT_END)},
    {CT_STOPPING, IN_ENDED, GOES(CT_CLEANING, ACT_END)},
    {CT_STOPPING, IN_OOM, DOES(ACT_OOM)},
    {CT_STOPPING, IN_UNASKED, GOES(CT_BOOTING, ACT_UNASKED)},
    {CT_STOPPING, IN_UNASKED_READY, GOES(CT_RUNNING, ACT_UNASKED)},
    {CT_STOPPING, IN_LIMITED, DOES(ACT_LIMITED)},
    {CT_STOPPING, IN_LIMIT_FAILED, DOES(ACT_LIMIT_FAILED)},
    {CT_STOPPING, IN_STEP, DOES(ACT_ESCALATE)},
    {CT_STOPPING, IN_DEADLINE, GOES(CT_KILLING, ACT_GRACE_OVER)},

    {CT_KILLING, IN_STOP, DOES(ACT_NONE)},
    {CT_KILLING, IN_KILL, DOES(ACT_KILL)},
    {CT_KILLING, IN_PREPARED, GOES(CT_CLEANING, ACT_END)},
    {CT_KILLING, IN_PREPARE_FAILED, GOES(CT_CLEANING, ACT_END)},
    {CT_KILLING, IN_BOOTED, DOES(ACT_NOTE_BOOT)},
    {CT_KILLING, IN_LAUNCH_FAILED, GOES(CT_CLEANING, ACT_END)},
    {CT_KILLING, IN_ENDED, GOES(CT_CLEANING, ACT_END)},
    {CT_KILLING, IN_OOM, DOES(ACT_OOM)},
    {CT_KILLING, IN_DEADLINE, GOES(CT_STUCK, ACT_STUCK)},

    /* The generation is over; a command now only decides what follows. */
    {CT_CLEANING, IN_START, DOES(ACT_START_AFTER)},
    {CT_CLEANING, IN_STOP, DOES(ACT_NONE)},
    {CT_CLEANING, IN_KILL, DOES(ACT_NONE)},
    {CT_CLEANING, IN_DESTROY, DOES(ACT_NONE)},
    {CT_CLEANING, IN_CLEANED_STOP, GOES(CT_STOPPED, ACT_SETTLE)},
    {CT_CLEANING, IN_CLEANED_AGAIN, GOES(CT_PREPARING, ACT_AGAIN)},
    {CT_CLEANING, IN_CLEANED_WAIT, GOES(CT_BACKOFF, ACT_BACKOFF)},
    {CT_CLEANING, IN_CLEANED_DESTROY, DOES(ACT_REMOVE)},
    {CT_CLEANING, IN_CLEAN_FAILED, GOES(CT_STUCK, ACT_STUCK)},
    {CT_CLEANING, IN_REMOVED, DOES(ACT_REMOVED)},
    {CT_CLEANING, IN_REMOVE_FAILED, GOES(CT_STOPPED, ACT_REMOVE_FAILED)},
    {CT_CLEANING, IN_DEADLINE, GOES(CT_STUCK, ACT_STUCK)},

    /* Nothing of it is left; it waits for its next boot. */
    {CT_BACKOFF, IN_START, GOES(CT_PREPARING, ACT_QUEUE)},
    {CT_BACKOFF, IN_STOP, GOES(CT_STOPPED, ACT_SETTLE)},
    {CT_BACKOFF, IN_KILL, GOES(CT_STOPPED, ACT_SETTLE)},
    {CT_BACKOFF, IN_REBOOT, GOES(CT_PREPARING, ACT_QUEUE)},
    {CT_BACKOFF, IN_DESTROY, GOES(CT_CLEANING, ACT_REMOVE)},
    {CT_BACKOFF, IN_DEADLINE, GOES(CT_PREPARING, ACT_AGAIN)},

    /* Late, not lost: whatever it waited for still leads on, and retries go on until it does. */
    {CT_STUCK, IN_STOP, DOES(ACT_RETRY)},
    {CT_STUCK, IN_KILL, DOES(ACT_RETRY)},
    {CT_STUCK, IN_PREPARED, GOES(CT_CLEANING, ACT_END)},
    {CT_STUCK, IN_PREPARE_FAILED, GOES(CT_CLEANING, ACT_END)},
    {CT_STUCK, IN_BOOTED, DOES(ACT_NOTE_BOOT)},
    {CT_STUCK, IN_LAUNCH_FAILED, GOES(CT_CLEANING, ACT_END)},
    {CT_STUCK, IN_ENDED, GOES(CT_CLEANING, ACT_END)},
    {CT_STUCK, IN_OOM, DOES(ACT_OOM)},
    {CT_STUCK, IN_CLEANED_STOP, GOES(CT_STOPPED, ACT_SETTLE)},
    {CT_STUCK, IN_CLEANED_AGAIN, GOES(CT_PREPARING, ACT_AGAIN)},
    {CT_STUCK, IN_CLEANED_WAIT, GOES(CT_BACKOFF, ACT_BACKOFF)},
    {CT_STUCK, IN_CLEANED_DESTROY, GOES(CT_CLEANING, ACT_REMOVE)},
    {CT_STUCK, IN_CLEAN_FAILED, DOES(ACT_NOTE_FAULT)},
    {CT_STUCK, IN_REMOVED, DOES(ACT_REMOVED)},
    {CT_STUCK, IN_REMOVE_FAILED, GOES(CT_STOPPED, ACT_REMOVE_FAILED)},
    {CT_STUCK, IN_STEP, DOES(ACT_RETRY)},
    {CT_STUCK, IN_DEADLINE, DOES(ACT_GIVE_UP)},

    /* A configuration is stored whatever it does, but under somebody's stop or reboot. */
    {CT_STOPPED, IN_SET, DOES(ACT_CONFIGURE)},
    {CT_PREPARING, IN_SET, DOES(ACT_CONFIGURE)},
    {CT_LAUNCHING, IN_SET, DOES(ACT_CONFIGURE)},
    {CT_BOOTING, IN_SET, DOES(ACT_CONFIGURE)},
    {CT_RUNNING, IN_SET, DOES(ACT_CONFIGURE)},
    {CT_FROZEN, IN_SET, DOES(ACT_CONFIGURE)},
    {CT_KILLING, IN_SET, DOES(ACT_CONFIGURE)},
    {CT_CLEANING, IN_SET, DOES(ACT_CONFIGURE)},
    {CT_BACKOFF, IN_SET, DOES(ACT_CONFIGURE)},
    {CT_STUCK, IN_SET, DOES(ACT_CONFIGURE)},
    /* Limits are written where an init lives that is not on its way down. */
    {CT_BOOTING, IN_SET_LIMITS, DOES(ACT_LIMIT)},
    {CT_RUNNING, IN_SET_LIMITS, DOES(ACT_LIMIT)},
    {CT_FROZEN, IN_SET_LIMITS, DOES(ACT_LIMIT)},
    {CT_BOOTING, IN_LIMITED, DOES(ACT_LIMITED)},
    {CT_RUNNING, IN_LIMITED, DOES(ACT_LIMITED)},
    {CT_FROZEN, IN_LIMITED, DOES(ACT_LIMITED)},
    {CT_BOOTING, IN_LIMIT_FAILED, DOES(ACT_LIMIT_FAILED)},
    {CT_RUNNING, IN_LIMIT_FAILED, DOES(ACT_LIMIT_FAILED)},
    {CT_FROZEN, IN_LIMIT_FAILED, DOES(ACT_LIMIT_FAILED)},
    {CT_BOOTING, IN_LIMIT_LATE, DOES(ACT_LIMIT_LATE)},
    {CT_RUNNING, IN_LIMIT_LATE, DOES(ACT_LIMIT_LATE)},
    {CT_FROZEN, IN_LIMIT_LATE, DOES(ACT_LIMIT_LATE)},
    /* Of one that ended meanwhile the clean-up waited for them. */
    {CT_CLEANING, IN_LIMITED, DOES(ACT_CLEAN)},
    {CT_CLEANING, IN_LIMIT_FAILED, DOES(ACT_CLEAN)},
    {CT_STUCK, IN_LIMITED, DOES(ACT_CLEAN)},
    {CT_STUCK, IN_LIMIT_FAILED, DOES(ACT_CLEAN)},
    /* With a restart it is a reboot. */
    {CT_BOOTING, IN_SET_RESTART, GOES(CT_STOPPING, ACT_ASK)},
    {CT_RUNNING, IN_SET_RESTART, GOES(CT_STOPPING, ACT_ASK)},
    {CT_FROZEN, IN_SET_RESTART, GOES(CT_STOPPING, ACT_THAW_ASK)},
};

/* No generation is open, so that no keeper's word is about it. */
static bool is_closed(enum ct_state state)
{
    return state == CT_UNSET || state == CT_STOPPED || state == CT_CLEANING || state == CT_BACKOFF;
}

/* Of what is not said above: a command is refused, news is late; and what node.c turns away, only
 * we can send: answers to what was not ordered, clocks not set, words about what is over. */
static enum verdict verdict_else(enum ct_state state, enum ct_input input)
{
    switch ((int)input) {
    case IN_BOOTED:
    case IN_READY:
    case IN_LAUNCH_FAILED:
    case IN_ENDED:
        return is_closed(state) ? VERDICT_BUG : VERDICT_IGNORE;
    case IN_FROZEN:
    case IN_FREEZE_FAILED:
    case IN_THAWED:
    case IN_OOM:
        return VERDICT_IGNORE;
    }
    if (input == IN_LIMITED || input == IN_LIMIT_FAILED)
        return state == CT_KILLING ? VERDICT_IGNORE : VERDICT_BUG;
    if (input == IN_SET_LIMITS || input == IN_SET_RESTART) /* node.c asks whether it is in use */
        return is_closed(state) || state == CT_STOPPING ? VERDICT_BUG : VERDICT_REJECT;
    if (input >= IN_START && input <= IN_SET)
        return state == CT_UNSET || state == CT_STOPPING ? VERDICT_BUG : VERDICT_REJECT;
    return VERDICT_BUG;
}

static const struct row *find_row(enum ct_state state, enum ct_input input)
{
    const struct row *found = NULL;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].state != state || rows[i].input != input)
            continue;
        assert_null(found); /* written twice, one of them would not be looked at */
        found = &rows[i];
    }
    return found;
}

static void check_cell(enum ct_state state, enum ct_input input)
{
    const struct ct_rule *rule = &ct_rules[state][input];
    const struct row *row = find_row(state, input);
    struct ct_rule wanted = {.verdict = verdict_else(state, input)};

    if (row != NULL)
        wanted = row->rule;
    if (rule->verdict != wanted.verdict || rule->next != wanted.next ||
        rule->action != wanted.action)
        fail_msg("%s + %s: verdict %d, next %s, action %d; wanted %d, %s, %d", ct_state_name(state),
                 ct_input_name(input), rule->verdict, ct_state_name(rule->next), rule->action,
                 wanted.verdict, ct_state_name(wanted.next), wanted.action);
}

static void test_container_rules__each_cell__is_what_the_life_asks_for(void **state)
{
    (void)state;
    for (unsigned s = 0; s < CT_STATE_COUNT; s++)
        for (unsigned i = 0; i < CT_INPUT_COUNT; i++)
            check_cell((enum ct_state)s, (enum ct_input)i);
}

static void test_container_rules__each_cell__is_written(void **state)
{
    (void)state;
    for (unsigned s = 0; s < CT_STATE_COUNT; s++)
        for (unsigned i = 0; i < CT_INPUT_COUNT; i++)
            assert_int_not_equal(ct_rules[s][i].verdict, VERDICT_UNSET);
}

/* A move has somewhere to go; nothing but a move has; a refusal or a late word does nothing. */
static void test_container_rules__each_cell__is_sound_in_itself(void **state)
{
    (void)state;
    for (unsigned s = 0; s < CT_STATE_COUNT; s++)
        for (unsigned i = 0; i < CT_INPUT_COUNT; i++) {
            const struct ct_rule *rule = &ct_rules[s][i];

            assert_true((rule->next != CT_UNSET) == (rule->verdict == VERDICT_MOVE));
            if (rule->verdict != VERDICT_MOVE && rule->verdict != VERDICT_ACT)
                assert_int_equal(rule->action, ACT_NONE);
            assert_in_range(rule->action, ACT_NONE, ACT_COUNT - 1);
        }
}

/* I6: from each state but rest and run some clock leads on, whatever is left unsaid. */
static void test_container_rules__states_that_wait__leave_by_their_deadline(void **state)
{
    (void)state;
    for (unsigned s = CT_STOPPED; s < CT_STATE_COUNT; s++) {
        const struct ct_rule *rule = &ct_rules[s][IN_DEADLINE];

        if (ct_state_waits((enum ct_state)s))
            assert_int_equal(rule->verdict, VERDICT_MOVE);
    }
    assert_int_equal(ct_rules[CT_STUCK][IN_STEP].action, ACT_RETRY);
}

/* I1: an init is launched from one state alone, and that one is left by it. */
static void test_container_rules__launch__has_one_cell(void **state)
{
    unsigned launches = 0;

    (void)state;
    for (unsigned s = 0; s < CT_STATE_COUNT; s++)
        for (unsigned i = 0; i < CT_INPUT_COUNT; i++)
            launches += ct_rules[s][i].action == ACT_LAUNCH;

    assert_int_equal(launches, 1);
    assert_int_equal(ct_rules[CT_PREPARING][IN_PREPARED].action, ACT_LAUNCH);
    assert_false(ct_state_has_init(CT_PREPARING));
}

static void test_container_rules__each_action__is_in_some_cell(void **state)
{
    bool is_used[ACT_COUNT] = {false};

    (void)state;
    for (unsigned s = 0; s < CT_STATE_COUNT; s++)
        for (unsigned i = 0; i < CT_INPUT_COUNT; i++)
            is_used[ct_rules[s][i].action] = true;

    for (unsigned a = 0; a < ACT_COUNT; a++)
        assert_true(is_used[a]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_container_rules__each_cell__is_written),
        cmocka_unit_test(test_container_rules__each_cell__is_what_the_life_asks_for),
        cmocka_unit_test(test_container_rules__each_cell__is_sound_in_itself),
        cmocka_unit_test(test_container_rules__states_that_wait__leave_by_their_deadline),
        cmocka_unit_test(test_container_rules__launch__has_one_cell),
        cmocka_unit_test(test_container_rules__each_action__is_in_some_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
