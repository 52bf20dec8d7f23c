/* SPDX-License-Identifier: Apache-2.0 */
#include "results.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ensure.h"
#include "store.h"

#define BUCKETS (RESULTS_MAX * 2)

/* FNV-1a: ids are random or the sender's own harm. */
static uint32_t bucket_of(const char *request)
{
    uint32_t hash = 2166136261u;

    for (; *request != '\0'; request++)
        hash = (hash ^ (uint8_t)*request) * 16777619u;
    return hash % BUCKETS;
}

int results_open(struct results *results)
{
    *results = (struct results){.ring = calloc(RESULTS_MAX, sizeof(*results->ring)),
                                .buckets = calloc(BUCKETS, sizeof(*results->buckets))};
    return results->ring == NULL || results->buckets == NULL ? -ENOMEM : 0;
}

void results_close(struct results *results)
{
    free(results->ring);
    free(results->buckets);
}

struct result *results_find(struct results *results, const char *request)
{
    uint32_t at = results->buckets[bucket_of(request)];

    while (at != 0) {
        struct result *result = &results->ring[at - 1];

        if (strcmp(result->receipt.request, request) == 0)
            return result;
        at = result->chain;
    }
    return NULL;
}

static void forget(struct results *results, uint32_t index)
{
    struct result *result = &results->ring[index];

    if (result->receipt.phase == PHASE_UNSET)
        return;
    uint32_t *at = &results->buckets[bucket_of(result->receipt.request)];
    while (*at != index + 1) {
        ENSURE(*at != 0);
        at = &results->ring[*at - 1].chain;
    }
    *at = result->chain;
    results->is_partial = true;
}

void result_fill(struct result *result, const struct store_result *stored)
{
    result->receipt.verb = stored->verb;
    result->receipt.phase = stored->phase;
    result->receipt.fault.status = stored->status;
    result->receipt.fault.error = stored->error;
    memcpy(result->receipt.fault.text, stored->text, FAULT_TEXT_BYTES);
    result->receipt.applied = stored->applied;
    result->receipt.at_next_start = stored->at_next_start;
    memcpy(result->uuid, stored->uuid, UUID_BYTES);
    result->generation = stored->generation;
}

void results_keep_keys(const struct result *result, struct store_result *stored)
{
    bool is_done = stored->phase == PHASE_DONE || stored->phase == PHASE_ACCEPTED;

    if (!is_done || stored->applied != 0 || stored->at_next_start != 0)
        return;
    stored->applied = result->receipt.applied;
    stored->at_next_start = result->receipt.at_next_start;
}

struct result *results_add(struct results *results, const char *request, uint64_t hash)
{
    uint32_t tried = 0;

    while (results->ring[results->next].receipt.phase == PHASE_ACCEPTED) {
        if (++tried == RESULTS_MAX)
            return NULL;
        results->next = (results->next + 1) % RESULTS_MAX;
    }
    uint32_t index = results->next;
    struct result *result = &results->ring[index];
    forget(results, index);
    *result = (struct result){.hash = hash};
    result->receipt.phase = PHASE_ACCEPTED;
    (void)strncpy(result->receipt.request, request, REQUEST_ID_BYTES - 1);
    uint32_t *bucket = &results->buckets[bucket_of(result->receipt.request)];
    result->chain = *bucket;
    *bucket = index + 1;
    results->next = (index + 1) % RESULTS_MAX;
    if (results->high <= index)
        results->high = index + 1;
    return result;
}

bool result_listen(struct result *result, uint64_t origin)
{
    for (uint32_t i = 0; i < result->listener_count; i++)
        if (result->listeners[i] == origin)
            return true;
    if (result->listener_count == RESULT_LISTENERS_MAX)
        return false;
    result->listeners[result->listener_count++] = origin;
    return true;
}

enum asked results_ask(struct results *results, const char *request, uint64_t hash, uint64_t origin,
                       struct result **ret_result)
{
    struct result *result = results_find(results, request);

    if (result == NULL)
        return ASKED_NEW;
    if (result->hash != hash)
        return ASKED_REUSED;
    *ret_result = result;
    if (result->receipt.phase != PHASE_ACCEPTED)
        return ASKED_AGAIN;
    return result_listen(result, origin) ? ASKED_WAITING : ASKED_CROWDED;
}

uint32_t results_settle(struct results *results, const struct ct_receipt *receipt,
                        uint64_t *ret_listeners)
{
    struct result *result = results_find(results, receipt->request);

    if (result == NULL) {
        ret_listeners[0] = receipt->origin;
        return 1;
    }
    uint32_t count = result->listener_count;
    struct store_result kept = {.phase = receipt->phase,
                                .applied = receipt->applied,
                                .at_next_start = receipt->at_next_start};
    memcpy(ret_listeners, result->listeners, sizeof(result->listeners));
    results_keep_keys(result, &kept);
    result->receipt = *receipt;
    result->receipt.applied = kept.applied;
    result->receipt.at_next_start = kept.at_next_start;
    return count;
}
