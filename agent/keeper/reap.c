/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends. A child is reaped at once, always: one that is dead but not reaped holds the PID 1 of its
 * pid namespace in the kernel for ever. The status stays in the table until the agent made it
 * durable.
 */
#include <errno.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "clock.h"
#include "keeper.h"

/* Everything but the ring goes; the agent was given its own copies. */
static void close_entry(struct keeper *k, struct entry *entry)
{
    launch_close_stage(k, entry);
    if (entry->master >= 0)
        (void)console_drain(entry, true);
    if (entry->notify >= 0)
        notify_drain(k, entry, true);
    watch_close(k, &entry->master);
    watch_close(k, &entry->notify);
    watch_close(k, &entry->pidfd);
    fd_closep(&entry->slave);
    fd_closep(&entry->output);
}

static void end_entry(struct keeper *k, struct entry *entry)
{
    close_entry(k, entry);
    entry->record.phase = entry->record.phase == KW_PHASE_BOOTED ? KW_PHASE_ENDED : KW_PHASE_FAILED;
    entry->record.ended_ns = clock_monotonic_ns();
    entry->record.ended_wall_ns = clock_wall_ns();
    table_set_pid(&k->table, entry, 0);
    table_mark(&k->table, entry);
}

void reap_never_born(struct keeper *k, struct entry *entry)
{
    end_entry(k, entry);
}

void reap_adopted(struct keeper *k, struct entry *entry)
{
    k->table.living--;
    end_entry(k, entry);
}

static void end_launch(struct keeper *k, struct entry *entry, int wait_status)
{
    k->table.living--;
    entry->record.is_status_known = 1;
    entry->record.wait_status = wait_status;
    end_entry(k, entry);
}

void reap_all(struct keeper *k)
{
    k->is_reap_owed = true; /* until nothing is left: the signal will not come again */
    for (;;) {
        siginfo_t info = {0};
        int status;
        /* Looked at first, as only an unreaped child can tell whether it executed something. */
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno != ECHILD)
            return;
        if (info.si_pid == 0) {
            k->is_reap_owed = false;
            return;
        }
        pid_t pid = info.si_pid;
        struct entry *entry = table_find_pid(&k->table, pid);
        struct spawn *spawn = entry == NULL ? spawn_find_pid(k, pid) : NULL;
        if (entry != NULL)
            launch_reports(k, entry, true);
        if (spawn != NULL && spawn->pid == pid) /* not its relay */
            spawn_reports(k, spawn);

        if (waitpid(pid, &status, WNOHANG) != pid)
            return;
        if (entry != NULL)
            end_launch(k, entry, status);
        else if (spawn != NULL)
            spawn_reaped(k, spawn, pid, status);
        else if (pid == k->check_pid)
            reexec_checked(k, status);
    }
}
