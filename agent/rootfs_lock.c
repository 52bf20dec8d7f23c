/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's root may remount what its own mount namespace holds, and so take `ro` and `nodev` off
 * a bind, unless the kernel locked them. It locks the attributes of every mount that is copied from
 * the mount namespace of one user namespace into that of another, and clones keep the lock. So such
 * a namespace is kept, empty but for two places to mount on, and mounts pass through a copy of
 * it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "ensure.h"
#include "rootfs_mounts.h"
#include "sys.h"

#define PLACE_DIR "/dir"
#define PLACE_FILE "/file"

/* One mount at a time is on a place. Nothing that is done meanwhile can hang: all of it is in the
 * kernel's own tables, no file system is asked. */
static pthread_mutex_t places = PTHREAD_MUTEX_INITIALIZER;

static int map_ids(pid_t pid)
{
    static const char map[] = "0 1879048192 65536"; /* any range will do */
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
    int rc = sys_write_text_at(AT_FDCWD, path, map);
    if (rc < 0)
        return rc;
    (void)snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
    return sys_write_text_at(AT_FDCWD, path, map);
}

/* In the child: a root of its own, so that the kept namespace pins no mount of the host. */
static int empty_namespace(void)
{
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return -1;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("drover", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, "size=4k,nr_inodes=4") < 0 ||
        chdir("/proc") < 0)
        return -1;
    if (mkdir("dir", 0700) < 0 || mknod("file", S_IFREG | 0600, 0) < 0)
        return -1;
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
        return -1;
    return 0;
}

static _Noreturn void run_child(int socket)
{
    char word;
    if (read(socket, &word, 1) == 1 && empty_namespace() == 0 && write(socket, "1", 1) == 1)
        (void)!read(socket, &word, 1); /* it ends when the parent closes its end, or dies */
    _exit(0);
}

static int open_namespace(pid_t pid, const char *name)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int take_namespaces(pid_t pid, int socket, int *ret_userns, int *ret_mntns)
{
    char word;
    int rc = map_ids(pid);
    if (rc < 0)
        return rc;
    if (write(socket, "1", 1) != 1 || read(socket, &word, 1) != 1)
        return -EPERM; /* the child may not mount in a namespace of its own */
    AUTO_FD userns = open_namespace(pid, "user");
    AUTO_FD mntns = open_namespace(pid, "mnt");
    if (userns < 0 || mntns < 0)
        return userns < 0 ? userns : mntns;
    *ret_userns = take_fd(&userns);
    *ret_mntns = take_fd(&mntns);
    return 0;
}

int lock_open(int *ret_userns, int *ret_mntns)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    AUTO_FD mine = ends[0];
    AUTO_FD other = ends[1];
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWNS, .exit_signal = SIGCHLD};

    pid_t pid = sys_clone3(&args);
    if (pid < 0)
        return pid;
    if (pid == 0) {
        (void)close(mine);
        run_child(other);
    }
    fd_closep(&other);
    int rc = take_namespaces(pid, mine, ret_userns, ret_mntns);
    fd_closep(&mine);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return rc;
}

/* Within the kept namespace: attach, copy, take the copy's clone. */
static int pass_through(int mntns, int mount, const char *place)
{
    if (move_mount(mount, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    int locked = unshare(CLONE_NEWNS) < 0 ? -errno : mount_clone(AT_FDCWD, place);
    if (setns(mntns, CLONE_NEWNS) < 0 || umount2(place, MNT_DETACH) < 0) {
        int error = errno;
        fd_closep(&locked);
        return -error;
    }
    return locked;
}

int mount_lock(int mntns, int mount, uint64_t attributes, bool is_file)
{
    struct mount_attr attr = {.attr_set = attributes};
    int rc = thread_own_fs();
    if (rc < 0)
        return rc;
    if (mount_setattr(mount, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return -errno;
    AUTO_FD home = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
    AUTO_FD directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (home < 0 || directory < 0)
        return -errno;

    (void)pthread_mutex_lock(&places);
    int locked = setns(mntns, CLONE_NEWNS) < 0
                     ? -errno
                     : pass_through(mntns, mount, is_file ? PLACE_FILE : PLACE_DIR);
    /* A thread that stayed here would resolve every later path in the wrong place. */
    ENSURE(setns(home, CLONE_NEWNS) == 0);
    ENSURE(fchdir(directory) == 0);
    (void)pthread_mutex_unlock(&places);
    return locked;
}
