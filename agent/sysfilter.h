/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysfilter.h — which system calls a guest may make: seccomp programs, compiled once at start.
 *
 * Shape    one program for each set of options that loosen it; each boot and each command in a
 *          guest carries a copy in its plan. What is refused, and why, is the table of
 *          sysfilter_rules.c; libseccomp says which calls there are and their numbers.
 * Units    instructions of classic BPF.
 * Errors   -errno: an architecture that libseccomp does not know, or a table that does not fit.
 * Owner    struct agent; never changed after sysfilters_open(), so any thread may read it.
 * Context  sysfilters_open() at start, some milliseconds. Source: seccomp(2),
 *          seccomp_syscall_resolve_num_arch(3), Documentation/userspace-api/seccomp_filter.rst.
 *
 * A command in a guest has the guest's filter: its root could take over one that had none.
 */
#ifndef DROVER_SYSFILTER_H
#define DROVER_SYSFILTER_H

#include <linux/filter.h>
#include <stdint.h>

struct config;

#define SYSFILTER_INSTRUCTIONS_MAX 512
/* What loosens it. */
#define SYSFILTER_NESTED (1u << 0) /* containers in the guest */
#define SYSFILTER_PTRACE (1u << 1) /* debuggers in the guest */
#define SYSFILTER_SETS 4

struct sysfilter {
    struct sock_filter filter[SYSFILTER_INSTRUCTIONS_MAX];
    uint32_t count;
};

struct sysfilters {
    struct sysfilter sets[SYSFILTER_SETS]; /* by SYSFILTER_* */
};

int sysfilters_open(struct sysfilters *filters);

/* The one that a container of this configuration gets. */
const struct sysfilter *sysfilters_get(const struct sysfilters *filters,
                                       const struct config *config);

#endif
