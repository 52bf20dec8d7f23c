/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h — every launch that the agent has not finished with. The table is also the queue.
 *
 * Shape    a static array; an entry never moves, so its slot names it. numbers[] and pids[] stand
 *          beside it to be searched without touching the entries; pages cost memory once used.
 * Units    slots are indexes; -1 is the empty descriptor.
 * Errors   NULL: full, or no such entry.
 * Owner    the table owns the descriptors of its entries; only launch.c, reap.c set and close them.
 * Context  single-threaded; nothing here blocks or allocates.
 */
#ifndef DROVER_KEEPER_TABLE_H
#define DROVER_KEEPER_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper_wire.h"

struct entry {
    struct kw_record record; /* header and roles are filled when it is sent */
    int32_t pidfd;
    int32_t master; /* of the console's pty */
    int32_t slave;  /* held so that the guest's last close does not make the master's poll spin */
    int32_t notify;
    int32_t ring; /* outlives the end: it goes with the entry */
    int32_t output;
    uint32_t ring_bytes; /* of the ring's data part */
    uint8_t stage;       /* 1 + index in keeper.stages; 0: executed or ended */
    bool is_handed_over; /* its descriptors were sent on this connection */
    bool is_status_held; /* its STATUS= changed again and is told a little later: notify.c */
    uint8_t zero;
};

struct table {
    struct entry entries[KW_ENTRIES_MAX];
    uint64_t numbers[KW_ENTRIES_MAX]; /* launch; 0: free */
    pid_t pids[KW_ENTRIES_MAX];       /* our child; 0: none, reaped or adopted */
    uint64_t unsent[KW_ENTRIES_MAX / 64];
    uint32_t high;   /* slots from here on are free */
    uint32_t count;  /* in use */
    uint32_t living; /* children and adopted ones */
    uint32_t cursor; /* the last one found unsent; the next search begins there */
};

/* A blank entry with empty descriptors, marked unsent. launch is not 0 and not in the table. */
struct entry *table_add(struct table *table, uint64_t launch);

/* Forget an entry; its descriptors are already closed. */
void table_remove(struct table *table, struct entry *entry);

struct entry *table_find(struct table *table, uint64_t launch);
struct entry *table_find_pid(struct table *table, pid_t pid);

static inline uint32_t table_slot(const struct table *table, const struct entry *entry)
{
    return (uint32_t)(entry - table->entries);
}

static inline bool entry_is_final(const struct entry *entry)
{
    return entry->record.phase == KW_PHASE_FAILED || entry->record.phase == KW_PHASE_ENDED;
}

/* Texts are ended whatever the agent sent. */
void entry_keep_labels(struct entry *entry, const struct kw_labels *labels);

/* pid 0 when it was reaped. */
void table_set_pid(struct table *table, struct entry *entry, pid_t pid);

/* The entry changed: the agent is to hear of it. */
void table_mark(struct table *table, struct entry *entry);

/* A new agent hears of everything. */
void table_mark_all(struct table *table);

/* The next entry to send, in turn, or NULL; table_sent() takes it off. */
struct entry *table_next_unsent(struct table *table);
void table_sent(struct table *table, struct entry *entry);

/* The agent has made a record durable. ret_over is what may now be forgotten, or NULL: its end was
 * acknowledged, and nothing newer is on its way. */
enum kw_refusal table_acknowledge(struct table *table, const struct kw_ack *ack,
                                  struct entry **ret_over);

#endif
