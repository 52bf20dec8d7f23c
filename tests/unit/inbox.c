/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: an input that is lost or out of order between a callback and the turn. Posts and takes
 * are mixed, across the growth and the wrap of the rings, and compared with plain counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inbox.h"
#include "prng.h"

static void post_command(struct inbox *inbox, uint64_t number)
{
    struct input input = {.kind = INPUT_COMMAND, .command = {.hash = number}};

    inbox_post(inbox, &input);
}

static void post_observation(struct inbox *inbox, uint64_t number)
{
    struct input input = {.kind = INPUT_OBSERVATION, .observation = {.count = number}};

    inbox_post(inbox, &input);
}

static void test_inbox__empty__gives_nothing(void **state)
{
    struct inbox inbox = {0};
    struct input input = {.kind = INPUT_COMMAND};

    (void)state;
    assert_true(inbox_is_empty(&inbox));
    assert_false(inbox_take(&inbox, &input));
    assert_int_equal(input.kind, INPUT_COMMAND);
    inbox_close(&inbox);
    inbox_close(&inbox); /* it is empty again, not dangling */
}

/* A command that came first still meets the level that is known by its turn. */
static void test_inbox__observations__come_before_commands(void **state)
{
    struct inbox inbox = {0};
    struct input input;

    (void)state;
    post_command(&inbox, 1);
    post_observation(&inbox, 2);
    post_command(&inbox, 3);
    post_observation(&inbox, 4);

    static const uint64_t order[] = {2, 4, 1, 3};
    for (size_t i = 0; i < 4; i++) {
        assert_false(inbox_is_empty(&inbox));
        assert_true(inbox_take(&inbox, &input));
        assert_int_equal(input.kind, i < 2 ? INPUT_OBSERVATION : INPUT_COMMAND);
        assert_int_equal(i < 2 ? input.observation.count : input.command.hash, order[i]);
    }
    assert_true(inbox_is_empty(&inbox));
    inbox_close(&inbox);
}

static void test_inbox__many_mixed__keep_their_order_whatever_the_growth(void **state)
{
    struct inbox inbox = {0};
    struct prng prng = {.state = 7};
    uint64_t posted[2] = {0, 0};
    uint64_t taken[2] = {0, 0};

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct input input;

        /* Longer runs of posts than of takes, so that the rings grow while they are wrapped. */
        if (prng_below(&prng, 100) < 55) {
            if (prng_below(&prng, 2) == 0)
                post_command(&inbox, posted[0]++);
            else
                post_observation(&inbox, posted[1]++);
            continue;
        }
        bool is_taken = inbox_take(&inbox, &input);
        assert_int_equal(is_taken, taken[0] + taken[1] < posted[0] + posted[1]);
        if (!is_taken)
            continue;
        if (input.kind == INPUT_COMMAND) {
            assert_int_equal(taken[1], posted[1]); /* none is waiting before it */
            assert_int_equal(input.command.hash, taken[0]++);
        } else {
            assert_int_equal(input.observation.count, taken[1]++);
        }
    }
    assert_int_equal(inbox.commands.count, posted[0] - taken[0]);
    assert_int_equal(inbox.observations.count, posted[1] - taken[1]);
    assert_in_range(inbox.commands.room, 128, 1 << 15);
    inbox_close(&inbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inbox__empty__gives_nothing),
        cmocka_unit_test(test_inbox__observations__come_before_commands),
        cmocka_unit_test(test_inbox__many_mixed__keep_their_order_whatever_the_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
