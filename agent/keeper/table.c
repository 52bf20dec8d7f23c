/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <string.h>

static void unsent_set(struct table *table, uint32_t slot)
{
    table->unsent[slot / 64] |= UINT64_C(1) << (slot % 64);
}

static void unsent_clear(struct table *table, uint32_t slot)
{
    table->unsent[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

struct entry *table_add(struct table *table, uint64_t launch)
{
    uint32_t slot = 0;
    if (table->count == KW_ENTRIES_MAX)
        return NULL;
    /* The lowest free one: used pages stay used, so few are touched. */
    if (table->count == table->high)
        slot = table->high;
    while (slot < table->high && table->numbers[slot] != 0)
        slot++;

    struct entry *entry = &table->entries[slot];
    memset(entry, 0, sizeof(*entry));
    entry->pidfd = entry->master = entry->slave = -1;
    entry->notify = entry->ring = entry->output = -1;
    entry->record.launch = launch;
    table->numbers[slot] = launch;
    table->pids[slot] = 0;
    if (slot == table->high)
        table->high++;
    table->count++;
    table_mark(table, entry);
    return entry;
}

void table_remove(struct table *table, struct entry *entry)
{
    uint32_t slot = table_slot(table, entry);
    table->numbers[slot] = 0;
    table->pids[slot] = 0;
    unsent_clear(table, slot);
    table->count--;
    while (table->high > 0 && table->numbers[table->high - 1] == 0)
        table->high--;
}

struct entry *table_find(struct table *table, uint64_t launch)
{
    for (uint32_t slot = 0; launch != 0 && slot < table->high; slot++)
        if (table->numbers[slot] == launch)
            return &table->entries[slot];
    return NULL;
}

struct entry *table_find_pid(struct table *table, pid_t pid)
{
    for (uint32_t slot = 0; pid > 0 && slot < table->high; slot++)
        if (table->pids[slot] == pid)
            return &table->entries[slot];
    return NULL;
}

void entry_keep_labels(struct entry *entry, const struct kw_labels *labels)
{
    struct kw_labels *kept = &entry->record.labels;
    *kept = *labels;
    kept->name[sizeof(kept->name) - 1] = '\0';
    kept->request[sizeof(kept->request) - 1] = '\0';
}

void table_set_pid(struct table *table, struct entry *entry, pid_t pid)
{
    table->pids[table_slot(table, entry)] = pid;
    entry->record.pid = pid;
}

void table_mark(struct table *table, struct entry *entry)
{
    entry->record.change++;
    unsent_set(table, table_slot(table, entry));
}

void table_mark_all(struct table *table)
{
    for (uint32_t slot = 0; slot < table->high; slot++) {
        if (table->numbers[slot] == 0)
            continue;
        unsent_set(table, slot);
        table->entries[slot].is_handed_over = false;
    }
    table->cursor = 0;
}

struct entry *table_next_unsent(struct table *table)
{
    uint32_t words = (table->high + 63) / 64;
    for (uint32_t i = 0; i <= words && words > 0; i++) {
        uint32_t word = (table->cursor / 64 + i) % words;
        uint64_t bits = table->unsent[word];
        /* The first look at the cursor's own word begins at the cursor, the last one before it. */
        if (i == 0 && table->cursor < words * 64)
            bits &= UINT64_MAX << (table->cursor % 64);
        if (bits != 0) {
            table->cursor = word * 64 + (uint32_t)__builtin_ctzll(bits);
            return &table->entries[table->cursor];
        }
    }
    return NULL;
}

void table_sent(struct table *table, struct entry *entry)
{
    unsent_clear(table, table_slot(table, entry));
}

enum kw_refusal table_acknowledge(struct table *table, const struct kw_ack *ack,
                                  struct entry **ret_over)
{
    struct entry *entry = table_find(table, ack->launch);

    *ret_over = NULL;
    if (entry == NULL || entry->record.labels.generation != ack->generation)
        return KW_REFUSED_UNKNOWN;
    if (ack->change > entry->record.change)
        return KW_REFUSED_PHASE;
    if (ack->change < entry->record.change)
        return 0; /* something newer is on its way */
    table_sent(table, entry);
    if (entry_is_final(entry))
        *ret_over = entry;
    return 0;
}
