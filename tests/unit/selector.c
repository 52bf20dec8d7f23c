/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a selector that matches too much stops the wrong containers. Each form is tried on
 * what it must and must not match. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "selector.h"

#define ID "00112233-4455-6677-8899-aabbccddeeff"

static const struct pair labels[] = {{"tier", "web"}, {"mail", "ops@example"}, {"empty", ""}};

static bool matches(const char *selector)
{
    return selector_match(selector, &(struct selectable){"web-17", "n1", ID, labels, 3});
}

static void test_glob__stars__backtrack_over_the_whole_text(void **state)
{
    (void)state;
    assert_true(glob_match("*", ""));
    assert_true(glob_match("", ""));
    assert_true(glob_match("a*b*c", "a-b-b-c"));
    assert_true(glob_match("*ab", "aaab"));
    assert_true(glob_match("**?", "x"));
    assert_false(glob_match("", "x"));
    assert_false(glob_match("?", ""));
    assert_false(glob_match("a*b", "abc"));
    assert_false(glob_match("[ab]", "a"));
}

static void test_selector__names_and_ids__match_whole(void **state)
{
    (void)state;
    assert_true(matches("web-17"));
    assert_true(matches("web-*"));
    assert_true(matches("web-1?"));
    assert_true(matches(ID));
    assert_false(matches("web-1"));
    assert_false(matches("eb-17"));
    assert_false(matches("00112233"));
    assert_false(matches(""));
}

static void test_selector__nodes__need_the_node(void **state)
{
    (void)state;
    assert_true(matches("@n1"));
    assert_true(matches("@n*"));
    assert_true(matches("web-17@n1"));
    assert_true(matches("web*@n?"));
    assert_false(matches("@n2"));
    assert_false(matches("web-18@n1"));
    assert_false(matches("@"));
    assert_false(selector_match("@*", &(struct selectable){.name = "web-17"}));
    assert_false(selector_match(ID, &(struct selectable){.name = "web-17"}));
}

static void test_selector__labels__match_key_and_value(void **state)
{
    (void)state;
    assert_true(matches("tier=web"));
    assert_true(matches("tier=w*"));
    assert_true(matches("mail=ops@example"));
    assert_true(matches("empty="));
    assert_false(matches("tier="));
    assert_false(matches("tie=web"));
    assert_false(matches("tier*=web"));
    assert_false(matches("web-17=web"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_glob__stars__backtrack_over_the_whole_text),
        cmocka_unit_test(test_selector__names_and_ids__match_whole),
        cmocka_unit_test(test_selector__nodes__need_the_node),
        cmocka_unit_test(test_selector__labels__match_key_and_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
