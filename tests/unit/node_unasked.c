/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a guest that is asked to stop though its stop hook said no, or one that is left half
 * stopped. Hooks succeed and fail at a stop and a reboot; what is ordered and told is looked at. */
#include "world.h"

#include <signal.h>

static void order(struct world *world, enum verb verb)
{
    struct ct_command command = {
        .verb = verb, .container = "web", .wait = WAIT_FOR_READY, .grace_ns = 60 * SECOND_NS};

    assert_int_equal(world_command(world, &command)->phase, PHASE_ACCEPTED);
}

static void fail_hook(struct world *world, uint32_t ct)
{
    struct observation seen = {.kind = IN_UNASKED, .ct = ct, .generation = 1};

    fault_set(&seen.fault, STATUS_HOOK_FAILED, 0, "hook stop exited 3");
    world_observe(world, &seen);
}

static void test_node_unasked__hook_that_fails__leaves_it_as_it_was(void **state)
{
    static const enum verb verbs[] = {VERB_STOP, VERB_REBOOT};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_open();
        struct ct_policy policy = {.restart = RESTART_ALWAYS};
        uint32_t ct = world_run(world, "web", &policy);

        order(world, verbs[i]);
        fail_hook(world, ct);
        assert_state(world, ct, CT_RUNNING);
        assert_int_equal(world_final(world, world_request(world))->phase, PHASE_FAILED);
        assert_int_equal(world_final(world, world_request(world))->fault.status,
                         STATUS_HOOK_FAILED);
        assert_int_equal(world_ct(world, ct)->deadline_ns, 0);
        assert_true(world_ct(world, ct)->is_wanted);
        assert_false(world_ct(world, ct)->is_restart_owed);

        world_end(world, ct, EXITED(1)); /* by itself, and no longer at anybody's order */
        assert_cause(world, CAUSE_EXITED);
        assert_true(world_ct(world, ct)->is_restart_owed);
        world_close(world);
    }
}

static void test_node_unasked__hooks_that_are_done__begin_the_asking_anew(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);
    struct observation begun = {.kind = IN_STEP, .ct = ct, .generation = 1, .is_going_down = true};
    struct observation done = {.kind = IN_STEP, .ct = ct, .generation = 1, .is_hooked = true};

    (void)state;
    order(world, VERB_STOP);
    world_observe(world, &begun);
    world_pass(world, 3 * STOP_STEP_NS); /* no other way of asking is tried meanwhile */
    assert_int_equal(world_ct(world, ct)->stop_step, 0);
    assert_null(world_event(world, EVENT_ESCALATED));
    world_observe(world, &done);
    assert_int_equal(world_effect(world, EFFECT_ASK)->step, 0);
    assert_int_not_equal(world_ct(world, ct)->step_ns, 0);
    world_end(world, ct, KILLED(SIGINT));
    assert_cause(world, CAUSE_OPERATOR_STOP);
    world_close(world);
}

static void test_node_unasked__hook_that_fails_late__changes_nothing(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_STOP);
    order(world, VERB_KILL);
    fail_hook(world, ct);
    assert_state(world, ct, CT_KILLING);
    world_end(world, ct, KILLED(SIGKILL));
    fail_hook(world, ct);
    assert_state(world, ct, CT_CLEANING);
    assert_cause(world, CAUSE_OPERATOR_KILL);
    world_close(world);
}

static void test_node_unasked__one_that_was_not_ready__is_waited_for_again(void **state)
{
    struct world *world = world_open();
    struct ct_command start = {.verb = VERB_START, .container = "web", .wait = WAIT_FOR_EXEC};
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_command(world, &start)->phase, PHASE_ACCEPTED);
    world_see(world, ct, IN_PREPARED);
    world_see(world, ct, IN_BOOTED);
    assert_state(world, ct, CT_BOOTING);
    order(world, VERB_STOP);
    fail_hook(world, ct);
    assert_state(world, ct, CT_BOOTING);
    assert_int_not_equal(world_ct(world, ct)->deadline_ns, 0);
    world_see(world, ct, IN_READY);
    assert_state(world, ct, CT_RUNNING);
    world_close(world);
}

static void test_node_unasked__ready_while_its_hooks_ran__is_running(void **state)
{
    struct world *world = world_open();
    struct ct_command start = {.verb = VERB_START, .container = "web", .wait = WAIT_FOR_EXEC};
    uint32_t ct = world_make(world, "web", NULL);
    struct observation seen = {
        .kind = IN_UNASKED, .ct = ct, .generation = 1, .has_become_ready = true};

    (void)state;
    assert_int_equal(world_command(world, &start)->phase, PHASE_ACCEPTED);
    world_see(world, ct, IN_PREPARED);
    world_see(world, ct, IN_BOOTED);
    order(world, VERB_STOP);
    world_observe(world, &seen);
    assert_state(world, ct, CT_RUNNING);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_unasked__hook_that_fails__leaves_it_as_it_was),
        cmocka_unit_test(test_node_unasked__hooks_that_are_done__begin_the_asking_anew),
        cmocka_unit_test(test_node_unasked__hook_that_fails_late__changes_nothing),
        cmocka_unit_test(test_node_unasked__one_that_was_not_ready__is_waited_for_again),
        cmocka_unit_test(test_node_unasked__ready_while_its_hooks_ran__is_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
