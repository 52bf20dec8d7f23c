/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.h — an OS root on this machine as the octets of one plain tar.
 *
 * Shape    a directory is packed; a tar, however compressed, is unpacked to its own octets, which
 *          pass through as they are. Both are handed to a sink piece by piece.
 * Units    octets.
 * Errors   -errno with a fault that names the file; what the sink answers ends the packing, and is
 *          the answer.
 * Owner    the sink's data is borrowed for the call.
 * Context  one thread; blocks in reads, and in the sink. Changes the working directory to a root
 *          that is a directory. Source: libarchive 3.6.2, tar(5).
 */
#ifndef DROVER_PACK_H
#define DROVER_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "fault.h"

/* 0, or -errno with a fault of its own: enough. */
typedef int (*pack_sink_fn)(void *context, const uint8_t *data, size_t size_bytes);

struct pack {
    pack_sink_fn sink;
    void *context;
    int sink_result; /* the first that was not 0: packing ended there */
    struct fault *fault;
};

/*
 * Owners by number, modes, times, hard links, xattrs, ACLs, devices; sockets are left out, and what
 * other file systems are mounted on it are not entered.
 */
int pack_directory(struct pack *pack, const char *path);
/* path "-": standard input. */
int pack_tar(struct pack *pack, const char *path);

#endif
