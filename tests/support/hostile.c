/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile WHAT… — a guest's root that wants out. Runs inside a guest; static.
 *
 *   hostile escapes MARK   try each way out; prints "NAME ERRNO" a line, "NAME done" for one that
 *                          worked. MARK is the path of a file of the host that must not be seen
 *   hostile unmask         take off every mount over a part of /proc and /sys, make /sys writable
 *   hostile named          likewise, by the hierarchy name=systemd
 *   hostile helpers N      watch /proc until N helpers of the host came by, try to get at each
 *   hostile hold WHAT      hold what the host would wait for: hostile_hold.c
 *
 * What it may do inside its own namespaces is no escape and not tried here: hostile.sh looks at the
 * host and the neighbour instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"

#define UNMAPPED 4000000u
#define DISK_MAJOR 254 /* a virtual machine's; any major number of disks will do */
#define DISK_MINOR 0

static const char *mark; /* of the host */

int answer(long result)
{
    return result < 0 ? errno : 0;
}

int write_to(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int result = answer(write(fd, text, strlen(text)));
    (void)close(fd);
    return result;
}

static int read_from(const char *path)
{
    char text[64];
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int result = answer(read(fd, text, sizeof(text)));
    (void)close(fd);
    return result;
}

int apart(int (*attempt)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(attempt());
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

/* ---- the kernel of all ---- */

static int try_init_module(void)
{
    return answer(syscall(SYS_init_module, "x", 1, ""));
}

static int try_finit_module(void)
{
    return answer(syscall(SYS_finit_module, 0, "", 0));
}

static int try_delete_module(void)
{
    return answer(syscall(SYS_delete_module, "x", 0));
}

static int try_kexec(void)
{
    return answer(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}

static int try_kernel_log(void)
{
    return answer(klogctl(3, NULL, 0)); /* read all: the mode of files would allow it */
}

static int try_clock(void)
{
    const struct timespec now = {.tv_sec = 1};
    return answer(clock_settime(CLOCK_REALTIME, &now));
}

static int try_settimeofday(void)
{
    const struct timeval now = {.tv_sec = 1};
    return answer(syscall(SYS_settimeofday, &now, NULL));
}

static int try_swap(void)
{
    return answer(swapon("/swap", 0));
}

static int try_accounting(void)
{
    return answer(acct(NULL));
}

static int try_bpf(void)
{
    union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4};
    attr.max_entries = 1;
    return answer(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static int try_perf(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr)};
    attr.exclude_kernel = 1;
    return answer(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

static int try_userfaultfd(void)
{
    return answer(
        syscall(SYS_userfaultfd, O_CLOEXEC | 1)); /* 1: user faults only, allowed to all */
}

static int try_io_uring(void)
{
    char parameters[256] = {0};
    return answer(syscall(SYS_io_uring_setup, 1, parameters));
}

static int try_realtime(void)
{
    const struct sched_param param = {.sched_priority = 1};
    return answer(sched_setscheduler(0, SCHED_FIFO, &param));
}

static int try_raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return errno;
    limit.rlim_cur = limit.rlim_max = limit.rlim_max + 1;
    return answer(setrlimit(RLIMIT_NOFILE, &limit));
}

static int try_unknown_call(void)
{
    return answer(syscall(500));
}

static int try_x32(void)
{
    return answer(syscall(0x40000000 | SYS_getpid));
}

#ifdef __x86_64__
static long call_32(long number)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(0), "c"(0), "d"(0) : "memory");
    return result;
}
#endif

/* kexec_load and getpid by the numbers of 32-bit programs. */
static int try_kexec_32(void)
{
#ifdef __x86_64__
    return (int)-call_32(283);
#else
    return EPERM;
#endif
}

/* ---- devices ---- */

/* In /dev, whose mount opens devices. */
static int open_node(mode_t type, unsigned major, unsigned minor)
{
    (void)unlink("/dev/node");
    if (mknod("/dev/node", type | 0666, makedev(major, minor)) < 0)
        return errno;
    int fd = open("/dev/node", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int result = answer(fd);
    if (fd >= 0)
        (void)close(fd);
    (void)unlink("/dev/node");
    return result;
}

static int try_mem(void)
{
    return open_node(S_IFCHR, 1, 1);
}

static int try_kmsg_node(void)
{
    return open_node(S_IFCHR, 1, 11);
}

static int try_disk(void)
{
    return open_node(S_IFBLK, DISK_MAJOR, DISK_MINOR);
}

static int try_tun(void)
{
    return answer(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
}

static int try_fuse(void)
{
    return answer(open("/dev/fuse", O_RDWR | O_CLOEXEC));
}

static int try_tty(void)
{
    return answer(open("/dev/tty1", O_RDWR | O_NOCTTY | O_CLOEXEC));
}

/* ---- mounts and files ---- */

static int mount_type(const char *type, const char *options)
{
    (void)mkdir("/run/m", 0700);
    int result = answer(mount("none", "/run/m", type, 0, options));
    if (result == 0)
        (void)umount2("/run/m", MNT_DETACH);
    return result;
}

static int try_ext4(void)
{
    return mount_type("ext4", NULL);
}

static int try_debugfs(void)
{
    return mount_type("debugfs", NULL);
}

static int try_securityfs(void)
{
    return mount_type("securityfs", NULL);
}

static int try_host_file(void)
{
    struct stat found;
    return answer(stat(mark, &found));
}

/* The way out of a chroot(2). */
static int leave_chroot(void)
{
    (void)mkdir("/run/jail", 0700);
    int outside = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (outside < 0 || chroot("/run/jail") < 0 || fchdir(outside) < 0)
        return errno;
    for (int i = 0; i < 64; i++)
        if (chdir("..") < 0)
            return errno;
    return chroot(".") < 0 ? errno : try_host_file();
}

static int try_chroot(void)
{
    return apart(leave_chroot);
}

/* Is there anything below the root? */
static int unmount_root(void)
{
    if (unshare(CLONE_NEWNS) < 0)
        return errno;
    for (int i = 0; i < 8; i++)
        if (umount2("/", MNT_DETACH) < 0)
            return errno;
    return chdir("/") < 0 || chroot("/") < 0 ? errno : try_host_file();
}

static int try_unmount_root(void)
{
    return apart(unmount_root);
}

/* Inode 2, the root directory of the file system that the root is on. */
static int try_handle(void)
{
    _Alignas(struct file_handle) char room[sizeof(struct file_handle) + 8] = {0};
    struct file_handle *handle = (struct file_handle *)(void *)room;

    handle->handle_bytes = 8;
    handle->handle_type = 1;
    handle->f_handle[0] = 2;
    return answer(open_by_handle_at(AT_FDCWD, handle, O_RDONLY));
}

static int try_unmapped_owner(void)
{
    int fd = open("/run/owned", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    int result = fd < 0 ? errno : answer(fchown(fd, UNMAPPED, UNMAPPED));
    (void)unlink("/run/owned");
    return result;
}

static int become_unmapped(void)
{
    return answer(setresuid(UNMAPPED, UNMAPPED, UNMAPPED));
}

static int try_unmapped_id(void)
{
    return apart(become_unmapped);
}

/* A bind that was given read-only. */
static int try_read_only_bind(void)
{
    (void)mount(NULL, "/bound", NULL, MS_REMOUNT | MS_BIND, NULL);
    return answer(open("/bound/new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

/* ---- cgroups ---- */

static int in_v1(const char *controller, const char *file, const char *value)
{
    char path[64];
    (void)mkdir("/run/v1", 0700);
    if (mount("none", "/run/v1", "cgroup", 0, controller) < 0)
        return errno;
    (void)snprintf(path, sizeof(path), "/run/v1/%s", file);
    int result = value == NULL ? answer(mkdir(path, 0755)) : write_to(path, value);
    (void)umount2("/run/v1", MNT_DETACH);
    return result;
}

static int try_release_agent(void)
{
    return in_v1("memory", "release_agent", "/bin/sh");
}

static int try_notify_on_release(void)
{
    return in_v1("memory", "notify_on_release", "1");
}

static int try_memory_limit(void)
{
    return in_v1("memory", "memory.limit_in_bytes", "-1");
}

static int try_pids_limit(void)
{
    return in_v1("pids", "pids.max", "max");
}

static int try_devices_list(void)
{
    return in_v1("devices", "devices.allow", "a");
}

static int try_v1_group(void)
{
    return in_v1("memory", "mine", NULL);
}

/* ---- other processes, keys, networks ---- */

static int be_traced(void)
{
    return answer(syscall(SYS_ptrace, 0 /* PTRACE_TRACEME */, 0, NULL, NULL));
}

static int try_ptrace(void)
{
    return apart(be_traced);
}

static int try_process_memory(void)
{
    return answer(syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0));
}

static int try_keyring(void)
{
    return answer(syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -4 /* user */, 0));
}

static int try_request_key(void)
{
    return answer(syscall(SYS_request_key, "user", "hostile", "", 0));
}

static int make_socket(int family, int type)
{
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    (void)close(fd);
    return 0;
}

static int try_vsock(void)
{
    return make_socket(AF_VSOCK, SOCK_STREAM);
}

static int try_alg(void)
{
    return make_socket(AF_ALG, SOCK_SEQPACKET);
}

static int try_tipc(void)
{
    return make_socket(AF_TIPC, SOCK_RDM);
}

/* The host listens on this name: hostile.sh. */
static int try_abstract_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s", mark);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int result =
        answer(connect(fd, (struct sockaddr *)&address,
                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)));
    (void)close(fd);
    return result;
}

#define TRY(name)                                                                                  \
    {                                                                                              \
#name, try_##name, NULL, NULL                                                              \
    }
#define WRITE(name, path, text)                                                                    \
    {                                                                                              \
#name, NULL, path, text                                                                    \
    }
#define READ(name, path)                                                                           \
    {                                                                                              \
#name, NULL, path, NULL                                                                    \
    }
static const struct {
    const char *name;
    int (*attempt)(void);
    const char *path; /* or a file to be written, or read */
    const char *text;
} attempts[] = {
    TRY(init_module),
    TRY(finit_module),
    TRY(delete_module),
    TRY(kexec),
    TRY(kexec_32),
    WRITE(sysrq, "/proc/sysrq-trigger", "h"),
    WRITE(core_pattern, "/proc/sys/kernel/core_pattern", "|/bin/sh"),
    WRITE(panic, "/proc/sys/kernel/panic_on_oops", "0"),
    WRITE(drop_caches, "/proc/sys/vm/drop_caches", "1"),
    WRITE(file_max, "/proc/sys/fs/file-max", "100"),
    WRITE(host_setting, "/sys/kernel/mm/transparent_hugepage/enabled", "never"),
    TRY(kernel_log),
    READ(kmsg, "/proc/kmsg"),
    READ(kcore, "/proc/kcore"),
    TRY(clock),
    TRY(settimeofday),
    TRY(swap),
    TRY(accounting),
    TRY(bpf),
    TRY(perf),
    TRY(userfaultfd),
    TRY(io_uring),
    TRY(realtime),
    TRY(raise_limit),
    WRITE(oom_score, "/proc/self/oom_score_adj", "-1000"),
    TRY(unknown_call),
    TRY(x32),
    TRY(mem),
    TRY(kmsg_node),
    TRY(disk),
    TRY(tun),
    TRY(fuse),
    TRY(tty),
    TRY(ext4),
    TRY(debugfs),
    TRY(securityfs),
    TRY(host_file),
    TRY(chroot),
    TRY(unmount_root),
    TRY(handle),
    TRY(unmapped_owner),
    TRY(unmapped_id),
    TRY(read_only_bind),
    WRITE(descendants, "/sys/fs/cgroup/cgroup.max.descendants", "max"),
    WRITE(depth, "/sys/fs/cgroup/cgroup.max.depth", "max"),
    WRITE(freeze, "/sys/fs/cgroup/cgroup.freeze", "0"),
    TRY(release_agent),
    TRY(notify_on_release),
    TRY(memory_limit),
    TRY(pids_limit),
    TRY(devices_list),
    TRY(v1_group),
    TRY(ptrace),
    TRY(process_memory),
    TRY(keyring),
    TRY(request_key),
    TRY(vsock),
    TRY(alg),
    TRY(tipc),
    TRY(abstract_socket),
};

static int escapes(void)
{
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        int error = attempts[i].attempt != NULL ? attempts[i].attempt()
                    : attempts[i].text != NULL  ? write_to(attempts[i].path, attempts[i].text)
                                                : read_from(attempts[i].path);
        (void)printf("%s %s\n", attempts[i].name, error == 0 ? "done" : strerrorname_np(error));
        (void)fflush(stdout);
    }
    return 0;
}

/* Last mounted first, as they lie on each other. */
static int unmask(void)
{
    static char lines[512][512];
    size_t count = 0;
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts != NULL && count < 512 && fgets(lines[count], 512, mounts) != NULL)
        count++;
    while (count-- > 0) {
        char path[256];
        if (sscanf(lines[count], "%*d %*d %*s %*s %255s", path) != 1)
            continue;
        bool is_mask = strncmp(path, "/proc/", 6) == 0 ||
                       (strncmp(path, "/sys/", 5) == 0 && strcmp(path, "/sys/fs/cgroup") != 0);
        if (is_mask && umount2(path, MNT_DETACH) < 0)
            (void)printf("%s stays: %s\n", path, strerrorname_np(errno));
        else if (is_mask)
            (void)printf("%s is off\n", path);
    }
    if (mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL) < 0)
        (void)printf("/sys stays: %s\n", strerrorname_np(errno));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "escapes") == 0) {
        mark = argv[2];
        return escapes();
    }
    if (argc == 2 && strcmp(argv[1], "named") == 0)
        return named();
    if (argc == 2 && strcmp(argv[1], "unmask") == 0)
        return unmask();
    if (argc == 3 && strcmp(argv[1], "helpers") == 0)
        return helpers(strtol(argv[2], NULL, 10));
    if (argc == 3 && strcmp(argv[1], "hold") == 0)
        return hold(argv[2]);
    if (argc >= 2)
        return rage(argv[1], argc > 2 ? strtol(argv[2], NULL, 10) : 0);
    return 2;
}
