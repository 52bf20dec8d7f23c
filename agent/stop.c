/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a guest to stop or reboot, by what its PID 1 is: a signal where that works, a command run
 * inside where it does not. A signal is held until PID 1 can hear it: before that the kernel drops
 * it for a PID 1 (signal(7), pid_namespaces(7)), and the guest would run on.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "boundary.h"
#include "cleanup.h"
#include "ensure.h"
#include "sys.h"

#define HOLD_FIRST_MS 5
#define HOLD_MAX_MS 80
#define SIGNALS_MAX 3

/* Tried in this order: the first that PID 1 can hear. 0: run a command inside instead. */
struct way {
    int stop[SIGNALS_MAX];
    int reboot[SIGNALS_MAX];
};

#define RTMIN_KERNEL 34 /* glibc's SIGRTMIN, which systemd's numbers count from */

static const struct way ways[FAMILY_COUNT] = {
    [FAMILY_UNKNOWN] = {{SIGPWR, SIGTERM, SIGINT}, {SIGINT, SIGTERM, SIGPWR}},
    [FAMILY_SYSTEMD] = {{RTMIN_KERNEL + 3}, {RTMIN_KERNEL + 5}},
    [FAMILY_SYSVINIT] = {{0}, {0}},
    [FAMILY_OPENRC] = {{0}, {0}},
    [FAMILY_BUSYBOX] = {{SIGUSR2}, {SIGTERM}},
    [FAMILY_RUNIT] = {{0}, {0}},
};

struct hold {
    struct agent *agent;
    uint32_t ct;
    uint64_t generation;
    bool is_reboot;
    uint64_t wait_ms;
    uv_timer_t timer;
};

static uint64_t read_mask(const char *text, const char *name)
{
    const char *line = strstr(text, name);

    return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 16);
}

/* The kernel takes waited-for signals out of the blocked ones that it shows, so a PID 1 that sits
 * in sigtimedwait(2), as busybox and sinit do, seems deaf. Which ones it waits for is not told. */
static bool is_waiting_for_signals(pid_t pid)
{
    char path[64];
    char text[128];

    (void)snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
    return sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) > 0 &&
           strstr(text, "sigtimedwait") != NULL;
}

/*
 * Signals that PID 1 can hear, as a bit mask (bit n-1 = signal n); 0 when it cannot be read. Caught
 * ones have a handler; blocked ones are kept for signalfd(2) (systemd) or sigtimedwait(2).
 */
static uint64_t heard_signals(pid_t pid)
{
    char path[64];
    char text[8192];

    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    if (sys_read_text_at(AT_FDCWD, path, text, sizeof(text)) < 0)
        return 0;
    if (is_waiting_for_signals(pid))
        return UINT64_MAX;
    return read_mask(text, "\nSigCgt:") | read_mask(text, "\nSigBlk:");
}

/* Through a pidfd that is checked to be of this container: never a bare number (I10). */
static int send_signal(struct agent *agent, uint32_t index, int signal_number)
{
    const struct ct *ct = node_get(agent->node, index);
    AUTO_FD pidfd = (int)syscall(SYS_pidfd_open, ct->pid, 0);

    if (pidfd < 0)
        return -errno;
    if (!cgroup_has_process(&agent->slots[index].cgroup, ct->pid))
        return -ESRCH;
    return syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0) < 0 ? -errno : 0;
}

static int choose_signal(const struct agent *agent, uint32_t index, bool is_reboot)
{
    const struct way *way = &ways[agent->slots[index].family];
    const int *signals = is_reboot ? way->reboot : way->stop;
    uint64_t heard = heard_signals(node_get(agent->node, index)->pid);

    for (size_t i = 0; i < SIGNALS_MAX; i++)
        if (signals[i] != 0 && (heard >> (signals[i] - 1) & 1) != 0)
            return signals[i];
    return 0;
}

static void on_hold_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct hold, timer));
}

static void end_hold(struct hold *hold)
{
    uv_close((uv_handle_t *)&hold->timer, on_hold_closed);
}

static void on_hold(uv_timer_t *timer)
{
    struct hold *hold = container_of(timer, struct hold, timer);
    struct agent *agent = hold->agent;
    const struct ct *ct = node_get(agent->node, hold->ct);

    if (!ct->is_used || ct->generation != hold->generation || ct->state != CT_STOPPING ||
        ct->stop_step != 0) {
        end_hold(hold); /* it ended, or the next way of asking has begun */
        return;
    }
    int signal_number = choose_signal(agent, hold->ct, hold->is_reboot);
    if (signal_number != 0) {
        boundary(ask_unsent);
        (void)send_signal(agent, hold->ct, signal_number);
        boundary(ask_sent);
        end_hold(hold);
        return;
    }
    hold->wait_ms = hold->wait_ms * 2 > HOLD_MAX_MS ? HOLD_MAX_MS : hold->wait_ms * 2;
    (void)uv_timer_start(timer, on_hold, hold->wait_ms, 0);
}

static void run_inside(struct agent *agent, uint32_t index, const char *const *argv)
{
    streams_run_inside(&agent->streams, index, argv);
}

static void ask_first(struct agent *agent, const struct effect *effect)
{
    const struct way *way = &ways[agent->slots[effect->ct].family];

    if (way->stop[0] == 0) {
        static const char *const halt[] = {"/sbin/init", "0", NULL};
        static const char *const reboot[] = {"/sbin/init", "6", NULL};

        run_inside(agent, effect->ct, effect->is_reboot ? reboot : halt);
        return;
    }
    struct hold *hold = calloc(1, sizeof(*hold));
    ENSURE(hold != NULL);
    hold->agent = agent;
    hold->ct = effect->ct;
    hold->generation = effect->generation;
    hold->is_reboot = effect->is_reboot;
    hold->wait_ms = HOLD_FIRST_MS;
    (void)uv_timer_init(&agent->loop, &hold->timer);
    on_hold(&hold->timer);
}

/* Is it on its way down? Then its grace is its own, and asking again would only cut it short. */
static bool is_shutting_down(const struct agent *agent, uint32_t index)
{
    const struct slot *slot = &agent->slots[index];

    /* busybox init lets go of its signals as soon as it begins; the others' scripts cannot be
     * seen. A systemd that cannot be heard any more was asked, and could hear: it is believed. */
    if (slot->family == FAMILY_BUSYBOX)
        return (heard_signals(node_get(agent->node, index)->pid) >> (SIGUSR2 - 1) & 1) == 0;
    return slot->seen.is_stopping || (slot->has_lost_notify && slot->family == FAMILY_SYSTEMD);
}

void stop_ask(struct agent *agent, const struct effect *effect)
{
    static const char *const halt[] = {"halt", "-f", NULL};
    static const char *const reboot[] = {"reboot", "-f", NULL};
    static const char *const init_0[] = {"init", "0", NULL};
    static const char *const init_6[] = {"init", "6", NULL};
    struct slot *slot = &agent->slots[effect->ct];

    bool has_scripts = slot->family == FAMILY_SYSVINIT || slot->family == FAMILY_OPENRC ||
                       slot->family == FAMILY_RUNIT;

    if (effect->step > 0 && is_shutting_down(agent, effect->ct))
        return;
    if (effect->step == 0)
        ask_first(agent, effect);
    else if (effect->step == 1)
        run_inside(agent, effect->ct, effect->is_reboot ? init_6 : init_0);
    else if (!has_scripts) /* theirs may still run, and would be cut off */
        run_inside(agent, effect->ct, effect->is_reboot ? reboot : halt);
}
