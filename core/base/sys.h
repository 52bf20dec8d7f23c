/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys.h — system calls that the C library lacks or makes awkward, and whole-file reads and writes.
 *
 * Shape    one function a need; descriptors in and out.
 * Units    sizes in octets.
 * Errors   -errno.
 * Owner    the caller owns each returned descriptor; all are close-on-exec.
 * Context  any thread; all but sys_read_text(), sys_has_executed() and sys_send_fds() are
 *          async-signal-safe. Source: clone3(2), openat2(2), memfd_create(2), proc(5), unix(7).
 */
#ifndef DROVER_SYS_H
#define DROVER_SYS_H

#include <linux/sched.h> /* struct clone_args */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Returns the pid, 0 in the child, or -errno. Without CLONE_VM only: a child that shares memory
 * needs its own stack and entry, which a C function that returns twice cannot give it. */
pid_t sys_clone3(struct clone_args *args);

/* resolve: RESOLVE_* of linux/openat2.h. O_CLOEXEC is added. */
int sys_openat2(int dir, const char *path, int flags, mode_t mode, uint64_t resolve);

/* A memfd with these octets, sealed against every change. */
int sys_memfd_sealed(const char *name, const void *data, size_t size_bytes);

/* Write all of text to a file that exists, in one write(2): what kernel interfaces want. */
int sys_write_text_at(int dir, const char *path, const char *text);

/* Read a whole small file and end it with NUL. Returns its length; -EFBIG if it does not fit. */
int sys_read_text_at(int dir, const char *path, char *text, size_t text_bytes);
int sys_read_text(int fd, char *text, size_t text_bytes);

/* Did it execute anything since it was cloned? 1, 0; -errno: it ended, or /proc does not tell. */
int sys_has_executed(pid_t pid);

/*
 * One packet with descriptors (SCM_RIGHTS), or one less than blocking: MSG_DONTWAIT | MSG_NOSIGNAL.
 * Returns octets sent or -errno; never in part on SOCK_SEQPACKET.
 */
ssize_t sys_send_fds(int socket, const void *data, size_t size_bytes, const int *fds,
                     size_t fd_count);

/*
 * Receive one packet. Descriptors arrive close-on-exec; those beyond fd_max are closed and the
 * answer is -EMSGSIZE, as for a packet that was cut.
 *   ret_fd_count  out  descriptors stored in fds; also set on -EMSGSIZE (0: all were closed)
 * Returns octets read, 0 at the end of the connection, or -errno.
 */
ssize_t sys_receive_fds(int socket, void *data, size_t size_bytes, int *fds, size_t fd_max,
                        size_t *ret_fd_count);

#define SYS_FDS_MAX 253 /* SCM_MAX_FD, unix(7) */

#endif
