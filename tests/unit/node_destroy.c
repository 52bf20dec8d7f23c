/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a guest's data removed under it, or a slot whose next owner inherits from the last.
 * Containers are destroyed in each state and with each failure. */
#include "world.h"

static void test_node_destroy__stopped_one__is_removed(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_DESTROY, "web"), PHASE_ACCEPTED);
    assert_true(world_effect(world, EFFECT_REMOVE)->waits_commit);
    world_see(world, ct, IN_REMOVED);

    assert_int_equal(world_final(world, "r2")->phase, PHASE_DONE);
    assert_non_null(world_event(world, EVENT_DESTROYED));
    assert_null(node_find(world->node, "web"));
    assert_int_equal(world->node->count, 0);
    assert_int_equal(node_next_deadline(world->node), 0);
    world_close(world);
}

static void test_node_destroy__forced__kills_cleans_and_removes(void **state)
{
    struct world *world = world_open();
    struct ct_command command = {.verb = VERB_DESTROY, .container = "web", .is_forced = true};
    struct ct_policy policy = {.restart = RESTART_ALWAYS};
    uint32_t ct = world_run(world, "web", &policy);

    (void)state;
    assert_int_equal(world_command(world, &command)->phase, PHASE_ACCEPTED);
    assert_int_equal(world_count_effects(world, EFFECT_KILL), 1);
    world_end(world, ct, 9);
    assert_cause(world, CAUSE_OPERATOR_KILL);
    assert_int_equal(world_count_effects(world, EFFECT_REMOVE), 0);
    world_see(world, ct, IN_CLEANED_STOP);
    assert_int_equal(world_count_effects(world, EFFECT_REMOVE), 1);
    world_see(world, ct, IN_REMOVED);

    assert_int_equal(world_final(world, world_request(world))->phase, PHASE_DONE);
    assert_int_equal(world->node->count, 0);
    world_close(world);
}

static void test_node_destroy__failing__leaves_it_stopped(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_DESTROY, "web"), PHASE_ACCEPTED);
    world_see(world, ct, IN_REMOVE_FAILED);
    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(world_final(world, "r2")->phase, PHASE_FAILED);

    assert_int_equal(world_order(world, VERB_DESTROY, "web"), PHASE_ACCEPTED);
    world_see(world, ct, IN_REMOVED);
    assert_int_equal(world->node->count, 0);
    world_close(world);
}

/* Late, it goes on; until it returns nothing else is done to what is half removed. */
static void test_node_destroy__hanging__times_out_and_can_be_joined(void **state)
{
    struct world *world = world_open();
    struct ct_command forced = {.verb = VERB_DESTROY, .container = "web", .is_forced = true};
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_DESTROY, "web"), PHASE_ACCEPTED);
    assert_answer(world, VERB_KILL, PHASE_FAILED, STATUS_BUSY);
    world_pass(world, REMOVE_DEADLINE_NS);
    assert_state(world, ct, CT_STUCK);
    assert_int_equal(world_final(world, "r2")->fault.status, STATUS_TIMEOUT);

    assert_answer(world, VERB_START, PHASE_FAILED, STATUS_WRONG_STATE);
    assert_answer(world, VERB_KILL, PHASE_FAILED, STATUS_WRONG_STATE);
    assert_int_equal(world_command(world, &forced)->phase, PHASE_ACCEPTED);
    assert_int_equal(world_count_effects(world, EFFECT_REMOVE), 1);
    world_see(world, ct, IN_REMOVED);

    assert_int_equal(world_final(world, world_request(world))->phase, PHASE_DONE);
    assert_int_equal(world->node->count, 0);
    world_close(world);
}

static void test_node_destroy__one_that_is_to_boot_again__wants_force(void **state)
{
    struct world *world = world_open();
    struct ct_command forced = {.verb = VERB_DESTROY, .container = "web", .is_forced = true};
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, 1);
    assert_state(world, ct, CT_CLEANING);
    assert_answer(world, VERB_DESTROY, PHASE_FAILED, STATUS_WRONG_STATE);
    assert_int_equal(world_command(world, &forced)->phase, PHASE_ACCEPTED);
    world_see(world, ct, IN_CLEANED_STOP);
    world_see(world, ct, IN_REMOVED);

    assert_int_equal(world->node->count, 0);
    world_close(world);
}

static void test_node_destroy__guest_that_halted_and_is_cleaned__follows(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, 2);
    assert_int_equal(world_order(world, VERB_DESTROY, "web"), PHASE_ACCEPTED);
    world_see(world, ct, IN_CLEANED_STOP);
    world_see(world, ct, IN_REMOVED);

    assert_int_equal(world_final(world, world_request(world))->phase, PHASE_DONE);
    world_close(world);
}

static void give(struct world *world, const struct ct_command *command)
{
    struct input input = {.kind = INPUT_COMMAND, .command = *command};

    node_step(world->node, &input, &world->now, &world->out);
}

/* Its row is still to be deleted by its number: until then nobody else gets that. */
static void test_node_destroy__slot_whose_row_is_not_yet_deleted__is_not_given_away(void **state)
{
    struct world *world = world_open();
    struct ct_command create = {.verb = VERB_CREATE, .container = "mail", .request = "a"};
    struct ct_command again = {.verb = VERB_CREATE, .container = "news", .request = "b"};
    struct input removed = {.kind = INPUT_OBSERVATION, .observation = {.kind = IN_REMOVED}};
    uint32_t ct = world_make(world, "web", NULL);
    uint32_t index;

    (void)state;
    assert_int_equal(world_order(world, VERB_DESTROY, "web"), PHASE_ACCEPTED);
    removed.observation.ct = ct;
    node_step(world->node, &removed, &world->now, &world->out);
    give(world, &create);
    assert_int_not_equal(node_find(world->node, "mail")->index, ct);

    while (node_take_dirty(world->node, &index))
        ;
    give(world, &again);
    assert_int_equal(node_find(world->node, "news")->index, ct);
    world_close(world);
}

/* A slot that is given away again is another's: nothing of the old one falls on it. */
static void test_node_destroy__slot_of_a_destroyed_one__begins_anew(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.restart = RESTART_ALWAYS, .is_reboot_denied = true};
    uint32_t ct = world_make(world, "web", &policy);

    (void)state;
    assert_int_equal(world_order(world, VERB_DESTROY, "web"), PHASE_ACCEPTED);
    world_see(world, ct, IN_REMOVED);
    assert_int_equal(world_make(world, "mail", NULL), ct);
    world_see(world, ct, IN_REMOVED);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(world_ct(world, ct)->policy.restart, RESTART_UNSET);
    assert_false(world_ct(world, ct)->policy.is_reboot_denied);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_destroy__stopped_one__is_removed),
        cmocka_unit_test(test_node_destroy__forced__kills_cleans_and_removes),
        cmocka_unit_test(test_node_destroy__failing__leaves_it_stopped),
        cmocka_unit_test(test_node_destroy__hanging__times_out_and_can_be_joined),
        cmocka_unit_test(test_node_destroy__one_that_is_to_boot_again__wants_force),
        cmocka_unit_test(test_node_destroy__guest_that_halted_and_is_cleaned__follows),
        cmocka_unit_test(test_node_destroy__slot_whose_row_is_not_yet_deleted__is_not_given_away),
        cmocka_unit_test(test_node_destroy__slot_of_a_destroyed_one__begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
