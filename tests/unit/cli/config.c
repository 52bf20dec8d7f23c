/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a limit or a bind other than the one that was typed. Options of `create` are turned
 * into a configuration, and each field is looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_read.h"

static struct fault fault;

/* The options are read anew for each line; `read` points into static words. */
static int read_line(struct config_read *read, const char *line)
{
    static char words[1024];
    static struct options options;
    char *argv[64] = {words};
    int argc = 1;

    options_close(&options);
    fault = (struct fault){0};
    (void)snprintf(words, sizeof(words), "drover %s", line);
    (void)strtok(words, " ");
    for (char *word; argc < 63 && (word = strtok(NULL, " ")) != NULL;)
        argv[argc++] = word;
    assert_int_equal(options_parse(&options, argc, argv, &fault), 0);
    int result = config_read(read, &options, &fault);
    if (result < 0)
        config_read_close(read);
    return result;
}

static void test_config__nothing_but_a_template__has_the_defaults(void **state)
{
    struct config_read read;

    (void)state;
    assert_int_equal(read_line(&read, "--template deb"), 0);
    assert_string_equal(read.config.template_name, "deb");
    assert_string_equal(read.config.root, "");
    assert_int_equal(read.config.memory_max_bytes, LIMIT_NONE);
    assert_int_equal(read.config.swap_max_bytes, LIMIT_NONE);
    assert_int_equal(read.config.pids_max, 16384);
    assert_int_equal(read.config.cpu_milli, 0);
    assert_int_equal(read.config.cpu_weight, 100);
    assert_int_equal(read.config.ready, READY_AUTO);
    assert_int_equal(read.config.restart, RESTART_NEVER);
    assert_false(read.config.is_reboot_denied);
    assert_int_equal(read.config.on_node_lost, NODE_LOST_REPORT);
    assert_false(read.config.is_privileged);
    config_read_close(&read);
}

static void test_config__hooks__are_checked(void **state)
{
    static const char *const wrong[] = {"boot=/x", "mount=x", "mount", "mount=/a --hook mount=/b"};
    struct config_read read;
    char line[128];

    (void)state;
    assert_int_equal(read_line(&read, "--template deb --hook premount=/a --hook umount=/b=c"), 0);
    assert_int_equal(read.config.hook_count, 2);
    assert_string_equal(read.config.hooks[1].key, "umount");
    assert_string_equal(read.config.hooks[1].value, "/b=c");
    config_read_close(&read);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        (void)snprintf(line, sizeof(line), "--template deb --hook %s", wrong[i]);
        assert_true(read_line(&read, line) < 0);
        assert_int_equal(fault.status, STATUS_INVALID);
    }
}

static void test_config__limits_and_policies__are_as_typed(void **state)
{
    struct config_read read;

    (void)state;
    assert_int_equal(read_line(&read, "--root /r --memory 64M --swap 0 --pids 64 --cpus 1.5 "
                                      "--cpu-weight 10000 --init /sbin/i --ready notify "
                                      "--restart on-failure --allow-reboot no "
                                      "--on-node-lost restart --privileged --nested --ptrace"),
                     0);
    assert_string_equal(read.config.root, "/r");
    assert_int_equal(read.config.memory_max_bytes, 64 << 20);
    assert_int_equal(read.config.swap_max_bytes, 0);
    assert_int_equal(read.config.pids_max, 64);
    assert_int_equal(read.config.cpu_milli, 1500);
    assert_int_equal(read.config.cpu_weight, 10000);
    assert_string_equal(read.config.init, "/sbin/i");
    assert_int_equal(read.config.ready, READY_NOTIFY);
    assert_int_equal(read.config.restart, RESTART_ON_FAILURE);
    assert_true(read.config.is_reboot_denied);
    assert_int_equal(read.config.on_node_lost, NODE_LOST_RESTART);
    assert_true(read.config.is_privileged);
    assert_true(read.config.is_nested && read.config.has_ptrace);
    assert_false(read.config.has_fuse || read.config.has_tun);
    config_read_close(&read);
    assert_int_equal(read_line(&read, "--root /r --memory max --pids max"), 0);
    assert_int_equal(read.config.memory_max_bytes, LIMIT_NONE);
    assert_int_equal(read.config.pids_max, LIMIT_NONE);
    config_read_close(&read);
}

static void test_config__binds_and_lists__are_cut_where_they_should(void **state)
{
    struct config_read read;
    char cwd[256];
    char wanted[300];

    (void)state;
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    (void)snprintf(wanted, sizeof(wanted), "%s/rel", cwd);
    assert_int_equal(read_line(&read, "--root rel --bind /a:/b --bind rel:/c:plain:ro "
                                      "--tmpfs /t --tmpfs /u:2M --env A=B=C --env E= "
                                      "--label tier=web"),
                     0);
    assert_string_equal(read.config.root, wanted);
    assert_int_equal(read.config.bind_count, 2);
    assert_string_equal(read.config.binds[0].source, "/a");
    assert_string_equal(read.config.binds[0].target, "/b");
    assert_false(read.config.binds[0].is_read_only);
    assert_string_equal(read.config.binds[1].source, wanted);
    assert_true(read.config.binds[1].is_read_only);
    assert_true(read.config.binds[1].is_plain);
    assert_int_equal(read.config.tmpfs_count, 2);
    assert_int_equal(read.config.tmpfs[0].size_bytes, 0);
    assert_int_equal(read.config.tmpfs[1].size_bytes, 2 << 20);
    assert_int_equal(read.config.env_count, 2);
    assert_string_equal(read.config.env[0].key, "A");
    assert_string_equal(read.config.env[0].value, "B=C");
    assert_string_equal(read.config.env[1].value, "");
    assert_string_equal(read.config.labels[0].value, "web");
    config_read_close(&read);
}

static void test_config__what_is_wrong__is_refused_by_its_option(void **state)
{
    static const char *const lines[][2] = {
        {"", "--template"},
        {"--template a --root /b", "--template"},
        {"--root /r --memory 64MB", "--memory"},
        {"--root /r --memory -1", "--memory"},
        {"--root /r --swap x", "--swap"},
        {"--root /r --pids many", "--pids"},
        {"--root /r --cpus 0", "--cpus"},
        {"--root /r --cpus 1.2345", "--cpus"},
        {"--root /r --cpus .", "--cpus"},
        {"--root /r --cpu-weight 0", "--cpu-weight"},
        {"--root /r --cpu-weight 10001", "--cpu-weight"},
        {"--root /r --bind /a", "--bind"},
        {"--root /r --bind /a:b", "--bind"},
        {"--root /r --bind /a:/b:rw", "--bind"},
        {"--root /r --bind :/b", "--bind"},
        {"--root /r --tmpfs t", "--tmpfs"},
        {"--root /r --tmpfs /t:0", "--tmpfs"},
        {"--root /r --tmpfs /t:max", "--tmpfs"},
        {"--root /r --env A", "--env"},
        {"--root /r --env =A", "--env"},
        {"--root /r --label l", "--label"},
        {"--root /r --init sbin/init", "--init"},
        {"--root /r --restart sometimes", "--restart"},
        {"--root /r --allow-reboot maybe", "--allow-reboot"},
    };
    struct config_read read;

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_true(read_line(&read, lines[i][0]) < 0);
        assert_int_equal(fault.status, STATUS_INVALID);
        assert_non_null(strstr(fault.text, lines[i][1]));
    }
}

static void test_config__too_many_of_a_kind__are_refused(void **state)
{
    struct options options = {0};
    struct arena texts = {0};
    struct pair pairs[CONFIG_LIST_MAX];
    static char words[CONFIG_LIST_MAX + 1][16];
    char *argv[CONFIG_LIST_MAX + 2] = {words[0]};

    (void)state;
    for (int i = 0; i <= CONFIG_LIST_MAX; i++) {
        (void)snprintf(words[i], sizeof(words[i]), "--env=A%d=1", i);
        argv[i + 1] = words[i];
    }
    assert_int_equal(options_parse(&options, CONFIG_LIST_MAX + 1, argv, &fault), 0);
    assert_int_equal(pairs_read(&texts, &options, OPTION_ENV, pairs, &fault), CONFIG_LIST_MAX);
    options_close(&options);
    assert_int_equal(options_parse(&options, CONFIG_LIST_MAX + 2, argv, &fault), 0);
    assert_true(pairs_read(&texts, &options, OPTION_ENV, pairs, &fault) < 0);
    options_close(&options);
    arena_close(&texts);
}

static void test_cpus__fractions__are_thousandths(void **state)
{
    uint32_t milli = 0;

    (void)state;
    assert_true(cpus_read("2", &milli));
    assert_int_equal(milli, 2000);
    assert_true(cpus_read("0.25", &milli));
    assert_int_equal(milli, 250);
    assert_true(cpus_read("0.001", &milli));
    assert_int_equal(milli, 1);
    assert_false(cpus_read("", &milli));
    assert_false(cpus_read("1.", &milli));
    assert_false(cpus_read(".5", &milli));
    assert_false(cpus_read("1.5.5", &milli));
    assert_false(cpus_read("10000000", &milli));
    assert_int_equal(milli, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config__nothing_but_a_template__has_the_defaults),
        cmocka_unit_test(test_config__hooks__are_checked),
        cmocka_unit_test(test_config__limits_and_policies__are_as_typed),
        cmocka_unit_test(test_config__binds_and_lists__are_cut_where_they_should),
        cmocka_unit_test(test_config__what_is_wrong__is_refused_by_its_option),
        cmocka_unit_test(test_config__too_many_of_a_kind__are_refused),
        cmocka_unit_test(test_cpus__fractions__are_thousandths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
