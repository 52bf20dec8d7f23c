/* SPDX-License-Identifier: Apache-2.0 */
/* Open requests by id and in order, and those that are looked for: see requests.h. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "registry.h"
#include "requests.h"

static struct request **bucket_of(struct requests *requests, const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    for (; *id != '\0'; id++)
        hash = (hash ^ (uint8_t)*id) * UINT64_C(1099511628211);
    return &requests->buckets[hash % REQUEST_BUCKETS];
}

struct request *requests_find(struct requests *requests, const char *id)
{
    struct request *request = *bucket_of(requests, id);

    while (request != NULL && strcmp(request->id, id) != 0)
        request = request->chain;
    return request;
}

static void list_add(struct requests *requests, struct request *request)
{
    request->prev = requests->last;
    if (requests->last != NULL)
        requests->last->next = request;
    else
        requests->first = request;
    requests->last = request;
}

static void list_remove(struct requests *requests, struct request *request)
{
    if (request->prev != NULL)
        request->prev->next = request->next;
    else
        requests->first = request->next;
    if (request->next != NULL)
        request->next->prev = request->prev;
    else
        requests->last = request->prev;
}

struct request *requests_add(struct requests *requests, const char *id, struct member *member,
                             enum verb verb, const char *container)
{
    if (requests->count >= REQUESTS_MAX)
        return NULL;
    struct request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return NULL;
    memcpy(request->id, id, strlen(id) + 1); /* its length was checked, as the container's */
    memcpy(request->container, container, strlen(container) + 1);
    request->member = member;
    request->verb = verb;
    request->again_wait_ns = REQUEST_AGAIN_NS;
    if (verb == VERB_CREATE)
        member->creating++;
    struct request **bucket = bucket_of(requests, id);
    request->chain = *bucket;
    *bucket = request;
    list_add(requests, request);
    requests->count++;
    return request;
}

void requests_remove(struct requests *requests, struct request *request)
{
    struct request **at = bucket_of(requests, request->id);

    while (*at != request)
        at = &(*at)->chain;
    *at = request->chain;
    list_remove(requests, request);
    if (request->verb == VERB_CREATE)
        request->member->creating--;
    requests->count--;
    buffer_close(&request->command);
    buffer_close(&request->receipt);
    free(request->listeners);
    free(request);
}

bool requests_listen(struct request *request, uint64_t client)
{
    for (uint32_t i = 0; i < request->listener_count; i++)
        if (request->listeners[i] == client)
            return true;
    if (request->listener_count == REQUEST_LISTENERS_MAX)
        return false;
    uint64_t *grown = realloc(request->listeners, (request->listener_count + 1) * sizeof(*grown));
    if (grown == NULL)
        return false;
    request->listeners = grown;
    request->listeners[request->listener_count++] = client;
    return true;
}

int requests_digest(const struct message *message, uint8_t ret_digest[CTL_DIGEST_BYTES])
{
    struct message timeless = *message;
    struct buffer buffer = {0};

    timeless.command.time_left_ns = 0;
    int result = codec_encode(&timeless, &buffer);
    if (result == 0)
        (void)crypto_generichash(ret_digest, CTL_DIGEST_BYTES, buffer.data, buffer.size_bytes, NULL,
                                 0); /* cannot fail for this length */
    buffer_close(&buffer);
    return result;
}

const struct request *requests_find_create(const struct requests *requests, const char *container)
{
    for (const struct request *at = requests->first; at != NULL; at = at->next)
        if (at->verb == VERB_CREATE && strcmp(at->container, container) == 0)
            return at;
    return NULL;
}

/* ---- lookups ---- */

void lookups_free(struct lookup *lookup)
{
    buffer_close(&lookup->message);
    free(lookup);
}

struct lookup *lookups_add(struct requests *requests, uint64_t client,
                           const struct message *message)
{
    struct lookup *lookup =
        requests->lookup_count < LOOKUPS_MAX ? calloc(1, sizeof(*lookup)) : NULL;

    if (lookup == NULL)
        return NULL;
    lookup->client = client;
    lookup->read = ctl_read_new(CTL_READ_COMMAND);
    if (lookup->read == NULL || codec_encode(message, &lookup->message) < 0) {
        ctl_read_free(lookup->read);
        lookups_free(lookup);
        return NULL;
    }
    lookup->next = requests->lookups;
    requests->lookups = lookup;
    requests->lookup_count++;
    return lookup;
}

struct lookup *lookups_take(struct requests *requests, const struct ctl_read *read)
{
    struct lookup **at = &requests->lookups;

    while ((*at)->read != read)
        at = &(*at)->next;
    struct lookup *lookup = *at;
    *at = lookup->next;
    requests->lookup_count--;
    return lookup;
}

void requests_close(struct requests *requests)
{
    while (requests->first != NULL)
        requests_remove(requests, requests->first);
    while (requests->lookups != NULL) {
        struct lookup *lookup = requests->lookups;

        requests->lookups = lookup->next;
        lookups_free(lookup); /* its read went with the store */
    }
}
