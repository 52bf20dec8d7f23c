/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes what a guest's root can take, until it is refused; prints "WHAT COUNT ERRNO".
 *
 *   groups N     cgroups side by side       deep N      cgroups in each other, with long names
 *   named-groups N, named-deep N     likewise, in the hierarchy name=systemd
 *   forks        a process that forks, as do its children; for ever
 *   memory       pages; until killed        ptys N      pseudo terminals
 *   inotify N    instances                  spaces N    user namespaces, in each other
 *   signals N    queued to itself           files N     open files
 *   keys SERIAL  not taken: our session's keyring, or another's described
 *   flip         what /flip/init is; for ever
 *   console N    lines to the console       notify N    datagrams to the notify socket, a
 *   descriptor with the last
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostile.h"

static int tell(const char *what, long count, int error)
{
    (void)printf("%s %ld %s\n", what, count, error == 0 ? "done" : strerrorname_np(error));
    (void)fflush(stdout);
    return 0;
}

static int make_groups(const char *root, long count)
{
    char path[64];
    for (long i = 0; i < count; i++) {
        (void)snprintf(path, sizeof(path), "%s/hostile-%ld", root, i);
        if (mkdir(path, 0755) < 0)
            return tell("groups", i, errno);
    }
    return tell("groups", count, 0);
}

static int make_deep(const char *root, long count)
{
    char name[201];
    memset(name, 'd', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    if (chdir(root) < 0)
        return tell("deep", 0, errno);
    for (long i = 0; i < count; i++)
        if (mkdir(name, 0755) < 0 || chdir(name) < 0)
            return tell("deep", i, errno);
    return tell("deep", count, 0);
}

static int groups(long count)
{
    return make_groups("/sys/fs/cgroup", count);
}

static int deep(long count)
{
    return make_deep("/sys/fs/cgroup", count);
}

static int named_groups(long count)
{
    return make_groups("/sys/fs/cgroup/systemd", count);
}

static int named_deep(long count)
{
    return make_deep("/sys/fs/cgroup/systemd", count);
}

static _Noreturn void forks(void)
{
    for (;;)
        (void)fork();
}

static int memory(void)
{
    const size_t step = 1 << 20;
    for (;;) {
        char *more = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (more == MAP_FAILED)
            return tell("memory", 0, errno);
        memset(more, 1, step);
    }
}

/* As many open files as are allowed. */
static void raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int take(const char *what, long count)
{
    raise_files();
    for (long i = 0; i < count; i++) {
        int fd = strcmp(what, "ptys") == 0      ? posix_openpt(O_RDWR | O_NOCTTY)
                 : strcmp(what, "inotify") == 0 ? inotify_init()
                                                : open("/dev/null", O_RDONLY);
        if (fd < 0) {
            (void)tell(what, i, errno);
            (void)pause(); /* holding them */
            return 0;
        }
    }
    (void)tell(what, count, 0);
    (void)pause();
    return 0;
}

/* Serial number of the keyring of our session; or what asking for that of another's meets. */
static int keys(long serial)
{
    char text[256];
    if (serial == 0)
        return tell("keys", syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 1), 0);
    long size = syscall(SYS_keyctl, 6 /* KEYCTL_DESCRIBE */, serial, text, sizeof(text));
    return tell("keys", serial, size < 0 ? errno : 0);
}

/* For ever: what /flip/init is, which somebody else boots from; every second time it is right. */
static _Noreturn void flip(void)
{
    static const char *const wrong[] = {"fifo",         "/proc/1/exe", "directory",
                                        "/dev/console", "init",        "nothing"};
    if (chdir("/flip") < 0 || mkfifo("fifo", 0755) < 0 || mkdir("directory", 0755) < 0)
        exit(1);
    for (size_t i = 0;; i++) {
        const char *to = i % 2 == 0 ? "../bin/busybox" : wrong[i / 2 % 6];
        (void)unlink("new");
        (void)symlink(to, "new");
        (void)rename("new", "init");
    }
}

static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t size = write(fd, text, strlen(text));
    (void)close(fd);
    return size < 0 ? -1 : 0;
}

/* Each wants its maker's id mapped. */
static int spaces(long count)
{
    for (long i = 0; i < count; i++)
        if (unshare(CLONE_NEWUSER) < 0 || put("/proc/self/setgroups", "deny") < 0 ||
            put("/proc/self/uid_map", "0 0 1") < 0 || put("/proc/self/gid_map", "0 0 1") < 0)
            return tell("spaces", i, errno);
    return tell("spaces", count, 0);
}

static int signals(long count)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    for (long i = 0; i < count; i++)
        if (sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 0}) < 0)
            return tell("signals", i, errno);
    return tell("signals", count, 0);
}

static int console(long count)
{
    static char line[4096];
    int fd = open("/dev/console", O_WRONLY | O_NOCTTY);
    if (fd < 0)
        return tell("console", 0, errno);
    memset(line, '\033', sizeof(line));
    for (long i = 0; i < count; i++)
        if (write(fd, line, sizeof(line)) < 0)
            return tell("console", i, errno);
    return tell("console", count, 0);
}

/* READY, STOPPING and nonsense, the last with a descriptor that nobody asked for: the kernel may
 * refuse that one, and the keeper not hear another. */
static int notify(long count)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/host/notify/notify"};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    char text[256] = "STATUS=\033[2J\n\nX=";
    struct iovec part = {.iov_base = text, .iov_len = sizeof(text)};
    struct msghdr message = {.msg_name = &address,
                             .msg_namelen = sizeof(address),
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct msghdr plain = {
        .msg_name = &address, .msg_namelen = sizeof(address), .msg_iov = &part, .msg_iovlen = 1};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    for (long i = 0; i < count; i++)
        if (sendmsg(fd, i + 1 < count ? &plain : &message, 0) < 0 && errno != EPERM)
            return tell("notify", i, errno);
    return tell("notify", count, 0);
}

int rage(const char *what, long count)
{
    static const struct {
        const char *what;
        int (*with)(long count);
    } rages[] = {{"groups", groups},
                 {"deep", deep},
                 {"spaces", spaces},
                 {"signals", signals},
                 {"console", console},
                 {"notify", notify},
                 {"keys", keys},
                 {"named-groups", named_groups},
                 {"named-deep", named_deep}};

    for (size_t i = 0; i < sizeof(rages) / sizeof(rages[0]); i++)
        if (strcmp(what, rages[i].what) == 0)
            return rages[i].with(count);
    if (strcmp(what, "forks") == 0)
        forks();
    if (strcmp(what, "flip") == 0)
        flip();
    if (strcmp(what, "memory") == 0)
        return memory();
    if (strcmp(what, "ptys") == 0 || strcmp(what, "inotify") == 0 || strcmp(what, "files") == 0)
        return take(what, count);
    return 2;
}
