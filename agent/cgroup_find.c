/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which hierarchies this host has. libcgroup knows those with controllers; /proc/self/mounts adds
 * the named ones and a v2 one without controllers; a v2 one that nobody mounted we mount, attached
 * nowhere: every kernel has that hierarchy, mounted or not.
 */
#include "cgroup_parts.h"

#include <errno.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "sys.h"

const char *cgroup_hierarchy_name(const struct cgroup_hierarchy *hierarchy)
{
    return hierarchy->is_v2 ? "cgroup2" : hierarchy->controllers;
}

static struct cgroup_hierarchy *find_by_device(struct cgroups *cgroups, dev_t device)
{
    for (size_t i = 0; i < cgroups->count; i++) {
        struct stat stat;

        if (cgroups->hierarchies[i].root >= 0 && fstat(cgroups->hierarchies[i].root, &stat) == 0 &&
            stat.st_dev == device)
            return &cgroups->hierarchies[i];
    }
    return NULL;
}

static void add_controller(struct cgroup_hierarchy *hierarchy, const char *name)
{
    size_t length = strlen(hierarchy->controllers);

    (void)snprintf(hierarchy->controllers + length, sizeof(hierarchy->controllers) - length, "%s%s",
                   length == 0 ? "" : ",", name);
    hierarchy->has_memory |= strcmp(name, "memory") == 0;
    hierarchy->has_pids |= strcmp(name, "pids") == 0;
    hierarchy->has_cpu |= strcmp(name, "cpu") == 0;
    hierarchy->has_cpuset |= strcmp(name, "cpuset") == 0;
    hierarchy->is_systemd |= strcmp(name, "name=systemd") == 0;
}

/* A mount of a hierarchy, met by any of its controllers; NULL: by none. What is mounted over or
 * cannot be opened is not there for us. */
static int add_mount(struct cgroups *cgroups, const char *controller, const char *mount_point)
{
    struct cgroup_hierarchy *hierarchy;
    struct statfs kind;
    struct stat stat;
    AUTO_FD root = open(mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (root < 0 || fstatfs(root, &kind) < 0 || fstat(root, &stat) < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
    bool is_v2 = kind.f_type == CGROUP2_SUPER_MAGIC;
    if (!is_v2 && kind.f_type != CGROUP_SUPER_MAGIC)
        return 0;
    if (is_v2) { /* cgroup.controllers tells of them all */
        if (cgroups->hierarchies[0].root < 0)
            cgroups->hierarchies[0].root = take_fd(&root);
        return 0;
    }

    hierarchy = find_by_device(cgroups, stat.st_dev);
    if (hierarchy == NULL) {
        /* LIMIT: what is beyond the bound is left alone. A kernel has ten or so, and its named
         * hierarchies, met last, carry no limits. */
        if (cgroups->count == CGROUP_HIERARCHIES_MAX)
            return 0;
        hierarchy = &cgroups->hierarchies[cgroups->count++];
        *hierarchy = (struct cgroup_hierarchy){.root = take_fd(&root), .path = -1};
    }
    if (controller != NULL)
        add_controller(hierarchy, controller);
    return 0;
}

static int on_controller(const char *controller, const char *mount_point, void *context)
{
    return add_mount(context, controller, mount_point);
}

/* The option name=NAME of a mount, or NULL. */
static const char *find_name(const struct mntent *mount, char *text, size_t text_bytes)
{
    const char *option = hasmntopt(mount, "name");

    if (option == NULL)
        return NULL;
    (void)snprintf(text, text_bytes, "%.*s", (int)strcspn(option, ","), option);
    return text;
}

static int add_unknown(struct cgroups *cgroups, const struct mntent *mount)
{
    struct stat stat_of;
    char name[64];

    if (strcmp(mount->mnt_type, "cgroup") != 0 && strcmp(mount->mnt_type, "cgroup2") != 0)
        return 0;
    if (stat(mount->mnt_dir, &stat_of) < 0 || find_by_device(cgroups, stat_of.st_dev) != NULL)
        return 0;
    return add_mount(cgroups, find_name(mount, name, sizeof(name)), mount->mnt_dir);
}

static int add_mounts(struct cgroups *cgroups)
{
    struct mntent mount;
    char text[4096 + 1024]; /* LIMIT: a longer line is no cgroup mount that we could use */
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    int result = 0;

    if (mounts == NULL)
        return -errno;
    while (result == 0 && getmntent_r(mounts, &mount, text, sizeof(text)) != NULL)
        result = add_unknown(cgroups, &mount);
    (void)endmntent(mounts);
    return result;
}

/* Options of cgroup2 belong to the hierarchy, not to a mount: ours must not switch off what the
 * host's own mount, in the namespace of its init, switched on. */
static int keep_options(int config)
{
    static const char *const flags[] = {"nsdelegate",
                                        "favordynmods",
                                        "memory_localevents",
                                        "memory_recursiveprot",
                                        "memory_hugetlb_accounting",
                                        "pids_localevents"};
    struct mntent mount;
    char text[4096 + 1024];
    FILE *mounts = setmntent("/proc/1/mounts", "re");
    int result = 0;

    if (mounts == NULL)
        return 0; /* hidden from us: then we are not where such a mount could be */
    while (result == 0 && getmntent_r(mounts, &mount, text, sizeof(text)) != NULL) {
        if (strcmp(mount.mnt_type, "cgroup2") != 0)
            continue;
        for (size_t i = 0; i < COUNT_OF(flags) && result == 0; i++)
            if (hasmntopt(&mount, flags[i]) != NULL)
                result = fsconfig(config, FSCONFIG_SET_FLAG, flags[i], NULL, 0) < 0 ? -errno : 0;
        break;
    }
    (void)endmntent(mounts);
    return result;
}

/* The mount lives as long as its descriptor, or a keeper's copy of it. */
static int mount_detached(int *ret_root)
{
    AUTO_FD config = fsopen("cgroup2", FSOPEN_CLOEXEC);
    if (config < 0)
        return -errno;
    int result = keep_options(config);
    if (result < 0)
        return result;
    if (fsconfig(config, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;

    int root =
        fsmount(config, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (root < 0)
        return -errno;
    *ret_root = root;
    return 0;
}

int cgroup_find_hierarchies(struct cgroups *cgroups, struct fault *fault)
{
    struct cgroup_hierarchy *v2 = &cgroups->hierarchies[0];

    *v2 = (struct cgroup_hierarchy){.root = -1, .path = -1, .is_v2 = true};
    cgroups->count = 1;
    int result = cgroup_lib_find_controllers(on_controller, cgroups);
    if (result == 0)
        result = add_mounts(cgroups);
    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "cannot find this host's cgroup hierarchies");
        return result;
    }

    if (v2->root < 0)
        result = mount_detached(&v2->root);
    if (result < 0)
        fault_set(fault, STATUS_FAILED, -result,
                  "no cgroup2 is mounted here and none can be (fsopen cgroup2)");
    return result;
}
