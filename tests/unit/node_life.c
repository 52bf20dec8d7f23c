/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: why a guest ended, and whether it boots again. Guests are booted and ended in each
 * way there is; cause, what follows and when are looked at. */
#include "world.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* ---- each end by itself ---- */

static void test_node_life__guest_reboot__boots_the_next_generation_at_once(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, KILLED(SIGHUP));
    assert_cause(world, CAUSE_GUEST_REBOOT);
    assert_int_equal(world_end_event(world)->generation, 1);
    assert_true(world_ct(world, ct)->is_restart_owed);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_PREPARING);
    assert_int_equal(world_ct(world, ct)->generation, 2);
    assert_false(world_ct(world, ct)->is_restart_owed);
    assert_int_equal(world_count_effects(world, EFFECT_PREPARE), 1);
    world_boot(world, ct);
    world_close(world);
}

static void test_node_life__guest_reboot_that_is_not_allowed__stays_stopped(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.restart = RESTART_ALWAYS, .is_reboot_denied = true};
    uint32_t ct = world_run(world, "web", &policy);

    (void)state;
    world_end(world, ct, KILLED(SIGHUP));
    assert_cause(world, CAUSE_REBOOT_DENIED);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_false(world_ct(world, ct)->is_wanted);
    world_close(world);
}

/* Policy by cause: never, on-failure, always; what each does to each end that the guest causes. */
static void test_node_life__restart_policy__decides_by_cause(void **state)
{
    static const struct {
        int status;
        bool is_known;
        enum cause cause;
        bool never, on_failure, always; /* boots again? */
    } rows[] = {
        {KILLED(SIGHUP), true, CAUSE_GUEST_REBOOT, true, true, true},
        {KILLED(SIGINT), true, CAUSE_GUEST_HALT, false, false, false},
        {EXITED(0), true, CAUSE_EXITED, false, false, true},
        {EXITED(7), true, CAUSE_EXITED, false, true, true},
        {KILLED(SIGSEGV) | 0x80, true, CAUSE_SIGNALLED, false, true, true},
        {KILLED(SIGKILL), true, CAUSE_SIGNALLED, false, true, true},
        {0, false, CAUSE_UNKNOWN, false, true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (unsigned restart = RESTART_UNSET; restart < RESTART_COUNT; restart++) {
            struct world *world = world_open();
            struct ct_policy policy = {.restart = (enum restart_on)restart};
            uint32_t ct = world_run(world, "web", &policy);
            const bool boots[RESTART_COUNT] = {rows[i].never, rows[i].never, rows[i].on_failure,
                                               rows[i].always};

            world_observe(world, &(struct observation){.kind = IN_ENDED,
                                                       .ct = ct,
                                                       .generation = 1,
                                                       .has_status = rows[i].is_known,
                                                       .wait_status = rows[i].status});
            assert_cause(world, rows[i].cause);
            assert_int_equal(world_end_event(world)->has_status, rows[i].is_known);
            world_see(world, ct, IN_CLEANED_STOP);
            assert_state(world, ct, boots[restart] ? CT_PREPARING : CT_STOPPED);
            assert_int_equal(world_ct(world, ct)->is_wanted, boots[restart]);
            world_close(world);
        }
}

static void test_node_life__the_end__is_told_once_and_by_its_event_alone(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    assert_true(world_ct(world, ct)->is_ready);
    world_end(world, ct, EXITED(7));
    assert_false(world_ct(world, ct)->is_ready);
    assert_false(world_ct(world, ct)->is_wanted);
    assert_int_equal(world_ct(world, ct)->pid, 0);
    world_end(world, ct, EXITED(7)); /* said again by the keeper */
    world_see(world, ct, IN_CLEANED_STOP);
    world_end(world, ct, EXITED(7));

    assert_int_equal(world->event_count, 2);
    assert_int_equal(world->events[0].from, CT_RUNNING);
    assert_int_equal(world->events[0].to, CT_CLEANING);
    assert_int_equal(world->events[0].cause, CAUSE_EXITED);
    assert_int_equal(world->events[0].wait_status, EXITED(7));
    assert_int_equal(world->events[1].to, CT_STOPPED);
    assert_int_equal(world->events[1].cause, CAUSE_UNSET);
    assert_false(world->events[1].has_status);
    assert_int_equal(world_count_effects(world, EFFECT_CLEAN), 1);
    world_close(world);
}

/* ---- memory ---- */

static void see_oom(struct world *world, uint32_t ct)
{
    world_observe(world,
                  &(struct observation){.kind = IN_OOM, .ct = ct, .generation = 1, .count = 2});
}

static void test_node_life__kill_for_memory_of_init__is_oom(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.restart = RESTART_ON_FAILURE};
    uint32_t ct = world_run(world, "web", &policy);

    (void)state;
    see_oom(world, ct);
    assert_string_equal(world_event(world, EVENT_OOM)->detail, "2 killed for memory");
    world_pass(world, OOM_WINDOW_NS / 2);
    world_end(world, ct, KILLED(SIGKILL));

    assert_cause(world, CAUSE_OOM);
    world_see(world, ct, IN_CLEANED_STOP);
    assert_state(world, ct, CT_PREPARING);
    world_close(world);
}

static void test_node_life__init_long_in_dying_for_memory__is_oom(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_observe(
        world, &(struct observation){
                   .kind = IN_OOM, .ct = ct, .generation = 1, .count = 1, .is_init_dying = true});
    see_oom(world, ct); /* of its children, later */
    world_pass(world, OOM_WINDOW_NS * 5);
    world_end(world, ct, KILLED(SIGKILL));

    assert_cause(world, CAUSE_OOM);
    world_close(world);
}

static void test_node_life__kill_for_memory_long_ago__explains_nothing(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    see_oom(world, ct);
    assert_state(world, ct, CT_RUNNING);
    world_pass(world, OOM_WINDOW_NS + 1);
    world_end(world, ct, KILLED(SIGKILL));

    assert_cause(world, CAUSE_SIGNALLED);
    world_close(world);
}

static void test_node_life__kill_of_ours_after_one_for_memory__is_ours(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    see_oom(world, ct);
    assert_int_equal(world_order(world, VERB_KILL, "web"), PHASE_ACCEPTED);
    world_end(world, ct, KILLED(SIGKILL));

    assert_cause(world, CAUSE_OPERATOR_KILL);
    world_close(world);
}

static void test_node_life__kill_for_memory_in_one_generation__is_not_of_the_next(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    see_oom(world, ct);
    world_end(world, ct, KILLED(SIGHUP));
    world_see(world, ct, IN_CLEANED_STOP);
    world_boot(world, ct);
    world_forget(world);
    world_end(world, ct, KILLED(SIGKILL));

    assert_cause(world, CAUSE_SIGNALLED);
    world_close(world);
}

/* ---- boots that come to nothing ---- */

static void test_node_life__end_before_ready__fails_the_start(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_launch(world, ct);
    world_see(world, ct, IN_BOOTED);
    world_end(world, ct, EXITED(1));
    assert_cause(world, CAUSE_EXITED);
    assert_null(world_final(world, "r2"));
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(world_final(world, "r2")->phase, PHASE_FAILED);
    assert_string_equal(world_final(world, "r2")->fault.text,
                        "web ended before it was ready: exited");
    world_close(world);
}

static void test_node_life__start_that_fails__goes_back_to_what_was_desired(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.restart = RESTART_ALWAYS};
    uint32_t ct = world_make(world, "web", &policy);

    (void)state;
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_launch(world, ct);
    world_see(world, ct, IN_LAUNCH_FAILED);
    assert_cause(world, CAUSE_START_FAILED);
    assert_string_equal(world_end_event(world)->detail, "launch_failed failed");
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_false(world_ct(world, ct)->is_wanted);
    assert_int_equal(world_final(world, "r2")->fault.status, STATUS_FAILED);
    world_close(world);
}

/* What began by itself goes on by itself, as its policy says. */
static void test_node_life__restart_that_fails__is_tried_again_by_policy(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.restart = RESTART_ON_FAILURE};
    uint32_t ct = world_run(world, "web", &policy);

    (void)state;
    world_pass(world, RESTART_WINDOW_NS);
    world_end(world, ct, EXITED(1));
    world_see(world, ct, IN_CLEANED_STOP);
    world_see(world, ct, IN_PREPARE_FAILED);
    world_see(world, ct, IN_CLEANED_STOP);
    assert_state(world, ct, CT_BACKOFF);
    world_pass(world, RESTART_BASE_NS);

    assert_state(world, ct, CT_PREPARING);
    assert_int_equal(world_ct(world, ct)->generation, 3);
    world_close(world);
}

static void test_node_life__boot_that_is_never_ready__is_killed(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_launch(world, ct);
    world_see(world, ct, IN_BOOTED);
    world_pass(world, BOOT_DEADLINE_NS - 1);
    assert_state(world, ct, CT_BOOTING);
    world_pass(world, 1);
    assert_state(world, ct, CT_KILLING);
    assert_int_equal(world_count_effects(world, EFFECT_KILL), 1);
    world_end(world, ct, KILLED(SIGKILL));
    assert_cause(world, CAUSE_BOOT_TIMEOUT);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_int_equal(world_final(world, "r2")->fault.status, STATUS_TIMEOUT);
    world_close(world);
}

/* The container's own time, and its policy: the command ends, and the guest goes on till it is. */
static void test_node_life__boot_that_is_kept__ends_the_start_and_goes_on(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.ready_ns = 3 * SECOND_NS, .is_ready_kept = true};
    uint32_t ct = world_make(world, "web", &policy);

    (void)state;
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_launch(world, ct);
    world_see(world, ct, IN_BOOTED);
    world_pass(world, 3 * SECOND_NS - 1);
    assert_null(world_final(world, "r2"));
    world_pass(world, 1);
    assert_int_equal(world_final(world, "r2")->fault.status, STATUS_TIMEOUT);
    assert_string_equal(world_final(world, "r2")->fault.text, "web was not ready within 3 s");
    assert_state(world, ct, CT_BOOTING);
    world_pass(world, 10 * SECOND_NS);
    assert_state(world, ct, CT_BOOTING);
    assert_int_equal(world_count_effects(world, EFFECT_KILL), 0);
    world_see(world, ct, IN_READY);

    assert_state(world, ct, CT_RUNNING);
    world_close(world);
}

static void test_node_life__launch_without_a_word__is_killed_and_failed(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_launch(world, ct);
    world_pass(world, LAUNCH_DEADLINE_NS);
    assert_state(world, ct, CT_KILLING);
    world_observe(world,
                  &(struct observation){.kind = IN_LAUNCH_FAILED, .ct = ct, .generation = 1});
    assert_cause(world, CAUSE_START_FAILED);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_int_equal(world_final(world, "r2")->fault.status, STATUS_TIMEOUT);
    assert_string_equal(world_final(world, "r2")->fault.text,
                        "web: no word of its launch within 40 s");
    world_close(world);
}

static void test_node_life__launch_that_was_only_late__is_a_boot_timeout(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_launch(world, ct);
    world_pass(world, LAUNCH_DEADLINE_NS);
    world_see(world, ct, IN_BOOTED);
    assert_int_equal(world_count_effects(world, EFFECT_KILL), 2);
    world_end(world, ct, KILLED(SIGKILL));

    assert_cause(world, CAUSE_BOOT_TIMEOUT);
    world_close(world);
}

/* ---- orders of arrival ---- */

static void test_node_life__ready_on_exec__runs_with_boot_alone(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_observe(world,
                  &(struct observation){
                      .kind = IN_PREPARED, .ct = ct, .generation = 1, .is_ready_on_exec = true});
    world_see(world, ct, IN_BOOTED);

    assert_state(world, ct, CT_RUNNING);
    assert_int_equal(world_final(world, "r2")->phase, PHASE_DONE);
    world_close(world);
}

static void test_node_life__ready_before_boot__is_not_lost(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_launch(world, ct);
    world_see(world, ct, IN_READY);
    assert_state(world, ct, CT_LAUNCHING);
    world_see(world, ct, IN_BOOTED);

    assert_state(world, ct, CT_RUNNING);
    assert_int_equal(world_final(world, "r2")->phase, PHASE_DONE);
    world_close(world);
}

static void test_node_life__end_before_boot__ends_it_and_boot_is_late(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_launch(world, ct);
    world_end(world, ct, KILLED(SIGINT));
    assert_cause(world, CAUSE_GUEST_HALT);
    world_see(world, ct, IN_BOOTED);
    world_see(world, ct, IN_READY);
    assert_state(world, ct, CT_CLEANING);
    assert_false(world_ct(world, ct)->has_init);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(world_ct(world, ct)->pid, 0);
    world_close(world);
}

/* All orders of BOOTED, READY, ENDED lead to the same end. */
static void test_node_life__boot_ready_and_end__in_every_order_end_alike(void **state)
{
    static const enum ct_input orders[6][3] = {
        {IN_BOOTED, IN_READY, IN_ENDED}, {IN_BOOTED, IN_ENDED, IN_READY},
        {IN_READY, IN_BOOTED, IN_ENDED}, {IN_READY, IN_ENDED, IN_BOOTED},
        {IN_ENDED, IN_BOOTED, IN_READY}, {IN_ENDED, IN_READY, IN_BOOTED}};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct world *world = world_open();
        uint32_t ct = world_make(world, "web", NULL);

        assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
        world_launch(world, ct);
        for (size_t n = 0; n < 3; n++)
            if (orders[i][n] == IN_ENDED)
                world_end(world, ct, EXITED(3));
            else
                world_see(world, ct, orders[i][n]);
        assert_cause(world, CAUSE_EXITED);
        world_see(world, ct, IN_CLEANED_STOP);
        assert_state(world, ct, CT_STOPPED);
        assert_non_null(world_final(world, "r2"));
        world_close(world);
    }
}

static void test_node_life__words_of_a_generation_that_is_over__fall_on_nothing(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, KILLED(SIGHUP));
    world_see(world, ct, IN_CLEANED_STOP);
    world_boot(world, ct);
    world_forget(world);
    for (unsigned kind = IN_MADE; kind <= IN_REMOVE_FAILED; kind++) {
        if (kind == IN_ADMITTED)
            continue; /* the node's own */
        world_observe(
            world, &(struct observation){.kind = (enum ct_input)kind, .ct = ct, .generation = 1});
    }

    assert_state(world, ct, CT_RUNNING);
    assert_int_equal(world->event_count + world->effect_count + world->receipt_count, 0);
    world_close(world);
}

/* An answer is taken once: said again, it must not stand for the one that is still to come. */
static void test_node_life__an_answer_that_was_not_asked_for__falls_on_nothing(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_see(world, ct, IN_PREPARED);
    world_see(world, ct, IN_PREPARE_FAILED);
    world_see(world, ct, IN_CLEANED_STOP);
    world_see(world, ct, IN_CLEAN_FAILED);
    world_see(world, ct, IN_REMOVED);
    world_see(world, ct, IN_REMOVE_FAILED);
    world_see(world, ct, IN_MADE);
    world_see(world, ct, IN_MAKE_FAILED);

    assert_state(world, ct, CT_RUNNING);
    assert_int_equal(world->event_count + world->effect_count, 0);
    world_close(world);
}

/* ---- what a command makes of it ---- */

static void test_node_life__start_over_a_guests_end__follows_the_cleaning(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, KILLED(SIGINT));
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_see(world, ct, IN_CLEANED_STOP);
    world_boot(world, ct);

    assert_int_equal(world_final(world, world_request(world))->phase, PHASE_DONE);
    assert_int_equal(world_ct(world, ct)->generation, 2);
    world_close(world);
}

/* A start that waits through the restarts of its policy ends when one of them is ready. */
static void
test_node_life__start_of_a_guest_that_needs_two_boots__is_done_by_the_second(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_launch(world, ct);
    world_see(world, ct, IN_BOOTED);
    world_end(world, ct, KILLED(SIGHUP));
    world_see(world, ct, IN_CLEANED_STOP);
    assert_null(world_final(world, "r2"));
    world_boot(world, ct);

    assert_int_equal(world_final(world, "r2")->phase, PHASE_DONE);
    world_close(world);
}

/* The keeper died and took no end with it: neither guessed nor forgotten. */
static void
test_node_life__launch_that_the_keeper_lost__ends_whatever_state_it_reached(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_see(world, ct, IN_LAUNCH_FAILED);

    assert_cause(world, CAUSE_START_FAILED);
    assert_state(world, ct, CT_CLEANING);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_life__guest_reboot__boots_the_next_generation_at_once),
        cmocka_unit_test(test_node_life__guest_reboot_that_is_not_allowed__stays_stopped),
        cmocka_unit_test(test_node_life__restart_policy__decides_by_cause),
        cmocka_unit_test(test_node_life__the_end__is_told_once_and_by_its_event_alone),
        cmocka_unit_test(test_node_life__kill_for_memory_of_init__is_oom),
        cmocka_unit_test(test_node_life__init_long_in_dying_for_memory__is_oom),
        cmocka_unit_test(test_node_life__kill_for_memory_long_ago__explains_nothing),
        cmocka_unit_test(test_node_life__kill_of_ours_after_one_for_memory__is_ours),
        cmocka_unit_test(test_node_life__kill_for_memory_in_one_generation__is_not_of_the_next),
        cmocka_unit_test(test_node_life__end_before_ready__fails_the_start),
        cmocka_unit_test(test_node_life__start_that_fails__goes_back_to_what_was_desired),
        cmocka_unit_test(test_node_life__restart_that_fails__is_tried_again_by_policy),
        cmocka_unit_test(test_node_life__boot_that_is_never_ready__is_killed),
        cmocka_unit_test(test_node_life__boot_that_is_kept__ends_the_start_and_goes_on),
        cmocka_unit_test(test_node_life__launch_without_a_word__is_killed_and_failed),
        cmocka_unit_test(test_node_life__launch_that_was_only_late__is_a_boot_timeout),
        cmocka_unit_test(test_node_life__ready_on_exec__runs_with_boot_alone),
        cmocka_unit_test(test_node_life__ready_before_boot__is_not_lost),
        cmocka_unit_test(test_node_life__end_before_boot__ends_it_and_boot_is_late),
        cmocka_unit_test(test_node_life__boot_ready_and_end__in_every_order_end_alike),
        cmocka_unit_test(test_node_life__words_of_a_generation_that_is_over__fall_on_nothing),
        cmocka_unit_test(test_node_life__an_answer_that_was_not_asked_for__falls_on_nothing),
        cmocka_unit_test(test_node_life__start_over_a_guests_end__follows_the_cleaning),
        cmocka_unit_test(
            test_node_life__start_of_a_guest_that_needs_two_boots__is_done_by_the_second),
        cmocka_unit_test(
            test_node_life__launch_that_the_keeper_lost__ends_whatever_state_it_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
