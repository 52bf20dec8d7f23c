/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a field that scripts rely on, gone or of another kind. Views with everything and with
 * nothing known are turned into objects and compared with the shapes of the contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rows.h"

static void assert_row(json_t *row, const char *wanted)
{
    json_error_t error;
    json_t *expected = json_loads(wanted, 0, &error);
    char *text = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(10));

    assert_non_null(expected);
    assert_non_null(row);
    if (!json_equal(row, expected))
        fail_msg("%s is not %s", text, wanted);
    free(text);
    json_decref(row);
    json_decref(expected);
}

static const struct pair labels[] = {{"tier", "web"}};

static void test_row__a_container_that_never_ran__has_nulls(void **state)
{
    const struct container_view view = {
        .name = "web", .uuid = {0xab, [15] = 1}, .node = "n1", .state = CT_STOPPED};

    (void)state;
    assert_row(row_container(&view),
               "{\"name\":\"web\",\"id\":\"ab000000-0000-0000-0000-000000000001\",\"node\":\"n1\","
               "\"state\":\"stopped\",\"generation\":0,\"pid\":null,\"ready\":false,"
               "\"cause\":null,\"status\":null,\"started\":null,\"ip\":[],\"labels\":{}}");
}

static void test_row__a_container_that_ended__has_cause_and_status(void **state)
{
    struct container_view view = {.name = "web",
                                  .uuid = {1},
                                  .node = "n1",
                                  .state = CT_STOPPED,
                                  .generation = 3,
                                  .cause = CAUSE_EXITED,
                                  .has_status = true,
                                  .wait_status = 7 << 8,
                                  .started_wall_ns = 1000000006,
                                  .labels = labels,
                                  .label_count = 1};

    (void)state;
    assert_row(row_container(&view),
               "{\"name\":\"web\",\"id\":\"01000000-0000-0000-0000-000000000000\",\"node\":\"n1\","
               "\"state\":\"stopped\",\"generation\":3,\"pid\":null,\"ready\":false,"
               "\"cause\":\"exited\",\"status\":{\"exited\":7},"
               "\"started\":\"1970-01-01T00:00:01.000000006Z\",\"ip\":[],"
               "\"labels\":{\"tier\":\"web\"}}");
}

static struct event_view event_of(void)
{
    struct event_view view = {.node = "n1", .cursor = "77"};

    view.event = (struct event){.epoch = UINT64_C(18446744073709551615),
                                .seq = 42,
                                .time_wall_ns = 1,
                                .uuid = {2},
                                .name = "web",
                                .generation = 3,
                                .type = EVENT_CHANGED,
                                .from = CT_RUNNING,
                                .to = CT_CLEANING,
                                .cause = CAUSE_SIGNALLED,
                                .has_status = true,
                                .wait_status = 9 | 0x80,
                                .request = "r1"};
    return view;
}

static void test_row__an_event__has_strings_for_what_is_too_big_for_numbers(void **state)
{
    struct event_view view = event_of();
    json_t *row = row_event(&view, false);

    (void)state;
    assert_int_equal(json_object_del(row, "detail"), 0); /* for tables */
    assert_row(row, "{\"node\":\"n1\",\"epoch\":\"18446744073709551615\",\"seq\":42,"
                    "\"time\":\"1970-01-01T00:00:00.000000001Z\","
                    "\"container\":\"02000000-0000-0000-0000-000000000000\",\"name\":\"web\","
                    "\"generation\":3,\"type\":\"changed\",\"from\":\"running\","
                    "\"to\":\"cleaning\","
                    "\"cause\":\"signalled\",\"status\":{\"signalled\":9,\"core\":true},"
                    "\"request\":\"r1\"}");
    row = row_event(&view, true);
    assert_string_equal(json_string_value(json_object_get(row, "cursor")), "77");
    json_decref(row);
}

static void test_row__an_event_of_a_node__has_nulls(void **state)
{
    struct event_view view = {.node = "n1", .cursor = ""};
    view.event = (struct event){.epoch = 1, .seq = 1, .time_wall_ns = 1, .type = EVENT_NODE_UP};
    json_t *row = row_event(&view, true);
    static const char *const nulls[] = {"container", "name",   "from",    "to",
                                        "cause",     "status", "request", "cursor"};

    (void)state;
    for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++)
        assert_true(json_is_null(json_object_get(row, nulls[i])));
    json_decref(row);
}

static void test_row__a_configuration__says_null_for_no_limit(void **state)
{
    const struct bind binds[] = {{"/a", "/b", true, false}};
    const struct tmpfs tmpfs[] = {{"/t", 0}};
    const struct container_view view = {
        .name = "web", .node = "n1", .state = CT_RUNNING, .revision = 5};
    const struct config config = {.template_name = "deb",
                                  .root = "",
                                  .init = "",
                                  .memory_max_bytes = 64 << 20,
                                  .swap_max_bytes = 0,
                                  .pids_max = LIMIT_NONE,
                                  .cpu_milli = 1500,
                                  .cpu_weight = 100,
                                  .binds = binds,
                                  .bind_count = 1,
                                  .tmpfs = tmpfs,
                                  .tmpfs_count = 1,
                                  .has_tun = true,
                                  .ready = READY_AUTO,
                                  .restart = RESTART_ON_FAILURE,
                                  .on_node_lost = NODE_LOST_REPORT};
    json_t *row = row_shown(&view, &config);

    (void)state;
    assert_int_equal(json_integer_value(json_object_get(row, "revision")), 5);
    assert_row(json_incref(json_object_get(row, "config")),
               "{\"template\":\"deb\",\"root\":null,\"limits\":{\"memory\":67108864,\"swap\":0,"
               "\"pids\":null,\"cpus\":1.5,\"cpu_weight\":100},"
               "\"binds\":[{\"source\":\"/a\",\"target\":\"/b\",\"read_only\":true,"
               "\"plain\":false}],\"tmpfs\":[{\"target\":\"/t\",\"size\":null}],\"env\":{},"
               "\"init\":null,\"family\":null,\"ready\":\"auto\",\"ready_timeout_ns\":null,"
               "\"ready_policy\":\"kill\",\"restart\":\"on-failure\","
               "\"allow_reboot\":true,\"on_node_lost\":\"report\",\"privileged\":false,"
               "\"nested\":false,\"fuse\":false,\"tun\":true,\"ptrace\":false,"
               "\"hooks\":{},\"stop_grace_ns\":null,\"autostart\":\"default\",\"order\":0,"
               "\"depends\":[]}");
    json_decref(row);
}

static void test_row__a_node__has_all_its_fields(void **state)
{
    const struct node_view view = {
        .name = "n1", .state = "pending", .agent_version = "", .session = ""};

    (void)state;
    assert_row(row_node(&view),
               "{\"node\":\"n1\",\"state\":\"pending\",\"cordoned\":false,\"agent_version\":null,"
               "\"containers\":0,\"running\":0,\"session\":null,\"seen\":null,\"labels\":{}}");
}

static void test_row__text_that_is_not_utf8__is_replaced(void **state)
{
    (void)state;
    json_t *text = row_text("\xff\xfe");
    assert_string_equal(json_string_value(text), "\xef\xbf\xbd");
    json_decref(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row__a_container_that_never_ran__has_nulls),
        cmocka_unit_test(test_row__a_container_that_ended__has_cause_and_status),
        cmocka_unit_test(test_row__an_event__has_strings_for_what_is_too_big_for_numbers),
        cmocka_unit_test(test_row__an_event_of_a_node__has_nulls),
        cmocka_unit_test(test_row__a_configuration__says_null_for_no_limit),
        cmocka_unit_test(test_row__a_node__has_all_its_fields),
        cmocka_unit_test(test_row__text_that_is_not_utf8__is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
