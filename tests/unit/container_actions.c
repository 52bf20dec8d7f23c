/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a move that is right in the table and orders or tells the wrong thing. Each action
 * is taken through ct_step() on one container, and all that came out of it is compared. */
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct now now = {.ns = 500 * SECOND_NS, .wall_ns = 1700000000 * SECOND_NS};

/* One container in the middle of its life, and what one input made of it. */
struct scene {
    struct ct ct;
    struct observation seen;
    struct out out;
};

static bool is_open_in(enum ct_state state)
{
    return state == CT_PREPARING || state == CT_LAUNCHING || ct_state_has_init(state);
}

static struct scene *scene_open(enum ct_state state, enum verb verb)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    struct ct *ct = &scene->ct;

    assert_non_null(scene);
    *ct =
        (struct ct){.is_used = true,
                    .is_announced = state != CT_UNSET,
                    .index = 7,
                    .name = "web",
                    .state = state,
                    .state_since_ns = now.ns - SECOND_NS,
                    .deadline_ns = now.ns + SECOND_NS,
                    .generation = state == CT_UNSET ? 0 : 3,
                    .is_open = is_open_in(state),
                    .has_init = ct_state_has_init(state),
                    .is_wanted = is_open_in(state),
                    .is_automatic = verb == VERB_UNSET,
                    .grace_ns = 10 * SECOND_NS,
                    .cause = is_open_in(state) ? CAUSE_UNSET : CAUSE_EXITED,
                    .has_command = verb != VERB_UNSET,
                    .revision = 4,
                    .has_set = verb == VERB_SET,
                    .command = {.verb = verb, .wait = WAIT_FOR_READY, .request = "r", .origin = 9}};
    return scene;
}

static void scene_step(struct scene *scene, enum ct_input input)
{
    scene->seen.kind = input;
    scene->seen.generation = scene->ct.generation;
    (void)ct_step(&scene->ct, &scene->seen, &now, &scene->out);
}

#define LIST_BYTES 128

static void add_word(char list[LIST_BYTES], const char *word)
{
    size_t used = strlen(list);

    (void)snprintf(list + used, LIST_BYTES - used, "%s%s", used == 0 ? "" : " ", word);
}

static void list_effects(const struct scene *scene, char list[LIST_BYTES])
{
    list[0] = '\0';
    for (size_t i = 0; i < scene->out.effect_count; i++) {
        add_word(list, effect_name(scene->out.effects[i].kind));
        assert_int_equal(scene->out.effects[i].ct, scene->ct.index);
        assert_int_equal(scene->out.effects[i].generation, scene->ct.generation);
    }
}

static void list_events(const struct scene *scene, char list[LIST_BYTES])
{
    list[0] = '\0';
    for (size_t i = 0; i < scene->out.event_count; i++) {
        add_word(list, event_type_name(scene->out.events[i].type));
        assert_string_equal(scene->out.events[i].name, "web");
    }
}

static const struct {
    enum ct_state state;
    enum ct_input input;
    enum verb verb; /* of the command in progress */
    const char *effects;
    const char *events;
    enum phase phase; /* of its receipt; UNSET: it goes on */
} rows[] = {
    /* create */
    {CT_UNSET, IN_MADE, VERB_CREATE, "", "created result", PHASE_DONE},
    {CT_UNSET, IN_MADE_LATE, VERB_UNSET, "remove", "", PHASE_UNSET},
    {CT_UNSET, IN_MAKE_FAILED, VERB_CREATE, "", "result", PHASE_FAILED},
    {CT_UNSET, IN_MAKE_FAILED, VERB_UNSET, "", "", PHASE_UNSET},
    {CT_UNSET, IN_DEADLINE, VERB_CREATE, "", "result", PHASE_FAILED},
    {CT_UNSET, IN_REMOVED, VERB_UNSET, "", "", PHASE_UNSET},
    {CT_UNSET, IN_REMOVE_FAILED, VERB_UNSET, "", "", PHASE_UNSET},
    {CT_UNSET, IN_STEP, VERB_UNSET, "remove", "", PHASE_UNSET},
    /* boot */
    {CT_STOPPED, IN_START, VERB_START, "", "changed", PHASE_UNSET},
    {CT_PREPARING, IN_START, VERB_START, "", "", PHASE_UNSET},
    {CT_PREPARING, IN_ADMITTED, VERB_START, "prepare", "", PHASE_UNSET},
    {CT_PREPARING, IN_PREPARED, VERB_START, "launch", "changed", PHASE_UNSET},
    {CT_PREPARING, IN_PREPARE_FAILED, VERB_START, "clean", "changed", PHASE_UNSET},
    {CT_PREPARING, IN_LAUNCHED, VERB_START, "", "changed", PHASE_UNSET},
    {CT_PREPARING, IN_DEADLINE, VERB_START, "", "changed result", PHASE_FAILED},
    {CT_LAUNCHING, IN_BOOTED, VERB_START, "", "changed", PHASE_UNSET},
    {CT_LAUNCHING, IN_READY, VERB_START, "", "", PHASE_UNSET},
    {CT_LAUNCHING, IN_LAUNCH_FAILED, VERB_START, "clean", "changed", PHASE_UNSET},
    {CT_LAUNCHING, IN_DEADLINE, VERB_START, "kill", "changed", PHASE_UNSET},
    {CT_BOOTING, IN_READY, VERB_START, "", "changed result", PHASE_DONE},
    {CT_BOOTING, IN_READY, VERB_REBOOT, "", "changed result", PHASE_DONE},
    {CT_BOOTING, IN_READY, VERB_CREATE, "", "changed result", PHASE_DONE},
    {CT_BOOTING, IN_READY, VERB_UNSET, "", "changed", PHASE_UNSET},
    {CT_BOOTING, IN_DEADLINE, VERB_START, "kill", "changed", PHASE_UNSET},
    {CT_BOOTING, IN_STEP, VERB_START, "", "result", PHASE_FAILED},
    {CT_BOOTING, IN_STEP, VERB_UNSET, "", "", PHASE_UNSET},
    {CT_RUNNING, IN_OOM, VERB_UNSET, "", "oom", PHASE_UNSET},
    /* stop, kill, reboot */
    {CT_PREPARING, IN_STOP, VERB_STOP, "", "changed", PHASE_UNSET},
    {CT_PREPARING, IN_KILL, VERB_KILL, "", "changed", PHASE_UNSET},
    {CT_LAUNCHING, IN_STOP, VERB_STOP, "", "changed", PHASE_UNSET},
    {CT_LAUNCHING, IN_KILL, VERB_KILL, "kill", "changed", PHASE_UNSET},
    {CT_BOOTING, IN_STOP, VERB_STOP, "ask", "changed", PHASE_UNSET},
    {CT_RUNNING, IN_STOP, VERB_STOP, "ask", "changed", PHASE_UNSET},
    {CT_RUNNING, IN_REBOOT, VERB_REBOOT, "ask", "changed", PHASE_UNSET},
    {CT_RUNNING, IN_KILL, VERB_KILL, "kill", "changed", PHASE_UNSET},
    {CT_FROZEN, IN_STOP, VERB_STOP, "thaw ask", "changed", PHASE_UNSET},
    {CT_FROZEN, IN_REBOOT, VERB_REBOOT, "thaw ask", "changed", PHASE_UNSET},
    {CT_FROZEN, IN_KILL, VERB_KILL, "kill", "changed", PHASE_UNSET},
    {CT_STOPPING, IN_BOOTED, VERB_STOP, "ask", "", PHASE_UNSET},
    {CT_STOPPING, IN_STOP, VERB_STOP, "ask", "", PHASE_UNSET},
    {CT_STOPPING, IN_STEP, VERB_STOP, "ask", "escalated", PHASE_UNSET},
    {CT_STOPPING, IN_DEADLINE, VERB_STOP, "kill", "changed escalated", PHASE_UNSET},
    {CT_STOPPING, IN_ENDED, VERB_STOP, "clean", "changed", PHASE_UNSET},
    {CT_STOPPING, IN_PREPARED, VERB_STOP, "clean", "changed", PHASE_UNSET},
    {CT_KILLING, IN_BOOTED, VERB_KILL, "kill", "", PHASE_UNSET},
    {CT_KILLING, IN_KILL, VERB_KILL, "kill", "", PHASE_UNSET},
    {CT_KILLING, IN_STOP, VERB_STOP, "", "", PHASE_UNSET},
    {CT_KILLING, IN_DEADLINE, VERB_KILL, "", "changed result", PHASE_FAILED},
    {CT_KILLING, IN_ENDED, VERB_KILL, "clean", "changed", PHASE_UNSET},
    /* freeze, thaw */
    {CT_RUNNING, IN_FREEZE, VERB_FREEZE, "freeze", "", PHASE_UNSET},
    {CT_RUNNING, IN_FROZEN, VERB_FREEZE, "", "changed result", PHASE_DONE},
    {CT_RUNNING, IN_FROZEN, VERB_UNSET, "", "changed", PHASE_UNSET},
    {CT_RUNNING, IN_FREEZE_FAILED, VERB_FREEZE, "", "result", PHASE_FAILED},
    {CT_RUNNING, IN_STEP, VERB_FREEZE, "thaw", "result", PHASE_FAILED},
    {CT_RUNNING, IN_STEP, VERB_UNSET, "", "", PHASE_UNSET},
    {CT_RUNNING, IN_ENDED, VERB_FREEZE, "clean", "changed result", PHASE_FAILED},
    {CT_FROZEN, IN_THAW, VERB_THAW, "thaw", "", PHASE_UNSET},
    {CT_FROZEN, IN_START, VERB_START, "thaw", "", PHASE_UNSET},
    {CT_FROZEN, IN_THAWED, VERB_THAW, "", "changed result", PHASE_DONE},
    {CT_FROZEN, IN_THAWED, VERB_START, "", "changed result", PHASE_DONE},
    {CT_FROZEN, IN_STEP, VERB_THAW, "", "result", PHASE_FAILED},
    {CT_FROZEN, IN_ENDED, VERB_THAW, "clean", "changed result", PHASE_FAILED},
    /* set */
    {CT_STOPPED, IN_SET, VERB_SET, "", "configured result", PHASE_DONE},
    {CT_RUNNING, IN_SET, VERB_SET, "", "configured result", PHASE_DONE},
    {CT_RUNNING, IN_SET_LIMITS, VERB_SET, "limit", "", PHASE_UNSET},
    {CT_FROZEN, IN_LIMITED, VERB_SET, "", "configured result", PHASE_DONE},
    {CT_RUNNING, IN_LIMIT_FAILED, VERB_SET, "", "result", PHASE_FAILED},
    {CT_RUNNING, IN_LIMITED, VERB_UNSET, "", "", PHASE_UNSET},
    {CT_RUNNING, IN_LIMIT_FAILED, VERB_UNSET, "", "", PHASE_UNSET},
    {CT_RUNNING, IN_LIMIT_LATE, VERB_SET, "", "result", PHASE_FAILED},
    {CT_RUNNING, IN_ENDED, VERB_SET, "clean", "changed configured result", PHASE_DONE},
    {CT_RUNNING, IN_SET_RESTART, VERB_SET, "ask", "changed", PHASE_UNSET},
    {CT_FROZEN, IN_SET_RESTART, VERB_SET, "thaw ask", "changed", PHASE_UNSET},
    {CT_CLEANING, IN_LIMITED, VERB_UNSET, "clean", "", PHASE_UNSET},
    {CT_STUCK, IN_LIMITED, VERB_UNSET, "", "", PHASE_UNSET},
    /* after the end */
    {CT_CLEANING, IN_CLEANED_STOP, VERB_STOP, "", "changed result", PHASE_DONE},
    {CT_CLEANING, IN_CLEANED_STOP, VERB_START, "", "changed result", PHASE_FAILED},
    {CT_CLEANING, IN_CLEANED_STOP, VERB_UNSET, "", "changed", PHASE_UNSET},
    {CT_CLEANING, IN_CLEANED_AGAIN, VERB_REBOOT, "", "changed", PHASE_UNSET},
    {CT_CLEANING, IN_CLEANED_WAIT, VERB_UNSET, "", "changed", PHASE_UNSET},
    {CT_CLEANING, IN_CLEANED_DESTROY, VERB_DESTROY, "remove", "", PHASE_UNSET},
    {CT_CLEANING, IN_CLEAN_FAILED, VERB_STOP, "", "changed result", PHASE_FAILED},
    {CT_CLEANING, IN_START, VERB_START, "", "", PHASE_UNSET},
    {CT_CLEANING, IN_STOP, VERB_STOP, "", "", PHASE_UNSET},
    {CT_CLEANING, IN_DESTROY, VERB_DESTROY, "", "", PHASE_UNSET},
    {CT_CLEANING, IN_REMOVED, VERB_DESTROY, "", "destroyed result", PHASE_DONE},
    {CT_CLEANING, IN_REMOVE_FAILED, VERB_DESTROY, "", "changed result", PHASE_FAILED},
    {CT_CLEANING, IN_DEADLINE, VERB_DESTROY, "", "changed result", PHASE_FAILED},
    {CT_STOPPED, IN_DESTROY, VERB_DESTROY, "remove", "changed", PHASE_UNSET},
    {CT_BACKOFF, IN_STOP, VERB_STOP, "", "changed result", PHASE_DONE},
    {CT_BACKOFF, IN_START, VERB_START, "", "changed", PHASE_UNSET},
    {CT_BACKOFF, IN_DESTROY, VERB_DESTROY, "remove", "changed", PHASE_UNSET},
    {CT_BACKOFF, IN_DEADLINE, VERB_UNSET, "", "changed", PHASE_UNSET},
    /* stuck, its init still there */
    {CT_STUCK, IN_STEP, VERB_UNSET, "kill", "", PHASE_UNSET},
    {CT_STUCK, IN_KILL, VERB_KILL, "kill", "", PHASE_UNSET},
    {CT_STUCK, IN_STOP, VERB_STOP, "kill", "", PHASE_UNSET},
    {CT_STUCK, IN_BOOTED, VERB_UNSET, "kill", "", PHASE_UNSET},
    {CT_STUCK, IN_DEADLINE, VERB_KILL, "", "result", PHASE_FAILED},
    {CT_STUCK, IN_CLEAN_FAILED, VERB_KILL, "", "", PHASE_UNSET},
    {CT_STUCK, IN_ENDED, VERB_KILL, "clean", "changed", PHASE_UNSET},
    {CT_STUCK, IN_CLEANED_STOP, VERB_KILL, "", "changed result", PHASE_DONE},
    {CT_STUCK, IN_CLEANED_DESTROY, VERB_DESTROY, "remove", "changed", PHASE_UNSET},
    {CT_STUCK, IN_REMOVED, VERB_DESTROY, "", "destroyed result", PHASE_DONE},
};

static void check_row(size_t i)
{
    struct scene *scene = scene_open(rows[i].state, rows[i].verb);
    char effects[LIST_BYTES];
    char events[LIST_BYTES];

    fault_set(&scene->seen.fault, rows[i].input == IN_DEADLINE ? STATUS_UNSET : STATUS_FAILED, 5,
              "it failed");
    if (rows[i].state == CT_STUCK && rows[i].input >= IN_CLEANED_STOP &&
        rows[i].input <= IN_REMOVE_FAILED)
        scene->ct.is_open = scene->ct.has_init = false;
    scene_step(scene, rows[i].input);

    list_effects(scene, effects);
    list_events(scene, events);
    if (strcmp(effects, rows[i].effects) != 0 || strcmp(events, rows[i].events) != 0)
        fail_msg("%s + %s: ordered '%s', told '%s'; wanted '%s', '%s'",
                 ct_state_name(rows[i].state), ct_input_name(rows[i].input), effects, events,
                 rows[i].effects, rows[i].events);
    if (rows[i].phase == PHASE_UNSET) {
        assert_int_equal(scene->out.receipt_count, 0);
        assert_true(!scene->ct.is_used || scene->ct.has_command == (rows[i].verb != VERB_UNSET));
    } else {
        assert_int_equal(scene->out.receipt_count, 1);
        assert_int_equal(scene->out.receipts[0].phase, rows[i].phase);
        assert_int_equal(scene->out.receipts[0].origin, 9);
        assert_string_equal(scene->out.receipts[0].request, "r");
        assert_false(scene->ct.has_command);
    }
    free(scene);
}

static void test_container_actions__each_row__orders_and_tells_what_it_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(i);
}

/* I9, and intent before effect: what changes the world for a command waits for the commit. */
static void test_container_actions__effects_of_an_intent__wait_for_its_commit(void **state)
{
    static const bool waits[EFFECT_COUNT] = {
        [EFFECT_PREPARE] = true, [EFFECT_ASK] = true,  [EFFECT_KILL] = true, [EFFECT_REMOVE] = true,
        [EFFECT_FREEZE] = true,  [EFFECT_THAW] = true, [EFFECT_LIMIT] = true};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene *scene = scene_open(rows[i].state, rows[i].verb);

        /* A retry, and the undoing of a freeze that came late, repeat what was durable before. */
        bool is_repeated =
            rows[i].input == IN_STEP && rows[i].state != CT_STOPPING && rows[i].state != CT_UNSET;
        scene_step(scene, rows[i].input);
        for (size_t n = 0; n < scene->out.effect_count; n++)
            if (!is_repeated && rows[i].state != CT_STUCK)
                assert_int_equal(scene->out.effects[n].waits_commit,
                                 waits[scene->out.effects[n].kind]);
        free(scene);
    }
}

static void test_container_actions__a_result_event__carries_its_fault(void **state)
{
    struct scene *scene = scene_open(CT_RUNNING, VERB_FREEZE);

    (void)state;
    fault_set(&scene->seen.fault, STATUS_FAILED, 5, "web: no freezer");
    scene_step(scene, IN_FREEZE_FAILED);

    assert_int_equal(scene->out.events[0].type, EVENT_RESULT);
    assert_int_equal(scene->out.events[0].result, STATUS_FAILED);
    assert_string_equal(scene->out.events[0].detail, "web: no freezer");
    assert_string_equal(scene->out.events[0].request, "r");
    assert_int_equal(scene->out.receipts[0].fault.error, 5);
    free(scene);
}

static void test_container_actions__an_end_event__carries_its_own_time(void **state)
{
    struct scene *scene = scene_open(CT_RUNNING, VERB_UNSET);

    (void)state;
    scene->seen.at_wall_ns = 1234 * SECOND_NS;
    scene->seen.has_status = true;
    scene->seen.wait_status = SIGINT;
    scene_step(scene, IN_ENDED);

    assert_int_equal(scene->out.events[0].time_wall_ns, 1234 * SECOND_NS);
    assert_int_equal(scene->out.events[0].cause, CAUSE_GUEST_HALT);
    assert_true(scene->out.events[0].has_status);
    assert_int_equal(scene->out.events[0].wait_status, SIGINT);
    assert_int_equal(scene->out.events[0].from, CT_RUNNING);
    assert_int_equal(scene->out.events[0].to, CT_CLEANING);
    free(scene);
}

static void test_container_actions__new_generation__is_in_its_first_event(void **state)
{
    struct scene *scene = scene_open(CT_STOPPED, VERB_START);

    (void)state;
    scene_step(scene, IN_START);

    assert_int_equal(scene->ct.generation, 4);
    assert_int_equal(scene->out.events[0].generation, 4);
    assert_true(scene->ct.is_open);
    free(scene);
}

static void test_container_actions__refused_or_late_input__touches_nothing(void **state)
{
    (void)state;
    for (unsigned s = 0; s < CT_STATE_COUNT; s++)
        for (unsigned i = 0; i < CT_INPUT_COUNT; i++) {
            enum verdict verdict = ct_rules[s][i].verdict;

            if (verdict == VERDICT_MOVE || verdict == VERDICT_ACT || verdict == VERDICT_BUG)
                continue;
            struct scene *scene = scene_open((enum ct_state)s, VERB_STOP);
            struct ct before;
            memcpy(&before, &scene->ct, sizeof(before));
            scene_step(scene, (enum ct_input)i);

            assert_memory_equal(&before, &scene->ct, sizeof(before));
            assert_int_equal(
                scene->out.effect_count + scene->out.event_count + scene->out.receipt_count, 0);
            free(scene);
        }
}

/* For post-mortems: the last moves stay in the struct, the oldest make room. */
static void test_container_actions__many_moves__keep_the_last_eight(void **state)
{
    struct scene *scene = scene_open(CT_RUNNING, VERB_UNSET);

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        scene_step(scene, IN_FROZEN);
        scene_step(scene, IN_THAWED);
    }

    assert_int_equal(scene->ct.move_count, 12);
    assert_int_equal(scene->ct.moves[11 % CT_MOVES_KEPT].input, IN_THAWED);
    assert_int_equal(scene->ct.moves[11 % CT_MOVES_KEPT].to, CT_RUNNING);
    assert_int_equal(scene->ct.moves[11 % CT_MOVES_KEPT].at_ns, now.ns);
    free(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_container_actions__each_row__orders_and_tells_what_it_should),
        cmocka_unit_test(test_container_actions__effects_of_an_intent__wait_for_its_commit),
        cmocka_unit_test(test_container_actions__a_result_event__carries_its_fault),
        cmocka_unit_test(test_container_actions__an_end_event__carries_its_own_time),
        cmocka_unit_test(test_container_actions__new_generation__is_in_its_first_event),
        cmocka_unit_test(test_container_actions__refused_or_late_input__touches_nothing),
        cmocka_unit_test(test_container_actions__many_moves__keep_the_last_eight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
