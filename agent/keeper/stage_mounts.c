/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of a plan. Everything is made detached, with its attributes, and then moved by
 * descriptor: between the lookup of a target and the mount on it no path is looked at again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage_steps.h"

#define OPTIONS_BYTES 512
#define MS_SAME (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)

static_assert(MS_RDONLY == MOUNT_ATTR_RDONLY && MS_NOSUID == MOUNT_ATTR_NOSUID &&
                  MS_NODEV == MOUNT_ATTR_NODEV && MS_NOEXEC == MOUNT_ATTR_NOEXEC,
              "these have one number in both interfaces");

static int attributes_of(uint64_t flags, unsigned *ret_attributes)
{
    static const struct {
        uint64_t flag;
        unsigned attribute;
    } pairs[] = {
        {MS_NOATIME, MOUNT_ATTR_NOATIME},         {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
        {MS_STRICTATIME, MOUNT_ATTR_STRICTATIME}, {MS_RELATIME, MOUNT_ATTR_RELATIME},
        {MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
    };
    unsigned attributes = (unsigned)(flags & MS_SAME);
    flags &= ~(uint64_t)MS_SAME;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        if ((flags & pairs[i].flag) != 0)
            attributes |= pairs[i].attribute;
        flags &= ~pairs[i].flag;
    }
    *ret_attributes = attributes;
    return flags == 0 ? 0 : -EINVAL;
}

static int set_options(int fs, const char *options)
{
    char text[OPTIONS_BYTES];
    size_t length = options == NULL ? 0 : strlen(options);
    if (length == 0)
        return 0;
    if (length >= sizeof(text))
        return -E2BIG;
    memcpy(text, options, length + 1);

    char *rest = text;
    char *key;
    while ((key = strsep(&rest, ",")) != NULL) {
        char *value = strchr(key, '=');
        if (key[0] == '\0')
            continue;
        if (value != NULL)
            *value++ = '\0';
        int rc = value == NULL ? fsconfig(fs, FSCONFIG_SET_FLAG, key, NULL, 0)
                               : fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0);
        if (rc < 0)
            return -errno;
    }
    return 0;
}

int mount_new(const char *type, const char *options, uint64_t flags)
{
    unsigned attributes;
    int rc = attributes_of(flags, &attributes);
    if (rc < 0)
        return rc;
    AUTO_FD fs = fsopen(type, FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    rc = set_options(fs, options);
    if (rc < 0)
        return rc;
    if (fsconfig(fs, FSCONFIG_SET_STRING, "source", type, 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int mount = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
    return mount < 0 ? -errno : mount;
}

/* A target that is the root itself would hide all that was made before. The kernel answers EINVAL
 * for a file over a directory; operators deserve to know which. */
static int check_target(int mount, int root, int target)
{
    struct stat over;
    struct stat top;
    struct stat under;
    if (fstat(mount, &over) < 0 || fstat(root, &top) < 0 || fstat(target, &under) < 0)
        return -errno;
    if (top.st_dev == under.st_dev && top.st_ino == under.st_ino)
        return -EBUSY;
    if (S_ISDIR(over.st_mode) != S_ISDIR(under.st_mode))
        return S_ISDIR(over.st_mode) ? -ENOTDIR : -EISDIR;
    return 0;
}

static int move_to(int mount, const struct stage_root *root, int target)
{
    int rc = check_target(mount, root->root, target);
    if (rc < 0)
        return rc;
    rc = move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    return rc < 0 ? -errno : 0;
}

static int set_attributes(int mount, uint64_t attributes)
{
    struct mount_attr attr = {.attr_set = attributes};
    if (attributes == 0)
        return 0;
    if ((attributes & MOUNT_ATTR__ATIME) != 0)
        attr.attr_clr = MOUNT_ATTR__ATIME; /* a choice of one: the kernel wants it so */
    int rc = mount_setattr(mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr));
    return rc < 0 ? -errno : 0;
}

static int clone_tree(int fd, unsigned flags)
{
    int tree = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
    return tree < 0 ? -errno : tree;
}

static int apply_new(const struct stage_root *root, const char *path, const char *type,
                     const char *options, uint64_t flags)
{
    AUTO_FD mount = mount_new(type, options, flags);
    if (mount < 0)
        return mount;
    AUTO_FD target = path_make(root->root, path, PATH_DIRECTORY);
    return target < 0 ? target : move_to(mount, root, target);
}

static int apply_attach(const struct stage *stage, const struct stage_root *root,
                        const struct kp_mount *entry, const char *path)
{
    size_t index = (size_t)entry->fd_index;
    if (entry->fd_index < 0 || index >= stage->fd_count || stage->fds[index] < 0 ||
        (stage->roles[index] & ~KW_FD_IDMAP) != KW_FD_MOUNT)
        return -EBADF;
    int rc = set_attributes(stage->fds[index], entry->flags);
    if (rc < 0)
        return rc;
    AUTO_FD target = path_make(root->root, path, entry->is_file != 0 ? PATH_FILE : PATH_DIRECTORY);
    return target < 0 ? target : move_to(stage->fds[index], root, target);
}

/* The slave was opened in the keeper's namespace, of which nothing can be cloned into ours: our own
 * copy of its devpts has the same file. */
int mount_slave(int slave)
{
    char path[32];
    struct stat held;
    struct stat found;
    if (fstat(slave, &held) < 0)
        return -errno;
    (void)snprintf(path, sizeof(path), "/dev/pts/%u", minor(held.st_rdev));
    AUTO_FD file = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0 || fstat(file, &found) < 0)
        return -errno;
    if (found.st_dev != held.st_dev || found.st_ino != held.st_ino)
        return -ENXIO;
    return clone_tree(file, 0);
}

/* Opened through its mount, so that ttyname(3) in the guest finds /dev/console. */
static int apply_console(const struct stage *stage, struct stage_root *root, const char *path)
{
    char self[32];
    if (stage->slave < 0)
        return 0;
    AUTO_FD tree = mount_slave(stage->slave);
    if (tree < 0)
        return tree;
    AUTO_FD target = path_make(root->root, path, PATH_FILE);
    if (target < 0)
        return target;
    int rc = move_to(tree, root, target);
    if (rc < 0)
        return rc;
    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", tree);
    root->console = open(self, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return root->console < 0 ? -errno : 0;
}

/* One empty tmpfs of the keeper's serves all: a new one for each mask is a tenth of a stage. */
static int clone_empty(const struct stage_root *root)
{
    return root->empty >= 0 ? clone_tree(root->empty, 0)
                            : mount_new("tmpfs", "mode=555,size=4k,nr_inodes=2", MS_SAME);
}

static int apply_mask(const struct stage_root *root, int target)
{
    struct stat stat;
    if (fstat(target, &stat) < 0)
        return -errno;
    AUTO_FD cover = S_ISDIR(stat.st_mode) ? clone_empty(root) : clone_tree(root->null, 0);
    return cover < 0 ? cover : move_to(cover, root, target);
}

static int apply_readonly(const struct stage_root *root, int target, uint64_t attributes)
{
    AUTO_FD tree = clone_tree(target, AT_RECURSIVE);
    if (tree < 0)
        return tree;
    int rc = set_attributes(tree, attributes | MOUNT_ATTR_RDONLY);
    return rc < 0 ? rc : move_to(tree, root, target);
}

/* MASK and READONLY: what is not there needs neither. */
static int apply_cover(const struct stage_root *root, const struct kp_mount *entry,
                       const char *path)
{
    AUTO_FD target = path_open(root->root, path);
    if (target == -ENOENT || target == -ENOTDIR)
        return 0;
    if (target < 0)
        return target;
    return entry->kind == KP_MASK ? apply_mask(root, target)
                                  : apply_readonly(root, target, entry->flags);
}

/* SYMLINK and MKDIR: what is there is kept. */
static int apply_name(const struct stage_root *root, const struct kp_mount *entry, const char *path,
                      const char *text)
{
    char name[NAME_MAX + 1];
    AUTO_FD parent = path_make_parent(root->root, path, name);
    if (parent < 0)
        return parent;
    int rc = entry->kind == KP_SYMLINK ? symlinkat(text, parent, name)
                                       : mkdirat(parent, name, (mode_t)entry->flags);
    return rc < 0 && errno != EEXIST ? -errno : 0;
}

static int apply(const struct stage *stage, struct stage_root *root, const struct kp_mount *entry)
{
    const char *path = kp_string(stage->plan, entry->target);
    const char *options = kp_string(stage->plan, entry->options);

    switch ((enum kp_kind)entry->kind) {
    case KP_ATTACH:
        return apply_attach(stage, root, entry, path);
    case KP_TMPFS:
        return apply_new(root, path, "tmpfs", options, entry->flags);
    case KP_PROC:
        return apply_new(root, path, "proc", options, entry->flags);
    case KP_SYSFS:
        return apply_new(root, path, "sysfs", options, entry->flags);
    case KP_CGROUP2:
        return apply_new(root, path, "cgroup2", options, entry->flags);
    case KP_CGROUP1:
        return apply_new(root, path, "cgroup", options, entry->flags);
    case KP_DEVPTS:
        return apply_new(root, path, "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5",
                         entry->flags);
    case KP_MQUEUE:
        return apply_new(root, path, "mqueue", options, entry->flags);
    case KP_CONSOLE:
        return apply_console(stage, root, path);
    case KP_MASK:
    case KP_READONLY:
        return apply_cover(root, entry, path);
    case KP_SYMLINK:
    case KP_MKDIR:
        return apply_name(root, entry, path, options);
    }
    return -EINVAL;
}

int mount_apply(const struct stage *stage, struct stage_root *root, const struct kp_mount *entry)
{
    int rc = apply(stage, root, entry);
    return entry->is_optional != 0 ? 0 : rc;
}
