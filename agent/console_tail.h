/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console_tail.h — what a guest said on its console: copied out of the ring, kept after its end.
 *
 * Shape    console_tail_read() copies from a position on; console_tail_keep() writes the whole ring
 *          to containers/UUID/console, which the next generation's end replaces.
 * Units    octets ever written to the ring.
 * Errors   keeping is best effort: a full disk loses a log, never an end.
 * Owner    the caller.
 * Context  read: any thread while the ring is mapped. keep, find: a worker. Source: keeper_wire.h,
 *          struct kw_ring.
 */
#ifndef DROVER_CONSOLE_TAIL_H
#define DROVER_CONSOLE_TAIL_H

#include "keeper_wire.h"
#include "rootfs.h"

/* Copy at most room octets from *position on and advance it. What was overrun meanwhile is skipped
 * (*position jumps). Returns how many were copied; 0: nothing new. */
size_t console_tail_read(const struct kw_ring *ring, size_t ring_bytes, uint64_t *position,
                         void *data, size_t room);

void console_tail_keep(const struct rootfs *rootfs, const uint8_t uuid[UUID_BYTES],
                       const struct kw_ring *ring, size_t ring_bytes);
/* Open what was kept; -1: nothing. */
int console_tail_open(const struct rootfs *rootfs, const uint8_t uuid[UUID_BYTES]);

#endif
