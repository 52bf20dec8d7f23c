/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a `wait` that never returns, or returns for what is over. Each goal is held against
 * what a container is and what events tell, old ones too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "goal.h"

static struct goal goal_of(const char *text)
{
    struct goal goal = {0};
    struct fault fault = {0};

    assert_int_equal(goal_read(text, &goal, &fault), 0);
    return goal;
}

static struct event changed(enum ct_state from, enum ct_state to, uint64_t generation)
{
    return (struct event){.type = EVENT_CHANGED, .from = from, .to = to, .generation = generation};
}

static void test_goal__words__are_read_or_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "run",
                                        "generation",
                                        "generation=",
                                        "generation=0",
                                        "generation=x",
                                        "event=",
                                        "event=nonsense",
                                        "event=unset",
                                        "stopped=1"};
    struct goal goal;
    struct fault fault = {0};

    (void)state;
    assert_int_equal(goal_of("running").kind, GOAL_RUNNING);
    assert_int_equal(goal_of("stopped").kind, GOAL_STOPPED);
    assert_int_equal(goal_of("generation=3").generation, 3);
    assert_int_equal(goal_of("event=created").type, EVENT_CREATED);
    assert_int_equal(goal_of("event=guest_halt").cause, CAUSE_GUEST_HALT);
    assert_int_equal(goal_of("event=oom").cause, CAUSE_OOM); /* a type and a cause alike */
    assert_int_equal(goal_of("event=oom").type, EVENT_OOM);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_true(goal_read(wrong[i], &goal, &fault) < 0);
        assert_int_equal(fault.status, STATUS_INVALID);
    }
}

static void test_goal__levels__are_met_by_what_is(void **state)
{
    struct goal running = goal_of("running");
    struct goal stopped = goal_of("stopped");
    struct goal third = goal_of("generation=3");
    struct goal event = goal_of("event=oom");

    (void)state;
    for (unsigned at = CT_UNSET; at < CT_STATE_COUNT; at++) {
        enum ct_state is = (enum ct_state)at;
        assert_int_equal(goal_is_met(&running, is, 1), is == CT_RUNNING);
        assert_int_equal(goal_is_met(&stopped, is, 1), is == CT_STOPPED);
        assert_int_equal(goal_is_met(&third, is, 3), is == CT_RUNNING);
        assert_int_equal(goal_is_met(&third, is, 4), is == CT_RUNNING);
        assert_false(goal_is_met(&third, is, 2));
        assert_false(goal_is_met(&event, is, 1));
    }
}

static void test_goal__between_generations__stopped_is_not_met(void **state)
{
    struct goal stopped = goal_of("stopped");
    const struct event reboot[] = {
        changed(CT_RUNNING, CT_CLEANING, 1), changed(CT_CLEANING, CT_PREPARING, 2),
        changed(CT_PREPARING, CT_LAUNCHING, 2), changed(CT_LAUNCHING, CT_BOOTING, 2),
        changed(CT_BOOTING, CT_RUNNING, 2)};

    (void)state;
    for (size_t i = 0; i < sizeof(reboot) / sizeof(reboot[0]); i++)
        assert_false(goal_is_met_by(&stopped, &reboot[i], CT_RUNNING, 1));
}

static void test_goal__news__meet_it_and_old_news_do_not(void **state)
{
    struct goal running = goal_of("running");
    struct goal stopped = goal_of("stopped");
    struct event is_running = changed(CT_BOOTING, CT_RUNNING, 5);
    struct event is_thawed = changed(CT_FROZEN, CT_RUNNING, 5);
    struct event is_stopped = changed(CT_CLEANING, CT_STOPPED, 5);

    (void)state;
    assert_true(goal_is_met_by(&running, &is_running, CT_STOPPED, 4));
    assert_true(goal_is_met_by(&running, &is_running, CT_BOOTING, 5));
    assert_false(goal_is_met_by(&running, &is_running, CT_STOPPED, 5)); /* it ended since */
    assert_false(goal_is_met_by(&running, &is_running, CT_STOPPING, 5));
    assert_false(goal_is_met_by(&running, &is_running, CT_FROZEN, 5));
    assert_false(goal_is_met_by(&running, &is_running, CT_BOOTING, 6));
    assert_true(goal_is_met_by(&running, &is_thawed, CT_FROZEN, 5));
    assert_true(goal_is_met_by(&stopped, &is_stopped, CT_RUNNING, 5));
    assert_true(goal_is_met_by(&stopped, &is_stopped, CT_RUNNING, 4));
    assert_false(goal_is_met_by(&stopped, &is_stopped, CT_RUNNING, 6));
}

static void test_goal__events__match_type_or_cause(void **state)
{
    struct goal oom = goal_of("event=oom");
    struct goal halt = goal_of("event=guest_halt");
    struct event end = changed(CT_RUNNING, CT_CLEANING, 1);
    struct event rise = {.type = EVENT_OOM};

    (void)state;
    assert_false(goal_is_met_by(&halt, &end, CT_UNSET, 0));
    end.cause = CAUSE_GUEST_HALT;
    assert_true(goal_is_met_by(&halt, &end, CT_UNSET, 0));
    assert_false(goal_is_met_by(&oom, &end, CT_UNSET, 0));
    assert_true(goal_is_met_by(&oom, &rise, CT_UNSET, 0));
    end.cause = CAUSE_OOM;
    assert_true(goal_is_met_by(&oom, &end, CT_UNSET, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goal__words__are_read_or_refused),
        cmocka_unit_test(test_goal__levels__are_met_by_what_is),
        cmocka_unit_test(test_goal__between_generations__stopped_is_not_met),
        cmocka_unit_test(test_goal__news__meet_it_and_old_news_do_not),
        cmocka_unit_test(test_goal__events__match_type_or_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
