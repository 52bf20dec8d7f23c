/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/capability.h>
#include <sys/resource.h>

#include "cleanup.h"
#include "plan.h"

#define BIT(capability) (UINT64_C(1) << (capability))

/* What an operating system needs to boot and to administer itself. Left out, for they reach the
 * kernel of all: SYS_MODULE, SYS_RAWIO, SYS_TIME, SYS_PACCT, SYSLOG, MAC_*, WAKE_ALARM,
 * BLOCK_SUSPEND, AUDIT_READ, PERFMON; and whatever a later kernel invents. */
#define CAPS_GUEST                                                                                 \
    (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) |         \
     BIT(CAP_FSETID) | BIT(CAP_KILL) | BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETPCAP) |      \
     BIT(CAP_LINUX_IMMUTABLE) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_NET_BROADCAST) |               \
     BIT(CAP_NET_ADMIN) | BIT(CAP_NET_RAW) | BIT(CAP_IPC_LOCK) | BIT(CAP_IPC_OWNER) |              \
     BIT(CAP_SYS_CHROOT) | BIT(CAP_SYS_PTRACE) | BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_BOOT) |          \
     BIT(CAP_SYS_NICE) | BIT(CAP_SYS_RESOURCE) | BIT(CAP_SYS_TTY_CONFIG) | BIT(CAP_MKNOD) |        \
     BIT(CAP_LEASE) | BIT(CAP_AUDIT_WRITE) | BIT(CAP_AUDIT_CONTROL) | BIT(CAP_SETFCAP) |           \
     BIT(CAP_BPF) | BIT(CAP_CHECKPOINT_RESTORE))

void plan_add_limits(struct plan *plan, bool is_privileged)
{
    static const struct {
        int resource;
        rlim_t soft, hard;
    } rows[] = {
        {RLIMIT_NOFILE, 1024, 524288}, /* soft: select(2) in old daemons; hard: as systemd's */
        {RLIMIT_STACK, 8 << 20, RLIM_INFINITY},
        {RLIMIT_CORE, 0, RLIM_INFINITY},
        {RLIMIT_MEMLOCK, 8 << 20, 8 << 20},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rlimit own;
        if (getrlimit((__rlimit_resource_t)rows[i].resource, &own) < 0)
            continue; /* a resource this kernel does not know limits nothing */
        rlim_t hard = rows[i].hard < own.rlim_max ? rows[i].hard : own.rlim_max;
        rlim_t soft = rows[i].soft < hard ? rows[i].soft : hard;
        plan_add_rlimit(plan, (uint32_t)rows[i].resource, soft, hard);
    }
    plan->header.caps_keep = is_privileged ? KP_CAPS_ALL : CAPS_GUEST;
}
