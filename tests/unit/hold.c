/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a guest's first instruction before its boot is durable, an end that nobody tells, or GO
 * said over and over to a keeper that refuses it. What is heard comes in every order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hold.h"

#define ROUNDS 5

static void test_hold__plan_group_and_commit__come_in_every_order(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 16; bits++) {
        struct hold hold = {.is_plan_done = (bits & 1) != 0,
                            .is_cgroup_done = (bits & 2) != 0,
                            .is_durable = (bits & 4) != 0,
                            .must_wait = (bits & 8) != 0};
        bool is_made = (bits & 3) == 3;
        enum hold_next next = hold_next(&hold);

        if (!is_made)
            assert_int_equal(next, HOLD_WAIT);
        else if (hold.is_durable)
            assert_int_equal(next, HOLD_PREPARED);
        else
            assert_int_equal(next, hold.must_wait ? HOLD_WAIT : HOLD_STAGE);
        if (next == HOLD_STAGE) {
            hold_stage(&hold);
            assert_int_equal(hold_next(&hold), HOLD_WAIT); /* once */
            hold.is_durable = true;
            assert_int_equal(hold_next(&hold), HOLD_PREPARED);
        }
    }
}

static void test_hold__order__is_launch_go_or_what_was_heard(void **state)
{
    struct hold none = {0};
    struct hold staged = {0};
    struct hold over = {0};
    (void)state;

    assert_int_equal(hold_order(&none), HOLD_LAUNCH);
    assert_int_equal(hold_end(&none), HOLD_NOW);

    hold_stage(&staged);
    assert_int_equal(hold_order(&staged), HOLD_GO);
    assert_int_equal(hold_end(&staged), HOLD_NOW); /* the model knows of it from here on */

    hold_stage(&over);
    assert_int_equal(hold_end(&over), HOLD_KEEP);
    assert_int_equal(hold_end(&over), HOLD_KEEP); /* the keeper went away, too */
    assert_int_equal(hold_order(&over), HOLD_TELL);
    assert_int_equal(hold_end(&over), HOLD_NOW);
}

static void test_hold__dropped__is_cleaned_once_its_end_is_heard(void **state)
{
    struct hold none = {0};
    struct hold staged = {0};
    struct hold over = {0};
    (void)state;

    assert_false(hold_drop(&none));

    hold_stage(&staged);
    assert_true(hold_drop(&staged));
    assert_int_equal(hold_end(&staged), HOLD_CLEAN);
    assert_int_equal(hold_end(&staged), HOLD_NOW);

    hold_stage(&over);
    assert_int_equal(hold_end(&over), HOLD_KEEP);
    assert_false(hold_drop(&over)); /* there is nothing left to wait for */
    assert_int_equal(hold_end(&over), HOLD_NOW);
}

/* In each order of refusals and STAGED, each of which may come again. */
static void test_hold__go_that_is_refused__is_said_once_more(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 1u << ROUNDS; order++) {
        struct hold hold = {0};
        unsigned said = 0;
        unsigned refused = 0;

        hold_stage(&hold);
        for (unsigned i = 0; i < ROUNDS; i++) {
            bool is_refusal = (order >> i & 1) != 0;

            refused += is_refusal;
            said += is_refusal ? hold_go_refused(&hold) : hold_said_staged(&hold);
            assert_int_equal(said, refused > 0 && refused <= i); /* both were heard */
        }
    }
}

static void test_hold__launch_of_another_agent__was_told_go_or_not(void **state)
{
    struct kw_record record = {.phase = KW_PHASE_STAGED};
    (void)state;

    assert_true(hold_was_never_told(&record));
    record.phase = KW_PHASE_FAILED;
    assert_true(hold_was_never_told(&record));
    record.go_ns = 1;
    assert_false(hold_was_never_told(&record));
    record = (struct kw_record){.phase = KW_PHASE_STAGED, .is_adopted = 1};
    assert_false(hold_was_never_told(&record));
    for (unsigned i = 0; i < 2; i++) { /* by a keeper that does not tell when it was */
        record = (struct kw_record){.phase = i == 0 ? KW_PHASE_BOOTED : KW_PHASE_ENDED};
        assert_false(hold_was_never_told(&record));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hold__plan_group_and_commit__come_in_every_order),
        cmocka_unit_test(test_hold__order__is_launch_go_or_what_was_heard),
        cmocka_unit_test(test_hold__dropped__is_cleaned_once_its_end_is_heard),
        cmocka_unit_test(test_hold__go_that_is_refused__is_said_once_more),
        cmocka_unit_test(test_hold__launch_of_another_agent__was_told_go_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
