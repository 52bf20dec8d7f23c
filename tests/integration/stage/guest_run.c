/* SPDX-License-Identifier: Apache-2.0 */
/* The parent's part of a launch, as the keeper does it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "guest.h"
#include "sys.h"

#define PATIENCE_MS 20000

static void open_console(struct guest *guest)
{
    int unlocked = 0;
    guest->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    assert_true(guest->master >= 0);
    assert_int_equal(ioctl(guest->master, TIOCSPTLCK, &unlocked), 0);
    unsigned number;
    char path[32];
    assert_int_equal(ioctl(guest->master, TIOCGPTN, &number), 0);
    (void)snprintf(path, sizeof(path), "/dev/pts/%u", number);
    guest->slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(guest->slave >= 0);
    uid_t owner = guest->has_userns ? GUEST_UID_BASE : 0;
    assert_int_equal(fchown(guest->slave, owner, owner), 0);
}

/* As the keeper does, so that the guest's root is charged for its user namespace. */
static void take_ids(uid_t uid)
{
    if (uid != 0)
        assert_int_equal(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), 0);
    assert_int_equal(syscall(SYS_setresgid, -1, uid, -1), 0);
    assert_int_equal(syscall(SYS_setresuid, -1, uid, -1), 0);
    if (uid == 0)
        assert_int_equal(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0), 0);
}

static void clone_child(struct guest *guest, uint64_t flags, void (*body)(const struct stage *))
{
    int pair[2];
    int pipe[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(pipe, O_CLOEXEC), 0);
    struct clone_args args = {.flags = flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
                              .pidfd = (uint64_t)(uintptr_t)&guest->pidfd,
                              .exit_signal = SIGCHLD};
    if ((flags & CLONE_NEWUSER) != 0)
        take_ids(GUEST_UID_BASE);
    guest->pid = sys_clone3(&args);
    if (guest->pid != 0 && (flags & CLONE_NEWUSER) != 0)
        take_ids(0);
    if (guest->pid == 0) {
        const struct stage stage = {
            .plan = (const struct kp_header *)(const void *)guest->block,
            .fds = guest->fds,
            .roles = guest->roles,
            .fd_count = guest->fd_count,
            .slave = guest->slave,
            .report = pair[1],
            .go = pipe[0],
        };
        (void)close(pair[0]);
        (void)close(pipe[1]);
        body(&stage);
    }
    assert_true(guest->pid > 0);
    (void)close(pair[1]);
    (void)close(pipe[0]);
    guest->report = pair[0];
    guest->go = pipe[1];
}

static void write_map(pid_t pid, const char *name)
{
    char path[64];
    char text[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    (void)snprintf(text, sizeof(text), "0 %u %u\n", GUEST_UID_BASE, GUEST_UID_COUNT);
    assert_int_equal(sys_write_text_at(AT_FDCWD, path, text), 0);
}

static void map_ids(struct guest *guest)
{
    char path[64];
    write_map(guest->pid, "uid_map");
    write_map(guest->pid, "gid_map");
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", guest->pid);
    AUTO_FD user_ns = open(path, O_RDONLY | O_CLOEXEC);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)user_ns};
    for (size_t i = 0; i < guest->fd_count; i++)
        if ((guest->roles[i] & KW_FD_IDMAP) != 0)
            assert_int_equal(mount_setattr(guest->fds[i], "", AT_EMPTY_PATH, &attr, sizeof(attr)),
                             0);
}

void guest_begin(struct guest *guest)
{
    (void)guest_pack(guest);
    if (!guest->has_no_console)
        open_console(guest);
    clone_child(guest,
                CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC |
                    (guest->has_userns ? CLONE_NEWUSER : 0u),
                stage_launch);
    if (guest->has_userns)
        map_ids(guest);
}

void guest_start(struct guest *guest)
{
    guest_begin(guest);
    guest_say(guest, (guest->header.flags & KP_GO_AT_ONCE) != 0 ? "OG" : "O");
}

void guest_say(struct guest *guest, const char *words)
{
    assert_int_equal(write(guest->go, words, strlen(words)), (ssize_t)strlen(words));
}

static bool wait_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, PATIENCE_MS) == 1;
}

static void keep_fds(struct guest *guest, const struct stage_report *report, const int *fds,
                     size_t fd_count)
{
    if (report->kind == STAGE_READY) {
        memcpy(guest->staged, fds, fd_count * sizeof(int));
        guest->staged_count = fd_count;
    } else if (report->kind == STAGE_PTY) {
        assert_int_equal(fd_count, 1);
        guest->pty = fds[0];
    } else {
        assert_int_equal(fd_count, 0);
    }
}

const struct stage_report *guest_hear(struct guest *guest, enum stage_report_kind kind)
{
    for (;;) {
        struct stage_report *report = &guest->reports[guest->report_count];
        int fds[3];
        size_t fd_count;
        assert_true(guest->report_count < GUEST_REPORTS_MAX);
        assert_true(wait_readable(guest->report));
        ssize_t size =
            sys_receive_fds(guest->report, report, sizeof(*report), fds, COUNT_OF(fds), &fd_count);
        if (size == 0)
            return NULL;
        assert_int_equal(size, sizeof(*report));
        keep_fds(guest, report, fds, fd_count);
        guest->report_count++;
        if (report->kind == (uint32_t)kind)
            return report;
    }
}

static void read_console(struct guest *guest)
{
    char bytes[4096];
    ssize_t size;
    while (guest->master >= 0 && (size = read(guest->master, bytes, sizeof(bytes))) > 0)
        for (ssize_t i = 0; i < size; i++)
            if (bytes[i] != '\r' && guest->output_bytes < sizeof(guest->output) - 1)
                guest->output[guest->output_bytes++] = bytes[i];
    guest->output[guest->output_bytes] = '\0';
}

void guest_await(struct guest *guest, const char *text)
{
    while (strstr(guest->output, text) == NULL) {
        assert_true(wait_readable(guest->master));
        read_console(guest);
    }
}

void guest_finish(struct guest *guest)
{
    (void)guest_hear(guest, (enum stage_report_kind)0);
    for (;;) {
        struct pollfd fds[2] = {{.fd = guest->pidfd, .events = POLLIN},
                                {.fd = guest->master, .events = POLLIN}};
        int count = poll(fds, 2, PATIENCE_MS);
        if (count == 0) /* so that a test that hangs fails, and leaves nothing */
            (void)syscall(SYS_pidfd_send_signal, guest->pidfd, SIGKILL, NULL, 0);
        read_console(guest);
        if (fds[0].revents != 0)
            break;
    }
    assert_int_equal(waitpid(guest->pid, &guest->wait_status, 0), guest->pid);
    read_console(guest);
}

void guest_run(struct guest *guest)
{
    guest_start(guest);
    guest_finish(guest);
}

const struct stage_report *guest_last(const struct guest *guest)
{
    assert_true(guest->report_count > 0);
    return &guest->reports[guest->report_count - 1];
}

void assert_failed(const struct guest *guest, enum kw_step step, int error, int detail)
{
    const struct stage_report *last = guest_last(guest);
    assert_int_equal(last->kind, STAGE_FAILED);
    assert_int_equal(last->step, step);
    assert_int_equal(last->error, error);
    assert_int_equal(last->detail, detail);
    assert_true(WIFEXITED(guest->wait_status));
    assert_int_equal(WEXITSTATUS(guest->wait_status), 1);
}

void assert_output(const struct guest *guest, const char *text)
{
    if (strstr(guest->output, text) != NULL)
        return;
    for (size_t i = 0; i < guest->report_count; i++)
        print_error("report kind %u step %u errno %d detail %d\n", guest->reports[i].kind,
                    guest->reports[i].step, guest->reports[i].error, guest->reports[i].detail);
    (void)fputs(guest->output, stderr); /* print_error() cuts it */
    fail_msg("not said: \"%s\"", text);
}

void assert_no_output(const struct guest *guest, const char *text)
{
    if (strstr(guest->output, text) == NULL)
        return;
    (void)fputs(guest->output, stderr); /* print_error() cuts it */
    fail_msg("said: \"%s\"", text);
}

void guest_spawn_held(struct guest *command, const struct guest *target)
{
    const struct kp_header *plan = guest_pack(command);
    bool joins_pid = (plan->flags & KP_JOIN_PID) != 0;
    AUTO_FD own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    assert_true(own >= 0);
    if (target != NULL)
        (void)guest_fd(command, fcntl(target->pidfd, F_DUPFD_CLOEXEC, 3), KW_FD_TARGET);
    if (joins_pid)
        assert_int_equal(setns(target->pidfd, CLONE_NEWPID), 0);
    clone_child(command, 0, stage_spawn);
    if (joins_pid)
        assert_int_equal(setns(own, CLONE_NEWPID), 0);
}

void guest_spawn(struct guest *command, const struct guest *target)
{
    guest_spawn_held(command, target);
    guest_say(command, "G");
}
