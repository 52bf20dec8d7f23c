/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges to classic BPF. Which ABI, then a binary search over the beginnings of the ranges:
 *
 *     jge MIDDLE, upper half       (the lower half follows)
 *
 * down to a range alone, which is its verdict. The upper halves that still have to be written are
 * kept on a stack, with the jump that leads there.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>

#include "ensure.h"
#include "sysfilter_parts.h"

#define DEPTH_MAX 16 /* of halves: more than the binary logarithm of SYSFILTER_RANGES_MAX */
#define JUMP_MAX 255 /* of a conditional jump */

struct half {
    size_t first, last; /* of ranges */
    uint32_t jump;      /* the instruction that leads here */
};

static void emit(struct sysfilter *filter, struct sock_filter instruction)
{
    if (filter->count < SYSFILTER_INSTRUCTIONS_MAX)
        filter->filter[filter->count] = instruction;
    filter->count++; /* beyond the room: found at the end */
}

static void emit_error(struct sysfilter *filter, int error)
{
    emit(filter, (struct sock_filter)BPF_STMT(
                     BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA)));
}

static void emit_load(struct sysfilter *filter, size_t offset)
{
    emit(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

/* The kernel takes the family as an int: the lower half of its register. */
static void emit_socket(struct sysfilter *filter)
{
    size_t low = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : sizeof(uint32_t);

    emit_load(filter, offsetof(struct seccomp_data, args) + low);
    for (size_t i = 0; i < sysfilter_family_count; i++)
        emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                  (uint32_t)sysfilter_families[i],
                                                  (uint8_t)(sysfilter_family_count - i), 0));
    emit_error(filter, EAFNOSUPPORT);
    emit(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

static void emit_verdict(struct sysfilter *filter, enum sysfilter_verdict verdict)
{
    switch (verdict) {
    case SYSFILTER_ALLOW:
        emit(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
        return;
    case SYSFILTER_EPERM:
        emit_error(filter, EPERM);
        return;
    case SYSFILTER_ENOSYS:
        emit_error(filter, ENOSYS);
        return;
    case SYSFILTER_SOCKET:
        emit_socket(filter);
        return;
    }
}

/* Down the lower halves to one range; the upper halves are put on the stack. */
static size_t emit_path(const struct sysfilter_abi *abi, struct sysfilter *filter, struct half half,
                        struct half *stack, size_t depth)
{
    while (half.first < half.last) {
        size_t middle = (half.first + half.last + 1) / 2;

        ENSURE(depth < DEPTH_MAX);
        stack[depth++] = (struct half){.first = middle, .last = half.last, .jump = filter->count};
        emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K,
                                                  abi->ranges[middle].first, 0, 0));
        half.last = middle - 1;
    }
    emit_verdict(filter, abi->ranges[half.first].verdict);
    return depth;
}

static int emit_abi(const struct sysfilter_abi *abi, struct sysfilter *filter)
{
    struct half stack[DEPTH_MAX];

    ENSURE(abi->range_count > 0);
    ENSURE(abi->ranges[0].first == 0);
    emit_load(filter, offsetof(struct seccomp_data, nr));
    size_t depth = emit_path(abi, filter, (struct half){.last = abi->range_count - 1}, stack, 0);
    while (depth > 0) {
        struct half half = stack[--depth];
        uint32_t distance = filter->count - half.jump - 1;

        if (distance > JUMP_MAX || filter->count > SYSFILTER_INSTRUCTIONS_MAX)
            return -E2BIG;
        filter->filter[half.jump].jt = (uint8_t)distance;
        depth = emit_path(abi, filter, half, stack, depth);
    }
    return filter->count > SYSFILTER_INSTRUCTIONS_MAX ? -E2BIG : 0;
}

int sysfilter_compile(const struct sysfilter_abi *abis, size_t abi_count,
                      struct sysfilter *ret_filter)
{
    ret_filter->count = 0;
    emit_load(ret_filter, offsetof(struct seccomp_data, arch));
    for (size_t i = 0; i < abi_count; i++) {
        uint32_t jump = ret_filter->count + 1;

        emit(ret_filter,
             (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, abis[i].arch, 1, 0));
        emit(ret_filter, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
        int result = emit_abi(&abis[i], ret_filter);
        if (result < 0)
            return result;
        ret_filter->filter[jump].k = ret_filter->count - jump - 1; /* not this one: to the next */
    }
    emit_error(ret_filter, ENOSYS);
    return ret_filter->count > SYSFILTER_INSTRUCTIONS_MAX ? -E2BIG : 0;
}
