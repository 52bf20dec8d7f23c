/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_subjects.h — whom events speak of, each with its newest event.
 *
 * Shape    a list by id, which is the row's in node.db, and buckets by uuid.
 * Units    ids from 0, used again once nothing names them; seq of the ledger.
 * Errors   NULL: none, or for add: no memory.
 * Owner    struct store_writer.
 * Context  the writer's thread.
 */
#ifndef DROVER_STORE_SUBJECTS_H
#define DROVER_STORE_SUBJECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"

#define STORE_SUBJECTS_MAX (1u << 24) /* an id beyond it is damage */

struct subject {
    uint8_t uuid[UUID_BYTES];
    char name[NAME_BYTES];
    uint64_t last_seq; /* 0: no event yet */
    uint32_t next;     /* id + 1 in its bucket, or among the free; 0: the last */
    bool is_used;
    bool is_stored; /* node.db has a row for it */
    bool is_live;   /* ... and that is a container that exists */
    bool is_dirty;  /* its last_seq is newer than the row's */
    bool is_listed; /* in dirty[] */
};

struct subjects {
    struct subject *list; /* by id */
    uint32_t room;
    uint32_t top; /* ids from here on were never used */
    uint32_t free;
    uint32_t *buckets; /* id + 1, by uuid; room of them */
    uint32_t *dirty;   /* ids */
    uint32_t dirty_count;
};

/* Pointers hold until the next add. NULL: none, or for add: no memory. */
struct subject *subjects_find(struct subjects *subjects, const uint8_t *uuid, const char *name);
struct subject *subjects_find_live(struct subjects *subjects, const uint8_t *uuid);
struct subject *subjects_add(struct subjects *subjects, const uint8_t *uuid, const char *name);
/* As it stands in the database, whose ids may have holes; subjects_link_free() afterwards. */
struct subject *subjects_add_at(struct subjects *subjects, uint32_t id, const uint8_t *uuid,
                                const char *name);
void subjects_link_free(struct subjects *subjects);
void subjects_remove(struct subjects *subjects, struct subject *subject);
void subjects_mark_dirty(struct subjects *subjects, struct subject *subject);
uint32_t subjects_id(const struct subjects *subjects, const struct subject *subject);
void subjects_close(struct subjects *subjects);

#endif
