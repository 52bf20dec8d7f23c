/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch.h — a new directory for a test's files, and a name for its cgroups.
 *
 * Shape    two functions.
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
#include <unistd.h>

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

/* RUN-PID, for the names of cgroups that tests/support/leftovers has to know as this run's; by hand
 * the test is a run of its own. */
static inline const char *scratch_mark(char ret_mark[32])
{
    const char *run = getenv("DROVER_TEST_RUN");
    int pid = (int)getpid();

    if (run)
        (void)snprintf(ret_mark, 32, "%.10s-%d", run, pid);
    else
        (void)snprintf(ret_mark, 32, "%d-%d", pid, pid);
    return ret_mark;
}

#endif
