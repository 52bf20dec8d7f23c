/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "cleanup.h"
#include "ensure.h"
#include "family.h"
#include "rootfs_making.h"
#include "rootfs_mounts.h"
#include "uuid.h"

#define NOTIFY_PATH "/run/host/notify/notify"
#define PLAN_INDEX 0      /* of the launch's descriptors */
#define CGROUP_FDS_MAX 17 /* of KW_FDS_MAX: appended later, v2 and 16 v1 hierarchies */

int making_fail(struct making *making, int rc, const char *what)
{
    fault_set(making->fault, rc == -ENOSPC ? STATUS_NO_CAPACITY : STATUS_FAILED, -rc,
              "cannot make %s: %s", what, strerrordesc_np(-rc));
    return rc;
}

int32_t making_add_fd(struct making *making, int fd_consumed, unsigned role)
{
    struct launch *launch = making->launch;

    ENSURE(launch->fd_count < KW_FDS_MAX - CGROUP_FDS_MAX); /* lists are bounded by the codec */
    launch->fds[launch->fd_count] = fd_consumed;
    launch->roles[launch->fd_count] = (uint8_t)role;
    return (int32_t)launch->fd_count++;
}

unsigned making_idmap(const struct making *making)
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
        return making_fail(making, mount, "a mount of the template");
    making->layers.lower = mount;
    (void)making_add_fd(making, mount, KW_FD_LOWER | making_idmap(making));
    return 0;
}

static int add_upper(struct making *making)
{
    char uuid[UUID_TEXT_BYTES];
    int mount = mount_clone(making->rootfs->containers, uuid_format(making->request->uuid, uuid));
    if (mount < 0) {
        fault_set(making->fault, mount == -ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED, -mount,
                  "containers/%s, where its changes are kept: %s", uuid, strerrordesc_np(-mount));
        return mount;
    }
    (void)making_add_fd(making, mount, KW_FD_UPPER | making_idmap(making));
    int upper = openat(mount, "upper", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (upper < 0)
        return making_fail(making, -errno, "use of upper/");
    making->layers.upper = upper;
    return 0;
}

int making_lock(const struct making *making, int mount_consumed, uint64_t attributes, bool is_file)
{
    AUTO_FD mount = mount_consumed;
    return mount_lock(making->rootfs->mntns, mount, attributes, is_file);
}

/* LIMIT: of what a mount hook mounted below DROVER_ROOT nothing comes along into a container with
 * a user namespace, as one mount alone is locked: it sees what lies below. */
static int clone_root(struct making *making)
{
    if (making->request->has_root)
        return fcntl(making->request->root, F_DUPFD_CLOEXEC, 0);
    AUTO_FD dir = rootfs_open_root(making->config->root, making->fault);
    return dir < 0 ? dir : mount_clone(dir, "");
}

static int add_root(struct making *making)
{
    AUTO_FD mount = clone_root(making);
    if (mount < 0 && making->fault->status != STATUS_UNSET)
        return mount;
    /* An overlay in a user namespace opens no device; a plain directory would. */
    if (mount >= 0 && !making->config->is_privileged)
        mount = making_lock(making, mount, MOUNT_ATTR_NODEV, false);
    if (mount < 0)
        return making_fail(making, mount, "a mount of the root");
    making->layers.lower = mount;
    (void)making_add_fd(making, take_fd(&mount), KW_FD_ROOT | making_idmap(making));
    return 0;
}

static int add_layers(struct making *making)
{
    if (!making->config->is_privileged && !making->rootfs->has_idmap)
        return rootfs_fail_idmap("the state directory", making->rootfs->file_system, making->fault);
    if (making->config->root[0] != '\0' || making->request->has_root)
        return add_root(making);
    int rc = add_lower(making);
    return rc < 0 ? rc : add_upper(making);
}

static int fail_init(struct making *making, const struct init *init)
{
    char text[FAULT_TEXT_BYTES] = "";
    size_t length = 0;

    for (size_t i = 0; i < making->launch->candidate_count && length < sizeof(text); i++) {
        int error = init->errors[i];
        const char *why = error == ENXIO ? "not a file" : strerrorname_np(error);
        int n = snprintf(text + length, sizeof(text) - length, "%s%s %s", i == 0 ? "" : ", ",
                         making->launch->candidates[i], why);
        length += (size_t)n;
    }
    const char *root =
        making->config->root[0] != '\0' ? making->config->root : making->config->template_name;
    if (making->request->has_root)
        root = "what its mount hook mounted";
    fault_set(making->fault, STATUS_BAD_TEMPLATE, ENOENT, "no init in %s: %s", root, text);
    fault_hint(making->fault, "name the program to run with --init");
    return -ENOENT;
}

static int fail_systemd(struct making *making, const struct init *init)
{
    fault_set(
        making->fault, STATUS_GUEST_UNSUPPORTED, 0,
        "its systemd is version %u: this host has cgroup v2 alone, which %u is the first to know",
        (uint64_t)init->systemd_version, (uint64_t)SYSTEMD_VERSION_MIN);
    fault_hint(making->fault, "upgrade systemd in it, install sysvinit-core there, or mount cgroup "
                              "name=systemd on this host before the agent starts");
    return -ENOTSUP;
}

/* The candidates go to the stage whatever is found here: execve's errno is the truth, and a bind
 * may bring the file. Only when nothing can come of it is the boot refused at once. */
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
    int rc = init_find(&making->layers, launch->candidates, launch->candidate_count,
                       making->config->family, ret_init);
    if (rc < 0 && making->config->bind_count == 0)
        return fail_init(making, ret_init);

    launch->needs_systemd =
        ret_init->systemd_version != 0 && ret_init->systemd_version < SYSTEMD_VERSION_MIN;
    if (launch->needs_systemd && !making->request->has_systemd)
        return fail_systemd(making, ret_init);
    launch->family = ret_init->family;
    launch->ready = making->config->ready;
    if (launch->ready <= READY_AUTO)
        launch->ready = launch->family == FAMILY_SYSTEMD ? READY_NOTIFY : READY_EXEC;
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
    add_default_env(making, "container_uuid", uuid_format(making->request->uuid, uuid));
    if (making->launch->ready == READY_NOTIFY)
        add_default_env(making, "NOTIFY_SOCKET", NOTIFY_PATH);
    for (size_t i = 0; i < making->config->env_count; i++)
        plan_add_env(&making->plan, making->config->env[i].key, making->config->env[i].value);
}

int rootfs_make_ring(void)
{
    struct kw_ring ring = {.magic = KW_MAGIC, .size_bytes = KW_RING_DEFAULT_BYTES};
    AUTO_FD fd = memfd_create("drover-console", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    /* Its size is fixed for ever, so that no reader of a mapping meets its end. */
    if (fd < 0 || ftruncate(fd, KW_RING_DATA_OFFSET + KW_RING_DEFAULT_BYTES) < 0 ||
        pwrite(fd, &ring, sizeof(ring), 0) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    return take_fd(&fd);
}

static int add_ring(struct making *making)
{
    AUTO_FD fd = rootfs_make_ring();
    if (fd < 0)
        return making_fail(making, fd, "the console's ring");
    making->launch->ring = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (making->launch->ring < 0)
        return making_fail(making, -errno, "the console's ring");
    (void)making_add_fd(making, take_fd(&fd), KW_FD_RING);
    return 0;
}

static int add_plan(struct making *making)
{
    struct kp_header *header = &making->plan.header;

    header->flags = KP_NEWNET | KP_PTY; /* GO waits for the intent */
    if (!making->config->is_privileged) {
        header->flags |= KP_USERNS;
        header->uid_base = making->request->uid_base;
        header->uid_count = making->request->uid_count;
    }
    header->hostname = plan_add_text(&making->plan, making->request->name);
    plan_add_limits(&making->plan, making->config->is_privileged);
    making->plan.sysfilter = making->request->sysfilter;
    int fd = plan_seal(&making->plan);
    if (fd < 0)
        return making_fail(making, fd, "the plan");
    making->launch->fds[PLAN_INDEX] = fd;
    return 0;
}

static int make_launch(struct making *making)
{
    struct init init;

    (void)making_add_fd(making, -1, KW_FD_PLAN); /* packed last, sent first */
    int rc = add_layers(making);
    if (rc == 0)
        rc = add_init(making, &init);
    if (rc == 0) {
        add_env(making);
        rc = making_add_system_mounts(making);
    }
    if (rc == 0)
        rc = making_add_config_mounts(making);
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
