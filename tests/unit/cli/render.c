/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: programs that read what we print. The same rows are printed in each form, whole and row
 * by row, and compared with what the contract says, letter by letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "render.h"

static const struct column columns[] = {{"name", COLUMN_BOTH, 6},   {"id", COLUMN_DATA, 4},
                                        {"count", COLUMN_BOTH, -5}, {"words", COLUMN_TABLE, 0},
                                        {"labels", COLUMN_BOTH, 0}, {NULL, COLUMN_BOTH, 0}};

static struct fault fault;

static json_t *row(const char *name, int count, const char *words)
{
    return json_pack("{s:s, s:n, s:i, s:s, s:{s:s}}", "name", name, "id", "count", count, "words",
                     words, "labels", "a", name);
}

/* What two rows, or none, look like. */
static char *print(enum format format, bool is_streaming, int rows, const char *const *options_line)
{
    struct options options = {0};
    struct render render;
    char *argv[8] = {(char *)(uintptr_t) "drover"};
    char *text = NULL;
    size_t size = 0;
    int argc = 1;

    for (; options_line != NULL && options_line[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)options_line[argc - 1];
    assert_int_equal(options_parse(&options, argc, argv, &fault), 0);
    assert_int_equal(render_open(&render, format, &options, columns, &fault), 0);
    render.out = open_memstream(&text, &size);
    render.is_streaming = is_streaming;
    render.has_colour = false;
    if (rows > 0)
        render_add(&render, row("web", 10, "first"));
    if (rows > 1)
        render_add(&render, row("a,\"b\n", 9, "\033[31mred"));
    assert_int_equal(render_close(&render), 0);
    assert_int_equal(fclose(render.out), 0);
    options_close(&options);
    return text;
}

static void assert_printed(enum format format, bool is_streaming, int rows,
                           const char *const *options, const char *wanted)
{
    char *text = print(format, is_streaming, rows, options);

    assert_string_equal(text, wanted);
    free(text);
}

static void test_render__json__is_one_array_without_words_for_people(void **state)
{
    static const char wanted[] =
        "[{\"name\":\"web\",\"id\":null,\"count\":10,\"labels\":{\"a\":\"web\"}},\n"
        " {\"name\":\"a,\\\"b\\n\",\"id\":null,\"count\":9,\"labels\":{\"a\":\"a,\\\"b\\n\"}}]\n";

    (void)state;
    assert_printed(FORMAT_JSON, false, 2, NULL, wanted);
    assert_printed(FORMAT_JSON, true, 2, NULL, wanted);
    assert_printed(FORMAT_JSON, false, 0, NULL, "[]\n");
    assert_printed(FORMAT_JSON, true, 0, NULL, "[]\n");
}

static void test_render__jsonl__is_an_object_a_line(void **state)
{
    (void)state;
    assert_printed(FORMAT_JSONL, true, 1, NULL,
                   "{\"name\":\"web\",\"id\":null,\"count\":10,\"labels\":{\"a\":\"web\"}}\n");
    assert_printed(FORMAT_JSONL, false, 0, NULL, "");
}

static void test_render__yaml__is_a_list(void **state)
{
    (void)state;
    assert_printed(FORMAT_YAML, false, 1, NULL,
                   "- name: \"web\"\n  id: null\n  count: 10\n  labels: {\"a\":\"web\"}\n");
    assert_printed(FORMAT_YAML, false, 0, NULL, "[]\n");
}

static void test_render__csv__quotes_what_needs_it(void **state)
{
    static const char *const bare[] = {"--no-header", NULL};

    (void)state;
    assert_printed(FORMAT_CSV, false, 2, NULL,
                   "name,id,count,labels\n"
                   "web,,10,\"{\"\"a\"\":\"\"web\"\"}\"\n"
                   "\"a,\"\"b\n\",,9,\"{\"\"a\"\":\"\"a,\\\"\"b\\n\"\"}\"\n");
    assert_printed(FORMAT_CSV, false, 0, NULL, "name,id,count,labels\n");
    assert_printed(FORMAT_CSV, true, 0, bare, "");
}

static void test_render__tables__are_for_people_and_harmless(void **state)
{
    static const char *const bare[] = {"--no-header", "-o", "words,count", NULL};
    char *text = print(FORMAT_TABLE, false, 2, NULL);

    (void)state;
    assert_non_null(strstr(text, "NAME"));
    assert_non_null(strstr(text, "WORDS"));
    assert_null(strstr(text, "ID")); /* for programs */
    assert_non_null(strstr(text, "\\x1b[31mred"));
    assert_null(strchr(text, '\033'));
    free(text);
    assert_printed(FORMAT_TABLE, true, 2, bare, "first     10\n\\x1b[31mred      9\n");
}

static void test_render__chosen_columns__come_in_that_order(void **state)
{
    static const char *const chosen[] = {"-o", "count,name", NULL};

    (void)state;
    assert_printed(FORMAT_JSONL, false, 1, chosen, "{\"count\":10,\"name\":\"web\"}\n");
    assert_printed(FORMAT_CSV, false, 1, chosen, "count,name\n10,web\n");
}

static void test_render__sorted__numbers_go_by_their_size(void **state)
{
    static const char *const by_count[] = {"-s", "count", "-o", "count", NULL};
    static const char *const by_name[] = {"-s", "name", "-o", "count", NULL};

    (void)state;
    assert_printed(FORMAT_CSV, false, 2, by_count, "count\n9\n10\n");
    assert_printed(FORMAT_CSV, false, 2, by_name, "count\n9\n10\n");
    assert_printed(FORMAT_CSV, false, 2, by_name + 2, "count\n10\n9\n");
}

static void test_render__unknown_columns__are_refused_with_those_there_are(void **state)
{
    static const char *const wrong[][2] = {
        {"-o", "nome"}, {"-o", "name,,id"}, {"-o", ""}, {"-o", "name,"}, {"-s", "nome"}};
    struct render render;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct options options = {0};
        char *argv[] = {(char *)(uintptr_t) "drover", (char *)(uintptr_t)wrong[i][0],
                        (char *)(uintptr_t)wrong[i][1]};

        assert_int_equal(options_parse(&options, 3, argv, &fault), 0);
        assert_true(render_open(&render, FORMAT_JSON, &options, columns, &fault) < 0);
        assert_int_equal(fault.status, STATUS_INVALID);
        assert_non_null(strstr(fault.hint, "labels"));
        options_close(&options);
    }
}

static void test_render__a_full_disk__is_an_error(void **state)
{
    struct options options = {0};
    struct render render;
    char *argv[] = {(char *)(uintptr_t) "drover"};

    (void)state;
    assert_int_equal(options_parse(&options, 1, argv, &fault), 0);
    assert_int_equal(render_open(&render, FORMAT_JSON, &options, columns, &fault), 0);
    render.out = fopen("/dev/full", "w");
    assert_non_null(render.out);
    render_add(&render, row("web", 1, ""));
    assert_true(render_close(&render) < 0);
    (void)fclose(render.out);
    options_close(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_render__json__is_one_array_without_words_for_people),
        cmocka_unit_test(test_render__jsonl__is_an_object_a_line),
        cmocka_unit_test(test_render__yaml__is_a_list),
        cmocka_unit_test(test_render__csv__quotes_what_needs_it),
        cmocka_unit_test(test_render__tables__are_for_people_and_harmless),
        cmocka_unit_test(test_render__chosen_columns__come_in_that_order),
        cmocka_unit_test(test_render__sorted__numbers_go_by_their_size),
        cmocka_unit_test(test_render__unknown_columns__are_refused_with_those_there_are),
        cmocka_unit_test(test_render__a_full_disk__is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
