/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results.h — what became of each command, by its request id: asked again, it is told, not done.
 *
 * Shape    a bounded ring with a hash index; the oldest final results make room. The store keeps
 *          the same for after a restart, and more: once is_partial, an id that is not known here is
 *          looked up there (recall.h).
 * Units    counts.
 * Errors   NULL: not known.
 * Owner    struct agent.
 * Context  the loop's thread.
 */
#ifndef DROVER_RESULTS_H
#define DROVER_RESULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"

#define RESULTS_MAX 8192
#define RESULT_LISTENERS_MAX 4

struct result {
    struct ct_receipt receipt; /* its last word; phase ACCEPTED: in progress */
    uint64_t hash;             /* of the command */
    uint8_t uuid[UUID_BYTES];
    uint64_t generation;
    uint64_t listeners[RESULT_LISTENERS_MAX]; /* origins that wait for the final word */
    uint32_t listener_count;
    uint32_t chain; /* index + 1 of the next in its bucket */
};

struct results {
    struct result *ring; /* RESULTS_MAX */
    uint32_t *buckets;
    uint32_t next;
    uint32_t high;   /* entries from here on were never used: nobody need look at them */
    bool is_partial; /* one made room since the start */
};

int results_open(struct results *results);
void results_close(struct results *results);
struct result *results_find(struct results *results, const char *request);
/* What node.db keeps of it. */
struct store_result;
void result_fill(struct result *result, const struct store_result *stored);
/* A SET that another agent carries on tells of no keys: what was noted of them stays. */
void results_keep_keys(const struct result *result, struct store_result *stored);
/* A new one, in progress. NULL: everything in the ring is in progress. */
struct result *results_add(struct results *results, const char *request, uint64_t hash);
/* Another origin that is to hear the end; false: there are enough. */
bool result_listen(struct result *result, uint64_t origin);

/* What a command is answered from what is known of its request id. */
enum asked {
    ASKED_NEW,     /* nothing is known: it may be done */
    ASKED_AGAIN,   /* its result: *ret_result's receipt is said again */
    ASKED_WAITING, /* in progress: `origin` will hear its end; ACCEPTED is said if it was */
    ASKED_REUSED,  /* the id belongs to another command */
    ASKED_CROWDED  /* too many wait for it already */
};
enum asked results_ask(struct results *results, const char *request, uint64_t hash, uint64_t origin,
                       struct result **ret_result);
/* A word was said of a command, a refusal too: it is kept, and said again to who asks again. A copy
 * of a refused command that is still on its way must not be done. Returns how many of
 * ret_listeners (RESULT_LISTENERS_MAX) hear it; nobody asked by this id: the receipt's origin. */
uint32_t results_settle(struct results *results, const struct ct_receipt *receipt,
                        uint64_t *ret_listeners);

#endif
