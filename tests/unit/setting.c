/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a set that changes what it did not name, or that says of a value that it needs no stop
 * and is then not in force. Each key is set alone, to another value and to the one it has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "codec.h"

static const struct bind binds[] = {{"/a", "/x", false, false}, {"/b", "/y", true, false}};
static const struct bind other_binds[] = {{"/c", "/x", false, false}};
static const struct tmpfs tmpfs[] = {{"/t", 1}};
static const struct tmpfs other_tmpfs[] = {{"/t", 2}};
static const struct pair pairs[] = {{"A", "1"}, {"B", "2"}};
static const struct pair other_pairs[] = {{"B", "3"}, {"C", "4"}};
static const struct pair hooks[] = {{"start", "/a"}, {"stop", "/b"}};
static const struct pair other_hooks[] = {{"umount", "/c"}, {"stop", "/d"}};
static const char *const names[] = {"db"};
static const char *const other_names[] = {"cache"};

static struct config base(void)
{
    return (struct config){.template_name = "t",
                           .root = "",
                           .memory_max_bytes = 1 << 20,
                           .swap_max_bytes = LIMIT_NONE,
                           .pids_max = 10,
                           .cpu_milli = 500,
                           .cpu_weight = 100,
                           .binds = binds,
                           .bind_count = 2,
                           .tmpfs = tmpfs,
                           .tmpfs_count = 1,
                           .env = pairs,
                           .env_count = 2,
                           .init = "/sbin/init",
                           .ready = READY_AUTO,
                           .restart = RESTART_NEVER,
                           .on_node_lost = NODE_LOST_REPORT,
                           .labels = pairs,
                           .label_count = 2,
                           .hooks = hooks,
                           .hook_count = 2,
                           .depends = names,
                           .depend_count = 1};
}

static struct config other(void)
{
    return (struct config){.template_name = "",
                           .root = "",
                           .memory_max_bytes = 2 << 20,
                           .swap_max_bytes = 0,
                           .pids_max = 11,
                           .cpu_milli = 0,
                           .cpu_weight = 101,
                           .binds = other_binds,
                           .bind_count = 1,
                           .tmpfs = other_tmpfs,
                           .tmpfs_count = 1,
                           .env = other_pairs,
                           .env_count = 2,
                           .init = "",
                           .ready = READY_EXEC,
                           .restart = RESTART_ALWAYS,
                           .is_reboot_denied = true,
                           .on_node_lost = NODE_LOST_RESTART,
                           .labels = other_pairs,
                           .label_count = 2,
                           .stop_grace_ns = 7,
                           .autostart = AUTOSTART_YES,
                           .order = 3,
                           .family = FAMILY_RUNIT,
                           .ready_ns = 5,
                           .is_ready_kept = true,
                           .has_fuse = true,
                           .has_tun = true,
                           .has_ptrace = true,
                           .hooks = other_hooks,
                           .hook_count = 2,
                           .depends = other_names,
                           .depend_count = 1};
}

static struct arena arena; /* of one test at a time */

static bool takes_stop(enum setting_key key)
{
    return key == SETTING_BIND || key == SETTING_TMPFS || key == SETTING_ENV ||
           key == SETTING_INIT || key == SETTING_READY || key == SETTING_FAMILY ||
           key == SETTING_FUSE || key == SETTING_TUN || key == SETTING_PTRACE ||
           key == SETTING_HOOK;
}

static void apply(const struct config *from, const struct config *values,
                  const struct setting *settings, size_t count, struct config *ret_config,
                  struct ct_set *ret_set)
{
    struct command command = {.config = values, .settings = settings, .setting_count = count};
    struct fault fault = {0};

    assert_int_equal(setting_apply(from, &command, &arena, ret_config, ret_set, &fault), 0);
}

/* Encoded they are the same: all fields, and nothing that is not stored. */
static bool is_same(const struct config *a, const struct config *b)
{
    struct buffer one = {0};
    struct buffer two = {0};

    assert_int_equal(codec_encode_config(a, &one), 0);
    assert_int_equal(codec_encode_config(b, &two), 0);
    bool is = one.size_bytes == two.size_bytes && memcmp(one.data, two.data, one.size_bytes) == 0;
    buffer_close(&one);
    buffer_close(&two);
    return is;
}

static void test_setting__each_key_alone__changes_that_and_nothing_else(void **state)
{
    struct config from = base();
    struct config values = other();

    (void)state;
    for (unsigned key = 1; key < SETTING_COUNT; key++) {
        struct setting setting = {.key = (enum setting_key)key, .removed = ""};
        struct config once;
        struct config twice;
        struct ct_set set = {0};

        apply(&from, &values, &setting, 1, &once, &set);
        assert_int_equal(set.keys, SETTING_BIT(key));
        assert_int_equal(set.stop_keys, takes_stop((enum setting_key)key) ? SETTING_BIT(key) : 0);
        assert_int_equal(set.limit_keys != 0, key <= SETTING_CPU_WEIGHT);
        assert_false(set.is_same);
        assert_false(is_same(&from, &once));

        apply(&once, &values, &setting, 1, &twice, &set);
        assert_true(set.is_same);
        assert_int_equal(set.stop_keys, 0);
        assert_int_equal(set.limit_keys, 0);
        assert_true(is_same(&once, &twice));

        /* Back: all else stayed. A list grew, and is put back whole. */
        if (!setting_is_list((enum setting_key)key)) {
            apply(&once, &from, &setting, 1, &twice, &set);
            assert_true(is_same(&from, &twice));
        }
        arena_close(&arena);
    }
}

static void test_setting__list__is_put_into_taken_from_and_emptied(void **state)
{
    struct config from = base();
    struct config values = other();
    struct config none = {.template_name = "", .root = "", .init = ""};
    struct setting put = {.key = SETTING_ENV, .removed = ""};
    struct setting take = {.key = SETTING_ENV, .removed = "A"};
    struct setting clear = {.key = SETTING_ENV, .is_cleared = true, .removed = ""};
    struct setting absent = {.key = SETTING_ENV, .removed = "Z"};
    struct config config;
    struct ct_set set = {0};

    (void)state;
    apply(&from, &values, &put, 1, &config, &set);
    assert_int_equal(config.env_count, 3);
    assert_string_equal(config.env[1].key, "B"); /* in its place, with the new value */
    assert_string_equal(config.env[1].value, "3");
    assert_string_equal(config.env[2].key, "C");

    apply(&from, &none, &take, 1, &config, &set);
    assert_int_equal(config.env_count, 1);
    assert_string_equal(config.env[0].key, "B");

    apply(&from, &none, &absent, 1, &config, &set);
    assert_true(set.is_same);

    apply(&from, &none, &clear, 1, &config, &set);
    assert_int_equal(config.env_count, 0);

    const struct setting both[] = {clear, put};
    apply(&from, &values, both, 2, &config, &set);
    assert_int_equal(config.env_count, 2);
    assert_string_equal(config.env[0].value, "3");
    assert_int_equal(config.bind_count, 2);
    arena_close(&arena);
}

static void test_setting__hooks__are_named_by_their_points(void **state)
{
    struct config from = base();
    struct config values = other();
    struct config none = {.template_name = "", .root = "", .init = ""};
    struct setting put = {.key = SETTING_HOOK, .removed = ""};
    struct setting take = {.key = SETTING_HOOK, .removed = "start"};
    struct setting clear = {.key = SETTING_HOOK, .is_cleared = true, .removed = ""};
    struct config config;
    struct ct_set set = {0};

    (void)state;
    apply(&from, &values, &put, 1, &config, &set);
    assert_int_equal(config.hook_count, 3);
    assert_string_equal(config.hooks[1].value, "/d"); /* one of a point, in its place */
    assert_string_equal(config.hooks[2].key, "umount");
    assert_true(config_has_hooks(&config));

    apply(&from, &none, &take, 1, &config, &set);
    assert_int_equal(config.hook_count, 1);
    assert_string_equal(config.hooks[0].key, "stop");

    apply(&from, &none, &clear, 1, &config, &set);
    assert_int_equal(config.hook_count, 0);
    assert_int_equal(set.stop_keys, SETTING_BIT(SETTING_HOOK));
    arena_close(&arena);
}

static void test_setting__longer_list_than_there_may_be__is_refused(void **state)
{
    static char texts[CONFIG_LIST_MAX + 1][8];
    static struct pair many[CONFIG_LIST_MAX];
    struct config from = base();
    struct config values = other();
    struct setting put = {.key = SETTING_LABEL, .removed = ""};
    struct command command = {.config = &values, .settings = &put, .setting_count = 1};
    struct config config;
    struct ct_set set = {0};
    struct fault fault = {0};

    (void)state;
    for (size_t i = 0; i < CONFIG_LIST_MAX; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "k%zu", i);
        many[i] = (struct pair){texts[i], ""};
    }
    values.labels = many;
    values.label_count = CONFIG_LIST_MAX;
    assert_int_equal(setting_apply(&from, &command, &arena, &config, &set, &fault), -EINVAL);
    assert_int_equal(fault.status, STATUS_INVALID);
    assert_non_null(strstr(fault.text, "label"));
    arena_close(&arena);
}

static void test_setting__names__are_found_again(void **state)
{
    (void)state;
    for (unsigned key = 1; key < SETTING_COUNT; key++)
        assert_int_equal(setting_find(setting_name((enum setting_key)key)), key);
    assert_int_equal(setting_find("template"), SETTING_UNSET);
    assert_int_equal(setting_find("nested"), SETTING_UNSET);
    assert_int_equal(setting_find(""), SETTING_UNSET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setting__each_key_alone__changes_that_and_nothing_else),
        cmocka_unit_test(test_setting__list__is_put_into_taken_from_and_emptied),
        cmocka_unit_test(test_setting__hooks__are_named_by_their_points),
        cmocka_unit_test(test_setting__longer_list_than_there_may_be__is_refused),
        cmocka_unit_test(test_setting__names__are_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
