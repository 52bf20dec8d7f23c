/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: orders of events that nobody thought of. Seeded worlds do random things to a node
 * for long, the agent's own death included, while checkers look at what it orders and tells;
 * then the world behaves, and all must come to rest as desired. DROVER_SEED and DROVER_STEPS
 * choose one walk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "walk.h"

static char last_words[64]; /* of a walk that breaks an assertion of the model */

static void on_abort(int signal_number)
{
    (void)signal_number;
    (void)!write(STDERR_FILENO, last_words, strlen(last_words));
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* Returns how often the agent died. */
static unsigned walk_once(uint64_t seed, uint64_t steps, bool is_wild, bool is_mortal)
{
    struct walk *walk = walk_open(seed);
    unsigned deaths;

    (void)snprintf(last_words, sizeof(last_words), "DROVER_SEED=%llu\n", (unsigned long long)seed);
    (void)signal(SIGABRT, on_abort);
    walk->is_wild = is_wild;
    walk->is_mortal = is_mortal;
    for (uint64_t i = 0; i < steps; i++)
        walk_step(walk);
    walk_settle(walk);

    assert_in_range(walk->most_per_step, 1, CT_OUT_PER_STEP);
    deaths = walk->deaths;
    walk_close(walk);
    return deaths;
}

static void test_node_walk__sane_world__keeps_every_promise(void **state)
{
    uint64_t first = number_of("DROVER_SEED", 1);
    uint64_t steps = number_of("DROVER_STEPS", 200000);

    (void)state;
    for (uint64_t seed = first; seed < first + 3; seed++)
        (void)walk_once(seed, steps, false, false);
}

static void test_node_walk__agent_that_dies__keeps_every_promise(void **state)
{
    uint64_t first = number_of("DROVER_SEED", 1);
    uint64_t steps = number_of("DROVER_STEPS", 200000);
    unsigned deaths = 0;

    (void)state;
    for (uint64_t seed = first; seed < first + 3; seed++)
        deaths += walk_once(seed, steps, false, true);
    assert_in_range(deaths, 1, UINT32_MAX);
}

static void test_node_walk__wild_world__breaks_nothing_of_ours(void **state)
{
    uint64_t first = number_of("DROVER_SEED", 1);
    uint64_t steps = number_of("DROVER_STEPS", 200000);

    (void)state;
    for (uint64_t seed = first; seed < first + 2; seed++)
        (void)walk_once(seed, steps, true, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_walk__sane_world__keeps_every_promise),
        cmocka_unit_test(test_node_walk__agent_that_dies__keeps_every_promise),
        cmocka_unit_test(test_node_walk__wild_world__breaks_nothing_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
