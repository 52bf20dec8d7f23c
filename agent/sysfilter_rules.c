/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guests may not call. All other calls that this build's libseccomp knows are allowed; those
 * that it does not know are newer than what was looked at here, and ENOSYS.
 *
 * A guest in a user namespace is refused most of these by the kernel too; then the filter keeps it
 * from the code that would refuse it. What a privileged guest could do by them is the host's.
 */
#include <sys/socket.h>

#include "cleanup.h"
#include "sysfilter_parts.h"

#define NEVER 0

const struct sysfilter_rule sysfilter_rules[] = {
    /* The kernel itself is the host's: its modules, its successor. */
    {"init_module", SYSFILTER_EPERM, NEVER},
    {"finit_module", SYSFILTER_EPERM, NEVER},
    {"delete_module", SYSFILTER_EPERM, NEVER},
    {"kexec_load", SYSFILTER_EPERM, NEVER},
    {"kexec_file_load", SYSFILTER_EPERM, NEVER},
    /* Ports of devices. */
    {"ioperm", SYSFILTER_EPERM, NEVER},
    {"iopl", SYSFILTER_EPERM, NEVER},
    /* One for the whole host: swap, clock, accounting, log, quotas of the file system below. */
    {"swapon", SYSFILTER_EPERM, NEVER},
    {"swapoff", SYSFILTER_EPERM, NEVER},
    {"settimeofday", SYSFILTER_EPERM, NEVER},
    {"stime", SYSFILTER_EPERM, NEVER},
    {"clock_settime", SYSFILTER_EPERM, NEVER},
    {"clock_settime64", SYSFILTER_EPERM, NEVER},
    {"acct", SYSFILTER_EPERM, NEVER},
    {"syslog", SYSFILTER_EPERM, NEVER},
    {"quotactl", SYSFILTER_EPERM, NEVER},
    {"quotactl_fd", SYSFILTER_EPERM, NEVER},
    /* Opens a file by its inode's number, whatever part of a file system is mounted here. */
    {"open_by_handle_at", SYSFILTER_EPERM, NEVER},
    /* Programs in the kernel, and its counters: known for holes, and of no use to a guest, whom
     * the kernel refuses them. Container runtimes ask for device programs and heed the answer. */
    {"bpf", SYSFILTER_EPERM, SYSFILTER_NESTED},
    {"perf_event_open", SYSFILTER_EPERM, NEVER},
    /* Holds the kernel at a page fault for as long as a guest likes: the tool of races. */
    {"userfaultfd", SYSFILTER_EPERM, NEVER},
    /* The largest source of holes of late. libuv, liburing's users and databases do without it
     * when there is none. */
    {"io_uring_setup", SYSFILTER_ENOSYS, NEVER},
    {"io_uring_enter", SYSFILTER_ENOSYS, NEVER},
    {"io_uring_register", SYSFILTER_ENOSYS, NEVER},
    /* Keys are charged to the range's root and seldom needed; systemd goes without when there are
     * none, but fails units where single requests are refused. Docker and runc insist on them. */
    {"add_key", SYSFILTER_ENOSYS, SYSFILTER_NESTED},
    {"request_key", SYSFILTER_ENOSYS, SYSFILTER_NESTED},
    {"keyctl", SYSFILTER_ENOSYS, SYSFILTER_NESTED},
    /* Into other processes. Those are the guest's own, so that this is less code to attack, no
     * wall: /proc/PID/mem does the same. */
    {"ptrace", SYSFILTER_EPERM, SYSFILTER_PTRACE},
    {"process_vm_readv", SYSFILTER_EPERM, SYSFILTER_PTRACE},
    {"process_vm_writev", SYSFILTER_EPERM, SYSFILTER_PTRACE},
    {"kcmp", SYSFILTER_EPERM, SYSFILTER_PTRACE},
    {"pidfd_getfd", SYSFILTER_EPERM, SYSFILTER_PTRACE},
    /* Left over from kernels of old; nothing calls them. */
    {"uselib", SYSFILTER_ENOSYS, NEVER},
    {"sysfs", SYSFILTER_ENOSYS, NEVER},
    {"_sysctl", SYSFILTER_ENOSYS, NEVER},
    {"nfsservctl", SYSFILTER_ENOSYS, NEVER},
    {"lookup_dcookie", SYSFILTER_ENOSYS, NEVER},
    {"vm86", SYSFILTER_ENOSYS, NEVER},
    {"vm86old", SYSFILTER_ENOSYS, NEVER},
    /* See sysfilter_families. */
    {"socket", SYSFILTER_SOCKET, NEVER},
};
const size_t sysfilter_rule_count = COUNT_OF(sysfilter_rules);

/* AF_VSOCK reaches the host, and the host's host, past every network namespace; AF_ALG the kernel's
 * ciphers; each of the many others loads a module of the host's when it is first asked for.
 * LIMIT: 32-bit programs of x86 may also ask by socketcall(2), whose arguments no filter sees. */
const int sysfilter_families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_KEY};
const size_t sysfilter_family_count = COUNT_OF(sysfilter_families);
