/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: what was typed behind `set` taken for something else. Words of every key are read, and
 * those that cannot be are refused in words that name them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "setting_read.h"
#include "units.h"

static void refused(const char *word, const char *words)
{
    struct setting_read read;
    struct fault fault = {0};

    assert_int_equal(setting_read(&read, &word, 1, &fault), -EINVAL);
    assert_int_equal(fault.status, STATUS_INVALID);
    if (strstr(fault.text, words) == NULL)
        fail_msg("'%s' does not say '%s'", fault.text, words);
    assert_int_not_equal(fault.text[0], '-');
    setting_read_close(&read);
}

static void test_setting_read__each_key__is_known_and_has_its_value(void **state)
{
    static const char *const words[] = {"memory=64M",
                                        "swap=0",
                                        "pids=9",
                                        "cpus=1.5",
                                        "cpu-weight=7",
                                        "bind=/a:/b:ro",
                                        "tmpfs=/t:1M",
                                        "env=A=1=2",
                                        "init=/bin/init",
                                        "ready=exec",
                                        "restart=always",
                                        "allow-reboot=no",
                                        "on-node-lost=restart",
                                        "label=role=web",
                                        "stop-grace=3s",
                                        "autostart=disabled",
                                        "order=4",
                                        "depends=db",
                                        "family=busybox",
                                        "ready-timeout=5s",
                                        "ready-policy=keep",
                                        "fuse=yes",
                                        "tun=no",
                                        "ptrace=yes",
                                        "hook=start=/h"};
    const struct config *config;
    struct setting_read read;
    struct fault fault = {0};

    (void)state;
    assert_int_equal(sizeof(words) / sizeof(words[0]), SETTING_COUNT - 1);
    assert_int_equal(setting_read(&read, words, SETTING_COUNT - 1, &fault), 0);
    assert_int_equal(read.count, SETTING_COUNT - 1);
    for (size_t i = 0; i < read.count; i++) {
        assert_int_equal(read.settings[i].key, i + 1);
        assert_false(read.settings[i].is_cleared);
        assert_string_equal(read.settings[i].removed, "");
    }
    config = &read.values.config;
    assert_int_equal(config->memory_max_bytes, 64 << 20);
    assert_int_equal(config->cpu_milli, 1500);
    assert_true(config->binds[0].is_read_only);
    assert_string_equal(config->env[0].value, "1=2");
    assert_int_equal(config->ready, READY_EXEC);
    assert_int_equal(config->restart, RESTART_ALWAYS);
    assert_true(config->is_reboot_denied);
    assert_string_equal(config->labels[0].key, "role");
    assert_int_equal(config->stop_grace_ns, UINT64_C(3000000000));
    assert_int_equal(config->autostart, AUTOSTART_DISABLED);
    assert_int_equal(config->order, 4);
    assert_string_equal(config->depends[0], "db");
    assert_true(config->has_fuse && config->has_ptrace);
    assert_false(config->has_tun);
    assert_string_equal(config->hooks[0].key, "start");
    assert_string_equal(config->hooks[0].value, "/h");
    setting_read_close(&read);
}

static void test_setting_read__lists__are_taken_from_and_emptied(void **state)
{
    static const char *const words[] = {"env=", "label-=role", "bind-=/x", "hook-=stop", "hook="};
    struct setting_read read;
    struct fault fault = {0};

    (void)state;
    assert_int_equal(setting_read(&read, words, 5, &fault), 0);
    assert_true(read.settings[0].is_cleared);
    assert_string_equal(read.settings[1].removed, "role");
    assert_string_equal(read.settings[2].removed, "/x");
    assert_string_equal(read.settings[3].removed, "stop");
    assert_true(read.settings[4].is_cleared);
    assert_int_equal(read.values.config.env_count, 0);
    setting_read_close(&read);
}

static void test_setting_read__nothing__is_no_limit_and_the_default(void **state)
{
    static const char *const words[] = {"memory=", "cpus=", "init=", "stop-grace=", "fuse="};
    struct setting_read read;
    struct fault fault = {0};

    (void)state;
    assert_int_equal(setting_read(&read, words, 5, &fault), 0);
    assert_true(read.values.config.memory_max_bytes == LIMIT_NONE);
    assert_int_equal(read.values.config.cpu_milli, 0);
    assert_string_equal(read.values.config.init, "");
    assert_int_equal(read.values.config.stop_grace_ns, 0);
    assert_false(read.values.config.has_fuse);
    setting_read_close(&read);
}

static void test_setting_read__cpuunits__reach_over_the_whole_range(void **state)
{
    static const struct {
        const char *word;
        uint32_t weight;
    } rows[] = {{"cpuunits=8", 1},        {"cpuunits=1000", 100},     {"cpuunits=1004", 100},
                {"cpuunits=50000", 5000}, {"cpuunits=100000", 10000}, {"cpuunits=500000", 10000}};
    uint32_t before = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct setting_read read;
        struct fault fault = {0};

        assert_int_equal(setting_read(&read, &rows[i].word, 1, &fault), 0);
        assert_int_equal(read.settings[0].key, SETTING_CPU_WEIGHT);
        assert_int_equal(read.values.config.cpu_weight, rows[i].weight);
        setting_read_close(&read);
    }
    for (uint64_t units = 8; units <= 500000; units++) {
        uint32_t weight = 0;

        assert_true(cpuunits_weight(units, &weight));
        assert_true(weight >= 1 && weight <= 10000 && weight >= before);
        before = weight;
    }
}

static void test_setting_read__what_cannot_be__is_refused_in_words(void **state)
{
    (void)state;
    refused("memory=abc", "memory abc: not a size");
    refused("memory=1-sdc", "memory 1-sdc: not a size");
    refused("pids=-1", "pids -1: not a number");
    refused("cpu-weight=0", "1 to 10000");
    refused("cpu-weight=10001", "1 to 10000");
    refused("cpuunits=7", "8 to 500000");
    refused("cpuunits=500001", "8 to 500000");
    refused("order=4294967296", "too large");
    refused("nonsense=1", "no such key");
    refused("template=t", "fixed");
    refused("root=/", "fixed");
    refused("privileged=yes", "fixed");
    refused("nested=yes", "fixed");
    refused("fuse=maybe", "fuse maybe: yes or no");
    refused("ptrace=1", "yes or no");
    refused("hook=boot=/x", "premount, mount, start");
    refused("hook=start=x", "a path from /");
    refused("hook=start", "K=V");
    refused("memory", "KEY=VALUE");
    refused("=5", "KEY=VALUE");
    refused("memory-=5", "entry of a list");
    refused("env-=", "entry of a list");
    refused("a-key-that-is-longer-than-any-that-there-is=1", "KEY=VALUE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setting_read__each_key__is_known_and_has_its_value),
        cmocka_unit_test(test_setting_read__lists__are_taken_from_and_emptied),
        cmocka_unit_test(test_setting_read__nothing__is_no_limit_and_the_default),
        cmocka_unit_test(test_setting_read__cpuunits__reach_over_the_whole_range),
        cmocka_unit_test(test_setting_read__what_cannot_be__is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
