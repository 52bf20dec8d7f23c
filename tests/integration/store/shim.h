/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim.h — SQLite's own VFS with a fault between it and the disk.
 *
 * Shape    the default VFS while it is in: what is opened through it counts its writes and syncs,
 *          and meets its fate at the one that is named.
 * Units    writes and syncs counted from 1, of files whose names end in `suffix`.
 * Errors   none of its own.
 * Owner    one a process; shim_put() begins to count anew.
 * Context  the store's threads count; put and read it only while they rest. sqlite.org/vfs.html.
 */
#ifndef DROVER_TEST_STORE_SHIM_H
#define DROVER_TEST_STORE_SHIM_H

#include <stdatomic.h>
#include <stdbool.h>

enum shim_fate {
    SHIM_PASS,
    SHIM_FULL, /* no space left */
    SHIM_FAIL, /* the disk's error */
    SHIM_EXIT  /* the process ends before it is done, as by kill -9 */
};

struct shim {
    const char *suffix; /* "" all files */
    enum shim_fate write_fate;
    unsigned write_from;  /* first write that meets it; 0: none */
    unsigned write_count; /* how many do */
    enum shim_fate sync_fate;
    unsigned sync_from;
    unsigned sync_count;
    bool is_index_full; /* the log's index does not grow, the next time */
    int sync_errno;     /* what the failed sync says */
    atomic_uint writes; /* that were */
    atomic_uint syncs;
};
extern struct shim shim;

/* Everything is 0 again, and goes through. */
void shim_put(void);
void shim_remove(void);

#endif
