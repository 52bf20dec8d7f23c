/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <ini.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define DESCRIPTORS_EXPECTED 4096 /* of a node with some hundred guests: 32 KiB of the kernel's */

int daemon_complain(const char *program, const struct fault *fault)
{
    (void)fprintf(stderr, "%s: %s%s%s\n", program, fault->text, fault->error != 0 ? ": " : "",
                  fault->error != 0 ? strerror(fault->error) : "");
    if (fault->hint[0] != '\0')
        (void)fprintf(stderr, "  %s\n", fault->hint);
    return status_exit_code(fault->status);
}

void daemon_raise_nofile(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    /* A table that threads share grows after an RCU grace period: milliseconds in which whoever
     * opens a descriptor waits, the loop too. So it grows now, while there is one thread. */
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, DESCRIPTORS_EXPECTED - 1);
    if (fd >= 0)
        (void)close(fd);
}

/* What glibc would find out for itself is not what a daemon wants: after the first large block that
 * is freed it keeps up to twice 32 MiB of such on its heap. */
void daemon_return_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 512 * 1024);
}

int daemon_open_signals(struct fault *fault)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    int fd = -1;
    if (sigprocmask(SIG_BLOCK, &set, NULL) == 0)
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        fault_set(fault, STATUS_FAILED, errno, "signals cannot be read");
        return -fault->error;
    }
    return fd;
}

struct reading {
    daemon_key_fn on_key;
    void *context;
    struct fault *fault;
};

/* inih: 0 stops with an error. */
static int on_ini(void *context, const char *section, const char *name, const char *value)
{
    struct reading *reading = context;

    (void)section;
    return reading->on_key(reading->context, name, value, reading->fault);
}

int daemon_read_ini(const char *path, const char *fallback, daemon_key_fn on_key, void *context,
                    struct fault *fault)
{
    struct reading reading = {on_key, context, fault};
    bool is_asked_for = path[0] != '\0';
    const char *file = is_asked_for ? path : fallback;
    int line = ini_parse(file, on_ini, &reading);

    if (line == 0 || (line < 0 && !is_asked_for))
        return 0;
    if (line < 0)
        fault_set(fault, STATUS_INVALID, ENOENT, "cannot read %s", file);
    else if (fault->status == STATUS_UNSET)
        fault_set(fault, STATUS_INVALID, 0, "%s: line %u is not understood", file, (uint64_t)line);
    return -EINVAL;
}
