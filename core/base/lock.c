/* SPDX-License-Identifier: Apache-2.0 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

int lock_directory(const char *directory, const char *name, mode_t mode, int *ret_fd,
                   struct fault *fault)
{
    char path[PATH_MAX + 32];
    char text[32] = "";

    if (mkdir(directory, mode) < 0 && errno != EEXIST) {
        fault_set(fault, STATUS_FAILED, errno, "cannot make %s", directory);
        return -fault->error;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    AUTO_FD fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        fault_set(fault, STATUS_FAILED, errno, "cannot open %s", path);
        return -fault->error;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK) {
            fault_set(fault, STATUS_FAILED, errno, "cannot lock %s", path);
            return -fault->error;
        }
        (void)!pread(fd, text, sizeof(text) - 1, 0); /* nothing there yet: it has just begun */
        text[strcspn(text, "\n")] = '\0';
        fault_set(fault, STATUS_BUSY, 0, "%s is held by %s%s", path,
                  text[0] != '\0' ? "process " : "another process", text);
        return -EBUSY;
    }
    int length = snprintf(text, sizeof(text), "%d\n", getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length) {
        fault_set(fault, STATUS_FAILED, errno, "cannot write %s", path);
        return -EIO;
    }
    *ret_fd = take_fd(&fd);
    return 0;
}
