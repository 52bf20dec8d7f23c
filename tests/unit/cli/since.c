/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a follower that goes on at the wrong event, and so misses some or has some twice. Texts
 * are read and the place they mean is looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "since.h"

static uint64_t read_ok(const char *text)
{
    uint64_t ns = 0;

    assert_true(time_read(text, &ns));
    return ns;
}

static void test_time__right_ones__are_nanoseconds(void **state)
{
    (void)state;
    assert_int_equal(read_ok("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(read_ok("2026-01-02T03:04:05Z"), UINT64_C(1767323045000000000));
    assert_int_equal(read_ok("2026-01-02T03:04:05.000000006Z"), UINT64_C(1767323045000000006));
    assert_int_equal(read_ok("2026-01-02t03:04:05.5z"), UINT64_C(1767323045500000000));
    assert_int_equal(read_ok("2026-01-02T04:04:05+01:00"), UINT64_C(1767323045000000000));
    assert_int_equal(read_ok("2026-01-01T21:34:05-05:30"), UINT64_C(1767323045000000000));
    assert_int_equal(read_ok("2024-02-29T00:00:00Z"), UINT64_C(1709164800000000000));
}

static void test_time__what_we_print__is_read_back(void **state)
{
    static const uint64_t times[] = {1, UINT64_C(1767323045123456789),
                                     UINT64_C(4102444799999999999)};
    char text[CLOCK_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        assert_int_equal(read_ok(clock_format_wall(times[i], text)), times[i]);
}

static void test_time__wrong_ones__are_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "2026",
                                        "2026-01-02",
                                        "2026-01-02T03:04Z",
                                        "2026-01-02 03:04:05Z",
                                        "2026-01-02T03:04:05",
                                        "2026-01-02T03:04:05.Z",
                                        "2026-01-02T03:04:05.0123456789Z",
                                        "2026-01-02T03:04:05ZZ",
                                        "2026-13-02T03:04:05Z",
                                        "2026-00-02T03:04:05Z",
                                        "2026-02-30T03:04:05Z",
                                        "2025-02-29T03:04:05Z",
                                        "2026-01-00T03:04:05Z",
                                        "2026-01-02T24:04:05Z",
                                        "2026-01-02T03:60:05Z",
                                        "2026-01-02T03:04:61Z",
                                        "2026-01-02T03:04:05+24:00",
                                        "2026-01-02T03:04:05+0100",
                                        "1969-12-31T23:59:59Z",
                                        "1970-01-01T00:00:00+01:00",
                                        "9999-01-02T03:04:05Z",
                                        "-026-01-02T03:04:05Z"};
    uint64_t ns = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_false(time_read(texts[i], &ns));
    assert_int_equal(ns, 7);
}

static void test_since__a_number__is_a_seq_or_a_cursor(void **state)
{
    struct query query = {.kind = QUERY_EVENTS};
    struct fault fault = {0};

    (void)state;
    assert_int_equal(since_read("42", false, &query, &fault), 0);
    assert_int_equal(query.since, SINCE_SEQ);
    assert_int_equal(query.since_number, 42);
    assert_int_equal(since_read("42", true, &query, &fault), 0);
    assert_int_equal(query.since, SINCE_CURSOR);
    assert_string_equal(query.since_cursor, "42");
    assert_int_equal(since_read("1970-01-01T00:00:01Z", true, &query, &fault), 0);
    assert_int_equal(query.since, SINCE_TIME);
    assert_int_equal(query.since_number, NS_PER_S);
}

static void test_since__neither__is_refused_with_the_form_of_a_time(void **state)
{
    struct query query = {.kind = QUERY_EVENTS};
    struct fault fault = {0};

    (void)state;
    assert_true(since_read("yesterday", false, &query, &fault) < 0);
    assert_int_equal(fault.status, STATUS_INVALID);
    assert_non_null(strstr(fault.hint, "2026-01-02T03:04:05Z"));
    assert_true(since_read("", true, &query, &fault) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time__right_ones__are_nanoseconds),
        cmocka_unit_test(test_time__what_we_print__is_read_back),
        cmocka_unit_test(test_time__wrong_ones__are_refused),
        cmocka_unit_test(test_since__a_number__is_a_seq_or_a_cursor),
        cmocka_unit_test(test_since__neither__is_refused_with_the_form_of_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
