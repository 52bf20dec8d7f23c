/* SPDX-License-Identifier: Apache-2.0 */
/* What is mounted in a guest, in order. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "rootfs_making.h"
#include "rootfs_mounts.h"
#include "uuid.h"

#define STRICT (MS_NOSUID | MS_NODEV | MS_NOEXEC)

struct row {
    enum kp_kind kind;
    const char *target;
    const char *options;
    uint64_t flags;
    bool is_optional;
};

/* sysfs is read-only for everyone: it is by this that systemd knows to leave udev out
 * (systemd.io/CONTAINER_INTERFACE). */
static const struct row rows_kernel[] = {
    {KP_PROC, "proc", NULL, STRICT, false},
    {KP_SYSFS, "sys", NULL, STRICT | MS_RDONLY, false},
};
static const struct row rows_cgroup2[] = {
    {KP_CGROUP2, "sys/fs/cgroup", NULL, STRICT, false},
};
/* As systemd before 230 mounts it, and looks for it first. In the tmpfs it makes a directory for
 * each controller that the kernel has. */
static const struct row rows_systemd[] = {
    {KP_TMPFS, "sys/fs/cgroup", "mode=755,size=64k,nr_inodes=128", STRICT, false},
    {KP_CGROUP1, "sys/fs/cgroup/systemd", "none,name=systemd", STRICT, false},
};
static const struct row rows_dev[] = {
    {KP_DEVPTS, "dev/pts", NULL, MS_NOSUID | MS_NOEXEC, false},
    {KP_TMPFS, "dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, false},
    {KP_MQUEUE, "dev/mqueue", NULL, STRICT, true},
    {KP_CONSOLE, "dev/console", NULL, 0, false},
    {KP_TMPFS, "run", "mode=755,size=20%,nr_inodes=800k", MS_NOSUID | MS_NODEV, false},
};

/* The kernel lets a user namespace mount a proc or sysfs only where it sees one that nothing is
 * mounted over, and as writable: the guest's own are masked and read-only. Nobody need look at
 * these. */
static const struct row rows_nested[] = {
    {KP_MKDIR, "dev/.drover", NULL, 0700, false},
    {KP_PROC, "dev/.drover/proc", NULL, STRICT, false},
    {KP_SYSFS, "dev/.drover/sys", NULL, STRICT, false},
};

/* Comfort, not walls. What the host's root alone may open needs none in a user
 * namespace: these are what anyone may read. */
static const struct row rows_masks[] = {
    {KP_MASK, "proc/keys", NULL, 0, true},        {KP_MASK, "proc/latency_stats", NULL, 0, true},
    {KP_MASK, "proc/sched_debug", NULL, 0, true}, {KP_MASK, "proc/scsi", NULL, 0, true},
    {KP_MASK, "sys/firmware", NULL, 0, true},
};
/* A privileged guest's root is the host's: without these, its boot would set the host's sysctls.
 * /proc/sys/net is its own. */
static const struct row rows_privileged[] = {
    {KP_MASK, "proc/kallsyms", NULL, 0, true},
    {KP_MASK, "proc/kcore", NULL, 0, true},
    {KP_MASK, "proc/timer_list", NULL, 0, true},
    {KP_MASK, "proc/acpi", NULL, 0, true},
    {KP_READONLY, "proc/bus", NULL, 0, true},
    {KP_READONLY, "proc/fs", NULL, 0, true},
    {KP_READONLY, "proc/irq", NULL, 0, true},
    {KP_READONLY, "proc/sysrq-trigger", NULL, 0, true},
    {KP_READONLY, "proc/sys/abi", NULL, 0, true},
    {KP_READONLY, "proc/sys/debug", NULL, 0, true},
    {KP_READONLY, "proc/sys/dev", NULL, 0, true},
    {KP_READONLY, "proc/sys/fs", NULL, 0, true},
    {KP_READONLY, "proc/sys/kernel", NULL, 0, true},
    {KP_READONLY, "proc/sys/user", NULL, 0, true},
    {KP_READONLY, "proc/sys/vm", NULL, 0, true},
};

static void add_rows(struct plan *plan, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        plan_add_mount(plan,
                       (struct kp_mount){.kind = rows[i].kind,
                                         .fd_index = -1,
                                         .flags = rows[i].flags,
                                         .is_file = rows[i].kind == KP_CONSOLE,
                                         .is_optional = rows[i].is_optional},
                       rows[i].target, rows[i].options);
}

static void add_attach(struct making *making, int fd_consumed, unsigned role, const char *target,
                       uint64_t flags, bool is_file)
{
    int32_t index = making_add_fd(making, fd_consumed, role);
    plan_add_mount(
        &making->plan,
        (struct kp_mount){.kind = KP_ATTACH, .fd_index = index, .flags = flags, .is_file = is_file},
        target + strspn(target, "/"), NULL);
}

/* Read by systemd's tools, which a whole distribution may have without having its init. For the
 * rest it would be a fourth of the plan's time. */
static bool has_run_host(const struct launch *launch)
{
    return launch->ready == READY_NOTIFY || launch->family == FAMILY_SYSTEMD ||
           launch->family == FAMILY_SYSVINIT || launch->family == FAMILY_OPENRC;
}

int making_add_system_mounts(struct making *making)
{
    char uuid[UUID_TEXT_BYTES];
    uint32_t owner = making->config->is_privileged ? 0 : making->request->uid_base;
    int dev;
    int host;
    int notify = -1;

    add_rows(&making->plan, rows_kernel, COUNT_OF(rows_kernel));
    if (making->launch->needs_systemd)
        add_rows(&making->plan, rows_systemd, COUNT_OF(rows_systemd));
    else
        add_rows(&making->plan, rows_cgroup2, COUNT_OF(rows_cgroup2));
    int rc = mount_make_dev(owner, making->config, &dev);
    if (rc < 0)
        return making_fail(making, rc, "/dev");
    add_attach(making, dev, KW_FD_MOUNT, "dev", 0, false);
    add_rows(&making->plan, rows_dev, COUNT_OF(rows_dev));
    if (making->config->is_nested && !making->config->is_privileged) /* who may mount any */
        add_rows(&making->plan, rows_nested, COUNT_OF(rows_nested));

    if (!has_run_host(making->launch))
        return 0;
    rc = mount_make_host(uuid_format(making->request->uuid, uuid), &host,
                         making->launch->ready == READY_NOTIFY ? &notify : NULL);
    if (rc < 0)
        return making_fail(making, rc, "/run/host");
    add_attach(making, host, KW_FD_MOUNT, "run/host", MOUNT_ATTR_RDONLY, false);
    if (notify >= 0)
        (void)making_add_fd(making, notify, KW_FD_NOTIFY);
    return 0;
}

static void add_tmpfs(struct making *making, const struct tmpfs *tmpfs)
{
    char options[48] = "mode=1777";
    if (tmpfs->size_bytes != 0)
        (void)snprintf(options, sizeof(options), "mode=1777,size=%llu",
                       (unsigned long long)tmpfs->size_bytes);
    plan_add_mount(
        &making->plan,
        (struct kp_mount){.kind = KP_TMPFS, .fd_index = -1, .flags = MS_NOSUID | MS_NODEV},
        tmpfs->target + strspn(tmpfs->target, "/"), options);
}

/* Said here by name; the keeper would only know that a mount failed. A mount can be mapped once, so
 * a second one is tried. */
static int check_bind_idmap(struct making *making, const struct bind *bind, int source)
{
    AUTO_FD trial = mount_clone(source, "");
    if (trial < 0)
        return making_fail(making, trial, bind->source);
    if (mount_idmap(trial, making->rootfs->userns) == 0)
        return 0;
    fault_set(making->fault, STATUS_IDMAP_UNSUPPORTED, EOPNOTSUPP,
              "bind source %s is on a file system that cannot be mounted idmapped", bind->source);
    fault_hint(making->fault, "append :plain to the bind if its owners are the range's");
    return -EOPNOTSUPP;
}

static int add_bind(struct making *making, const struct bind *bind)
{
    uint64_t flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    unsigned role = KW_FD_MOUNT;
    struct stat stat;

    AUTO_FD source = open(bind->source, O_PATH | O_CLOEXEC);
    AUTO_FD mount = source < 0 ? -errno : mount_clone(source, "");
    if (mount < 0) {
        bool is_missing = mount == -ENOENT || mount == -ENOTDIR;
        fault_set(making->fault, is_missing ? STATUS_BIND_SOURCE_MISSING : STATUS_FAILED, -mount,
                  "bind source %s for %s: %s", bind->source, bind->target, strerrordesc_np(-mount));
        return mount;
    }
    if (fstat(source, &stat) < 0)
        return making_fail(making, -errno, bind->source);
    if (!bind->is_plain && !making->config->is_privileged) {
        int rc = check_bind_idmap(making, bind, source);
        if (rc < 0)
            return rc;
        role |= KW_FD_IDMAP;
    }
    if (bind->is_read_only)
        flags |= MOUNT_ATTR_RDONLY;
    if (!making->config->is_privileged) {
        mount = making_lock(making, mount, flags, !S_ISDIR(stat.st_mode));
        if (mount < 0)
            return making_fail(making, mount, bind->source);
    }
    add_attach(making, take_fd(&mount), role, bind->target, flags, !S_ISDIR(stat.st_mode));
    return 0;
}

int making_add_config_mounts(struct making *making)
{
    for (size_t i = 0; i < making->config->tmpfs_count; i++)
        add_tmpfs(making, &making->config->tmpfs[i]);
    for (size_t i = 0; i < making->config->bind_count; i++) {
        int rc = add_bind(making, &making->config->binds[i]);
        if (rc < 0)
            return rc;
    }
    add_rows(&making->plan, rows_masks, COUNT_OF(rows_masks));
    if (making->config->is_privileged)
        add_rows(&making->plan, rows_privileged, COUNT_OF(rows_privileged));
    return 0;
}
