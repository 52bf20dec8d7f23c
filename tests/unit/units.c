/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a limit that is read as another number than was typed. Edges of every grammar rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "units.h"

static void test_size__well_formed__is_octets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {{"0", 0},     {"1", 1},           {"64M", 64u << 20},
                {"3K", 3072}, {"2T", 2ull << 40}, {"max", SIZE_BYTES_MAX},
                {"007", 7},   {"1G", 1u << 30},   {"18446744073709551614", UINT64_MAX - 1}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t bytes = 5;
        assert_true(size_parse(rows[i].text, &bytes));
        assert_true(bytes == rows[i].bytes);
    }
}

static void test_size__malformed__is_refused_untouched(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "abc",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1.5G",
                                        "1k",
                                        "1MB",
                                        "M",
                                        "0x10",
                                        "MAX",
                                        "1KK",
                                        "18446744073709551615",
                                        "18446744073709551616",
                                        "16777216T"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint64_t bytes = 5;
        assert_false(size_parse(texts[i], &bytes));
        assert_int_equal(bytes, 5);
    }
}

static void test_duration__needs_its_unit(void **state)
{
    (void)state;
    uint64_t ns = 5;
    assert_true(duration_parse("250ms", &ns) && ns == 250000000u);
    assert_true(duration_parse("120s", &ns) && ns == 120000000000u);
    assert_true(duration_parse("2h", &ns) && ns == 7200000000000u);
    assert_true(duration_parse("0", &ns) && ns == 0);

    static const char *const texts[] = {"",     "5",    "s",   "-1s",
                                        "1.5s", "1sec", "1 s", "9999999999999h"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_false(duration_parse(texts[i], &ns));
    assert_int_equal(ns, 0);
}

static void test_name__is_a_lower_case_host_label(void **state)
{
    (void)state;
    char longest[65] = {0};
    for (unsigned i = 0; i < 63; i++)
        longest[i] = 'a';
    assert_true(name_check("a") && name_check("web-17") && name_check("0") && name_check(longest));
    longest[63] = 'a';
    static const char *const texts[] = {"",    "-a", "a-",  "-", "A",  "a.b",
                                        "a/b", "..", "a_b", "é", "a b"};
    assert_false(name_check(longest));
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_false(name_check(texts[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size__well_formed__is_octets),
        cmocka_unit_test(test_size__malformed__is_refused_untouched),
        cmocka_unit_test(test_duration__needs_its_unit),
        cmocka_unit_test(test_name__is_a_lower_case_host_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
