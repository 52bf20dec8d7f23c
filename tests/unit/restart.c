/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a guest that dies at once must not eat the node. Waits are computed and bounded, no
 * clock runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "restart.h"

static const struct restart_policy policy = {
    .base_ns = 1000, .cap_ns = 8000, .window_ns = 1000000, .limit = 6};

static void test_restart__streak__doubles_to_the_cap_then_gives_up(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct restart restart = {.prng = {seed}};
        const uint64_t top_ns[] = {0, 1000, 2000, 4000, 8000, 8000};
        uint64_t wait_ns = 1;

        for (unsigned i = 0; i < 6; i++) {
            assert_true(restart_step(&restart, &policy, 5, &wait_ns));
            assert_in_range(wait_ns, top_ns[i] - top_ns[i] / 4, top_ns[i]);
        }

        assert_false(restart_step(&restart, &policy, 5, &wait_ns));
    }
}

static void test_restart__boot_that_lasted__ends_the_streak(void **state)
{
    (void)state;
    struct restart restart = {0};
    uint64_t wait_ns = 1;
    for (unsigned i = 0; i < 6; i++)
        assert_true(restart_step(&restart, &policy, 5, &wait_ns));

    assert_true(restart_step(&restart, &policy, policy.window_ns, &wait_ns));

    assert_int_equal(wait_ns, 0);
    assert_int_equal(restart.streak, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart__streak__doubles_to_the_cap_then_gives_up),
        cmocka_unit_test(test_restart__boot_that_lasted__ends_the_streak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
