/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a guest that steers its operator's terminal, and an operator who cannot leave a
 * console. Octets are fed in whole and one by one; both must come to the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleaner.h"
#include "relay.h"
#include "text.h"

static struct octets octets_of(const char *text)
{
    return (struct octets){(const uint8_t *)text, strlen(text)};
}

static void assert_cleaned(bool has_colour, const char *from, const char *wanted)
{
    for (int is_piecemeal = 0; is_piecemeal < 2; is_piecemeal++) {
        struct cleaner cleaner = {.has_colour = has_colour};
        struct buffer to = {0};
        struct octets all = octets_of(from);

        if (is_piecemeal == 0)
            assert_int_equal(cleaner_take(&cleaner, all, &to), 0);
        for (size_t i = 0; is_piecemeal == 1 && i < all.size_bytes; i++)
            assert_int_equal(cleaner_take(&cleaner, (struct octets){all.data + i, 1}, &to), 0);
        assert_int_equal(cleaner_finish(&cleaner, &to), 0);
        assert_int_equal(buffer_append(&to, "", 1), 0);
        assert_string_equal((const char *)to.data, wanted);
        buffer_close(&to);
    }
}

static void test_cleaner__plain_text__passes(void **state)
{
    (void)state;
    assert_cleaned(false, "", "");
    assert_cleaned(false, "line\r\n\ttab\n", "line\r\n\ttab\n");
    assert_cleaned(false, "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x91",
                   "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x91");
}

static void test_cleaner__colours__pass_if_they_may(void **state)
{
    (void)state;
    assert_cleaned(true, "[\033[0;32m  OK  \033[0m]", "[\033[0;32m  OK  \033[0m]\033[0m");
    assert_cleaned(false, "[\033[0;32m  OK  \033[0m]", "[  OK  ]");
}

static void test_cleaner__other_sequences__fall_away(void **state)
{
    (void)state;
    assert_cleaned(true, "a\033[2J\033[1;1Hb\033[?25lc", "abc");
}

static void test_cleaner__all_else__is_shown_and_does_nothing(void **state)
{
    char longest[CLEANER_HELD_MAX + 16] = "\033[";

    (void)state;
    assert_cleaned(true, "\033]0;title\007", "\\x1b]0;title\\x07");
    assert_cleaned(true, "\033c", "\\x1bc");
    assert_cleaned(true, "\033\033[2Jx", "\\x1bx");
    assert_cleaned(true, "end\033", "end\\x1b");
    assert_cleaned(true, "end\033[3", "end\\x1b[3");
    assert_cleaned(true, "\b\a\177", "\\x08\\x07\\x7f");
    assert_cleaned(true,
                   "\xc2\x9b"
                   "2J",
                   "\\xc2\\x9b2J"); /* C1: CSI in one character */
    assert_cleaned(true,
                   "\x9b"
                   "2J",
                   "\\x9b2J");
    assert_cleaned(true, "\xe2\x82z\xff", "\\xe2\\x82z\\xff");
    memset(longest + 2, '1', CLEANER_HELD_MAX);
    struct cleaner cleaner = {.has_colour = true};
    struct buffer to = {0};
    assert_int_equal(cleaner_take(&cleaner, octets_of(longest), &to), 0);
    assert_int_equal(cleaner_finish(&cleaner, &to), 0);
    assert_int_equal(buffer_append(&to, "", 1), 0);
    assert_null(strchr((const char *)to.data, '\033'));
    assert_int_equal(strlen((const char *)to.data), 4 + 1 + CLEANER_HELD_MAX);
    buffer_close(&to);
}

static void assert_typed(const char *from, const char *wanted, bool is_left)
{
    for (int is_piecemeal = 0; is_piecemeal < 2; is_piecemeal++) {
        struct escape escape = {.is_wanted = true};
        struct octets all = octets_of(from);
        uint8_t to[64];
        char sent[64] = "";
        bool has_left = false;
        size_t step = is_piecemeal == 0 ? all.size_bytes : 1;

        for (size_t i = 0; i < all.size_bytes && !has_left; i += step) {
            size_t count =
                escape_filter(&escape, (struct octets){all.data + i, step}, to, &has_left);
            assert_true(count <= step + 1);
            (void)strncat(sent, (const char *)to, count);
        }
        assert_string_equal(sent, wanted);
        assert_int_equal(has_left, is_left);
    }
}

static void test_escape__tilde_and_dot_at_the_start_of_a_line__leave(void **state)
{
    (void)state;
    assert_typed("~.", "", true);
    assert_typed("ls\r~.more", "ls\r", true);
    assert_typed("ls\n~.", "ls\n", true);
    assert_typed("\r\r~.", "\r\r", true);
}

static void test_escape__anything_else__is_sent_as_typed(void **state)
{
    (void)state;
    assert_typed("ls ~.", "ls ~.", false);
    assert_typed("~/bin\r", "~/bin\r", false);
    assert_typed("~~.", "~.", false);
    assert_typed("~\r~.", "~\r", true);
    assert_typed("a~\r", "a~\r", false);
}

static void test_escape__not_wanted__nothing_is_looked_at(void **state)
{
    struct escape escape = {0};
    bool is_left = true;
    uint8_t to[8];

    (void)state;
    assert_int_equal(escape_filter(&escape, octets_of("~."), to, &is_left), 2);
    assert_memory_equal(to, "~.", 2);
    assert_false(is_left);
}

static void assert_value(json_t *value, const char *wanted)
{
    char *text = text_of_value(value);

    assert_string_equal(text, wanted);
    free(text);
    json_decref(value);
}

static void test_text__values__are_short_for_people(void **state)
{
    char text[32];

    (void)state;
    assert_value(json_null(), "-");
    assert_value(json_true(), "yes");
    assert_value(json_integer(7), "7");
    assert_value(json_object(), "-");
    assert_value(json_array(), "-");
    assert_value(json_pack("{s:s, s:i}", "a", "x", "b", 2), "a=x,b=2");
    assert_value(json_pack("[s, s]", "x", "y"), "x,y");
    assert_value(json_string("2026-01-02T03:04:05.678901234Z"), "2026-01-02T03:04:05.678Z");
    assert_value(json_string("a\nb"), "a\\x0ab");
    assert_string_equal(text_of_duration(43000000, text), "43 ms");
    assert_string_equal(text_of_duration(1200000000, text), "1.2 s");
    assert_string_equal(text_of_duration(UINT64_C(180000000000), text), "3 min");
    assert_string_equal(text_of_duration(500000, text), "500 us");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cleaner__plain_text__passes),
        cmocka_unit_test(test_cleaner__colours__pass_if_they_may),
        cmocka_unit_test(test_cleaner__other_sequences__fall_away),
        cmocka_unit_test(test_cleaner__all_else__is_shown_and_does_nothing),
        cmocka_unit_test(test_escape__tilde_and_dot_at_the_start_of_a_line__leave),
        cmocka_unit_test(test_escape__anything_else__is_sent_as_typed),
        cmocka_unit_test(test_escape__not_wanted__nothing_is_looked_at),
        cmocka_unit_test(test_text__values__are_short_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
