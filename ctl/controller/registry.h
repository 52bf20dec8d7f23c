/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h — the nodes that have spoken, and what each last said of its containers.
 *
 * Shape    struct member is a node; struct known one of its containers, sorted by name. A copy,
 *          never the truth: a node mends it with its HELLO, its answers, receipts and events.
 * Units    *_wall_ns CLOCK_REALTIME, *_ns CLOCK_MONOTONIC.
 * Errors   -ENOMEM, -ENOSPC: beyond MEMBERS_MAX or KNOWN_MAX; the rest goes on.
 * Owner    the registry. Members live as long as it does; a known container until the next change.
 * Context  the loop's thread.
 */
#ifndef DROVER_REGISTRY_H
#define DROVER_REGISTRY_H

#include <assert.h>

#include "channel.h"
#include "ingest.h"
#include "message.h"

#define MEMBERS_MAX CHANNEL_MEMBERS_MAX
#define KNOWN_MAX 4096 /* containers of one node, as on the node itself */
#define BUILD_BYTES 64
static_assert(MEMBERS_MAX == CTL_NODES_MAX, "a member's index is its id in the store");

struct known {
    char name[NAME_BYTES];
    struct container_view view; /* name and node point here and into the member */
    struct pair *labels;        /* one block, texts behind the pairs */
    uint64_t mark;              /* the newest list that was asked for when it was last told */
    uint64_t place;             /* the order in which its node lists them; never 0 */
    size_t dirty_place;         /* in registry.dirty, from 1; 0: it is stored as it is */
};

struct member {
    char name[NAME_BYTES];
    struct registry *registry;
    uint32_t index; /* in registry.members, for ever: its id in the store */
    char build[BUILD_BYTES];
    struct channel channels[CHANNEL_COUNT]; /* up: this node is */
    uint64_t seen_wall_ns;
    uint64_t lost_ns;               /* while CHANNEL_CONTROL is not up: when it counts as lost */
    uint64_t probed_ns;             /* asked for a sign of life; 0: it gave one since */
    uint64_t snapshot_seq;          /* events up to it are older than what the HELLO told */
    struct ingest ingest;           /* how far its events were taken, and are durable */
    uint64_t ack_due;               /* seq to acknowledge at the end of the turn; 0: none */
    uint64_t acked;                 /* ... that was acknowledged last in this session; 0: none */
    uint64_t agent_started_wall_ns; /* of the agent that said HELLO last */
    uint64_t rival_told_ns; /* when the log last had that several claim its name; 0: never */
    uint64_t lost_bulk; /* the session on bulk that ended here, which its agent may still hold */
    struct link_peer lost_bulk_peer;
    uint32_t creating; /* containers on their way to it */
    struct member *next_touched;
    bool is_touched;      /* in sessions.touched */
    struct known **known; /* sorted by name */
    size_t known_count;
    size_t known_room;
    uint64_t list_mark; /* of the last whole list, or of the one that is coming in */
    bool is_list_begun; /* one is */
    uint64_t place_last;
    uint64_t place_told; /* the last one in the list that is coming in; 0: it begins */
};

struct registry {
    struct member *members[MEMBERS_MAX]; /* by index, in order of their first word */
    struct member *by_name[MEMBERS_MAX]; /* the same, sorted */
    uint32_t member_count;
    uint64_t mark;        /* of the last list that was asked for */
    struct known **dirty; /* not stored as they are */
    size_t dirty_count;
    size_t dirty_room;
    struct ctl_batch *dropped; /* containers that are stored and are no more; NULL: none */
    bool is_loading;           /* what is told is what is stored */
};

void registry_close(struct registry *registry);

struct member *registry_find(const struct registry *registry, const char *name); /* or NULL */
/* One that registry_find() does not know. */
int registry_add(struct registry *registry, const char *name, struct member **ret_member);
bool member_is_up(const struct member *member);
/* With a live init, as the node itself counts them. */
uint32_t member_running(const struct member *member);

/* By name or by id; NULL: not that this node told. */
struct known *known_find(const struct member *member, const char *container);
/* Insert or replace by what was told beside all lists that were asked for so far: their mark is not
 * above this one. */
int known_tell(struct member *member, const struct container_view *view, uint64_t mark);
/* The next one of the list with this mark. Lists of one node come in one after the other. */
int known_list(struct member *member, const struct container_view *view, uint64_t mark);
void known_apply_event(struct member *member, const struct event *event, uint64_t mark);
void known_remove(struct member *member, const struct known *known);
/* The list is whole: forget those that match its selectors (none: all) and were not told. */
void known_sweep(struct member *member, uint64_t mark, const char *const *selectors,
                 size_t selector_count);
bool known_is_selected(const struct known *known, const char *const *selectors,
                       size_t selector_count);
bool known_has_init(const struct known *known);

/* registry_store.c: what has changed since the last call, as changes of the store. */
void registry_store(struct registry *registry, struct ctl_batch *batch);
bool registry_has_changes(const struct registry *registry);
/* With the configuration that its node told; empty: it stays as it is. */
void registry_store_known(const struct known *known, const struct member *member,
                          const struct octets *config, struct ctl_batch *batch);
void known_mark_dirty(struct member *member, struct known *known);
void known_mark_dropped(struct member *member, struct known *known);
/* A container as it was stored. -EBADMSG: that is none. */
int registry_load_container(struct registry *registry, const struct ctl_container *container);

#endif
