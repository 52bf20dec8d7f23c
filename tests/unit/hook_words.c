/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: an operator who is told nothing of why a hook failed, or whose terminal obeys a script.
 * Texts are taken in pieces; what is logged and kept is compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "hook_words.h"

/* Also what is to be freed: what was logged. */
static char *take(const char *text, char said[HOOK_SAID_BYTES])
{
    char *logged = NULL;
    size_t size_bytes = 0;
    FILE *log = open_memstream(&logged, &size_bytes);

    assert_non_null(log);
    hook_words_take(log, "web", HOOK_STOP, text, strlen(text), said);
    assert_int_equal(fclose(log), 0);
    return logged;
}

static void test_hook_words__lines__are_all_logged_and_the_last_is_kept(void **state)
{
    static const struct {
        const char *text;
        const char *logged;
        const char *said;
    } rows[] = {
        {"", "", "before"},
        {"\n\n", "", "before"},
        {"one", "drover-agent: web: hook stop: one\n", "one"},
        {"one\n", "drover-agent: web: hook stop: one\n", "one"},
        {"one\ntwo\n\n\n", "drover-agent: web: hook stop: one\ndrover-agent: web: hook stop: two\n",
         "two"},
        {"\n\nat the end", "drover-agent: web: hook stop: at the end\n", "at the end"},
        {"a\x1b[2J\xc3\xa4\n", "drover-agent: web: hook stop: a?[2J??\n", "a?[2J??"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char said[HOOK_SAID_BYTES] = "before";
        char *logged = take(rows[i].text, said);

        assert_string_equal(logged, rows[i].logged);
        assert_string_equal(said, rows[i].said);
        free(logged);
    }
}

static void test_hook_words__long_line__is_cut(void **state)
{
    char text[3 * HOOK_SAID_BYTES];
    char said[HOOK_SAID_BYTES];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    free(take(text, said));
    assert_int_equal(strlen(said), HOOK_SAID_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hook_words__lines__are_all_logged_and_the_last_is_kept),
        cmocka_unit_test(test_hook_words__long_line__is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
