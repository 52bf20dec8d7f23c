/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a command's output, code and end are exact, its whole tree dies at its deadline and
 * with its agent, and its zombie never holds a guest. Real commands run beside and inside a real
 * guest. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "rig.h"

struct command {
    uint32_t flags;
    int target; /* pidfd; 0: beside every guest */
    int out;    /* 0: none */
    int cgroup; /* with its kill file; 0: none */
    uint64_t deadline_ns;
    const char *args[5];
};

static uint64_t spawn(struct rig *rig, const struct command *command)
{
    static uint64_t number;
    struct kw_spawn order = {.spawn = ++number, .deadline_ns = command->deadline_ns};
    struct plan plan;
    int fds[8];
    size_t count = 0;
    uint32_t argc = 0;

    struct kp_header *header = plan_init(&plan, command->flags);
    while (command->args[argc] != NULL)
        argc++;
    header->argv = plan_strings(&plan, command->args, argc);
    header->argv_count = argc;
    AUTO_FD block = plan_memfd(&plan);
    AUTO_FD kill = command->cgroup > 0 ? openat(command->cgroup, "cgroup.kill", O_WRONLY) : -1;
#define ATTACH(what, fd)                                                                           \
    do {                                                                                           \
        order.roles[count] = (what);                                                               \
        fds[count++] = (fd);                                                                       \
    } while (0)
    ATTACH(KW_FD_PLAN, block);
    if (command->target > 0)
        ATTACH(KW_FD_TARGET, command->target);
    if (command->out > 0)
        ATTACH(KW_FD_STDOUT, command->out);
    if (command->cgroup > 0)
        ATTACH(KW_FD_CGROUP, command->cgroup);
    if (kill >= 0)
        ATTACH(KW_FD_KILL, kill);
    rig_send(rig, &order.header, KW_SPAWN, sizeof(order), fds, count);
    return number;
}

static void ack(struct rig *rig, const struct packet *packet)
{
    struct kw_ack order = {.launch = packet->spawn.spawn, .change = packet->spawn.change};
    rig_send(rig, &order.header, KW_ACK_SPAWN, sizeof(order), NULL, 0);
}

/* A guest to be in; returns its pidfd. */
static int boot(struct rig *rig, uint64_t *ret_launch)
{
    struct packet packet;
    *ret_launch = rig_launch(rig, &(struct guest){.args = {"wait"}});
    rig_await(rig, *ret_launch, KW_PHASE_BOOTED, &packet);
    int pidfd = rig_take(&packet, packet.record.roles, KW_FD_PID);
    rig_drop(&packet);
    return pidfd;
}

#define INSIDE (KP_JOIN_PID | KP_JOIN_MNT | KP_JOIN_UTS | KP_JOIN_IPC)

static void test_spawn__inside__output_and_code_arrive(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch;
    AUTO_FD target = boot(rig, &launch);
    int ends[2];
    char text[16] = {0};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);

    uint64_t first = spawn(rig, &(struct command){.flags = INSIDE,
                                                  .target = target,
                                                  .out = ends[1],
                                                  .args = {"/init", "echo", "hello"}});
    (void)close(ends[1]);
    rig_await_spawn(rig, first, KW_PHASE_ENDED, &packet);
    ack(rig, &packet);
    assert_int_equal(packet.spawn.wait_status, 0);
    assert_int_equal(read(ends[0], text, sizeof(text)), 5);
    assert_string_equal(text, "hello");
    assert_int_equal(read(ends[0], text, sizeof(text)), 0); /* nobody kept our end */
    (void)close(ends[0]);
    rig_drop(&packet);

    uint64_t second = spawn(
        rig, &(struct command){.flags = INSIDE, .target = target, .args = {"/init", "exit", "42"}});
    rig_await_spawn(rig, second, KW_PHASE_ENDED, &packet);
    assert_int_equal(packet.spawn.wait_status, 42 << 8);
    ack(rig, &packet);
    ack(rig, &packet);
    rig_drop(&packet);
    rig_await_refused(rig, KW_ACK_SPAWN, KW_REFUSED_UNKNOWN);
}

static void test_spawn__nothing_to_execute__tells_the_errno(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch;
    AUTO_FD target = boot(rig, &launch);

    uint64_t number =
        spawn(rig, &(struct command){.flags = INSIDE, .target = target, .args = {"/absent"}});
    rig_await_spawn(rig, number, KW_PHASE_FAILED, &packet);

    assert_int_equal(packet.spawn.failed_step, KW_STEP_EXEC);
    assert_int_equal(packet.spawn.exec_errno, ENOENT);
    rig_drop(&packet);
}

static void test_spawn__deadline__kills_the_leaf(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch;
    AUTO_FD target = boot(rig, &launch);
    assert_int_equal(mkdirat(rig->group, "leaf", 0755), 0);
    AUTO_FD leaf = openat(rig->group, "leaf", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    uint64_t number =
        spawn(rig, &(struct command){.flags = INSIDE,
                                     .target = target,
                                     .cgroup = leaf,
                                     .deadline_ns = clock_monotonic_ns() + 50 * NS_PER_MS,
                                     .args = {"/init", "wait"}});
    rig_await_spawn(rig, number, KW_PHASE_ENDED, &packet);

    assert_true(packet.spawn.is_timed_out);
    assert_int_equal(packet.spawn.wait_status, SIGKILL);
    rig_drop(&packet);
    assert_int_equal(unlinkat(rig->group, "leaf", AT_REMOVEDIR), 0);
    assert_int_equal(rig_count_children(rig), 1);
}

static void test_spawn__agent_dies__every_spawn_is_killed(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch;
    AUTO_FD target = boot(rig, &launch);
    for (int n = 0; n < 20; n++) {
        uint64_t number =
            spawn(rig, &(struct command){.flags = INSIDE, .target = target, .args = {"/init"}});
        rig_await_spawn(rig, number, KW_PHASE_BOOTED, &packet);
        rig_drop(&packet);
    }
    assert_int_equal(rig_count_children(rig), 21);

    rig_disconnect(rig);
    rig_await_children(rig, 1);

    rig_greet(rig);
    assert_int_equal(rig->welcome.entries, 1);
}

/* The guest's end must come although a command was inside, and the command's end too. */
static void test_spawn__guest_dies_under_it__both_ends_come(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch;
    AUTO_FD target = boot(rig, &launch);
    uint64_t number =
        spawn(rig, &(struct command){.flags = INSIDE, .target = target, .args = {"/init", "wait"}});
    rig_await_spawn(rig, number, KW_PHASE_BOOTED, &packet);
    rig_drop(&packet);

    assert_int_equal(pidfd_send_signal(target, SIGKILL, NULL, 0), 0);
    bool has_guest = false;
    bool has_command = false;
    while (!has_guest || !has_command) {
        rig_receive(rig, &packet);
        has_guest |= packet.header.type == KW_RECORD && packet.record.phase == KW_PHASE_ENDED;
        has_command |=
            packet.header.type == KW_SPAWN_RECORD && packet.spawn.phase == KW_PHASE_ENDED;
        rig_drop(&packet);
    }

    /* Its pid namespace is gone: nobody can be put into it any more. */
    number =
        spawn(rig, &(struct command){.flags = INSIDE, .target = target, .args = {"/init", "wait"}});
    rig_await_spawn(rig, number, KW_PHASE_FAILED, &packet);
    assert_int_equal(packet.spawn.failed_step, KW_STEP_CLONE);
    rig_drop(&packet);
}

static void test_spawn__new_build__command_goes_on(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch;
    AUTO_FD target = boot(rig, &launch);
    uint64_t number =
        spawn(rig, &(struct command){.flags = INSIDE, .target = target, .args = {"/init", "wait"}});
    rig_await_spawn(rig, number, KW_PHASE_BOOTED, &packet);
    rig_drop(&packet);
    struct kw_reexec order = {.roles = {KW_FD_BINARY}};
    struct kw_hello hello = {.build = "next"};
    AUTO_FD binary = open(rig_keeper_path, O_RDONLY | O_CLOEXEC);

    rig_send(rig, &order.header, KW_REEXEC, sizeof(order), &binary, 1);
    do
        rig_receive(rig, &packet);
    while (packet.header.type != KW_REEXECED);
    rig_send(rig, &hello.header, KW_HELLO, sizeof(hello), NULL, 0);
    rig_await_spawn(rig, number, KW_PHASE_BOOTED, &packet);
    AUTO_FD pidfd = rig_take(&packet, packet.spawn.roles, KW_FD_PID);
    rig_drop(&packet);
    assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
    rig_await_spawn(rig, number, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);

    assert_int_equal(packet.spawn.wait_status, SIGKILL);
}

int main(void)
{
    if (geteuid() != 0) {
        (void)fprintf(stderr, "SKIPPED: needs root\n");
        return 77;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(test_spawn__##name, rig_start, rig_stop)
    const struct CMUnitTest tests[] = {
        TEST(inside__output_and_code_arrive),
        TEST(nothing_to_execute__tells_the_errno),
        TEST(deadline__kills_the_leaf),
        TEST(agent_dies__every_spawn_is_killed),
        TEST(guest_dies_under_it__both_ends_come),
        TEST(new_build__command_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
