/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: what a container was created as, which the controller still shows while its node is
 * down. In one turn one may go and another of its name come; what the registry gives the store is
 * written into a real database, and the configuration is read from there. */
#include "rig.h"

#include <string.h>

#include "registry.h"

static struct registry registry;
static struct member *member;
static struct ctl_batch *turn;

static int set_up(void **state)
{
    if (rig_start(state) < 0)
        return -1;
    registry = (struct registry){0};
    assert_int_equal(registry_add(&registry, "n1", &member), 0);
    rig_node(member->index, "n1");
    rig_commit();
    turn = ctl_batch_new();
    return 0;
}

static int tear_down(void **state)
{
    ctl_batch_free(turn);
    registry_close(&registry);
    return rig_stop(state);
}

static void tell(uint8_t id)
{
    const struct container_view view = {
        .name = "web", .node = "n1", .uuid = {id}, .state = CT_STOPPED};

    assert_int_equal(known_tell(member, &view, registry.mark), 0);
}

/* As the receipt of a create has it. */
static void store_config(const char *config)
{
    const struct octets octets = {(const uint8_t *)config, strlen(config)};

    registry_store_known(known_find(member, "web"), member, &octets, turn);
}

static void end_turn(void)
{
    registry_store(&registry, turn);
    assert_int_equal(ctl_writer_begin(&rig.writer, rig.now_wall_ns), SQLITE_OK);
    assert_int_equal(ctl_writer_apply(&rig.writer, turn), SQLITE_OK);
    assert_int_equal(ctl_writer_commit(&rig.writer), SQLITE_OK);
    ctl_batch_free(turn);
    turn = ctl_batch_new();
}

static void expect_config(const char *config)
{
    struct ctl_read query = {.kind = CTL_READ_CONFIG, .node = member->index, .name = "web"};
    const struct ctl_read *read = rig_read(&query);

    assert_int_equal(read->config.size_bytes, strlen(config));
    if (config[0] != '\0')
        assert_memory_equal(read->config.data, config, strlen(config));
}

static void make_first(void)
{
    tell(1);
    store_config("first");
    end_turn();
    expect_config("first");
}

static void test_registry__gone_and_made_anew_in_a_turn__has_its_configuration(void **state)
{
    (void)state;
    make_first();

    known_remove(member, known_find(member, "web"));
    tell(2);
    store_config("second");
    end_turn();

    expect_config("second");
}

static void test_registry__made_and_gone_in_a_turn__leaves_none(void **state)
{
    (void)state;
    tell(1);
    store_config("first");
    known_remove(member, known_find(member, "web"));
    end_turn();

    expect_config("");
}

static void test_registry__gone_and_told_anew__has_none_of_the_former(void **state)
{
    (void)state;
    make_first();

    known_remove(member, known_find(member, "web"));
    tell(2);
    end_turn();

    expect_config("");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_registry__gone_and_made_anew_in_a_turn__has_its_configuration),
        TEST(test_registry__made_and_gone_in_a_turn__leaves_none),
        TEST(test_registry__gone_and_told_anew__has_none_of_the_former),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
