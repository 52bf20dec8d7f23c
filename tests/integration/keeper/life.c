/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: agent and keeper come and go, guests do not notice. A real keeper loses its agent at
 * bad moments, is replaced by another build in place, and adopts what is not its child. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "rig.h"
#include "sys.h"

/* A new agent's view, before anything is dropped. */
static void greet_and_await(struct rig *rig, uint64_t launch, uint32_t phase, struct packet *packet)
{
    struct kw_hello hello = {.build = "next"};
    if (rig->agent < 0)
        rig_connect(rig);
    rig_send(rig, &hello.header, KW_HELLO, sizeof(hello), NULL, 0);
    rig_await(rig, launch, phase, packet);
}

static void test_life__agent_dies_after_launch__guest_lives(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch = rig_launch(rig, &(struct guest){.args = {"wait"}});
    rig_disconnect(rig);

    greet_and_await(rig, launch, KW_PHASE_BOOTED, &packet);

    assert_true(packet.record.pid > 0);
    AUTO_FD pidfd = rig_take(&packet, packet.record.roles, KW_FD_PID);
    assert_true(pidfd >= 0);
    rig_drop(&packet);
}

static void test_life__agent_dies_before_go__launch_is_aborted(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t lives = rig_launch(rig, &(struct guest){.args = {"wait"}});
    uint64_t staged = rig_launch(rig, &(struct guest){.waits_for_go = true});
    rig_await(rig, staged, KW_PHASE_STAGED, &packet);
    rig_drop(&packet);
    rig_disconnect(rig);

    greet_and_await(rig, staged, KW_PHASE_FAILED, &packet);

    assert_int_equal(packet.record.failed_step, KW_STEP_ABORTED);
    rig_drop(&packet);
    assert_int_equal(rig_count_children(rig), 1);
    (void)lives;
}

static void test_life__go_and_abort__are_obeyed(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t first = rig_launch(rig, &(struct guest){.waits_for_go = true, .args = {"exit", "5"}});
    rig_await(rig, first, KW_PHASE_STAGED, &packet);
    assert_true(packet.record.staged_ns >= packet.record.outside_ns);
    rig_drop(&packet);
    rig_order(rig, KW_GO, first);
    rig_await(rig, first, KW_PHASE_ENDED, &packet);
    assert_int_equal(packet.record.wait_status, 5 << 8);
    assert_true(packet.record.go_ns >= packet.record.staged_ns);
    rig_drop(&packet);

    uint64_t second = rig_launch(rig, &(struct guest){.waits_for_go = true});
    rig_await(rig, second, KW_PHASE_STAGED, &packet);
    rig_drop(&packet);
    rig_order(rig, KW_ABORT, second);
    rig_await(rig, second, KW_PHASE_FAILED, &packet);
    assert_int_equal(packet.record.failed_step, KW_STEP_ABORTED);
    rig_drop(&packet);
}

static void say_early_go(struct rig *rig)
{
    struct kw_early_go early_go;
    rig_send(rig, &early_go.header, KW_EARLY_GO, sizeof(early_go), NULL, 0);
}

/* GO overtakes the stage; nothing is told between LAUNCH and the exec. */
static void test_life__early_go__is_obeyed_and_staged_not_told(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    say_early_go(rig);
    uint64_t first = rig_launch(rig, &(struct guest){.waits_for_go = true, .args = {"exit", "5"}});
    rig_order(rig, KW_GO, first);
    rig_await(rig, first, KW_PHASE_ENDED, &packet);
    assert_int_equal(packet.record.wait_status, 5 << 8);
    assert_true(packet.record.go_ns >= packet.record.outside_ns);
    assert_int_equal(packet.record.staged_ns, 0);
    rig_drop(&packet);

    uint64_t late = rig_launch(rig, &(struct guest){.waits_for_go = true, .args = {"exit", "6"}});
    rig_await(rig, late, KW_PHASE_STAGING, &packet);
    assert_int_equal(packet.record.go_ns, 0);
    rig_drop(&packet);
    assert_true(rig_is_silent(rig, 300)); /* it stands staged, and says nothing */
    rig_order(rig, KW_GO, late);
    rig_await(rig, late, KW_PHASE_ENDED, &packet);
    assert_int_equal(packet.record.wait_status, 6 << 8);
    rig_drop(&packet);
    rig_order(rig, KW_GO, late);
    rig_await_refused(rig, KW_GO, KW_REFUSED_PHASE);

    uint64_t aborted = rig_launch(rig, &(struct guest){.waits_for_go = true});
    rig_order(rig, KW_ABORT, aborted);
    rig_await(rig, aborted, KW_PHASE_FAILED, &packet);
    assert_int_equal(packet.record.failed_step, KW_STEP_ABORTED);
    assert_int_equal(packet.record.go_ns, 0);
    rig_drop(&packet);
}

/* What was held for an agent that is gone never runs; what it had said GO to does. It is said anew
 * on each connection. */
static void test_life__agent_dies__what_it_held_is_dropped(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t keeps = rig_launch(rig, &(struct guest){.args = {"wait"}});
    rig_await(rig, keeps, KW_PHASE_BOOTED, &packet);
    rig_drop(&packet);
    say_early_go(rig);
    uint64_t held = rig_launch(rig, &(struct guest){.waits_for_go = true});
    uint64_t told = rig_launch(rig, &(struct guest){.waits_for_go = true, .args = {"wait"}});
    rig_order(rig, KW_GO, told);
    rig_disconnect(rig);

    greet_and_await(rig, told, KW_PHASE_BOOTED, &packet);
    rig_drop(&packet);
    rig_disconnect(rig);
    greet_and_await(rig, held, KW_PHASE_FAILED, &packet);
    assert_int_equal(packet.record.failed_step, KW_STEP_ABORTED);
    assert_int_equal(packet.record.go_ns, 0);
    rig_drop(&packet);
    uint64_t late = rig_launch(rig, &(struct guest){.waits_for_go = true, .args = {"exit"}});
    rig_await(rig, late, KW_PHASE_STAGED, &packet);
    rig_drop(&packet);
    rig_order(rig, KW_GO, late);
    rig_await(rig, late, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
}

static void reexec(struct rig *rig, const char *path)
{
    struct kw_reexec order = {.roles = {KW_FD_BINARY}};
    AUTO_FD binary = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(binary >= 0);
    rig_send(rig, &order.header, KW_REEXEC, sizeof(order), &binary, 1);
}

static void test_life__new_build__keeps_pids_consoles_and_statuses(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t unread = rig_launch(rig, &(struct guest){.args = {"exit", "9"}});
    rig_await(rig, unread, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
    uint64_t lives = rig_launch(rig, &(struct guest){.args = {"wait"}});
    rig_await(rig, lives, KW_PHASE_BOOTED, &packet);
    rig_drop(&packet);
    pid_t pid = packet.record.pid;
    int fds = rig_count_fds(rig);

    reexec(rig, rig_keeper_path);
    do
        rig_receive(rig, &packet);
    while (packet.header.type != KW_REEXECED);
    greet_and_await(rig, lives, KW_PHASE_BOOTED, &packet);

    AUTO_FD pidfd = rig_take(&packet, packet.record.roles, KW_FD_PID);
    rig_drop(&packet);
    assert_int_equal(packet.record.pid, pid);
    assert_int_equal(rig_count_children(rig), 1);
    assert_int_equal(rig_count_fds(rig), fds);
    assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
    rig_await(rig, lives, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
    assert_int_equal(packet.record.wait_status, SIGKILL);

    uint64_t next = rig_launch(rig, &(struct guest){.flags = KP_USERNS, .args = {"reboot"}});
    rig_await(rig, next, KW_PHASE_ENDED, &packet);
    assert_int_equal(packet.record.wait_status, SIGHUP);
    rig_drop(&packet);
    int first = rig->agent;
    rig_connect(rig);
    (void)close(first);
    greet_and_await(rig, unread, KW_PHASE_ENDED, &packet);
    assert_int_equal(packet.record.wait_status, 9 << 8);
    rig_drop(&packet);
}

static void test_life__build_that_cannot_go_on__is_refused(void **state)
{
    struct rig *rig = *state;
    struct packet packet;

    reexec(rig, "/bin/false");
    rig_await_refused(rig, KW_REEXEC, KW_REFUSED_BINARY);
    reexec(rig, "/etc/passwd");
    rig_await_refused(rig, KW_REEXEC, KW_REFUSED_BINARY);
    uint64_t staged = rig_launch(rig, &(struct guest){.waits_for_go = true, .args = {"exit"}});
    rig_await(rig, staged, KW_PHASE_STAGED, &packet);
    rig_drop(&packet);
    reexec(rig, rig_keeper_path);
    rig_await_refused(rig, KW_REEXEC, KW_REFUSED_BINARY);

    rig_order(rig, KW_GO, staged);
    rig_await(rig, staged, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
}

/* A guest of a keeper that died, as the next one sees it. */
static void test_life__adopted__ends_with_unknown_status(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    struct kw_adopt adopt = {.launch = 77, .roles = {KW_FD_PID}};
    pid_t pid = fork();
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    AUTO_FD pidfd = pidfd_open(pid, 0);
    AUTO_FD null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    rig_send(rig, &adopt.header, KW_ADOPT, sizeof(adopt), &null, 1);
    rig_await_refused(rig, KW_ADOPT, KW_REFUSED_MALFORMED);
    rig_send(rig, &adopt.header, KW_ADOPT, sizeof(adopt), &pidfd, 1);
    rig_await(rig, 77, KW_PHASE_BOOTED, &packet);
    rig_drop(&packet);
    assert_int_equal(packet.record.pid, pid);
    rig_send(rig, &adopt.header, KW_ADOPT, sizeof(adopt), &pidfd, 1);
    rig_await_refused(rig, KW_ADOPT, KW_REFUSED_DUPLICATE);
    assert_int_equal(kill(pid, SIGKILL), 0);
    rig_await(rig, 77, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);

    assert_true(packet.record.is_adopted);
    assert_false(packet.record.is_status_known);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_life__term__ends_it_only_without_guests(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    uint64_t launch = rig_launch(rig, &(struct guest){.args = {"wait"}});
    rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
    AUTO_FD pidfd = rig_take(&packet, packet.record.roles, KW_FD_PID);
    rig_drop(&packet);

    assert_int_equal(pidfd_send_signal(rig->pidfd, SIGTERM, NULL, 0), 0);
    assert_int_equal(pidfd_send_signal(pidfd, SIGKILL, NULL, 0), 0);
    rig_await(rig, launch, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
    assert_false(rig_await_keeper_end(rig, 100));
    assert_int_equal(pidfd_send_signal(rig->pidfd, SIGTERM, NULL, 0), 0);

    assert_true(rig_await_keeper_end(rig, 20000));
}

static void read_of(const struct rig *rig, const char *name, char *text, size_t text_bytes)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", rig->pid, name);
    assert_true(sys_read_text_at(AT_FDCWD, path, text, text_bytes) > 0);
}

static void test_life__home__holds_nothing_of_the_host(void **state)
{
    struct rig *rig = *state;
    char text[8192];
    char path[80];
    char line[96];
    int groups = 0;

    read_of(rig, "comm", text, sizeof(text));
    assert_string_equal(text, "drover-keeper\n");
    read_of(rig, "mounts", text, sizeof(text));
    for (const char *at = text; *at != '\0'; at++)
        groups += *at == '\n';
    assert_int_equal(groups, 5); /* tmpfs, proc, sysfs, devpts, empty */
    groups = 0;
    read_of(rig, "cgroup", text, sizeof(text));
    (void)snprintf(line, sizeof(line), ":/%s/keeper\n", rig->cgroup);
    for (const char *at = text; (at = strstr(at, line)) != NULL; at++)
        groups++;
    assert_int_equal(groups, rig->hierarchy_count);
    (void)snprintf(path, sizeof(path), "/proc/%d/exe", rig->pid);
    AUTO_FD exe = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(exe >= 0);
    assert_true((fcntl(exe, F_GET_SEALS) & F_SEAL_WRITE) != 0);
}

static void test_life__full_table__refuses_and_recovers(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max < KW_ENTRIES_MAX + 100) {
        print_message("SKIPPED: a table full of pidfds needs more descriptors\n");
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    AUTO_FD pidfd = pidfd_open(pid, 0);

    for (uint64_t launch = 1; launch <= KW_ENTRIES_MAX; launch++) {
        struct kw_adopt adopt = {
            .launch = launch, .labels = {.generation = RIG_GENERATION}, .roles = {KW_FD_PID}};
        rig_send(rig, &adopt.header, KW_ADOPT, sizeof(adopt), &pidfd, 1);
        rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
        rig_drop(&packet);
    }
    rig->launch = KW_ENTRIES_MAX;
    uint64_t launch = rig_launch(rig, &(struct guest){.args = {"exit"}});
    rig_await_refused(rig, KW_LAUNCH, KW_REFUSED_FULL);

    assert_int_equal(kill(pid, SIGKILL), 0); /* and all end at once */
    for (int n = 0; n < KW_ENTRIES_MAX; n++) {
        do {
            rig_receive(rig, &packet);
            rig_drop(&packet);
        } while (packet.record.phase != KW_PHASE_ENDED);
        rig_ack(rig, packet.record.launch, RIG_GENERATION, packet.record.change);
    }
    rig->launch = launch - 1; /* what was refused left its number free */
    launch = rig_launch(rig, &(struct guest){.args = {"exit"}});
    rig_await(rig, launch, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_life__more_stages_than_allowed__are_refused(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    for (int n = 0; n < KW_STAGES_MAX; n++)
        (void)rig_launch(rig, &(struct guest){.waits_for_go = true});

    (void)rig_launch(rig, &(struct guest){.waits_for_go = true});
    rig_await_refused(rig, KW_LAUNCH, KW_REFUSED_FULL);
    rig_order(rig, KW_ABORT, 1);
    rig_await(rig, 1, KW_PHASE_FAILED, &packet);
    rig_drop(&packet);
    uint64_t launch = rig_launch(rig, &(struct guest){.args = {"exit"}});
    rig_await(rig, launch, KW_PHASE_ENDED, &packet);
    rig_drop(&packet);
}

static void test_life__idle__is_small_and_sleeps(void **state)
{
    struct rig *rig = *state;
    struct packet packet;
    char before[256];
    char after[256];
    long empty_kib = rig_resident_kib(rig);
    for (int n = 0; n < 200; n++) {
        uint64_t launch = rig_launch(rig, &(struct guest){.args = {"wait"}});
        rig_await(rig, launch, KW_PHASE_BOOTED, &packet);
        rig_drop(&packet);
        rig_ack(rig, launch, RIG_GENERATION, packet.record.change);
    }

    assert_true(rig_is_silent(rig, 50));
    read_of(rig, "schedstat", before, sizeof(before));
    assert_true(rig_is_silent(rig, 500));
    read_of(rig, "schedstat", after, sizeof(after));

    assert_string_equal(before, after);
    print_message("%ld KiB empty, %ld with 200 guests\n", empty_kib, rig_resident_kib(rig));
}

int main(void)
{
    if (geteuid() != 0) {
        (void)fprintf(stderr, "SKIPPED: needs root\n");
        return 77;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(test_life__##name, rig_start, rig_stop)
    const struct CMUnitTest tests[] = {
        TEST(agent_dies_after_launch__guest_lives),
        TEST(agent_dies_before_go__launch_is_aborted),
        TEST(go_and_abort__are_obeyed),
        TEST(early_go__is_obeyed_and_staged_not_told),
        TEST(agent_dies__what_it_held_is_dropped),
        TEST(new_build__keeps_pids_consoles_and_statuses),
        TEST(build_that_cannot_go_on__is_refused),
        TEST(adopted__ends_with_unknown_status),
        TEST(term__ends_it_only_without_guests),
        TEST(home__holds_nothing_of_the_host),
        TEST(full_table__refuses_and_recovers),
        TEST(more_stages_than_allowed__are_refused),
        TEST(idle__is_small_and_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
