/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a script that reads success from the exit code of a command that failed. Every phase
 * and status is turned into its code, alone and among many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "life.h"

static struct life_item item_of(enum phase phase, enum status status)
{
    return (struct life_item){.phase = phase, .fault = {.status = status}};
}

static void test_life__phases__have_the_codes_of_the_contract(void **state)
{
    static const struct {
        enum phase phase;
        enum status status;
        int code;
    } rows[] = {
        {PHASE_DONE, STATUS_UNSET, 0},
        {PHASE_DONE, STATUS_DONE, 0},
        {PHASE_UNCHANGED, STATUS_UNSET, 0},
        {PHASE_ACCEPTED, STATUS_UNSET, 0},
        {PHASE_QUEUED, STATUS_UNSET, 0},
        {PHASE_FAILED, STATUS_UNSET, 1},
        {PHASE_UNSET, STATUS_UNSET, 1},
        {PHASE_SUPERSEDED, STATUS_UNSET, 4},
        {PHASE_NOT_SENT, STATUS_UNSET, 10},
        {PHASE_RESULT_UNKNOWN, STATUS_UNSET, 10},
        {PHASE_FAILED, STATUS_NOT_FOUND, 3},
        {PHASE_FAILED, STATUS_WRONG_STATE, 4},
        {PHASE_FAILED, STATUS_BUSY, 8},
        {PHASE_ACCEPTED, STATUS_TIMEOUT, 5},
        {PHASE_RESULT_UNKNOWN, STATUS_INVALID, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct life_item item = item_of(rows[i].phase, rows[i].status);
        assert_int_equal(life_exit_code(&item), rows[i].code);
    }
}

static void test_life__many__share_a_code_or_are_partly_failed(void **state)
{
    struct life_item items[3] = {item_of(PHASE_FAILED, STATUS_NOT_FOUND),
                                 item_of(PHASE_FAILED, STATUS_NOT_FOUND),
                                 item_of(PHASE_FAILED, STATUS_NOT_FOUND)};

    (void)state;
    assert_int_equal(life_exit_code_all(items, 0), 0);
    assert_int_equal(life_exit_code_all(items, 3), 3);
    items[1] = item_of(PHASE_DONE, STATUS_UNSET);
    assert_int_equal(life_exit_code_all(items, 3), 6);
    assert_int_equal(life_exit_code_all(items + 1, 1), 0);
    items[1] = item_of(PHASE_FAILED, STATUS_BUSY);
    assert_int_equal(life_exit_code_all(items, 3), 6);
}

static void test_life__codes_one_by_one__join_alike(void **state)
{
    (void)state;
    assert_int_equal(cli_code_join(-1, 0), 0);
    assert_int_equal(cli_code_join(-1, 3), 3);
    assert_int_equal(cli_code_join(3, 3), 3);
    assert_int_equal(cli_code_join(3, 0), 6);
    assert_int_equal(cli_code_join(0, 3), 6);
    assert_int_equal(cli_code_join(6, 0), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life__phases__have_the_codes_of_the_contract),
        cmocka_unit_test(test_life__many__share_a_code_or_are_partly_failed),
        cmocka_unit_test(test_life__codes_one_by_one__join_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
