/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a guest to stop or reboot, by what its PID 1 is: a signal where that works, a command run
 * inside where it does not. It is held until PID 1 can hear it: before that the kernel drops a
 * signal for a PID 1 (signal(7), pid_namespaces(7)), nobody reads a command's fifo, and the guest
 * would run on. From then on it is watched for signs that it goes down: those end the asking.
 */
#include "agent.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "boundary.h"
#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "slots.h"
#include "stop_look.h"

#define HOLD_FIRST_MS 5
#define HOLD_MAX_MS 80
#define WATCH_MS 250
#define WAY_TIMEOUT_NS (60 * SECOND_NS)
#define AT_ONCE_NS (2 * SECOND_NS) /* a way that fails sooner was not taken */
#define YOUNG_NS (10 * SECOND_NS)  /* its init may not take commands yet */
#define SIGNALS_MAX 3
#define EXIT_TIMEOUT 124
#define EXIT_OURS 125
#define EXIT_CANNOT 126
#define EXIT_NOT_FOUND 127

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

/* By step; the first is of families without a signal. */
static const char *const commands[STOP_STEPS_MAX][2][3] = {
    {{"/sbin/init", "0", NULL}, {"/sbin/init", "6", NULL}},
    {{"halt", NULL, NULL}, {"reboot", NULL, NULL}},
    {{"init", "0", NULL}, {"init", "6", NULL}},
};

struct asking {
    struct agent *agent;
    uint32_t ct;
    uint64_t generation;
    bool is_reboot;
    bool is_sent;
    uint64_t wait_ms;
    uv_timer_t timer;
};

static bool is_by_command(const struct slot *slot)
{
    return ways[slot->family].stop[0] == 0;
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
    uint64_t heard = look_heard_signals(node_get(agent->node, index)->pid);

    for (size_t i = 0; i < SIGNALS_MAX; i++)
        if (signals[i] != 0 && (heard >> (signals[i] - 1) & 1) != 0)
            return signals[i];
    return 0;
}

/* Is it on its way down? Then its grace is its own, and asking again would only cut it short. */
static bool is_going_down(const struct agent *agent, uint32_t index)
{
    const struct slot *slot = &agent->slots[index];

    /* A systemd that has no socket to tell it on was asked, and could hear: it is believed. */
    if (slot->family == FAMILY_SYSTEMD && slot->is_asked &&
        (slot->has_lost_notify || slot->is_ready_on_exec || slot_ready(slot) > READY_NOTIFY))
        return true;
    if (slot->family == FAMILY_RUNIT && slot->is_asked)
        return true;
    return slot->seen.is_stopping ||
           (slot->is_asked && look_is_going_down(slot->family, node_get(agent->node, index)->pid));
}

static void post(struct agent *agent, uint32_t index, const struct observation *seen)
{
    struct input input = {.kind = INPUT_OBSERVATION, .observation = *seen};

    input.observation.kind = IN_STEP;
    input.observation.ct = index;
    input.observation.generation = node_get(agent->node, index)->generation;
    inbox_post(&agent->inbox, &input);
    agent_wake(agent);
}

/* ---- a command inside ---- */

/* It may be asked once more in the same way: for want of room on our side nothing was said yet, and
 * an init that has just begun does not take commands yet. */
static bool is_to_be_tried_again(const struct agent *agent, const struct inside_end *end)
{
    const struct ct *ct = node_get(agent->node, end->ct);
    bool is_absent = end->exit_code == EXIT_CANNOT || end->exit_code == EXIT_NOT_FOUND;

    return end->exit_code == EXIT_OURS ||
           (!is_absent && clock_monotonic_ns() < ct->booted_ns + YOUNG_NS);
}

static void on_way_ended(struct agent *agent, const struct inside_end *end)
{
    const struct ct *ct = node_get(agent->node, end->ct);
    struct slot *slot = &agent->slots[end->ct];
    struct observation seen = {.count = end->step};

    if (!ct->is_used || ct->generation != end->generation || ct->state != CT_STOPPING)
        return;
    if (end->exit_code == 0)
        slot->is_asked = true;
    if (end->exit_code == 0 || end->exit_code == EXIT_TIMEOUT || end->lasted_ns > AT_ONCE_NS ||
        is_going_down(agent, end->ct))
        return;
    if (is_to_be_tried_again(agent, end)) {
        if (end->step == 0 && slot->asking != NULL)
            slot->asking->is_sent = false;
        return;
    }
    bool is_last = end->step + 1 == STOP_STEPS_MAX;
    if (is_last && (slot->is_asked || !is_by_command(slot)))
        return; /* it heard, or still may: the grace is for this */
    fault_set(&seen.fault, STATUS_FAILED, 0, "%s ended with code %u",
              commands[end->step][ct->order == ORDER_REBOOT][0], (uint64_t)end->exit_code);
    post(agent, end->ct, &seen);
}

static void run_way(struct agent *agent, uint32_t index, uint32_t step, bool is_reboot)
{
    const struct inside inside = {.argv = commands[step][is_reboot],
                                  .timeout_ns = WAY_TIMEOUT_NS,
                                  .on_end = on_way_ended,
                                  .step = step};

    streams_run_inside(&agent->streams, index, &inside);
}

/* ---- held, sent, watched ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct asking, timer));
}

static void end_asking(struct asking *asking)
{
    struct slot *slot = &asking->agent->slots[asking->ct];

    if (slot->asking == asking)
        slot->asking = NULL;
    uv_close((uv_handle_t *)&asking->timer, on_timer_closed);
}

static bool is_over(const struct asking *asking)
{
    const struct ct *ct = node_get(asking->agent->node, asking->ct);

    return asking->agent->slots[asking->ct].asking != asking || !ct->is_used ||
           ct->generation != asking->generation || ct->state != CT_STOPPING;
}

/* False: it cannot be heard yet. */
static bool ask_now(struct asking *asking)
{
    struct agent *agent = asking->agent;
    struct slot *slot = &agent->slots[asking->ct];

    if (is_by_command(slot)) {
        if (!look_takes_commands(slot->family, node_get(agent->node, asking->ct)->pid))
            return false;
        asking->is_sent = true; /* its end may be told at once */
        run_way(agent, asking->ct, 0, asking->is_reboot);
        return true;
    }
    int signal_number = choose_signal(agent, asking->ct, asking->is_reboot);
    if (signal_number == 0)
        return false;
    boundary(ask_unsent);
    (void)send_signal(agent, asking->ct, signal_number);
    boundary(ask_sent);
    asking->is_sent = slot->is_asked = true;
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    struct asking *asking = container_of(timer, struct asking, timer);

    if (is_over(asking)) {
        end_asking(asking);
        return;
    }
    if (asking->is_sent && is_going_down(asking->agent, asking->ct)) {
        post(asking->agent, asking->ct,
             &(struct observation){.count = node_get(asking->agent->node, asking->ct)->stop_step,
                                   .is_going_down = true});
        end_asking(asking);
        return;
    }
    if (asking->is_sent || ask_now(asking)) {
        (void)uv_timer_start(timer, on_timer, WATCH_MS, 0);
        return;
    }
    asking->wait_ms = asking->wait_ms * 2 > HOLD_MAX_MS ? HOLD_MAX_MS : asking->wait_ms * 2;
    (void)uv_timer_start(timer, on_timer, asking->wait_ms, 0);
}

static void ask_first(struct agent *agent, const struct effect *effect)
{
    struct slot *slot = &agent->slots[effect->ct];
    struct asking *asking = calloc(1, sizeof(*asking));

    ENSURE(asking != NULL);
    asking->agent = agent;
    asking->ct = effect->ct;
    asking->generation = effect->generation;
    asking->is_reboot = effect->is_reboot;
    asking->wait_ms = HOLD_FIRST_MS;
    slot->asking = asking; /* one before it sees that, and ends */
    slot->is_asked = false;
    (void)uv_timer_init(&agent->loop, &asking->timer);
    on_timer(&asking->timer);
}

/* ---- its hooks, before it is asked at all ---- */

static void begin_asking(struct agent *agent, uint32_t index)
{
    const struct ct *ct = node_get(agent->node, index);

    if (ct->state == CT_STOPPING)
        ask_first(agent, &(struct effect){.ct = index,
                                          .generation = ct->generation,
                                          .is_reboot = ct->order == ORDER_REBOOT});
}

/* A node that goes down takes no for an answer from no hook. */
static bool is_for_shutdown(const struct ct *ct)
{
    return ct->has_command && ct->command.verb == VERB_STOP && ct->command.is_for_shutdown;
}

/* Asked from here, or taken back. */
static void on_stop_hooked(struct agent *agent, uint32_t index, bool has_any,
                           const struct hook_walk *walk)
{
    struct slot *slot = &agent->slots[index];
    struct input input = {.kind = INPUT_OBSERVATION,
                          .observation = {.kind = IN_UNASKED,
                                          .ct = index,
                                          .generation = node_get(agent->node, index)->generation,
                                          .fault = walk->fault,
                                          .has_become_ready = slot->seen.is_ready}};

    bool is_asked = !walk->has_failed || is_for_shutdown(node_get(agent->node, index));
    slot->hooks.is_stop_done = is_asked;
    if (!is_asked) {
        inbox_post(&agent->inbox, &input);
        agent_wake(agent);
    } else if (has_any) {
        post(agent, index, &(struct observation){.fault = walk->fault, .is_hooked = true});
    } else {
        begin_asking(agent, index);
    }
}

/* Its grace runs on, but no way of asking is tried until they are done. */
static void on_stop_hooks_begun(struct agent *agent, uint32_t index)
{
    post(agent, index,
         &(struct observation){.count = node_get(agent->node, index)->stop_step,
                               .is_going_down = true});
}

/* True: they have the word. */
static bool run_hooks(struct agent *agent, uint32_t index)
{
    struct slot *slot = &agent->slots[index];

    /* What may be a stage yet has nothing to run them in. */
    if (slot->hooks.is_stop_done || node_get(agent->node, index)->is_boot_unseen)
        return false;
    if (slot->hooks.inside != NULL)
        on_stop_hooks_begun(agent, index); /* a stop took a reboot's place: they are for both */
    else
        hook_inside_begin(agent, &(struct hook_inside_request){.ct = index,
                                                               .way = HOOKS_STOP,
                                                               .on_begun = on_stop_hooks_begun,
                                                               .on_end = on_stop_hooked});
    return true;
}

void stop_ask(struct agent *agent, const struct effect *effect)
{
    const struct ct *ct = node_get(agent->node, effect->ct);

    ENSURE(effect->step < STOP_STEPS_MAX);
    if (ct->state != CT_STOPPING || ct->generation != effect->generation)
        return; /* taken back, or over, while it was committed */
    if (effect->step == 0 && run_hooks(agent, effect->ct))
        return;
    if (effect->step == 0)
        ask_first(agent, effect);
    else if (agent->slots[effect->ct].hooks.inside == NULL && !is_going_down(agent, effect->ct))
        run_way(agent, effect->ct, effect->step, effect->is_reboot);
}
