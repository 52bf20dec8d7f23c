/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysfilter_parts.h — what the files of the filter share: the table, and what is compiled.
 *
 * Shape    rules by name become, for each ABI, ranges of numbers with one verdict each; of those
 *          comes a search tree: 260 instructions where libseccomp's own program of the same rules
 *          has 1040. The kernel checks, tries for each number and translates them anew at every
 *          boot: 75 us and 195 us (medians of 200).
 * Units    numbers of system calls.
 * Errors   -E2BIG.
 * Owner    nobody: constants, and the caller's structs.
 * Context  pure.
 */
#ifndef DROVER_SYSFILTER_PARTS_H
#define DROVER_SYSFILTER_PARTS_H

#include <stddef.h>

#include "sysfilter.h"

#define SYSFILTER_RANGES_MAX 128

enum sysfilter_verdict {
    SYSFILTER_ENOSYS, /* as if this kernel had no such call: whoever asks goes another way */
    SYSFILTER_ALLOW,
    SYSFILTER_EPERM,  /* as the kernel answers a guest's root where it withholds something */
    SYSFILTER_SOCKET, /* by the family, its first argument */
};

struct sysfilter_rule {
    const char *call;
    enum sysfilter_verdict verdict;
    unsigned unless; /* SYSFILTER_*: any of these options allows it */
};
extern const struct sysfilter_rule sysfilter_rules[];
extern const size_t sysfilter_rule_count;
/* Families that socket(2) makes; the others: EAFNOSUPPORT. */
extern const int sysfilter_families[];
extern const size_t sysfilter_family_count;

/* What one ABI's numbers mean, from each range's first number to the next one's. */
struct sysfilter_abi {
    uint32_t arch; /* AUDIT_ARCH_* */
    struct {
        uint32_t first;
        enum sysfilter_verdict verdict;
    } ranges[SYSFILTER_RANGES_MAX]; /* the first begins at 0 */
    size_t range_count;
};

/* Calls of other ABIs than these are ENOSYS. */
int sysfilter_compile(const struct sysfilter_abi *abis, size_t abi_count,
                      struct sysfilter *ret_filter);

#endif
