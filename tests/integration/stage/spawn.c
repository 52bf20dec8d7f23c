/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a command in a guest that is more than the guest, or a guest that gets hold of what the
 * command came with. Commands join a guest that sleeps; what they find comes back by a pipe. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "guest.h"
#include "sys.h"

#define JOIN_ALL                                                                                   \
    (KP_JOIN_PID | KP_JOIN_MNT | KP_JOIN_NET | KP_JOIN_UTS | KP_JOIN_IPC | KP_JOIN_CGROUP |        \
     KP_JOIN_TIME)

static struct guest target;
static struct guest command;

/* A guest that said it is there, and sleeps. */
static void boot(bool has_userns, const char *before)
{
    char script[512];
    target.has_userns = has_userns;
    guest_use_directory(&target);
    guest_usual_mounts(&target);
    target.header.flags |= KP_NEWTIME;
    target.header.hostname = guest_text(&target, "target");
    (void)snprintf(script, sizeof(script), "%s; echo up; exec busybox sleep 1000", before);
    guest_script(&target, script);
    guest_start(&target);
    guest_await(&target, "up\n");
    command.header.flags = JOIN_ALL | (has_userns ? KP_JOIN_USER : 0u);
}

static int set_up(void **state)
{
    (void)state;
    guest_init(&target);
    guest_init(&command);
    command.header.flags = 0;
    command.has_no_console = true;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (target.pidfd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, target.pidfd, SIGKILL, NULL, 0);
        guest_finish(&target);
    }
    guest_close(&command);
    guest_close(&target);
    return 0;
}

/* Standard output and error come back as the command's output. */
static void run_one(struct guest *one, bool is_in_target)
{
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    one->master = out[0];
    assert_int_equal(fcntl(out[0], F_SETFL, O_NONBLOCK), 0);
    int again = fcntl(out[1], F_DUPFD_CLOEXEC, 3);
    (void)guest_fd(one, out[1], KW_FD_STDOUT);
    (void)guest_fd(one, again, KW_FD_STDERR);
    guest_spawn(one, is_in_target ? &target : NULL);
    guest_finish(one);
}

static void run(bool is_in_target)
{
    run_one(&command, is_in_target);
}

static void shell_of(struct guest *one, const char *script)
{
    guest_arg(one, "/bin/sh");
    guest_arg(one, "-c");
    guest_arg(one, script);
}

static void shell(const char *script)
{
    shell_of(&command, script);
}

static void look(bool has_userns)
{
    boot(has_userns, ":");
    command.header.uid = 1000;
    command.header.gid = 100;
    command.groups[0] = 7;
    command.groups[1] = 8;
    command.header.group_count = 2;
    command.header.cwd = guest_text(&command, "/etc");
    command.env[0] = guest_text(&command, "A=b");
    command.header.env_count = 1;
    command.header.caps_keep = 1u << CAP_CHOWN;
    shell("cat /proc/self/status; echo host=$(busybox hostname) A=$A; pwd; echo fds;"
          "ls -1 /proc/$$/fd; echo end; busybox cut -d' ' -f6,7 /proc/$$/stat;"
          "busybox cut -d. -f1 /proc/uptime | busybox grep -qx '[0-5]' && echo young; exit 9");
    run(true);

    assert_output(&command, "Uid:\t1000\t1000\t1000\t1000\nGid:\t100\t100\t100\t100\n");
    assert_output(&command, "Groups:\t7 8 \n");
    assert_output(&command, "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
                            "CapEff:\t0000000000000000\nCapBnd:\t0000000000000001\n");
    assert_output(&command, "host=target A=b\n/etc\n");
    assert_output(&command, "fds\n0\n1\n2\nend\n");
    assert_output(&command, "young\n");
    assert_true(WIFEXITED(command.wait_status));
    assert_int_equal(WEXITSTATUS(command.wait_status), 9);
    assert_int_equal(command.report_count, 1);
}

static void test_spawn__in_a_guest__is_a_user_of_it(void **state)
{
    (void)state;
    look(false);
}

static void test_spawn__in_a_user_namespace__is_a_user_of_it(void **state)
{
    (void)state;
    look(true);
}

static void test_spawn__root_in_a_user_namespace__is_the_guests(void **state)
{
    (void)state;
    boot(true, ":");
    shell("cat /proc/self/uid_map; echo own=$(readlink /proc/self/ns/user);"
          "echo its=$(readlink /proc/1/ns/user); id");
    run(true);
    char text[64];
    (void)snprintf(text, sizeof(text), " %u ", GUEST_UID_BASE);
    assert_output(&command, text);
    assert_output(&command, "uid=0 gid=0\n");
    const char *own = strstr(command.output, "own=user:");
    const char *its = strstr(command.output, "its=user:");
    assert_true(own != NULL && its != NULL);
    assert_memory_equal(own + 4, its + 4, strlen("user:[4026531837]"));
}

static void test_spawn__found_in_path__is_executed(void **state)
{
    (void)state;
    boot(true, ":");
    command.header.flags |= KP_FIND_IN_PATH;
    command.env[0] = guest_text(&command, "PATH=/none:/etc/hostname:/bin");
    command.header.env_count = 1;
    guest_arg(&command, "cat");
    guest_arg(&command, "/proc/self/cmdline");
    run(true);
    assert_int_equal(WEXITSTATUS(command.wait_status), 0);
    assert_int_equal(guest_last(&command)->kind, STAGE_TRY);
    assert_int_equal(guest_last(&command)->detail, 2);
}

static void fails_at(enum kw_step step, int error)
{
    run(target.pidfd >= 0);
    assert_failed(&command, step, error, GUEST_NO_DETAIL);
}

static void fails(int error)
{
    fails_at(KW_STEP_EXEC, error);
}

static void test_spawn__not_in_path__is_told(void **state)
{
    (void)state;
    boot(true, ":");
    command.header.flags |= KP_FIND_IN_PATH;
    guest_arg(&command, "no-such-command");
    fails(ENOENT);
}

static void test_spawn__only_unexecutable_in_path__is_told(void **state)
{
    (void)state;
    boot(true, "echo x > /tmp/tool");
    command.header.flags |= KP_FIND_IN_PATH;
    command.env[0] = guest_text(&command, "PATH=/tmp:/bin");
    command.header.env_count = 1;
    guest_arg(&command, "tool");
    fails(EACCES);
}

static void test_spawn__no_arguments__is_told(void **state)
{
    (void)state;
    fails(EINVAL);
}

static void test_spawn__fifo__is_told_at_once(void **state)
{
    (void)state;
    boot(true, "busybox mkfifo /tmp/f; busybox chmod 755 /tmp/f");
    guest_arg(&command, "/tmp/f");
    fails(EACCES);
}

static void test_spawn__no_directory__is_told(void **state)
{
    (void)state;
    boot(true, ":");
    command.header.cwd = guest_text(&command, "/gone");
    shell("echo ran");
    fails_at(KW_STEP_CWD, ENOENT);
}

/* A directory of the host among the stage's descriptors would be a way out. */
static void test_spawn__directory_by_descriptor__leads_nowhere(void **state)
{
    (void)state;
    boot(true, ":");
    int host = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", host);
    (void)guest_fd(&command, host, KW_FD_CGROUP);
    command.header.cwd = guest_text(&command, path);
    shell("echo ran; ls /");
    fails_at(KW_STEP_CWD, ENOENT);
}

static void test_spawn__guest_is_gone__is_named(void **state)
{
    (void)state;
    boot(true, ":");
    command.header.flags &= ~(uint32_t)KP_JOIN_PID;
    (void)syscall(SYS_pidfd_send_signal, target.pidfd, SIGKILL, NULL, 0);
    struct pollfd ended = {.fd = target.pidfd, .events = POLLIN};
    assert_int_equal(poll(&ended, 1, 20000), 1);
    shell("echo ran");
    run(true);
    assert_failed(&command, KW_STEP_NAMESPACES, ESRCH, GUEST_NO_DETAIL);
}

static void test_spawn__user_outside_the_range__is_named(void **state)
{
    (void)state;
    boot(true, ":");
    command.header.uid = GUEST_UID_COUNT;
    shell("echo ran");
    run(true);
    assert_failed(&command, KW_STEP_IDS, EINVAL, GUEST_NO_DETAIL);
}

/* A filter needs CAP_SYS_ADMIN, which a user who is no root loses: it comes first. */
static void test_spawn__filter__holds_for_a_user(void **state)
{
    (void)state;
    const struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uname, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    boot(true, ":");
    memcpy(command.filter, filter, sizeof(filter));
    command.header.seccomp_count = COUNT_OF(filter);
    command.header.uid = 1000;
    shell("cat /proc/self/status; busybox uname");
    run(true);
    assert_output(&command, "Uid:\t1000\t");
    assert_output(&command, "NoNewPrivs:\t0\nSeccomp:\t2\n");
    assert_no_output(&command, "Linux\n");
}

static void test_spawn__no_target_to_join__is_named(void **state)
{
    (void)state;
    command.header.flags = KP_JOIN_MNT;
    shell("echo ran");
    run(false);
    assert_failed(&command, KW_STEP_NAMESPACES, EBADF, GUEST_NO_DETAIL);
}

static void test_spawn__beside_a_guest__is_a_process_of_ours(void **state)
{
    (void)state;
    shell("echo shell=$0; ls -1 /proc/$$/fd");
    run(false);
    assert_output(&command, "shell=/bin/sh\n0\n1\n2\n");
}

static void test_spawn__terminal__is_of_the_guest(void **state)
{
    (void)state;
    boot(true, ":");
    command.header.flags |= KP_TTY;
    command.header.uid = 33;
    command.header.rows = 50;
    command.header.columns = 132;
    shell("tty; busybox stty size; stat -c 'owner=%u mode=%a' $(tty);"
          "busybox cut -d' ' -f6,7 /proc/$$/stat; ls -1 /proc/$$/fd; echo signal; kill -INT 0;"
          "echo not reached");
    guest_spawn(&command, &target);
    assert_non_null(guest_hear(&command, STAGE_PTY));
    command.master = command.pty;
    command.pty = -1;
    guest_finish(&command);
    assert_output(&command, "/dev/pts/0\n50 132\nowner=33 mode=620\n");
    assert_output(&command, "0\n1\n2\n");
    assert_output(&command, "signal\n");
    assert_no_output(&command, "not reached");
    assert_true(WIFSIGNALED(command.wait_status));
}

static void refuses_terminal(const char *before, int error)
{
    boot(false, before);
    command.header.flags |= KP_TTY;
    shell("echo ran");
    guest_spawn(&command, &target);
    guest_finish(&command);
    assert_failed(&command, KW_STEP_MOUNTS, error, GUEST_NO_DETAIL);
}

static void test_spawn__terminal_of_no_devpts__is_refused(void **state)
{
    (void)state;
    refuses_terminal("busybox umount /dev/pts; busybox mkfifo /dev/pts/ptmx", ENOTTY);
}

static void test_spawn__terminal_under_another_mount__is_refused(void **state)
{
    (void)state;
    refuses_terminal("busybox mkfifo /dev/fifo; busybox mount -o bind /dev/fifo /dev/pts/ptmx",
                     EXDEV);
}

/* Let it run until it enters this system call. */
static void trace_until(pid_t pid, uint64_t number)
{
    struct __ptrace_syscall_info info = {0};
    int status;
    assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    guest_say(&command, "G");
    do {
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSTOPPED(status));
        assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0);
    } while (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != number);
}

/* Directly before execve it has the guest's ids and namespaces, and still the keeper's memory. */
static void test_spawn__before_execve__guests_root_cannot_look_into_it(void **state)
{
    (void)state;
    static struct guest spy;
    boot(true, ":");
    guest_arg(&command, "/bin/busybox");
    guest_arg(&command, "true");
    guest_spawn_held(&command, &target);
    assert_int_equal(ptrace(PTRACE_SEIZE, command.pid, NULL, (void *)PTRACE_O_TRACESYSGOOD), 0);
    trace_until(command.pid, SYS_execve);

    guest_init(&spy);
    spy.header.flags = JOIN_ALL | KP_JOIN_USER;
    spy.has_no_console = true;
    shell_of(&spy, "for p in 1 2; do readlink /proc/$p/exe > /dev/null && echo open=$p; done;"
                   "cat /proc/2/status; cat /proc/2/maps; ls /proc/2/fd /proc/2/root; id -u");
    run_one(&spy, true);
    assert_output(&spy, "open=1\n"); /* init; the command is the second process there */
    assert_no_output(&spy, "open=2\n");
    assert_output(&spy, "Uid:\t0\t0\t0\t0\n"); /* it has become root of the guest */
    assert_output(&spy, "cat: can't open '/proc/2/maps': Permission denied\n");
    assert_output(&spy, "ls: can't open '/proc/2/fd': Permission denied\n");
    assert_output(&spy, "/proc/2/root: Permission denied\n");
    assert_output(&spy, "\n0\n");
    guest_close(&spy);
    assert_int_equal(ptrace(PTRACE_DETACH, command.pid, NULL, NULL), 0);
    guest_finish(&command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_spawn__in_a_guest__is_a_user_of_it),
        TEST(test_spawn__in_a_user_namespace__is_a_user_of_it),
        TEST(test_spawn__root_in_a_user_namespace__is_the_guests),
        TEST(test_spawn__found_in_path__is_executed),
        TEST(test_spawn__not_in_path__is_told),
        TEST(test_spawn__only_unexecutable_in_path__is_told),
        TEST(test_spawn__no_arguments__is_told),
        TEST(test_spawn__fifo__is_told_at_once),
        TEST(test_spawn__no_directory__is_told),
        TEST(test_spawn__directory_by_descriptor__leads_nowhere),
        TEST(test_spawn__guest_is_gone__is_named),
        TEST(test_spawn__user_outside_the_range__is_named),
        TEST(test_spawn__filter__holds_for_a_user),
        TEST(test_spawn__no_target_to_join__is_named),
        TEST(test_spawn__beside_a_guest__is_a_process_of_ours),
        TEST(test_spawn__terminal__is_of_the_guest),
        TEST(test_spawn__terminal_of_no_devpts__is_refused),
        TEST(test_spawn__terminal_under_another_mount__is_refused),
        TEST(test_spawn__before_execve__guests_root_cannot_look_into_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
