/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a guest that boots before the one it needs, or one that waits for ever. Orders of a few
 * containers are walked through by hand. */
#include "boot_order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct boot_order *order_open(uint32_t going_max)
{
    struct boot_order *order = calloc(1, sizeof(*order));

    assert_non_null(order);
    order->going_max = going_max;
    return order;
}

#define NOBODY UINT32_MAX
static uint32_t next(const struct boot_order *order)
{
    uint32_t item = NOBODY;

    return boot_order_next(order, &item) ? item : NOBODY;
}

/* Whose turn it is has it. */
static uint32_t go(struct boot_order *order)
{
    uint32_t item = next(order);

    if (item != NOBODY)
        boot_order_note(order, item, BOOT_PHASE_GOING);
    return item;
}

static void test_boot_order__ranks__higher_first_and_equal_as_they_came(void **state)
{
    static const uint32_t ranks[] = {5, 9, 5, 0, 9};
    static const uint32_t wanted[] = {1, 4, 0, 2, 3};
    struct boot_order *order = order_open(8);

    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        boot_order_add(order, i, ranks[i], BOOT_PHASE_WAITING);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(go(order), wanted[i]);
    assert_int_equal(go(order), NOBODY);
    free(order);
}

static void test_boot_order__slow_one__holds_its_own_place_alone(void **state)
{
    struct boot_order *order = order_open(2);

    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        boot_order_add(order, i, 0, BOOT_PHASE_WAITING);
    assert_int_equal(go(order), 0); /* it stays */
    for (uint32_t i = 1; i < 4; i++) {
        assert_int_equal(go(order), i);
        assert_int_equal(go(order), NOBODY);
        boot_order_note(order, i, BOOT_PHASE_OVER);
    }
    free(order);
}

static void test_boot_order__need__waits_until_it_is_over(void **state)
{
    struct boot_order *order = order_open(8);

    (void)state;
    boot_order_add(order, 0, 9, BOOT_PHASE_WAITING);
    boot_order_add(order, 1, 5, BOOT_PHASE_WAITING);
    boot_order_add(order, 2, 0, BOOT_PHASE_HELD);
    assert_true(boot_order_need(order, 0, 1));
    assert_true(boot_order_need(order, 0, 2));

    assert_int_equal(go(order), 1);
    assert_int_equal(go(order), NOBODY);
    boot_order_note(order, 1, BOOT_PHASE_OVER);
    assert_int_equal(go(order), NOBODY); /* the other is still being cleaned up */
    boot_order_note(order, 2, BOOT_PHASE_WAITING);
    assert_int_equal(go(order), 2);
    boot_order_note(order, 2, BOOT_PHASE_OVER);
    assert_int_equal(go(order), 0);
    free(order);
}

static void test_boot_order__circle__goes_once_nothing_else_does(void **state)
{
    struct boot_order *order = order_open(8);

    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        boot_order_add(order, i, i, BOOT_PHASE_WAITING);
    assert_true(boot_order_need(order, 1, 2));
    assert_true(boot_order_need(order, 2, 1));

    assert_int_equal(go(order), 0);
    assert_int_equal(go(order), NOBODY);
    boot_order_note(order, 0, BOOT_PHASE_OVER);
    assert_int_equal(go(order), 2);
    assert_int_equal(go(order), NOBODY);
    boot_order_note(order, 2, BOOT_PHASE_OVER);
    assert_int_equal(go(order), 1);
    free(order);
}

static void test_boot_order__over__is_over_unless_it_waits_again(void **state)
{
    struct boot_order *order = order_open(1);

    (void)state;
    boot_order_add(order, 0, 0, BOOT_PHASE_WAITING);
    boot_order_note(order, 0, BOOT_PHASE_OVER);
    boot_order_note(order, 0, BOOT_PHASE_GOING); /* a restart of its own takes no place */
    assert_int_equal(order->going, 0);
    boot_order_note(order, 0, BOOT_PHASE_WAITING);
    assert_int_equal(go(order), 0);
    boot_order_note(order, 1, BOOT_PHASE_GOING); /* not in it */
    assert_int_equal(order->going, 1);
    free(order);
}

static void test_boot_order__too_many_needs__are_not_waited_for(void **state)
{
    struct boot_order *order = order_open(1);

    (void)state;
    boot_order_add(order, 0, 0, BOOT_PHASE_WAITING);
    boot_order_add(order, 1, 0, BOOT_PHASE_WAITING);
    for (uint32_t i = 0; i < BOOT_NEEDS_MAX; i++)
        assert_true(boot_order_need(order, 0, 1));
    assert_false(boot_order_need(order, 0, 1));
    assert_int_equal(go(order), 1);
    free(order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot_order__ranks__higher_first_and_equal_as_they_came),
        cmocka_unit_test(test_boot_order__slow_one__holds_its_own_place_alone),
        cmocka_unit_test(test_boot_order__need__waits_until_it_is_over),
        cmocka_unit_test(test_boot_order__circle__goes_once_nothing_else_does),
        cmocka_unit_test(test_boot_order__over__is_over_unless_it_waits_again),
        cmocka_unit_test(test_boot_order__too_many_needs__are_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
