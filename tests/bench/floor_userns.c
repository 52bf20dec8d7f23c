/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent writes the id maps and makes three detached mounts (template and upper idmapped with
 * the child's user namespace, which the child itself may not do), and passes them over a socket
 * pair; the child attaches them and mounts its overlay.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "floor.h"
#include "sys.h"

#define RANGE_BASE 1000000u
#define RANGE_SIZE 65536u

enum tree { TREE_TEMPLATE, TREE_UPPER, TREE_REPORTS, TREE_COUNT };

static void check(int rc, const char *step)
{
    if (rc < 0)
        floor_fail(step);
}

static void attach(int tree, const char *target)
{
    check(move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH), target);
}

static void make_root(const int trees[TREE_COUNT])
{
    check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private /");
    check(mount("tmpfs", "/mnt", "tmpfs", 0, "mode=755"), "/mnt");
    check(mkdir("/mnt/lower", 0755), "lower");
    check(mkdir("/mnt/upper", 0755), "upper");
    check(mkdir("/mnt/root", 0755), "root");
    attach(trees[TREE_TEMPLATE], "/mnt/lower");
    attach(trees[TREE_UPPER], "/mnt/upper");
    check(mount("overlay", "/mnt/root", "overlay", 0,
                "lowerdir=/mnt/lower,upperdir=/mnt/upper/upper,workdir=/mnt/upper/work,userxattr"),
          "overlay");
    check(chdir("/mnt/root"), "chdir");
    attach(trees[TREE_REPORTS], "bench");
}

static void fill_root(void)
{
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

    check(mount("proc", "proc", "proc", flags, NULL), "proc");
    check(mount("sysfs", "sys", "sysfs", flags | MS_RDONLY, NULL), "sys");
    check(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755"), "dev");
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        char source[32];
        char target[32];
        (void)snprintf(source, sizeof(source), "/dev/%s", nodes[i]);
        (void)snprintf(target, sizeof(target), "dev/%s", nodes[i]);
        AUTO_FD file = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
        check(file, target);
        check(mount(source, target, NULL, MS_BIND, NULL), source);
    }
}

static _Noreturn void child(int sock, unsigned index)
{
    int trees[TREE_COUNT];
    size_t count = 0;
    char word[4];
    char name[32];
    struct pollfd parent = {.fd = sock, .events = POLLIN};

    (void)poll(&parent, 1, -1);
    if (sys_receive_fds(sock, word, sizeof(word), trees, TREE_COUNT, &count) <= 0 ||
        count != TREE_COUNT)
        floor_fail("mounts from the parent");
    check(setresgid(0, 0, 0), "setresgid");
    check(setresuid(0, 0, 0), "setresuid");
    check(unshare(CLONE_NEWNET), "unshare net");
    (void)setsid();
    int length = snprintf(name, sizeof(name), "floor%u", index);
    check(sethostname(name, (size_t)length), "sethostname");
    make_root(trees);
    fill_root();
    floor_become_init();
}

/* A detached copy of a directory's mount, its ids shifted by the user namespace if there is one. */
static int clone_tree(const char *path, int user)
{
    AUTO_FD tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP,
                              .userns_fd = user < 0 ? 0 : (unsigned)user};

    if (tree < 0 || (user >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0))
        return -errno;
    return take_fd(&tree);
}

static int write_maps(pid_t pid, unsigned index)
{
    char path[64];
    char map[64];

    (void)snprintf(map, sizeof(map), "0 %u %u", RANGE_BASE + RANGE_SIZE * index, RANGE_SIZE);
    (void)snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
    int rc = sys_write_text_at(AT_FDCWD, path, map);
    if (rc < 0)
        return rc;
    (void)snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
    return sys_write_text_at(AT_FDCWD, path, map);
}

static int make_directory(const char *path)
{
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int floor_userns_prepare(const struct floor_order *order, unsigned count)
{
    char path[PATH_MAX];
    int rc = 0;

    for (unsigned i = 0; i < count && rc == 0; i++) {
        (void)snprintf(path, sizeof(path), "%s/%u", order->work, i);
        rc = make_directory(path);
        (void)snprintf(path, sizeof(path), "%s/%u/upper", order->work, i);
        rc = rc < 0 ? rc : make_directory(path);
        (void)snprintf(path, sizeof(path), "%s/%u/work", order->work, i);
        rc = rc < 0 ? rc : make_directory(path);
    }
    sync(); /* nor is their writing to be counted */
    return rc;
}

/* The parent's part, all of it serial. */
static int set_up(const struct floor_order *order, unsigned index, pid_t pid, int sock)
{
    char path[64];
    char upper[PATH_MAX];

    int rc = write_maps(pid, index);
    if (rc < 0)
        return rc;
    (void)snprintf(upper, sizeof(upper), "%s/%u", order->work, index);
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
    AUTO_FD user = open(path, O_RDONLY | O_CLOEXEC);
    if (user < 0)
        return -errno;
    AUTO_FD lower = clone_tree(order->root, user);
    AUTO_FD layer = clone_tree(upper, user);
    AUTO_FD reports = clone_tree(order->reports, -1);
    if (lower < 0 || layer < 0 || reports < 0)
        return lower < 0 ? lower : layer < 0 ? layer : reports;
    const int trees[TREE_COUNT] = {lower, layer, reports};
    ssize_t sent = sys_send_fds(sock, "go", 2, trees, TREE_COUNT);
    return sent < 0 ? (int)sent : 0;
}

pid_t floor_userns_start(const struct floor_order *order, unsigned index)
{
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS |
                                       CLONE_NEWIPC | CLONE_NEWCGROUP,
                              .exit_signal = SIGCHLD};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    AUTO_FD mine = pair[1];
    AUTO_FD theirs = pair[0];
    pid_t pid = sys_clone3(&args);
    if (pid == 0) {
        fd_closep(&mine);
        child(theirs, index);
    }
    int rc = pid < 0 ? pid : set_up(order, index, pid, mine);
    if (rc < 0) {
        errno = -rc;
        if (pid > 0)
            (void)kill(pid, SIGKILL);
        return -1;
    }
    return pid;
}
