/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a guest's console never blocks its PID 1, never makes the keeper spin, and what it says
 * by notify is kept. Real guests write, hang up and speak; the ring is read as the agent reads
 * it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "rig.h"

#define RING_BYTES 16384

static int make_ring(void)
{
    int ring = memfd_create("ring", MFD_CLOEXEC);
    assert_true(ring >= 0);
    assert_int_equal(ftruncate(ring, KW_RING_DATA_OFFSET + RING_BYTES), 0);
    return ring;
}

static struct kw_ring ring_header(int ring)
{
    struct kw_ring header;
    assert_int_equal(pread(ring, &header, sizeof(header), 0), sizeof(header));
    return header;
}

/* A tty turns each "\n" into "\r\n". */
static uint64_t octets_of(int written)
{
    return (uint64_t)(written + (written + 63) / 64);
}

static void test_console__more_than_the_ring__last_octets_stay(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    AUTO_FD ring = make_ring();
    uint64_t launch = rig_launch(
        rig, &(struct guest){.flags = KP_PTY, .ring = ring, .args = {"write", "100000"}});

    rig_await(rig, launch, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);

    assert_int_equal(packet.record.wait_status, 0);
    assert_int_equal(packet.record.console_dropped, 0);
    struct kw_ring header = ring_header(ring);
    assert_int_equal(header.magic, KW_MAGIC);
    assert_int_equal(header.size_bytes, RING_BYTES);
    assert_int_equal(header.written, octets_of(100000));
    char last[2];
    off_t at = KW_RING_DATA_OFFSET + (off_t)((header.written - 2) % RING_BYTES);
    assert_int_equal(pread(ring, last, 2, at), 2);
    assert_memory_equal(last, "\r\n", 2);

    int first = rig->agent;
    struct kw_hello hello = {.build = "next"};
    rig_connect(rig);
    (void)close(first);
    rig_send(rig, &hello.header, KW_HELLO, sizeof(hello), NULL, 0);
    rig_await(rig, launch, KW_PHASE_ENDED, &packet);
    AUTO_FD copy = rig_take(&packet, packet.record.roles, KW_FD_RING);
    assert_int_equal(ring_header(copy).written, header.written); /* it outlives guest and agent */
    rig_drop(&packet);
}

static void test_console__output__wakes_the_agent(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    AUTO_FD ring = make_ring();
    uint64_t launch = rig_launch(
        rig, &(struct guest){.flags = KP_PTY | KP_USERNS, .ring = ring, .args = {"wait"}});
    rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
    AUTO_FD output = rig_take(&packet, packet.record.roles, KW_FD_OUTPUT);
    AUTO_FD pty = rig_take(&packet, packet.record.roles, KW_FD_PTY);
    rig_drop(&packet);

    assert_int_equal(write(pty, "hello", 5), 5); /* the line discipline echoes it */
    struct pollfd look = {.fd = output, .events = POLLIN};
    assert_int_equal(poll(&look, 1, 20000), 1);

    char text[5];
    assert_int_equal(ring_header(ring).written, 5);
    assert_int_equal(pread(ring, text, 5, KW_RING_DATA_OFFSET), 5);
    assert_memory_equal(text, "hello", 5);
}

static void test_console__broken_ring__fails_the_launch(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    AUTO_FD ring = memfd_create("ring", MFD_CLOEXEC);
    assert_int_equal(ftruncate(ring, KW_RING_DATA_OFFSET + 12345), 0);
    uint64_t launch = rig_launch(rig, &(struct guest){.flags = KP_PTY, .ring = ring});

    rig_await(rig, launch, KW_PHASE_FAILED, &packet);

    assert_int_equal(packet.record.failed_step, KW_STEP_CLONE);
    rig_drop(&packet);
}

static void test_console__no_ring__is_drained_and_counted(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch =
        rig_launch(rig, &(struct guest){.flags = KP_PTY, .args = {"write", "100000"}});

    rig_await(rig, launch, KW_PHASE_ENDED, &packet);

    assert_int_equal(packet.record.console_dropped, octets_of(100000));
    rig_drop(&packet);
}

static unsigned long long timeslices(const struct rig *rig)
{
    char path[64];
    unsigned long long slices = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/schedstat", rig->pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %*u %llu", &slices), 1);
    (void)fclose(file);
    return slices;
}

static void test_console__hung_up_by_the_guest__keeper_sleeps(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    AUTO_FD ring = make_ring();
    uint64_t launch =
        rig_launch(rig, &(struct guest){.flags = KP_PTY, .ring = ring, .args = {"hangup"}});
    rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
    AUTO_FD pidfd = rig_take(&packet, packet.record.roles, KW_FD_PID);
    rig_drop(&packet);

    assert_true(rig_is_silent(rig, 300));
    unsigned long long before = timeslices(rig);
    assert_true(rig_is_silent(rig, 300));
    assert_in_range(timeslices(rig) - before, 0, 2);
    assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
    rig_await(rig, launch, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
    assert_int_equal(packet.record.wait_status, SIGKILL);
}

/* A guest that is both the keeper's child, with a console that lives, and adopted as another. */
static uint64_t adopt_again(struct rig *rig, uint64_t launch, int pidfd)
{
    struct packet packet;
    struct kw_adopt adopt = {.launch = launch + 100, .roles = {KW_FD_PID}};

    rig_send(rig, &adopt.header, KW_ADOPT, sizeof(adopt), &pidfd, 1);
    rig_await(rig, adopt.launch, KW_PHASE_BOOTED, &packet);
    rig_drop(&packet);
    return adopt.launch;
}

static void test_console__anew__only_for_the_adopted_and_over_what_is_dead(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    AUTO_FD ring = make_ring();
    const int rings[] = {ring, ring};
    uint64_t launch =
        rig_launch(rig, &(struct guest){.flags = KP_PTY | KP_USERNS, .args = {"wait"}});
    rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
    AUTO_FD pidfd = rig_take(&packet, packet.record.roles, KW_FD_PID);
    rig_drop(&packet);
    struct kw_console console = {.spawn = 5, .launch = launch, .roles = {KW_FD_RING}};

    rig_send(rig, &console.header, KW_CONSOLE, sizeof(console), rings, 1);
    rig_await_refused(rig, KW_CONSOLE, KW_REFUSED_PHASE); /* it has one, and its parent lives */
    console.launch = 4711;
    rig_send(rig, &console.header, KW_CONSOLE, sizeof(console), rings, 1);
    rig_await_refused(rig, KW_CONSOLE, KW_REFUSED_UNKNOWN);
    console.launch = adopt_again(rig, launch, pidfd);
    console.roles[1] = KW_FD_RING;
    rig_send(rig, &console.header, KW_CONSOLE, sizeof(console), rings, 2);
    rig_await_refused(rig, KW_CONSOLE, KW_REFUSED_MALFORMED);

    /* What is over its /dev/console is not dead: it is left there, and that is said. */
    console.roles[1] = 0;
    console.uid_base = 0x70000000;
    console.uid_count = 65536;
    rig_send(rig, &console.header, KW_CONSOLE, sizeof(console), rings, 1);
    rig_await(rig, console.launch, KW_PHASE_BOOTED, &packet);
    AUTO_FD pty = rig_take(&packet, packet.record.roles, KW_FD_PTY);
    AUTO_FD output = rig_take(&packet, packet.record.roles, KW_FD_OUTPUT);
    rig_drop(&packet);
    assert_true(pty >= 0 && output >= 0);
    do {
        rig_receive(rig, &packet);
        rig_drop(&packet);
    } while (packet.header.type != KW_SPAWN_RECORD || packet.spawn.phase != KW_PHASE_FAILED);
    assert_int_equal(packet.spawn.spawn, 5);
    assert_int_equal(packet.spawn.failed_step, KW_STEP_MOUNTS);
    assert_int_equal(packet.spawn.exec_errno, EBUSY);
    assert_int_equal(write(pty, "x", 1), 1); /* the new one works all the same */
    struct pollfd look = {.fd = output, .events = POLLIN};
    assert_int_equal(poll(&look, 1, 20000), 1);
    assert_int_equal(ring_header(ring).written, 1);
    assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
    rig_await(rig, launch, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
}

static int bind_notify(const struct rig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/root/run/notify", rig->dir);
    int notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(notify, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(chmod(address.sun_path, 0666), 0);
    return notify;
}

static void test_notify__last_words__are_kept_for_the_next_agent(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    AUTO_FD notify = bind_notify(rig);
    uint64_t launch = rig_launch(
        rig, &(struct guest){.notify = notify,
                             .args = {"ready", "/run/notify",
                                      "X=1\nSTATUS=one\nREADY=1\nSTATUS=\033[2Jup\nREADY=12"}});

    rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
    while (!packet.record.is_ready) {
        rig_drop(&packet);
        rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
    }
    rig_drop(&packet);
    assert_string_equal(packet.record.notify_status, "?[2Jup");
    assert_true(packet.record.ready_ns >= packet.record.outside_ns);
    assert_false(packet.record.is_stopping);

    rig_disconnect(rig);
    struct kw_hello hello = {.build = "next"};
    rig_connect(rig);
    rig_send(rig, &hello.header, KW_HELLO, sizeof(hello), NULL, 0);
    rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
    rig_drop(&packet);
    assert_true(packet.record.is_ready);
    assert_string_equal(packet.record.notify_status, "?[2Jup");
}

/* Each as its own wake-up of the keeper: a blocking send waits until it has read nearly all. */
static void flood(const struct rig *rig, int count)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[32];
    AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/root/run/notify", rig->dir);
    for (int i = 1; i <= count; i++) {
        (void)snprintf(text, sizeof(text), "STATUS=%d", i);
        assert_true(
            sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, sizeof(address)) > 0);
    }
}

static void test_notify__flood_of_status__costs_few_records_and_none_of_a_level(void **state)
{
    struct rig *rig = *state;
    struct packet packet = {.size = 0};
    AUTO_FD notify = bind_notify(rig);
    uint64_t launch = rig_launch(
        rig, &(struct guest){.notify = notify, .args = {"ready", "/run/notify", "READY=1"}});
    while (packet.size == 0 || !packet.record.is_ready) { /* told at once */
        rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
        rig_drop(&packet);
    }
    uint64_t began_ns = clock_monotonic_ns();
    uint64_t records = 0;

    flood(rig, 5000);
    for (; strcmp(packet.record.notify_status, "5000") != 0; records++) { /* the last is told */
        rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
        rig_drop(&packet);
    }

    assert_in_range(records, 1, 1 + (clock_monotonic_ns() - began_ns) / (NS_PER_S / 4));
    assert_true(rig_is_silent(rig, 300));
}

int main(void)
{
    if (geteuid() != 0) {
        (void)fprintf(stderr, "SKIPPED: needs root\n");
        return 77;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, rig_start, rig_stop)
    const struct CMUnitTest tests[] = {
        TEST(console__more_than_the_ring__last_octets_stay),
        TEST(console__output__wakes_the_agent),
        TEST(console__broken_ring__fails_the_launch),
        TEST(console__no_ring__is_drained_and_counted),
        TEST(console__hung_up_by_the_guest__keeper_sleeps),
        TEST(console__anew__only_for_the_adopted_and_over_what_is_dead),
        TEST(notify__last_words__are_kept_for_the_next_agent),
        TEST(notify__flood_of_status__costs_few_records_and_none_of_a_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
