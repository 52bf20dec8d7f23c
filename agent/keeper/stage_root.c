/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The new root: an overlay of attached layers, or a directory; and leaving the old one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage_steps.h"

/* LIMIT: fsconfig(2) takes strings of 256 octets, which the names "0:1:…" of so many layers
 * fill. */
#define LAYERS_MAX 64

static int attach_at(int mount, int scratch, const char *name)
{
    if (mkdirat(scratch, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    return move_mount(mount, "", scratch, name, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

/* A tmpfs on top of "/". Absolute paths still lead below it, to the old root; ours are relative to
 * its descriptor. So it needs no directory of the namespace that we were cloned with. */
static int make_scratch(void)
{
    AUTO_FD scratch =
        mount_new("tmpfs", "mode=700,size=64k,nr_inodes=256", MS_NOSUID | MS_NODEV | MS_NOEXEC);
    if (scratch < 0)
        return scratch;
    if (move_mount(scratch, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    return take_fd(&scratch);
}

/* Overlayfs of 6.1 cannot take detached mounts as layers: each is attached first. Relative names
 * keep paths of the scratch place out of the guest's mountinfo. */
static int attach_layers(const struct stage *stage, int scratch, char *lower, size_t lower_bytes)
{
    size_t index = 0;
    size_t used_bytes = 0;
    int fd;

    for (unsigned layer = 0; (fd = stage_next_fd(stage, KW_FD_LOWER, &index)) >= 0; layer++) {
        char name[16];
        if (layer == LAYERS_MAX)
            return -E2BIG;
        (void)snprintf(name, sizeof(name), "%u", layer);
        int rc = attach_at(fd, scratch, name);
        if (rc < 0)
            return rc;
        used_bytes += (size_t)snprintf(lower + used_bytes, lower_bytes - used_bytes, "%s%s",
                                       layer == 0 ? "" : ":", name);
    }
    if (used_bytes == 0)
        return -EINVAL;
    fd = stage_find_fd(stage, KW_FD_UPPER);
    return fd < 0 ? -EINVAL : attach_at(fd, scratch, "u");
}

static int mount_overlay(const struct stage *stage, int scratch)
{
    char lower[256];
    int rc = attach_layers(stage, scratch, lower, sizeof(lower));
    if (rc < 0)
        return rc;
    if (fchdir(scratch) < 0)
        return -errno;

    AUTO_FD fs = fsopen("overlay", FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    /* userxattr always: without it a guest's rmdir of a template's directory is EIO. */
    if (fsconfig(fs, FSCONFIG_SET_STRING, "source", "overlay", 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", lower, 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", "u/upper", 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_STRING, "workdir", "u/work", 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int root = fsmount(fs, FSMOUNT_CLOEXEC, 0);
    return root < 0 ? -errno : root;
}

/* The layers are attached in a scratch place first, and the overlay of them beside them. */
static int make_overlay(const struct stage *stage, struct stage_root *root)
{
    root->scratch = make_scratch();
    if (root->scratch < 0)
        return root->scratch;
    root->root = mount_overlay(stage, root->scratch);
    return root->root < 0 ? root->root : attach_at(root->root, root->scratch, "root");
}

int root_make(const struct stage *stage, struct stage_root *ret_root)
{
    struct stage_root root = {
        .console = -1, .scratch = -1, .root = stage_find_fd(stage, KW_FD_ROOT)};
    int rc = 0;

    /* Of our own namespace, so the mounts they are on can be cloned here. */
    root.null = open("/dev/null", O_RDWR | O_CLOEXEC);
    root.empty = open("/empty", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    if (root.root < 0)
        rc = make_overlay(stage, &root);
    else if (move_mount(root.root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        rc = -errno; /* on top of "/", as a scratch place would be */
    if (rc == 0)
        *ret_root = root;
    return rc;
}

int root_enter(const struct stage_root *root)
{
    if (fchdir(root->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return -errno;
    /* The old root now lies on top of the new one, and the scratch place, if there was one, on
     * that: each call takes off what is topmost. See pivot_root(2), "pivot_root(".", ".")". */
    for (int layers = root->scratch >= 0 ? 2 : 1; layers > 0; layers--)
        if (umount2(".", MNT_DETACH) < 0)
            return -errno;
    return chdir("/") < 0 ? -errno : 0;
}
