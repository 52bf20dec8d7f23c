/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a timer that never fires, or fires for the wrong container. The heap is compared
 * with a plain list that is searched in full, over many random changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "deadlines.h"
#include "prng.h"

static struct deadlines *deadlines_new(void)
{
    struct deadlines *deadlines = calloc(1, sizeof(*deadlines));

    assert_non_null(deadlines);
    return deadlines;
}

static void test_deadlines__empty__has_nothing_due(void **state)
{
    struct deadlines *deadlines = deadlines_new();
    uint32_t index = 77;

    (void)state;
    assert_int_equal(deadlines_next(deadlines), 0);
    assert_false(deadlines_find_due(deadlines, UINT64_MAX, &index));
    assert_int_equal(index, 77);
    free(deadlines);
}

static void test_deadlines__one_that_is_due__stays_until_it_is_set_anew(void **state)
{
    struct deadlines *deadlines = deadlines_new();
    uint32_t index = 0;

    (void)state;
    deadlines_set(deadlines, 9, 100);
    assert_false(deadlines_find_due(deadlines, 99, &index));
    for (unsigned i = 0; i < 2; i++) {
        assert_true(deadlines_find_due(deadlines, 100, &index));
        assert_int_equal(index, 9);
    }
    deadlines_set(deadlines, 9, 0);
    assert_false(deadlines_find_due(deadlines, UINT64_MAX, &index));
    deadlines_set(deadlines, 9, 0); /* twice: no harm */
    assert_int_equal(deadlines->count, 0);
    free(deadlines);
}

static void test_deadlines__all_slots__come_out_in_order(void **state)
{
    struct deadlines *deadlines = deadlines_new();
    struct prng prng = {.state = 5};
    uint64_t last_ns = 0;
    uint32_t index = 0;

    (void)state;
    for (uint32_t i = 0; i < CT_MAX; i++)
        deadlines_set(deadlines, i, 1 + prng_below(&prng, 1000)); /* many alike */
    for (uint32_t i = 0; i < CT_MAX; i++) {
        uint64_t next_ns = deadlines_next(deadlines);

        assert_true(next_ns >= last_ns);
        assert_true(deadlines_find_due(deadlines, next_ns, &index));
        assert_int_equal(deadlines->due_ns[index], next_ns);
        deadlines_set(deadlines, index, 0);
        last_ns = next_ns;
    }
    assert_int_equal(deadlines_next(deadlines), 0);
    free(deadlines);
}

#define SLOTS 40

static void check_against(const struct deadlines *deadlines, const uint64_t *wanted)
{
    uint64_t next_ns = 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < SLOTS; i++) {
        count += wanted[i] != 0;
        if (wanted[i] != 0 && (next_ns == 0 || wanted[i] < next_ns))
            next_ns = wanted[i];
        assert_true((deadlines->place[i] != 0) == (wanted[i] != 0));
        if (wanted[i] != 0)
            assert_int_equal(deadlines->heap[deadlines->place[i] - 1], i);
    }
    assert_int_equal(deadlines->count, count);
    assert_int_equal(deadlines_next(deadlines), next_ns);
}

static void test_deadlines__random_changes__agree_with_a_plain_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct deadlines *deadlines = deadlines_new();
        struct prng prng = {.state = seed};
        uint64_t wanted[SLOTS] = {0};

        for (unsigned step = 0; step < 5000; step++) {
            uint32_t index = (uint32_t)prng_below(&prng, SLOTS);
            uint64_t due_ns = prng_below(&prng, 4) == 0 ? 0 : 1 + prng_below(&prng, 200);

            wanted[index] = due_ns;
            deadlines_set(deadlines, index, due_ns);
            check_against(deadlines, wanted);
        }
        free(deadlines);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadlines__empty__has_nothing_due),
        cmocka_unit_test(test_deadlines__one_that_is_due__stays_until_it_is_set_anew),
        cmocka_unit_test(test_deadlines__all_slots__come_out_in_order),
        cmocka_unit_test(test_deadlines__random_changes__agree_with_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
