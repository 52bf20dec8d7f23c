/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h — what went wrong, in the form in which it travels from where it is known to the person.
 *
 * Shape    a status (with its exit code), an errno, words and a hint; never allocated.
 * Units    error is a positive errno, 0 when none stands behind it.
 * Errors   fault_set() cuts words that do not fit.
 * Owner    the caller; set only on failure.
 * Context  pure.
 */
#ifndef DROVER_FAULT_H
#define DROVER_FAULT_H

#include "status.h"

#define FAULT_TEXT_BYTES 200
#define FAULT_HINT_BYTES 120

struct fault {
    enum status status; /* STATUS_UNSET: no fault */
    int error;
    char text[FAULT_TEXT_BYTES];
    char hint[FAULT_HINT_BYTES]; /* what to do; may be empty */
};

/* `format` knows %s, %u (uint64_t), %d (int64_t) and %%: no more, so that it needs no library. */
void fault_set(struct fault *fault, enum status status, int error, const char *format, ...);
void fault_hint(struct fault *fault, const char *hint);

#endif
