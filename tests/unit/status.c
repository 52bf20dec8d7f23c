/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: scripts rely on exit codes. Each name goes round, each code is one of the contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "status.h"

static void test_status__each_name__round_trips(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STATUS_COUNT; i++)
        assert_int_equal(status_find(status_name((enum status)i)), i);
    assert_int_equal(status_find("no such status"), STATUS_UNSET);
}

static void test_status__exit_codes__are_the_contracts(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STATUS_COUNT; i++)
        assert_in_range(status_exit_code((enum status)i), 0, 10);
    assert_int_equal(status_exit_code(STATUS_SUPERSEDED), 4);
    assert_int_equal(status_exit_code(STATUS_UNREACHABLE), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status__each_name__round_trips),
        cmocka_unit_test(test_status__exit_codes__are_the_contracts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
