/* SPDX-License-Identifier: Apache-2.0 */
#include "inbox.h"

#include <stdlib.h>
#include <string.h>

#include "ensure.h"

#define INBOX_ROOM_FIRST 64

static void grow(struct inbox_queue *queue)
{
    size_t room = queue->room == 0 ? INBOX_ROOM_FIRST : queue->room * 2;
    struct input *inputs = calloc(room, sizeof(*inputs));

    ENSURE(inputs != NULL);
    for (size_t i = 0; i < queue->count; i++)
        inputs[i] = queue->inputs[(queue->first + i) % queue->room];
    free(queue->inputs);
    queue->inputs = inputs;
    queue->room = room;
    queue->first = 0;
}

static bool take(struct inbox_queue *queue, struct input *ret_input)
{
    if (queue->count == 0)
        return false;
    *ret_input = queue->inputs[queue->first];
    queue->first = (queue->first + 1) % queue->room;
    queue->count--;
    return true;
}

void inbox_close(struct inbox *inbox)
{
    free(inbox->observations.inputs);
    free(inbox->commands.inputs);
    memset(inbox, 0, sizeof(*inbox));
}

void inbox_post(struct inbox *inbox, const struct input *input)
{
    struct inbox_queue *queue =
        input->kind == INPUT_COMMAND ? &inbox->commands : &inbox->observations;

    if (queue->count == queue->room)
        grow(queue);
    queue->inputs[(queue->first + queue->count++) % queue->room] = *input;
}

bool inbox_take(struct inbox *inbox, struct input *ret_input)
{
    return take(&inbox->observations, ret_input) || take(&inbox->commands, ret_input);
}

bool inbox_is_empty(const struct inbox *inbox)
{
    return inbox->observations.count == 0 && inbox->commands.count == 0;
}
