/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A terminal for a command in a guest. Its devpts is used, so that ttyname(3) works there; that it
 * is one is checked first, as guests may put anything at /dev/pts.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage_steps.h"
#include "sys.h"

#define ROWS_DEFAULT 24
#define COLUMNS_DEFAULT 80

/* Nobody can make files in a devpts, and RESOLVE_NO_XDEV refuses what is mounted on its own: `ptmx`
 * in one is the multiplexer. It is looked at before it is opened all the same. */
static int open_master(void)
{
    const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    struct statfs fs;
    struct stat stat;
    AUTO_FD root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    AUTO_FD pts = path_open(root, "dev/pts");
    if (pts < 0)
        return pts;
    if (fstatfs(pts, &fs) < 0)
        return -errno;
    if (fs.f_type != DEVPTS_SUPER_MAGIC)
        return -ENOTTY;
    AUTO_FD node = sys_openat2(pts, "ptmx", O_PATH, 0, resolve);
    if (node < 0)
        return node;
    if (fstat(node, &stat) < 0)
        return -errno;
    if (!S_ISCHR(stat.st_mode) || stat.st_rdev != makedev(5, 2))
        return -ENOTTY;
    return sys_openat2(pts, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK, 0, resolve);
}

static int set_up(int master, int slave, const struct kp_header *plan)
{
    const struct winsize size = {
        .ws_row = (unsigned short)(plan->rows == 0 ? ROWS_DEFAULT : plan->rows),
        .ws_col = (unsigned short)(plan->columns == 0 ? COLUMNS_DEFAULT : plan->columns),
    };
    if (ioctl(master, TIOCSWINSZ, &size) < 0)
        return -errno;
    if (fchown(slave, plan->uid, (gid_t)-1) < 0)
        return -errno;
    return ioctl(slave, TIOCSCTTY, 0) < 0 ? -errno : 0;
}

int tty_open(const struct stage *stage)
{
    int unlocked = 0;
    AUTO_FD master = open_master();
    if (master < 0)
        return master;
    if (ioctl(master, TIOCSPTLCK, &unlocked) < 0)
        return -errno;
    /* By number from the master, never by a path of the guest. */
    AUTO_FD slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return -errno;
    int rc = set_up(master, slave, stage->plan);
    if (rc < 0)
        return rc;
    if ((stage->plan->flags & KP_RELAY) != 0)
        rc = relay_take(stage, &master, 1);
    else
        stage_say(stage, STAGE_PTY, 0, STAGE_NO_DETAIL, &master, 1);
    if (rc < 0)
        return rc;
    return take_fd(&slave);
}
