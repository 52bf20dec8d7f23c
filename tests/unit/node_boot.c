/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a node that comes up without the guests that were on it, with guests that were not, or
 * in another order than was asked for; and one that is shut down and forgets what ran. Rows are
 * taken up as after the machine's boot; what comes of them is looked at turn by turn. */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "found.h"

static struct ct_found down_of(const char *name, enum ct_state state, enum autostart autostart,
                               uint32_t order)
{
    struct ct_found found = row_of(state);

    (void)snprintf(found.name, NAME_BYTES, "%s", name);
    found.uuid[0] = (uint8_t)name[0];
    found.policy.autostart = autostart;
    found.policy.order = order;
    found.is_node_down = true;
    return found;
}

/* Nobody boots before all are known. */
static uint32_t adopt(struct world *world, const char *name, uint32_t order)
{
    struct ct_found found = down_of(name, CT_STOPPED, AUTOSTART_YES, order);

    node_stop_admission(world->node, true);
    return world_adopt(world, &found);
}

static void begin(struct world *world)
{
    node_stop_admission(world->node, false);
    assert_int_equal(world_order(world, VERB_STOP, "nobody"), PHASE_FAILED); /* any turn */
}

static void boot(struct world *world, uint32_t ct)
{
    assert_state(world, ct, CT_PREPARING);
    world_boot(world, ct);
    assert_state(world, ct, CT_RUNNING);
}

static enum phase order_down(struct world *world, enum verb verb, const char *name)
{
    struct ct_command command = {.verb = verb, .is_for_shutdown = true, .wait = WAIT_FOR_READY};

    (void)snprintf(command.container, NAME_BYTES, "%s", name);
    return world_command(world, &command)->phase;
}

static void test_node_boot__autostart__decides_with_what_ran(void **state)
{
    static const struct {
        enum autostart autostart;
        bool was_up, comes_up;
    } cases[] = {
        {AUTOSTART_UNSET, true, true},     {AUTOSTART_UNSET, false, false},
        {AUTOSTART_DEFAULT, true, true},   {AUTOSTART_DEFAULT, false, false},
        {AUTOSTART_YES, true, true},       {AUTOSTART_YES, false, true},
        {AUTOSTART_NO, true, false},       {AUTOSTART_NO, false, false},
        {AUTOSTART_DISABLED, true, false}, {AUTOSTART_DISABLED, false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct world *world = world_open();
        struct ct_found found =
            down_of("web", cases[i].was_up ? CT_RUNNING : CT_STOPPED, cases[i].autostart, 0);
        uint32_t ct = world_adopt(world, &found);

        if (cases[i].was_up) {
            assert_cause(world, CAUSE_NODE_DOWN);
            world_see(world, ct, IN_CLEANED_STOP);
        }
        world_pass(world, 1);
        assert_state(world, ct, cases[i].comes_up ? CT_PREPARING : CT_STOPPED);
        assert_int_equal(world_ct(world, ct)->generation, cases[i].comes_up ? 4 : 3);
        assert_int_equal(world_ct(world, ct)->boot, CT_BOOT_NONE);
        world_close(world);
    }
}

static void test_node_boot__order__is_kept_with_a_place_each(void **state)
{
    struct world *world = world_open();
    uint32_t low = adopt(world, "low", 1);
    uint32_t mid = adopt(world, "mid", 5);
    uint32_t top = adopt(world, "top", 9);

    (void)state;
    node_set_boot_parallel(world->node, 1);
    begin(world);
    assert_state(world, mid, CT_STOPPED);
    boot(world, top);
    world_pass(world, 1);
    assert_state(world, low, CT_STOPPED);
    boot(world, mid);
    world_pass(world, 1);
    boot(world, low);
    world_close(world);
}

static void test_node_boot__dependency__is_waited_for_until_it_is_ready_or_cannot_be(void **state)
{
    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        struct world *world = world_open();
        uint32_t web = adopt(world, "web", 9);
        uint32_t db = adopt(world, "db", 0);

        node_boot_after(world->node, web, "db");
        node_boot_after(world->node, web, "nobody");
        begin(world);
        assert_state(world, web, CT_STOPPED);
        assert_state(world, db, CT_PREPARING);
        if (fails) {
            world_see(world, db, IN_PREPARE_FAILED);
            world_see(world, db, IN_CLEANED_STOP);
        } else {
            world_boot(world, db);
        }
        world_pass(world, 1);
        boot(world, web);
        world_close(world);
    }
}

static void test_node_boot__agent_that_died_meanwhile__goes_on_with_the_rest(void **state)
{
    struct world *world = world_open();
    struct ct_found found = down_of("web", CT_STOPPED, AUTOSTART_YES, 0);

    (void)state;
    found.is_node_down = false;
    found.boot = CT_BOOT_DUE;
    uint32_t due = world_adopt(world, &found);
    found = down_of("next", CT_STOPPED, AUTOSTART_DEFAULT, 0);
    found.is_node_down = false;
    found.boot = CT_BOOT_NEXT;
    uint32_t later = world_adopt(world, &found);
    world_pass(world, 1);
    assert_state(world, due, CT_PREPARING);
    assert_state(world, later, CT_STOPPED); /* it was shut down, and the machine was not */
    world_close(world);
}

static void test_node_boot__stop_of_one_that_waits__takes_it_out(void **state)
{
    struct world *world = world_open();
    uint32_t first = adopt(world, "first", 9);
    uint32_t second = adopt(world, "second", 0);

    (void)state;
    node_set_boot_parallel(world->node, 1);
    begin(world);
    assert_int_equal(world_order(world, VERB_STOP, "second"), PHASE_UNCHANGED);
    boot(world, first);
    world_pass(world, 1);
    assert_state(world, second, CT_STOPPED);
    assert_int_equal(world_ct(world, second)->boot, CT_BOOT_NONE);
    world_close(world);
}

static void test_node_boot__shutdown__brings_back_what_ran(void **state)
{
    struct world *world = world_open();
    uint32_t up = world_run(world, "up", NULL);
    uint32_t killed = world_run(world, "killed", NULL);
    uint32_t off = world_make(world, "off", NULL);

    (void)state;
    assert_int_equal(order_down(world, VERB_STOP, "up"), PHASE_ACCEPTED);
    world_end(world, up, KILLED(2));
    assert_int_equal(world_ct(world, up)->boot, CT_BOOT_NEXT);
    assert_int_equal(order_down(world, VERB_STOP, "killed"), PHASE_ACCEPTED);
    assert_int_equal(order_down(world, VERB_KILL, "killed"), PHASE_ACCEPTED);
    world_end(world, killed, KILLED(9));
    assert_int_equal(world_ct(world, killed)->boot, CT_BOOT_NEXT);
    assert_int_equal(order_down(world, VERB_STOP, "off"), PHASE_UNCHANGED);
    assert_int_equal(world_ct(world, off)->boot, CT_BOOT_NONE);

    world_see(world, up, IN_CLEANED_STOP);
    assert_int_equal(world_order(world, VERB_STOP, "up"), PHASE_UNCHANGED);
    assert_int_equal(world_ct(world, up)->boot, CT_BOOT_NONE); /* somebody wants it down */
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_boot__autostart__decides_with_what_ran),
        cmocka_unit_test(test_node_boot__order__is_kept_with_a_place_each),
        cmocka_unit_test(test_node_boot__dependency__is_waited_for_until_it_is_ready_or_cannot_be),
        cmocka_unit_test(test_node_boot__agent_that_died_meanwhile__goes_on_with_the_rest),
        cmocka_unit_test(test_node_boot__stop_of_one_that_waits__takes_it_out),
        cmocka_unit_test(test_node_boot__shutdown__brings_back_what_ran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
