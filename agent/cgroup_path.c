/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PATH in each hierarchy: made, ours by lock and ledger, with the controllers on that the groups in
 * it need. A keeper that ends removes PATH when it is empty, at any moment, also after we opened
 * it; so it is made again wherever it is found gone.
 */
#include "cgroup_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"
#include "ensure.h"
#include "sys.h"

#define LEDGER_XATTR "trusted.drover.ledger"
#define CLAIMS_MAX 8 /* of a PATH that vanishes under us; a keeper ends once */

/* What a guest can use: those that systemd delegates. The others (hugetlb, rdma, misc…) would cost
 * memory and time for each group of each guest and limit nothing. */
static const char *const wanted[] = {"memory", "pids", "cpu", "cpuset", "io"};

/* ---- ours alone ---- */

/* Whose flock(2) it is that /proc/locks shows on this inode; 0: nobody in our pid namespace. */
static pid_t find_holder(int fd)
{
    struct stat stat;
    char line[256];
    pid_t holder = 0;
    FILE *locks = fopen("/proc/locks", "re");

    if (locks == NULL || fstat(fd, &stat) < 0)
        stat.st_ino = 0;
    while (locks != NULL && holder == 0 && fgets(line, sizeof(line), locks) != NULL) {
        unsigned major_number;
        unsigned minor_number;
        uint64_t inode;
        int pid;

        if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%" SCNu64, &pid, &major_number, &minor_number,
                   &inode) == 4 &&
            inode == stat.st_ino && major_number == major(stat.st_dev) &&
            minor_number == minor(stat.st_dev))
            holder = pid;
    }
    if (locks != NULL)
        (void)fclose(locks);
    return holder;
}

static int lock_path(const struct cgroups *cgroups, int fd, struct fault *fault)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK) {
        fault_set(fault, STATUS_FAILED, errno, "cannot lock cgroup %s", cgroups->path);
        return -fault->error;
    }
    pid_t holder = find_holder(fd);
    if (holder == 0)
        fault_set(fault, STATUS_BUSY, 0,
                  "cgroup %s is held by a process that /proc/locks does "
                  "not name",
                  cgroups->path);
    else
        fault_set(fault, STATUS_BUSY, 0, "cgroup %s is held by process %d", cgroups->path,
                  (int64_t)holder);
    fault_hint(fault, "one agent to a cgroup: stop that one, or use another --cgroup");
    return -EBUSY;
}

static int check_ledger(const struct cgroups *cgroups, int fd, struct fault *fault)
{
    char text[sizeof(cgroups->ledger)] = "";
    ssize_t length = fgetxattr(fd, LEDGER_XATTR, text, sizeof(text) - 1);

    if (length < 0 && errno == ENODATA) {
        if (fsetxattr(fd, LEDGER_XATTR, cgroups->ledger, strlen(cgroups->ledger), XATTR_CREATE) ==
            0)
            return 0;
        length = -1;
    }
    if (length < 0 && errno != ERANGE) {
        fault_set(fault, STATUS_FAILED, errno, "cannot mark cgroup %s (%s)", cgroups->path,
                  LEDGER_XATTR);
        return -fault->error;
    }
    if (length >= 0 && strcmp(text, cgroups->ledger) == 0)
        return 0;
    fault_set(fault, STATUS_BUSY, 0, "cgroup %s belongs to ledger %s, not to %s", cgroups->path,
              length < 0 ? "(longer)" : text, cgroups->ledger);
    fault_hint(fault, "use that state directory, or another --cgroup; an empty leftover: rmdir it");
    return -EBUSY;
}

/* ---- making it ---- */

/* A new cpuset group of v1 has no processors and memory nodes, and nobody can enter it: fill PATH,
 * and have the kernel fill the groups made in it. */
static int inherit_cpuset(int parent, int group)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    char text[1024];

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        int length = sys_read_text_at(group, files[i], text, sizeof(text));

        if (length < 0 || length > 1) { /* "\n": empty */
            if (length < 0)
                return length;
            continue;
        }
        length = sys_read_text_at(parent, files[i], text, sizeof(text));
        int result = length < 0 ? length : sys_write_text_at(group, files[i], text);
        if (result < 0)
            return result;
    }
    return sys_write_text_at(group, "cgroup.clone_children", "1");
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = text; (at = strstr(at, word)) != NULL; at += length)
        if ((at == text || at[-1] == ' ') && strchr(" \n", at[length]) != NULL)
            return true; /* strchr finds the NUL too */
    return false;
}

/* One write each: one that cannot be switched on (cpu, while the host runs real-time processes)
 * must not take the others with it. What is off then is told by what PATH's children have. */
static int enable_controllers(int group)
{
    char available[512];
    char enabled[512];
    int result = sys_read_text_at(group, "cgroup.controllers", available, sizeof(available));

    if (result >= 0)
        result = sys_read_text_at(group, "cgroup.subtree_control", enabled, sizeof(enabled));
    if (result < 0)
        return result;
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        char text[16];

        if (!has_word(available, wanted[i]) || has_word(enabled, wanted[i]))
            continue;
        (void)snprintf(text, sizeof(text), "+%s", wanted[i]);
        (void)sys_write_text_at(group, "cgroup.subtree_control", text); /* read back later */
    }
    return 0;
}

static int set_up(const struct cgroup_hierarchy *hierarchy, int parent, int group)
{
    if (hierarchy->is_v2)
        return enable_controllers(parent);
    return hierarchy->has_cpuset ? inherit_cpuset(parent, group) : 0;
}

/* Make each directory of PATH; returns the last. */
static int make_path(const struct cgroups *cgroups, const struct cgroup_hierarchy *hierarchy)
{
    char name[sizeof(cgroups->path)];
    AUTO_FD group = fcntl(hierarchy->root, F_DUPFD_CLOEXEC, 3);

    if (group < 0)
        return -errno;
    for (const char *rest = cgroups->path; *rest != '\0';) {
        size_t length = strcspn(rest, "/");

        (void)snprintf(name, sizeof(name), "%.*s", (int)length, rest);
        if (mkdirat(group, name, 0755) < 0 && errno != EEXIST)
            return -errno;
        AUTO_FD child = openat(group, name, CGROUP_DIR_FLAGS);
        if (child < 0)
            return -errno;
        int result = set_up(hierarchy, group, child);
        if (result < 0)
            return result;
        (void)close(group);
        group = take_fd(&child);
        rest += length + (rest[length] == '/');
    }
    return take_fd(&group);
}

/* Did nobody remove it since we opened it? */
static bool is_in_place(const struct cgroups *cgroups, int root, int group)
{
    struct stat held;
    struct stat named;

    return fstat(group, &held) == 0 && fstatat(root, cgroups->path, &named, 0) == 0 &&
           held.st_ino == named.st_ino;
}

/* v2: what the groups in PATH will have. */
static int read_controllers(struct cgroup_hierarchy *hierarchy, int group)
{
    char *text = hierarchy->controllers;

    int result = enable_controllers(group);
    if (result == 0)
        result =
            sys_read_text_at(group, "cgroup.subtree_control", text, sizeof(hierarchy->controllers));
    if (result < 0)
        return result;
    text[strcspn(text, "\n")] = '\0';
    hierarchy->has_memory = has_word(text, "memory");
    hierarchy->has_pids = has_word(text, "pids");
    hierarchy->has_cpu = has_word(text, "cpu");
    hierarchy->has_cpuset = has_word(text, "cpuset");
    return 0;
}

static int fail(const struct cgroups *cgroups, const struct cgroup_hierarchy *hierarchy, int error,
                struct fault *fault)
{
    fault_set(fault, STATUS_FAILED, error, "cannot make cgroup %s in %s", cgroups->path,
              cgroup_hierarchy_name(hierarchy));
    return -error;
}

static int make_claimed(const struct cgroups *cgroups, const struct cgroup_hierarchy *hierarchy,
                        struct fault *fault)
{
    for (unsigned i = 0; i < CLAIMS_MAX; i++) {
        AUTO_FD group = make_path(cgroups, hierarchy);

        if (group == -ENOENT || group == -ENODEV)
            continue; /* removed between two steps of ours */
        if (group < 0)
            return fail(cgroups, hierarchy, -group, fault);
        if (!hierarchy->is_v2)
            return take_fd(&group);
        int result = lock_path(cgroups, group, fault);
        if (result < 0)
            return result;
        if (!is_in_place(cgroups, hierarchy->root, group))
            continue;
        result = check_ledger(cgroups, group, fault);
        return result < 0 ? result : take_fd(&group);
    }
    return fail(cgroups, hierarchy, EAGAIN, fault);
}

int cgroup_path_open(struct cgroups *cgroups, size_t index, struct fault *fault)
{
    struct cgroup_hierarchy *hierarchy = &cgroups->hierarchies[index];
    bool is_new = hierarchy->path < 0;

    ENSURE(hierarchy->root >= 0);
    AUTO_FD group = make_claimed(cgroups, hierarchy, fault);
    if (group < 0)
        return group;
    if (!is_new) {
        /* What a hierarchy has was read once, and is read by other threads now. */
        int enabled = hierarchy->is_v2 ? enable_controllers(group) : 0;

        if (enabled < 0 || dup3(group, hierarchy->path, O_CLOEXEC) < 0)
            return fail(cgroups, hierarchy, enabled < 0 ? -enabled : errno, fault);
        return 0;
    }

    int result = hierarchy->is_v2 ? read_controllers(hierarchy, group) : 0;
    if (result < 0)
        return fail(cgroups, hierarchy, -result, fault);
    hierarchy->has_swap =
        hierarchy->has_memory &&
        faccessat(group, hierarchy->is_v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes", F_OK,
                  0) == 0;
    hierarchy->path = take_fd(&group);
    return 0;
}
