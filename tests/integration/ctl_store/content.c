/* SPDX-License-Identifier: Apache-2.0 */
/* If the controller finds anything else after a crash than what it said before, operators and nodes
 * act on what is not so. Batches are committed to a real controller.db, which is read again, also
 * by the next life. */
#include <stdio.h>
#include <string.h>

#include "rig.h"

static const struct ctl_change *committed(size_t at)
{
    assert_true(at < rig.batch->count);
    return &rig.batch->changes[at];
}

/* ---- events ---- */

static void test_content__an_event__is_read_as_it_was_told(void **state)
{
    const struct ctl_read query = {.kind = CTL_READ_EVENTS, .until = INT64_MAX};
    struct ctl_change change = {.kind = CTL_ADD_EVENT};

    (void)state;
    rig_node(0, "a");
    change.add.node = 0;
    change.add.event = (struct event){.epoch = UINT64_MAX,
                                      .seq = 9,
                                      .time_wall_ns = RIG_WALL_NS,
                                      .uuid = {1, 2, 3},
                                      .name = "web",
                                      .generation = 4,
                                      .type = EVENT_CHANGED,
                                      .from = CT_RUNNING,
                                      .to = CT_CLEANING,
                                      .cause = CAUSE_GUEST_REBOOT,
                                      .has_status = true,
                                      .wait_status = 1,
                                      .result = STATUS_DONE,
                                      .request = "r1",
                                      .detail = "words"};
    rig_add(&change);
    rig_commit();

    const struct ctl_read *read = rig_read(&query);
    assert_int_equal(read->count, 1);
    assert_int_equal(read->events[0].node, 0);
    assert_int_equal(read->events[0].cursor, committed(1)->add.cursor);
    assert_memory_equal(&read->events[0].event, &change.add.event, sizeof(struct event));
    assert_int_equal(read->lost, 0);
}

static void test_content__told_again__it_is_there_once(void **state)
{
    (void)state;
    rig_node(0, "a");
    rig_event(0, 7, 1);
    rig_event(0, 7, 1);
    rig_commit();
    assert_true(committed(1)->add.cursor != 0);
    assert_int_equal(committed(2)->add.cursor, 0);

    rig_kill();
    rig_open();
    rig_event(0, 7, 1);
    rig_event(0, 8, 1); /* another life of the agent: another event */
    rig_event(1, 7, 1); /* another node's */
    rig_commit();
    assert_int_equal(committed(0)->add.cursor, 0);
    assert_true(committed(1)->add.cursor != 0);
    assert_true(committed(2)->add.cursor != 0);
    assert_int_equal(rig_count(), 3);
}

static void test_content__events_of_our_own__need_no_key(void **state)
{
    const struct ctl_read query = {.kind = CTL_READ_EVENTS, .until = INT64_MAX};

    (void)state;
    rig_node(0, "a");
    rig_event(0, 0, 0);
    rig_event(0, 0, 0);
    rig_commit();
    const struct ctl_read *read = rig_read(&query);
    assert_int_equal(read->count, 2);
    assert_int_equal(read->events[1].event.seq, 0);
}

static void test_content__a_database_that_was_put_back__gives_no_cursor_twice(void **state)
{
    char sql[160];
    char copy[96];
    uint64_t before;

    (void)state;
    rig_node(0, "a");
    rig_event(0, 7, 1);
    rig_commit();
    (void)snprintf(copy, sizeof(copy), "%s/copy", rig.dir);
    (void)snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", copy);
    assert_int_equal(sqlite3_exec(rig.writer.db, sql, NULL, NULL, NULL), SQLITE_OK);
    for (uint64_t seq = 2; seq <= 5; seq++)
        rig_event(0, 7, seq);
    rig_commit();
    before = committed(3)->add.cursor;

    rig_close();
    assert_int_equal(rename(copy, rig.path), 0);
    rig.now_wall_ns += 1000000; /* a millisecond later */
    rig_open();
    rig_event(0, 7, 2); /* told again, as the node was answered 1 */
    rig_commit();
    assert_true(committed(0)->add.cursor > before);
    assert_int_equal(rig_count(), 2);
}

/* The count that a follower is told is of events, not of numbers that were never given. */
static void test_content__what_went_with_age__is_counted_and_never_new_again(void **state)
{
    struct ctl_read query = {.kind = CTL_READ_EVENTS, .until = INT64_MAX};
    uint64_t seq = 0;

    (void)state;
    rig_kill();
    rig.events_max = 1000;
    rig_open();
    rig_node(0, "a");
    for (unsigned life = 0; life < 30; life++) {
        for (unsigned n = 0; n < 100; n++)
            rig_event(0, 7, ++seq);
        struct ctl_change head = {.kind = CTL_PUT_HEAD};
        head.head = (struct ctl_head){.node = 0, .epoch = 7, .seq = seq, .is_highest = true};
        rig_add(&head);
        rig_commit();
        rig_kill();
        rig.now_wall_ns += 5000000;
        rig_open();
    }
    const struct ctl_read *read = rig_read(&query);
    size_t kept = 3000 - read->lost;
    assert_true(kept >= 1000 && kept <= 1100);
    assert_int_equal(read->events[0].event.seq, read->lost + 1);
    assert_int_equal(read->events[0].cursor, read->lost_through + 1);
    assert_int_equal(rig_count(), kept);

    rig_event(0, 7, 5);   /* had, and forgotten */
    rig_event(0, 7, seq); /* had */
    rig_commit();
    assert_int_equal(committed(0)->add.cursor, 0);
    assert_int_equal(committed(1)->add.cursor, 0);
    query.after = 1; /* of no life at all */
    assert_int_equal(rig_read(&query)->lost, 3000 - rig_count());
}

static void test_content__history__is_of_one_container_in_order(void **state)
{
    struct ctl_read query = {
        .kind = CTL_READ_EVENTS, .until = INT64_MAX, .has_uuid = true, .uuid = {2, 2, 3}};
    size_t count = 0;

    (void)state;
    rig_node(0, "a");
    rig_node(1, "b");
    for (uint64_t seq = 1; seq <= 600; seq++) {
        rig_event(0, 7, seq);
        rig_event(1, 8, seq);
    }
    rig_commit();
    while (query.after < query.until) {
        const struct ctl_read *read = rig_read(&query);
        for (size_t i = 0; i < read->count; i++) {
            assert_int_equal(read->events[i].node, 1);
            assert_int_equal(read->events[i].event.seq, ++count);
        }
        query.after = read->position;
    }
    assert_int_equal(count, 600);
}

static void test_content__by_node_and_by_time__others_are_left_out(void **state)
{
    struct ctl_read query = {
        .kind = CTL_READ_EVENTS, .until = INT64_MAX, .has_node = true, .node = 1};

    (void)state;
    rig_node(0, "a");
    rig_node(1, "b");
    rig_event(0, 7, 1);
    rig_event(1, 8, 1);
    rig.now_wall_ns += 10;
    rig_event(1, 8, 2);
    rig_commit();
    assert_int_equal(rig_read(&query)->count, 2);
    query.after_wall_ns = RIG_WALL_NS;
    assert_int_equal(rig_read(&query)->count, 1);
    assert_int_equal(rig.read->position, query.until);
}

/* ---- what a life begins with ---- */

struct loaded {
    unsigned nodes;
    unsigned heads;
    unsigned containers;
    unsigned commands;
    struct ctl_node node;
    struct ctl_head highest;
    struct ctl_command command;
    char config[8];
    uint64_t last;
};

static int on_node(const struct ctl_node *node, void *context)
{
    struct loaded *loaded = context;

    loaded->nodes++;
    loaded->node = *node;
    return 0;
}

static int on_head(const struct ctl_head *head, void *context)
{
    struct loaded *loaded = context;

    loaded->heads++;
    if (head->is_highest)
        loaded->highest = *head;
    return 0;
}

static int on_container(const struct ctl_container *container, void *context)
{
    struct loaded *loaded = context;

    loaded->containers++;
    assert_string_equal(container->name, "web");
    assert_memory_equal(container->view.data, "view2", 5);
    if (container->config.size_bytes != 0)
        memcpy(loaded->config, container->config.data, container->config.size_bytes);
    return 0;
}

static int on_command(const struct ctl_command *command, void *context)
{
    struct loaded *loaded = context;

    loaded->commands++;
    loaded->command = *command;
    return 0;
}

static int on_last(uint64_t cursor, void *context)
{
    struct loaded *loaded = context;

    loaded->last = cursor;
    return 0;
}

static struct loaded load(void)
{
    static const struct ctl_found found = {.node = on_node,
                                           .head = on_head,
                                           .container = on_container,
                                           .command = on_command,
                                           .last = on_last};
    struct loaded loaded = {0};

    assert_int_equal(ctl_reader_load(&rig.reader, &found, &loaded), 0);
    return loaded;
}

static void test_content__nodes_and_heads__as_they_were(void **state)
{
    struct ctl_change head = {.kind = CTL_PUT_HEAD};

    (void)state;
    rig_node(0, "a");
    head.head = (struct ctl_head){.node = 0, .epoch = 7, .seq = 100, .is_highest = true};
    rig_add(&head);
    head.head = (struct ctl_head){.node = 0, .epoch = 8, .seq = 50};
    rig_add(&head);
    head.head.seq = 40; /* lower: it stays */
    rig_add(&head);
    rig_event(0, 7, 100);
    rig_commit();
    rig_kill();
    rig_open();

    const struct loaded loaded = load();
    assert_int_equal(loaded.nodes, 1);
    assert_string_equal(loaded.node.name, "a");
    assert_int_equal(loaded.heads, 2);
    assert_int_equal(loaded.highest.epoch, 7);
    assert_int_equal(loaded.highest.seq, 100);
    assert_int_equal(loaded.last, committed(4)->add.cursor);
}

static void put_container(const char *view, const char *config, uint8_t id)
{
    struct ctl_change change = {.kind = CTL_PUT_CONTAINER};

    change.container = (struct ctl_container){
        .name = "web", .uuid = {id}, .view = {(const uint8_t *)view, strlen(view)}};
    if (config != NULL)
        change.container.config = (struct octets){(const uint8_t *)config, strlen(config)};
    rig_add(&change);
}

static void test_content__a_container__keeps_its_configuration_while_it_is_the_same(void **state)
{
    struct ctl_change drop = {.kind = CTL_DROP_CONTAINER, .container = {.name = "web"}};

    (void)state;
    rig_node(0, "a");
    put_container("view1", "conf", 1);
    put_container("view2", NULL, 1);
    rig_commit();
    assert_string_equal(load().config, "conf");

    put_container("view2", NULL, 2); /* another of that name */
    rig_commit();
    assert_string_equal(load().config, "");

    rig_add(&drop);
    rig_commit();
    assert_int_equal(load().containers, 0);
}

/* ---- commands ---- */

static void add_command(const char *request, uint8_t digest)
{
    struct ctl_change change = {.kind = CTL_ADD_COMMAND};

    change.command.given = (struct ctl_command){.digest = {digest},
                                                .container = "web",
                                                .verb = VERB_START,
                                                .issued_wall_ns = rig.now_wall_ns,
                                                .command = {(const uint8_t *)"command", 7}};
    (void)strncpy(change.command.given.request, request, REQUEST_ID_BYTES - 1);
    rig_add(&change);
}

static void put_receipt(const char *request, enum phase phase, uint64_t closed_wall_ns)
{
    struct ctl_change change = {.kind = CTL_PUT_RECEIPT};

    change.receipt = (struct ctl_command){.phase = phase,
                                          .closed_wall_ns = closed_wall_ns,
                                          .receipt = {(const uint8_t *)"receipt", 7}};
    (void)strncpy(change.receipt.request, request, REQUEST_ID_BYTES - 1);
    rig_add(&change);
}

static const struct ctl_command *find(const char *request)
{
    struct ctl_read query = {.kind = CTL_READ_COMMAND};

    (void)strncpy(query.request, request, REQUEST_ID_BYTES - 1);
    return rig_read(&query)->found;
}

static void test_content__a_request_id_again__the_first_command_is_found(void **state)
{
    (void)state;
    rig_node(0, "a");
    add_command("r1", 1);
    rig_commit();
    assert_null(committed(1)->command.found);

    rig_kill();
    rig_open();
    add_command("r1", 2);
    rig_commit();
    const struct ctl_command *found = committed(0)->command.found;
    assert_non_null(found);
    assert_int_equal(found->digest[0], 1);
    assert_int_equal(found->verb, VERB_START);
    assert_int_equal(found->command.size_bytes, 7);
    assert_null(find("r2"));
}

static void test_content__receipts__the_one_that_ended_it_stands(void **state)
{
    (void)state;
    rig_node(0, "a");
    add_command("r1", 1);
    put_receipt("r1", PHASE_ACCEPTED, 0);
    rig_commit();
    assert_int_equal(load().commands, 1);
    assert_int_equal(find("r1")->phase, PHASE_ACCEPTED);

    put_receipt("r1", PHASE_RESULT_UNKNOWN, RIG_WALL_NS);
    rig_commit();
    assert_int_equal(load().commands, 0);
    assert_int_equal(find("r1")->command.size_bytes, 7); /* it can be asked for again */

    put_receipt("r1", PHASE_DONE, RIG_WALL_NS);
    put_receipt("r1", PHASE_FAILED, RIG_WALL_NS);
    rig_commit();
    assert_int_equal(find("r1")->phase, PHASE_DONE);
    assert_int_equal(find("r1")->command.size_bytes, 0);
    assert_int_equal(find("r1")->receipt.size_bytes, 7);
}

static void test_content__old_receipts__go_after_a_day_and_open_ones_never(void **state)
{
    (void)state;
    rig_node(0, "a");
    add_command("done", 1);
    add_command("open", 1);
    put_receipt("done", PHASE_DONE, rig.now_wall_ns);
    rig_commit();

    rig.now_wall_ns += CTL_RESULT_MIN_NS - 1;
    rig_event(0, 7, 1);
    rig_commit();
    assert_non_null(find("done"));
    rig.now_wall_ns += 2;
    rig_event(0, 7, 2);
    rig_commit();
    assert_null(find("done"));
    assert_non_null(find("open"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_content__an_event__is_read_as_it_was_told),
        TEST(test_content__told_again__it_is_there_once),
        TEST(test_content__events_of_our_own__need_no_key),
        TEST(test_content__a_database_that_was_put_back__gives_no_cursor_twice),
        TEST(test_content__what_went_with_age__is_counted_and_never_new_again),
        TEST(test_content__history__is_of_one_container_in_order),
        TEST(test_content__by_node_and_by_time__others_are_left_out),
        TEST(test_content__nodes_and_heads__as_they_were),
        TEST(test_content__a_container__keeps_its_configuration_while_it_is_the_same),
        TEST(test_content__a_request_id_again__the_first_command_is_found),
        TEST(test_content__receipts__the_one_that_ended_it_stands),
        TEST(test_content__old_receipts__go_after_a_day_and_open_ones_never),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
