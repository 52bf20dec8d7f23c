/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: what an agent's death costs. A node takes up rows as an earlier agent left them,
 * ended or on their way down, with each thing that the keeper may say of them; nothing may be
 * lost, done twice or guessed. */
#include "found.h"

#include <signal.h>

/* ---- on the way down ---- */

static void test_node_adopt_down__stop_in_progress__is_asked_again_and_done(void **state)
{
    struct world *world = world_open();
    struct ct_found found = live_of(CT_STOPPING);

    (void)state;
    give(&found, VERB_STOP);
    uint32_t ct = world_adopt(world, &found);
    assert_int_equal(world_count_effects(world, EFFECT_ASK), 1);
    assert_false(world_effect(world, EFFECT_ASK)->is_reboot);
    assert_int_equal(world_ct(world, ct)->deadline_ns, world->now.ns + GRACE_DEFAULT_NS);
    world_end(world, ct, KILLED(SIGHUP));
    assert_cause(world, CAUSE_OPERATOR_STOP);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(result(world)->phase, PHASE_DONE);
    world_close(world);
}

static void test_node_adopt_down__stop_of_a_frozen_guest__thaws_it_first(void **state)
{
    struct world *world = world_open();
    struct ct_found found = live_of(CT_STOPPING);

    (void)state;
    give(&found, VERB_STOP);
    found.is_frozen = true;
    (void)world_adopt(world, &found);

    assert_int_equal(world->effects[0].kind, EFFECT_THAW);
    assert_int_equal(world->effects[1].kind, EFFECT_ASK);
    world_close(world);
}

static void test_node_adopt_down__reboot_in_progress__asks_to_reboot_and_comes_up(void **state)
{
    struct world *world = world_open();
    struct ct_found found = live_of(CT_STOPPING);

    (void)state;
    give(&found, VERB_REBOOT);
    found.is_restart_owed = true;
    uint32_t ct = world_adopt(world, &found);
    assert_true(world_effect(world, EFFECT_ASK)->is_reboot);
    world_end(world, ct, KILLED(SIGINT));
    assert_cause(world, CAUSE_OPERATOR_REBOOT);
    world_see(world, ct, IN_CLEANED_STOP);
    world_boot(world, ct);

    assert_int_equal(result(world)->phase, PHASE_DONE);
    world_close(world);
}

/* Why it was being killed is found from what the row still says. */
static void test_node_adopt_down__end_by_a_kill_meanwhile__keeps_its_cause(void **state)
{
    static const struct {
        enum ct_state state;
        enum verb verb; /* UNSET: none in progress */
        bool is_wanted;
        bool is_owed;
        enum cause cause;
    } rows[] = {
        {CT_STOPPING, VERB_STOP, false, false, CAUSE_OPERATOR_STOP},
        {CT_STOPPING, VERB_REBOOT, true, true, CAUSE_OPERATOR_REBOOT},
        {CT_KILLING, VERB_STOP, false, false, CAUSE_OPERATOR_KILL}, /* its grace was over */
        {CT_KILLING, VERB_KILL, false, false, CAUSE_OPERATOR_KILL},
        {CT_KILLING, VERB_DESTROY, false, false, CAUSE_OPERATOR_KILL},
        {CT_KILLING, VERB_REBOOT, true, true, CAUSE_OPERATOR_REBOOT},
        {CT_KILLING, VERB_REBOOT, true, false, CAUSE_BOOT_TIMEOUT}, /* of its second half */
        {CT_KILLING, VERB_START, true, false, CAUSE_BOOT_TIMEOUT},
        {CT_KILLING, VERB_UNSET, true, false, CAUSE_BOOT_TIMEOUT},
        {CT_STUCK, VERB_UNSET, false, false, CAUSE_OPERATOR_KILL},
        {CT_STUCK, VERB_UNSET, true, true, CAUSE_OPERATOR_REBOOT},
        {CT_STUCK, VERB_UNSET, true, false, CAUSE_BOOT_TIMEOUT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *world = world_open();
        struct ct_found found = ended_of(rows[i].state, KILLED(SIGKILL));

        if (rows[i].verb != VERB_UNSET)
            give(&found, rows[i].verb);
        found.is_wanted = rows[i].is_wanted;
        found.is_restart_owed = rows[i].is_owed;
        uint32_t ct = world_adopt(world, &found);
        assert_state(world, ct, CT_CLEANING);
        assert_cause(world, rows[i].cause);
        world_see(world, ct, IN_CLEANED_STOP);
        if (rows[i].verb == VERB_DESTROY)
            assert_int_equal(world_count_effects(world, EFFECT_REMOVE), 1);
        else
            assert_state(world, ct, rows[i].is_owed ? CT_PREPARING : CT_STOPPED);
        world_close(world);
    }
}

static void test_node_adopt_down__kill_in_progress__is_ordered_again(void **state)
{
    static const enum ct_state states[] = {CT_KILLING, CT_STUCK};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_open();
        struct ct_found found = live_of(states[i]);

        if (states[i] == CT_KILLING)
            give(&found, VERB_KILL);
        uint32_t ct = world_adopt(world, &found);
        assert_int_equal(world_count_effects(world, EFFECT_KILL), 1);
        world_pass(world, KILL_DEADLINE_NS);
        assert_state(world, ct, CT_STUCK);
        assert_in_range(world_count_effects(world, EFFECT_KILL), 1 + (states[i] == CT_STUCK), 9);
        world_close(world);
    }
}

/* ---- after the end ---- */

static void test_node_adopt_down__restart_that_is_owed__is_carried_out(void **state)
{
    static const enum verb verbs[] = {VERB_UNSET, VERB_REBOOT};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_open();
        struct ct_found found = row_of(CT_CLEANING);

        found.is_restart_owed = found.is_wanted = true;
        if (verbs[i] != VERB_UNSET)
            give(&found, verbs[i]);
        uint32_t ct = world_adopt(world, &found);
        assert_int_equal(world_count_effects(world, EFFECT_CLEAN), 1);
        world_see(world, ct, IN_CLEANED_STOP);
        world_boot(world, ct);
        assert_int_equal(world_ct(world, ct)->generation, 4);
        assert_true(verbs[i] == VERB_UNSET || result(world)->phase == PHASE_DONE);
        world_close(world);
    }
}

static void test_node_adopt_down__back_off__goes_on(void **state)
{
    struct world *world = world_open();
    struct ct_found found = row_of(CT_BACKOFF);

    (void)state;
    found.is_restart_owed = found.is_wanted = true;
    uint32_t ct = world_adopt(world, &found);
    assert_state(world, ct, CT_BACKOFF);
    world_pass(world, RESTART_BASE_NS);
    assert_state(world, ct, CT_PREPARING);
    world_close(world);
}

static void test_node_adopt_down__cleaning__ends_its_command(void **state)
{
    static const struct {
        enum verb verb;
        enum phase phase;
        enum status status;
    } rows[] = {{VERB_STOP, PHASE_DONE, STATUS_UNSET},
                {VERB_KILL, PHASE_DONE, STATUS_UNSET},
                {VERB_START, PHASE_FAILED, STATUS_INTERRUPTED}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *world = world_open();
        struct ct_found found = row_of(CT_CLEANING);

        give(&found, rows[i].verb);
        uint32_t ct = world_adopt(world, &found);
        world_see(world, ct, IN_CLEANED_STOP);
        assert_state(world, ct, CT_STOPPED);
        assert_int_equal(result(world)->phase, rows[i].phase);
        assert_int_equal(result(world)->fault.status, rows[i].status);
        world_close(world);
    }
}

static void test_node_adopt_down__destroy_in_progress__is_finished(void **state)
{
    struct world *world = world_open();
    struct ct_found found = row_of(CT_CLEANING);

    (void)state;
    give(&found, VERB_DESTROY);
    uint32_t ct = world_adopt(world, &found);
    world_see(world, ct, IN_CLEANED_STOP);
    assert_int_equal(world_count_effects(world, EFFECT_REMOVE), 1);
    world_see(world, ct, IN_REMOVED);

    assert_int_equal(result(world)->phase, PHASE_DONE);
    assert_non_null(world_event(world, EVENT_DESTROYED));
    world_close(world);
}

/* One that never ran has no generation to end, and no cause; its removal goes on. */
static void test_node_adopt_down__destroy_of_one_that_never_ran__is_finished(void **state)
{
    struct world *world = world_open();
    struct ct_found found = row_of(CT_CLEANING);

    (void)state;
    found.generation = 0;
    found.cause = CAUSE_UNSET;
    found.started_wall_ns = found.ended_wall_ns = 0;
    give(&found, VERB_DESTROY);
    uint32_t ct = world_adopt(world, &found);
    assert_int_equal(world->event_count, 0);
    assert_int_equal(world_count_effects(world, EFFECT_REMOVE), 1);
    world_see(world, ct, IN_REMOVED);

    assert_int_equal(result(world)->phase, PHASE_DONE);
    assert_int_equal(world->node->count, 0);
    world_close(world);
}

static void
test_node_adopt_down__create_that_was_interrupted__fails_and_is_undone_unseen(void **state)
{
    struct world *world = world_open();
    struct ct_found found = row_of(CT_UNSET);

    (void)state;
    give(&found, VERB_CREATE);
    found.created_wall_ns = found.started_wall_ns = found.ended_wall_ns = 0;
    found.cause = CAUSE_UNSET;
    uint32_t ct = world_adopt(world, &found);
    assert_int_equal(result(world)->fault.status, STATUS_INTERRUPTED);
    assert_int_equal(world_count_effects(world, EFFECT_REMOVE), 1);
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_FAILED);
    world_see(world, ct, IN_REMOVED);

    assert_int_equal(world->node->count, 0);
    assert_null(world_event(world, EVENT_CHANGED));
    assert_null(world_event(world, EVENT_DESTROYED));
    world_close(world);
}

/* ---- freezer ---- */

static void
test_node_adopt_down__freeze_or_thaw_in_progress__ends_by_the_level_that_holds(void **state)
{
    static const struct {
        enum ct_state from;
        enum verb verb;
        bool is_frozen;
        enum ct_state to;
        enum phase phase;
    } rows[] = {{CT_RUNNING, VERB_FREEZE, true, CT_FROZEN, PHASE_DONE},
                {CT_RUNNING, VERB_FREEZE, false, CT_RUNNING, PHASE_FAILED},
                {CT_FROZEN, VERB_THAW, false, CT_RUNNING, PHASE_DONE},
                {CT_FROZEN, VERB_THAW, true, CT_FROZEN, PHASE_FAILED},
                {CT_FROZEN, VERB_START, false, CT_RUNNING, PHASE_DONE}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *world = world_open();
        struct ct_found found = live_of(rows[i].from);

        give(&found, rows[i].verb);
        found.is_frozen = rows[i].is_frozen;
        uint32_t ct = world_adopt(world, &found);
        assert_state(world, ct, rows[i].to);
        assert_int_equal(result(world)->phase, rows[i].phase);
        /* I4: no state without its event. */
        assert_true((world_event(world, EVENT_CHANGED) != NULL) == (rows[i].from != rows[i].to));
        world_close(world);
    }
}

/* ---- nobody is left who saw the end ---- */

static void test_node_adopt_down__guest_that_is_gone__ended_for_reasons_unknown(void **state)
{
    static const enum ct_state states[] = {CT_BOOTING, CT_RUNNING, CT_FROZEN};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct world *world = world_open();
        struct ct_found found = row_of(states[i]);

        found.policy.restart = RESTART_ON_FAILURE;
        uint32_t ct = world_adopt(world, &found);
        assert_cause(world, CAUSE_UNKNOWN);
        assert_false(world_end_event(world)->has_status);
        world_see(world, ct, IN_CLEANED_STOP);
        assert_state(world, ct, CT_PREPARING); /* unknown is a failure */
        world_close(world);
    }
}

static void test_node_adopt_down__machine_that_went_down__is_node_down_and_stays_so(void **state)
{
    static const enum ct_state states[] = {CT_BOOTING, CT_RUNNING, CT_FROZEN};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct world *world = world_open();
        struct ct_found found = row_of(states[i]);

        found.policy.restart = RESTART_ALWAYS;
        found.policy.autostart = AUTOSTART_NO;
        found.is_node_down = true;
        uint32_t ct = world_adopt(world, &found);
        assert_cause(world, CAUSE_NODE_DOWN);
        world_see(world, ct, IN_CLEANED_STOP);
        assert_state(world, ct, CT_STOPPED);
        world_close(world);
    }
}

static void test_node_adopt_down__way_down_that_nobody_saw__is_what_was_ordered(void **state)
{
    static const struct {
        enum ct_state state;
        bool was_executed;
        enum cause cause;
    } rows[] = {{CT_STOPPING, true, CAUSE_OPERATOR_STOP},
                {CT_STOPPING, false, CAUSE_OPERATOR_STOP},
                {CT_KILLING, true, CAUSE_OPERATOR_KILL},
                {CT_KILLING, false, CAUSE_OPERATOR_KILL}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *world = world_open();
        struct ct_found found = row_of(rows[i].state);

        give(&found, rows[i].state == CT_STOPPING ? VERB_STOP : VERB_KILL);
        found.started_wall_ns = rows[i].was_executed ? 30 : 10;
        uint32_t ct = world_adopt(world, &found);
        assert_cause(world, rows[i].cause);
        world_see(world, ct, IN_CLEANED_STOP);
        assert_state(world, ct, CT_STOPPED);
        assert_int_equal(result(world)->phase, PHASE_DONE);
        world_close(world);
    }
}

/* It hung in its preparation, or it ran and could not be killed: the times in its row tell. */
static void test_node_adopt_down__stuck__failed_to_start_if_it_never_ran(void **state)
{
    (void)state;
    for (unsigned was_executed = 0; was_executed < 2; was_executed++) {
        struct world *world = world_open();
        struct ct_found found = row_of(CT_STUCK);

        found.started_wall_ns = was_executed ? 30 : 10;
        (void)world_adopt(world, &found);
        assert_cause(world, was_executed ? CAUSE_BOOT_TIMEOUT : CAUSE_START_FAILED);
        world_close(world);
    }
}

static void test_node_adopt_down__stuck_cleaning__is_tried_again(void **state)
{
    struct world *world = world_open();
    struct ct_found found = row_of(CT_STUCK);

    (void)state;
    found.cause = CAUSE_EXITED;
    found.is_wanted = false;
    uint32_t ct = world_adopt(world, &found);
    assert_int_equal(world_count_effects(world, EFFECT_CLEAN), 1);
    assert_int_equal(world->event_count, 0);
    world_see(world, ct, IN_CLEANED_STOP);
    assert_state(world, ct, CT_STOPPED);
    world_close(world);
}

static void test_node_adopt_down__kill_of_a_stuck_one__has_its_deadline_again(void **state)
{
    for (unsigned is_cleaning = 0; is_cleaning < 2; is_cleaning++) {
        struct world *world = world_open();
        struct ct_found found = is_cleaning ? row_of(CT_STUCK) : live_of(CT_STUCK);

        (void)state;
        if (is_cleaning)
            found.cause = CAUSE_EXITED;
        give(&found, VERB_KILL);
        uint32_t ct = world_adopt(world, &found);
        assert_null(result(world));
        world_pass(world, KILL_DEADLINE_NS);
        assert_state(world, ct, CT_STUCK);
        assert_non_null(result(world));
        assert_int_equal(result(world)->phase, PHASE_FAILED);
        world_close(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_adopt_down__stop_in_progress__is_asked_again_and_done),
        cmocka_unit_test(test_node_adopt_down__stop_of_a_frozen_guest__thaws_it_first),
        cmocka_unit_test(test_node_adopt_down__reboot_in_progress__asks_to_reboot_and_comes_up),
        cmocka_unit_test(test_node_adopt_down__end_by_a_kill_meanwhile__keeps_its_cause),
        cmocka_unit_test(test_node_adopt_down__kill_in_progress__is_ordered_again),
        cmocka_unit_test(test_node_adopt_down__restart_that_is_owed__is_carried_out),
        cmocka_unit_test(test_node_adopt_down__back_off__goes_on),
        cmocka_unit_test(test_node_adopt_down__cleaning__ends_its_command),
        cmocka_unit_test(test_node_adopt_down__destroy_in_progress__is_finished),
        cmocka_unit_test(test_node_adopt_down__destroy_of_one_that_never_ran__is_finished),
        cmocka_unit_test(
            test_node_adopt_down__create_that_was_interrupted__fails_and_is_undone_unseen),
        cmocka_unit_test(
            test_node_adopt_down__freeze_or_thaw_in_progress__ends_by_the_level_that_holds),
        cmocka_unit_test(test_node_adopt_down__guest_that_is_gone__ended_for_reasons_unknown),
        cmocka_unit_test(test_node_adopt_down__machine_that_went_down__is_node_down_and_stays_so),
        cmocka_unit_test(test_node_adopt_down__way_down_that_nobody_saw__is_what_was_ordered),
        cmocka_unit_test(test_node_adopt_down__stuck__failed_to_start_if_it_never_ran),
        cmocka_unit_test(test_node_adopt_down__stuck_cleaning__is_tried_again),
        cmocka_unit_test(test_node_adopt_down__kill_of_a_stuck_one__has_its_deadline_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
