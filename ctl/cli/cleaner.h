/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner.h — what a guest wrote, as it comes, made harmless for a terminal.
 *
 * Shape    struct cleaner holds back a character or a sequence that is not whole yet.
 * Units    octets.
 * Errors   -ENOMEM.
 * Owner    the caller's struct; {0} is the beginning.
 * Context  pure but for malloc. Colours pass if they may, other well-formed control sequences fall
 *          away, and what is left of controls is shown as \xNN. Source: ECMA-48 5.4.
 */
#ifndef DROVER_CLEANER_H
#define DROVER_CLEANER_H

#include "codec.h"

#define CLEANER_HELD_MAX 64 /* octets of a control sequence; a longer one is shown */

struct cleaner {
    bool has_colour;  /* colours pass */
    bool is_coloured; /* one did */
    uint8_t held[CLEANER_HELD_MAX];
    size_t held_bytes;
};

int cleaner_take(struct cleaner *cleaner, struct octets from, struct buffer *to);
/* What was held back, and the terminal's own colour again. */
int cleaner_finish(struct cleaner *cleaner, struct buffer *to);

#endif
