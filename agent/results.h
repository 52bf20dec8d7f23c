/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results.h — what became of each command, by its request id: asked again, it is told, not done.
 *
 * Shape    a bounded ring with a hash index; the oldest final results make room. The store keeps
 *          the same for after a restart.
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
    bool is_accepted;          /* false: it waits for its turn, and may yet be refused */
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
};

int results_open(struct results *results);
void results_close(struct results *results);
struct result *results_find(struct results *results, const char *request);
/* A new one, in progress. NULL: everything in the ring is in progress. */
struct result *results_add(struct results *results, const char *request, uint64_t hash);
/* A refusal leaves no trace. */
void results_remove(struct results *results, struct result *result);
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
/* A word was said of a command: kept, or forgotten with its refusal. Returns how many of
 * ret_listeners (RESULT_LISTENERS_MAX) hear it; nobody asked by this id: the receipt's origin. */
uint32_t results_settle(struct results *results, const struct ct_receipt *receipt,
                        uint64_t *ret_listeners);

#endif
