/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a word taken for an option of ours that is a word of the guest's command, or the other
 * way round. Command lines are read whole and what became of them is looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "options.h"
#include "select.h"

static struct options options;
static struct fault fault;

static int parse(const char *first, ...)
{
    static char words[32][128];
    char *argv[33] = {words[0]};
    int argc = 1;
    va_list list;

    options_close(&options);
    fault = (struct fault){0};
    strcpy(words[0], "drover");
    va_start(list, first);
    for (const char *word = first; word != NULL; word = va_arg(list, const char *)) {
        strcpy(words[argc], word);
        argv[argc] = words[argc];
        argc++;
    }
    va_end(list);
    return options_parse(&options, argc, argv, &fault);
}

static void test_options__all_spellings__mean_the_same(void **state)
{
    (void)state;
    assert_int_equal(parse("ls", "-f", "json", NULL), 0);
    assert_string_equal(options_find(&options, OPTION_FORMAT), "json");
    assert_int_equal(parse("-fjson", "ls", NULL), 0);
    assert_string_equal(options_find(&options, OPTION_FORMAT), "json");
    assert_int_equal(parse("ls", "--format=json", NULL), 0);
    assert_string_equal(options_find(&options, OPTION_FORMAT), "json");
    assert_int_equal(parse("ls", "--format", "json", NULL), 0);
    assert_string_equal(options_find(&options, OPTION_FORMAT), "json");
    assert_int_equal(parse("exec", "-tfjson", NULL), 0);
    assert_true(options_has(&options, OPTION_TTY));
    assert_string_equal(options_find(&options, OPTION_FORMAT), "json");
    assert_int_equal(parse("ls", "--env=", NULL), 0);
    assert_string_equal(options_find(&options, OPTION_ENV), "");
}

static void test_options__behind_two_dashes__nothing_is_an_option(void **state)
{
    (void)state;
    assert_int_equal(parse("exec", "web", "--", "ls", "-f", "--help", "--", NULL), 0);
    assert_int_equal(options.given_count, 0);
    assert_int_equal(options.argument_count, 6);
    assert_int_equal(options.command_at, 2);
    assert_string_equal(options.arguments[5], "--");

    assert_int_equal(parse("template", "import", "x", "-", NULL), 0);
    assert_int_equal(options.argument_count, 4); /* a lone dash is a path */
    assert_int_equal(options.command_at, 4);
}

static void test_options__wrong_words__are_told_and_the_rest_is_read(void **state)
{
    (void)state;
    assert_true(parse("ls", "--bogus", "--other", "-f", "json", NULL) < 0);
    assert_int_equal(fault.status, STATUS_INVALID);
    assert_non_null(strstr(fault.text, "--bogus"));
    assert_string_equal(options_find(&options, OPTION_FORMAT), "json");
    assert_true(parse("ls", "--timeout", NULL) < 0);
    assert_true(parse("ls", "--all=yes", NULL) < 0);
    assert_true(parse("ls", "-x", NULL) < 0);
    assert_true(parse("ls", "--forma", "json", NULL) < 0); /* no abbreviations: they age badly */
}

static void test_options__given_twice__the_last_counts_and_all_are_kept(void **state)
{
    size_t index = 0;

    (void)state;
    assert_int_equal(parse("create", "--env", "A=1", "--memory", "1M", "--env", "B=2", NULL), 0);
    assert_string_equal(options_next(&options, OPTION_ENV, &index), "A=1");
    assert_string_equal(options_next(&options, OPTION_ENV, &index), "B=2");
    assert_null(options_next(&options, OPTION_ENV, &index));
    assert_string_equal(options_find(&options, OPTION_ENV), "B=2");
}

static void test_options__not_taken_by_a_verb__are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse("ls", "--memory", "1M", NULL), 0);
    assert_true(options_check(&options, OPTIONS_COMMON, "ls", &fault) < 0);
    assert_non_null(strstr(fault.text, "--memory"));
    assert_int_equal(options_check(&options, OPTION_BIT(MEMORY), "create", &fault), 0);
}

static void test_options__values__are_read_whole_or_refused(void **state)
{
    uint64_t number = 7;
    static const char *const words[] = {"exec", "ready", NULL};

    (void)state;
    assert_int_equal(parse("ls", "--timeout", "1500ms", "--pids", "64", "--wait", "exec", NULL), 0);
    assert_int_equal(options_get_duration(&options, OPTION_TIMEOUT, &number, &fault), 0);
    assert_int_equal(number, 1500000000);
    assert_int_equal(options_get_number(&options, OPTION_PIDS, &number, &fault), 0);
    assert_int_equal(number, 64);
    assert_int_equal(options_get_word(&options, OPTION_WAIT, words, 1, &fault), 0);
    assert_int_equal(options_get_word(&options, OPTION_READY, words, 1, &fault), 1);

    assert_int_equal(parse("ls", "--timeout", "5", "--pids", "6x", "--wait", "exe", NULL), 0);
    assert_true(options_get_duration(&options, OPTION_TIMEOUT, &number, &fault) < 0);
    assert_true(options_get_number(&options, OPTION_PIDS, &number, &fault) < 0);
    assert_true(options_get_word(&options, OPTION_WAIT, words, 1, &fault) < 0);
    assert_int_equal(number, 64);
    assert_false(number_read("18446744073709551616", &number));
    assert_true(number_read("18446744073709551615", &number));
    assert_int_equal(number, UINT64_MAX);
    assert_false(number_read("", &number));
    assert_false(number_read("-1", &number));
}

static void test_target__a_name_or_a_selector__is_told_apart(void **state)
{
    (void)state;
    assert_true(target_is_plain("web"));
    assert_true(target_is_plain("web@n1"));
    assert_true(target_is_plain("00112233-4455-6677-8899-aabbccddeeff"));
    assert_false(target_is_plain("web*"));
    assert_false(target_is_plain("we?"));
    assert_false(target_is_plain("@n1"));
    assert_false(target_is_plain("web@"));
    assert_false(target_is_plain("web@n*"));
    assert_false(target_is_plain("tier=web"));
    assert_false(target_is_plain("mail=ops@example"));
}

static void test_target__name_at_node__is_cut_in_two(void **state)
{
    struct cli cli = {.node = ""};
    struct target_name target;

    (void)state;
    assert_int_equal(target_read(&cli, "web@n1", &target), 0);
    assert_string_equal(target.name, "web");
    assert_string_equal(target.node, "n1");
    cli.node = "n2";
    assert_int_equal(target_read(&cli, "web", &target), 0);
    assert_string_equal(target.node, "n2");
    assert_int_equal(target_read(&cli, "web@n1", &target), 2);
    assert_int_equal(target_read(&cli, "web*", &target), 2);
    assert_int_equal(target_read(&cli, "", &target), 2);
    assert_int_equal(target_read(&cli,
                                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                 &target),
                     2);
}

static int close_all(void **state)
{
    (void)state;
    options_close(&options);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options__all_spellings__mean_the_same),
        cmocka_unit_test(test_options__behind_two_dashes__nothing_is_an_option),
        cmocka_unit_test(test_options__wrong_words__are_told_and_the_rest_is_read),
        cmocka_unit_test(test_options__given_twice__the_last_counts_and_all_are_kept),
        cmocka_unit_test(test_options__not_taken_by_a_verb__are_refused),
        cmocka_unit_test(test_options__values__are_read_whole_or_refused),
        cmocka_unit_test(test_target__a_name_or_a_selector__is_told_apart),
        cmocka_unit_test(test_target__name_at_node__is_cut_in_two),
    };
    return cmocka_run_group_tests(tests, NULL, close_all);
}
