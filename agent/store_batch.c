/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "ensure.h"
#include "store_parts.h"

#define BATCH_ROOM_FIRST 4 /* an intent, a result, an event, a row: most turns */

struct store_batch *store_batch_new(void)
{
    struct store_batch *batch = calloc(1, sizeof(*batch));

    ENSURE(batch != NULL);
    return batch;
}

void store_batch_free(struct store_batch *batch)
{
    if (batch == NULL)
        return;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->changes[i].kind == STORE_PUT_ROW)
            free((void *)(uintptr_t)batch->changes[i].row.config.data);
    free(batch->changes);
    free(batch);
}

static void copy_config(struct octets *config, bool has_config)
{
    if (!has_config || config->size_bytes == 0) {
        *config = (struct octets){0};
        return;
    }
    uint8_t *copy = malloc(config->size_bytes);
    ENSURE(copy != NULL);
    memcpy(copy, config->data, config->size_bytes);
    config->data = copy;
}

void store_batch_add(struct store_batch *batch, const struct store_change *change)
{
    if (batch->count == batch->room) {
        batch->room = batch->room == 0 ? BATCH_ROOM_FIRST : batch->room * 2;
        batch->changes = realloc(batch->changes, batch->room * sizeof(*batch->changes));
        ENSURE(batch->changes != NULL);
    }
    struct store_change *added = &batch->changes[batch->count++];
    *added = *change;
    if (added->kind == STORE_PUT_ROW)
        copy_config(&added->row.config, added->row.has_config);
    if (added->kind == STORE_ADD_EVENT) {
        ENSURE(added->event.seq > batch->last_seq);
        batch->last_seq = added->event.seq;
    }
}
