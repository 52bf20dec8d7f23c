/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a storm of boots that delays every one of them, or a boot that hangs and holds up
 * all others (I7, I8). Many containers are started at once; what is prepared when is looked at. */
#include "world.h"

#include <stdio.h>

#define STORM 20

static const char *name_of(unsigned i)
{
    static char name[NAME_BYTES];

    (void)snprintf(name, sizeof(name), "c%u", i);
    return name;
}

/* STORM starts at once: the first BOOTS_IN_FLIGHT_MAX are prepared, the others wait. */
static struct world *storm_open(uint32_t cts[STORM])
{
    struct world *world = world_open();

    for (unsigned i = 0; i < STORM; i++)
        cts[i] = world_make(world, name_of(i), NULL);
    world_forget(world);
    for (unsigned i = 0; i < STORM; i++)
        assert_int_equal(world_order(world, VERB_START, name_of(i)), PHASE_ACCEPTED);
    assert_int_equal(world_count_effects(world, EFFECT_PREPARE), BOOTS_IN_FLIGHT_MAX);
    return world;
}

static void test_node_admission__a_storm__boots_eight_at_a_time_in_order(void **state)
{
    uint32_t cts[STORM];
    struct world *world = storm_open(cts);
    unsigned prepared = BOOTS_IN_FLIGHT_MAX;

    (void)state;
    for (unsigned i = 0; i < STORM; i++) {
        world_see(world, cts[i], IN_PREPARED);
        assert_int_equal(world_count_effects(world, EFFECT_PREPARE), prepared);
        world_see(world, cts[i], IN_BOOTED);
        prepared += prepared < STORM;
        assert_int_equal(world_count_effects(world, EFFECT_PREPARE), prepared);
        assert_int_equal(world_effect(world, EFFECT_PREPARE)->ct, cts[prepared - 1]);
        world_see(world, cts[i], IN_READY);
    }
    assert_int_equal(world->node->in_flight, 0);
    world_close(world);
}

static void test_node_admission__a_boot_that_fails__gives_its_place_away(void **state)
{
    uint32_t cts[STORM];
    struct world *world = storm_open(cts);

    (void)state;
    world_see(world, cts[0], IN_PREPARE_FAILED);
    assert_int_equal(world_count_effects(world, EFFECT_PREPARE), BOOTS_IN_FLIGHT_MAX + 1);
    world_see(world, cts[1], IN_PREPARED);
    world_see(world, cts[1], IN_LAUNCH_FAILED);
    assert_int_equal(world_count_effects(world, EFFECT_PREPARE), BOOTS_IN_FLIGHT_MAX + 2);
    world_close(world);
}

/* What is only ordered to end still works in the kernel: it keeps its place until it ended. */
static void test_node_admission__a_boot_that_is_stopped__keeps_its_place_till_it_ends(void **state)
{
    uint32_t cts[STORM];
    struct world *world = storm_open(cts);

    (void)state;
    assert_int_equal(world_order(world, VERB_STOP, "c0"), PHASE_ACCEPTED);
    assert_int_equal(world_order(world, VERB_KILL, "c1"), PHASE_ACCEPTED);
    assert_int_equal(world_count_effects(world, EFFECT_PREPARE), BOOTS_IN_FLIGHT_MAX);

    world_see(world, cts[0], IN_PREPARED);
    world_see(world, cts[1], IN_PREPARE_FAILED);
    assert_int_equal(world_count_effects(world, EFFECT_PREPARE), BOOTS_IN_FLIGHT_MAX + 2);
    assert_int_equal(world_count_effects(world, EFFECT_LAUNCH), 0);
    world_close(world);
}

static void test_node_admission__preparations_that_hang__hold_up_nobody_for_long(void **state)
{
    uint32_t cts[STORM];
    struct world *world = storm_open(cts);

    (void)state;
    world_pass(world, PREPARE_DEADLINE_NS);

    for (unsigned i = 0; i < BOOTS_IN_FLIGHT_MAX; i++)
        assert_state(world, cts[i], CT_STUCK);
    assert_int_equal(world_count_effects(world, EFFECT_PREPARE), 2 * BOOTS_IN_FLIGHT_MAX);
    world_close(world);
}

static void test_node_admission__stop_of_one_that_waits__ends_it_unprepared(void **state)
{
    uint32_t cts[STORM];
    struct world *world = storm_open(cts);
    unsigned last = STORM - 1;

    (void)state;
    assert_int_equal(world_order(world, VERB_STOP, name_of(last)), PHASE_ACCEPTED);
    assert_state(world, cts[last], CT_CLEANING);
    assert_cause(world, CAUSE_OPERATOR_STOP);
    world_see(world, cts[last], IN_CLEANED_STOP);

    assert_state(world, cts[last], CT_STOPPED);
    assert_int_equal(world_final(world, world_request(world))->phase, PHASE_DONE);
    for (unsigned i = 0; i < last; i++)
        world_boot(world, cts[i]);
    assert_int_equal(world_count_effects(world, EFFECT_PREPARE), STORM - 1);
    world_close(world);
}

static void test_node_admission__a_turn_that_never_comes__fails_the_start(void **state)
{
    uint32_t cts[STORM];
    struct world *world = world_open();

    (void)state;
    node_stop_admission(world->node, true);
    cts[0] = world_make(world, "c0", NULL);
    assert_int_equal(world_order(world, VERB_START, "c0"), PHASE_ACCEPTED);
    world_pass(world, QUEUE_DEADLINE_NS);
    assert_state(world, cts[0], CT_CLEANING);
    world_see(world, cts[0], IN_CLEANED_STOP);

    assert_int_equal(world_count_effects(world, EFFECT_PREPARE), 0);
    assert_int_equal(world_final(world, "r2")->fault.status, STATUS_NO_CAPACITY);
    assert_int_equal(world->node->queue_count, 0);
    world_close(world);
}

static void test_node_admission__stopped_and_resumed__boots_what_waited(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    node_stop_admission(world->node, true);
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    assert_int_equal(world_count_effects(world, EFFECT_PREPARE), 0);
    assert_state(world, ct, CT_PREPARING);

    node_stop_admission(world->node, false);
    world_pass(world, 1);
    assert_int_equal(node_tick(world->node, &world->now, &world->out), true);
    assert_int_equal(world->out.effects[0].kind, EFFECT_PREPARE);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_admission__a_storm__boots_eight_at_a_time_in_order),
        cmocka_unit_test(test_node_admission__a_boot_that_fails__gives_its_place_away),
        cmocka_unit_test(test_node_admission__a_boot_that_is_stopped__keeps_its_place_till_it_ends),
        cmocka_unit_test(test_node_admission__preparations_that_hang__hold_up_nobody_for_long),
        cmocka_unit_test(test_node_admission__stop_of_one_that_waits__ends_it_unprepared),
        cmocka_unit_test(test_node_admission__a_turn_that_never_comes__fails_the_start),
        cmocka_unit_test(test_node_admission__stopped_and_resumed__boots_what_waited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
