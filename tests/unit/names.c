/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: the words of the contract that scripts match on. Each table of names is whole,
 * without doubles, and goes round; the words that people rely on are written down once more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "effect.h"
#include "observation.h"

static const char *state_of(unsigned i)
{
    return ct_state_name((enum ct_state)i);
}

static const char *type_of(unsigned i)
{
    return event_type_name((enum event_type)i);
}

static const char *verb_of(unsigned i)
{
    return verb_name((enum verb)i);
}

static const char *input_of(unsigned i)
{
    return ct_input_name((enum ct_input)i);
}

static const char *effect_of(unsigned i)
{
    return effect_name((enum effect_kind)i);
}

static const char *cause_of(unsigned i)
{
    return cause_name((enum cause)i);
}

static const struct {
    const char *(*name)(unsigned i);
    unsigned count;
} tables[] = {
    {state_of, CT_STATE_COUNT}, {type_of, EVENT_TYPE_COUNT}, {verb_of, VERB_COUNT},
    {input_of, CT_INPUT_COUNT}, {effect_of, EFFECT_COUNT},   {cause_of, CAUSE_COUNT},
};

static void test_names__each_table__is_whole_and_without_doubles(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        assert_string_equal(tables[t].name(0), "unset");
        for (unsigned i = 0; i < tables[t].count; i++) {
            assert_non_null(tables[t].name(i));
            assert_true(strlen(tables[t].name(i)) > 0);
            for (unsigned n = 0; n < i; n++)
                assert_string_not_equal(tables[t].name(i), tables[t].name(n));
        }
    }
}

static void test_names__each_state_and_type__goes_round(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CT_STATE_COUNT; i++)
        assert_int_equal(ct_state_find(ct_state_name((enum ct_state)i)), i);
    for (unsigned i = 0; i < EVENT_TYPE_COUNT; i++)
        assert_int_equal(event_type_find(event_type_name((enum event_type)i)), i);
    assert_int_equal(ct_state_find("Running"), CT_UNSET);
    assert_int_equal(ct_state_find(""), CT_UNSET);
    assert_int_equal(event_type_find("change"), EVENT_UNSET);
}

/* On the wire and in databases by number: neither word nor number may ever change. */
static void test_names__states__are_the_contracts_words_and_numbers(void **state)
{
    static const char *const words[CT_STATE_COUNT] = {
        "unset",  "stopped",  "preparing", "launching", "booting", "running",
        "frozen", "stopping", "killing",   "cleaning",  "backoff", "stuck"};

    (void)state;
    for (unsigned i = 0; i < CT_STATE_COUNT; i++)
        assert_string_equal(ct_state_name((enum ct_state)i), words[i]);
}

static void test_names__event_types__are_the_contracts_words_and_numbers(void **state)
{
    static const char *const words[EVENT_TYPE_COUNT] = {
        "unset", "created",      "changed", "configured", "destroyed", "result", "escalated",
        "oom",   "console_lost", "gap",     "node_up",    "node_down", "audit"};

    (void)state;
    for (unsigned i = 0; i < EVENT_TYPE_COUNT; i++)
        assert_string_equal(event_type_name((enum event_type)i), words[i]);
}

static void test_names__causes__are_the_contracts_words_and_numbers(void **state)
{
    static const char *const words[CAUSE_COUNT] = {
        "unset",           "guest_halt",   "guest_reboot",  "exited",
        "signalled",       "oom",          "operator_stop", "operator_kill",
        "operator_reboot", "start_failed", "boot_timeout",  "reboot_denied",
        "crash_loop",      "node_down",    "lease_lost",    "unknown"};

    (void)state;
    for (unsigned i = 0; i < CAUSE_COUNT; i++)
        assert_string_equal(cause_name((enum cause)i), words[i]);
}

static void test_names__verbs__are_the_contracts_words_and_numbers(void **state)
{
    static const char *const words[VERB_COUNT] = {"unset",  "create", "start", "stop",    "kill",
                                                  "reboot", "freeze", "thaw",  "destroy", "set"};

    (void)state;
    for (unsigned i = 0; i < VERB_COUNT; i++)
        assert_string_equal(verb_name((enum verb)i), words[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names__each_table__is_whole_and_without_doubles),
        cmocka_unit_test(test_names__each_state_and_type__goes_round),
        cmocka_unit_test(test_names__states__are_the_contracts_words_and_numbers),
        cmocka_unit_test(test_names__event_types__are_the_contracts_words_and_numbers),
        cmocka_unit_test(test_names__causes__are_the_contracts_words_and_numbers),
        cmocka_unit_test(test_names__verbs__are_the_contracts_words_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
