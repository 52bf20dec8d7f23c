/* SPDX-License-Identifier: Apache-2.0 */
#include "rootfs_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "message.h"

/* A copy is the peer of a shared mount, as systemd makes all of its host: what a guest mounts on it
 * would be mounted on the host, too, and pivot_root(2) refuses it. */
int mount_clone(int dir, const char *path)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    struct mount_attr attr = {.propagation = MS_PRIVATE};

    AUTO_FD fd = open_tree(dir, path, path[0] == '\0' ? flags | AT_EMPTY_PATH : flags);
    if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return -errno;
    return take_fd(&fd);
}

int mount_idmap(int mount, int userns)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)userns};
    return mount_setattr(mount, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int thread_own_fs(void)
{
    static _Thread_local bool is_own;
    if (!is_own && unshare(CLONE_FS) < 0)
        return -errno;
    is_own = true;
    return 0;
}

struct option {
    const char *key;
    const char *value;
};

static int make_tmpfs(const struct option *options, size_t count, unsigned attributes)
{
    AUTO_FD fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    for (size_t i = 0; i < count; i++)
        if (fsconfig(fs, FSCONFIG_SET_STRING, options[i].key, options[i].value, 0) < 0)
            return -errno;
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int mount = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
    return mount < 0 ? -errno : mount;
}

/* How files are made: by whom, and with the very mode that is asked for. Said once, it saves a
 * chmod and a chown a file, which are half of a /dev. All of it is this thread's own. */
struct author {
    mode_t umask;
    int securebits;
    uint32_t owner;
};

static int author_begin(struct author *author, uint32_t owner)
{
    int rc = thread_own_fs();
    if (rc < 0)
        return rc;
    author->owner = owner;
    if (owner != 0) {
        /* Without the bit CAP_MKNOD would go with the first setfsuid(2). */
        author->securebits = prctl(PR_GET_SECUREBITS);
        if (author->securebits < 0 ||
            prctl(PR_SET_SECUREBITS, author->securebits | SECBIT_NO_SETUID_FIXUP) < 0)
            return -errno;
        (void)setfsgid(owner); /* neither can fail for root, nor say so */
        (void)setfsuid(owner);
    }
    author->umask = umask(0);
    return 0;
}

static void author_end(const struct author *author)
{
    (void)umask(author->umask);
    if (author->owner != 0) {
        (void)setfsuid(0);
        (void)setfsgid(0);
        (void)prctl(PR_SET_SECUREBITS, author->securebits);
    }
}

struct node {
    const char *name;
    unsigned major, minor;
};

static int make_node(int dev, const struct node *node)
{
    dev_t number = makedev(node->major, node->minor);
    return mknodat(dev, node->name, S_IFCHR | 0666, number) < 0 ? -errno : 0;
}

/* Each with its line in devices.c. */
static int make_asked_nodes(int dev, const struct config *config)
{
    static const struct node fuse = {"fuse", 10, 229};
    static const struct node tun = {"net/tun", 10, 200};
    int rc = config->has_fuse ? make_node(dev, &fuse) : 0;

    if (rc == 0 && config->has_tun && mkdirat(dev, "net", 0755) < 0)
        rc = -errno;
    return rc == 0 && config->has_tun ? make_node(dev, &tun) : rc;
}

static int make_dev_nodes(int dev)
{
    static const struct node nodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                                        {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
    static const struct {
        const char *name, *target;
    } links[] = {{"ptmx", "pts/ptmx"},          {"fd", "/proc/self/fd"},
                 {"stdin", "/proc/self/fd/0"},  {"stdout", "/proc/self/fd/1"},
                 {"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"}};
    static const char *const places[] = {"pts", "shm", "mqueue"};

    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        int rc = make_node(dev, &nodes[i]);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < COUNT_OF(links); i++)
        if (symlinkat(links[i].target, dev, links[i].name) < 0)
            return -errno;
    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (mkdirat(dev, places[i], 0755) < 0)
            return -errno;
    return mknodat(dev, "console", S_IFREG | 0600, 0) < 0 ? -errno : 0;
}

/* Real nodes, made in the first user namespace: a guest's own mknod is refused, and binding the
 * host's nodes one by one would cost the stage six mounts. */
int mount_make_dev(uint32_t owner, const struct config *config, int *ret_mount)
{
    struct author author = {0};
    char id[12];
    (void)snprintf(id, sizeof(id), "%u", owner);
    const struct option options[] = {
        {"mode", "755"}, {"size", "4m"}, {"nr_inodes", "64k"}, {"uid", id}, {"gid", id}};

    AUTO_FD dev = make_tmpfs(options, COUNT_OF(options), MOUNT_ATTR_NOSUID);
    if (dev < 0)
        return dev;
    int rc = author_begin(&author, owner);
    if (rc < 0)
        return rc;
    rc = make_dev_nodes(dev);
    if (rc == 0)
        rc = make_asked_nodes(dev, config);
    author_end(&author);
    if (rc < 0)
        return rc;
    *ret_mount = take_fd(&dev);
    return 0;
}

static int make_text(int dir, const char *name, const char *text)
{
    AUTO_FD fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Bound by way of the descriptor: no path of the host ever leads to it. */
static int make_notify(int host, int *ret_notify)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FD notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify < 0)
        return -errno;
    if (mkdirat(host, "notify", 0755) < 0)
        return -errno;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/notify/notify",
                   host);
    if (bind(notify, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    if (fchmodat(host, "notify/notify", 0666, 0) < 0) /* not 0777; any process may speak */
        return -errno;
    *ret_notify = take_fd(&notify);
    return 0;
}

/* Its owner stays the host's root: the guest cannot change it even where it remounts it. */
int mount_make_host(const char *uuid, int *ret_mount, int *ret_notify)
{
    static const struct option options[] = {{"mode", "755"}, {"size", "64k"}, {"nr_inodes", "16"}};
    AUTO_FD host = make_tmpfs(options, COUNT_OF(options),
                              MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (host < 0)
        return host;
    struct author author = {0};
    int rc = author_begin(&author, 0);
    if (rc < 0)
        return rc;
    rc = make_text(host, "container-manager", "drover\n");
    if (rc == 0)
        rc = make_text(host, "container-uuid", uuid);
    if (rc == 0 && ret_notify != NULL)
        rc = make_notify(host, ret_notify);
    author_end(&author);
    if (rc < 0)
        return rc;
    *ret_mount = take_fd(&host);
    return 0;
}
