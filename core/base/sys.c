/* SPDX-License-Identifier: Apache-2.0 */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#define PROC_FORKNOEXEC 0x40u /* PF_FORKNOEXEC of the flags word, proc(5) stat field 9 */

union fd_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(SYS_FDS_MAX * sizeof(int))];
};

pid_t sys_clone3(struct clone_args *args)
{
    long pid = syscall(SYS_clone3, args, sizeof(*args));
    return pid < 0 ? -errno : (pid_t)pid;
}

int sys_openat2(int dir, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .mode = mode, .resolve = resolve};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

static int write_all(int fd, const char *data, size_t size_bytes)
{
    while (size_bytes > 0) {
        ssize_t n = write(fd, data, size_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        size_bytes -= (size_t)n;
    }
    return 0;
}

int sys_memfd_sealed(const char *name, const void *data, size_t size_bytes)
{
    AUTO_FD fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;

    int rc = write_all(fd, data, size_bytes);
    if (rc < 0)
        return rc;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return -errno;
    return take_fd(&fd);
}

int sys_write_text_at(int dir, const char *path, const char *text)
{
    AUTO_FD fd = openat(dir, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;

    size_t length = strlen(text);
    ssize_t n = write(fd, text, length);
    if (n < 0)
        return -errno;
    return (size_t)n == length ? 0 : -EIO;
}

int sys_read_text(int fd, char *text, size_t text_bytes)
{
    size_t length = 0;

    while (length < text_bytes) {
        ssize_t n = read(fd, text + length, text_bytes - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    if (length == text_bytes)
        return -EFBIG;
    text[length] = '\0';
    return (int)length;
}

int sys_read_text_at(int dir, const char *path, char *text, size_t text_bytes)
{
    AUTO_FD fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    return sys_read_text(fd, text, text_bytes);
}

int sys_has_executed(pid_t pid)
{
    char path[32];
    char text[1024];

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int result = sys_read_text_at(AT_FDCWD, path, text, sizeof(text));
    if (result < 0)
        return result;
    /* pid (comm) state ppid pgrp session tty_nr tpgid flags; comm holds anything, but ends last */
    char *field = strrchr(text, ')');
    for (int n = 0; field != NULL && n < 7; n++)
        field = strchr(field + 1, ' ');
    return field == NULL || (strtoul(field, NULL, 10) & PROC_FORKNOEXEC) == 0;
}

ssize_t sys_send_fds(int socket, const void *data, size_t size_bytes, const int *fds,
                     size_t fd_count)
{
    union fd_control control;
    struct iovec part = {.iov_base = (void *)data, .iov_len = size_bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd_count > SYS_FDS_MAX)
        return -EINVAL;
    if (fd_count > 0) {
        memset(&control.header, 0, sizeof(control.header));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    }

    ssize_t n;
    do
        n = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Every descriptor of a packet is seen here, so that none can leak however the packet is built. */
static size_t collect_fds(struct msghdr *message, int *fds, size_t fd_max, size_t *ret_excess)
{
    size_t count = 0;
    *ret_excess = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
            if (count < fd_max) {
                fds[count++] = fd;
            } else {
                (void)close(fd);
                (*ret_excess)++;
            }
        }
    }
    return count;
}

ssize_t sys_receive_fds(int socket, void *data, size_t size_bytes, int *fds, size_t fd_max,
                        size_t *ret_fd_count)
{
    union fd_control control;
    struct iovec part = {.iov_base = data, .iov_len = size_bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t n;

    *ret_fd_count = 0;
    do
        n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;

    size_t excess;
    size_t count = collect_fds(&message, fds, fd_max, &excess);
    if (excess > 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        for (size_t i = 0; i < count; i++)
            (void)close(fds[i]);
        return -EMSGSIZE;
    }
    *ret_fd_count = count;
    return n;
}
