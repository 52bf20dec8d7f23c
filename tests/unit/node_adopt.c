/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: what an agent's death costs. A node takes up rows as an earlier agent left them, up
 * or on their way up, with each thing that the keeper may say of them; nothing may be lost, done
 * twice or guessed. */
#include "found.h"

#include <signal.h>

/* ---- nothing happened meanwhile ---- */

static void test_node_adopt__at_rest__is_left_alone(void **state)
{
    struct world *world = world_open();
    struct ct_found found = row_of(CT_STOPPED);

    (void)state;
    found.has_status = true;
    found.wait_status = EXITED(7);
    uint32_t ct = world_adopt(world, &found);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(world->event_count + world->effect_count, 0);
    assert_int_equal(world_ct(world, ct)->cause, CAUSE_EXITED);
    assert_int_equal(world_ct(world, ct)->wait_status, EXITED(7));
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    assert_int_equal(world_ct(world, ct)->generation, 4);
    world_close(world);
}

static void test_node_adopt__live_guests__go_on_untouched(void **state)
{
    static const enum ct_state states[] = {CT_BOOTING, CT_RUNNING, CT_FROZEN};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct world *world = world_open();
        struct ct_found found = live_of(states[i]);

        found.is_frozen = states[i] == CT_FROZEN;
        uint32_t ct = world_adopt(world, &found);
        assert_state(world, ct, states[i]);
        assert_int_equal(world->event_count + world->effect_count, 0);
        assert_true(world_ct(world, ct)->has_init);
        assert_int_equal(world_ct(world, ct)->pid, 4711);
        assert_int_equal(world_ct(world, ct)->is_ready, states[i] != CT_BOOTING);
        assert_true(world_ct(world, ct)->is_wanted);
        world_end(world, ct, KILLED(SIGHUP));
        assert_cause(world, CAUSE_GUEST_REBOOT);
        world_close(world);
    }
}

static void test_node_adopt__booting_one__has_its_deadline_again(void **state)
{
    struct world *world = world_open();
    struct ct_found found = live_of(CT_BOOTING);

    (void)state;
    uint32_t ct = world_adopt(world, &found);
    world_pass(world, BOOT_DEADLINE_NS);
    assert_state(world, ct, CT_KILLING);
    world_close(world);
}

/* ---- what happened meanwhile ---- */

static void test_node_adopt__end_meanwhile__is_told_with_its_own_time_and_cause(void **state)
{
    static const struct {
        int status;
        enum cause cause;
    } rows[] = {{EXITED(0), CAUSE_EXITED},
                {EXITED(9), CAUSE_EXITED},
                {KILLED(SIGSEGV), CAUSE_SIGNALLED},
                {KILLED(SIGHUP), CAUSE_GUEST_REBOOT},
                {KILLED(SIGINT), CAUSE_GUEST_HALT}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *world = world_open();
        struct ct_found found = ended_of(CT_RUNNING, rows[i].status);
        uint32_t ct = world_adopt(world, &found);

        assert_state(world, ct, CT_CLEANING);
        assert_cause(world, rows[i].cause);
        assert_int_equal(world_end_event(world)->time_wall_ns, 88 * SECOND_NS);
        assert_int_equal(world_end_event(world)->wait_status, rows[i].status);
        assert_int_equal(world_end_event(world)->from, CT_RUNNING);
        assert_int_equal(world_end_event(world)->generation, 3);
        assert_int_equal(world_count_effects(world, EFFECT_CLEAN), 1);
        world_close(world);
    }
}

static void test_node_adopt__guest_reboot_meanwhile__is_carried_out(void **state)
{
    struct world *world = world_open();
    struct ct_found found = ended_of(CT_RUNNING, KILLED(SIGHUP));

    (void)state;
    uint32_t ct = world_adopt(world, &found);
    world_see(world, ct, IN_CLEANED_STOP);
    world_boot(world, ct);

    assert_int_equal(world_ct(world, ct)->generation, 4);
    world_close(world);
}

static void test_node_adopt__kill_for_memory_meanwhile__is_oom(void **state)
{
    struct world *world = world_open();
    struct ct_found found = ended_of(CT_RUNNING, KILLED(SIGKILL));

    (void)state;
    found.is_oom_seen = true;
    (void)world_adopt(world, &found);
    assert_cause(world, CAUSE_OOM);
    world_close(world);
}

static void test_node_adopt__init_dies_for_memory_that_was_told__is_oom(void **state)
{
    struct world *world = world_open();
    struct ct_found found = live_of(CT_RUNNING);

    (void)state;
    found.oom_kills = 1;
    found.is_init_oom = true;
    uint32_t ct = world_adopt(world, &found);
    world_pass(world, OOM_WINDOW_NS * 5);
    world_observe(world, &(struct observation){.kind = IN_ENDED,
                                               .ct = ct,
                                               .generation = found.generation,
                                               .has_status = true,
                                               .wait_status = KILLED(SIGKILL)});
    assert_cause(world, CAUSE_OOM);
    world_close(world);
}

/* What was told must be in the row: the next agent compares the kernel's count with it. */
static void test_node_adopt__kills_for_memory_that_were_told__are_counted_in_the_row(void **state)
{
    struct world *world = world_open();
    struct ct_found found = live_of(CT_RUNNING);
    struct input input = {.kind = INPUT_OBSERVATION,
                          .observation = {.kind = IN_OOM, .generation = 3, .count = 2}};
    uint32_t written;

    (void)state;
    found.oom_kills = 5;
    uint32_t ct = input.observation.ct = world_adopt(world, &found);
    node_step(world->node, &input, &world->now, &world->out);

    assert_int_equal(world->out.event_count, 1);
    assert_int_equal(world_ct(world, ct)->oom_kills, 7);
    assert_true(node_take_dirty(world->node, &written));
    assert_int_equal(written, ct);
    world_end(world, ct, KILLED(SIGHUP));
    world_see(world, ct, IN_CLEANED_STOP);
    assert_int_equal(world_ct(world, ct)->generation, 4);
    assert_int_equal(world_ct(world, ct)->oom_kills, 0); /* another cgroup */
    world_close(world);
}

static void test_node_adopt__ready_meanwhile__ends_the_start_as_done(void **state)
{
    struct world *world = world_open();
    struct ct_found found = live_of(CT_BOOTING);

    (void)state;
    give(&found, VERB_START);
    found.is_ready = true;
    uint32_t ct = world_adopt(world, &found);

    assert_state(world, ct, CT_RUNNING);
    assert_int_equal(result(world)->phase, PHASE_DONE);
    world_close(world);
}

static void test_node_adopt__exec_meanwhile__goes_on_from_there(void **state)
{
    static const bool on_exec[] = {false, true};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_open();
        struct ct_found found = live_of(CT_LAUNCHING);

        give(&found, VERB_START);
        found.is_ready_on_exec = on_exec[i];
        uint32_t ct = world_adopt(world, &found);
        assert_state(world, ct, on_exec[i] ? CT_RUNNING : CT_BOOTING);
        assert_int_equal(world->node->in_flight, 0);
        assert_int_equal(world->events[0].from, CT_LAUNCHING);
        assert_int_equal(world->events[0].to, CT_BOOTING);
        assert_true((result(world) != NULL) == on_exec[i]);
        world_close(world);
    }
}

/* The launch was sent, and the agent died before it could write so down. */
static void test_node_adopt__launch_that_outran_its_row__is_taken_up(void **state)
{
    struct world *world = world_open();
    struct ct_found found = live_of(CT_PREPARING);

    (void)state;
    give(&found, VERB_START);
    uint32_t ct = world_adopt(world, &found);

    assert_state(world, ct, CT_BOOTING);
    assert_int_equal(world->events[0].from, CT_PREPARING);
    assert_int_equal(world->events[0].to, CT_LAUNCHING);
    assert_int_equal(world->events[1].to, CT_BOOTING);
    assert_int_equal(world_count_effects(world, EFFECT_LAUNCH), 0);
    assert_int_equal(world_count_effects(world, EFFECT_PREPARE), 0);
    world_close(world);
}

static void test_node_adopt__life_that_outran_its_row__is_told_whole(void **state)
{
    struct world *world = world_open();
    struct ct_found found = ended_of(CT_PREPARING, KILLED(SIGINT));

    (void)state;
    found.is_ready = true;
    (void)world_adopt(world, &found);

    static const enum ct_state chain[] = {CT_PREPARING, CT_LAUNCHING, CT_BOOTING, CT_RUNNING,
                                          CT_CLEANING};
    assert_int_equal(world->event_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(world->events[i].from, chain[i]);
        assert_int_equal(world->events[i].to, chain[i + 1]);
    }
    assert_cause(world, CAUSE_GUEST_HALT);
    world_close(world);
}

/* ---- starts that the agent's death interrupted ---- */

static void test_node_adopt__start_that_never_reached_exec__fails_as_interrupted(void **state)
{
    static const enum ct_state states[] = {CT_PREPARING, CT_LAUNCHING};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_open();
        struct ct_found found = row_of(states[i]);

        found.policy.restart = RESTART_ALWAYS;
        give(&found, VERB_START);
        uint32_t ct = world_adopt(world, &found);
        assert_cause(world, CAUSE_START_FAILED);
        world_see(world, ct, IN_CLEANED_STOP);

        assert_state(world, ct, CT_STOPPED);
        assert_int_equal(result(world)->fault.status, STATUS_INTERRUPTED);
        assert_false(world_ct(world, ct)->is_wanted);
        assert_int_equal(world_count_effects(world, EFFECT_PREPARE), 0);
        assert_int_equal(world->node->queue_count, 0);
        world_close(world);
    }
}

/* It ran, and was to run again: whoever asked is answered by the generation after the lost one. */
static void test_node_adopt__reboot_whose_boot_was_lost__boots_the_next(void **state)
{
    static const enum ct_state states[] = {CT_PREPARING, CT_LAUNCHING};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_open();
        struct ct_found found = row_of(states[i]);

        give(&found, VERB_REBOOT);
        uint32_t ct = world_adopt(world, &found);
        assert_cause(world, CAUSE_START_FAILED);
        world_see(world, ct, IN_CLEANED_STOP);
        assert_state(world, ct, CT_PREPARING);
        assert_int_equal(world_ct(world, ct)->generation, 4);

        world_boot(world, ct);
        assert_int_equal(result(world)->phase, PHASE_DONE);
        world_close(world);
    }
}

/* A guest's reboot or the policy stood behind it: a new intent, with the next generation. */
static void test_node_adopt__boot_that_nobody_asked_for__begins_anew(void **state)
{
    static const enum ct_state states[] = {CT_PREPARING, CT_LAUNCHING};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_open();
        struct ct_found found = row_of(states[i]);
        uint32_t ct = world_adopt(world, &found);

        assert_cause(world, CAUSE_START_FAILED);
        assert_int_equal(world_end_event(world)->generation, 3);
        world_see(world, ct, IN_CLEANED_STOP);
        assert_state(world, ct, CT_PREPARING);
        assert_int_equal(world_ct(world, ct)->generation, 4);
        assert_int_equal(world_count_effects(world, EFFECT_PREPARE), 1);
        world_close(world);
    }
}

static void test_node_adopt__launch_at_the_keeper_still__is_waited_for(void **state)
{
    static const enum ct_state states[] = {CT_PREPARING, CT_LAUNCHING};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_open();
        struct ct_found found = row_of(states[i]);

        found.is_launching = true;
        give(&found, VERB_START);
        uint32_t ct = world_adopt(world, &found);
        assert_state(world, ct, CT_LAUNCHING);
        assert_int_equal(world->node->in_flight, 1);
        world_see(world, ct, IN_BOOTED);
        assert_state(world, ct, CT_BOOTING);
        assert_int_equal(world->node->in_flight, 0);
        world_close(world);
    }
}

static void test_node_adopt__launch_that_the_keeper_ended__has_the_keepers_reason(void **state)
{
    struct world *world = world_open();
    struct ct_found found = row_of(CT_LAUNCHING);

    (void)state;
    give(&found, VERB_START);
    found.has_ended = true;
    fault_set(&found.ended.fault, STATUS_BAD_TEMPLATE, 2, "no init");
    uint32_t ct = world_adopt(world, &found);
    assert_cause(world, CAUSE_START_FAILED);
    assert_string_equal(world_end_event(world)->detail, "no init");
    world_see(world, ct, IN_CLEANED_STOP);

    assert_int_equal(result(world)->fault.status, STATUS_BAD_TEMPLATE);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_adopt__at_rest__is_left_alone),
        cmocka_unit_test(test_node_adopt__live_guests__go_on_untouched),
        cmocka_unit_test(test_node_adopt__booting_one__has_its_deadline_again),
        cmocka_unit_test(test_node_adopt__end_meanwhile__is_told_with_its_own_time_and_cause),
        cmocka_unit_test(test_node_adopt__guest_reboot_meanwhile__is_carried_out),
        cmocka_unit_test(test_node_adopt__kill_for_memory_meanwhile__is_oom),
        cmocka_unit_test(test_node_adopt__init_dies_for_memory_that_was_told__is_oom),
        cmocka_unit_test(test_node_adopt__kills_for_memory_that_were_told__are_counted_in_the_row),
        cmocka_unit_test(test_node_adopt__ready_meanwhile__ends_the_start_as_done),
        cmocka_unit_test(test_node_adopt__exec_meanwhile__goes_on_from_there),
        cmocka_unit_test(test_node_adopt__launch_that_outran_its_row__is_taken_up),
        cmocka_unit_test(test_node_adopt__life_that_outran_its_row__is_told_whole),
        cmocka_unit_test(test_node_adopt__start_that_never_reached_exec__fails_as_interrupted),
        cmocka_unit_test(test_node_adopt__reboot_whose_boot_was_lost__boots_the_next),
        cmocka_unit_test(test_node_adopt__boot_that_nobody_asked_for__begins_anew),
        cmocka_unit_test(test_node_adopt__launch_at_the_keeper_still__is_waited_for),
        cmocka_unit_test(test_node_adopt__launch_that_the_keeper_ended__has_the_keepers_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
