/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a container's root being the owner of somebody's files on the host. Real files in the
 * format of subuid(5), read as the agent reads /etc/subuid at its start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "subid.h"

static int check(const char *text, uint32_t base, uint32_t count, struct fault *fault)
{
    char path[] = "/tmp/drover-subid-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    int result = subid_check_file(path, base, count, fault);
    (void)unlink(path);
    return result;
}

static void test_subid__no_overlap__passes(void **state)
{
    struct fault fault = {0};

    (void)state;
    assert_int_equal(check("ann:100000:65536\nbob:165536:65536\n", 231072, 65536, &fault), 0);
    assert_int_equal(check("ann:296608:1\n", 231072, 65536, &fault), 0);
    assert_int_equal(check("", 65536, 65536, &fault), 0);
    assert_int_equal(subid_check_file("/nonexistent/subuid", 65536, 65536, &fault), 0);
    assert_int_equal(fault.status, STATUS_UNSET);
}

static void test_subid__any_overlap__names_owner(void **state)
{
    static const char *const overlaps[] = {
        "ann:100000:65536\n",                /* the same */
        "x:1:1\nann:99999:2\n",              /* its last id is our first */
        "ann:165535:10",                     /* its first id is our last; no newline */
        "ann:0:4294967296\n",                /* around us */
        "ann:120000:18446744073709551615\n", /* beyond every id */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(overlaps) / sizeof(*overlaps); i++) {
        struct fault fault = {0};

        assert_true(check(overlaps[i], 100000, 65536, &fault) < 0);
        assert_int_equal(fault.status, STATUS_INVALID);
        assert_non_null(strstr(fault.text, "ann"));
    }
}

static void test_subid__own_or_unreadable_entries__pass(void **state)
{
    struct fault fault = {0};

    (void)state;
    assert_int_equal(check("root:100000:65536\ndrover:100000:65536\n", 100000, 65536, &fault), 0);
    assert_int_equal(check("ann\nann:x:1\n:100000:65536\nann:100000\n", 100000, 65536, &fault), 0);
    assert_int_equal(check("ann:100000:0\n", 100000, 65536, &fault), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subid__no_overlap__passes),
        cmocka_unit_test(test_subid__any_overlap__names_owner),
        cmocka_unit_test(test_subid__own_or_unreadable_entries__pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
