/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop: wait, serve what happened, send what changed, arm one timer, see whether it is over.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "keeper.h"

#define REAP_MS 50 /* until a refused wait is tried again */
#define EVENTS_PER_TURN 64

/* kind, slot, and the number's low half: a slot that was used anew meanwhile is told apart. */
static uint64_t watch_key(enum watch_kind kind, uint32_t slot, uint64_t number)
{
    return (uint64_t)kind << 56 | (uint64_t)slot << 32 | (uint32_t)number;
}

int watch_add(struct keeper *k, enum watch_kind kind, int fd, uint32_t slot, uint64_t number)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = watch_key(kind, slot, number)};
    return epoll_ctl(k->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void watch_close(struct keeper *k, int *fd)
{
    if (*fd < 0)
        return;
    (void)epoll_ctl(k->epoll, EPOLL_CTL_DEL, *fd, NULL); /* some were never added */
    fd_closep(fd);
}

/* All signals are blocked for ever; a child unblocks its own before exec. */
int loop_init(struct keeper *k)
{
    sigset_t all;
    sigset_t read;
    (void)sigfillset(&all);
    (void)sigemptyset(&read);
    (void)sigaddset(&read, SIGCHLD);
    (void)sigaddset(&read, SIGTERM);
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
        return -errno;

    k->epoll = epoll_create1(EPOLL_CLOEXEC);
    k->signals = signalfd(-1, &read, SFD_CLOEXEC | SFD_NONBLOCK);
    k->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (k->epoll < 0 || k->signals < 0 || k->timer < 0)
        return -errno;
    k->pid_ns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (k->pid_ns < 0)
        return -errno;

    int rc = watch_add(k, WATCH_LISTEN, k->listen, 0, 0);
    if (rc == 0)
        rc = watch_add(k, WATCH_SIGNALS, k->signals, 0, 0);
    if (rc == 0)
        rc = watch_add(k, WATCH_TIMER, k->timer, 0, 0);
    return rc;
}

static void on_signals(struct keeper *k)
{
    struct signalfd_siginfo info;
    while (read(k->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo == SIGTERM)
            k->is_ending = k->table.living == 0 && !spawn_is_any(k, false);
    reap_all(k);
}

static void on_timer(struct keeper *k)
{
    uint64_t expirations;
    (void)!read(k->timer, &expirations, sizeof(expirations));
    uint64_t now_ns = clock_monotonic_ns();

    k->is_timer_stale = true;
    launch_deadlines(k, now_ns);
    spawn_deadlines(k, now_ns);
    notify_deadlines(k, now_ns);
    if (k->check_deadline_ns != 0 && k->check_deadline_ns <= now_ns) {
        k->check_deadline_ns = 0;
        (void)kill(k->check_pid, SIGKILL); /* our unreaped child: the number is its own */
    }
    if (k->first_agent_ns != 0 && k->first_agent_ns <= now_ns)
        k->first_agent_ns = 0;
    if (k->retry_ns != 0 && k->retry_ns <= now_ns) {
        k->retry_ns = 0;
        k->is_blocked = false;
        receive_listen(k, k->agent_phase == AGENT_NONE);
    }
}

static void on_entry(struct keeper *k, enum watch_kind kind, struct entry *entry)
{
    if (kind == WATCH_PTY && entry->master >= 0 && !console_drain(entry, false))
        watch_close(k, &entry->master);
    if (kind == WATCH_NOTIFY && entry->notify >= 0)
        notify_drain(k, entry, false);
    if (kind == WATCH_STAGE)
        launch_reports(k, entry, false);
    if (kind == WATCH_ADOPTED && !entry_is_final(entry))
        reap_adopted(k, entry);
}

static void on_event(struct keeper *k, const struct epoll_event *event)
{
    enum watch_kind kind = (enum watch_kind)(event->data.u64 >> 56);
    uint32_t slot = (uint32_t)(event->data.u64 >> 32) & 0xffffffu;
    uint32_t number = (uint32_t)event->data.u64;

    if (kind == WATCH_LISTEN)
        receive_accept(k);
    else if (kind == WATCH_AGENT && k->agent_phase != AGENT_NONE)
        receive_records(k, event->events);
    else if (kind == WATCH_SIGNALS)
        on_signals(k);
    else if (kind == WATCH_TIMER)
        on_timer(k);
    else if (kind == WATCH_SPAWN && (uint32_t)k->spawns[slot].number == number)
        spawn_reports(k, &k->spawns[slot]);
    else if (kind >= WATCH_PTY && kind <= WATCH_ADOPTED &&
             (uint32_t)k->table.numbers[slot] == number)
        on_entry(k, kind, &k->table.entries[slot]);
}

static void earlier(uint64_t *deadline_ns, uint64_t other_ns)
{
    if (other_ns != 0 && (*deadline_ns == 0 || other_ns < *deadline_ns))
        *deadline_ns = other_ns;
}

static void arm_timer(struct keeper *k)
{
    uint64_t next_ns = k->first_agent_ns;
    earlier(&next_ns, k->retry_ns);
    earlier(&next_ns, k->check_deadline_ns);
    earlier(&next_ns, k->status_ns);
    for (size_t i = 0; i < KW_STAGES_MAX; i++)
        if (k->stages[i].is_used)
            earlier(&next_ns, k->stages[i].deadline_ns);
    for (uint32_t i = 0; i < k->spawn_high; i++)
        earlier(&next_ns, k->spawns[i].deadline_ns);

    const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(next_ns / NS_PER_S),
                                                 .tv_nsec = (long)(next_ns % NS_PER_S)}};
    (void)timerfd_settime(k->timer, TFD_TIMER_ABSTIME, &when, NULL); /* its arguments are right */
    k->is_timer_stale = false;
}

/* Nothing is left to keep, and nobody is there to give more. */
static bool is_over(struct keeper *k)
{
    /* What was begun in the turn of a SIGTERM makes it one that is ignored. */
    k->is_ending = k->is_ending && k->table.living == 0 && !spawn_is_any(k, false);
    if (k->is_ending)
        return true;
    if (k->agent_phase != AGENT_NONE || k->first_agent_ns != 0 || k->table.count > 0 ||
        k->check_pid != 0 || spawn_is_any(k, false))
        return false;
    receive_accept(k); /* one may have come since the last look */
    return k->agent_phase == AGENT_NONE;
}

void loop_run(struct keeper *k)
{
    struct epoll_event events[EVENTS_PER_TURN];

    reap_all(k);
    for (;;) {
        send_all(k);
        if (is_over(k))
            return;
        if (k->is_timer_stale)
            arm_timer(k);
        int count = epoll_wait(k->epoll, events, EVENTS_PER_TURN, k->is_reap_owed ? REAP_MS : -1);
        if (k->is_reap_owed)
            reap_all(k);
        for (int i = 0; i < count; i++)
            on_event(k, &events[i]);
    }
}
