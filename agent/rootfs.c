/* SPDX-License-Identifier: Apache-2.0 */
#include "rootfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "rootfs_mounts.h"
#include "sys.h"
#include "units.h"
#include "uuid.h"

static void name_file_system(int fd, char text[32])
{
    static const struct {
        unsigned magic;
        const char *name;
    } known[] = {{EXT4_SUPER_MAGIC, "ext4"},      {XFS_SUPER_MAGIC, "xfs"},
                 {BTRFS_SUPER_MAGIC, "btrfs"},    {TMPFS_MAGIC, "tmpfs"},
                 {F2FS_SUPER_MAGIC, "f2fs"},      {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
                 {NFS_SUPER_MAGIC, "nfs"},        {FUSE_SUPER_MAGIC, "fuse"},
                 {CEPH_SUPER_MAGIC, "ceph"},      {0x2fc12fc1, "zfs"},
                 {0xca451a4e, "bcachefs"},        {V9FS_MAGIC, "9p"},
                 {EROFS_SUPER_MAGIC_V1, "erofs"}, {SQUASHFS_MAGIC, "squashfs"}};
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0) {
        (void)snprintf(text, 32, "unknown");
        return;
    }
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if ((unsigned)fs.f_type == known[i].magic) {
            (void)snprintf(text, 32, "%s", known[i].name);
            return;
        }
    }
    (void)snprintf(text, 32, "type 0x%x", (unsigned)fs.f_type);
}

static int open_state(const char *path, int *ret_state, struct fault *fault)
{
    struct stat stat;

    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        fault_set(fault, STATUS_FAILED, errno, "cannot make the state directory %s: %s", path,
                  strerrordesc_np(errno));
        return -errno;
    }
    AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0) {
        fault_set(fault, STATUS_FAILED, errno, "cannot open the state directory %s: %s", path,
                  strerrordesc_np(errno));
        return -errno;
    }
    /* A guest root's setuid file is root's setuid file on the host's disk. */
    if (stat.st_uid != 0 || (stat.st_mode & 0077) != 0) {
        fault_set(fault, STATUS_NOT_PERMITTED, EPERM,
                  "the state directory %s must be root's with mode 0700", path);
        fault_hint(fault, "chown root and chmod 0700 it, or name another with --state-dir");
        return -EPERM;
    }
    *ret_state = take_fd(&fd);
    return 0;
}

static int open_below(int state, const char *name, int *ret_fd, struct fault *fault)
{
    if (mkdirat(state, name, 0700) == 0 || errno == EEXIST) {
        int fd = sys_openat2(state, name, O_RDONLY | O_DIRECTORY, 0,
                             RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
        if (fd >= 0) {
            *ret_fd = fd;
            return 0;
        }
        errno = -fd;
    }
    int error = errno;
    fault_set(fault, STATUS_FAILED, error, "cannot make %s in the state directory: %s", name,
              strerrordesc_np(error));
    return -error;
}

static bool try_idmap(int dir, int userns)
{
    AUTO_FD mount = userns < 0 ? -1 : mount_clone(dir, "");
    return mount >= 0 && mount_idmap(mount, userns) == 0;
}

int rootfs_open(struct rootfs *rootfs, const char *state_dir, struct fault *fault)
{
    *rootfs =
        (struct rootfs){.state = -1, .templates = -1, .containers = -1, .userns = -1, .mntns = -1};

    int rc = open_state(state_dir, &rootfs->state, fault);
    if (rc == 0)
        rc = open_below(rootfs->state, "templates", &rootfs->templates, fault);
    if (rc == 0)
        rc = open_below(rootfs->state, "containers", &rootfs->containers, fault);
    if (rc < 0) {
        rootfs_close(rootfs);
        return rc;
    }
    /* Refused (no user namespaces here): then has_idmap is false, and said with the container. */
    (void)lock_open(&rootfs->userns, &rootfs->mntns);
    rootfs->has_idmap = try_idmap(rootfs->state, rootfs->userns);
    name_file_system(rootfs->state, rootfs->file_system);
    return 0;
}

void rootfs_close(struct rootfs *rootfs)
{
    fd_closep(&rootfs->state);
    fd_closep(&rootfs->templates);
    fd_closep(&rootfs->containers);
    fd_closep(&rootfs->userns);
    fd_closep(&rootfs->mntns);
}

static int fail_open(struct fault *fault, int error, const char *what, const char *name)
{
    if (error == ENOENT)
        fault_set(fault, STATUS_NOT_FOUND, error, "%s %s does not exist", what, name);
    else if (error == EXDEV || error == ELOOP)
        fault_set(fault, STATUS_INVALID, error, "%s %s is a symbolic link out of its place", what,
                  name);
    else if (error == ENOTDIR)
        fault_set(fault, STATUS_INVALID, error, "%s %s is not a directory", what, name);
    else
        fault_set(fault, STATUS_FAILED, error, "%s %s: %s", what, name, strerrordesc_np(error));
    return -error;
}

int rootfs_open_template(const struct rootfs *rootfs, const char *name, struct fault *fault)
{
    if (!name_check(name)) {
        fault_set(fault, STATUS_INVALID, EINVAL, "\"%s\" is not a template's name", name);
        return -EINVAL;
    }
    int fd = sys_openat2(rootfs->templates, name, O_PATH | O_DIRECTORY, 0,
                         RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    return fd < 0 ? fail_open(fault, -fd, "template", name) : fd;
}

int rootfs_open_root(const char *path, struct fault *fault)
{
    if (path[0] != '/') {
        fault_set(fault, STATUS_INVALID, EINVAL, "root %s is not an absolute path", path);
        return -EINVAL;
    }
    int fd =
        sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_NO_MAGICLINKS);
    if (fd == -ENOTDIR) { /* what O_NOFOLLOW answers beside O_DIRECTORY for a link, too */
        AUTO_FD file = sys_openat2(AT_FDCWD, path, O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_MAGICLINKS);
        struct stat stat;
        if (file >= 0 && fstat(file, &stat) == 0 && S_ISLNK(stat.st_mode))
            fd = -ELOOP;
    }
    return fd < 0 ? fail_open(fault, -fd, "root", path) : fd;
}

static bool is_same_file(int fd, const char *path)
{
    struct stat a;
    struct stat b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

int rootfs_fail_idmap(const char *what, const char *file_system, struct fault *fault)
{
    fault_set(fault, STATUS_IDMAP_UNSUPPORTED, EOPNOTSUPP,
              "%s is on %s, which cannot be mounted idmapped here", what, file_system);
    fault_hint(fault, "use a file system that can (ext4, xfs, btrfs), or --privileged");
    return -EOPNOTSUPP;
}

static int check_idmap(const struct rootfs *rootfs, const struct config *config, int root,
                       struct fault *fault)
{
    char file_system[32];

    if (config->is_privileged)
        return 0;
    if (!rootfs->has_idmap)
        return rootfs_fail_idmap("the state directory", rootfs->file_system, fault);
    if (try_idmap(root, rootfs->userns))
        return 0;
    name_file_system(root, file_system);
    return rootfs_fail_idmap(config->root[0] != '\0' ? config->root : config->template_name,
                             file_system, fault);
}

/* What the stage mounts itself: hidden, nothing of an operating system would work. */
static bool is_ours(const char *target)
{
    static const char *const names[] = {"proc", "sys", "dev"};

    target += strspn(target, "/.");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        size_t length = strlen(names[i]);
        const char *rest = target + length;

        /* /dev/shm and its like may be covered; /dev itself may not, nor anything of the other
         * two. */
        if (strncmp(target, names[i], length) == 0 && (*rest == '\0' || *rest == '/') &&
            (names[i][0] != 'd' || rest[strspn(rest, "/.")] == '\0'))
            return true;
    }
    return false;
}

static int check_target(const char *target, const char *what, struct fault *fault)
{
    if (is_ours(target)) {
        fault_set(fault, STATUS_INVALID, EINVAL,
                  "%s target \"%s\" would hide what every guest needs", what, target);
        return -EINVAL;
    }
    if (target[0] == '/' && target[strspn(target, "/.")] != '\0')
        return 0;
    fault_set(fault, STATUS_INVALID, EINVAL, "%s target \"%s\" is not an absolute path below /",
              what, target);
    return -EINVAL;
}

static int check_mounts(const struct config *config, struct fault *fault)
{
    for (size_t i = 0; i < config->bind_count; i++) {
        if (check_target(config->binds[i].target, "bind", fault) < 0)
            return -EINVAL;
        if (config->binds[i].source[0] != '/') {
            fault_set(fault, STATUS_INVALID, EINVAL, "bind source \"%s\" is not an absolute path",
                      config->binds[i].source);
            return -EINVAL;
        }
    }
    for (size_t i = 0; i < config->tmpfs_count; i++)
        if (check_target(config->tmpfs[i].target, "tmpfs", fault) < 0)
            return -EINVAL;
    return 0;
}

static int check_env(const struct config *config, struct fault *fault)
{
    for (size_t i = 0; i < config->env_count; i++) {
        const char *key = config->env[i].key;
        if (key[0] != '\0' && strchr(key, '=') == NULL)
            continue;
        fault_set(fault, STATUS_INVALID, EINVAL, "\"%s\" cannot name a variable", key);
        return -EINVAL;
    }
    return 0;
}

int rootfs_check_words(const struct config *config, struct fault *fault)
{
    int rc = check_env(config, fault);

    return rc < 0 ? rc : check_mounts(config, fault);
}

int rootfs_check(const struct rootfs *rootfs, const struct config *config, struct fault *fault)
{
    bool has_root = config->root[0] != '\0';

    if (has_root == (config->template_name[0] != '\0')) {
        fault_set(fault, STATUS_INVALID, EINVAL, "one of template and root is needed, not both");
        return -EINVAL;
    }
    if (strlen(config->init) >= sizeof(((struct launch *)0)->candidates[0]) ||
        (config->init[0] != '\0' && config->init[0] != '/')) {
        fault_set(fault, STATUS_INVALID, EINVAL,
                  "init \"%s\" is not an absolute path of at most 63 octets", config->init);
        return -EINVAL;
    }
    int rc = rootfs_check_words(config, fault);
    if (rc < 0)
        return rc;

    AUTO_FD root = has_root ? rootfs_open_root(config->root, fault)
                            : rootfs_open_template(rootfs, config->template_name, fault);
    if (root < 0)
        return root;
    if (has_root && is_same_file(root, "/")) {
        fault_set(fault, STATUS_INVALID, EINVAL, "root %s is this host's own", config->root);
        return -EINVAL;
    }
    return check_idmap(rootfs, config, root, fault);
}

/* The directories carry the guest root's ids, and `upper` its / : nothing of the umask. */
static int make_dir(int dir, const char *name, mode_t mode)
{
    if (mkdirat(dir, name, mode) < 0 && errno != EEXIST)
        return -errno;
    return fchmodat(dir, name, mode, AT_SYMLINK_NOFOLLOW) < 0 && errno != EOPNOTSUPP ? -errno : 0;
}

int rootfs_make(const struct rootfs *rootfs, const uint8_t uuid[UUID_BYTES], struct fault *fault)
{
    char name[UUID_TEXT_BYTES];
    int rc = make_dir(rootfs->containers, uuid_format(uuid, name), 0700);
    if (rc == 0) {
        AUTO_FD dir = sys_openat2(rootfs->containers, name, O_RDONLY | O_DIRECTORY, 0,
                                  RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
        rc = dir < 0 ? dir : make_dir(dir, "upper", 0755);
        if (rc == 0)
            rc = make_dir(dir, "work", 0700);
        if (rc == 0)
            return 0;
        (void)tree_remove(rootfs->containers, name); /* what failed is told, not this */
    }
    fault_set(fault, rc == -ENOSPC ? STATUS_NO_CAPACITY : STATUS_FAILED, -rc,
              "cannot make containers/%s: %s", name, strerrordesc_np(-rc));
    return rc;
}

int rootfs_remove(const struct rootfs *rootfs, const uint8_t uuid[UUID_BYTES], struct fault *fault)
{
    char name[UUID_TEXT_BYTES];
    int rc = tree_remove(rootfs->containers, uuid_format(uuid, name));
    if (rc < 0)
        fault_set(fault, STATUS_FAILED, -rc, "cannot remove containers/%s: %s", name,
                  strerrordesc_np(-rc));
    return rc;
}

int rootfs_find_all(const struct rootfs *rootfs,
                    bool (*found)(const uint8_t uuid[UUID_BYTES], void *context), void *context)
{
    AUTO_FD fd = openat(rootfs->containers, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *dir = fdopendir(fd);
    if (dir == NULL)
        return -errno;
    (void)take_fd(&fd);

    const struct dirent *entry;
    bool goes_on = true;
    while (goes_on && (errno = 0, entry = readdir(dir)) != NULL) {
        uint8_t uuid[UUID_BYTES];
        if (uuid_parse(entry->d_name, uuid))
            goes_on = found(uuid, context);
    }
    int rc = goes_on ? -errno : 0;
    (void)closedir(dir);
    return rc;
}
