/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "ensure.h"
#include "family.h"
#include "plan.h"
#include "rootfs.h"
#include "rootfs_mounts.h"
#include "sys.h"

#define NOTIFY_PATH "/run/host/notify/notify"
#define PLAN_INDEX 0 /* of the launch's descriptors */
#define STRICT (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define CGROUP_FDS_MAX 17 /* of KW_FDS_MAX: appended later, v2 and 16 v1 hierarchies */

struct making {
    const struct rootfs *rootfs;
    const struct launch_request *request;
    const struct config *config;
    struct launch *launch;
    struct plan plan;
    struct layers layers;
    struct fault *fault;
};

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
    {KP_CGROUP2, "sys/fs/cgroup", NULL, STRICT, false},
};
static const struct row rows_dev[] = {
    {KP_DEVPTS, "dev/pts", NULL, MS_NOSUID | MS_NOEXEC, false},
    {KP_TMPFS, "dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, false},
    {KP_MQUEUE, "dev/mqueue", NULL, STRICT, true},
    {KP_CONSOLE, "dev/console", NULL, 0, false},
    {KP_TMPFS, "run", "mode=755,size=20%,nr_inodes=800k", MS_NOSUID | MS_NODEV, false},
};

/* Comfort, not walls (design 8). What host root alone may open needs no mask in a user namespace;
 * there only what its mode lets anyone read is covered. */
static const struct row rows_masks[] = {
    {KP_MASK, "proc/kcore", NULL, 0, true},
    {KP_MASK, "proc/keys", NULL, 0, true},
    {KP_MASK, "proc/latency_stats", NULL, 0, true},
    {KP_MASK, "proc/sched_debug", NULL, 0, true},
    {KP_MASK, "proc/timer_list", NULL, 0, true},
    {KP_MASK, "proc/scsi", NULL, 0, true},
    {KP_MASK, "sys/firmware", NULL, 0, true},
};
/* A privileged guest's root is the host's: without these, its boot would set the host's sysctls.
 * /proc/sys/net is its own. */
static const struct row rows_privileged[] = {
    {KP_MASK, "proc/kallsyms", NULL, 0, true},
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

static int fail(struct making *making, int rc, const char *what)
{
    fault_set(making->fault, rc == -ENOSPC ? STATUS_NO_CAPACITY : STATUS_FAILED, -rc,
              "cannot make %s: %s", what, strerrordesc_np(-rc));
    return rc;
}

/* The descriptor is the launch's from here. Returns its index. */
static int32_t launch_add(struct launch *launch, int fd_consumed, unsigned role)
{
    ENSURE(launch->fd_count < KW_FDS_MAX - CGROUP_FDS_MAX); /* lists are bounded by the codec */
    launch->fds[launch->fd_count] = fd_consumed;
    launch->roles[launch->fd_count] = (uint8_t)role;
    return (int32_t)launch->fd_count++;
}

static void add_attach(struct making *making, int fd_consumed, unsigned role, const char *target,
                       uint64_t flags, bool is_file)
{
    int32_t index = launch_add(making->launch, fd_consumed, role);
    plan_add_mount(&making->plan,
                   (struct kp_mount){.kind = KP_ATTACH,
                                     .fd_index = index,
                                     .flags = flags,
                                     .is_file = is_file},
                   target + strspn(target, "/"), NULL);
}

static unsigned idmap_role(const struct making *making)
{
    return making->config->is_privileged ? 0 : KW_FD_IDMAP;
}

static int add_lower(struct making *making)
{
    const char *name = making->config->template_name;
    AUTO_FD dir = rootfs_open_template(making->rootfs, name, making->fault);
    if (dir < 0)
        return dir;
    int mount = mount_clone(dir, "");
    if (mount < 0)
        return fail(making, mount, "a mount of the template");
    making->layers.lower = mount;
    (void)launch_add(making->launch, mount, KW_FD_LOWER | idmap_role(making));
    return 0;
}

static int add_upper(struct making *making)
{
    char uuid[UUID_TEXT_BYTES];
    int mount = mount_clone(making->rootfs->containers,
                            rootfs_uuid_format(making->request->uuid, uuid));
    if (mount < 0) {
        fault_set(making->fault, mount == -ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED, -mount,
                  "containers/%s, where its changes are kept: %s", uuid, strerrordesc_np(-mount));
        return mount;
    }
    (void)launch_add(making->launch, mount, KW_FD_UPPER | idmap_role(making));
    int upper = openat(mount, "upper", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (upper < 0)
        return fail(making, -errno, "use of upper/");
    making->layers.upper = upper;
    return 0;
}

static int lock(const struct making *making, int mount_consumed, uint64_t attributes, bool is_file)
{
    AUTO_FD mount = mount_consumed;
    return mount_lock(making->rootfs->mntns, mount, attributes, is_file);
}

static int add_root(struct making *making)
{
    const char *path = making->config->root;
    AUTO_FD dir = rootfs_open_root(path, making->fault);
    if (dir < 0)
        return dir;
    AUTO_FD mount = mount_clone(dir, "");
    /* An overlay in a user namespace opens no device; a plain directory would. */
    if (mount >= 0 && !making->config->is_privileged)
        mount = lock(making, mount, MOUNT_ATTR_NODEV, false);
    if (mount < 0)
        return fail(making, mount, "a mount of the root");
    making->layers.lower = mount;
    (void)launch_add(making->launch, take_fd(&mount), KW_FD_ROOT | idmap_role(making));
    return 0;
}

static int add_layers(struct making *making)
{
    if (!making->config->is_privileged && !making->rootfs->has_idmap)
        return rootfs_fail_idmap("the state directory", making->rootfs->file_system,
                                 making->fault);
    if (making->config->root[0] != '\0')
        return add_root(making);
    int rc = add_lower(making);
    return rc < 0 ? rc : add_upper(making);
}

static int fail_init(struct making *making, const struct init *init)
{
    char text[FAULT_TEXT_BYTES] = "";
    size_t length = 0;

    for (size_t i = 0; i < making->launch->candidate_count && length < sizeof(text); i++) {
        const char *why = init->errors[i] == ENXIO ? "not a file" : strerrorname_np(init->errors[i]);
        int n = snprintf(text + length, sizeof(text) - length, "%s%s %s", i == 0 ? "" : ", ",
                         making->launch->candidates[i], why);
        length += (size_t)n;
    }
    const char *root = making->config->root[0] != '\0' ? making->config->root
                                                       : making->config->template_name;
    fault_set(making->fault, STATUS_BAD_TEMPLATE, ENOENT, "no init in %s: %s", root, text);
    fault_hint(making->fault, "name the program to run with --init");
    return -ENOENT;
}

/* The candidates go to the stage whatever is found here: execve's errno is the truth, and a bind may
 * bring the file. Only when nothing can come of it is the boot refused at once. */
static int add_init(struct making *making, struct init *ret_init)
{
    static const char *const usual[] = {"/sbin/init", "/etc/init", "/bin/init"};
    struct launch *launch = making->launch;
    bool is_named = making->config->init[0] != '\0';

    launch->candidate_count = is_named ? 1 : COUNT_OF(usual);
    for (size_t i = 0; i < launch->candidate_count; i++) {
        const char *path = is_named ? making->config->init : usual[i];
        (void)snprintf(launch->candidates[i], sizeof(launch->candidates[i]), "%s", path);
        plan_add_item(&making->plan, &making->plan.candidates, path);
    }
    int rc = init_find(&making->layers, launch->candidates, launch->candidate_count, ret_init);
    if (rc < 0 && making->config->bind_count == 0)
        return fail_init(making, ret_init);

    launch->family = ret_init->family;
    launch->is_ready_by_notify =
        making->config->ready == READY_NOTIFY ||
        (making->config->ready != READY_EXEC && launch->family == FAMILY_SYSTEMD);
    plan_add_item(&making->plan, &making->plan.argv, "init");
    if (ret_init->takes_arguments) { /* room that init may write its title over */
        plan_add_item(&making->plan, &making->plan.argv, "-z");
        plan_add_item(&making->plan, &making->plan.argv, "      ");
    }
    return 0;
}

/* A variable of the container's own replaces ours. */
static void add_default_env(struct making *making, const char *key, const char *value)
{
    for (size_t i = 0; i < making->config->env_count; i++)
        if (strcmp(making->config->env[i].key, key) == 0)
            return;
    plan_add_env(&making->plan, key, value);
}

static void add_env(struct making *making)
{
    char uuid[UUID_TEXT_BYTES];

    add_default_env(making, "HOME", "/");
    add_default_env(making, "TERM", "linux");
    /* OpenRC knows only lxc, rkt, systemd-nspawn and docker. */
    add_default_env(making, "container",
                    making->launch->family == FAMILY_OPENRC ? "lxc" : "drover");
    add_default_env(making, "container_uuid", rootfs_uuid_format(making->request->uuid, uuid));
    if (making->launch->is_ready_by_notify)
        add_default_env(making, "NOTIFY_SOCKET", NOTIFY_PATH);
    for (size_t i = 0; i < making->config->env_count; i++)
        plan_add_env(&making->plan, making->config->env[i].key, making->config->env[i].value);
}

/* Read by systemd's tools, which a whole distribution may have without having its init. For the rest
 * it would be a fourth of the plan's time. */
static bool has_run_host(const struct launch *launch)
{
    return launch->is_ready_by_notify || launch->family == FAMILY_SYSTEMD ||
           launch->family == FAMILY_SYSVINIT || launch->family == FAMILY_OPENRC;
}

static int add_system_mounts(struct making *making)
{
    char uuid[UUID_TEXT_BYTES];
    uint32_t owner = making->config->is_privileged ? 0 : making->request->uid_base;
    int dev;
    int host;
    int notify = -1;

    add_rows(&making->plan, rows_kernel, COUNT_OF(rows_kernel));
    int rc = mount_make_dev(owner, &dev);
    if (rc < 0)
        return fail(making, rc, "/dev");
    add_attach(making, dev, KW_FD_MOUNT, "dev", 0, false);
    add_rows(&making->plan, rows_dev, COUNT_OF(rows_dev));

    if (!has_run_host(making->launch))
        return 0;
    rc = mount_make_host(rootfs_uuid_format(making->request->uuid, uuid), &host,
                         making->launch->is_ready_by_notify ? &notify : NULL);
    if (rc < 0)
        return fail(making, rc, "/run/host");
    add_attach(making, host, KW_FD_MOUNT, "run/host", MOUNT_ATTR_RDONLY, false);
    if (notify >= 0)
        (void)launch_add(making->launch, notify, KW_FD_NOTIFY);
    return 0;
}

static void add_tmpfs(struct making *making, const struct tmpfs *tmpfs)
{
    char options[48] = "mode=1777";
    if (tmpfs->size_bytes != 0)
        (void)snprintf(options, sizeof(options), "mode=1777,size=%llu",
                       (unsigned long long)tmpfs->size_bytes);
    plan_add_mount(&making->plan,
                   (struct kp_mount){
                       .kind = KP_TMPFS, .fd_index = -1, .flags = MS_NOSUID | MS_NODEV},
                   tmpfs->target + strspn(tmpfs->target, "/"), options);
}

/* Said here by name; the keeper would only know that a mount failed. A mount can be mapped once, so
 * a second one is tried. */
static int check_bind_idmap(struct making *making, const struct bind *bind, int source)
{
    AUTO_FD trial = mount_clone(source, "");
    if (trial < 0)
        return fail(making, trial, bind->source);
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
                  "bind source %s for %s: %s", bind->source, bind->target,
                  strerrordesc_np(-mount));
        return mount;
    }
    if (fstat(source, &stat) < 0)
        return fail(making, -errno, bind->source);
    if (!bind->is_plain && !making->config->is_privileged) {
        int rc = check_bind_idmap(making, bind, source);
        if (rc < 0)
            return rc;
        role |= KW_FD_IDMAP;
    }
    if (bind->is_read_only)
        flags |= MOUNT_ATTR_RDONLY;
    if (!making->config->is_privileged) {
        mount = lock(making, mount, flags, !S_ISDIR(stat.st_mode));
        if (mount < 0)
            return fail(making, mount, bind->source);
    }
    add_attach(making, take_fd(&mount), role, bind->target, flags, !S_ISDIR(stat.st_mode));
    return 0;
}

static int add_config_mounts(struct making *making)
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

static int add_ring(struct making *making)
{
    struct kw_ring ring = {.magic = KW_MAGIC, .size_bytes = KW_RING_DEFAULT_BYTES};
    AUTO_FD fd = memfd_create("drover-console", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    /* Its size is fixed for ever, so that no reader of a mapping meets its end. */
    if (fd < 0 || ftruncate(fd, KW_RING_DATA_OFFSET + KW_RING_DEFAULT_BYTES) < 0 ||
        pwrite(fd, &ring, sizeof(ring), 0) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return fail(making, -errno, "the console's ring");
    making->launch->ring = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (making->launch->ring < 0)
        return fail(making, -errno, "the console's ring");
    (void)launch_add(making->launch, take_fd(&fd), KW_FD_RING);
    return 0;
}

static int add_plan(struct making *making)
{
    struct kp_header *header = &making->plan.header;

    header->flags = KP_GO_AT_ONCE | KP_NEWNET | KP_PTY;
    if (!making->config->is_privileged) {
        header->flags |= KP_USERNS;
        header->uid_base = making->request->uid_base;
        header->uid_count = making->request->uid_count;
    }
    header->hostname = plan_add_text(&making->plan, making->request->name);
    plan_add_limits(&making->plan, making->config->is_privileged);
    int fd = plan_seal(&making->plan);
    if (fd < 0)
        return fail(making, fd, "the plan");
    making->launch->fds[PLAN_INDEX] = fd;
    return 0;
}

static int make_launch(struct making *making)
{
    struct init init;

    (void)launch_add(making->launch, -1, KW_FD_PLAN); /* packed last, sent first */
    int rc = add_layers(making);
    if (rc == 0)
        rc = add_init(making, &init);
    if (rc == 0) {
        add_env(making);
        rc = add_system_mounts(making);
    }
    if (rc == 0)
        rc = add_config_mounts(making);
    if (rc == 0)
        rc = add_ring(making);
    return rc == 0 ? add_plan(making) : rc;
}

int rootfs_plan(const struct rootfs *rootfs, const struct launch_request *request,
                struct launch *ret_launch, struct fault *fault)
{
    struct launch launch = {.ring = -1};
    struct making making = {.rootfs = rootfs,
                            .request = request,
                            .config = request->config,
                            .launch = &launch,
                            .layers = {.upper = -1, .lower = -1},
                            .fault = fault};

    plan_init(&making.plan);
    int rc = make_launch(&making);
    plan_close(&making.plan);
    fd_closep(&making.layers.upper);
    if (rc < 0) {
        launch_close(&launch);
        return rc;
    }
    *ret_launch = launch;
    return 0;
}

void launch_close(struct launch *launch)
{
    while (launch->fd_count > 0)
        fd_closep(&launch->fds[--launch->fd_count]);
    fd_closep(&launch->ring);
}
