/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subid.h — does the range that containers get their ids from belong to somebody else?
 *
 * Shape    one check against /etc/subuid and /etc/subgid.
 * Units    ids.
 * Errors   STATUS_INVALID with file, owner and range of the first overlap; a missing file owns
 *          none.
 * Owner    nobody.
 * Context  once, at start. Source: subuid(5): NAME:START:COUNT.
 */
#ifndef DROVER_SUBID_H
#define DROVER_SUBID_H

#include <stdint.h>

#include "fault.h"

/* Entries of `root` and `drover` are taken as made for us. */
int subid_check(uint32_t base, uint32_t count, struct fault *fault);
/* The same for one file; for tests. */
int subid_check_file(const char *path, uint32_t base, uint32_t count, struct fault *fault);

#endif
