/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.h — one daemon to a directory.
 *
 * Shape    flock(2) on DIR/NAME, which holds the owner's pid as text.
 * Units    none.
 * Errors   STATUS_BUSY with the holder's pid; else -errno and a fault that names the path.
 * Owner    the caller keeps the descriptor as long as the lock is to hold.
 * Context  at start.
 */
#ifndef DROVER_LOCK_H
#define DROVER_LOCK_H

#include <sys/types.h>

#include "fault.h"

/* The directory is made with `mode` if it is missing. */
int lock_directory(const char *directory, const char *name, mode_t mode, int *ret_fd,
                   struct fault *fault);

#endif
