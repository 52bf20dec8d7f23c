/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup.h — descriptors and heap blocks that are released where their name goes out of scope.
 *
 * Shape    AUTO_FD and AUTO_FREE declare a local; take_fd() and take_ptr() move it out.
 * Units    -1 is the empty descriptor.
 * Errors   none: a failed close(2) has still closed (close(2), Linux).
 * Owner    the local, until taken.
 * Context  any. Source: GCC manual 6.33.1, cleanup.
 */
#ifndef DROVER_CLEANUP_H
#define DROVER_CLEANUP_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* errno survives, so that `return -errno` may follow the release. */
static inline void fd_closep(int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
    errno = saved;
}

static inline void ptr_freep(void *ptr)
{
    free(*(void **)ptr);
}

#define AUTO_FD __attribute__((cleanup(fd_closep))) int
#define AUTO_FREE __attribute__((cleanup(ptr_freep)))

static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static inline void *take_ptr_(void **ptr)
{
    void *taken = *ptr;
    *ptr = NULL;
    return taken;
}
#define take_ptr(ptr) take_ptr_((void **)(ptr))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
