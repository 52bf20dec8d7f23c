/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: no end of a guest is ever lost, told twice as new, or guessed. Real guests end in every
 * way there is, in thousands, while the agent reads, does not read, or does not live. */
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "rig.h"
#include "sys.h"

#define STORM 10000
#define STORM_WIDTH 32 /* launches in flight, below KW_STAGES_MAX */

static int end_of(struct rig *rig, const struct guest *guest)
{
    struct packet packet;
    uint64_t launch = rig_launch(rig, guest);
    rig_await(rig, launch, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
    assert_int_equal(packet.record.pid, 0);
    assert_true(packet.record.is_status_known);
    assert_true(packet.record.exec_ns >= packet.record.outside_ns);
    assert_true(packet.record.ended_ns >= packet.record.exec_ns);
    rig_ack(rig, launch, RIG_GENERATION, packet.record.change);
    return packet.record.wait_status;
}

static void test_ends__each_way_to_end__is_told_apart(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(end_of(rig, &(struct guest){.args = {"exit", "7"}}), 7 << 8);
    assert_int_equal(end_of(rig, &(struct guest){.args = {"reboot"}}), SIGHUP);
    assert_int_equal(end_of(rig, &(struct guest){.args = {"halt"}}), SIGINT);
    assert_int_equal(end_of(rig, &(struct guest){.flags = KP_USERNS | KP_NEWNET | KP_NEWTIME,
                                                 .args = {"reboot"}}),
                     SIGHUP);
    assert_int_equal(end_of(rig, &(struct guest){.flags = KP_USERNS, .args = {"exit", "3"}}),
                     3 << 8);
    assert_int_equal(rig_count_children(rig), 0);
}

static void test_ends__no_candidate_executes__fails_with_its_errno(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch = rig_launch(rig, &(struct guest){.is_broken = true});

    rig_await(rig, launch, KW_PHASE_FAILED, &packet);

    assert_int_equal(packet.record.failed_step, KW_STEP_EXEC);
    assert_int_equal(packet.record.candidate_count, 1);
    assert_int_equal(packet.record.candidate_errno[0], ENOENT);
    rig_drop(&packet);
}

static void test_ends__stage_killed_before_exec__is_no_start(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch = rig_launch(rig, &(struct guest){.waits_for_go = true});
    rig_await(rig, launch, KW_PHASE_STAGED, &packet);
    AUTO_FD pidfd = rig_take(&packet, packet.record.roles, KW_FD_PID);
    assert_true(rig_take(&packet, packet.record.roles, KW_FD_NETNS) >= 0);
    rig_drop(&packet);

    assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
    rig_await(rig, launch, KW_PHASE_FAILED, &packet);

    assert_int_equal(packet.record.failed_errno, 0);
    assert_int_equal(packet.record.wait_status, SIGKILL);
    assert_int_equal(packet.record.exec_ns, 0);
    rig_drop(&packet);
}

/* Killed at any instant, also between its last word and execve: what ended without having executed
 * is FAILED, what executed is ENDED; a guest that wrote its mark was never FAILED. */
static void test_ends__killed_at_random_instants__start_is_never_invented(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    unsigned failed = 0;
    unsigned rounds = 0;

    /* A busy machine needs longer to come to the exec: on until both were met. */
    for (; rounds < 400 || (failed == rounds && rounds < 4000); rounds++) {
        uint64_t launch = rig_launch(rig, &(struct guest){.waits_for_go = true, .args = {"wait"}});
        rig_await(rig, launch, KW_PHASE_STAGED, &packet);
        AUTO_FD pidfd = rig_take(&packet, packet.record.roles, KW_FD_PID);
        rig_drop(&packet);
        rig_order(rig, KW_GO, launch);
        for (volatile unsigned spin = 0; spin < rounds * 1000; spin++)
            ;
        assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
        do {
            rig_receive(rig, &packet);
            rig_drop(&packet);
        } while (packet.record.phase != KW_PHASE_FAILED && packet.record.phase != KW_PHASE_ENDED);
        assert_int_equal(packet.record.wait_status, SIGKILL);
        assert_int_equal(packet.record.exec_ns != 0, packet.record.phase == KW_PHASE_ENDED);
        failed += packet.record.phase == KW_PHASE_FAILED;
        rig_ack(rig, launch, RIG_GENERATION, packet.record.change);
    }
    assert_in_range(failed, 1, rounds - 1);
}

static void test_ends__late_stage__is_killed_at_its_deadline(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch = rig_launch(rig, &(struct guest){.waits_for_go = true, .deadline_ns = 1});

    rig_await(rig, launch, KW_PHASE_FAILED, &packet);

    assert_int_equal(packet.record.failed_step, KW_STEP_DEADLINE);
    rig_drop(&packet);
}

static void test_ends__acknowledged_too_early__stays(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch = rig_launch(rig, &(struct guest){.args = {"wait"}});
    rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
    AUTO_FD pidfd = rig_take(&packet, packet.record.roles, KW_FD_PID);
    rig_drop(&packet);
    uint64_t booted_change = packet.record.change;

    assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
    rig_await_children(rig, 0);
    rig_ack(rig, launch, RIG_GENERATION, booted_change);
    rig_await(rig, launch, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
    rig_ack(rig, launch, RIG_GENERATION, packet.record.change - 1);
    rig_ack(rig, launch, RIG_GENERATION + 1, packet.record.change);
    rig_await_refused(rig, KW_ACK, KW_REFUSED_UNKNOWN);

    int first = rig->agent;
    rig_connect(rig);
    (void)close(first);
    rig_greet(rig);
    assert_int_equal(rig->welcome.entries, 1);
    rig_ack(rig, launch, RIG_GENERATION, packet.record.change);
    rig_ack(rig, launch, RIG_GENERATION, packet.record.change);
    rig_await_refused(rig, KW_ACK, KW_REFUSED_UNKNOWN);
}

/* Hear every end once, acknowledge it, and see that nothing is left. */
static void collect_storm(struct rig *rig, uint64_t first)
{
    static unsigned char heard[STORM];
    struct packet packet;
    unsigned count = 0;
    memset(heard, 0, sizeof(heard));

    while (count < STORM) {
        rig_receive(rig, &packet);
        rig_drop(&packet);
        assert_int_not_equal(packet.header.type, KW_REFUSED);
        if (packet.header.type != KW_RECORD || packet.record.phase != KW_PHASE_ENDED)
            continue;
        uint64_t index = packet.record.launch - first;
        assert_in_range(index, 0, STORM - 1);
        assert_int_equal(heard[index], 0);
        assert_int_equal(packet.record.wait_status, (int)(packet.record.launch % 200) << 8);
        heard[index] = 1;
        count++;
        rig_ack(rig, packet.record.launch, RIG_GENERATION, packet.record.change);
    }
}

/* All orders are read, and few of the launches are still on their way. */
static void await_storm(struct rig *rig, int at_most)
{
    int unread = 1;
    while (unread > 0) {
        assert_int_equal(ioctl(rig->agent, SIOCOUTQ, &unread), 0);
        if (unread > 0)
            (void)poll(NULL, 0, 1); /* the reader's progress makes no event for us */
    }
    rig_await_children(rig, at_most);
}

static void launch_storm(struct rig *rig)
{
    char code[16];
    for (int n = 0; n < STORM; n++) {
        (void)snprintf(code, sizeof(code), "%d", (int)((rig->launch + 1) % 200));
        (void)rig_launch(rig, &(struct guest){.args = {"exit", code}});
        if (n % STORM_WIDTH == STORM_WIDTH - 1)
            await_storm(rig, STORM_WIDTH / 2);
    }
}

static void test_ends__ten_thousand_unread__are_all_kept(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(end_of(rig, &(struct guest){.args = {"exit"}}), 0);
    int fds = rig_count_fds(rig);
    long resident_kib = rig_resident_kib(rig);

    launch_storm(rig); /* and read nothing */
    await_storm(rig, 0);
    assert_int_equal(rig_count_fds(rig), fds);
    assert_true(rig_resident_kib(rig) - resident_kib < STORM * 6 / 10); /* the table, no more */
    print_message("%ld KiB idle, %ld with %d unread ends\n", resident_kib, rig_resident_kib(rig),
                  STORM);
    collect_storm(rig, rig->launch - STORM + 1);

    assert_int_equal(rig_count_fds(rig), fds);
    assert_int_equal(end_of(rig, &(struct guest){.args = {"exit", "1"}}), 1 << 8);
}

static void test_ends__ten_thousand_then_agent_dies__next_agent_hears_all(void **state)
{
    struct rig *rig = *state;
    launch_storm(rig);
    rig_disconnect(rig); /* with a full socket, and orders unread */
    rig_await_children(rig, 0);

    struct kw_hello hello = {.build = "next"};
    rig_connect(rig);
    rig_send(rig, &hello.header, KW_HELLO, sizeof(hello), NULL, 0);
    collect_storm(rig, rig->launch - STORM + 1);
}

static void test_ends__last_guest_ends_without_agent__keeper_stays_until_told(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch = rig_launch(rig, &(struct guest){.args = {"wait"}});
    rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
    AUTO_FD pidfd = rig_take(&packet, packet.record.roles, KW_FD_PID);
    rig_drop(&packet);

    rig_disconnect(rig);
    assert_int_equal(pidfd_send_signal(rig->pidfd, SIGTERM, NULL, 0), 0); /* it has a child */
    assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
    rig_await_children(rig, 0);
    assert_false(rig_await_keeper_end(rig, 200));
    struct kw_hello hello = {.build = "next"};
    rig_connect(rig);
    rig_send(rig, &hello.header, KW_HELLO, sizeof(hello), NULL, 0);
    rig_await(rig, launch, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
    assert_int_equal(packet.record.wait_status, SIGKILL);
    assert_true(rig_has_cgroups(rig));
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/guests", rig->cgroup);
    assert_int_equal(unlinkat(rig->hierarchies[rig->unified], path, AT_REMOVEDIR), 0);
    rig_ack(rig, launch, RIG_GENERATION, packet.record.change);
    rig_disconnect(rig);

    assert_true(rig_await_keeper_end(rig, 20000));
    assert_false(rig_has_cgroups(rig));
}

int main(void)
{
    if (geteuid() != 0) {
        (void)fprintf(stderr, "SKIPPED: needs root\n");
        return 77;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(test_ends__##name, rig_start, rig_stop)
    const struct CMUnitTest tests[] = {
        TEST(each_way_to_end__is_told_apart),
        TEST(no_candidate_executes__fails_with_its_errno),
        TEST(stage_killed_before_exec__is_no_start),
        TEST(killed_at_random_instants__start_is_never_invented),
        TEST(late_stage__is_killed_at_its_deadline),
        TEST(acknowledged_too_early__stays),
        TEST(ten_thousand_unread__are_all_kept),
        TEST(ten_thousand_then_agent_dies__next_agent_hears_all),
        TEST(last_guest_ends_without_agent__keeper_stays_until_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
