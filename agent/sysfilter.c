/* SPDX-License-Identifier: Apache-2.0 */
#include "sysfilter.h"

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "message.h"
#include "sysfilter_parts.h"

#define NUMBERS_MAX 512 /* above what any kernel has so far; beyond it: unknown, and so ENOSYS */
#define ABIS_MAX 2

/* The ABI of 32-bit programs beside a native one. x32 programs of x86-64 are told from others by a
 * bit in the number, which makes it one that nobody knows: like most kernels we have none of it. */
static const struct {
    uint32_t native, compat;
} pairs[] = {
    {SCMP_ARCH_X86_64, SCMP_ARCH_X86},
    {SCMP_ARCH_AARCH64, SCMP_ARCH_ARM},
};

/* ARM has calls of its own beyond all numbers (breakpoint, cacheflush, set_tls…). */
#define ARM_PRIVATE_FIRST 0x0f0000u
#define ARM_PRIVATE_COUNT 16u

/* Of one ABI: which rule is about a number. */
struct calls {
    uint32_t arch;
    uint8_t rule[NUMBERS_MAX]; /* RULE_*, or an index of sysfilter_rules, plus RULE_FIRST */
};
enum { RULE_UNKNOWN, RULE_NONE, RULE_FIRST };

static uint8_t find_rule(uint32_t arch, uint32_t number)
{
    AUTO_FREE char *name = seccomp_syscall_resolve_num_arch(arch, (int)number);

    if (name == NULL)
        return RULE_UNKNOWN;
    for (size_t i = 0; i < sysfilter_rule_count; i++)
        if (strcmp(sysfilter_rules[i].call, name) == 0)
            return (uint8_t)(RULE_FIRST + i);
    return RULE_NONE;
}

static void calls_find(struct calls *calls, uint32_t arch)
{
    calls->arch = arch;
    for (uint32_t number = 0; number < NUMBERS_MAX; number++)
        calls->rule[number] = find_rule(arch, number);
}

static enum sysfilter_verdict verdict_of(uint8_t rule, unsigned set)
{
    if (rule == RULE_UNKNOWN)
        return SYSFILTER_ENOSYS;
    if (rule == RULE_NONE || (sysfilter_rules[rule - RULE_FIRST].unless & set) != 0)
        return SYSFILTER_ALLOW;
    return sysfilter_rules[rule - RULE_FIRST].verdict;
}

static bool add_range(struct sysfilter_abi *abi, uint32_t first, enum sysfilter_verdict verdict)
{
    if (abi->range_count > 0 && abi->ranges[abi->range_count - 1].verdict == verdict)
        return true;
    if (abi->range_count == SYSFILTER_RANGES_MAX)
        return false;
    abi->ranges[abi->range_count].first = first;
    abi->ranges[abi->range_count++].verdict = verdict;
    return true;
}

static int make_ranges(const struct calls *calls, unsigned set, struct sysfilter_abi *abi)
{
    bool has_room = true;

    abi->arch = calls->arch; /* SCMP_ARCH_* are the kernel's AUDIT_ARCH_* */
    abi->range_count = 0;
    for (uint32_t number = 0; number < NUMBERS_MAX && has_room; number++)
        has_room = add_range(abi, number, verdict_of(calls->rule[number], set));
    has_room = has_room && add_range(abi, NUMBERS_MAX, SYSFILTER_ENOSYS);
    if (has_room && calls->arch == SCMP_ARCH_ARM)
        has_room = add_range(abi, ARM_PRIVATE_FIRST, SYSFILTER_ALLOW) &&
                   add_range(abi, ARM_PRIVATE_FIRST + ARM_PRIVATE_COUNT, SYSFILTER_ENOSYS);
    return has_room ? 0 : -E2BIG;
}

static int compile_sets(struct sysfilters *filters, const struct calls *calls, size_t abi_count)
{
    struct sysfilter_abi abis[ABIS_MAX];
    int result = 0;

    for (unsigned set = 0; set < SYSFILTER_SETS && result == 0; set++) {
        for (size_t i = 0; i < abi_count && result == 0; i++)
            result = make_ranges(&calls[i], set, &abis[i]);
        if (result == 0)
            result = sysfilter_compile(abis, abi_count, &filters->sets[set]);
    }
    return result;
}

int sysfilters_open(struct sysfilters *filters)
{
    struct calls calls[ABIS_MAX];
    uint32_t native = seccomp_arch_native();
    size_t abi_count = 1;

    calls_find(&calls[0], native);
    if (calls[0].rule[0] == RULE_UNKNOWN)
        return -EOPNOTSUPP; /* one whose numbers do not begin at 0 (MIPS) */
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        if (pairs[i].native == native)
            calls_find(&calls[abi_count++], pairs[i].compat);
    return compile_sets(filters, calls, abi_count);
}

const struct sysfilter *sysfilters_get(const struct sysfilters *filters,
                                       const struct config *config)
{
    unsigned set =
        (config->is_nested ? SYSFILTER_NESTED : 0) | (config->has_ptrace ? SYSFILTER_PTRACE : 0);

    return &filters->sets[set];
}
