/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: the timeline that tells people where a boot's time went. Moments are set by hand;
 * steps, offsets and durations are compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot.h"

static void test_boot__never_started__has_no_steps(void **state)
{
    struct boot_times times = {.done_ns = {[BOOT_exec] = 50}};
    struct boot_step steps[BOOT_STEPS_MAX];

    (void)state;
    assert_int_equal(boot_steps(&times, steps), 0);
}

static void test_boot__whole_boot__is_one_step_after_the_other(void **state)
{
    struct boot_times times = {.accepted_ns = 1000};
    struct boot_step steps[BOOT_STEPS_MAX];

    (void)state;
    for (uint64_t i = 0; i < BOOT_STEPS_MAX; i++)
        times.done_ns[i] = 1000 + 10 * (i + 1);

    assert_int_equal(boot_steps(&times, steps), BOOT_STEPS_MAX);
    for (uint64_t i = 0; i < BOOT_STEPS_MAX; i++) {
        assert_int_equal(steps[i].offset_ns, 10 * i);
        assert_int_equal(steps[i].duration_ns, 10);
    }
    assert_string_equal(steps[0].step, "admit");
    assert_string_equal(steps[BOOT_STEPS_MAX - 1].step, "ready");
}

static void test_boot__boot_that_failed__ends_with_its_last_step(void **state)
{
    struct boot_times times = {.accepted_ns = 1000,
                               .done_ns = {[BOOT_admit] = 1005, [BOOT_commit] = 1005}};
    struct boot_step steps[BOOT_STEPS_MAX];

    (void)state;
    assert_int_equal(boot_steps(&times, steps), 2);
    assert_string_equal(steps[1].step, "commit");
    assert_int_equal(steps[1].offset_ns, 5);
    assert_int_equal(steps[1].duration_ns, 0);
}

/* What an agent that died did not note is passed over; what follows begins where the last ended. */
static void test_boot__steps_that_nobody_noted__are_left_out(void **state)
{
    struct boot_times times = {.accepted_ns = 1000,
                               .done_ns = {[BOOT_commit] = 1010, [BOOT_exec] = 1100}};
    struct boot_step steps[BOOT_STEPS_MAX];

    (void)state;
    assert_int_equal(boot_steps(&times, steps), 2);
    assert_string_equal(steps[1].step, "exec");
    assert_int_equal(steps[1].offset_ns, 10);
    assert_int_equal(steps[1].duration_ns, 90);
}

/* A moment of an earlier boot is not one of this. */
static void test_boot__moment_before_its_own_boot__is_not_shown(void **state)
{
    struct boot_times times = {.accepted_ns = 1000,
                               .done_ns = {[BOOT_admit] = 900, [BOOT_commit] = 1001}};
    struct boot_step steps[BOOT_STEPS_MAX];

    (void)state;
    assert_int_equal(boot_steps(&times, steps), 1);
    assert_string_equal(steps[0].step, "commit");
}

static void test_boot__steps_side_by_side__overlap(void **state)
{
    struct boot_times times = {
        .accepted_ns = 1000,
        .began_ns = {[BOOT_plan] = 1001, [BOOT_cgroup] = 1003, [BOOT_commit] = 1002},
        .done_ns = {[BOOT_admit] = 1002,
                    [BOOT_commit] = 1050,
                    [BOOT_plan] = 1030,
                    [BOOT_cgroup] = 1060,
                    [BOOT_send] = 1065},
    };
    static const char *const order[] = {"admit", "plan", "commit", "cgroup", "send"};
    struct boot_step steps[BOOT_STEPS_MAX];

    (void)state;
    assert_int_equal(boot_steps(&times, steps), 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(steps[i].step, order[i]);
    assert_int_equal(steps[1].offset_ns, 1);
    assert_int_equal(steps[1].duration_ns, 29);
    assert_int_equal(steps[4].offset_ns, 60); /* it began where the longest one ended */
    assert_int_equal(steps[4].duration_ns, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot__never_started__has_no_steps),
        cmocka_unit_test(test_boot__whole_boot__is_one_step_after_the_other),
        cmocka_unit_test(test_boot__boot_that_failed__ends_with_its_last_step),
        cmocka_unit_test(test_boot__steps_that_nobody_noted__are_left_out),
        cmocka_unit_test(test_boot__moment_before_its_own_boot__is_not_shown),
        cmocka_unit_test(test_boot__steps_side_by_side__overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
