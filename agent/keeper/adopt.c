/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ADOPT: a guest whose parent was a keeper that died. It is watched like a child, but its status
 * went to the host's init.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "keeper.h"
#include "sys.h"

/* The number of a pidfd's process in our own pid namespace; 0: it ended. */
static pid_t pid_of(int pidfd)
{
    char path[64];
    char text[1024];
    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    if (sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) < 0)
        return 0;
    const char *line = strstr(text, "\nPid:");
    long pid = line == NULL ? 0 : strtol(line + strlen("\nPid:"), NULL, 10);
    return pid > 0 ? (pid_t)pid : 0;
}

enum kw_refusal adopt_begin(struct keeper *k, const struct kw_adopt *record, struct cargo *cargo)
{
    if (record->launch == 0 || cargo->count != 1 || cargo_count(cargo, KW_FD_PID) != 1)
        return KW_REFUSED_MALFORMED;
    if (syscall(SYS_pidfd_send_signal, cargo->fds[0], 0, NULL, 0) < 0 && errno == EBADF)
        return KW_REFUSED_MALFORMED;
    if (table_find(&k->table, record->launch) != NULL)
        return KW_REFUSED_DUPLICATE;
    struct entry *entry = table_add(&k->table, record->launch);
    if (entry == NULL)
        return KW_REFUSED_FULL;

    int rc =
        watch_add(k, WATCH_ADOPTED, cargo->fds[0], table_slot(&k->table, entry), record->launch);
    if (rc < 0) {
        table_remove(&k->table, entry);
        k->refusal_error = -rc;
        return KW_REFUSED_MALFORMED;
    }
    if (k->launch_last < record->launch)
        k->launch_last = record->launch;
    entry_keep_labels(entry, &record->labels);
    entry->record.phase = KW_PHASE_BOOTED;
    entry->record.is_adopted = 1;
    entry->record.failed_detail = -1;
    entry->record.received_ns = clock_monotonic_ns();
    entry->record.pid = pid_of(cargo->fds[0]);
    entry->pidfd = take_fd(&cargo->fds[0]);
    k->table.living++;
    return 0;
}
