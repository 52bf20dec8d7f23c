/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a boot that goes on although its hook failed, or a clean-up that stops at one. Walks up
 * and down through hooks that end in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hooks.h"

#define ALL (HOOKS_UP | HOOKS_START | HOOKS_STOP | HOOKS_DOWN)

static const struct hook_end good = {HOOK_EXITED, 0};

static void test_hooks__way_up_and_down__has_its_order(void **state)
{
    struct hook_walk walk;

    (void)state;
    hook_walk_begin(&walk, ALL, 0, HOOKS_UP);
    assert_true(hook_walk_next(&walk));
    assert_int_equal(walk.point, HOOK_PREMOUNT);
    hook_walk_note(&walk, good, "");
    assert_true(hook_walk_next(&walk));
    assert_int_equal(walk.point, HOOK_MOUNT);
    assert_false(hook_walk_next(&walk));
    assert_false(walk.has_failed || walk.is_root_skipped);

    hook_walk_begin(&walk, ALL, 0, HOOKS_DOWN);
    assert_true(hook_walk_next(&walk));
    assert_int_equal(walk.point, HOOK_UMOUNT);
    assert_true(hook_walk_next(&walk));
    assert_int_equal(walk.point, HOOK_POSTUMOUNT);
    assert_false(hook_walk_next(&walk));

    hook_walk_begin(&walk, HOOK_BIT(HOOK_MOUNT), 0, HOOKS_UP);
    assert_true(hook_walk_next(&walk));
    assert_int_equal(walk.point, HOOK_MOUNT);
    hook_walk_begin(&walk, HOOKS_DOWN, HOOKS_DOWN, HOOKS_UP);
    assert_false(hook_walk_next(&walk));
}

static void test_hooks__each_bad_end_on_the_way_up__ends_it(void **state)
{
    static const struct {
        struct hook_end end;
        enum status status;
        const char *words;
    } rows[] = {
        {{HOOK_EXITED, 3}, STATUS_HOOK_FAILED, "exited 3: no disk"},
        {{HOOK_SIGNALLED, 11}, STATUS_HOOK_FAILED, "signal 11"},
        {{HOOK_UNABLE, 8}, STATUS_HOOK_FAILED, "cannot be executed"},
        {{HOOK_LATE, 0}, STATUS_TIMEOUT, "deadline"},
        {{HOOK_LOST, 0}, STATUS_HOOK_FAILED, "without a word"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hook_walk walk;

        hook_walk_begin(&walk, ALL, 0, HOOKS_UP);
        assert_true(hook_walk_next(&walk));
        hook_walk_note(&walk, rows[i].end, "no disk");
        assert_true(walk.has_failed);
        assert_int_equal(walk.fault.status, rows[i].status);
        assert_non_null(strstr(walk.fault.text, "premount"));
        assert_non_null(strstr(walk.fault.text, rows[i].words));
        assert_false(hook_walk_next(&walk));
    }
}

static void test_hooks__failure_on_the_way_down__stops_nothing(void **state)
{
    struct hook_walk walk;

    (void)state;
    hook_walk_begin(&walk, ALL, 0, HOOKS_DOWN);
    assert_true(hook_walk_next(&walk));
    hook_walk_note(&walk, (struct hook_end){HOOK_LATE, 0}, "");
    assert_true(hook_walk_next(&walk));
    assert_int_equal(walk.point, HOOK_POSTUMOUNT);
    hook_walk_note(&walk, (struct hook_end){HOOK_EXITED, 1}, "");
    assert_int_equal(walk.fault.status, STATUS_TIMEOUT); /* the first one's */

    hook_walk_begin(&walk, ALL, 0, HOOKS_DOWN);
    assert_true(hook_walk_next(&walk));
    hook_walk_note(&walk, (struct hook_end){HOOK_LOST, 0}, "");
    assert_false(hook_walk_next(&walk));
}

/* The guest goes on, so that the next ones, and asking it, are not for now. */
static void test_hooks__failure_before_a_stop__ends_the_walk(void **state)
{
    struct hook_walk walk;

    (void)state;
    hook_walk_begin(&walk, ALL, ALL, HOOKS_STOP);
    assert_true(hook_walk_next(&walk));
    hook_walk_note(&walk, (struct hook_end){HOOK_EXITED, HOOK_SKIP}, "");
    assert_true(walk.has_failed);
    assert_false(hook_walk_next(&walk));
}

static void test_hooks__exit_39__is_for_mounting_alone(void **state)
{
    struct hook_walk walk;

    (void)state;
    hook_walk_begin(&walk, ALL, 0, HOOKS_UP);
    walk.point = HOOK_MOUNT;
    hook_walk_note(&walk, (struct hook_end){HOOK_EXITED, HOOK_SKIP}, "");
    assert_true(walk.is_root_skipped);
    assert_false(walk.has_failed);
    hook_walk_begin(&walk, ALL, 0, HOOKS_DOWN);
    walk.point = HOOK_UMOUNT;
    hook_walk_note(&walk, (struct hook_end){HOOK_EXITED, HOOK_SKIP}, "");
    assert_false(walk.is_root_skipped);
    assert_true(walk.has_failed);
}

static void test_hooks__a_container_s_own__are_inside_the_node_s(void **state)
{
    static const struct {
        uint32_t way;
        const char *order;
    } rows[] = {{HOOKS_UP, "premount premount+ mount mount+ "},
                {HOOKS_START, "start start+ "},
                {HOOKS_STOP, "stop+ stop "},
                {HOOKS_DOWN, "umount+ umount postumount+ postumount "}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hook_walk walk;
        char order[128] = "";

        hook_walk_begin(&walk, ALL, ALL, rows[i].way);
        while (hook_walk_next(&walk)) {
            strcat(order, hook_point_name(walk.point));
            strcat(order, walk.is_own ? "+ " : " ");
        }
        assert_string_equal(order, rows[i].order);
        assert_true(hook_walk_is_over(&walk));
    }
    assert_int_equal(hook_point_find("mount"), HOOK_MOUNT);
    assert_int_equal(hook_point_find("mounts"), HOOK_POINT_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hooks__way_up_and_down__has_its_order),
        cmocka_unit_test(test_hooks__each_bad_end_on_the_way_up__ends_it),
        cmocka_unit_test(test_hooks__failure_on_the_way_down__stops_nothing),
        cmocka_unit_test(test_hooks__a_container_s_own__are_inside_the_node_s),
        cmocka_unit_test(test_hooks__failure_before_a_stop__ends_the_walk),
        cmocka_unit_test(test_hooks__exit_39__is_for_mounting_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
