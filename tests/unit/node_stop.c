/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a stop that is lost, or that loses the guest's own grace. Stops, kills and reboots
 * meet a guest at each instant of its life; what it is asked, when it is killed and how it is
 * told are looked at. */
#include "world.h"

#include <signal.h>

static void order(struct world *world, enum verb verb, uint64_t grace_ns)
{
    struct ct_command command = {
        .verb = verb, .container = "web", .wait = WAIT_FOR_READY, .grace_ns = grace_ns};

    assert_int_equal(world_command(world, &command)->phase, PHASE_ACCEPTED);
}

static enum phase final_phase(struct world *world)
{
    const struct ct_receipt *receipt = world_final(world, world_request(world));

    return receipt == NULL ? PHASE_ACCEPTED : receipt->phase;
}

/* ---- stop ---- */

static void test_node_stop__guest_that_goes__is_operator_stop(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.restart = RESTART_ALWAYS};
    uint32_t ct = world_run(world, "web", &policy);

    (void)state;
    order(world, VERB_STOP, 0);
    assert_int_equal(world_effect(world, EFFECT_ASK)->step, 0);
    assert_false(world_effect(world, EFFECT_ASK)->is_reboot);
    assert_true(world_effect(world, EFFECT_ASK)->waits_commit);
    world_end(world, ct, KILLED(SIGINT));
    assert_cause(world, CAUSE_OPERATOR_STOP);
    assert_int_equal(final_phase(world), PHASE_ACCEPTED); /* not before all is gone */
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(final_phase(world), PHASE_DONE);
    assert_int_equal(world_count_effects(world, EFFECT_KILL), 0);
    assert_false(world_ct(world, ct)->is_wanted);
    world_close(world);
}

/* A guest that answers a stop with a reboot stays down all the same. */
static void test_node_stop__guest_that_reboots_instead__stays_stopped(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_STOP, 0);
    world_end(world, ct, KILLED(SIGHUP));
    assert_cause(world, CAUSE_OPERATOR_STOP);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    world_close(world);
}

static void test_node_stop__stop_after_a_guests_reboot__beats_it(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, KILLED(SIGHUP));
    assert_cause(world, CAUSE_GUEST_REBOOT);
    order(world, VERB_STOP, 0);
    assert_false(world_ct(world, ct)->is_restart_owed);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

static void test_node_stop__stop_in_backoff__ends_the_waiting(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, KILLED(SIGHUP));
    world_see(world, ct, IN_CLEANED_STOP);
    world_boot(world, ct);
    world_end(world, ct, KILLED(SIGHUP));
    world_see(world, ct, IN_CLEANED_STOP);
    assert_state(world, ct, CT_BACKOFF);
    order(world, VERB_STOP, 0);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(final_phase(world), PHASE_DONE);
    assert_int_equal(node_next_deadline(world->node), 0);
    world_close(world);
}

static void
test_node_stop__deaf_guest__is_asked_in_each_way_and_killed_after_its_grace(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_STOP, 60 * SECOND_NS);
    for (uint32_t step = 1; step < STOP_STEPS_MAX; step++) {
        world_pass(world, STOP_STEP_NS - 1);
        assert_int_equal(world_effect(world, EFFECT_ASK)->step, step - 1);
        world_pass(world, 1);
        assert_int_equal(world_effect(world, EFFECT_ASK)->step, step);
        assert_non_null(world_event(world, EVENT_ESCALATED));
    }
    world_pass(world, 60 * SECOND_NS - (STOP_STEPS_MAX - 1) * STOP_STEP_NS - 1);
    assert_state(world, ct, CT_STOPPING);
    assert_int_equal(world_count_effects(world, EFFECT_ASK), STOP_STEPS_MAX);
    world_pass(world, 1);
    assert_state(world, ct, CT_KILLING);
    assert_int_equal(world_count_effects(world, EFFECT_KILL), 1);
    assert_string_equal(world_event(world, EVENT_ESCALATED)->detail,
                        "grace of 60 s is over: killed");
    world_end(world, ct, KILLED(SIGKILL));
    assert_cause(world, CAUSE_OPERATOR_KILL);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

static void see_asking(struct world *world, uint32_t ct, uint64_t step, bool is_going_down)
{
    struct observation seen = {
        .kind = IN_STEP, .ct = ct, .generation = 1, .count = step, .is_going_down = is_going_down};

    if (!is_going_down)
        fault_set(&seen.fault, STATUS_FAILED, 0, "halt ended with code 127");
    world_observe(world, &seen);
}

/* A way that cannot be taken costs no time, and after the last nothing is left to wait for. */
static void test_node_stop__ways_that_fail__are_passed_over_at_once(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_STOP, 0);
    for (uint32_t step = 0; step + 1 < STOP_STEPS_MAX; step++) {
        see_asking(world, ct, step, false);
        assert_int_equal(world_effect(world, EFFECT_ASK)->step, step + 1);
        see_asking(world, ct, step, false); /* said again */
        assert_int_equal(world_count_effects(world, EFFECT_ASK), step + 2);
    }
    assert_string_equal(world_event(world, EVENT_ESCALATED)->detail,
                        "asked again, way 3 of 3: halt ended with code 127");
    see_asking(world, ct, STOP_STEPS_MAX - 1, false);

    assert_state(world, ct, CT_KILLING);
    assert_string_equal(world_event(world, EVENT_ESCALATED)->detail,
                        "no way of asking is left: killed (halt ended with code 127)");
    world_end(world, ct, KILLED(SIGKILL));
    assert_cause(world, CAUSE_OPERATOR_KILL);
    world_close(world);
}

/* One that goes down has all its grace, and no second word. */
static void test_node_stop__guest_that_is_going_down__is_left_alone(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_STOP, 60 * SECOND_NS);
    world_pass(world, STOP_STEP_NS);
    assert_int_equal(world_effect(world, EFFECT_ASK)->step, 1);
    see_asking(world, ct, 0, true); /* of the way before: it may mean anything */
    see_asking(world, ct, 1, true);
    world_pass(world, 60 * SECOND_NS - STOP_STEP_NS - 1);
    assert_int_equal(world_count_effects(world, EFFECT_ASK), 2);
    assert_state(world, ct, CT_STOPPING);
    world_pass(world, 1);

    assert_state(world, ct, CT_KILLING);
    world_close(world);
}

/* The command's own grace, else the container's, else the default. */
static void test_node_stop__grace__is_the_nearest_that_is_set(void **state)
{
    static const struct {
        uint64_t command_ns, container_ns, wanted_ns;
    } rows[] = {{5 * SECOND_NS, 7 * SECOND_NS, 5 * SECOND_NS},
                {0, 7 * SECOND_NS, 7 * SECOND_NS},
                {0, 0, GRACE_DEFAULT_NS}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *world = world_open();
        struct ct_policy policy = {.grace_ns = rows[i].container_ns};
        uint32_t ct = world_run(world, "web", &policy);

        order(world, VERB_STOP, rows[i].command_ns);
        assert_int_equal(world_ct(world, ct)->deadline_ns, world->now.ns + rows[i].wanted_ns);
        world_close(world);
    }
}

/* ---- stop before there is anybody to hear it ---- */

static void
test_node_stop__stop_while_preparing__waits_for_the_answer_and_launches_nothing(void **state)
{
    static const enum ct_input answers[] = {IN_PREPARED, IN_PREPARE_FAILED};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_open();
        uint32_t ct = world_make(world, "web", NULL);

        order(world, VERB_START, 0);
        order(world, VERB_STOP, 0);
        assert_int_equal(world_final(world, "r2")->phase, PHASE_SUPERSEDED);
        assert_state(world, ct, CT_STOPPING);
        assert_int_equal(world_count_effects(world, EFFECT_CLEAN), 0);
        world_see(world, ct, answers[i]);
        assert_cause(world, CAUSE_OPERATOR_STOP);
        world_see(world, ct, IN_CLEANED_STOP);

        assert_state(world, ct, CT_STOPPED);
        assert_int_equal(final_phase(world), PHASE_DONE);
        assert_int_equal(world_count_effects(world, EFFECT_LAUNCH), 0);
        assert_int_equal(world_count_effects(world, EFFECT_ASK), 0);
        world_close(world);
    }
}

static void test_node_stop__stop_while_launching__is_held_until_init_runs(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    order(world, VERB_START, 0);
    world_launch(world, ct);
    order(world, VERB_STOP, 0);
    assert_int_equal(world_count_effects(world, EFFECT_ASK), 0);
    world_see(world, ct, IN_BOOTED);
    assert_int_equal(world_count_effects(world, EFFECT_ASK), 1);
    assert_state(world, ct, CT_STOPPING);
    assert_int_equal(world_ct(world, ct)->pid, 4711);
    world_end(world, ct, KILLED(SIGINT));

    assert_cause(world, CAUSE_OPERATOR_STOP);
    world_close(world);
}

/* Nobody waits for the whole grace of a guest that is not there; it counts from boot. */
static void test_node_stop__stop_of_a_launch_that_hangs__is_not_graceful_for_long(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    order(world, VERB_START, 0);
    world_launch(world, ct);
    order(world, VERB_STOP, 3600 * SECOND_NS);
    world_pass(world, LAUNCH_DEADLINE_NS - 1);
    assert_state(world, ct, CT_STOPPING);
    world_pass(world, 1);
    assert_state(world, ct, CT_KILLING);
    world_close(world);

    world = world_open();
    ct = world_make(world, "web", NULL);
    order(world, VERB_START, 0);
    world_launch(world, ct);
    order(world, VERB_STOP, 3600 * SECOND_NS);
    world_see(world, ct, IN_BOOTED);
    assert_int_equal(world_ct(world, ct)->deadline_ns, world->now.ns + 3600 * SECOND_NS);
    world_close(world);
}

static void test_node_stop__launch_that_fails_under_a_stop__is_operator_stop(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    order(world, VERB_START, 0);
    world_launch(world, ct);
    order(world, VERB_STOP, 0);
    world_see(world, ct, IN_LAUNCH_FAILED);
    assert_cause(world, CAUSE_OPERATOR_STOP);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

static void test_node_stop__stop_while_booting__supersedes_the_start(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    order(world, VERB_START, 0);
    world_launch(world, ct);
    world_see(world, ct, IN_BOOTED);
    order(world, VERB_STOP, 0);
    world_see(world, ct, IN_READY);
    assert_state(world, ct, CT_STOPPING);

    assert_int_equal(world_final(world, "r2")->phase, PHASE_SUPERSEDED);
    world_close(world);
}

/* What the keeper cannot know before a launch ends nothing: the answer alone does. */
static void test_node_stop__end_that_is_told_before_any_launch__is_not_believed(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    order(world, VERB_START, 0);
    order(world, VERB_STOP, 0);
    world_end(world, ct, KILLED(SIGINT));
    world_see(world, ct, IN_LAUNCH_FAILED);
    assert_state(world, ct, CT_STOPPING);
    world_see(world, ct, IN_PREPARED);

    assert_state(world, ct, CT_CLEANING);
    world_close(world);
}

/* ---- frozen ---- */

static void freeze(struct world *world, uint32_t ct)
{
    order(world, VERB_FREEZE, 0);
    world_see(world, ct, IN_FROZEN);
    assert_state(world, ct, CT_FROZEN);
    assert_int_equal(final_phase(world), PHASE_DONE);
    assert_int_equal(node_next_deadline(world->node), 0);
    world_forget(world);
}

static void test_node_stop__frozen_guest__is_thawed_before_it_is_asked(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    freeze(world, ct);
    order(world, VERB_STOP, 0);

    assert_int_equal(world->effect_count, 2);
    assert_int_equal(world->effects[0].kind, EFFECT_THAW);
    assert_int_equal(world->effects[1].kind, EFFECT_ASK);
    world_see(world, ct, IN_THAWED);
    assert_state(world, ct, CT_STOPPING);
    world_end(world, ct, KILLED(SIGINT));
    assert_cause(world, CAUSE_OPERATOR_STOP);
    world_close(world);
}

static void test_node_stop__frozen_guest__is_killed_as_it_is(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    freeze(world, ct);
    order(world, VERB_KILL, 0);

    assert_int_equal(world->effect_count, 1);
    assert_int_equal(world->effects[0].kind, EFFECT_KILL);
    world_close(world);
}

static void test_node_stop__start_of_a_frozen_guest__thaws_it(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    freeze(world, ct);
    order(world, VERB_START, 0);
    assert_int_equal(world_count_effects(world, EFFECT_THAW), 1);
    world_see(world, ct, IN_THAWED);

    assert_state(world, ct, CT_RUNNING);
    assert_int_equal(final_phase(world), PHASE_DONE);
    assert_int_equal(world_ct(world, ct)->generation, 1);
    world_close(world);
}

static void test_node_stop__freezer_that_does_not_answer__is_undone_and_fails(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_FREEZE, 0);
    world_pass(world, FREEZER_DEADLINE_NS);
    assert_state(world, ct, CT_RUNNING);
    assert_int_equal(world_count_effects(world, EFFECT_THAW), 1);
    assert_int_equal(world_final(world, "r3")->fault.status, STATUS_TIMEOUT);

    freeze(world, ct);
    order(world, VERB_THAW, 0);
    world_pass(world, FREEZER_DEADLINE_NS);
    assert_state(world, ct, CT_FROZEN);
    assert_int_equal(final_phase(world), PHASE_FAILED);
    world_close(world);
}

/* A freeze that failed leaves no clock behind that would cut the next one short. */
static void test_node_stop__freeze_after_one_that_failed__has_its_own_time(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_FREEZE, 0);
    world_see(world, ct, IN_FREEZE_FAILED);
    assert_int_equal(final_phase(world), PHASE_FAILED);
    assert_int_equal(node_next_deadline(world->node), 0);
    world_pass(world, FREEZER_DEADLINE_NS / 2);
    order(world, VERB_FREEZE, 0);
    world_pass(world, FREEZER_DEADLINE_NS - 1);
    assert_int_equal(final_phase(world), PHASE_ACCEPTED);
    world_see(world, ct, IN_FROZEN);

    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

/* A guest that ends, or reboots, under a freeze leaves no command behind that nobody ends (I3). */
static void test_node_stop__guest_that_ends_under_a_freeze__fails_it(void **state)
{
    static const int ends[] = {KILLED(SIGINT), KILLED(SIGHUP)};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_open();
        uint32_t ct = world_run(world, "web", NULL);

        order(world, VERB_FREEZE, 0);
        world_end(world, ct, ends[i]);
        assert_int_equal(final_phase(world), PHASE_FAILED);
        assert_int_equal(world_final(world, "r3")->fault.status, STATUS_WRONG_STATE);
        world_see(world, ct, IN_CLEANED_STOP);
        assert_state(world, ct, i == 0 ? CT_STOPPED : CT_PREPARING);
        assert_false(world_ct(world, ct)->has_command);
        world_close(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_stop__guest_that_goes__is_operator_stop),
        cmocka_unit_test(test_node_stop__guest_that_reboots_instead__stays_stopped),
        cmocka_unit_test(test_node_stop__stop_after_a_guests_reboot__beats_it),
        cmocka_unit_test(test_node_stop__stop_in_backoff__ends_the_waiting),
        cmocka_unit_test(
            test_node_stop__deaf_guest__is_asked_in_each_way_and_killed_after_its_grace),
        cmocka_unit_test(test_node_stop__grace__is_the_nearest_that_is_set),
        cmocka_unit_test(test_node_stop__ways_that_fail__are_passed_over_at_once),
        cmocka_unit_test(test_node_stop__guest_that_is_going_down__is_left_alone),
        cmocka_unit_test(
            test_node_stop__stop_while_preparing__waits_for_the_answer_and_launches_nothing),
        cmocka_unit_test(test_node_stop__stop_while_launching__is_held_until_init_runs),
        cmocka_unit_test(test_node_stop__stop_of_a_launch_that_hangs__is_not_graceful_for_long),
        cmocka_unit_test(test_node_stop__launch_that_fails_under_a_stop__is_operator_stop),
        cmocka_unit_test(test_node_stop__stop_while_booting__supersedes_the_start),
        cmocka_unit_test(test_node_stop__end_that_is_told_before_any_launch__is_not_believed),
        cmocka_unit_test(test_node_stop__frozen_guest__is_thawed_before_it_is_asked),
        cmocka_unit_test(test_node_stop__frozen_guest__is_killed_as_it_is),
        cmocka_unit_test(test_node_stop__start_of_a_frozen_guest__thaws_it),
        cmocka_unit_test(test_node_stop__freezer_that_does_not_answer__is_undone_and_fails),
        cmocka_unit_test(test_node_stop__freeze_after_one_that_failed__has_its_own_time),
        cmocka_unit_test(test_node_stop__guest_that_ends_under_a_freeze__fails_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
