/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a set that is told as done and is not in force, or that is refused and has changed
 * something. A container is set in every state of its life; what it tells is held against what it
 * ordered. */
#include "world.h"

#include <signal.h>
#include <string.h>

#define LIMIT_KEY 2
#define STOP_KEY 4

static struct ct_command set_of(const struct world *world, uint32_t ct, uint64_t keys,
                                enum set_when when)
{
    struct ct_command command = {.verb = VERB_SET, .container = "web"};

    command.set = (struct ct_set){.keys = keys,
                                  .stop_keys = keys & STOP_KEY,
                                  .limit_keys = keys & LIMIT_KEY,
                                  .when = when,
                                  .base = world_ct(world, ct)->revision};
    command.policy.restart = RESTART_ALWAYS;
    return command;
}

static void give(struct world *world, const struct ct_command *command, enum phase phase,
                 enum status status)
{
    const struct ct_receipt *receipt = world_command(world, command);

    assert_int_equal(receipt->phase, phase);
    assert_string_equal(status_name(receipt->fault.status), status_name(status));
}

static void test_node_set__stopped__is_in_force_at_once(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);
    struct ct_command command = set_of(world, ct, LIMIT_KEY | STOP_KEY, SET_AT_ONCE);

    (void)state;
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    const struct ct_receipt *final = world_final(world, world_request(world));

    assert_int_equal(final->phase, PHASE_DONE);
    assert_int_equal(final->applied, LIMIT_KEY | STOP_KEY);
    assert_int_equal(final->at_next_start, 0);
    assert_int_equal(world_ct(world, ct)->revision, 2);
    assert_int_equal(world_ct(world, ct)->policy.restart, RESTART_ALWAYS);
    assert_non_null(world_event(world, EVENT_CONFIGURED));
    assert_null(world_effect(world, EFFECT_LIMIT));
    world_close(world);
}

static void test_node_set__running__writes_limits_before_it_stores(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);
    struct ct_command command = set_of(world, ct, LIMIT_KEY, SET_AT_ONCE);

    (void)state;
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    assert_non_null(world_effect(world, EFFECT_LIMIT));
    assert_true(world_effect(world, EFFECT_LIMIT)->waits_commit);
    assert_int_equal(world_ct(world, ct)->revision, 1);
    assert_null(world_event(world, EVENT_CONFIGURED));
    assert_null(world_final(world, world_request(world)));

    const char *request = world_request(world);
    world_see(world, ct, IN_LIMITED);
    assert_int_equal(world_final(world, request)->phase, PHASE_DONE);
    assert_int_equal(world_final(world, request)->applied, LIMIT_KEY);
    assert_int_equal(world_ct(world, ct)->revision, 2);
    assert_state(world, ct, CT_RUNNING);
    world_close(world);
}

static void test_node_set__limits_refused__changes_nothing(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);
    struct ct_command command = set_of(world, ct, LIMIT_KEY, SET_AT_ONCE);
    struct observation seen = {.kind = IN_LIMIT_FAILED, .ct = ct, .generation = 1};

    (void)state;
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    fault_set(&seen.fault, STATUS_BUSY, 16, "memory: uses 5 bytes");
    world_observe(world, &seen);

    const struct ct_receipt *final = world_final(world, world_request(world));
    assert_int_equal(final->phase, PHASE_FAILED);
    assert_int_equal(final->fault.status, STATUS_BUSY);
    assert_string_equal(final->fault.text, "memory: uses 5 bytes");
    assert_int_equal(final->applied | final->at_next_start, 0);
    assert_int_equal(world_ct(world, ct)->revision, 1);
    assert_int_not_equal(world_ct(world, ct)->policy.restart, RESTART_ALWAYS);
    assert_null(world_event(world, EVENT_CONFIGURED));
    world_close(world);
}

static void test_node_set__what_takes_a_stop__is_refused_stored_or_performed(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);
    struct ct_command command = set_of(world, ct, STOP_KEY, SET_AT_ONCE);

    (void)state;
    const struct ct_receipt *receipt = world_command(world, &command);
    assert_int_equal(receipt->phase, PHASE_FAILED);
    assert_int_equal(receipt->fault.status, STATUS_WRONG_STATE);
    assert_int_equal(receipt->at_next_start, STOP_KEY); /* it says which */
    assert_int_equal(world_ct(world, ct)->revision, 1);

    command.set.when = SET_NEXT_START;
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    assert_int_equal(world_final(world, world_request(world))->at_next_start, STOP_KEY);
    assert_int_equal(world_ct(world, ct)->revision, 2);
    assert_state(world, ct, CT_RUNNING);

    /* The same again: stored already, and still not in force. */
    command.set.base = 2;
    command.set.stop_keys = 0;
    command.set.is_same = true;
    receipt = world_command(world, &command);
    assert_int_equal(receipt->phase, PHASE_UNCHANGED);
    assert_int_equal(receipt->at_next_start, STOP_KEY);

    /* With a restart it is performed, though nothing is to be stored. */
    command.set.when = SET_RESTART;
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    const char *request = world_request(world);
    assert_state(world, ct, CT_STOPPING);
    assert_int_equal(ct_row_verb(world_ct(world, ct)), VERB_REBOOT);
    world_end(world, ct, KILLED(SIGINT));
    world_see(world, ct, IN_CLEANED_STOP);
    assert_null(world_final(world, request));
    world_boot(world, ct);
    assert_int_equal(world_final(world, request)->phase, PHASE_DONE);
    assert_int_equal(world_final(world, request)->applied, STOP_KEY);
    assert_int_equal(world_final(world, request)->at_next_start, 0);
    assert_int_equal(world_ct(world, ct)->generation, 2);
    world_close(world);
}

static void test_node_set__restart_that_a_hook_forbids__is_in_force_at_the_next(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);
    struct ct_command command = set_of(world, ct, STOP_KEY | LIMIT_KEY, SET_RESTART);
    struct observation unasked = {.kind = IN_UNASKED, .ct = ct, .generation = 1};

    (void)state;
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    assert_state(world, ct, CT_STOPPING);
    fault_set(&unasked.fault, STATUS_HOOK_FAILED, 0, "hook stop exited 3");
    world_observe(world, &unasked);
    assert_state(world, ct, CT_RUNNING);
    assert_int_equal(world_final(world, world_request(world))->fault.status, STATUS_HOOK_FAILED);
    assert_int_equal(world_ct(world, ct)->revision, 2);
    assert_int_equal(world_ct(world, ct)->late_keys, STOP_KEY | LIMIT_KEY);

    /* Limits that are set after it are written, all of them. */
    command = set_of(world, ct, LIMIT_KEY, SET_AT_ONCE);
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    world_see(world, ct, IN_LIMITED);
    assert_int_equal(world_ct(world, ct)->late_keys, STOP_KEY);
    world_close(world);
}

static void test_node_set__restart_that_nothing_needs__is_none(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);
    struct ct_command command = set_of(world, ct, LIMIT_KEY, SET_RESTART);

    (void)state;
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    assert_non_null(world_effect(world, EFFECT_LIMIT));
    assert_state(world, ct, CT_RUNNING);
    assert_answer(world, VERB_STOP, PHASE_FAILED, STATUS_BUSY); /* unlike a boot */
    world_close(world);
}

static void test_node_set__restart__gives_way_to_a_stop(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);
    struct ct_command command = set_of(world, ct, STOP_KEY, SET_RESTART);

    (void)state;
    memcpy(command.request, "restart", sizeof("restart"));
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    assert_int_equal(world_order(world, VERB_STOP, "web"), PHASE_ACCEPTED);
    assert_int_equal(world_final(world, "restart")->phase, PHASE_SUPERSEDED);
    world_end(world, ct, KILLED(SIGINT));
    world_see(world, ct, IN_CLEANED_STOP);
    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(world_ct(world, ct)->revision, 2); /* it was stored when it was accepted */
    world_close(world);
}

static void test_node_set__other_revision__is_a_conflict(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);
    struct ct_command command = set_of(world, ct, LIMIT_KEY, SET_AT_ONCE);

    (void)state;
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    give(world, &command, PHASE_FAILED,
         STATUS_BUSY); /* two at once: the second is worked out anew */
    command.set.asked_base = 1;
    give(world, &command, PHASE_FAILED, STATUS_CONFLICT);
    /* Asked for by the number of today, worked out from yesterday's. */
    command.set.asked_base = 2;
    give(world, &command, PHASE_FAILED, STATUS_BUSY);
    assert_int_equal(world_ct(world, ct)->revision, 2);
    world_close(world);
}

static void test_node_set__late_limits__fail_their_command_and_nobody_else(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);
    struct ct_command command = set_of(world, ct, LIMIT_KEY, SET_AT_ONCE);

    (void)state;
    memcpy(command.request, "late", sizeof("late"));
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    world_pass(world, LIMIT_DEADLINE_NS);
    assert_int_equal(world_final(world, "late")->phase, PHASE_FAILED);
    assert_int_equal(world_final(world, "late")->fault.status, STATUS_TIMEOUT);
    assert_state(world, ct, CT_RUNNING);

    memset(command.request, 0, sizeof(command.request));
    give(world, &command, PHASE_FAILED, STATUS_BUSY); /* it still writes */
    world_see(world, ct, IN_LIMITED);                 /* in force now, and so it is stored */
    assert_int_equal(world_ct(world, ct)->revision, 2);
    world_close(world);
}

static void test_node_set__end_while_limits_are_written__cleans_up_after_them(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);
    struct ct_command command = set_of(world, ct, LIMIT_KEY, SET_AT_ONCE);

    (void)state;
    memcpy(command.request, "set", sizeof("set"));
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    world_end(world, ct, EXITED(0));
    assert_int_equal(world_final(world, "set")->phase,
                     PHASE_DONE); /* nobody is left to refuse it */
    assert_null(world_effect(world, EFFECT_CLEAN));
    assert_state(world, ct, CT_CLEANING);
    world_see(world, ct, IN_LIMITED);
    assert_non_null(world_effect(world, EFFECT_CLEAN));
    world_close(world);
}

static void test_node_set__readiness_meanwhile__leaves_its_deadline(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);
    struct ct_command start = {.verb = VERB_START, .container = "web", .wait = WAIT_FOR_EXEC};

    (void)state;
    (void)world_command(world, &start);
    world_launch(world, ct);
    world_see(world, ct, IN_BOOTED);
    assert_state(world, ct, CT_BOOTING);
    struct ct_command command = set_of(world, ct, LIMIT_KEY, SET_AT_ONCE);
    memcpy(command.request, "set", sizeof("set"));
    give(world, &command, PHASE_ACCEPTED, STATUS_UNSET);
    world_see(world, ct, IN_READY);
    assert_state(world, ct, CT_RUNNING);
    world_pass(world, LIMIT_DEADLINE_NS);
    assert_int_equal(world_final(world, "set")->fault.status, STATUS_TIMEOUT);
    world_close(world);
}

static void test_node_set__agent_died_over_it__fails_and_writes_what_is_stored(void **state)
{
    static const enum ct_state states[] = {CT_BOOTING, CT_RUNNING, CT_FROZEN};

    (void)state;
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        struct world *world = world_open();
        struct ct_found found = {.name = "web",
                                 .state = states[i],
                                 .generation = 3,
                                 .revision = 7,
                                 .is_wanted = true,
                                 .is_live = true,
                                 .is_staged = true,
                                 .is_frozen = states[i] == CT_FROZEN,
                                 .pid = 5,
                                 .has_command = true,
                                 .command = {.verb = VERB_SET, .request = "set"}};
        uint32_t ct = world_adopt(world, &found);

        /* One that dies before they are written leaves it to the next. */
        assert_true(world_ct(world, ct)->has_command);
        assert_non_null(world_effect(world, EFFECT_LIMIT));
        assert_int_equal(world_ct(world, ct)->revision, 7);
        world_see(world, ct, IN_LIMITED);
        assert_int_equal(world_final(world, "set")->fault.status, STATUS_INTERRUPTED);
        assert_int_equal(world_ct(world, ct)->revision, 7);
        assert_null(world_event(world, EVENT_CONFIGURED));
        assert_state(world, ct, states[i]);
        world_close(world);
    }
}

static void test_node_set__start_that_is_disabled__needs_force(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.is_start_disabled = true};
    uint32_t ct = world_make(world, "web", &policy);
    struct ct_command start = {.verb = VERB_START, .container = "web", .is_forced = true};

    (void)state;
    assert_answer(world, VERB_START, PHASE_FAILED, STATUS_START_DISABLED);
    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(world_command(world, &start)->phase, PHASE_ACCEPTED);
    world_boot(world, ct);
    assert_answer(world, VERB_START, PHASE_UNCHANGED, STATUS_UNCHANGED); /* it runs */
    assert_int_equal(world_order(world, VERB_REBOOT, "web"), PHASE_ACCEPTED);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_set__stopped__is_in_force_at_once),
        cmocka_unit_test(test_node_set__running__writes_limits_before_it_stores),
        cmocka_unit_test(test_node_set__limits_refused__changes_nothing),
        cmocka_unit_test(test_node_set__what_takes_a_stop__is_refused_stored_or_performed),
        cmocka_unit_test(test_node_set__restart_that_a_hook_forbids__is_in_force_at_the_next),
        cmocka_unit_test(test_node_set__restart_that_nothing_needs__is_none),
        cmocka_unit_test(test_node_set__restart__gives_way_to_a_stop),
        cmocka_unit_test(test_node_set__other_revision__is_a_conflict),
        cmocka_unit_test(test_node_set__late_limits__fail_their_command_and_nobody_else),
        cmocka_unit_test(test_node_set__end_while_limits_are_written__cleans_up_after_them),
        cmocka_unit_test(test_node_set__readiness_meanwhile__leaves_its_deadline),
        cmocka_unit_test(test_node_set__agent_died_over_it__fails_and_writes_what_is_stored),
        cmocka_unit_test(test_node_set__start_that_is_disabled__needs_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
