/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command in a guest: a leaf cgroup beside the guest's own, a SPAWN at the keeper that joins the
 * guest's namespaces, sockets to the relay that stands before its pipes or terminal
 * (keeper/stage_relay.c), and its exit code at the end.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boundary.h"
#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "slots.h"
#include "sys.h"

#define EXIT_TIMEOUT 124
#define EXIT_OURS 125
#define EXIT_CANNOT 126
#define EXIT_NOT_FOUND 127
#define CAUSE_WAIT_MS 500 /* for the end of a container that took its execs with it */
/* Of a relay after the command's end: then somebody who was left behind holds it. */
#define RELAY_SILENT_MS 2000

/* What the workers make for a SPAWN. */
struct preparation {
    struct work work;
    struct agent *agent;
    struct stream *stream;
    struct stream_open open; /* its texts live in the stream's arena, which waits for us */
    struct cgroup cgroup;    /* borrowed: a CLEAN of it comes later, on the loop's word */
    uint64_t leaf;
    pid_t pid;
    bool has_userns;
    bool has_relay;
    const struct sysfilter *sysfilter;
    uint32_t probe; /* KP_PROBE_*; 0: a command */
    struct cgroup_exec exec;
    int plan;
    int target;
    int result;
    struct fault fault;
};

/* PID 1's pidfd, checked to be of this container after it was opened. */
static int open_target(struct preparation *preparation)
{
    AUTO_FD pidfd = (int)syscall(SYS_pidfd_open, preparation->pid, 0);

    if (pidfd < 0)
        return -errno;
    if (!cgroup_has_process(&preparation->cgroup, preparation->pid))
        return -ESRCH;
    preparation->target = take_fd(&pidfd);
    return 0;
}

static bool run_plan(struct work *work)
{
    struct preparation *preparation = container_of(work, struct preparation, work);
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/root", preparation->pid);
    AUTO_FD root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        preparation->result = -errno;
    if (preparation->result == 0)
        preparation->result = open_target(preparation);
    if (preparation->result == 0 && preparation->probe != 0)
        preparation->result =
            probe_plan(&preparation->open, preparation->probe, preparation->has_userns,
                       &preparation->plan, &preparation->fault);
    else if (preparation->result == 0)
        preparation->result = exec_plan(
            &preparation->open, root,
            (preparation->has_userns ? KP_JOIN_USER : 0) | (preparation->has_relay ? KP_RELAY : 0),
            preparation->sysfilter, &preparation->plan, &preparation->fault);
    return true;
}

static bool run_leaf(struct work *work)
{
    struct preparation *preparation = container_of(work, struct preparation, work);

    preparation->result = cgroup_exec_make(&preparation->cgroup, preparation->leaf,
                                           &preparation->exec, &preparation->fault);
    boundary(exec_leaf_made);
    if (preparation->result < 0)
        return true;
    preparation->work.run = run_plan;
    executor_post(&preparation->agent->executor, WORKER_GUEST, work);
    return false;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

static void preparation_free(struct preparation *preparation)
{
    close_fd(preparation->exec.dir);
    close_fd(preparation->exec.kill);
    close_fd(preparation->plan);
    close_fd(preparation->target);
    free(preparation);
}

/* ---- the SPAWN ---- */

struct ends {
    int theirs[3];
    int ours[3];
};

/* The octet on what we read from is taken by a relay that passed on all: one that is ended before
 * that leaves it unread, which makes our end say ECONNRESET after what it has. */
static int open_sockets(struct ends *ends, bool is_tty)
{
    for (size_t i = 0; i < 3; i++) {
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
            return -errno;
        ends->theirs[i] = fds[0];
        ends->ours[i] = fds[1];
        bool is_read = i == 1 || (i == 2 && !is_tty);
        if (is_read && send(fds[1], "", 1, MSG_NOSIGNAL) != 1)
            return -errno;
    }
    return 0;
}

/* For a command of ours. A pipe could be made to block who reads it; a file cannot. */
static int open_files(struct ends *ends, int output)
{
    for (size_t i = 0; i < 3; i++) {
        ends->theirs[i] = i > 0 && output >= 0 ? fcntl(output, F_DUPFD_CLOEXEC, 0)
                                               : open("/dev/null", O_RDWR | O_CLOEXEC);
        if (ends->theirs[i] < 0)
            return -errno;
    }
    return 0;
}

static int adopt_sockets(struct stream *stream, struct ends *ends)
{
    int result =
        stream_add_outlet(stream, &stream->outlets[0], take_fd(&ends->ours[1]), LANE_STDOUT);

    if (result == 0 && stream->open.is_tty)
        stream->control = take_fd(&ends->ours[2]);
    else if (result == 0)
        result =
            stream_add_outlet(stream, &stream->outlets[1], take_fd(&ends->ours[2]), LANE_STDERR);
    if (result == 0)
        result = stream_add_inlet(stream, take_fd(&ends->ours[0]));
    return result;
}

static size_t add_fd(struct kw_spawn *record, int *fds, size_t count, int fd, enum kw_role role)
{
    fds[count] = fd;
    record->roles[count] = (uint8_t)role;
    return count + 1;
}

static int send_spawn(struct stream *stream, const struct preparation *preparation,
                      const struct ends *ends)
{
    struct keeper_client *keeper = &stream_agent(stream)->keeper;
    struct kw_spawn record = {0};
    int fds[KW_FDS_MAX];
    size_t count = 0;

    record.spawn = stream->spawn = keeper_client_number_spawn(keeper);
    if (stream->open.timeout_ns != 0)
        record.deadline_ns = clock_monotonic_ns() + stream->open.timeout_ns;
    count = add_fd(&record, fds, count, preparation->plan, KW_FD_PLAN);
    count = add_fd(&record, fds, count, preparation->target, KW_FD_TARGET);
    count = add_fd(&record, fds, count, preparation->exec.dir, KW_FD_CGROUP);
    for (size_t i = 0; i < preparation->cgroup.task_count; i++)
        count = add_fd(&record, fds, count, preparation->cgroup.tasks[i], KW_FD_TASKS);
    count = add_fd(&record, fds, count, ends->theirs[0], KW_FD_STDIN);
    count = add_fd(&record, fds, count, ends->theirs[1], KW_FD_STDOUT);
    count = add_fd(&record, fds, count, ends->theirs[2], KW_FD_STDERR);
    count = add_fd(&record, fds, count, preparation->exec.kill, KW_FD_KILL);
    if (stream->program >= 0)
        count = add_fd(&record, fds, count, stream->program, KW_FD_PROGRAM);
    int result = keeper_client_send(keeper, &record.header, KW_SPAWN, sizeof(record), fds, count);
    boundary(exec_sent);
    stream->is_spawned = result == 0;
    return result;
}

static void spawn(struct stream *stream, struct preparation *preparation)
{
    struct ends ends = {{-1, -1, -1}, {-1, -1, -1}};
    int result = preparation->has_relay ? open_sockets(&ends, stream->open.is_tty)
                                        : open_files(&ends, stream->output);

    if (result == 0) {
        stream->kill = take_fd(&preparation->exec.kill);
        preparation->exec.kill = stream->kill;
        result = send_spawn(stream, preparation, &ends);
        preparation->exec.kill = -1; /* the stream's from here on */
    }
    if (result == 0 && preparation->has_relay)
        result = adopt_sockets(stream, &ends);
    for (size_t i = 0; i < 3; i++) {
        close_fd(ends.theirs[i]);
        close_fd(ends.ours[i]);
    }
    if (result < 0) {
        if (!stream->is_spawned)
            stream_exec_remove_leaf(stream);
        stream_fail(stream, STATUS_FAILED, -result, "no descriptors for its input and output");
    }
}

/* Is its init there, or the one that becomes it? */
static bool is_there(const struct stream *stream)
{
    struct agent *agent = stream_agent(stream);
    const struct ct *ct = node_get(agent->node, stream->ct);

    return ct->generation == stream->generation && agent->slots[stream->ct].has_cgroup &&
           (stream->stage_pid != 0 ? ct->is_open : ct->has_init);
}

static void on_prepared(struct work *work)
{
    struct preparation *preparation = container_of(work, struct preparation, work);
    struct stream *stream = preparation->stream;

    stream->is_working = false;
    if (preparation->result == 0 && !is_there(stream))
        preparation->result = -ESRCH;
    if (stream->is_closed || preparation->result < 0)
        stream_exec_remove_leaf(stream);
    if (stream->is_closed) {
        stream_free_if_done(stream);
    } else if (preparation->result < 0) {
        if (preparation->fault.status == STATUS_UNSET)
            fault_set(&preparation->fault, STATUS_WRONG_STATE, -preparation->result,
                      "%s ended before the command began", stream->container);
        stream_end(stream, &preparation->fault, EXIT_OURS);
    } else {
        spawn(stream, preparation);
    }
    preparation_free(preparation);
}

/* A clock's, so that it is above those that an earlier agent gave. */
static uint64_t next_leaf(struct slot *slot)
{
    uint64_t now_ns = clock_monotonic_ns();

    slot->exec_number = now_ns > slot->exec_number ? now_ns : slot->exec_number + 1;
    return slot->exec_number;
}

void stream_exec_start(struct stream *stream)
{
    struct agent *agent = stream_agent(stream);
    const struct ct *ct = node_get(agent->node, stream->ct);
    struct slot *slot = &agent->slots[stream->ct];
    struct fault fault;

    if (!is_there(stream) || ct->state == CT_FROZEN) {
        fault_set(&fault, STATUS_WRONG_STATE, 0, "%s is %s", ct->name, ct_state_name(ct->state));
        fault_hint(&fault, ct->state == CT_FROZEN ? "thaw it first" : "start it first");
        stream_end(stream, &fault, EXIT_OURS);
        return;
    }
    if (stream->open.argv_count == 0) {
        stream_fail(stream, STATUS_INVALID, 0, "no command is given");
        return;
    }
    struct preparation *preparation = calloc(1, sizeof(*preparation));
    ENSURE(preparation != NULL);
    *preparation = (struct preparation){
        .work = {.run = run_leaf, .on_done = on_prepared},
        .agent = agent,
        .stream = stream,
        .open = stream->open,
        .cgroup = slot->cgroup,
        .leaf = next_leaf(slot),
        .pid = stream->stage_pid != 0 ? stream->stage_pid : ct->pid,
        .has_userns = slot->uid_base != 0,
        .has_relay = stream->origin != 0,
        .sysfilter = sysfilters_get(&agent->sysfilters, slot_made(slot)),
        .probe = stream->probe,
        .exec = {-1, -1},
        .plan = -1,
        .target = -1,
    };
    stream->leaf = preparation->leaf;
    stream->is_working = true;
    executor_post(&agent->executor, WORKER_CGROUP, &preparation->work);
}

/* ---- its end ---- */

static void finish(struct stream *stream)
{
    struct agent *agent = stream_agent(stream);
    const struct ct *ct = node_get(agent->node, stream->ct);
    struct fault fault = {0};
    int32_t code = WIFEXITED(stream->wait_status) ? WEXITSTATUS(stream->wait_status)
                                                  : 128 + WTERMSIG(stream->wait_status);

    if (stream->is_timed_out) {
        code = EXIT_TIMEOUT;
        fault_set(&fault, STATUS_TIMEOUT, 0, "%s: the command was killed at its timeout",
                  stream->container);
    } else if (stream->is_killing && code == 128 + SIGKILL) { /* else it ended by itself */
        bool is_over = ct->generation != stream->generation || !ct->is_open;

        fault_set(&fault, STATUS_FAILED, 0, "%s ended under the command: %s", stream->container,
                  is_over && ct->generation == stream->generation ? cause_name(ct->cause)
                                                                  : "it is going down");
    } else if (stream->is_cut) {
        fault_set(&fault, STATUS_STREAM_LOST, 0,
                  "%s: the command ended with %d, but its output is not all here",
                  stream->container, code);
        fault_hint(&fault, "something inside held its output, or ended what passes it on");
        code = EXIT_OURS;
    }
    stream_end(stream, &fault, code);
}

static bool is_container_gone(const struct stream *stream)
{
    const struct ct *ct = node_get(stream_agent(stream)->node, stream->ct);

    return ct->generation != stream->generation || !ct->is_open;
}

static void on_cause_late(uv_timer_t *timer)
{
    struct stream *stream = container_of(timer, struct stream, timer);

    stream->is_killing = is_container_gone(stream);
    finish(stream);
}

static void await_relay(struct stream *stream);

static void on_relay_silent(uv_timer_t *timer)
{
    struct stream *stream = container_of(timer, struct stream, timer);

    stream->is_awaited = false;
    if (stream_room(stream) == 0) { /* it is the reader who is slow */
        await_relay(stream);
        return;
    }
    stream->is_cut = true;
    stream_close_outlet(&stream->outlets[0]);
    stream_close_outlet(&stream->outlets[1]);
    stream_exec_pumped(stream);
}

/* The command has ended, its relay has not. */
static void await_relay(struct stream *stream)
{
    if (!stream->is_awaited)
        (void)uv_timer_start(&stream->timer, on_relay_silent, RELAY_SILENT_MS, 0);
    stream->is_awaited = true;
}

void stream_exec_heard(struct stream *stream)
{
    if (stream->is_awaited)
        (void)uv_timer_start(&stream->timer, on_relay_silent, RELAY_SILENT_MS, 0);
}

void stream_exec_cut(struct stream *stream)
{
    stream->is_cut = true;
    stream_exec_kill(stream); /* it would go on with nobody who hears it */
}

/* All output was read, as far as there was a reader. */
void stream_exec_pumped(struct stream *stream)
{
    if (!stream->has_status || stream->is_closed)
        return;
    if (stream->outlets[0].is_open || stream->outlets[1].is_open) {
        await_relay(stream);
        return;
    }
    if (stream->is_awaited)
        (void)uv_timer_stop(&stream->timer);
    stream->is_awaited = false;
    bool is_killed = WIFSIGNALED(stream->wait_status) && WTERMSIG(stream->wait_status) == SIGKILL &&
                     !stream->is_timed_out;
    if (is_killed && is_container_gone(stream))
        stream->is_killing = true;
    else if (is_killed && !stream->is_killing && !uv_is_active((uv_handle_t *)&stream->timer)) {
        /* By someone inside, or with its whole container, whose end is about to be told. */
        (void)uv_timer_start(&stream->timer, on_cause_late, CAUSE_WAIT_MS, 0);
        return;
    }
    if (!uv_is_active((uv_handle_t *)&stream->timer) || stream->is_killing)
        finish(stream);
}

void stream_exec_generation_over(struct stream *stream)
{
    stream->is_killing = true;
    if (stream->has_status)
        stream_exec_pumped(stream);
}

void stream_exec_kill(struct stream *stream)
{
    if (stream->kill >= 0 && stream->is_spawned && !stream->has_status)
        (void)!write(stream->kill, "1", 1); /* gone already: nothing to kill */
}

static void on_failed(struct stream *stream, const struct kw_spawn_record *record)
{
    struct fault fault;
    const char *command = stream->open.argv_count > 0 ? stream->open.argv[0] : "";
    int32_t code = record->exec_errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT;

    if (record->failed_step == KW_STEP_CWD) {
        fault_set(&fault, STATUS_FAILED, record->exec_errno, "--cwd %s: %s", stream->open.cwd,
                  strerror(record->exec_errno));
        code = EXIT_OURS;
    } else if (record->failed_step != KW_STEP_EXEC) {
        fault_set(&fault, STATUS_FAILED, record->exec_errno, "%s cannot be entered",
                  stream->container);
        code = EXIT_OURS;
    } else {
        fault_set(&fault, code == EXIT_NOT_FOUND ? STATUS_NOT_FOUND : STATUS_NOT_PERMITTED,
                  record->exec_errno, "%s: %s", command, strerror(record->exec_errno));
    }
    if (record->is_timed_out)
        code = EXIT_TIMEOUT;
    stream_end(stream, &fault, code);
}

void stream_exec_remove_leaf(struct stream *stream)
{
    struct slot *slot = &stream_agent(stream)->slots[stream->ct];

    if (!slot->has_cgroup || slot->generation != stream->generation)
        return;
    boundary(exec_ended);
    (void)cgroup_exec_remove(&slot->cgroup, stream->leaf);
    boundary(exec_leaf_gone);
    if (slot->stale_below != 0) /* by now those killed at adoption are gone */
        (void)cgroup_exec_sweep(&slot->cgroup, slot->stale_below);
    slot->stale_below = 0;
}

void stream_exec_record(struct stream *stream, const struct kw_spawn_record *record)
{
    bool is_final = record->phase == KW_PHASE_ENDED || record->phase == KW_PHASE_FAILED;

    stream->is_timed_out = record->is_timed_out != 0;
    if (is_final) {
        stream->is_spawned = false;
        stream_exec_remove_leaf(stream);
    } else if (stream->is_closed) {
        stream_exec_kill(stream); /* its leaf was still empty when it was let go of */
    }
    if (record->phase == KW_PHASE_FAILED)
        on_failed(stream, record);
    if (record->phase == KW_PHASE_ENDED || record->phase == KW_PHASE_DRAINING) {
        stream->has_status = true;
        stream->wait_status = record->wait_status;
    }
    if (stream->is_closed)
        stream_free_if_done(stream);
    else
        stream_pump_outlets(stream);
}

void stream_exec_resize(struct stream *stream, uint16_t rows, uint16_t columns)
{
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    struct slot *slot = &stream_agent(stream)->slots[stream->ct];

    if (stream->kind == STREAM_CONSOLE && slot->pty >= 0)
        (void)ioctl(slot->pty, TIOCSWINSZ, &size);
    if (stream->kind == STREAM_EXEC && stream->control >= 0)
        (void)send(stream->control, (const uint16_t[]){rows, columns}, 2 * sizeof(uint16_t),
                   MSG_NOSIGNAL); /* full of sizes that nobody took: a later one will do */
}
