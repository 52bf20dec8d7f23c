/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: who may do what to which container, and that each is answered once. Commands are
 * given to a node of the test's own making; all answers are looked at. */
#include "world.h"

#include <stdio.h>
#include <string.h>

static struct ct_command create_of(const char *name, bool is_started)
{
    struct ct_command command = {.verb = VERB_CREATE, .is_started = is_started, .uuid = {0xab}};

    (void)snprintf(command.container, NAME_BYTES, "%s", name);
    return command;
}

/* ---- create ---- */

static void test_node__create__is_told_when_its_directory_is_there(void **state)
{
    struct world *world = world_open();
    struct ct_command command = create_of("web", false);

    (void)state;
    const struct ct_receipt *receipt = world_command(world, &command);
    assert_int_equal(receipt->phase, PHASE_ACCEPTED);
    assert_true(receipt->has_ct);
    assert_int_equal(world->event_count, 0);
    assert_int_equal(world->effects[0].kind, EFFECT_MAKE);
    assert_true(world->effects[0].waits_commit);

    world_see(world, receipt->ct, IN_MADE);
    assert_int_equal(world->events[0].type, EVENT_CREATED);
    assert_int_equal(world->events[0].uuid[0], 0xab);
    assert_int_equal(world->events[1].type, EVENT_RESULT);
    assert_int_equal(world_final(world, "r1")->phase, PHASE_DONE);
    assert_int_equal(world_ct(world, 0)->generation, 0);
    world_close(world);
}

static void test_node__create_of_an_existing_name__is_refused(void **state)
{
    struct world *world = world_open();
    struct ct_command command = create_of("web", false);

    (void)state;
    (void)world_make(world, "web", NULL);
    const struct ct_receipt *receipt = world_command(world, &command);

    assert_int_equal(receipt->phase, PHASE_FAILED);
    assert_int_equal(receipt->fault.status, STATUS_EXISTS);
    assert_int_equal(world->node->count, 1);
    world_close(world);
}

static void test_node__create_that_cannot_be_made__leaves_nothing(void **state)
{
    struct world *world = world_open();
    struct ct_command command = create_of("web", true);

    (void)state;
    uint32_t ct = world_command(world, &command)->ct;
    world_see(world, ct, IN_MAKE_FAILED);

    assert_int_equal(world_final(world, "r1")->phase, PHASE_FAILED);
    assert_int_equal(world_final(world, "r1")->fault.error, 5);
    assert_null(world_event(world, EVENT_CREATED));
    assert_null(node_find(world->node, "web"));
    assert_int_equal(world_command(world, &command)->phase, PHASE_ACCEPTED);
    world_close(world);
}

/* A create that timed out has failed: what is made after all is taken away, and never seen. */
static void test_node__create_that_is_late__is_undone_unseen(void **state)
{
    struct world *world = world_open();
    struct ct_command command = create_of("web", true);

    (void)state;
    uint32_t ct = world_command(world, &command)->ct;
    world_pass(world, CREATE_DEADLINE_NS);
    assert_int_equal(world_final(world, "r1")->fault.status, STATUS_TIMEOUT);
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_FAILED);
    assert_int_equal(world_final(world, "r2")->fault.status, STATUS_NOT_FOUND);

    world_see(world, ct, IN_MADE);
    assert_int_equal(world_count_effects(world, EFFECT_REMOVE), 1);
    world_see(world, ct, IN_REMOVE_FAILED);
    world_pass(world, STUCK_RETRY_NS);
    assert_int_equal(world_count_effects(world, EFFECT_REMOVE), 2);
    world_see(world, ct, IN_REMOVED);

    assert_null(world_event(world, EVENT_CREATED));
    assert_null(world_event(world, EVENT_CHANGED));
    assert_null(world_event(world, EVENT_DESTROYED));
    assert_int_equal(world->node->count, 0);
    world_close(world);
}

static void test_node__create_with_start__is_done_when_ready(void **state)
{
    struct world *world = world_open();
    struct ct_command command = create_of("web", true);

    (void)state;
    uint32_t ct = world_command(world, &command)->ct;
    world_see(world, ct, IN_MADE);
    assert_null(world_final(world, "r1"));
    world_boot(world, ct);

    assert_int_equal(world_final(world, "r1")->phase, PHASE_DONE);
    assert_int_equal(world_final(world, "r1")->verb, VERB_CREATE);
    assert_int_equal(world_ct(world, ct)->generation, 1);
    world_close(world);
}

static void test_node__create_whose_start_fails__keeps_the_container(void **state)
{
    struct world *world = world_open();
    struct ct_command command = create_of("web", true);

    (void)state;
    uint32_t ct = world_command(world, &command)->ct;
    world_see(world, ct, IN_MADE);
    world_see(world, ct, IN_PREPARE_FAILED);
    assert_cause(world, CAUSE_START_FAILED);
    world_see(world, ct, IN_CLEANED_STOP);

    assert_state(world, ct, CT_STOPPED);
    assert_int_equal(world_final(world, "r1")->phase, PHASE_FAILED);
    assert_string_equal(world_final(world, "r1")->fault.text, "prepare_failed failed");
    assert_non_null(node_find(world->node, "web"));
    assert_false(world_ct(world, ct)->is_wanted);
    world_close(world);
}

static void test_node__full_node__answers_no_capacity(void **state)
{
    struct world *world = world_open();
    char name[NAME_BYTES];

    (void)state;
    for (uint32_t i = 0; i < CT_MAX; i++)
        world->node->slots[i].is_used = true; /* their life is not looked at here */
    world->node->count = CT_MAX;
    (void)snprintf(name, sizeof(name), "one-more");
    struct input input = {.kind = INPUT_COMMAND, .command = create_of(name, false)};
    node_step(world->node, &input, &world->now, &world->out);

    assert_int_equal(world->out.receipts[0].phase, PHASE_FAILED);
    assert_int_equal(world->out.receipts[0].fault.status, STATUS_NO_CAPACITY);
    world_close(world);
}

/* ---- finding ---- */

static void test_node__a_container__is_found_by_name_and_by_uuid(void **state)
{
    struct world *world = world_open();
    char text[UUID_TEXT_BYTES];

    (void)state;
    (void)world_make(world, "web", NULL);
    uint32_t ct = world_make(world, "mail", NULL);

    assert_ptr_equal(node_find(world->node, "mail"), world_ct(world, ct));
    assert_ptr_equal(node_find(world->node, uuid_format(world_ct(world, ct)->uuid, text)),
                     world_ct(world, ct));
    assert_null(node_find(world->node, "mai"));
    assert_null(node_find(world->node, ""));
    text[35] = '\0';
    assert_null(node_find(world->node, text));
    world_close(world);
}

static void test_node__unknown_container__is_not_found_by_any_verb(void **state)
{
    struct world *world = world_open();

    (void)state;
    for (unsigned verb = VERB_START; verb < VERB_COUNT; verb++) {
        assert_int_equal(world_order(world, (enum verb)verb, "nobody"), PHASE_FAILED);
        assert_int_equal(world_final(world, world_request(world))->fault.status, STATUS_NOT_FOUND);
    }
    world_close(world);
}

/* ---- fulfilled, refused, busy, superseded ---- */

static void test_node__what_holds_already__is_unchanged(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    world_forget(world);
    assert_answer(world, VERB_STOP, PHASE_UNCHANGED, STATUS_UNCHANGED);
    assert_answer(world, VERB_KILL, PHASE_UNCHANGED, STATUS_UNCHANGED);
    assert_int_equal(world->event_count + world->effect_count, 0);

    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_boot(world, ct);
    world_forget(world);
    assert_answer(world, VERB_START, PHASE_UNCHANGED, STATUS_UNCHANGED);
    assert_answer(world, VERB_THAW, PHASE_UNCHANGED, STATUS_UNCHANGED);
    assert_int_equal(world->event_count + world->effect_count, 0);

    assert_int_equal(world_order(world, VERB_FREEZE, "web"), PHASE_ACCEPTED);
    world_see(world, ct, IN_FROZEN);
    assert_answer(world, VERB_FREEZE, PHASE_UNCHANGED, STATUS_UNCHANGED);
    world_close(world);
}

static void test_node__what_a_state_cannot_obey__is_wrong_state(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    assert_answer(world, VERB_REBOOT, PHASE_FAILED, STATUS_WRONG_STATE);
    assert_answer(world, VERB_FREEZE, PHASE_FAILED, STATUS_WRONG_STATE);
    assert_answer(world, VERB_THAW, PHASE_FAILED, STATUS_WRONG_STATE);

    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    world_boot(world, ct);
    assert_answer(world, VERB_DESTROY, PHASE_FAILED, STATUS_WRONG_STATE);
    assert_string_equal(world_final(world, world_request(world))->fault.hint,
                        "stop it first, or --force");
    assert_state(world, ct, CT_RUNNING);
    world_close(world);
}

static void test_node__a_booting_guest__is_not_frozen(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, 1 /* SIGHUP: its own reboot, so that no command is in progress */);
    world_see(world, ct, IN_CLEANED_STOP);
    world_launch(world, ct);
    world_see(world, ct, IN_BOOTED);

    assert_answer(world, VERB_FREEZE, PHASE_FAILED, STATUS_WRONG_STATE);
    assert_answer(world, VERB_THAW, PHASE_FAILED, STATUS_WRONG_STATE);
    assert_state(world, ct, CT_BOOTING);
    world_close(world);
}

static void test_node__second_mutation__is_busy_and_names_the_first(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    assert_int_equal(world_order(world, VERB_STOP, "web"), PHASE_ACCEPTED);
    const char *first = "r3";
    assert_string_equal(world_request(world), first);

    static const enum verb verbs[] = {VERB_START,  VERB_STOP, VERB_REBOOT,
                                      VERB_FREEZE, VERB_THAW, VERB_DESTROY};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        assert_answer(world, verbs[i], PHASE_FAILED, STATUS_BUSY);
        const char *text = world_final(world, world_request(world))->fault.text;
        assert_non_null(strstr(text, "stop"));
        assert_non_null(strstr(text, first));
    }
    assert_state(world, ct, CT_STOPPING);
    assert_null(world_final(world, first));
    world_close(world);
}

static void test_node__container_that_is_being_made__is_busy(void **state)
{
    struct world *world = world_open();
    struct ct_command command = create_of("web", true);

    (void)state;
    (void)world_command(world, &command);

    assert_answer(world, VERB_START, PHASE_FAILED, STATUS_BUSY);
    assert_answer(world, VERB_STOP, PHASE_FAILED, STATUS_BUSY);
    assert_answer(world, VERB_KILL, PHASE_FAILED, STATUS_BUSY);
    assert_answer(world, VERB_DESTROY, PHASE_FAILED, STATUS_BUSY);
    world_close(world);
}

/* Which running command (row) gives way to which new one; all else is busy. */
static void test_node__kill_over_anything_and_stop_over_boots__supersede(void **state)
{
    static const struct {
        enum verb running;
        bool gives_way_to_stop;
        bool gives_way_to_kill;
        bool gives_way_to_forced_destroy;
    } rows[] = {
        {VERB_START, true, true, true},  {VERB_REBOOT, true, true, true},
        {VERB_STOP, false, true, true},  {VERB_FREEZE, false, true, true},
        {VERB_KILL, false, true, false}, {VERB_DESTROY, false, true, false},
        {VERB_CREATE, true, true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const bool gives_way[] = {rows[i].gives_way_to_stop, rows[i].gives_way_to_kill,
                                  rows[i].gives_way_to_forced_destroy};
        const enum verb over[] = {VERB_STOP, VERB_KILL, VERB_DESTROY};

        for (size_t n = 0; n < 3; n++) {
            struct world *world = world_open();
            struct ct_command first = {.verb = rows[i].running,
                                       .container = "web",
                                       .is_forced = true,
                                       .is_started = true,
                                       .request = "first"};
            struct ct_command second = {.verb = over[n], .container = "web", .is_forced = true};
            uint32_t ct = 0;

            if (rows[i].running == VERB_START)
                (void)world_make(world, "web", NULL);
            else if (rows[i].running != VERB_CREATE)
                (void)world_run(world, "web", NULL);
            assert_int_equal(world_command(world, &first)->phase, PHASE_ACCEPTED);
            if (rows[i].running == VERB_CREATE)
                world_see(world, ct, IN_MADE);
            const struct ct_receipt *receipt = world_command(world, &second);

            if (gives_way[n]) {
                assert_int_equal(receipt->phase, PHASE_ACCEPTED);
                assert_int_equal(world_final(world, "first")->phase, PHASE_SUPERSEDED);
                assert_int_equal(world_final(world, "first")->fault.status, STATUS_SUPERSEDED);
            } else {
                assert_int_equal(receipt->fault.status, STATUS_BUSY);
                assert_null(world_final(world, "first"));
            }
            world_close(world);
        }
    }
}

static void test_node__start_of_one_that_boots_by_itself__waits_with_it(void **state)
{
    struct world *world = world_open();
    uint32_t ct = world_run(world, "web", NULL);

    (void)state;
    world_end(world, ct, 1);
    world_see(world, ct, IN_CLEANED_STOP);
    assert_state(world, ct, CT_PREPARING);
    assert_int_equal(world_order(world, VERB_START, "web"), PHASE_ACCEPTED);
    const char *request = world_request(world);
    world_boot(world, ct);

    assert_int_equal(world_final(world, request)->phase, PHASE_DONE);
    assert_int_equal(world_ct(world, ct)->generation, 2);
    world_close(world);
}

static void test_node__start_that_waits_for_exec__is_done_at_exec(void **state)
{
    struct world *world = world_open();
    struct ct_command command = {.verb = VERB_START, .container = "web", .wait = WAIT_FOR_EXEC};
    uint32_t ct = world_make(world, "web", NULL);

    (void)state;
    (void)world_command(world, &command);
    world_launch(world, ct);
    assert_null(world_final(world, "r2"));
    world_see(world, ct, IN_BOOTED);
    assert_int_equal(world_final(world, "r2")->phase, PHASE_DONE);

    /* And one that joins where exec is past already. */
    assert_int_equal(world_command(world, &command)->phase, PHASE_ACCEPTED);
    assert_int_equal(world_final(world, "r3")->phase, PHASE_DONE);
    world_close(world);
}

/* ---- what the store is given ---- */

static void test_node__each_change__is_dirty_once(void **state)
{
    struct world *world = world_open();
    struct input input = {.kind = INPUT_COMMAND, .command = create_of("web", true)};
    uint32_t index = CT_MAX;

    (void)state;
    node_step(world->node, &input, &world->now, &world->out);
    input = (struct input){.kind = INPUT_OBSERVATION, .observation = {.kind = IN_MADE}};
    node_step(world->node, &input, &world->now, &world->out);

    assert_true(node_take_dirty(world->node, &index));
    assert_int_equal(index, 0);
    assert_false(node_take_dirty(world->node, &index));
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node__create__is_told_when_its_directory_is_there),
        cmocka_unit_test(test_node__create_of_an_existing_name__is_refused),
        cmocka_unit_test(test_node__create_that_cannot_be_made__leaves_nothing),
        cmocka_unit_test(test_node__create_that_is_late__is_undone_unseen),
        cmocka_unit_test(test_node__create_with_start__is_done_when_ready),
        cmocka_unit_test(test_node__create_whose_start_fails__keeps_the_container),
        cmocka_unit_test(test_node__full_node__answers_no_capacity),
        cmocka_unit_test(test_node__a_container__is_found_by_name_and_by_uuid),
        cmocka_unit_test(test_node__unknown_container__is_not_found_by_any_verb),
        cmocka_unit_test(test_node__what_holds_already__is_unchanged),
        cmocka_unit_test(test_node__what_a_state_cannot_obey__is_wrong_state),
        cmocka_unit_test(test_node__a_booting_guest__is_not_frozen),
        cmocka_unit_test(test_node__second_mutation__is_busy_and_names_the_first),
        cmocka_unit_test(test_node__container_that_is_being_made__is_busy),
        cmocka_unit_test(test_node__kill_over_anything_and_stop_over_boots__supersede),
        cmocka_unit_test(test_node__start_of_one_that_boots_by_itself__waits_with_it),
        cmocka_unit_test(test_node__start_that_waits_for_exec__is_done_at_exec),
        cmocka_unit_test(test_node__each_change__is_dirty_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
