/* SPDX-License-Identifier: Apache-2.0 */
/* Plans as small as the tests need them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"
#include "sys.h"

struct kp_header *plan_init(struct plan *plan, uint32_t flags)
{
    memset(plan, 0, sizeof(*plan));
    struct kp_header *header = (struct kp_header *)(void *)plan->block;
    plan->size_bytes = sizeof(*header);
    header->magic = KP_MAGIC;
    header->version = KP_VERSION;
    header->flags = flags;
    header->caps_keep = KP_CAPS_ALL;
    return header;
}

static uint32_t append(struct plan *plan, const void *data, size_t size_bytes)
{
    uint32_t at = plan->size_bytes;
    size_t padded = (size_bytes + 7) & ~(size_t)7;
    assert_true(at + padded <= sizeof(plan->block));
    memcpy(plan->block + at, data, size_bytes);
    plan->size_bytes = (uint32_t)(at + padded);
    return at;
}

uint32_t plan_string(struct plan *plan, const char *text)
{
    return append(plan, text, strlen(text) + 1);
}

uint32_t plan_strings(struct plan *plan, const char *const *texts, uint32_t count)
{
    uint32_t offsets[64];
    assert_true(count <= 64);
    for (uint32_t i = 0; i < count; i++)
        offsets[i] = plan_string(plan, texts[i]);
    return append(plan, offsets, count * sizeof(offsets[0]));
}

int plan_memfd(struct plan *plan)
{
    ((struct kp_header *)(void *)plan->block)->size_bytes = plan->size_bytes;
    int fd = sys_memfd_sealed("plan", plan->block, plan->size_bytes);
    assert_true(fd >= 0);
    return fd;
}
