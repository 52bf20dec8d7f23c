/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h — what the codec needs of an arena beyond codec.h.
 *
 * Shape    blocks in a list, the newest first; a taking never moves.
 * Units    octets.
 * Errors   NULL above the cap or without memory.
 * Owner    the arena, but for a lent block, which is its lender's.
 * Context  one thread. Only proto/arena.c and proto/codec*.c include this.
 */
#ifndef DROVER_ARENA_H
#define DROVER_ARENA_H

#include "codec.h"

struct arena_block {
    struct arena_block *next;
    size_t room_bytes; /* of data */
    size_t used_bytes;
    bool is_lent;
    _Alignas(16) uint8_t data[];
};

/* The first takings come from `memory`, aligned to 16, which must outlive the arena. */
void arena_lend(struct arena *arena, void *memory, size_t size_bytes);

/* Would a taking of this size be within the cap? */
bool arena_has_room(const struct arena *arena, size_t size_bytes);

/* Room for this much more, without claiming it: data + size_bytes is where it begins. */
int buffer_reserve(struct buffer *buffer, size_t size_bytes);

#endif
