/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids, capabilities and the system call filter. The raw calls: the C library's would look for
 * threads to change with us.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stage_steps.h"

#define CAPS_MAX 64

static int set_ids(uint32_t uid, uint32_t gid, const uint32_t *groups, size_t group_count)
{
    if (syscall(SYS_setgroups, group_count, groups) < 0 ||
        syscall(SYS_setresgid, gid, gid, gid) < 0 || syscall(SYS_setresuid, uid, uid, uid) < 0)
        return -errno;
    /* fs.suid_dumpable may say otherwise, and the guest could attach to us until execve. */
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

int ids_become_root(void)
{
    return set_ids(0, 0, NULL, 0);
}

int ids_become(const struct kp_header *plan)
{
    const char *groups = (const char *)plan + plan->groups;
    return set_ids(plan->uid, plan->gid, (const uint32_t *)(const void *)groups, plan->group_count);
}

/* Without a user namespace of our own, execve by root would add the inheritable set of whoever
 * started the keeper to what the bounding set allows. */
static int clear_inheritable(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    data[0].inheritable = 0;
    data[1].inheritable = 0;
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int ids_drop_capabilities(uint64_t caps_keep)
{
    if (prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) < 0)
        return -errno;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    int rc = clear_inheritable();
    if (rc < 0)
        return rc;
    for (unsigned cap = 0; cap < CAPS_MAX; cap++) {
        if ((caps_keep >> cap & 1) != 0 || prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
            continue;
        return errno == EINVAL ? 0 : -errno; /* EINVAL: behind the kernel's last one */
    }
    return 0;
}

int ids_filter(const struct kp_header *plan)
{
    if (plan->seccomp_count == 0)
        return 0;
    char *filter = (char *)(uintptr_t)plan + plan->seccomp;
    struct sock_fprog program = {
        .len = (unsigned short)plan->seccomp_count,
        .filter = (struct sock_filter *)(void *)filter,
    };
    /* Privileged in our user namespace, so no_new_privs is not needed: guests have setuid files. */
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
