/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: no record, however wrong, changes anything or costs a descriptor. A real keeper is sent
 * every kind of wrong record and random octets, and must still serve afterwards. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "rig.h"
#include "sys.h"

static void send_raw(struct rig *rig, const void *data, size_t size_bytes, const int *fds,
                     size_t fd_count)
{
    assert_int_equal(sys_send_fds(rig->agent, data, size_bytes, fds, fd_count), size_bytes);
}

static void assert_still_serves(struct rig *rig)
{
    struct packet packet;
    uint64_t launch = rig_launch(rig, &(struct guest){.args = {"exit", "7"}});
    rig_await(rig, launch, KW_PHASE_ENDED, &packet);
    assert_int_equal(packet.record.wait_status, 7 << 8);
    rig_drop(&packet);
    rig_ack(rig, launch, RIG_GENERATION, packet.record.change);
}

static void test_wire__wrong_header__is_refused_with_the_reason(void **state)
{
    struct rig *rig = *state;
    const struct kw_go good = {.header = {.magic = KW_MAGIC,
                                          .version = KW_VERSION,
                                          .type = KW_GO,
                                          .size_bytes = sizeof(good)},
                               .launch = 5};
    struct kw_go go = good;

    go.header.magic++;
    send_raw(rig, &go, sizeof(go), NULL, 0);
    rig_await_refused(rig, KW_GO, KW_REFUSED_MALFORMED);

    go = good;
    go.header.version++;
    send_raw(rig, &go, sizeof(go), NULL, 0);
    rig_await_refused(rig, KW_GO, KW_REFUSED_VERSION);

    go = good;
    go.header.type = KW_WELCOME;
    send_raw(rig, &go, sizeof(go), NULL, 0);
    rig_await_refused(rig, KW_WELCOME, KW_REFUSED_TYPE);

    go = good;
    go.header.size_bytes--;
    send_raw(rig, &go, sizeof(go), NULL, 0);
    rig_await_refused(rig, KW_GO, KW_REFUSED_MALFORMED);

    go = good;
    go.header.fd_count = 1;
    send_raw(rig, &go, sizeof(go), NULL, 0);
    rig_await_refused(rig, KW_GO, KW_REFUSED_MALFORMED);

    send_raw(rig, &good, sizeof(good), NULL, 0);
    rig_await_refused(rig, KW_GO, KW_REFUSED_UNKNOWN);
    assert_still_serves(rig);
}

static void test_wire__short_empty_and_oversized__are_refused(void **state)
{
    struct rig *rig = *state;
    static char large[65536];
    struct kw_ack ack = {
        .header = {
            .magic = KW_MAGIC, .version = KW_VERSION, .type = KW_ACK, .size_bytes = sizeof(ack)}};

    for (size_t size_bytes = 0; size_bytes < sizeof(ack); size_bytes++) {
        send_raw(rig, &ack, size_bytes, NULL, 0);
        rig_await_refused(rig, size_bytes < sizeof(ack.header) ? 0 : KW_ACK, KW_REFUSED_MALFORMED);
    }
    memcpy(large, &ack, sizeof(ack));
    send_raw(rig, large, sizeof(large), NULL, 0);
    rig_await_refused(rig, 0, KW_REFUSED_MALFORMED);

    assert_still_serves(rig);
}

static void test_wire__descriptors_of_refused_records__are_closed(void **state)
{
    struct rig *rig = *state;
    struct kw_spawn spawn = {.spawn = 1};
    struct kw_go go = {.launch = 5};
    int fds[SYS_FDS_MAX];
    assert_still_serves(rig);
    int before = rig_count_fds(rig);
    AUTO_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (size_t i = 0; i < COUNT_OF(fds); i++)
        fds[i] = null;

    rig_send(rig, &go.header, KW_GO, sizeof(go), fds, 9);
    rig_await_refused(rig, KW_GO, KW_REFUSED_MALFORMED);
    rig_send(rig, &go.header, KW_GO, sizeof(go), fds, SYS_FDS_MAX);
    rig_await_refused(rig, 0, KW_REFUSED_MALFORMED);
    memset(spawn.roles, KW_FD_STDIN, 3);
    rig_send(rig, &spawn.header, KW_SPAWN, sizeof(spawn), fds, 3);
    rig_await_refused(rig, KW_SPAWN, KW_REFUSED_MALFORMED);
    spawn.roles[0] = KW_FD_PLAN; /* a device is no plan */
    spawn.roles[1] = 0;
    spawn.roles[2] = 0;
    rig_send(rig, &spawn.header, KW_SPAWN, sizeof(spawn), fds, 1);
    rig_await_refused(rig, KW_SPAWN, KW_REFUSED_MALFORMED);
    rig_send(rig, &spawn.header, KW_SPAWN, sizeof(spawn), fds, 2); /* one has no role */
    rig_await_refused(rig, KW_SPAWN, KW_REFUSED_MALFORMED);

    assert_int_equal(rig_count_fds(rig), before);
    assert_still_serves(rig);
}

static void test_wire__before_hello__only_hello_is_served(void **state)
{
    struct rig *rig = *state;
    int first = rig->agent;
    rig_connect(rig); /* before the first goes: a keeper with nothing to keep ends */
    (void)close(first);

    rig_order(rig, KW_GO, 1);
    rig_await_refused(rig, KW_GO, KW_REFUSED_PHASE);
    rig_ack(rig, 1, RIG_GENERATION, 1);
    rig_await_refused(rig, KW_ACK, KW_REFUSED_PHASE);
    rig_greet(rig);
    struct kw_hello hello = {.build = "again"};
    rig_send(rig, &hello.header, KW_HELLO, sizeof(hello), NULL, 0);
    rig_await_refused(rig, KW_HELLO, KW_REFUSED_PHASE);

    assert_still_serves(rig);
}

static void test_wire__orders_out_of_turn__are_refused(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch = rig_launch(rig, &(struct guest){.args = {"wait"}});
    rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
    rig_drop(&packet);

    rig_order(rig, KW_GO, launch);
    rig_await_refused(rig, KW_GO, KW_REFUSED_PHASE);
    rig_order(rig, KW_ABORT, launch);
    rig_await_refused(rig, KW_ABORT, KW_REFUSED_PHASE);
    rig_ack(rig, launch, RIG_GENERATION, packet.record.change + 1);
    rig_await_refused(rig, KW_ACK, KW_REFUSED_PHASE);
    rig_ack(rig, launch, RIG_GENERATION + 1, packet.record.change);
    rig_await_refused(rig, KW_ACK, KW_REFUSED_UNKNOWN);
    rig->launch--;
    (void)rig_launch(rig, &(struct guest){.args = {"exit"}});
    rig_await_refused(rig, KW_LAUNCH, KW_REFUSED_DUPLICATE);

    assert_still_serves(rig);
}

static void test_wire__second_agent__waits_for_the_end_of_the_first(void **state)
{
    struct rig *rig = *state;
    int first = rig->agent;
    struct kw_hello hello = {.build = "second"};

    rig->agent = -1;
    rig_connect(rig);
    rig_send(rig, &hello.header, KW_HELLO, sizeof(hello), NULL, 0);
    assert_true(rig_is_silent(rig, 100));
    (void)close(first);

    struct packet packet;
    rig_receive(rig, &packet);
    assert_int_equal(packet.header.type, KW_WELCOME);
}

static void test_wire__random_records__never_stop_it(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    AUTO_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int fds[] = {null, null, null};
    assert_still_serves(rig);
    int before = rig_count_fds(rig);
    unsigned seed = 1;

    for (int round = 0; round < 20000; round++) {
        union {
            unsigned char bytes[sizeof(struct kw_launch)];
            struct kw_header header;
        } record;
        size_t size_bytes = (size_t)rand_r(&seed) % sizeof(record);
        for (size_t i = 0; i < sizeof(record); i++)
            record.bytes[i] = (unsigned char)rand_r(&seed);
        if (round % 4 != 0) { /* most get past the header */
            static const uint16_t sizes[] = {sizeof(struct kw_launch), sizeof(struct kw_go),
                                             sizeof(struct kw_spawn),  sizeof(struct kw_ack),
                                             sizeof(struct kw_adopt),  sizeof(struct kw_reexec)};
            size_bytes = sizes[rand_r(&seed) % (int)COUNT_OF(sizes)];
            record.header = (struct kw_header){.magic = KW_MAGIC,
                                               .version = KW_VERSION,
                                               .type = (uint16_t)(rand_r(&seed) % 12),
                                               .size_bytes = (uint32_t)size_bytes,
                                               .fd_count = (uint32_t)(round % 3)};
            if (record.header.type == KW_EARLY_GO)
                record.header.type++; /* it can be right by chance, and then is not answered */
        }
        send_raw(rig, &record, size_bytes, fds, (size_t)(round % 3));
        rig_receive(rig, &packet);
        assert_int_equal(packet.header.type, KW_REFUSED);
    }

    assert_int_equal(rig_count_fds(rig), before);
    assert_int_equal(rig_count_children(rig), 0);
    assert_still_serves(rig);
}

int main(void)
{
    if (geteuid() != 0) {
        (void)fprintf(stderr, "SKIPPED: needs root\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_wire__wrong_header__is_refused_with_the_reason,
                                        rig_start, rig_stop),
        cmocka_unit_test_setup_teardown(test_wire__short_empty_and_oversized__are_refused,
                                        rig_start, rig_stop),
        cmocka_unit_test_setup_teardown(test_wire__descriptors_of_refused_records__are_closed,
                                        rig_start, rig_stop),
        cmocka_unit_test_setup_teardown(test_wire__before_hello__only_hello_is_served, rig_start,
                                        rig_stop),
        cmocka_unit_test_setup_teardown(test_wire__orders_out_of_turn__are_refused, rig_start,
                                        rig_stop),
        cmocka_unit_test_setup_teardown(test_wire__second_agent__waits_for_the_end_of_the_first,
                                        rig_start, rig_stop),
        cmocka_unit_test_setup_teardown(test_wire__random_records__never_stop_it, rig_start,
                                        rig_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
