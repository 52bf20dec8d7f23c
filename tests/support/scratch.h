/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch.h — a new directory for a test's files.
 *
 * Shape    one function.
 * Units    octets.
 * Errors   NULL with errno, as mkdtemp(3).
 * Owner    the caller removes it.
 * Context  below $TMPDIR, by which tests/support/leftovers knows what is left; without it below
 *          /var/tmp, which unlike /tmp is a file system with idmapped mounts on every host.
 */
#ifndef DROVER_SCRATCH_H
#define DROVER_SCRATCH_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static inline char *scratch_make(char *ret_path, size_t room, const char *name)
{
    const char *parent = getenv("TMPDIR");
    int length = snprintf(ret_path, room, "%s/%s.XXXXXX", parent ? parent : "/var/tmp", name);

    if (length < 0 || (size_t)length >= room) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return mkdtemp(ret_path);
}

#endif
