/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: the words that a person reads when something failed, and memory when they are long.
 * The small formatter is compared with known texts; a bug of ours must end the process and say
 * where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ensure.h"
#include "fault.h"

static void test_fault__each_conversion__writes_what_printf_would(void **state)
{
    struct fault fault = {.hint = "old"};

    (void)state;
    fault_set(&fault, STATUS_BUSY, 16, "%s: %u of %u, %d%%, %d", "web", UINT64_C(0), UINT64_MAX,
              INT64_MIN, INT64_C(42));

    assert_string_equal(fault.text, "web: 0 of 18446744073709551615, -9223372036854775808%, 42");
    assert_int_equal(fault.status, STATUS_BUSY);
    assert_int_equal(fault.error, 16);
    assert_string_equal(fault.hint, "");
}

static void test_fault__long_words__are_cut_and_ended(void **state)
{
    char words[3 * FAULT_TEXT_BYTES];
    struct {
        struct fault fault;
        char guard[8];
    } held = {.guard = "guard"};

    (void)state;
    memset(words, 'x', sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    fault_set(&held.fault, STATUS_FAILED, 0, "%s%s", words, words);
    fault_hint(&held.fault, words);

    assert_int_equal(strlen(held.fault.text), FAULT_TEXT_BYTES - 1);
    assert_int_equal(strlen(held.fault.hint), FAULT_HINT_BYTES - 1);
    assert_string_equal(held.guard, "guard");
}

static void test_fault__number_at_the_edge__is_cut_like_words(void **state)
{
    char words[FAULT_TEXT_BYTES];
    struct fault fault = {0};

    (void)state;
    memset(words, 'x', sizeof(words));
    words[FAULT_TEXT_BYTES - 3] = '\0';
    fault_set(&fault, STATUS_FAILED, 0, "%s%u", words, UINT64_C(12345));

    assert_int_equal(strlen(fault.text), FAULT_TEXT_BYTES - 1);
    assert_string_equal(fault.text + FAULT_TEXT_BYTES - 3, "12");
}

static void test_fault__without_conversions__is_the_text_itself(void **state)
{
    struct fault fault = {0};

    (void)state;
    fault_set(&fault, STATUS_FAILED, 0, "no words but these");
    assert_string_equal(fault.text, "no words but these");
    fault_set(&fault, STATUS_UNSET, 0, "%s", "");
    assert_string_equal(fault.text, "");
}

static void test_ensure__false_condition__names_itself_and_aborts(void **state)
{
    int ends[2];
    char text[256] = "";
    int status = 0;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        ENSURE(child == 1);
        _exit(0);
    }
    (void)close(ends[1]);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    for (ssize_t n = 1; n > 0;) {
        size_t used = strlen(text);

        n = read(ends[0], text + used, sizeof(text) - 1 - used);
    }
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "child == 1 ("));
    assert_non_null(strstr(text, "fault.c:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault__each_conversion__writes_what_printf_would),
        cmocka_unit_test(test_fault__long_words__are_cut_and_ended),
        cmocka_unit_test(test_fault__number_at_the_edge__is_cut_like_words),
        cmocka_unit_test(test_fault__without_conversions__is_the_text_itself),
        cmocka_unit_test(test_ensure__false_condition__names_itself_and_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
