/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal.h — the person's terminal, raw while a guest has it, and given back whatever happens.
 *
 * Shape    one terminal a process: what it was before lies in static storage, for signal handlers.
 * Units    rows and columns.
 * Errors   -errno.
 * Owner    the process; terminal_restore() may be called at any time, any number of times.
 * Context  one thread. Source: termios(3), signal-safety(7): tcsetattr is safe in a handler.
 */
#ifndef DROVER_TERMINAL_H
#define DROVER_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

/* From here on a crash of ours restores it too. */
int terminal_make_raw(int fd);
/* Raw again after a stop and a continuation by job control. */
void terminal_make_raw_again(void);
void terminal_restore(void);

/* False: fd is no terminal, or does not know. */
bool terminal_size(int fd, uint16_t *ret_rows, uint16_t *ret_columns);

#endif
