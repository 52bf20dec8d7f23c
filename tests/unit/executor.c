/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: an agent that ends takes away what its workers use, or waits for one that hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "executor.h"

#define LONG_MS 20000

struct held {
    struct work work;
    int begun[2]; /* says that it runs */
    int end[2];   /* lets it end */
    bool is_run;
};

static bool run_held(struct work *work)
{
    struct held *held = container_of(work, struct held, work);
    char octet = 0;

    held->is_run = true;
    return write(held->begun[1], &octet, 1) == 1 && read(held->end[0], &octet, 1) == 1;
}

static void on_done(struct work *work)
{
    (void)work;
}

static void hold(struct executor *executor, enum worker worker, struct held *held)
{
    *held = (struct held){.work = {.run = run_held, .on_done = on_done}};
    assert_int_equal(pipe(held->begun), 0);
    assert_int_equal(pipe(held->end), 0);
    executor_post(executor, worker, &held->work);
}

static void await_begun(struct held *held)
{
    char octet;

    assert_int_equal(read(held->begun[0], &octet, 1), 1);
}

static void let_end(struct held *held)
{
    assert_int_equal(write(held->end[1], "", 1), 1);
}

static void test_executor_stop__one_runs_and_one_waits__waits_for_the_first_alone(void **state)
{
    static struct executor executor; /* its threads live on */
    static struct held first, second, other;
    static uv_loop_t loop; /* found by leak checks as long as the threads live */

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(executor_open(&executor, &loop), 0);
    hold(&executor, WORKER_CGROUP, &first);
    hold(&executor, WORKER_CGROUP, &second);
    await_begun(&first);
    assert_false(executor_stop(&executor, WORKER_CGROUP, 10));

    let_end(&first);
    assert_true(executor_stop(&executor, WORKER_CGROUP, LONG_MS));
    assert_false(second.is_run);

    hold(&executor, WORKER_MOUNT, &other); /* another worker goes on */
    await_begun(&other);
    let_end(&other);
}

static void test_executor_stop__nothing_runs__is_at_once(void **state)
{
    static struct executor executor;
    static uv_loop_t loop; /* found by leak checks as long as the threads live */

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(executor_open(&executor, &loop), 0);
    assert_true(executor_stop(&executor, WORKER_CLEAN, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_executor_stop__one_runs_and_one_waits__waits_for_the_first_alone),
        cmocka_unit_test(test_executor_stop__nothing_runs__is_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
