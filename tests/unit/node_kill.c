/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: what does not end although it was told to. Kills, reboots that must kill, and what
 * is stuck and retried; each command must end in time, and what was ordered must still be
 * carried out later. */
#include "world.h"

#include <signal.h>
#include <string.h>

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

/* ---- kill ---- */

static void test_node_kill__running_guest__is_operator_kill(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.restart = RESTART_ALWAYS};
    uint32_t ct = world_run(world, "web", &policy);

    (void)state;
    order(world, VERB_KILL, 0);
    assert_int_equal(world_count_effects(world, EFFECT_KILL), 1);
    assert_int_equal(world_count_effects(world, EFFECT_ASK), 0);
    world_end(world, ct, KILLED(SIGKILL));
    assert_cause(world, CAUSE_OPERATOR_KILL);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

static void test_node_kill__over_a_stop__does_not_wait_for_its_grace(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_STOP, 3600 * SECOND_NS);
    order(world, VERB_KILL, 0);
    assert_int_equal(world_final(world, "r3")->phase, PHASE_SUPERSEDED);
    assert_state(world, ct, CT_KILLING);
    world_end(world, ct, KILLED(SIGKILL));

    assert_cause(world, CAUSE_OPERATOR_KILL);
    world_close(world);
}

static void test_node_kill__while_launching__reaches_init_that_comes_after(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    order(world, VERB_START, 0);
    world_launch(world, ct);
    order(world, VERB_KILL, 0);
    assert_int_equal(world_count_effects(world, EFFECT_KILL), 1);
    world_see(world, ct, IN_BOOTED);
    assert_int_equal(world_count_effects(world, EFFECT_KILL), 2);
    world_end(world, ct, KILLED(SIGKILL));

    assert_cause(world, CAUSE_OPERATOR_KILL);
    world_close(world);
}

static void test_node_kill__while_preparing__waits_for_the_answer(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    order(world, VERB_START, 0);
    order(world, VERB_KILL, 0);
    assert_state(world, ct, CT_KILLING);
    assert_int_equal(world_count_effects(world, EFFECT_CLEAN), 0);
    world_see(world, ct, IN_PREPARED);
    assert_cause(world, CAUSE_OPERATOR_KILL);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_int_equal(world_count_effects(world, EFFECT_LAUNCH), 0);
    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

static void test_node_kill__after_a_guests_reboot__keeps_it_down(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, KILLED(SIGHUP));
    order(world, VERB_KILL, 0);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

/* ---- reboot ---- */

static void test_node_kill__reboot__asks_to_reboot_and_boots_again(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_REBOOT, 0);
    assert_true(world_effect(world, EFFECT_ASK)->is_reboot);
    assert_true(world_ct(world, ct)->is_restart_owed);
    world_end(world, ct, KILLED(SIGHUP));
    assert_cause(world, CAUSE_OPERATOR_REBOOT);
    world_see(world, ct, IN_CLEANED_STOP);
    assert_state(world, ct, CT_PREPARING); /* no back-off: a person asked */
    world_boot(world, ct);

    assert_int_equal(final_phase(world), PHASE_DONE);
    assert_int_equal(world_ct(world, ct)->generation, 2);
    world_close(world);
}

/* However it went down, and though its own reboots are not allowed. */
static void test_node_kill__reboot__comes_up_again_however_it_went_down(void **state)
{
    static const int ends[] = {KILLED(SIGHUP), KILLED(SIGINT), EXITED(1), KILLED(SIGSEGV)};

    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct world *world = world_open();
        struct ct_policy policy = {.is_reboot_denied = true};
        uint32_t ct = world_run(world, "web", &policy);

        order(world, VERB_REBOOT, 0);
        world_end(world, ct, ends[i]);
        assert_cause(world, CAUSE_OPERATOR_REBOOT);
        world_see(world, ct, IN_CLEANED_STOP);
        assert_state(world, ct, CT_PREPARING);
        world_close(world);
    }
}

static void test_node_kill__reboot_of_a_deaf_guest__kills_and_boots_again(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_REBOOT, 5 * SECOND_NS);
    world_pass(world, 5 * SECOND_NS);
    assert_state(world, ct, CT_KILLING);
    world_end(world, ct, KILLED(SIGKILL));
    assert_cause(world, CAUSE_OPERATOR_REBOOT);
    world_see(world, ct, IN_CLEANED_STOP);
    world_boot(world, ct);

    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

static void test_node_kill__reboot_whose_boot_fails__is_failed_and_stopped(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.restart = RESTART_ALWAYS};
    uint32_t ct = world_run(world, "web", &policy);

    (void)state;
    order(world, VERB_REBOOT, 0);
    world_end(world, ct, KILLED(SIGHUP));
    world_see(world, ct, IN_CLEANED_STOP);
    world_see(world, ct, IN_PREPARE_FAILED);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(final_phase(world), PHASE_FAILED);
    assert_string_equal(world_final(world, "r3")->fault.text, "prepare_failed failed");
    world_close(world);
}

/* ---- stop over reboot, at each of its stages ---- */

static void test_node_kill__stop_over_reboot_that_asks__has_its_own_grace(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_REBOOT, 3600 * SECOND_NS);
    world_pass(world, STOP_STEP_NS);
    assert_int_equal(world_effect(world, EFFECT_ASK)->step, 1);
    order(world, VERB_STOP, 30 * SECOND_NS);
    assert_int_equal(world_final(world, "r3")->phase, PHASE_SUPERSEDED);
    assert_int_equal(world_ct(world, ct)->deadline_ns, world->now.ns + 30 * SECOND_NS);
    assert_false(world_effect(world, EFFECT_ASK)->is_reboot);
    assert_int_equal(world_effect(world, EFFECT_ASK)->step, 0);
    world_end(world, ct, KILLED(SIGHUP));
    assert_cause(world, CAUSE_OPERATOR_STOP);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

static void test_node_kill__stop_over_reboot_that_kills__stays_down(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_REBOOT, 5 * SECOND_NS);
    world_pass(world, 5 * SECOND_NS);
    assert_state(world, ct, CT_KILLING);
    order(world, VERB_STOP, 0);
    assert_int_equal(world_final(world, "r3")->phase, PHASE_SUPERSEDED);
    world_end(world, ct, KILLED(SIGKILL));
    assert_cause(world, CAUSE_OPERATOR_KILL);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

static void test_node_kill__stop_over_reboot_that_cleans__stays_down(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_REBOOT, 0);
    world_end(world, ct, KILLED(SIGHUP));
    order(world, VERB_STOP, 0);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(world_final(world, "r3")->phase, PHASE_SUPERSEDED);
    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

/* It was killed for being late before the operator came; that stays the reason. */
static void test_node_kill__stop_over_start_that_is_killed_as_late__stays_down(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.restart = RESTART_ALWAYS};
    uint32_t ct = world_make(world, "web", &policy);

    (void)state;
    order(world, VERB_START, 0);
    world_launch(world, ct);
    world_see(world, ct, IN_BOOTED);
    world_pass(world, BOOT_DEADLINE_NS);
    assert_state(world, ct, CT_KILLING);
    order(world, VERB_STOP, 0);
    world_end(world, ct, KILLED(SIGKILL));
    assert_cause(world, CAUSE_BOOT_TIMEOUT);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

/* ---- stuck ---- */

static void test_node_kill__kill_without_an_end__is_stuck_and_retried(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);
    uint64_t wait_ns = STUCK_RETRY_NS;

    (void)state;
    order(world, VERB_KILL, 0);
    world_pass(world, KILL_DEADLINE_NS);
    assert_state(world, ct, CT_STUCK);
    assert_int_equal(final_phase(world), PHASE_FAILED);
    assert_string_equal(world_final(world, "r3")->fault.text, "web: its processes do not end");
    assert_int_equal(world_final(world, "r3")->fault.status, STATUS_TIMEOUT);

    assert_int_equal(world_ct(world, ct)->step_ns, world->now.ns + STUCK_RETRY_NS);
    for (unsigned i = 0; i < 10; i++) {
        size_t before = world_count_effects(world, EFFECT_KILL);

        world_pass(world, world_ct(world, ct)->step_ns - world->now.ns);
        assert_int_equal(world_count_effects(world, EFFECT_KILL), before + 1);
        assert_int_equal(world_ct(world, ct)->step_ns, world->now.ns + wait_ns);
        wait_ns = 2 * wait_ns < STUCK_RETRY_MAX_NS ? 2 * wait_ns : STUCK_RETRY_MAX_NS;
    }
    world_end(world, ct, KILLED(SIGKILL));
    assert_cause(world, CAUSE_OPERATOR_KILL);
    world_see(world, ct, IN_CLEANED_STOP);
    assert_state(world, ct, CT_STOPPED);
    world_close(world);
}

/* An init that comes late to what is stuck is killed too, and the retries go on. */
static void test_node_kill__boot_that_comes_while_stuck__does_not_end_the_retries(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    order(world, VERB_START, 0);
    world_launch(world, ct);
    order(world, VERB_KILL, 0);
    world_pass(world, KILL_DEADLINE_NS);
    assert_state(world, ct, CT_STUCK);
    size_t kills = world_count_effects(world, EFFECT_KILL);
    world_see(world, ct, IN_BOOTED);
    assert_int_equal(world_count_effects(world, EFFECT_KILL), kills + 1);
    world_pass(world, STUCK_RETRY_NS);

    assert_int_equal(world_count_effects(world, EFFECT_KILL), kills + 2);
    world_close(world);
}

static void test_node_kill__cleaning_that_fails__names_what_it_waits_for(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_STOP, 0);
    world_end(world, ct, KILLED(SIGINT));
    world_see(world, ct, IN_CLEAN_FAILED);
    world_see(world, ct, IN_CLEANED_STOP); /* of nothing that was ordered: it is not clean */
    assert_state(world, ct, CT_STUCK);
    assert_int_equal(final_phase(world), PHASE_FAILED);
    assert_string_equal(world_final(world, "r3")->fault.text, "clean_failed failed");
    world_pass(world, STUCK_RETRY_NS);
    assert_int_equal(world_count_effects(world, EFFECT_CLEAN), 2);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    world_close(world);
}

/* A worker that hangs is not given the same work again and again behind the first. */
static void test_node_kill__cleaning_that_hangs__is_ordered_once(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, KILLED(SIGHUP));
    world_pass(world, CLEAN_DEADLINE_NS);
    assert_state(world, ct, CT_STUCK);
    world_pass(world, 600 * SECOND_NS);
    assert_int_equal(world_count_effects(world, EFFECT_CLEAN), 1);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_PREPARING); /* the guest's reboot is still owed */
    world_close(world);
}

static void test_node_kill__stop_of_what_is_stuck__cancels_what_is_owed(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, KILLED(SIGHUP));
    world_see(world, ct, IN_CLEAN_FAILED);
    order(world, VERB_STOP, 0);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(final_phase(world), PHASE_DONE);
    world_close(world);
}

static void test_node_kill__kill_of_what_is_stuck__ends_in_time_though_it_is_in_vain(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    order(world, VERB_KILL, 0);
    world_pass(world, KILL_DEADLINE_NS);
    order(world, VERB_KILL, 0);
    assert_int_equal(final_phase(world), PHASE_ACCEPTED);
    world_pass(world, KILL_DEADLINE_NS);
    assert_int_equal(final_phase(world), PHASE_FAILED);
    assert_int_equal(world_final(world, world_request(world))->fault.status, STATUS_TIMEOUT);
    assert_state(world, ct, CT_STUCK);
    world_close(world);
}

static void test_node_kill__preparation_that_hangs__is_stuck_until_it_returns(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    order(world, VERB_START, 0);
    world_pass(world, PREPARE_DEADLINE_NS);
    assert_state(world, ct, CT_STUCK);
    assert_string_equal(world_final(world, "r2")->fault.text, "web: preparing it does not return");
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_FAILED);
    world_pass(world, 100 * SECOND_NS);
    assert_int_equal(world_count_effects(world, EFFECT_CLEAN), 0);
    world_see(world, ct, IN_PREPARED);
    assert_cause(world, CAUSE_START_FAILED);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(world_count_effects(world, EFFECT_LAUNCH), 0);
    world_close(world);
}

/* A start that failed for a reason says that one, though cleaning up after it fails as well. */
static void test_node_kill__failed_start_that_cannot_be_cleaned__tells_why_it_failed(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    order(world, VERB_START, 0);
    world_see(world, ct, IN_PREPARE_FAILED);
    world_see(world, ct, IN_CLEAN_FAILED);

    assert_int_equal(final_phase(world), PHASE_FAILED);
    assert_string_equal(world_final(world, "r2")->fault.text, "prepare_failed failed");
    assert_string_equal(world_ct(world, ct)->fault.text, "clean_failed failed");
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_kill__running_guest__is_operator_kill),
        cmocka_unit_test(test_node_kill__over_a_stop__does_not_wait_for_its_grace),
        cmocka_unit_test(test_node_kill__while_launching__reaches_init_that_comes_after),
        cmocka_unit_test(test_node_kill__while_preparing__waits_for_the_answer),
        cmocka_unit_test(test_node_kill__after_a_guests_reboot__keeps_it_down),
        cmocka_unit_test(test_node_kill__reboot__asks_to_reboot_and_boots_again),
        cmocka_unit_test(test_node_kill__reboot__comes_up_again_however_it_went_down),
        cmocka_unit_test(test_node_kill__reboot_of_a_deaf_guest__kills_and_boots_again),
        cmocka_unit_test(test_node_kill__reboot_whose_boot_fails__is_failed_and_stopped),
        cmocka_unit_test(test_node_kill__stop_over_reboot_that_asks__has_its_own_grace),
        cmocka_unit_test(test_node_kill__stop_over_reboot_that_kills__stays_down),
        cmocka_unit_test(test_node_kill__stop_over_reboot_that_cleans__stays_down),
        cmocka_unit_test(test_node_kill__stop_over_start_that_is_killed_as_late__stays_down),
        cmocka_unit_test(test_node_kill__kill_without_an_end__is_stuck_and_retried),
        cmocka_unit_test(test_node_kill__boot_that_comes_while_stuck__does_not_end_the_retries),
        cmocka_unit_test(test_node_kill__cleaning_that_fails__names_what_it_waits_for),
        cmocka_unit_test(test_node_kill__cleaning_that_hangs__is_ordered_once),
        cmocka_unit_test(test_node_kill__stop_of_what_is_stuck__cancels_what_is_owed),
        cmocka_unit_test(test_node_kill__kill_of_what_is_stuck__ends_in_time_though_it_is_in_vain),
        cmocka_unit_test(test_node_kill__preparation_that_hangs__is_stuck_until_it_returns),
        cmocka_unit_test(test_node_kill__failed_start_that_cannot_be_cleaned__tells_why_it_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
