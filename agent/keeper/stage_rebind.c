/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console anew for a guest that runs: what is bound over its /dev/console is a pty whose master
 * died. Its root may have put anything there, so only a dead terminal is replaced, and the guest's
 * own rights are used: its user namespace is joined before its paths are walked.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage_steps.h"
#include "sys.h"

#ifndef MOVE_MOUNT_BENEATH
#define MOVE_MOUNT_BENEATH 0x00000200 /* Linux 6.5 */
#endif
#define PTS_MAJOR_FIRST 136 /* to 143: Documentation/admin-guide/devices.txt */
#define PTS_MAJOR_LAST 143

enum there {
    THERE_OURS, /* the console is bound already */
    THERE_DEAD, /* a pty without a master */
    THERE_FILE, /* what the console was bound over at first */
};

static bool is_pts(const struct stat *stat)
{
    return S_ISCHR(stat->st_mode) && major(stat->st_rdev) >= PTS_MAJOR_FIRST &&
           major(stat->st_rdev) <= PTS_MAJOR_LAST;
}

/* What is at `console` in the guest's /dev, and its descriptor. Everything else is the guest's own
 * choice: -EBUSY, -ELOOP. */
static int look(int dev, int slave, enum there *ret_there)
{
    const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    struct stat held;
    struct stat found;

    AUTO_FD target = sys_openat2(dev, "console", O_PATH | O_NOFOLLOW, 0, resolve);
    if (target < 0)
        return target;
    if (fstat(slave, &held) < 0 || fstat(target, &found) < 0)
        return -errno;
    if (S_ISREG(found.st_mode)) {
        *ret_there = THERE_FILE;
        return take_fd(&target);
    }
    if (!is_pts(&found))
        return -EBUSY;
    AUTO_FD opened = sys_openat2(dev, "console", O_RDWR | O_NOCTTY | O_NONBLOCK, 0, resolve);
    bool is_same = found.st_dev == held.st_dev && found.st_ino == held.st_ino;
    if (opened != -EIO && !is_same)
        return opened < 0 ? opened : -EBUSY;
    *ret_there = opened == -EIO ? THERE_DEAD : THERE_OURS;
    return take_fd(&target);
}

/* Beneath the dead one, which then is taken off: nobody who opens the console in between meets the
 * file below. LIMIT: before Linux 6.5 it goes on top, and the dead ones stay where they are, one
 * for each keeper that was killed. */
static int replace(int tree, int dev, int target)
{
    const unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;

    if (move_mount(tree, "", target, "", flags | MOVE_MOUNT_BENEATH) == 0) {
        if (fchdir(dev) < 0 || umount2("console", MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return -errno;
        return 0;
    }
    return move_mount(tree, "", target, "", flags) < 0 ? -errno : 0;
}

static int bind_console(int tree, int slave)
{
    enum there there;
    AUTO_FD root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    AUTO_FD dev = path_open(root, "dev");
    if (dev < 0)
        return dev;
    AUTO_FD target = look(dev, slave, &there);
    if (target < 0)
        return target;
    if (there == THERE_OURS)
        return 0;
    if (tree < 0)
        return tree;
    return replace(tree, dev, target);
}

/* Nobody else would end a helper that hangs on the guest's file systems. Taken back by the kernel
 * with each change of ids. */
static void die_with(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(1);
}

_Noreturn void stage_rebind(const struct stage *stage)
{
    pid_t parent = getppid();

    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    stage_check(stage, KW_STEP_NAMESPACES, stage_keep_own(stage));
    stage_wait(stage, 'G'); /* our parent lived to say it */
    /* Nothing can be cloned out of our namespace from within the guest's. A console that was never
     * lost is of an earlier keeper's devpts, cannot be cloned, and needs not to be. */
    int tree = mount_slave(stage->slave);
    stage_check(stage, KW_STEP_NAMESPACES, stage_join(stage));
    stage_check(stage, KW_STEP_IDS, ids_become_root());
    die_with(parent);
    stage_check(stage, KW_STEP_MOUNTS, bind_console(tree, stage->slave));
    stage_say(stage, STAGE_DONE, 0, STAGE_NO_DETAIL, NULL, 0);
    _exit(0);
}
