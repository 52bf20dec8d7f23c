/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper_plan.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>

#include "keeper_wire.h"

#define KNOWN_FLAGS                                                                                \
    (KP_GO_AT_ONCE | KP_USERNS | KP_NEWNET | KP_TTY | KP_JOIN_USER | KP_JOIN_PID | KP_JOIN_MNT |   \
     KP_JOIN_NET | KP_JOIN_UTS | KP_JOIN_IPC | KP_JOIN_CGROUP | KP_JOIN_TIME | KP_NEWTIME |        \
     KP_FIND_IN_PATH | KP_PTY | KP_PROBE_FILE | KP_PROBE_TCP | KP_RELAY)

struct block {
    const char *start;
    uint32_t size_bytes;
    uint32_t last_nul; /* offset; 0: there is none, so there is no string */
};

/* A table lies behind the header, aligned, within the block. An empty one may have any offset. */
static bool is_table(const struct block *block, uint32_t offset, uint32_t count, size_t entry_bytes,
                     size_t alignment)
{
    if (count == 0)
        return true;
    if (offset < sizeof(struct kp_header) || offset > block->size_bytes || offset % alignment != 0)
        return false;
    return count <= (block->size_bytes - offset) / entry_bytes;
}

/* Whatever lies before the last NUL of the block ends within it: no string needs to be walked. */
static bool is_string(const struct block *block, uint32_t offset)
{
    return offset >= sizeof(struct kp_header) && offset <= block->last_nul;
}

static bool is_string_or_absent(const struct block *block, uint32_t offset)
{
    return offset == 0 || is_string(block, offset);
}

static bool are_strings(const struct block *block, uint32_t offset, uint32_t count,
                        uint32_t count_max)
{
    if (count > count_max || !is_table(block, offset, count, sizeof(uint32_t), sizeof(uint32_t)))
        return false;
    const uint32_t *strings = (const uint32_t *)(const void *)(block->start + offset);
    for (uint32_t i = 0; i < count; i++)
        if (!is_string(block, strings[i]))
            return false;
    return true;
}

static bool is_mount(const struct block *block, const struct kp_mount *mount)
{
    if (mount->fd_index < -1 || mount->fd_index >= KW_FDS_MAX || mount->is_file > 1 ||
        mount->is_optional > 1)
        return false;
    if (!is_string(block, mount->target) || !is_string_or_absent(block, mount->options))
        return false;

    if (mount->kind < KP_ATTACH || mount->kind > KP_CGROUP1)
        return false;
    switch ((enum kp_kind)mount->kind) {
    case KP_ATTACH:
        return mount->fd_index >= 0;
    case KP_SYMLINK:
        return mount->options != 0;
    case KP_MKDIR:
        return mount->flags <= 07777;
    case KP_TMPFS:
    case KP_PROC:
    case KP_SYSFS:
    case KP_CGROUP2:
    case KP_CGROUP1:
    case KP_DEVPTS:
    case KP_MQUEUE:
    case KP_CONSOLE:
    case KP_MASK:
    case KP_READONLY:
        return true;
    }
    return false;
}

static bool are_mounts(const struct block *block, uint32_t offset, uint32_t count)
{
    if (count > KP_MOUNTS_MAX ||
        !is_table(block, offset, count, sizeof(struct kp_mount), _Alignof(struct kp_mount)))
        return false;
    const struct kp_mount *mounts = (const struct kp_mount *)(const void *)(block->start + offset);
    for (uint32_t i = 0; i < count; i++)
        if (!is_mount(block, &mounts[i]))
            return false;
    return true;
}

static bool are_rlimits(const struct block *block, uint32_t offset, uint32_t count)
{
    if (count > KP_RLIMITS_MAX ||
        !is_table(block, offset, count, sizeof(struct kp_rlimit), _Alignof(struct kp_rlimit)))
        return false;
    const struct kp_rlimit *limits =
        (const struct kp_rlimit *)(const void *)(block->start + offset);
    for (uint32_t i = 0; i < count; i++)
        if (limits[i].resource >= RLIM_NLIMITS || limits[i].zero != 0)
            return false;
    return true;
}

static bool is_header(const struct kp_header *plan, size_t size_bytes)
{
    return plan->magic == KP_MAGIC && plan->version == KP_VERSION && plan->zero == 0 &&
           plan->zero2 == 0 && plan->size_bytes == size_bytes &&
           (plan->flags & ~(uint32_t)KNOWN_FLAGS) == 0 && plan->oom_score_adj >= -1000 &&
           plan->oom_score_adj <= 1000 && plan->rows <= UINT16_MAX && plan->columns <= UINT16_MAX;
}

int kp_check(const void *data, size_t size_bytes)
{
    const struct kp_header *plan = data;

    if ((uintptr_t)data % _Alignof(struct kp_header) != 0)
        return -EBADMSG;
    if (size_bytes < sizeof(*plan) || size_bytes > KP_BYTES_MAX || !is_header(plan, size_bytes))
        return -EBADMSG;

    const char *last_nul = memrchr(data, '\0', size_bytes);
    const struct block block = {
        .start = data,
        .size_bytes = plan->size_bytes,
        .last_nul = last_nul == NULL ? 0 : (uint32_t)(last_nul - (const char *)data),
    };
    if (!are_mounts(&block, plan->mounts, plan->mount_count) ||
        !are_rlimits(&block, plan->rlimits, plan->rlimit_count))
        return -EBADMSG;
    if (!are_strings(&block, plan->candidates, plan->candidate_count, KW_CANDIDATES_MAX) ||
        !are_strings(&block, plan->argv, plan->argv_count, KP_ARGS_MAX) ||
        !are_strings(&block, plan->env, plan->env_count, KP_ARGS_MAX))
        return -EBADMSG;
    if (!is_string_or_absent(&block, plan->hostname) || !is_string_or_absent(&block, plan->cwd))
        return -EBADMSG;
    if (!is_table(&block, plan->groups, plan->group_count, sizeof(uint32_t), sizeof(uint32_t)))
        return -EBADMSG;
    /* seccomp(2) refuses more than BPF_MAXINSNS, and its count has 16 bits. Offset 0 is absence. */
    if (plan->seccomp_count > BPF_MAXINSNS || (plan->seccomp == 0) != (plan->seccomp_count == 0) ||
        !is_table(&block, plan->seccomp, plan->seccomp_count, sizeof(struct sock_filter), 8))
        return -EBADMSG;
    return 0;
}
