/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "sys.h"
#include "sysfilter.h"

#define TEXT_FIRST_BYTES 2048

void plan_init(struct plan *plan)
{
    /* Not the whole struct: its tables are 17 KiB, of which a boot fills a tenth. */
    plan->header = (struct kp_header){.magic = KP_MAGIC, .version = KP_VERSION};
    plan->candidates.count = 0;
    plan->argv.count = 0;
    plan->env.count = 0;
    plan->sysfilter = NULL;
    plan->text = NULL;
    plan->text_bytes = 0;
    plan->text_room_bytes = 0;
    plan->error = 0;
}

void plan_close(struct plan *plan)
{
    free(plan->text);
    plan->text = NULL;
}

static char *text_reserve(struct plan *plan, size_t size_bytes)
{
    if (plan->error != 0)
        return NULL;
    if (size_bytes > KP_BYTES_MAX - plan->text_bytes) {
        plan->error = -E2BIG;
        return NULL;
    }
    if (plan->text_bytes + size_bytes > plan->text_room_bytes) {
        size_t room_bytes = plan->text_room_bytes == 0 ? TEXT_FIRST_BYTES : plan->text_room_bytes;
        while (room_bytes < plan->text_bytes + size_bytes)
            room_bytes *= 2;
        char *text = realloc(plan->text, room_bytes);
        if (text == NULL) {
            plan->error = -ENOMEM;
            return NULL;
        }
        plan->text = text;
        plan->text_room_bytes = room_bytes;
    }

    char *place = plan->text + plan->text_bytes;
    plan->text_bytes += size_bytes;
    return place;
}

uint32_t plan_add_text(struct plan *plan, const char *text)
{
    if (text == NULL)
        return 0;

    size_t size_bytes = strlen(text) + 1;
    char *place = text_reserve(plan, size_bytes);
    if (place == NULL)
        return 0;
    memcpy(place, text, size_bytes);
    return (uint32_t)(place - plan->text) + 1;
}

static void list_add(struct plan *plan, struct plan_list *list, uint32_t item)
{
    size_t max = list == &plan->candidates ? KW_CANDIDATES_MAX : KP_ARGS_MAX;
    if (list->count == max && plan->error == 0)
        plan->error = -E2BIG;
    if (plan->error == 0)
        list->items[list->count++] = item;
}

void plan_add_item(struct plan *plan, struct plan_list *list, const char *text)
{
    list_add(plan, list, plan_add_text(plan, text));
}

void plan_add_env(struct plan *plan, const char *key, const char *value)
{
    size_t key_bytes = strlen(key);
    size_t value_bytes = strlen(value);
    char *place = text_reserve(plan, key_bytes + value_bytes + 2);
    if (place == NULL)
        return;
    memcpy(place, key, key_bytes);
    place[key_bytes] = '=';
    memcpy(place + key_bytes + 1, value, value_bytes + 1);
    list_add(plan, &plan->env, (uint32_t)(place - plan->text) + 1);
}

void plan_add_rlimit(struct plan *plan, uint32_t resource, uint64_t soft, uint64_t hard)
{
    if (plan->header.rlimit_count == KP_RLIMITS_MAX && plan->error == 0)
        plan->error = -E2BIG;
    if (plan->error == 0)
        plan->rlimits[plan->header.rlimit_count++] =
            (struct kp_rlimit){.resource = resource, .soft = soft, .hard = hard};
}

void plan_add_group(struct plan *plan, uint32_t gid)
{
    if (plan->header.group_count == PLAN_GROUPS_MAX && plan->error == 0)
        plan->error = -E2BIG;
    if (plan->error == 0)
        plan->groups[plan->header.group_count++] = gid;
}

void plan_add_mount(struct plan *plan, struct kp_mount mount, const char *target,
                    const char *options)
{
    mount.target = plan_add_text(plan, target);
    mount.options = plan_add_text(plan, options);
    if (plan->header.mount_count == KP_MOUNTS_MAX && plan->error == 0)
        plan->error = -E2BIG;
    if (plan->error == 0)
        plan->mounts[plan->header.mount_count++] = mount;
}

/* Where things go in the block: tables by falling alignment after the header, then the strings. */
struct layout {
    char *block;
    uint32_t used_bytes;
    uint32_t text; /* offset of the strings */
};

static uint32_t place_table(struct layout *layout, const void *table, size_t size_bytes)
{
    uint32_t offset = layout->used_bytes;
    if (size_bytes == 0)
        return 0;
    memcpy(layout->block + offset, table, size_bytes);
    layout->used_bytes += (uint32_t)size_bytes;
    return offset;
}

static uint32_t text_offset(const struct layout *layout, uint32_t position)
{
    return position == 0 ? 0 : layout->text + position - 1;
}

static uint32_t place_list(struct layout *layout, const struct plan_list *list)
{
    uint32_t offset = layout->used_bytes;
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t item = text_offset(layout, list->items[i]);
        (void)place_table(layout, &item, sizeof(item));
    }
    return list->count == 0 ? 0 : offset;
}

static void place_mounts(struct layout *layout, const struct plan *plan, uint32_t *ret_offset)
{
    *ret_offset = plan->header.mount_count == 0 ? 0 : layout->used_bytes;
    for (uint32_t i = 0; i < plan->header.mount_count; i++) {
        struct kp_mount mount = plan->mounts[i];
        mount.target = text_offset(layout, mount.target);
        mount.options = text_offset(layout, mount.options);
        (void)place_table(layout, &mount, sizeof(mount));
    }
}

int plan_seal(const struct plan *plan)
{
    struct kp_header header = plan->header;

    if (plan->error != 0)
        return plan->error;
    if (plan->sysfilter != NULL)
        header.seccomp_count = plan->sysfilter->count;
    size_t tables_bytes =
        sizeof(header) + header.seccomp_count * sizeof(struct sock_filter) +
        header.mount_count * sizeof(struct kp_mount) +
        header.rlimit_count * sizeof(struct kp_rlimit) +
        (plan->candidates.count + plan->argv.count + plan->env.count + header.group_count) *
            sizeof(uint32_t);
    size_t size_bytes = tables_bytes + plan->text_bytes;
    if (size_bytes > KP_BYTES_MAX)
        return -E2BIG;

    AUTO_FREE char *block = malloc(size_bytes);
    if (block == NULL)
        return -ENOMEM;
    struct layout layout = {
        .block = block, .used_bytes = sizeof(header), .text = (uint32_t)tables_bytes};
    if (plan->sysfilter != NULL)
        header.seccomp = place_table(&layout, plan->sysfilter->filter,
                                     header.seccomp_count * sizeof(struct sock_filter));
    place_mounts(&layout, plan, &header.mounts);
    header.rlimits =
        place_table(&layout, plan->rlimits, header.rlimit_count * sizeof(struct kp_rlimit));
    header.candidates = place_list(&layout, &plan->candidates);
    header.argv = place_list(&layout, &plan->argv);
    header.env = place_list(&layout, &plan->env);
    header.groups = place_table(&layout, plan->groups, header.group_count * sizeof(uint32_t));
    if (plan->text_bytes > 0)
        memcpy(block + layout.text, plan->text, plan->text_bytes);

    header.size_bytes = (uint32_t)size_bytes;
    header.candidate_count = plan->candidates.count;
    header.argv_count = plan->argv.count;
    header.env_count = plan->env.count;
    header.hostname = text_offset(&layout, header.hostname);
    header.cwd = text_offset(&layout, header.cwd);
    memcpy(block, &header, sizeof(header));
    return sys_memfd_sealed("drover-plan", block, size_bytes);
}
