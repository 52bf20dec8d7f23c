/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the keeper lives: in a sealed copy of its binary, in a mount namespace without the host's
 * mounts, and in a cgroup of its own in every hierarchy.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "keeper.h"
#include "stage_steps.h"
#include "sys.h"

/* By reading, not through a mapping: a file that is cut short meanwhile must not cost a SIGBUS. */
int home_copy_binary(int fd)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (!S_ISREG(stat.st_mode) || stat.st_size == 0)
        return -EINVAL;
    AUTO_FD copy = memfd_create("drover-keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0)
        return -errno;

    off_t at = 0;
    while (at < stat.st_size) {
        ssize_t n = sendfile(copy, fd, &at, (size_t)(stat.st_size - at));
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
    }
    if (fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return -errno;
    return take_fd(&copy);
}

/* A privileged guest may look at /proc/PID/exe of a child of ours: there is no host file behind. */
void home_seal(char **argv)
{
    AUTO_FD self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (self < 0 || fcntl(self, F_GET_SEALS) > 0)
        return;
    AUTO_FD copy = home_copy_binary(self);
    if (copy < 0)
        return;
    (void)syscall(SYS_execveat, copy, "", argv, environ, AT_EMPTY_PATH);
}

#define HELPERS "helpers" /* below our own group */

static int make_null(void)
{
    if (mknod("dev/null", S_IFCHR | 0666, makedev(1, 3)) == 0)
        return chmod("dev/null", 0666) < 0 ? -errno : 0;
    AUTO_FD file = open("dev/null", O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    if (file < 0)
        return -errno;
    return mount("/dev/null", "dev/null", NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

/* In the working directory: all that a stage needs, each fully visible, or the kernel would refuse
 * a guest's user namespace its own proc and sysfs. root, layers: places to mount on. */
static int fill_root(int devpts)
{
    static const char *const directories[] = {"proc", "sys",    "dev",  "dev/pts", "mnt",
                                              "tmp",  "layers", "root", "empty"};
    for (size_t i = 0; i < COUNT_OF(directories); i++)
        if (mkdir(directories[i], 0755) < 0)
            return -errno;
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -errno;
    if (mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -errno;
    if (move_mount(devpts, "", AT_FDCWD, "dev/pts", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    if (symlink("pts/ptmx", "dev/ptmx") < 0)
        return -errno;
    /* What stages cover directories with: no inode is left to be made in it, and a guest's user
     * namespace cannot take its flags away. */
    if (mount("empty", "empty", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=555,size=4k,nr_inodes=1") < 0)
        return -errno;
    return make_null();
}

/* The devpts is made before we leave the host's first mount namespace: one that was made there
 * takes ptys from kernel.pty.reserve (1024) too, which no guest can use up. */
int home_enter_namespace(void)
{
    AUTO_FD devpts =
        mount_new("devpts", "newinstance,ptmxmode=0666,mode=0620", MS_NOSUID | MS_NOEXEC);
    if (devpts < 0)
        return devpts;
    if (unshare(CLONE_NEWNS) < 0)
        return -errno;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    if (mount("keeper", "/tmp", "tmpfs", MS_NOSUID, "mode=755,size=64k,nr_inodes=64") < 0)
        return -errno;
    if (chdir("/tmp") < 0)
        return -errno;
    int rc = fill_root(devpts);
    if (rc < 0)
        return rc;
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return -errno;
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

/* A new cpuset group of v1 has no cpus and memory nodes: nobody could enter it. */
static int inherit_cpuset(int parent, int group)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    char text[1024];
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        if (sys_read_text_at(group, files[i], text, sizeof(text)) != 1) /* "\n": still empty */
            continue;
        int rc = sys_read_text_at(parent, files[i], text, sizeof(text));
        if (rc > 1)
            rc = sys_write_text_at(group, files[i], text);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Make each directory of a path below a hierarchy's root; returns the last. */
static int make_groups(int hierarchy, const char *path)
{
    char name[KEEPER_CGROUP_BYTES + 16];
    AUTO_FD group = fcntl(hierarchy, F_DUPFD_CLOEXEC, 3);
    if (group < 0)
        return -errno;

    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        (void)snprintf(name, sizeof(name), "%.*s", (int)length, path);
        if (mkdirat(group, name, 0755) < 0 && errno != EEXIST)
            return -errno;
        AUTO_FD child = openat(group, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (child < 0)
            return -errno;
        /* v2 has these files too, and wants them left alone: there, empty means inherited. */
        bool is_v1 = faccessat(child, "tasks", F_OK, 0) == 0;
        int rc = is_v1 ? inherit_cpuset(group, child) : 0;
        if (rc < 0)
            return rc;
        (void)close(group);
        group = take_fd(&child);
        path += length + (path[length] == '/');
    }
    return take_fd(&group);
}

/* One thread enters a v1 group by `tasks` without the wait that cgroup.procs costs. */
static int enter_group(int group)
{
    int rc = sys_write_text_at(group, "tasks", "0");
    return rc == -ENOENT ? sys_write_text_at(group, "cgroup.procs", "0") : rc;
}

/* Ten times a guest's: whoever reaps and launches must have its turn beside all of them, and uses
 * little. Only one of the files exists, where the hierarchy has the cpu controller. */
static void weigh_group(int group)
{
    static const struct {
        const char *file;
        const char *value;
    } weights[] = {{"cpu.weight", "1000"}, {"cpu.shares", "10240"}};

    for (size_t i = 0; i < COUNT_OF(weights); i++)
        (void)sys_write_text_at(group, weights[i].file, weights[i].value); /* else as a guest */
}

int home_enter_cgroups(const struct keeper *k)
{
    char path[KEEPER_CGROUP_BYTES + 16];
    int worst = 0;
    (void)snprintf(path, sizeof(path), "%s/keeper", k->cgroup);

    for (uint32_t i = 0; i < k->hierarchy_count; i++) {
        AUTO_FD group = make_groups(k->hierarchies[i], path);
        if (group >= 0)
            weigh_group(group);
        int rc = group < 0 ? group : enter_group(group);
        if (rc < 0)
            worst = rc;
    }
    return worst;
}

int home_open_helpers(const struct keeper *k)
{
    char path[KEEPER_CGROUP_BYTES + 32];
    struct statfs kind;
    (void)snprintf(path, sizeof(path), "%s/keeper/" HELPERS, k->cgroup);

    for (uint32_t i = 0; i < k->hierarchy_count; i++)
        if (fstatfs(k->hierarchies[i], &kind) == 0 && kind.f_type == CGROUP2_SUPER_MAGIC)
            return make_groups(k->hierarchies[i], path);
    return -ENOENT;
}

void home_leave_cgroups(const struct keeper *k)
{
    char path[KEEPER_CGROUP_BYTES + 16];
    char helpers[KEEPER_CGROUP_BYTES + 32];
    (void)snprintf(path, sizeof(path), "%s/keeper", k->cgroup);
    (void)snprintf(helpers, sizeof(helpers), "%s/" HELPERS, path);

    for (uint32_t i = 0; i < k->hierarchy_count; i++) {
        (void)unlinkat(k->hierarchies[i], helpers, AT_REMOVEDIR); /* mostly it was never made */
        /* What is not empty stays: it is not ours alone. */
        (void)enter_group(k->hierarchies[i]);
        (void)unlinkat(k->hierarchies[i], path, AT_REMOVEDIR);
        (void)unlinkat(k->hierarchies[i], k->cgroup, AT_REMOVEDIR);
    }
}
