/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor.h — what the kernel alone costs for one guest: no limits, no supervision, no records.
 *
 * Shape    each way of starting is one function: it clones, and the child becomes /sbin/init.
 * Units    none.
 * Errors   -1 with errno, of prepare -errno; the child ends itself with a line on stderr.
 * Owner    the caller waits for the children.
 * Context  a process with one thread, as root.
 */
#ifndef DROVER_BENCH_FLOOR_H
#define DROVER_BENCH_FLOOR_H

#include <sys/types.h>

struct floor_order {
    const char *root;    /* of a guest_trivial */
    const char *reports; /* directory of the report socket, bound on /bench */
    const char *work;    /* userns: where upper directories are */
};

/* pid, mount, uts, ipc and net namespaces; the root itself, proc, a tmpfs on /dev. */
pid_t floor_plain_start(const struct floor_order *order, unsigned index);

/* The directories of the overlays, made before any time is taken, as a container's are. */
int floor_userns_prepare(const struct floor_order *order, unsigned count);
/* The safe defaults: an uid range of its own, overlay on idmapped layers, proc, sys, /dev with its
 * six nodes, a cgroup namespace. */
pid_t floor_userns_start(const struct floor_order *order, unsigned index);

/* In the child: name the step that failed, and end. */
_Noreturn void floor_fail(const char *step);
/* In the child: be PID 1 of the guest whose root is the working directory. */
_Noreturn void floor_become_init(void);

#endif
