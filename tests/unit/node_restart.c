/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a guest that ends again and again eats the node, or one that ran well waits without
 * reason. Guests are ended often and at chosen times; what follows and after how long is looked
 * at. */
#include "world.h"

#include <signal.h>

static void end_at(struct world *world, uint32_t ct, int status, uint64_t at_ns)
{
    world_observe(world, &(struct observation){.kind = IN_ENDED,
                                               .ct = ct,
                                               .generation = world_ct(world, ct)->generation,
                                               .has_status = true,
                                               .wait_status = status,
                                               .at_ns = at_ns,
                                               .at_wall_ns = world->now.wall_ns});
}

static void test_node_restart__reboot_storm__backs_off_and_ends_in_crash_loop(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    for (unsigned i = 1; i <= RESTART_LIMIT; i++) {
        world_end(world, ct, KILLED(SIGHUP));
        assert_cause(world, CAUSE_GUEST_REBOOT);
        world_see(world, ct, IN_CLEANED_STOP);
        assert_state(world, ct, i == 1 ? CT_PREPARING : CT_BACKOFF);
        if (i > 1) {
            uint64_t wait_ns = world_ct(world, ct)->deadline_ns - world->now.ns;
            uint64_t whole_ns = RESTART_BASE_NS << (i - 2);

            whole_ns = whole_ns < RESTART_CAP_NS ? whole_ns : RESTART_CAP_NS;
            assert_in_range(wait_ns, whole_ns - whole_ns / 4, whole_ns);
            world_pass(world, wait_ns);
        }
        world_boot(world, ct);
        world_forget(world);
    }
    world_end(world, ct, KILLED(SIGHUP));
    assert_cause(world, CAUSE_CRASH_LOOP);
    assert_int_equal(world_end_event(world)->wait_status, KILLED(SIGHUP));
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_false(world_ct(world, ct)->is_wanted);
    world_close(world);
}

static void test_node_restart__boot_that_lasted__begins_a_new_count(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    for (unsigned i = 0; i < 2 * RESTART_LIMIT; i++) {
        world_pass(world, RESTART_WINDOW_NS);
        world_end(world, ct, KILLED(SIGHUP));
        world_see(world, ct, IN_CLEANED_STOP);
        world_boot(world, ct);
        world_forget(world);
    }
    assert_state(world, ct, CT_RUNNING);
    world_close(world);
}

/* How long it lasted is by its own times: an agent that was dead meanwhile counts for nothing. */
static void test_node_restart__short_boot_that_is_told_late__counts_as_short(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t ended_ns = world->now.ns + SECOND_NS;

        world_pass(world, 10 * RESTART_WINDOW_NS);
        end_at(world, ct, KILLED(SIGHUP), ended_ns);
        world_see(world, ct, IN_CLEANED_STOP);
        assert_state(world, ct, i == 0 ? CT_PREPARING : CT_BACKOFF);
        if (i == 0)
            world_boot(world, ct);
    }
    world_close(world);
}

static void test_node_restart__a_persons_start__begins_a_new_count(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.restart = RESTART_ALWAYS};
    uint32_t ct = world_run(world, "web", &policy);

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        world_end(world, ct, EXITED(1));
        world_see(world, ct, IN_CLEANED_STOP);
        if (i == 0)
            world_boot(world, ct);
    }
    assert_state(world, ct, CT_BACKOFF);
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_boot(world, ct);
    world_end(world, ct, EXITED(1));
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_PREPARING);
    world_close(world);
}

static void test_node_restart__reboot_in_backoff__does_not_wait(void **state)
{
    struct world *world = world_open();
    struct ct_policy policy = {.restart = RESTART_ALWAYS};
    uint32_t ct = world_run(world, "web", &policy);

    (void)state;
    world_end(world, ct, EXITED(1));
    world_see(world, ct, IN_CLEANED_STOP);
    world_boot(world, ct);
    world_end(world, ct, EXITED(1));
    world_see(world, ct, IN_CLEANED_STOP);
    assert_state(world, ct, CT_BACKOFF);
    assert_int_equal(world_order(world, VERB_REBOOT, "web"), PHASE_ACCEPTED);
    assert_state(world, ct, CT_PREPARING);
    world_boot(world, ct);

    assert_int_equal(world_final(world, world_request(world))->phase, PHASE_DONE);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_restart__reboot_storm__backs_off_and_ends_in_crash_loop),
        cmocka_unit_test(test_node_restart__boot_that_lasted__begins_a_new_count),
        cmocka_unit_test(test_node_restart__short_boot_that_is_told_late__counts_as_short),
        cmocka_unit_test(test_node_restart__a_persons_start__begins_a_new_count),
        cmocka_unit_test(test_node_restart__reboot_in_backoff__does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
