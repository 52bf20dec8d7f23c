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

/* ---- where values are ---- */

#define FIELDS_MAX 4

/* A scalar, or a text: NULL is "" then. */
struct field {
    size_t offset;
    size_t size_bytes; /* 0: no further one */
    bool is_text;
};

/* What a key stands for: fields of struct config, or a list there and the fields of its entries.
 * Lists have one shape: an array, a count, and a text that names an entry. */
struct place {
    struct field fields[FIELDS_MAX];
    size_t entry_bytes;    /* 0: no list */
    size_t entries_offset; /* of the array */
    size_t count_offset;
    size_t name_offset; /* within an entry */
};

#define BITS(type, member)                                                                         \
    {                                                                                              \
        offsetof(struct type, member), sizeof(((struct type *)0)->member), false                   \
    }
#define TEXT(type, member)                                                                         \
    {                                                                                              \
        offsetof(struct type, member), sizeof(((struct type *)0)->member), true                    \
    }
#define VALUE(member)                                                                              \
    {                                                                                              \
        .fields = { BITS(config, member) }                                                         \
    }
#define LIST(member, count, type, name)                                                            \
    .entry_bytes = sizeof(type), .entries_offset = offsetof(struct config, member),                \
    .count_offset = offsetof(struct config, count), .name_offset = (name)
#define PAIRS(member, count)                                                                       \
    {                                                                                              \
        .fields = {TEXT(pair, key), TEXT(pair, value)},                                            \
        LIST(member, count, struct pair, offsetof(struct pair, key))                               \
    }

static const struct place places[SETTING_COUNT] = {
    [SETTING_MEMORY] = VALUE(memory_max_bytes),
    [SETTING_SWAP] = VALUE(swap_max_bytes),
    [SETTING_PIDS] = VALUE(pids_max),
    [SETTING_CPUS] = VALUE(cpu_milli),
    [SETTING_CPU_WEIGHT] = VALUE(cpu_weight),
    [SETTING_BIND] = {.fields = {TEXT(bind, source), TEXT(bind, target), BITS(bind, is_read_only),
                                 BITS(bind, is_plain)},
                      LIST(binds, bind_count, struct bind, offsetof(struct bind, target))},
    [SETTING_TMPFS] = {.fields = {TEXT(tmpfs, target), BITS(tmpfs, size_bytes)},
                       LIST(tmpfs, tmpfs_count, struct tmpfs, offsetof(struct tmpfs, target))},
    [SETTING_ENV] = PAIRS(env, env_count),
    [SETTING_INIT] = {.fields = {TEXT(config, init)}},
    [SETTING_READY] = {.fields = {BITS(config, ready), TEXT(config, ready_text)}},
    [SETTING_RESTART] = VALUE(restart),
    [SETTING_ALLOW_REBOOT] = VALUE(is_reboot_denied),
    [SETTING_ON_NODE_LOST] = VALUE(on_node_lost),
    [SETTING_LABEL] = PAIRS(labels, label_count),
    [SETTING_STOP_GRACE] = VALUE(stop_grace_ns),
    [SETTING_AUTOSTART] = VALUE(autostart),
    [SETTING_ORDER] = VALUE(order),
    [SETTING_DEPENDS] = {.fields = {{0, sizeof(const char *), true}},
                         LIST(depends, depend_count, const char *, 0)},
    [SETTING_FAMILY] = VALUE(family),
    [SETTING_READY_TIMEOUT] = VALUE(ready_ns),
    [SETTING_READY_POLICY] = VALUE(is_ready_kept),
    [SETTING_FUSE] = VALUE(has_fuse),
    [SETTING_TUN] = VALUE(has_tun),
    [SETTING_PTRACE] = VALUE(has_ptrace),
    [SETTING_HOOK] = PAIRS(hooks, hook_count),
};

static const struct place *place_of(enum setting_key key)
{
    ENSURE((unsigned)key < SETTING_COUNT);
    ENSURE(places[key].fields[0].size_bytes != 0);
    return &places[key];
}

bool setting_is_list(enum setting_key key)
{
    return (unsigned)key < SETTING_COUNT && places[key].entry_bytes != 0;
}

static const char *text_at(const void *object, size_t offset)
{
    const char *text;

    memcpy(&text, (const char *)object + offset, sizeof(text));
    return text == NULL ? "" : text;
}

static bool is_same(const struct field *fields, const void *a, const void *b)
{
    for (size_t i = 0; i < FIELDS_MAX && fields[i].size_bytes != 0; i++) {
        size_t offset = fields[i].offset;
        int order = fields[i].is_text ? strcmp(text_at(a, offset), text_at(b, offset))
                                      : memcmp((const char *)a + offset, (const char *)b + offset,
                                               fields[i].size_bytes);
        if (order != 0)
            return false;
    }
    return true;
}

static void copy_value(struct config *to, const struct config *from, const struct place *place)
{
    for (size_t i = 0; i < FIELDS_MAX; i++)
        memcpy((char *)to + place->fields[i].offset, (const char *)from + place->fields[i].offset,
               place->fields[i].size_bytes);
}

/* ---- lists ---- */

struct list {
    const struct place *place;
    const char *entries;
    size_t count;
};

static struct list list_of(const struct config *config, const struct place *place)
{
    struct list list = {.place = place};

    memcpy(&list.entries, (const char *)config + place->entries_offset, sizeof(list.entries));
    memcpy(&list.count, (const char *)config + place->count_offset, sizeof(list.count));
    return list;
}

static void put_list(struct config *config, const struct list *list)
{
    memcpy((char *)config + list->place->entries_offset, &list->entries, sizeof(list->entries));
    memcpy((char *)config + list->place->count_offset, &list->count, sizeof(list->count));
}

static const char *entry_of(const struct list *list, size_t at)
{
    return list->entries + at * list->place->entry_bytes;
}

static const char *name_of(const struct list *list, size_t at)
{
    return text_at(entry_of(list, at), list->place->name_offset);
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
    struct list from = list_of(config, place_of(key));
    struct list given = list_of(command->config, place_of(key));
    size_t entry_bytes = from.place->entry_bytes;
    char *entries = arena_take(arena, (from.count + given.count + 1) * entry_bytes);
    struct list merged = {.place = from.place, .entries = entries};

    if (entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < from.count; i++)
        if (!is_dropped(command, key, name_of(&from, i)))
            memcpy(entries + merged.count++ * entry_bytes, entry_of(&from, i), entry_bytes);
    for (size_t i = 0; i < given.count; i++) {
        size_t at = find_entry(&merged, name_of(&given, i));

        memcpy(entries + at * entry_bytes, entry_of(&given, i), entry_bytes);
        merged.count += at == merged.count;
    }
    put_list(config, &merged);
    return 0;
}

static bool is_same_list(const struct config *a, const struct config *b, const struct place *place)
{
    struct list one = list_of(a, place);
    struct list other = list_of(b, place);

    if (one.count != other.count)
        return false;
    for (size_t i = 0; i < one.count; i++)
        if (!is_same(place->fields, entry_of(&one, i), entry_of(&other, i)))
            return false;
    return true;
}

/* ---- all ---- */

static bool is_same_value(const struct config *a, const struct config *b, enum setting_key key)
{
    const struct place *place = place_of(key);

    return setting_is_list(key) ? is_same_list(a, b, place) : is_same(place->fields, a, b);
}

static int apply_key(struct config *config, const struct command *command, enum setting_key key,
                     struct arena *arena, struct fault *fault)
{
    if (!setting_is_list(key)) {
        copy_value(config, command->config, place_of(key));
        return 0;
    }
    int result = merge_list(config, command, key, arena);
    if (result == 0 && list_of(config, place_of(key)).count > CONFIG_LIST_MAX) {
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
