/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: that each step of a launch does what the plan says, and is named when it cannot. Plans
 * are made to fail at one step; those that succeed let the guest, or its /proc entry, tell. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "guest.h"
#include "sys.h"

static struct guest guest;

static int set_up(void **state)
{
    (void)state;
    guest_init(&guest);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guest_close(&guest);
    return 0;
}

static void use_all(bool has_userns)
{
    guest.has_userns = has_userns;
    guest_use_directory(&guest);
    guest_usual_mounts(&guest);
}

static void run(const char *script)
{
    guest_script(&guest, script);
    guest_run(&guest);
}

static ino_t inode_of(pid_t pid, const char *space)
{
    char path[64];
    struct stat stat_of;
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, space);
    assert_int_equal(stat(path, &stat_of), 0);
    return stat_of.st_ino;
}

static ino_t inode_of_fd(int fd)
{
    struct stat stat;
    assert_int_equal(fstat(fd, &stat), 0);
    return stat.st_ino;
}

static void test_two_phases__staged_guest__waits_with_its_handles(void **state)
{
    (void)state;
    use_all(true);
    guest.header.flags &= ~(uint32_t)KP_GO_AT_ONCE;
    guest_script(&guest, "echo booted");
    guest_start(&guest);
    assert_non_null(guest_hear(&guest, STAGE_READY));

    assert_int_equal(guest.staged_count, 3);
    assert_true(inode_of_fd(guest.staged[0]) == inode_of(guest.pid, "net"));
    assert_true(inode_of_fd(guest.staged[0]) != inode_of(getpid(), "net"));
    assert_true(inode_of_fd(guest.staged[2]) == inode_of(guest.pid, "mnt"));
    AUTO_FD space = ioctl(guest.staged[1], 0x894C /* SIOCGSKNS */);
    assert_true(space >= 0);
    assert_true(inode_of_fd(space) == inode_of_fd(guest.staged[0]));

    guest_say(&guest, "G");
    guest_finish(&guest);
    assert_output(&guest, "booted\n");
}

static void test_go__pipe_ends_at_once__exits_silently(void **state)
{
    (void)state;
    use_all(false);
    guest.header.flags &= ~(uint32_t)KP_GO_AT_ONCE;
    guest_script(&guest, "echo booted");
    guest_begin(&guest);
    fd_closep(&guest.go);
    guest_finish(&guest);
    assert_int_equal(guest.report_count, 0);
    assert_int_equal(WEXITSTATUS(guest.wait_status), 1);
}

static void test_go__pipe_ends_when_staged__exits_silently(void **state)
{
    (void)state;
    use_all(false);
    guest.header.flags &= ~(uint32_t)KP_GO_AT_ONCE;
    guest_script(&guest, "echo booted");
    guest_start(&guest);
    assert_non_null(guest_hear(&guest, STAGE_READY));
    fd_closep(&guest.go);
    guest_finish(&guest);
    assert_int_equal(guest.report_count, 1);
    assert_int_equal(WEXITSTATUS(guest.wait_status), 1);
    assert_no_output(&guest, "booted");
}

static void test_go__another_word__exits_silently(void **state)
{
    (void)state;
    use_all(false);
    guest_script(&guest, "echo booted");
    guest_begin(&guest);
    guest_say(&guest, "X");
    guest_finish(&guest);
    assert_int_equal(guest.report_count, 0);
}

/* Its sockets and other guests' descriptors must not live on in a staged child. */
static void test_descriptors__of_the_parent__are_not_held(void **state)
{
    (void)state;
    int pair[2];
    char path[64];
    char name[256];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0); /* inheritable, even */
    AUTO_FD far = fcntl(pair[1], F_DUPFD, 700);
    (void)snprintf(name, sizeof(name), "socket:[%lu]", (unsigned long)inode_of_fd(pair[0]));

    use_all(false);
    guest.header.flags &= ~(uint32_t)KP_GO_AT_ONCE;
    guest_script(&guest, "echo booted");
    guest_start(&guest);
    assert_non_null(guest_hear(&guest, STAGE_READY));
    assert_int_equal(close(pair[1]), 0);
    fd_closep(&far);

    char octet;
    assert_int_equal(recv(pair[0], &octet, 1, MSG_DONTWAIT), 0); /* the other end is nowhere */
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/700", guest.pid);
    assert_int_equal(readlink(path, name, sizeof(name)), -1);
    assert_int_equal(close(pair[0]), 0);
    guest_say(&guest, "G");
    guest_finish(&guest);
}

static void test_cgroup__that_refuses__is_named(void **state)
{
    (void)state;
    use_all(false);
    (void)guest_fd(&guest, open("/dev/full", O_WRONLY | O_CLOEXEC), KW_FD_TASKS);
    run("echo booted");
    assert_failed(&guest, KW_STEP_CGROUP, ENOSPC, GUEST_NO_DETAIL);
}

/* The namespace is made after entering: the guest sees its own group as the root. */
static void test_cgroup__v1_group__is_the_root_of_the_namespace(void **state)
{
    (void)state;
    char group[64];
    char tasks[96];
    (void)snprintf(group, sizeof(group), "/sys/fs/cgroup/pids/stage-test.%d", getpid());
    if (mkdir(group, 0755) < 0)
        skip(); /* a host without v1 */
    (void)snprintf(tasks, sizeof(tasks), "%s/tasks", group);
    use_all(true);
    (void)guest_fd(&guest, open(tasks, O_WRONLY | O_CLOEXEC), KW_FD_TASKS);
    guest_mount(&guest, KP_CGROUP2, "sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC);
    run("cat /proc/self/cgroup; busybox grep cgroup2 /proc/mounts");
    assert_int_equal(rmdir(group), 0);
    assert_output(&guest, ":pids:/\n");
    assert_output(&guest, "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec");
}

static void test_hostname__too_long__is_named(void **state)
{
    (void)state;
    char name[80];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    use_all(false);
    guest.header.hostname = guest_text(&guest, name);
    run("echo booted");
    assert_failed(&guest, KW_STEP_NAMESPACES, EINVAL, GUEST_NO_DETAIL);
}

static void test_root__none__is_named(void **state)
{
    (void)state;
    run("echo booted");
    assert_failed(&guest, KW_STEP_ROOT, EINVAL, GUEST_NO_DETAIL);
}

static void test_root__upper_without_work__is_named(void **state)
{
    (void)state;
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/over/work", guest.dir);
    assert_int_equal(rmdir(path), 0);
    guest_use_overlay(&guest);
    run("echo booted");
    assert_failed(&guest, KW_STEP_ROOT, ENOENT, GUEST_NO_DETAIL);
}

static void test_root__more_layers__first_is_on_top(void **state)
{
    (void)state;
    static const char *const names[] = {"top", "middle"};
    char path[128];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", guest.dir, names[i]);
        assert_int_equal(mkdir(path, 0755), 0);
        int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        (void)guest_fd(&guest, tree, KW_FD_LOWER);
        (void)snprintf(path, sizeof(path), "%s/%s/which", guest.dir, names[i]);
        AUTO_FD file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        assert_int_equal(write(file, names[i], strlen(names[i])), (ssize_t)strlen(names[i]));
    }
    guest_use_overlay(&guest);
    guest_usual_mounts(&guest);
    run("echo which=$(cat /which); echo x > /written; busybox rmdir /tmp && echo removed");
    assert_output(&guest, "which=top\nremoved\n");
    (void)snprintf(path, sizeof(path), "%s/over/upper/written", guest.dir);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_capabilities__kept_ones__bound_the_guest(void **state)
{
    (void)state;
    /* As a service manager may have started us: inheritable ones pass the bounding set. */
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    assert_int_equal(syscall(SYS_capget, &header, data), 0);
    uint32_t before = data[0].inheritable;
    data[0].inheritable |= 1u << CAP_SYS_BOOT;
    assert_int_equal(syscall(SYS_capset, &header, data), 0);

    use_all(false);
    guest.header.caps_keep = 1u << CAP_CHOWN | 1u << CAP_KILL;
    run("cat /proc/self/status");
    data[0].inheritable = before;
    assert_int_equal(syscall(SYS_capset, &header, data), 0);
    assert_output(&guest, "CapInh:\t0000000000000000\nCapPrm:\t0000000000000021\n"
                          "CapEff:\t0000000000000021\nCapBnd:\t0000000000000021\n"
                          "CapAmb:\t0000000000000000\nNoNewPrivs:\t0\n");
}

static void test_seccomp__filter__holds_without_no_new_privs(void **state)
{
    (void)state;
    const struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sethostname, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    memcpy(guest.filter, filter, sizeof(filter));
    guest.header.seccomp_count = COUNT_OF(filter);
    use_all(true);
    guest.header.caps_keep = 1u << CAP_CHOWN; /* CAP_SYS_ADMIN is still there when it is needed */
    run("cat /proc/self/status; busybox hostname other");
    assert_output(&guest, "NoNewPrivs:\t0\nSeccomp:\t2\n");
    assert_output(&guest, "Function not implemented");
}

static void test_seccomp__bad_filter__is_named(void **state)
{
    (void)state;
    guest.filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
    guest.header.seccomp_count = 1; /* it never returns */
    use_all(false);
    run("echo booted");
    assert_failed(&guest, KW_STEP_SECCOMP, EINVAL, GUEST_NO_DETAIL);
}

static void check_time(bool has_userns)
{
    use_all(has_userns);
    guest.header.flags |= KP_NEWTIME;
    run("busybox cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets");
    long uptime = strtol(guest.output, NULL, 10);
    assert_true(uptime >= 0 && uptime < 20);
    const char *offset = strstr(guest.output, "boottime");
    assert_non_null(offset);
    assert_true(strtol(offset + strlen("boottime"), NULL, 10) < 0); /* back to this moment */
}

static void test_time__new_namespace__begins_at_zero(void **state)
{
    (void)state;
    check_time(false);
}

static void test_time__in_a_user_namespace__begins_at_zero(void **state)
{
    (void)state;
    check_time(true);
}

static void test_signals__of_the_parent__are_reset(void **state)
{
    (void)state;
    sigset_t blocked;
    sigset_t before;
    assert_int_equal(sigemptyset(&blocked), 0);
    assert_int_equal(sigaddset(&blocked, SIGTERM), 0);
    assert_int_equal(sigaddset(&blocked, SIGRTMIN + 3), 0);
    assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, &before), 0);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    assert_true(signal(SIGUSR1, SIG_IGN) != SIG_ERR);

    use_all(false);
    run("exec cat /proc/1/status");
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
    assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    assert_output(&guest, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

static void test_console__none__is_null(void **state)
{
    (void)state;
    use_all(false);
    guest.has_no_console = true;
    guest_attach(&guest, guest.dir, "tmp", false);
    run("readlink /proc/1/fd/0 /proc/1/fd/1 > /tmp/said; readlink /proc/1/fd/0 >> /tmp/said");
    char text[128];
    assert_int_equal(WEXITSTATUS(guest.wait_status), 0);
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/said", guest.dir);
    assert_true(sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "/null"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_two_phases__staged_guest__waits_with_its_handles),
        TEST(test_go__pipe_ends_at_once__exits_silently),
        TEST(test_go__pipe_ends_when_staged__exits_silently),
        TEST(test_go__another_word__exits_silently),
        TEST(test_descriptors__of_the_parent__are_not_held),
        TEST(test_cgroup__that_refuses__is_named),
        TEST(test_cgroup__v1_group__is_the_root_of_the_namespace),
        TEST(test_hostname__too_long__is_named),
        TEST(test_root__none__is_named),
        TEST(test_root__upper_without_work__is_named),
        TEST(test_root__more_layers__first_is_on_top),
        TEST(test_capabilities__kept_ones__bound_the_guest),
        TEST(test_seccomp__filter__holds_without_no_new_privs),
        TEST(test_seccomp__bad_filter__is_named),
        TEST(test_time__new_namespace__begins_at_zero),
        TEST(test_time__in_a_user_namespace__begins_at_zero),
        TEST(test_signals__of_the_parent__are_reset),
        TEST(test_console__none__is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
