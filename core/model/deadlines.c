/* SPDX-License-Identifier: Apache-2.0 */
#include "deadlines.h"

#include "ensure.h"

static void put(struct deadlines *deadlines, uint32_t position, uint32_t index)
{
    deadlines->heap[position] = index;
    deadlines->place[index] = position + 1;
}

static void rise(struct deadlines *deadlines, uint32_t position)
{
    uint32_t index = deadlines->heap[position];

    while (position > 0) {
        uint32_t parent = (position - 1) / 2;

        if (deadlines->due_ns[deadlines->heap[parent]] <= deadlines->due_ns[index])
            break;
        put(deadlines, position, deadlines->heap[parent]);
        position = parent;
    }
    put(deadlines, position, index);
}

static void sink(struct deadlines *deadlines, uint32_t position)
{
    uint32_t index = deadlines->heap[position];

    for (;;) {
        uint32_t child = 2 * position + 1;

        if (child >= deadlines->count)
            break;
        if (child + 1 < deadlines->count && deadlines->due_ns[deadlines->heap[child + 1]] <
                                                deadlines->due_ns[deadlines->heap[child]])
            child++;
        if (deadlines->due_ns[index] <= deadlines->due_ns[deadlines->heap[child]])
            break;
        put(deadlines, position, deadlines->heap[child]);
        position = child;
    }
    put(deadlines, position, index);
}

static void drop(struct deadlines *deadlines, uint32_t index)
{
    uint32_t position = deadlines->place[index] - 1;
    uint32_t last = deadlines->heap[--deadlines->count];

    deadlines->place[index] = 0;
    if (last == index)
        return;
    put(deadlines, position, last);
    rise(deadlines, position);
    sink(deadlines, deadlines->place[last] - 1);
}

void deadlines_set(struct deadlines *deadlines, uint32_t index, uint64_t due_ns)
{
    ENSURE(index < CT_MAX);
    bool is_in = deadlines->place[index] != 0;

    if (is_in && deadlines->due_ns[index] == due_ns)
        return;
    if (is_in)
        drop(deadlines, index);
    deadlines->due_ns[index] = due_ns;
    if (due_ns == 0)
        return;
    ENSURE(deadlines->count < CT_MAX);
    put(deadlines, deadlines->count, index);
    deadlines->count++;
    rise(deadlines, deadlines->count - 1);
}

uint64_t deadlines_next(const struct deadlines *deadlines)
{
    return deadlines->count == 0 ? 0 : deadlines->due_ns[deadlines->heap[0]];
}

bool deadlines_find_due(const struct deadlines *deadlines, uint64_t now_ns, uint32_t *ret_index)
{
    if (deadlines->count == 0 || deadlines->due_ns[deadlines->heap[0]] > now_ns)
        return false;
    *ret_index = deadlines->heap[0];
    return true;
}
