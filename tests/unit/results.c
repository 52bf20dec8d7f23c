/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a command that is done twice because its request id was forgotten, or answered with
 * what became of another. The ring is filled, wrapped and thinned out, and asked for each id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "results.h"

static const char *id_of(uint64_t number)
{
    static char id[REQUEST_ID_BYTES];

    (void)snprintf(id, sizeof(id), "request-%llu", (unsigned long long)number);
    return id;
}

static void fill(struct results *results, uint64_t first, uint64_t count, enum phase phase)
{
    for (uint64_t i = first; i < first + count; i++) {
        struct result *result = results_add(results, id_of(i), i);

        assert_non_null(result);
        assert_int_equal(result->receipt.phase, PHASE_ACCEPTED);
        result->receipt.phase = phase;
    }
}

static void test_results__each_id__is_found_with_its_own_hash(void **state)
{
    struct results results;

    (void)state;
    assert_int_equal(results_open(&results), 0);
    fill(&results, 0, RESULTS_MAX, PHASE_DONE);
    for (uint64_t i = 0; i < RESULTS_MAX; i++) {
        assert_non_null(results_find(&results, id_of(i)));
        assert_int_equal(results_find(&results, id_of(i))->hash, i);
    }
    assert_null(results_find(&results, id_of(RESULTS_MAX)));
    assert_null(results_find(&results, ""));
    assert_null(results_find(&results, "request-1 "));
    results_close(&results);
}

static void test_results__full_ring__forgets_the_oldest_first(void **state)
{
    struct results results;

    (void)state;
    assert_int_equal(results_open(&results), 0);
    fill(&results, 0, RESULTS_MAX, PHASE_DONE);
    fill(&results, RESULTS_MAX, 3 * RESULTS_MAX + 100, PHASE_FAILED);
    for (uint64_t i = 0; i < 4 * RESULTS_MAX + 100; i++)
        assert_true((results_find(&results, id_of(i)) != NULL) == (i >= 3 * RESULTS_MAX + 100));
    results_close(&results);
}

/* What is in progress is never forgotten; when all is, nothing new is taken. */
static void test_results__what_is_in_progress__is_kept(void **state)
{
    struct results results;

    (void)state;
    assert_int_equal(results_open(&results), 0);
    fill(&results, 0, 10, PHASE_ACCEPTED);
    fill(&results, 10, 3 * RESULTS_MAX, PHASE_DONE);
    for (uint64_t i = 0; i < 10; i++)
        assert_non_null(results_find(&results, id_of(i)));

    results_close(&results);
    assert_int_equal(results_open(&results), 0);
    fill(&results, 0, RESULTS_MAX, PHASE_ACCEPTED);
    assert_null(results_add(&results, "one-more", 1));
    results_find(&results, id_of(77))->receipt.phase = PHASE_DONE;
    assert_non_null(results_add(&results, "one-more", 1));
    assert_null(results_find(&results, id_of(77)));
    assert_non_null(results_find(&results, id_of(78)));
    results_close(&results);
}

/* A copy of it may still be on its way, and must not be done after its sender was told that it was
 * not. */
static void test_results__refused__is_refused_again(void **state)
{
    struct results results;
    struct result *result = NULL;
    struct ct_receipt receipt = {.phase = PHASE_FAILED, .fault = {.status = STATUS_BUSY}};
    uint64_t listeners[RESULT_LISTENERS_MAX];

    (void)state;
    assert_int_equal(results_open(&results), 0);
    assert_int_equal(results_ask(&results, "again", 1, 5, &result), ASKED_NEW);
    assert_true(result_listen(results_add(&results, "again", 1), 5));
    assert_int_equal(results_ask(&results, "again", 1, 6, &result), ASKED_WAITING);
    (void)strcpy(receipt.request, "again");
    assert_int_equal(results_settle(&results, &receipt, listeners), 2);
    assert_int_equal(listeners[0], 5);
    assert_int_equal(listeners[1], 6);

    assert_int_equal(results_ask(&results, "again", 1, 5, &result), ASKED_AGAIN);
    assert_int_equal(result->receipt.fault.status, STATUS_BUSY);
    assert_int_equal(results_ask(&results, "again", 2, 5, &result), ASKED_REUSED);
    results_close(&results);
}

static void test_results__longest_id__is_whole(void **state)
{
    struct results results;
    char id[REQUEST_ID_BYTES];

    (void)state;
    assert_int_equal(results_open(&results), 0);
    memset(id, 'x', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    struct result *result = results_add(&results, id, 1);

    assert_string_equal(result->receipt.request, id);
    assert_ptr_equal(results_find(&results, id), result);
    id[sizeof(id) - 2] = 'y';
    assert_null(results_find(&results, id));
    results_close(&results);
}

static void test_results__listeners__are_counted_once_and_bounded(void **state)
{
    struct result result = {0};

    (void)state;
    for (uint64_t origin = 0; origin < RESULT_LISTENERS_MAX; origin++) {
        assert_true(result_listen(&result, origin));
        assert_true(result_listen(&result, origin));
        assert_int_equal(result.listener_count, origin + 1);
    }
    assert_false(result_listen(&result, RESULT_LISTENERS_MAX));
    assert_true(result_listen(&result, 0));
    assert_int_equal(result.listener_count, RESULT_LISTENERS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results__each_id__is_found_with_its_own_hash),
        cmocka_unit_test(test_results__full_ring__forgets_the_oldest_first),
        cmocka_unit_test(test_results__what_is_in_progress__is_kept),
        cmocka_unit_test(test_results__refused__is_refused_again),
        cmocka_unit_test(test_results__longest_id__is_whole),
        cmocka_unit_test(test_results__listeners__are_counted_once_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
