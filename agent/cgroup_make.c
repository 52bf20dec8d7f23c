/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers' groups made. A start waits for this: each file is opened by one lookup from PATH, and
 * what a new group has anyway is not written.
 */
#include "cgroup_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "boundary.h"
#include "cleanup.h"
#include "ensure.h"
#include "sys.h"

/* Groups that a guest may have below its own: a busy systemd guest has 100 to 200, one with nested
 * containers some hundreds. Each costs the host about 10 KiB and, with controllers, as much again
 * for each of them; without a bound a guest could spend the host's memory. The rest is for exec's
 * leaves, so that a guest at its bound can still be entered. */
#define GUEST_DESCENDANTS_MAX "1024"
#define DESCENDANTS_MAX "1280"
/* Groups within groups. Each walk from a process to the root of all pays for each (charges of
 * memory, the scheduler's shares); systemd has five, and each layer of containers as many more. */
#define GUEST_DEPTH_MAX "32"

static int write_file(const struct cgroup *cgroup, int path, const char *file, const char *value,
                      struct fault *fault)
{
    char name[CGROUP_FILE_BYTES];

    (void)snprintf(name, sizeof(name), "%s/%s", cgroup->leaf, file);
    int result = sys_write_text_at(path, name, value);
    if (result < 0)
        fault_set(fault, STATUS_FAILED, -result, "%s/%s: cannot write %s", cgroup->path, name,
                  value);
    return result;
}

static int write_limits(const struct cgroup *cgroup, const struct cgroup_hierarchy *hierarchy,
                        const struct cgroup_limits *limits, struct fault *fault)
{
    struct cgroup_setting settings[CGROUP_SETTINGS_MAX];
    size_t count = cgroup_limits_list(hierarchy, limits, settings);
    int result = 0;

    for (size_t i = 0; result == 0 && i < count; i++)
        if (!settings[i].is_default)
            result =
                write_file(cgroup, hierarchy->path, settings[i].file, settings[i].value, fault);
    return result;
}

static int remove_leftover(const struct cgroup_hierarchy *hierarchy, const struct cgroup *cgroup,
                           struct fault *fault)
{
    int result = cgroup_tree_check_empty(hierarchy, cgroup->leaf);

    if (result == 0)
        result = cgroup_tree_remove(hierarchy->path, cgroup->leaf);
    return result < 0 ? cgroup_fail_file(cgroup, "", -result, fault) : 0;
}

/* PATH may have gone (a keeper that ended) or a group of this name be left empty (an agent that was
 * killed in between): both are put right, once. */
static int make_directory(struct cgroups *cgroups, size_t index, const struct cgroup *cgroup,
                          struct fault *fault)
{
    const struct cgroup_hierarchy *hierarchy = &cgroups->hierarchies[index];
    int result = 0;

    if (mkdirat(hierarchy->path, cgroup->leaf, 0755) == 0)
        return 0;
    if (errno == ENOENT || errno == ENODEV)
        result = cgroup_path_open(cgroups, index, fault);
    else if (errno == EEXIST)
        result = remove_leftover(hierarchy, cgroup, fault);
    else
        return cgroup_fail_file(cgroup, "", errno, fault);
    if (result == 0 && mkdirat(hierarchy->path, cgroup->leaf, 0755) < 0)
        result = cgroup_fail_file(cgroup, "", errno, fault);
    return result;
}

/* "+memory +pids" of "memory pids": what PATH has on, the guest's groups get too. */
static int enable_controllers(const struct cgroup *cgroup, const struct cgroup_hierarchy *v2,
                              struct fault *fault)
{
    char text[2 * sizeof(v2->controllers)];
    size_t length = 0;
    bool is_start = true;

    for (const char *from = v2->controllers; *from != '\0'; from++) {
        if (is_start)
            text[length++] = '+';
        is_start = *from == ' ';
        text[length++] = *from;
    }
    text[length] = '\0';
    if (length == 0)
        return 0;
    return write_file(cgroup, v2->path, "cgroup.subtree_control", text, fault);
}

/* All that the kernel lets the owner of a subtree change (cgroup-v2.rst, Model of Delegation). */
static const char *const delegated_v2[] = {"guest", "guest/cgroup.procs", "guest/cgroup.threads",
                                           "guest/cgroup.subtree_control"};
/* Not notify_on_release: whom the host lets know is the host's. */
static const char *const delegated_v1[] = {"", "cgroup.procs", "tasks"};

static int delegate(const struct cgroup *cgroup, const struct cgroup_hierarchy *hierarchy,
                    uid_t owner, struct fault *fault)
{
    const char *const *files = hierarchy->is_v2 ? delegated_v2 : delegated_v1;
    size_t count = hierarchy->is_v2 ? COUNT_OF(delegated_v2) : COUNT_OF(delegated_v1);
    char name[CGROUP_FILE_BYTES];

    for (size_t i = 0; owner != 0 && i < count; i++) {
        (void)snprintf(name, sizeof(name), "%s/%s", cgroup->leaf, files[i]);
        if (fchownat(hierarchy->path, name, owner, owner, AT_SYMLINK_NOFOLLOW) < 0)
            return cgroup_fail_file(cgroup, files[i], errno, fault);
    }
    return 0;
}

static int fill_v2(const struct cgroup *cgroup, const struct cgroup_hierarchy *v2, uid_t owner,
                   struct fault *fault)
{
    char name[CGROUP_FILE_BYTES];

    int result = write_file(cgroup, v2->path, "cgroup.max.descendants", DESCENDANTS_MAX, fault);
    if (result == 0)
        result = enable_controllers(cgroup, v2, fault);
    if (result < 0)
        return result;
    (void)snprintf(name, sizeof(name), "%s/guest", cgroup->leaf);
    if (mkdirat(v2->path, name, 0755) < 0)
        return cgroup_fail_file(cgroup, "guest", errno, fault);
    result =
        write_file(cgroup, v2->path, "guest/cgroup.max.descendants", GUEST_DESCENDANTS_MAX, fault);
    if (result == 0)
        result = write_file(cgroup, v2->path, "guest/cgroup.max.depth", GUEST_DEPTH_MAX, fault);
    return result < 0 ? result : delegate(cgroup, v2, owner, fault);
}

/* Before anybody is in it. ALLOW_MULTI: programs of groups above and below hold beside ours, and a
 * guest that may attach its own cannot take ours away. */
static int attach_devices(const struct cgroup *cgroup, int program, struct fault *fault)
{
    union bpf_attr attr;

    if (program == 0)
        return 0;
    memset(&attr, 0, sizeof(attr));
    attr.target_fd = (uint32_t)cgroup->dir;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) == 0)
        return 0;
    fault_set(fault, STATUS_FAILED, errno, "%s/%s: cannot attach the program of its devices",
              cgroup->path, cgroup->leaf);
    return -fault->error;
}

static void unmake(struct cgroups *cgroups, const char *leaf, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cgroups->hierarchies[i].path >= 0)
            (void)cgroup_tree_remove(cgroups->hierarchies[i].path, leaf); /* nobody was in it */
}

int cgroup_make(struct cgroups *cgroups, const struct cgroup_request *request,
                struct cgroup *ret_cgroup, struct fault *fault)
{
    struct cgroup cgroup;
    size_t made = 0;
    int result = cgroup_name(cgroups, request->leaf, &cgroup, fault);

    for (; result == 0 && made < cgroups->count; made++) {
        const struct cgroup_hierarchy *hierarchy = &cgroups->hierarchies[made];

        if (hierarchy->path < 0 || hierarchy->is_systemd)
            continue;
        result = make_directory(cgroups, made, &cgroup, fault);
        if (result < 0)
            break; /* this one is not ours to remove */
        if (hierarchy->is_v2)
            result = fill_v2(&cgroup, hierarchy, request->owner, fault);
        /* Then: the kernel charges guest/ to the group that it is made in. */
        if (result == 0)
            result = write_limits(&cgroup, hierarchy, request->limits, fault);
        boundary(cgroup_part);
    }
    if (result == 0)
        result = cgroup_open_files(cgroups, &cgroup, fault);
    if (result == 0)
        result = attach_devices(&cgroup, request->devices, fault);
    if (result < 0) {
        cgroup_close(&cgroup);
        unmake(cgroups, request->leaf, made);
        return result;
    }
    ENSURE(cgroup.guest >= 0);
    *ret_cgroup = cgroup;
    return 0;
}

int cgroup_add_systemd(struct cgroups *cgroups, uid_t owner, struct cgroup *cgroup,
                       struct fault *fault)
{
    size_t at = 0;

    while (at < cgroups->count && !cgroups->hierarchies[at].is_systemd)
        at++;
    ENSURE(at < cgroups->count);
    const struct cgroup_hierarchy *hierarchy = &cgroups->hierarchies[at];
    int result = make_directory(cgroups, at, cgroup, fault);
    if (result < 0)
        return result;
    result = delegate(cgroup, hierarchy, owner, fault);
    if (result == 0)
        result = cgroup_open_tasks(cgroup, hierarchy->path, fault);
    if (result < 0)
        (void)cgroup_tree_remove(hierarchy->path, cgroup->leaf); /* nobody was in it */
    return result;
}

/* ---- leaves of commands ---- */

static void name_exec(uint64_t number, char name[32])
{
    (void)snprintf(name, 32, "exec.%" PRIu64, number);
}

int cgroup_exec_make(const struct cgroup *cgroup, uint64_t number, struct cgroup_exec *ret_exec,
                     struct fault *fault)
{
    char name[32];

    name_exec(number, name);
    if (mkdirat(cgroup->dir, name, 0755) < 0)
        return cgroup_fail_file(cgroup, name, errno, fault);
    AUTO_FD dir = openat(cgroup->dir, name, CGROUP_DIR_FLAGS);
    AUTO_FD kill = dir < 0 ? -1 : openat(dir, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (kill < 0) {
        int error = errno;

        (void)unlinkat(cgroup->dir, name, AT_REMOVEDIR);
        return cgroup_fail_file(cgroup, name, error, fault);
    }
    *ret_exec = (struct cgroup_exec){.dir = take_fd(&dir), .kill = take_fd(&kill)};
    return 0;
}

int cgroup_exec_remove(const struct cgroup *cgroup, uint64_t number)
{
    char name[32];

    name_exec(number, name);
    return cgroup_tree_remove(cgroup->dir, name);
}

struct sweep {
    uint64_t below;
    uint32_t left;
};

/* Whom a keeper that was killed left in it belongs to no session any more. */
static void kill_exec(int group, const char *name)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/cgroup.kill", name);
    (void)sys_write_text_at(group, path, "1"); /* on failure it stays, and is counted */
}

static int sweep_exec(int group, const char *name, void *context)
{
    struct sweep *sweep = context;
    uint64_t number;

    if (sscanf(name, "exec.%" SCNu64, &number) != 1 || number >= sweep->below)
        return 0;
    if (cgroup_tree_remove(group, name) == 0)
        return 0;
    kill_exec(group, name);
    sweep->left++;
    return 0;
}

uint32_t cgroup_exec_sweep(const struct cgroup *cgroup, uint64_t below)
{
    struct sweep sweep = {.below = below};

    (void)cgroup_tree_find_children(cgroup->dir, sweep_exec, &sweep); /* unread: none are known */
    return sweep.left;
}
