/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: the plan is the one block that the keeper, parent of all guests, and the child between
 * clone and exec read by offsets. What kp_check() lets through is read here as both of them do, to
 * the last octet of each table and text.
 */
#include <linux/filter.h>

#include "fuzz.h"
#include "keeper_plan.h"
#include "keeper_wire.h"

static _Alignas(8) char block[KP_BYTES_MAX];
static volatile uint64_t sum; /* so that no read is left out */

static void read_octets(const struct kp_header *plan, uint32_t offset, size_t count)
{
    const unsigned char *octets = (const unsigned char *)plan + offset;

    for (size_t i = 0; i < count; i++) {
        PROMISE(offset + i < plan->size_bytes);
        sum += octets[i];
    }
}

static void read_string(const struct kp_header *plan, uint32_t offset)
{
    const char *text = kp_string(plan, offset);

    if (text != NULL)
        read_octets(plan, offset, strlen(text) + 1);
}

static void read_strings(const struct kp_header *plan, uint32_t offset, uint32_t count)
{
    const uint32_t *strings = (const uint32_t *)(const void *)((const char *)plan + offset);

    for (uint32_t i = 0; i < count; i++)
        read_string(plan, strings[i]);
}

static void read_mounts(const struct kp_header *plan)
{
    const struct kp_mount *mounts =
        (const struct kp_mount *)(const void *)((const char *)plan + plan->mounts);

    for (uint32_t i = 0; i < plan->mount_count; i++) {
        PROMISE(mounts[i].kind >= KP_ATTACH && mounts[i].kind <= KP_CGROUP1);
        PROMISE(mounts[i].kind != KP_ATTACH ||
                (mounts[i].fd_index >= 0 && mounts[i].fd_index < KW_FDS_MAX));
        PROMISE(mounts[i].target != 0);
        read_string(plan, mounts[i].target);
        read_string(plan, mounts[i].options);
        CANARY(mounts[i].kind == KP_MKDIR && mounts[i].flags > 0 && (mounts[i].flags & 0700) == 0);
    }
}

static void read_plan(const struct kp_header *plan)
{
    read_mounts(plan);
    if (plan->rlimit_count > 0)
        read_octets(plan, plan->rlimits, plan->rlimit_count * sizeof(struct kp_rlimit));
    if (plan->group_count > 0)
        read_octets(plan, plan->groups, plan->group_count * sizeof(uint32_t));
    if (plan->seccomp_count > 0)
        read_octets(plan, plan->seccomp, plan->seccomp_count * sizeof(struct sock_filter));
    read_strings(plan, plan->candidates, plan->candidate_count);
    read_strings(plan, plan->argv, plan->argv_count);
    read_strings(plan, plan->env, plan->env_count);
    read_string(plan, plan->hostname);
    read_string(plan, plan->cwd);
    PROMISE(plan->candidate_count <= KW_CANDIDATES_MAX && plan->argv_count <= KP_ARGS_MAX);
}

/* The first octet: whether the fields that any plan must have are put right, so that what lies
 * behind them is met more often than by luck. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct kp_header *plan = (struct kp_header *)(void *)block;

    if (size_bytes < 1 || size_bytes - 1 > sizeof(block))
        return 0;
    size_t block_bytes = size_bytes - 1;
    memcpy(block, data + 1, block_bytes);
    if ((data[0] & 1) != 0 && block_bytes >= sizeof(*plan)) {
        plan->magic = KP_MAGIC;
        plan->version = KP_VERSION;
        plan->size_bytes = (uint32_t)block_bytes;
        plan->zero = 0;
        plan->zero2 = 0;
    }
    if (kp_check(block, block_bytes) == 0)
        read_plan(plan);
    return 0;
}
