/* SPDX-License-Identifier: Apache-2.0 */
#include "setting.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "codec.h"
#include "ensure.h"

static_assert(SETTING_COUNT <= 64, "a set of keys is one uint64_t");

enum kind { KIND_LIVE, KIND_LIMIT, KIND_STOP };

static const struct {
    const char *name;
    enum kind kind;
} rows[SETTING_COUNT] = {
#define SETTING_ROW(upper, name, kind) [SETTING_##upper] = {name, KIND_##kind},
    SETTING_LIST(SETTING_ROW)
#undef SETTING_ROW
};

const char *setting_name(enum setting_key key)
{
    ENSURE((unsigned)key < SETTING_COUNT);
    return key == SETTING_UNSET ? "" : rows[key].name;
}

enum setting_key setting_find(const char *name)
{
    for (unsigned i = 1; i < SETTING_COUNT; i++)
        if (strcmp(rows[i].name, name) == 0)
            return (enum setting_key)i;
    return SETTING_UNSET;
}

bool setting_is_list(enum setting_key key)
{
    return key == SETTING_BIND || key == SETTING_TMPFS || key == SETTING_ENV ||
           key == SETTING_LABEL || key == SETTING_DEPENDS || key == SETTING_HOOK;
}

/* ---- lists ---- */

/* The lists of a configuration have one shape: an array, a count, and what names an entry. */
struct list {
    const void *entries;
    size_t count;
    size_t entry_bytes;
    size_t name_offset; /* of the text that names an entry, within it */
};

static struct list list_of(const struct config *config, enum setting_key key)
{
    switch ((int)key) {
    case SETTING_BIND:
        return (struct list){config->binds, config->bind_count, sizeof(struct bind),
                             offsetof(struct bind, target)};
    case SETTING_TMPFS:
        return (struct list){config->tmpfs, config->tmpfs_count, sizeof(struct tmpfs),
                             offsetof(struct tmpfs, target)};
    case SETTING_ENV:
        return (struct list){config->env, config->env_count, sizeof(struct pair),
                             offsetof(struct pair, key)};
    case SETTING_LABEL:
        return (struct list){config->labels, config->label_count, sizeof(struct pair),
                             offsetof(struct pair, key)};
    case SETTING_HOOK:
        return (struct list){config->hooks, config->hook_count, sizeof(struct pair),
                             offsetof(struct pair, key)};
    }
    ENSURE(key == SETTING_DEPENDS);
    return (struct list){config->depends, config->depend_count, sizeof(const char *), 0};
}

static void put_list(struct config *config, enum setting_key key, const struct list *list)
{
    switch ((int)key) {
    case SETTING_BIND:
        config->binds = list->entries;
        config->bind_count = list->count;
        return;
    case SETTING_TMPFS:
        config->tmpfs = list->entries;
        config->tmpfs_count = list->count;
        return;
    case SETTING_ENV:
        config->env = list->entries;
        config->env_count = list->count;
        return;
    case SETTING_LABEL:
        config->labels = list->entries;
        config->label_count = list->count;
        return;
    case SETTING_HOOK:
        config->hooks = list->entries;
        config->hook_count = list->count;
        return;
    }
    ENSURE(key == SETTING_DEPENDS);
    config->depends = list->entries;
    config->depend_count = list->count;
}

static const void *entry_of(const struct list *list, size_t at)
{
    return (const char *)list->entries + at * list->entry_bytes;
}

static const char *name_of(const struct list *list, size_t at)
{
    const char *name;

    memcpy(&name, (const char *)entry_of(list, at) + list->name_offset, sizeof(name));
    return name;
}

static size_t find_entry(const struct list *list, const char *name)
{
    size_t at = 0;

    while (at < list->count && strcmp(name_of(list, at), name) != 0)
        at++;
    return at;
}

static bool is_dropped(const struct command *command, enum setting_key key, const char *name)
{
    for (size_t i = 0; i < command->setting_count; i++) {
        const struct setting *setting = &command->settings[i];

        if (setting->key == key && (setting->is_cleared || strcmp(setting->removed, name) == 0))
            return true;
    }
    return false;
}

/* What stays, with what is put in: in the place of an entry of its name, else behind. */
static int merge_list(struct config *config, const struct command *command, enum setting_key key,
                      struct arena *arena)
{
    struct list from = list_of(config, key);
    struct list given = list_of(command->config, key);
    struct list merged = from;
    char *entries = arena_take(arena, (from.count + given.count + 1) * from.entry_bytes);

    if (entries == NULL)
        return -ENOMEM;
    merged.entries = entries;
    merged.count = 0;
    for (size_t i = 0; i < from.count; i++)
        if (!is_dropped(command, key, name_of(&from, i)))
            memcpy(entries + merged.count++ * from.entry_bytes, entry_of(&from, i),
                   from.entry_bytes);
    for (size_t i = 0; i < given.count; i++) {
        size_t at = find_entry(&merged, name_of(&given, i));

        memcpy(entries + at * from.entry_bytes, entry_of(&given, i), from.entry_bytes);
        merged.count += at == merged.count;
    }
    put_list(config, key, &merged);
    return 0;
}

static bool is_same_entry(enum setting_key key, const void *a, const void *b)
{
    if (key == SETTING_BIND) {
        const struct bind *one = a;
        const struct bind *other = b;
        return strcmp(one->source, other->source) == 0 && strcmp(one->target, other->target) == 0 &&
               one->is_read_only == other->is_read_only && one->is_plain == other->is_plain;
    }
    if (key == SETTING_TMPFS) {
        const struct tmpfs *one = a;
        const struct tmpfs *other = b;
        return strcmp(one->target, other->target) == 0 && one->size_bytes == other->size_bytes;
    }
    if (key == SETTING_ENV || key == SETTING_LABEL || key == SETTING_HOOK) {
        const struct pair *one = a;
        const struct pair *other = b;
        return strcmp(one->key, other->key) == 0 && strcmp(one->value, other->value) == 0;
    }
    return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
}

static bool is_same_list(const struct config *a, const struct config *b, enum setting_key key)
{
    struct list one = list_of(a, key);
    struct list other = list_of(b, key);

    if (one.count != other.count)
        return false;
    for (size_t i = 0; i < one.count; i++)
        if (!is_same_entry(key, entry_of(&one, i), entry_of(&other, i)))
            return false;
    return true;
}

/* ---- single values ---- */

static void copy_value(struct config *to, const struct config *from, enum setting_key key)
{
    switch (key) {
    case SETTING_MEMORY:
        to->memory_max_bytes = from->memory_max_bytes;
        return;
    case SETTING_SWAP:
        to->swap_max_bytes = from->swap_max_bytes;
        return;
    case SETTING_PIDS:
        to->pids_max = from->pids_max;
        return;
    case SETTING_CPUS:
        to->cpu_milli = from->cpu_milli;
        return;
    case SETTING_CPU_WEIGHT:
        to->cpu_weight = from->cpu_weight;
        return;
    case SETTING_INIT:
        to->init = from->init;
        return;
    case SETTING_READY:
        to->ready = from->ready;
        to->ready_text = from->ready_text;
        return;
    case SETTING_FAMILY:
        to->family = from->family;
        return;
    case SETTING_READY_TIMEOUT:
        to->ready_ns = from->ready_ns;
        return;
    case SETTING_READY_POLICY:
        to->is_ready_kept = from->is_ready_kept;
        return;
    case SETTING_RESTART:
        to->restart = from->restart;
        return;
    case SETTING_ALLOW_REBOOT:
        to->is_reboot_denied = from->is_reboot_denied;
        return;
    case SETTING_ON_NODE_LOST:
        to->on_node_lost = from->on_node_lost;
        return;
    case SETTING_STOP_GRACE:
        to->stop_grace_ns = from->stop_grace_ns;
        return;
    case SETTING_AUTOSTART:
        to->autostart = from->autostart;
        return;
    case SETTING_ORDER:
        to->order = from->order;
        return;
    case SETTING_FUSE:
        to->has_fuse = from->has_fuse;
        return;
    case SETTING_TUN:
        to->has_tun = from->has_tun;
        return;
    case SETTING_PTRACE:
        to->has_ptrace = from->has_ptrace;
        return;
    case SETTING_BIND:
    case SETTING_TMPFS:
    case SETTING_ENV:
    case SETTING_LABEL:
    case SETTING_DEPENDS:
    case SETTING_HOOK:
    case SETTING_UNSET:
    case SETTING_COUNT:
        break;
    }
    ENSURE(false);
}

static bool is_same_text(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

static bool is_same_value(const struct config *a, const struct config *b, enum setting_key key)
{
    switch (key) {
    case SETTING_MEMORY:
        return a->memory_max_bytes == b->memory_max_bytes;
    case SETTING_SWAP:
        return a->swap_max_bytes == b->swap_max_bytes;
    case SETTING_PIDS:
        return a->pids_max == b->pids_max;
    case SETTING_CPUS:
        return a->cpu_milli == b->cpu_milli;
    case SETTING_CPU_WEIGHT:
        return a->cpu_weight == b->cpu_weight;
    case SETTING_INIT:
        return strcmp(a->init, b->init) == 0;
    case SETTING_READY:
        return a->ready == b->ready && is_same_text(a->ready_text, b->ready_text);
    case SETTING_FAMILY:
        return a->family == b->family;
    case SETTING_READY_TIMEOUT:
        return a->ready_ns == b->ready_ns;
    case SETTING_READY_POLICY:
        return a->is_ready_kept == b->is_ready_kept;
    case SETTING_RESTART:
        return a->restart == b->restart;
    case SETTING_ALLOW_REBOOT:
        return a->is_reboot_denied == b->is_reboot_denied;
    case SETTING_ON_NODE_LOST:
        return a->on_node_lost == b->on_node_lost;
    case SETTING_STOP_GRACE:
        return a->stop_grace_ns == b->stop_grace_ns;
    case SETTING_AUTOSTART:
        return a->autostart == b->autostart;
    case SETTING_ORDER:
        return a->order == b->order;
    case SETTING_FUSE:
        return a->has_fuse == b->has_fuse;
    case SETTING_TUN:
        return a->has_tun == b->has_tun;
    case SETTING_PTRACE:
        return a->has_ptrace == b->has_ptrace;
    case SETTING_BIND:
    case SETTING_TMPFS:
    case SETTING_ENV:
    case SETTING_LABEL:
    case SETTING_DEPENDS:
    case SETTING_HOOK:
        return is_same_list(a, b, key);
    case SETTING_UNSET:
    case SETTING_COUNT:
        break;
    }
    ENSURE(false);
    return true;
}

/* ---- all ---- */

static int apply_key(struct config *config, const struct command *command, enum setting_key key,
                     struct arena *arena, struct fault *fault)
{
    if (!setting_is_list(key)) {
        copy_value(config, command->config, key);
        return 0;
    }
    int result = merge_list(config, command, key, arena);
    if (result == 0 && list_of(config, key).count > CONFIG_LIST_MAX) {
        fault_set(fault, STATUS_INVALID, 0, "%s: more than %u of them", setting_name(key),
                  (uint64_t)CONFIG_LIST_MAX);
        result = -EINVAL;
    }
    return result;
}

static void note_change(struct ct_set *set, enum setting_key key)
{
    set->is_same = false;
    if (rows[key].kind == KIND_STOP)
        set->stop_keys |= SETTING_BIT(key);
    if (rows[key].kind == KIND_LIMIT)
        set->limit_keys |= SETTING_BIT(key);
}

int setting_apply(const struct config *base, const struct command *command, struct arena *arena,
                  struct config *ret_config, struct ct_set *ret_set, struct fault *fault)
{
    struct config config = *base;

    ret_set->keys = ret_set->stop_keys = ret_set->limit_keys = 0;
    ret_set->is_same = true;
    for (size_t i = 0; i < command->setting_count; i++)
        ret_set->keys |= SETTING_BIT(command->settings[i].key);
    for (unsigned key = 1; key < SETTING_COUNT; key++) {
        if ((ret_set->keys & SETTING_BIT(key)) == 0)
            continue;
        int result = apply_key(&config, command, (enum setting_key)key, arena, fault);
        if (result < 0)
            return result;
        if (!is_same_value(base, &config, (enum setting_key)key))
            note_change(ret_set, (enum setting_key)key);
    }
    *ret_config = config;
    return 0;
}
