/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hook_words.h — what a script of the host says: each line goes to the log, the last one is kept
 * for its fault.
 *
 * Shape    one function over a piece of text.
 * Units    octets.
 * Errors   none: what a terminal would obey becomes `?`, what does not fit is cut.
 * Owner    the caller.
 * Context  any thread; writes to the log alone.
 */
#ifndef DROVER_HOOK_WORDS_H
#define DROVER_HOOK_WORDS_H

#include <stddef.h>
#include <stdio.h>

#include "hooks.h"

#define HOOK_SAID_BYTES 128 /* of the last words that are kept */

/*
 * Take a piece of what the script of this point said.
 *   said  in/out  the last line that is not empty; as it was where there is none
 */
void hook_words_take(FILE *log, const char *container, enum hook_point point, const char *text,
                     size_t size_bytes, char said[HOOK_SAID_BYTES]);

#endif
