/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h — OS roots that containers are made from: unpacking one that is streamed in.
 *
 * Shape    one blocking call that reads a tar from a pipe and leaves templates/NAME or nothing.
 * Units    octets.
 * Errors   -errno and a fault: STATUS_EXISTS, STATUS_INVALID (not a tar, a path out of the tree),
 *          -ENOSPC and the like with the member's name. The half-made tree is removed.
 * Owner    tar_fd stays the caller's.
 * Context  a thread of its own; libarchive. Source: tar(5), libarchive's SECURE_* flags.
 */
#ifndef DROVER_TEMPLATE_H
#define DROVER_TEMPLATE_H

#include <stdatomic.h>

#include "fault.h"

/* Owners, modes, times, hard links, xattrs, ACLs, devices are kept by number; sockets are
 * skipped. */
/* is_cut: looked at when the tar is read: what came of it is not all there was; may be NULL. A tar
 * that ends between two members is a tar, so its reader alone cannot tell. */
int template_import(int templates_dir, const char *name, int tar_fd, const atomic_bool *is_cut,
                    struct fault *fault);

/* Remove half-made imports of an earlier run. */
int template_sweep(int templates_dir);

#endif
