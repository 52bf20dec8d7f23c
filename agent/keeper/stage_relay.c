/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between a command in a guest and the agent: pipes or a terminal on the guest's side,
 * sockets on the other.
 *
 * Design notes. Whoever has an end of a pipe, or a terminal, can hold a lock that its other end
 * needs, without a bound: splice(2) keeps the pipe's while its source has nothing to give, and a
 * page of the caller's that a hanging file system has to bring keeps a terminal's. read(2),
 * write(2) and close(2) of the other end then wait where no signal reaches them. The ends of a
 * socket share no such lock. So the agent holds no end of what a command holds: this process does,
 * one a command, in the command's own group. It alone can be made to wait; that harms its guest
 * alone, and ends with whoever holds the lock.
 * LIMIT: what kills the whole group, a deadline or the container's end, ends it too: what it had
 * not passed on by then, because the reader is slow, is lost.
 *
 * Sockets for the command itself were rejected: /dev/stdout and /dev/stderr cannot be opened then
 * (ENXIO), which shells' `> /dev/stderr` needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage_steps.h"
#include "sys.h"

#define LANE_BYTES 65536u      /* what a pipe holds */
#define PTY_TAIL_BYTES 1048576 /* read of a terminal after its command ended; it holds less */

/* One direction of one stream. */
struct lane {
    int source; /* -1: nothing more comes */
    int sink;   /* -1: closed; then its source is too */
    bool is_out;
    bool is_pipe;   /* its source: pages are handed on, not copied */
    bool is_full;   /* of pages: its sink takes no more now */
    uint32_t begin; /* what was read and not written yet */
    uint32_t end;
    uint64_t left; /* that may still be read; without a bound while the command lives */
    uint8_t *buffer;
};

struct relay {
    struct lane lanes[3]; /* in, out, err; with a terminal the last is empty */
    int command;          /* its pidfd; -1: it has ended */
    int control;          /* sizes of the terminal come here; -1: none */
    int terminal;         /* its master, for them */
};

static void lane_close(struct lane *lane)
{
    char word;

    /* Unread, the agent's octet makes its end see ECONNRESET: we were ended before our time. */
    if (lane->sink >= 0 && lane->is_out)
        (void)recv(lane->sink, &word, 1, MSG_DONTWAIT);
    fd_closep(&lane->source);
    fd_closep(&lane->sink);
    lane->begin = lane->end = 0;
}

static void lane_write(struct lane *lane)
{
    while (lane->begin < lane->end) {
        const uint8_t *data = lane->buffer + lane->begin;
        size_t size_bytes = lane->end - lane->begin;
        ssize_t n = lane->is_out ? send(lane->sink, data, size_bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
                                 : write(lane->sink, data, size_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            lane_close(lane); /* nobody reads it any more */
            return;
        }
        lane->begin += (uint32_t)n;
    }
}

/* As lane_read() and lane_write() in one. Which side says EAGAIN is not told: after the source was
 * ready it is the sink, and after that it is the source. */
static void lane_splice(struct lane *lane, bool has_ended)
{
    size_t room = lane->left < LANE_BYTES ? (size_t)lane->left : LANE_BYTES;
    ssize_t n = room == 0 ? 0
                          : splice(lane->source, NULL, lane->sink, NULL, room,
                                   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

    if (n < 0 && errno == EINTR)
        return;
    if (n < 0 && errno == EAGAIN && has_ended && lane->is_full) {
        lane_close(lane);
        return;
    }
    if (n < 0 && errno == EAGAIN) {
        lane->is_full = !lane->is_full;
        return;
    }
    lane->is_full = false;
    if (n <= 0)
        lane_close(lane);
    else if (has_ended)
        lane->left -= (uint64_t)n;
}

/* has_ended: nothing there now means that nothing comes. */
static void lane_read(struct lane *lane, bool has_ended)
{
    size_t room = lane->left < LANE_BYTES ? (size_t)lane->left : LANE_BYTES;
    ssize_t n = room == 0 ? 0 : read(lane->source, lane->buffer, room);

    if (n < 0 && (errno == EINTR || (errno == EAGAIN && !has_ended)))
        return;
    if (n <= 0) {
        lane_close(lane);
        return;
    }
    lane->begin = 0;
    lane->end = (uint32_t)n;
    if (has_ended)
        lane->left -= (uint64_t)n;
    lane_write(lane);
}

/* Something is read, and waits for room. */
static bool lane_is_held(const struct lane *lane)
{
    return lane->is_full || lane->begin < lane->end;
}

static void lane_poll(const struct lane *lane, struct pollfd polls[2])
{
    bool is_held = lane_is_held(lane);

    polls[0] = (struct pollfd){.fd = is_held ? -1 : lane->source, .events = POLLIN};
    polls[1] = (struct pollfd){.fd = lane->sink, .events = is_held ? POLLOUT : 0};
}

static void lane_turn(struct lane *lane, const struct pollfd polls[2], bool has_ended)
{
    bool is_held = lane_is_held(lane);

    if (lane->sink >= 0 && (polls[1].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        lane_close(lane);
        return;
    }
    if (lane->source < 0 || (is_held && (polls[1].revents & POLLOUT) == 0) ||
        (!is_held && !has_ended && (polls[0].revents & ~POLLNVAL) == 0))
        return;
    if (lane->is_pipe)
        lane_splice(lane, has_ended);
    else if (is_held)
        lane_write(lane);
    else
        lane_read(lane, has_ended);
}

/* What was written before the end is passed on; who was left behind may go on writing, but is not
 * waited for. */
static void take_end(struct relay *relay)
{
    fd_closep(&relay->command);
    fd_closep(&relay->lanes[0].source); /* its sink goes last: closing it may have to wait */
    for (size_t i = 1; i < COUNT_OF(relay->lanes); i++) {
        struct lane *lane = &relay->lanes[i];
        int there = 0;

        if (lane->source < 0)
            continue;
        lane->left = PTY_TAIL_BYTES;
        if (relay->terminal < 0 && ioctl(lane->source, FIONREAD, &there) == 0)
            lane->left = (uint64_t)there;
    }
}

static void take_size(struct relay *relay)
{
    uint16_t size[2];
    ssize_t n = recv(relay->control, size, sizeof(size), MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        fd_closep(&relay->control);
    } else if (n == sizeof(size)) {
        const struct winsize window = {.ws_row = size[0], .ws_col = size[1]};
        (void)ioctl(relay->terminal, TIOCSWINSZ, &window); /* hung up: nobody looks at it */
    }
}

/* One is to be looked at without waiting: it reads, or is closed. */
static bool has_tail(const struct relay *relay)
{
    bool has = false;

    for (size_t i = 1; i < COUNT_OF(relay->lanes) && relay->command < 0; i++)
        has |= relay->lanes[i].source >= 0 && !lane_is_held(&relay->lanes[i]);
    return has;
}

static void run(struct relay *relay)
{
    struct pollfd polls[2 + 2 * COUNT_OF(relay->lanes)];
    const struct lane *lanes = relay->lanes;

    while (lanes[1].sink >= 0 || lanes[2].sink >= 0 ||
           (relay->command >= 0 && lanes[0].sink >= 0)) {
        polls[0] = (struct pollfd){.fd = relay->command, .events = POLLIN};
        polls[1] = (struct pollfd){.fd = relay->control, .events = POLLIN};
        for (size_t i = 0; i < COUNT_OF(relay->lanes); i++)
            lane_poll(&lanes[i], &polls[2 + 2 * i]);
        if (relay->command < 0)
            polls[2].fd = polls[3].fd = -1;
        if (poll(polls, COUNT_OF(polls), has_tail(relay) ? 0 : -1) < 0 && errno != EINTR)
            return;
        if (relay->command >= 0 && polls[0].revents != 0)
            take_end(relay);
        if (relay->control >= 0 && polls[1].revents != 0)
            take_size(relay);
        for (size_t i = 0; i < COUNT_OF(relay->lanes); i++)
            if (i > 0 || relay->command >= 0)
                lane_turn(&relay->lanes[i], &polls[2 + 2 * i], relay->command < 0);
    }
}

/* The guest's ends, from the stage that made them; it may die before. */
static int take_ends(const struct stage *stage, int ends[3], size_t *ret_count)
{
    struct pollfd one = {.fd = stage->slave, .events = POLLIN};
    char word;

    while (poll(&one, 1, -1) < 0)
        if (errno != EINTR)
            return -errno;
    return sys_receive_fds(stage->slave, &word, 1, ends, 3, ret_count) == 1 ? 0 : -EPIPE;
}

/* All of them: what is read and written here was opened by others. */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};
    int rc = ids_drop_capabilities(0);

    if (rc == 0 && syscall(SYS_capset, &header, none) < 0)
        rc = -errno;
    return rc;
}

static int settle(const struct stage *stage)
{
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)prctl(PR_SET_NAME, "drover-relay", 0, 0, 0);
    (void)setsid();
    (void)signal(SIGPIPE, SIG_IGN);
    int rc = stage_keep_own(stage);
    if (rc == 0)
        rc = stage_enter_groups(stage);
    if (rc == 0)
        rc = drop_capabilities();
    (void)close(stage->report);
    (void)close(stage->go);
    return rc;
}

int relay_take(const struct stage *stage, const int *ends, size_t count)
{
    ssize_t n = sys_send_fds(stage->slave, "", 1, ends, count);

    return n < 0 ? (int)n : 0;
}

int relay_open_pipes(const struct stage *stage, int ret_standard[3])
{
    const struct kp_header *plan = stage->plan;
    int ends[3];

    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0)
            return -errno;
        ret_standard[i] = i == 0 ? fds[0] : fds[1];
        ends[i] = i == 0 ? fds[1] : fds[0];
        /* The command's own, so that it may open /dev/stderr. */
        if (fchown(ret_standard[i], plan->uid, plan->gid) < 0 ||
            fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0)
            return -errno;
    }
    return relay_take(stage, ends, COUNT_OF(ends));
}

_Noreturn void stage_relay(const struct stage *stage)
{
    static uint8_t buffers[3][LANE_BYTES]; /* pages of ours as far as they are written */
    int ends[3] = {-1, -1, -1};
    size_t count = 0;
    int in = stage_find_fd(stage, KW_FD_STDIN);
    int out = stage_find_fd(stage, KW_FD_STDOUT);
    int err = stage_find_fd(stage, KW_FD_STDERR);

    if (settle(stage) < 0 || take_ends(stage, ends, &count) < 0)
        _exit(1);
    (void)close(stage->slave);
    bool is_terminal = count == 1;
    int reading = is_terminal ? fcntl(ends[0], F_DUPFD_CLOEXEC, 3) : ends[1];
    struct relay relay = {
        .lanes = {{.source = in, .sink = ends[0], .left = UINT64_MAX, .buffer = buffers[0]},
                  {.source = reading, .sink = out, .left = UINT64_MAX, .buffer = buffers[1]},
                  {.source = is_terminal ? -1 : ends[2],
                   .sink = is_terminal ? -1 : err,
                   .left = UINT64_MAX,
                   .buffer = buffers[2]}},
        .command = stage_find_fd(stage, KW_FD_TARGET),
        .control = is_terminal ? err : -1,
        .terminal = is_terminal ? reading : -1,
    };
    relay.lanes[1].is_out = relay.lanes[2].is_out = true;
    relay.lanes[1].is_pipe = relay.lanes[2].is_pipe = !is_terminal;
    run(&relay);
    _exit(0);
}
