/* SPDX-License-Identifier: Apache-2.0 */
/* Batches, reads and commands as heap objects: see ctl_store.h. */
#include <stdlib.h>
#include <string.h>

#include "ctl_store.h"
#include "ensure.h"

#define ROOM_FIRST 8

struct ctl_batch *ctl_batch_new(void)
{
    struct ctl_batch *batch = calloc(1, sizeof(*batch));

    ENSURE(batch != NULL);
    return batch;
}

void ctl_octets_own(struct octets *octets)
{
    if (octets->size_bytes == 0) {
        *octets = (struct octets){0};
        return;
    }
    uint8_t *copy = malloc(octets->size_bytes);
    ENSURE(copy != NULL);
    memcpy(copy, octets->data, octets->size_bytes);
    octets->data = copy;
}

static void octets_free(struct octets *octets)
{
    free((void *)(uintptr_t)octets->data); /* const is for those who read it */
}

static void command_own(struct ctl_command *command)
{
    ctl_octets_own(&command->command);
    ctl_octets_own(&command->receipt);
}

static void command_close(struct ctl_command *command)
{
    octets_free(&command->command);
    octets_free(&command->receipt);
}

struct ctl_change *ctl_batch_add(struct ctl_batch *batch, const struct ctl_change *change)
{
    if (batch->count == batch->room) {
        batch->room = batch->room == 0 ? ROOM_FIRST : batch->room * 2;
        batch->changes = realloc(batch->changes, batch->room * sizeof(*batch->changes));
        ENSURE(batch->changes != NULL);
    }
    struct ctl_change *added = &batch->changes[batch->count++];
    *added = *change;
    if (added->kind == CTL_PUT_CONTAINER) {
        ctl_octets_own(&added->container.view);
        ctl_octets_own(&added->container.config);
    } else if (added->kind == CTL_ADD_COMMAND) {
        command_own(&added->command.given);
    } else if (added->kind == CTL_PUT_RECEIPT) {
        command_own(&added->receipt);
    }
    return added;
}

static void change_close(struct ctl_change *change)
{
    if (change->kind == CTL_PUT_CONTAINER) {
        octets_free(&change->container.view);
        octets_free(&change->container.config);
    } else if (change->kind == CTL_ADD_COMMAND) {
        command_close(&change->command.given);
        ctl_command_free(change->command.found);
    } else if (change->kind == CTL_PUT_RECEIPT) {
        command_close(&change->receipt);
    }
}

void ctl_batch_free(struct ctl_batch *batch)
{
    if (batch == NULL)
        return;
    for (size_t i = 0; i < batch->count; i++)
        change_close(&batch->changes[i]);
    free(batch->changes);
    free(batch);
}

struct ctl_command *ctl_command_new(const struct ctl_command *command)
{
    struct ctl_command *copy = malloc(sizeof(*copy));

    ENSURE(copy != NULL);
    *copy = *command;
    command_own(copy);
    return copy;
}

void ctl_command_free(struct ctl_command *command)
{
    if (command == NULL)
        return;
    command_close(command);
    free(command);
}

struct ctl_read *ctl_read_new(enum ctl_read_kind kind)
{
    struct ctl_read *read = calloc(1, sizeof(*read));

    if (read == NULL)
        return NULL;
    read->kind = kind;
    if (kind == CTL_READ_EVENTS) {
        read->events = malloc(CTL_READ_EVENTS_MAX * sizeof(*read->events));
        if (read->events == NULL) {
            free(read);
            return NULL;
        }
    }
    return read;
}

void ctl_read_free(struct ctl_read *read)
{
    if (read == NULL)
        return;
    free(read->events);
    ctl_command_free(read->found);
    octets_free(&read->config);
    free(read);
}
