/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Design notes. Only the newest block is taken from. A reset keeps blocks up to ARENA_KEPT_BYTES,
 * so that one large message does not hold its memory for the life of a connection.
 */
#include "arena.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ensure.h"

#define ARENA_ALIGN_BYTES 16
#define ARENA_FIRST_BYTES (16 * 1024)
#define ARENA_BLOCK_BYTES (1024 * 1024) /* blocks double up to here; larger for a larger taking */
#define ARENA_KEPT_BYTES (256 * 1024)
#define BUFFER_FIRST_BYTES 512

static_assert(sizeof(struct arena_block) % ARENA_ALIGN_BYTES == 0, "data is aligned");

/* What a taking costs: none is free, so that any number of empty ones meets the cap. */
static size_t round_up(size_t size_bytes)
{
    if (size_bytes == 0)
        return ARENA_ALIGN_BYTES;
    return (size_bytes + ARENA_ALIGN_BYTES - 1) & ~(size_t)(ARENA_ALIGN_BYTES - 1);
}

static size_t cap_of(const struct arena *arena)
{
    return arena->cap_bytes != 0 ? arena->cap_bytes : ARENA_BYTES_MAX;
}

void arena_lend(struct arena *arena, void *memory, size_t size_bytes)
{
    struct arena_block *block = memory;

    ENSURE(size_bytes > sizeof(*block));
    *block = (struct arena_block){
        .next = arena->blocks, .room_bytes = size_bytes - sizeof(*block), .is_lent = true};
    arena->blocks = block;
}

void arena_reset(struct arena *arena)
{
    struct arena_block **at = &arena->blocks;
    size_t kept_bytes = 0;

    while (*at != NULL) {
        struct arena_block *block = *at;
        if (kept_bytes + block->room_bytes > ARENA_KEPT_BYTES && !block->is_lent) {
            *at = block->next;
            free(block);
            continue;
        }
        kept_bytes += block->room_bytes;
        block->used_bytes = 0;
        at = &block->next;
    }
    arena->used_bytes = 0;
}

void arena_close(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        if (!block->is_lent)
            free(block);
    }
    arena->used_bytes = 0;
}

bool arena_has_room(const struct arena *arena, size_t size_bytes)
{
    size_t left_bytes = cap_of(arena) - arena->used_bytes;
    return size_bytes <= left_bytes && round_up(size_bytes) <= left_bytes;
}

/* An older block that a reset emptied comes to the front before a new one is made. */
static struct arena_block *find_block(struct arena *arena, size_t size_bytes)
{
    struct arena_block **at = &arena->blocks;
    size_t newest_bytes = arena->blocks != NULL ? arena->blocks->room_bytes : 0;

    for (; *at != NULL; at = &(*at)->next) {
        struct arena_block *block = *at;
        bool is_newest = block == arena->blocks;
        if (block->room_bytes - block->used_bytes < size_bytes ||
            (!is_newest && block->used_bytes != 0))
            continue;
        *at = block->next;
        block->next = arena->blocks;
        arena->blocks = block;
        return block;
    }

    size_t room_bytes = newest_bytes < ARENA_FIRST_BYTES ? ARENA_FIRST_BYTES : newest_bytes * 2;
    if (room_bytes > ARENA_BLOCK_BYTES)
        room_bytes = ARENA_BLOCK_BYTES;
    if (room_bytes < size_bytes)
        room_bytes = size_bytes;
    struct arena_block *block = malloc(sizeof(*block) + room_bytes);
    if (block == NULL)
        return NULL;
    *block = (struct arena_block){.next = arena->blocks, .room_bytes = room_bytes};
    arena->blocks = block;
    return block;
}

void *arena_take(struct arena *arena, size_t size_bytes)
{
    if (!arena_has_room(arena, size_bytes))
        return NULL;
    size_t taken_bytes = round_up(size_bytes);
    struct arena_block *block = arena->blocks;
    if (block == NULL || block->room_bytes - block->used_bytes < taken_bytes)
        block = find_block(arena, taken_bytes);
    if (block == NULL)
        return NULL;

    void *taken = block->data + block->used_bytes;
    block->used_bytes += taken_bytes;
    arena->used_bytes += taken_bytes;
    return memset(taken, 0, taken_bytes);
}

const char *arena_text(struct arena *arena, const char *text)
{
    size_t size_bytes = text != NULL ? strlen(text) + 1 : 1;
    char *copy = arena_take(arena, size_bytes);

    if (copy != NULL && text != NULL)
        memcpy(copy, text, size_bytes);
    return copy;
}

void buffer_close(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

int buffer_reserve(struct buffer *buffer, size_t size_bytes)
{
    size_t room_bytes = buffer->room_bytes != 0 ? buffer->room_bytes : BUFFER_FIRST_BYTES;

    if (buffer->room_bytes - buffer->size_bytes >= size_bytes)
        return 0;
    if (size_bytes > SIZE_MAX / 4 || buffer->size_bytes > SIZE_MAX / 4)
        return -ENOMEM;
    while (room_bytes - buffer->size_bytes < size_bytes)
        room_bytes *= 2;
    uint8_t *data = realloc(buffer->data, room_bytes);
    if (data == NULL)
        return -ENOMEM;
    buffer->data = data;
    buffer->room_bytes = room_bytes;
    return 0;
}

int buffer_append(struct buffer *buffer, const void *data, size_t size_bytes)
{
    int result = buffer_reserve(buffer, size_bytes);

    if (result < 0)
        return result;
    if (size_bytes > 0)
        memcpy(buffer->data + buffer->size_bytes, data, size_bytes);
    buffer->size_bytes += size_bytes;
    return 0;
}

void buffer_consume(struct buffer *buffer, size_t size_bytes)
{
    ENSURE(size_bytes <= buffer->size_bytes);
    buffer->size_bytes -= size_bytes;
    if (size_bytes > 0 && buffer->size_bytes > 0)
        memmove(buffer->data, buffer->data + size_bytes, buffer->size_bytes);
}
