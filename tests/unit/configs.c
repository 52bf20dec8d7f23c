/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a container made from another's configuration, or from one that cannot be. Each kind of
 * bad value is refused in words; what is kept comes out once, as it went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "configs.h"

static struct config good(void)
{
    return (struct config){.template_name = "debian-12",
                           .root = "",
                           .init = "",
                           .memory_max_bytes = UINT64_C(64) << 20,
                           .swap_max_bytes = 0,
                           .pids_max = LIMIT_NONE,
                           .cpu_weight = 100,
                           .ready = READY_AUTO,
                           .restart = RESTART_NEVER,
                           .on_node_lost = NODE_LOST_REPORT};
}

static void refuse(const struct config *config, int error, const char *words)
{
    struct configs configs = {0};
    struct fault fault = {0};

    assert_int_equal(configs_expect(&configs, "r", config, &fault), -EINVAL);
    assert_int_equal(fault.status, STATUS_INVALID);
    assert_int_equal(fault.error, error);
    if (strstr(fault.text, words) == NULL)
        fail_msg("'%s' does not say '%s'", fault.text, words);
    assert_null(configs.first);
}

static void test_configs__bad_values__are_refused_in_words(void **state)
{
    char long_init[80] = "/";
    struct config config = good();

    (void)state;
    config.template_name = "";
    refuse(&config, 0, "one of --template and --root");
    config.template_name = "debian-12";
    config.root = "/srv/root";
    refuse(&config, 0, "one of --template and --root");
    config.root = "";
    config.template_name = "../etc";
    refuse(&config, 0, "../etc: not a name for a template");
    config.template_name = "";
    config.root = "srv/root";
    refuse(&config, 0, "--root srv/root: an absolute path");
    config = good();
    config.cpu_weight = 10001;
    refuse(&config, 0, "cpu-weight 10001");
    config = good();
    config.init = "sbin/init";
    refuse(&config, 0, "--init sbin/init: an absolute path");
    memset(long_init + 1, 'i', sizeof(long_init) - 2);
    config.init = long_init;
    refuse(&config, ENAMETOOLONG, "too long");
    config = good();
    config.memory_max_bytes = 0;
    refuse(&config, 0, "0 memory");
    config = good();
    config.pids_max = 0;
    refuse(&config, 0, "0 pids");
}

static void test_configs__edges_of_what_is_good__are_taken(void **state)
{
    struct configs configs = {0};
    struct fault fault = {0};
    struct config config = good();
    char init[64] = "/";

    (void)state;
    memset(init + 1, 'i', sizeof(init) - 2);
    config.init = init; /* 63 octets */
    config.cpu_weight = 10000;
    config.memory_max_bytes = LIMIT_NONE;
    config.pids_max = 1;
    assert_int_equal(configs_expect(&configs, "r", &config, &fault), 0);
    assert_int_equal(fault.status, STATUS_UNSET);
    config = good();
    config.template_name = "";
    config.root = "/";
    assert_int_equal(configs_expect(&configs, "s", &config, &fault), 0);
    configs_close(&configs);
}

static void assert_kept(struct configs *configs, const char *request, const char *template_name)
{
    struct octets octets = configs_take(configs, request);
    struct arena arena = {0};
    struct config config;

    assert_non_null(octets.data);
    assert_int_equal(codec_decode_config(octets.data, octets.size_bytes, &arena, &config), 0);
    assert_string_equal(config.template_name, template_name);
    assert_int_equal(config.memory_max_bytes, UINT64_C(64) << 20);
    assert_true(config.pids_max == LIMIT_NONE);
    arena_close(&arena);
    free((void *)(uintptr_t)octets.data);
}

static void test_configs__each_request__takes_its_own_once(void **state)
{
    static const char *const requests[] = {"a", "b", "c"};
    static const char *const templates[] = {"alpine", "busybox", "debian"};
    struct configs configs = {0};
    struct fault fault = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct config config = good();
        char name[16];

        memcpy(name, templates[i], strlen(templates[i]) + 1);
        config.template_name = name;
        assert_int_equal(configs_expect(&configs, requests[i], &config, &fault), 0);
        memset(name, 'x', sizeof(name) - 1); /* a copy was kept */
    }
    assert_null(configs_take(&configs, "d").data);
    assert_kept(&configs, "b", "busybox");
    assert_null(configs_take(&configs, "b").data);
    assert_kept(&configs, "a", "alpine");
    assert_kept(&configs, "c", "debian");
    assert_null(configs.first);
}

static void test_configs__what_nobody_took__is_freed(void **state)
{
    struct configs configs = {0};
    struct fault fault = {0};
    struct config config = good();

    (void)state;
    assert_int_equal(configs_expect(&configs, "a", &config, &fault), 0);
    assert_int_equal(configs_expect(&configs, "b", &config, &fault), 0);
    configs_close(&configs);
    assert_null(configs.first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configs__bad_values__are_refused_in_words),
        cmocka_unit_test(test_configs__edges_of_what_is_good__are_taken),
        cmocka_unit_test(test_configs__each_request__takes_its_own_once),
        cmocka_unit_test(test_configs__what_nobody_took__is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
