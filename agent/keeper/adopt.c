/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest whose parent was a keeper that died. ADOPT: it is watched like a child, but its status
 * went to the host's init. CONSOLE: its pty died with that keeper, or lost who reads it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
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

static bool check_console(const struct kw_console *record, const struct cargo *cargo)
{
    size_t rings = cargo_count(cargo, KW_FD_RING);
    size_t ptys = cargo_count(cargo, KW_FD_PTY);

    if (record->uid_base != 0 &&
        (record->uid_count == 0 || record->uid_base > UINT32_MAX - record->uid_count))
        return false;
    return record->spawn != 0 && rings <= 1 && ptys <= 1 && rings + ptys == cargo->count;
}

static void close_console(struct entry *entry)
{
    fd_closep(&entry->master);
    fd_closep(&entry->slave);
    fd_closep(&entry->ring);
    fd_closep(&entry->output);
}

/* All of it, or the entry has none. */
static int open_console(struct keeper *k, struct entry *entry, struct cargo *cargo,
                        const struct kp_header *plan)
{
    /* One whose master was given up has the rest still. */
    close_console(entry);
    int master = cargo_take(cargo, KW_FD_PTY);
    int rc = master >= 0 ? console_take(entry, master) : console_open(entry, plan);
    if (rc < 0)
        return rc;
    entry->ring = cargo_take(cargo, KW_FD_RING);
    rc = entry->ring >= 0 ? console_open_ring(entry) : 0; /* without one, what is said is counted */
    entry->output = rc < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rc == 0 && entry->output < 0)
        rc = -errno;
    if (rc == 0)
        rc = watch_add(k, WATCH_PTY, entry->master, table_slot(&k->table, entry),
                       entry->record.launch);
    if (rc == 0) {
        entry->is_handed_over = false;
        table_mark(&k->table, entry);
        return 0;
    }
    close_console(entry);
    return rc;
}

enum kw_refusal adopt_console(struct keeper *k, const struct kw_console *record,
                              struct cargo *cargo)
{
    bool has_user_ns = record->uid_base != 0;
    const struct kp_header plan = {
        .flags = KP_JOIN_MNT | (has_user_ns ? KP_JOIN_USER | KP_USERNS : 0u),
        .uid_base = record->uid_base,
        .uid_count = record->uid_count,
    };

    if (!check_console(record, cargo))
        return KW_REFUSED_MALFORMED;
    struct entry *entry = table_find(&k->table, record->launch);
    if (entry == NULL)
        return KW_REFUSED_UNKNOWN;
    if (!entry->record.is_adopted || entry_is_final(entry))
        return KW_REFUSED_PHASE;
    int rc = entry->master < 0 ? open_console(k, entry, cargo, &plan) : 0;
    if (rc < 0) {
        k->refusal_error = -rc;
        return KW_REFUSED_FULL;
    }
    return spawn_rebind(k, record, entry, &plan);
}
