/* SPDX-License-Identifier: Apache-2.0 */
/* A row or a result that comes back otherwise than it was put makes the next agent act on a lie.
 * Everything is put in, the store closed and opened again, and each field compared. */
#include "rig.h"

#include <errno.h>

#include "cleanup.h"
#include "clock.h"

#define ROWS_MAX 16

static struct store_row rows[ROWS_MAX];
static uint8_t configs[ROWS_MAX][4096];
static size_t row_count;
static struct store_result results[ROWS_MAX];
static size_t result_count;

static bool on_row(const struct store_row *row, void *context)
{
    size_t *max = context;

    assert_true(row_count < ROWS_MAX);
    assert_true(row->config.size_bytes <= sizeof(configs[0]));
    rows[row_count] = *row;
    if (row->config.size_bytes > 0)
        memcpy(configs[row_count], row->config.data, row->config.size_bytes);
    rows[row_count].config.data = configs[row_count];
    row_count++;
    return max == NULL || row_count < *max;
}

static bool on_result(const struct store_result *result, void *context)
{
    (void)context;
    assert_true(result_count < ROWS_MAX);
    results[result_count++] = *result;
    return true;
}

static void read_again(void)
{
    rig_settle();
    rig_close();
    rig_open();
    row_count = result_count = 0;
    assert_int_equal(store_read_rows(rig.store, on_row, NULL), 0);
    assert_int_equal(store_read_results(rig.store, on_result, NULL), 0);
}

static void check_row(const struct store_row *row, uint32_t ct)
{
    struct store_change change = rig_row(ct);
    const struct store_row *expected = &change.row;

    assert_memory_equal(row->uuid, expected->uuid, UUID_BYTES);
    assert_string_equal(row->name, expected->name);
    assert_int_equal(row->revision, expected->revision);
    assert_int_equal(row->generation, expected->generation);
    assert_int_equal(row->state, expected->state);
    assert_int_equal(row->is_wanted_running, expected->is_wanted_running);
    assert_int_equal(row->is_restart_owed, expected->is_restart_owed);
    assert_int_equal(row->uid_base, expected->uid_base);
    assert_int_equal(row->family, expected->family);
    assert_int_equal(row->is_ready_on_exec, expected->is_ready_on_exec);
    assert_int_equal(row->created_wall_ns, expected->created_wall_ns);
    assert_int_equal(row->started_wall_ns, expected->started_wall_ns);
    assert_int_equal(row->ended_wall_ns, expected->ended_wall_ns);
    assert_int_equal(row->oom_kills, expected->oom_kills);
    assert_int_equal(row->cause, expected->cause);
    assert_int_equal(row->has_status, expected->has_status);
    assert_int_equal(row->wait_status, expected->wait_status);
    assert_string_equal(row->request, expected->request);
    assert_int_equal(row->request_verb, expected->request_verb);
}

static void check_config(const struct store_row *row, uint8_t octet, size_t size_bytes)
{
    assert_true(row->has_config);
    assert_int_equal(row->config.size_bytes, size_bytes);
    for (size_t i = 0; i < size_bytes; i++)
        assert_int_equal(row->config.data[i], octet);
}

static void put_with_config(uint32_t ct, uint8_t octet, size_t size_bytes)
{
    struct store_change change = rig_row(ct);
    uint8_t config[4096];

    memset(config, octet, sizeof(config));
    change.row.config = (struct octets){config, size_bytes};
    change.row.has_config = true;
    rig_post_one(&change);
    memset(config, 0xee, sizeof(config)); /* the batch has a copy */
}

static void test_rows__put__come_back_in_every_field(void **state)
{
    (void)state;
    rig_open();
    for (uint32_t ct = 0; ct < 8; ct++)
        put_with_config(ct, (uint8_t)(ct + 1), ct * 500);

    read_again();

    assert_int_equal(row_count, 8);
    for (uint32_t ct = 0; ct < 8; ct++) {
        check_row(&rows[ct], ct);
        check_config(&rows[ct], (uint8_t)(ct + 1), ct * 500);
    }
}

static void test_rows__put_without_config__keep_the_one_they_have(void **state)
{
    struct store_change change = rig_row(1);

    (void)state;
    rig_open();
    put_with_config(1, 0xaa, 3000);
    change.row.generation = 77;
    change.row.config = (struct octets){(const uint8_t *)"borrowed", 8};
    rig_post_one(&change);

    read_again();

    assert_int_equal(row_count, 1);
    assert_int_equal(rows[0].generation, 77);
    check_config(&rows[0], 0xaa, 3000);
}

static void test_rows__config_put_again__is_replaced(void **state)
{
    (void)state;
    rig_open();
    put_with_config(1, 0xaa, 3000);
    put_with_config(1, 0xbb, 100);

    read_again();

    assert_int_equal(row_count, 1);
    check_config(&rows[0], 0xbb, 100);
}

static void test_rows__deleted__are_gone_and_may_come_back(void **state)
{
    struct store_change change = rig_delete(1);

    (void)state;
    rig_open();
    put_with_config(0, 1, 10);
    put_with_config(1, 2, 20);
    rig_post_events(1, 4, 2);
    rig_post_one(&change);
    change = rig_delete(5); /* never was */
    rig_post_one(&change);
    read_again();
    assert_int_equal(row_count, 1);
    check_row(&rows[0], 0);

    change = rig_row(1);
    rig_post_one(&change);
    read_again();

    assert_int_equal(row_count, 2);
    check_row(&rows[1], 1);
    assert_false(rows[1].has_config); /* that of the former one went with it */
}

static void test_rows__put_under_another_name__are_replaced_with_their_config(void **state)
{
    struct store_change change = rig_row(1);

    (void)state;
    rig_open();
    put_with_config(1, 0xaa, 30);
    rig_post_events(1, 1, 2);
    (void)snprintf(change.row.name, sizeof(change.row.name), "other");
    rig_post_one(&change);

    read_again();

    assert_int_equal(row_count, 1);
    assert_string_equal(rows[0].name, "other");
    check_config(&rows[0], 0xaa, 30);
}

static void test_rows__found_says_enough__ends_the_reading(void **state)
{
    size_t max = 3;

    (void)state;
    rig_open();
    for (uint32_t ct = 0; ct < 8; ct++)
        put_with_config(ct, 1, 1);
    rig_settle();
    row_count = 0;

    assert_int_equal(store_read_rows(rig.store, on_row, &max), 0);

    assert_int_equal(row_count, 3);
}

static bool on_row_read_more(const struct store_row *row, void *context)
{
    struct event events[4];
    size_t count = 0;
    unsigned *seen = context;

    assert_int_equal(
        store_read_events(rig.store, &(struct store_query){.uuid = row->uuid}, events, 4, &count),
        0);
    assert_int_equal(count, 2);
    (*seen)++;
    return true;
}

static void test_rows__found_reads_events__does_not_wait_for_itself(void **state)
{
    unsigned seen = 0;

    (void)state;
    rig_open();
    put_with_config(0, 1, 1);
    put_with_config(1, 1, 1);
    rig_post_events(1, 4, 2);
    rig_settle();

    assert_int_equal(store_read_rows(rig.store, on_row_read_more, &seen), 0);

    assert_int_equal(seen, 2);
}

/* ---- results ---- */

/* Not yet to be forgotten, and not of a time to come. */
static uint64_t new_wall_ns(void)
{
    static uint64_t wall_ns;

    if (wall_ns == 0)
        wall_ns = clock_wall_ns() - NS_PER_S;
    return wall_ns;
}

static struct store_change result_change(unsigned n, enum store_kind kind)
{
    struct store_change change = {.kind = kind};
    struct store_result *result = &change.result;
    bool is_open = kind == STORE_PUT_INTENT;

    *result =
        (struct store_result){.command_hash = UINT64_MAX - n,
                              .verb = (enum verb)(1 + n % (VERB_COUNT - 1)),
                              .generation = 5 + n,
                              .phase = is_open ? PHASE_ACCEPTED : PHASE_FAILED,
                              .status = is_open ? STATUS_UNSET : (enum status)(n % STATUS_COUNT),
                              .error = (int)n,
                              .time_wall_ns = new_wall_ns() + n};
    (void)snprintf(result->request, sizeof(result->request), "request-%u", n);
    (void)snprintf(result->text, sizeof(result->text), "it's \"no\" good %u", n);
    rig_uuid(n, result->uuid);
    return change;
}

static void check_result(const struct store_result *result, unsigned n, enum store_kind kind)
{
    struct store_change change = result_change(n, kind);
    const struct store_result *expected = &change.result;

    assert_string_equal(result->request, expected->request);
    assert_int_equal(result->command_hash, expected->command_hash);
    assert_int_equal(result->verb, expected->verb);
    assert_memory_equal(result->uuid, expected->uuid, UUID_BYTES);
    assert_int_equal(result->generation, expected->generation);
    assert_int_equal(result->phase, expected->phase);
    assert_int_equal(result->status, expected->status);
    assert_int_equal(result->error, expected->error);
    assert_string_equal(result->text, expected->text);
    assert_int_equal(result->time_wall_ns, expected->time_wall_ns);
}

static void post_result(unsigned n, enum store_kind kind)
{
    struct store_change change = result_change(n, kind);

    rig_post_one(&change);
}

static void test_results__intents_and_results__come_back_closed_ones_first(void **state)
{
    (void)state;
    rig_open();
    for (unsigned n = 1; n <= 5; n++)
        post_result(n, STORE_PUT_INTENT);
    post_result(4, STORE_PUT_RESULT);
    post_result(2, STORE_PUT_RESULT);
    post_result(9, STORE_PUT_RESULT); /* was never accepted */

    read_again();

    assert_int_equal(result_count, 6);
    check_result(&results[0], 4, STORE_PUT_RESULT);
    check_result(&results[1], 2, STORE_PUT_RESULT);
    check_result(&results[2], 9, STORE_PUT_RESULT);
    check_result(&results[3], 1, STORE_PUT_INTENT);
    check_result(&results[4], 3, STORE_PUT_INTENT);
    check_result(&results[5], 5, STORE_PUT_INTENT);
}

static void test_results__asked_by_request__are_found_open_or_closed(void **state)
{
    struct store_result result = {.generation = 12345};

    (void)state;
    rig_open();
    post_result(1, STORE_PUT_INTENT);
    post_result(2, STORE_PUT_INTENT);
    post_result(2, STORE_PUT_RESULT);
    rig_settle();

    assert_int_equal(store_find_result(rig.store, "request-3", &result), -ENOENT);
    assert_int_equal(result.generation, 12345);
    assert_int_equal(store_find_result(rig.store, "request-1", &result), 0);
    check_result(&result, 1, STORE_PUT_INTENT);
    assert_int_equal(store_find_result(rig.store, "request-2", &result), 0);
    check_result(&result, 2, STORE_PUT_RESULT);
}

static void test_results__old_and_acknowledged__are_forgotten(void **state)
{
    struct store_change change;
    struct store_result result;

    (void)state;
    rig_open();
    post_result(7, STORE_PUT_INTENT);
    for (unsigned n = 1; n <= 3; n++) {
        struct store_batch *batch = store_batch_new();

        change = result_change(n, STORE_PUT_RESULT);
        change.result.time_wall_ns = 1000 + n;
        store_batch_add(batch, &change); /* before its event, as the agent does */
        change = rig_event(n, 1);
        store_batch_add(batch, &change);
        rig_post(batch);
    }
    rig_settle();
    assert_int_equal(store_find_result(rig.store, "request-1", &result), 0);

    change = rig_ack(2);
    rig_post_one(&change);
    rig_settle();

    assert_int_equal(store_find_result(rig.store, "request-1", &result), -ENOENT);
    assert_int_equal(store_find_result(rig.store, "request-2", &result), -ENOENT);
    assert_int_equal(store_find_result(rig.store, "request-3", &result), 0);
    assert_int_equal(store_find_result(rig.store, "request-7", &result), 0);
}

static void test_results__acknowledged_but_new__stay(void **state)
{
    struct store_change change = result_change(1, STORE_PUT_RESULT);
    struct store_result result;

    (void)state;
    rig_open();
    rig_post_events(1, 1, 1);
    rig_post_one(&change);
    change = rig_ack(1);
    rig_post_one(&change);
    rig_post_events(2, 2, 1);
    rig_settle();

    assert_int_equal(store_find_result(rig.store, "request-1", &result), 0);
}

/* What is not acknowledged stays all the same: nobody but this node knows it. */
static void test_results__more_than_the_bound__the_oldest_acknowledged_go(void **state)
{
    struct store_limits limits = store_limits_default;
    struct store_change ack = rig_ack(1);
    struct store_result result;

    (void)state;
    rig_open();
    limits.results_max = 10;
    store_set_limits(rig.store, &limits);
    rig_post_events(1, 1, 1);
    for (unsigned n = 1; n <= 30; n++)
        post_result(n, STORE_PUT_RESULT);
    rig_settle();
    assert_int_equal(store_find_result(rig.store, "request-1", &result), 0);

    for (unsigned i = 0; i < 3; i++) {
        rig_post_one(&ack);
        rig_settle();
    }
    assert_int_equal(store_find_result(rig.store, "request-20", &result), -ENOENT);
    for (unsigned n = 21; n <= 30; n++) {
        (void)snprintf(result.request, sizeof(result.request), "request-%u", n);
        assert_int_equal(store_find_result(rig.store, result.request, &result), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_make, rig_remove)
        RIG_TEST(test_rows__put__come_back_in_every_field),
        RIG_TEST(test_rows__put_without_config__keep_the_one_they_have),
        RIG_TEST(test_rows__config_put_again__is_replaced),
        RIG_TEST(test_rows__deleted__are_gone_and_may_come_back),
        RIG_TEST(test_rows__put_under_another_name__are_replaced_with_their_config),
        RIG_TEST(test_rows__found_says_enough__ends_the_reading),
        RIG_TEST(test_rows__found_reads_events__does_not_wait_for_itself),
        RIG_TEST(test_results__intents_and_results__come_back_closed_ones_first),
        RIG_TEST(test_results__asked_by_request__are_found_open_or_closed),
        RIG_TEST(test_results__old_and_acknowledged__are_forgotten),
        RIG_TEST(test_results__acknowledged_but_new__stay),
        RIG_TEST(test_results__more_than_the_bound__the_oldest_acknowledged_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
