/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "terminal.h"

#define EXIT_TIMEOUT 124
#define END_OF_TRANSMISSION "\004" /* what a terminal's reader takes for the end of its input */

/* ---- what was typed ---- */

size_t escape_filter(struct escape *escape, struct octets from, uint8_t *to, bool *ret_is_left)
{
    size_t count = 0;

    *ret_is_left = false;
    for (size_t i = 0; i < from.size_bytes; i++) {
        uint8_t octet = from.data[i];

        if (escape->is_tilde) {
            escape->is_tilde = false;
            if (octet == '.') {
                *ret_is_left = true;
                return count;
            }
            to[count++] = '~';
            escape->is_inside_line = true;
            if (octet == '~')
                continue; /* ~~ is one */
        } else if (escape->is_wanted && !escape->is_inside_line && octet == '~') {
            escape->is_tilde = true;
            continue;
        }
        to[count++] = octet;
        escape->is_inside_line = octet != '\r' && octet != '\n';
    }
    return count;
}

static int send_input_end(struct relay *relay, struct fault *fault)
{
    struct octets end = {(const uint8_t *)END_OF_TRANSMISSION, relay->open.is_tty ? 1 : 0};

    relay->is_input_over = true;
    if (!relay->is_exec)
        return 0; /* a console has no end of its own */
    return flow_send(&relay->flow, LANE_STDIN, end, true, fault);
}

/* flow_room() is at least 2: a tilde that was held back may come with what follows. */
static int take_input(struct relay *relay, struct fault *fault)
{
    uint8_t typed[STREAM_FRAME_BYTES_MAX];
    uint8_t sent[STREAM_FRAME_BYTES_MAX];
    ssize_t n = read(STDIN_FILENO, typed, flow_room(&relay->flow) - 1);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return send_input_end(relay, fault);
    size_t count =
        escape_filter(&relay->escape, (struct octets){typed, (size_t)n}, sent, &relay->is_left);
    if (count == 0)
        return 0;
    return flow_send(&relay->flow, LANE_STDIN, (struct octets){sent, count}, false, fault);
}

static int send_size(struct relay *relay, struct fault *fault)
{
    uint16_t rows = 0;
    uint16_t columns = 0;

    if (!relay->is_raw || flow_room(&relay->flow) < 4 ||
        !terminal_size(STDIN_FILENO, &rows, &columns))
        return 0;
    const uint8_t size[4] = {(uint8_t)rows, (uint8_t)(rows >> 8), (uint8_t)columns,
                             (uint8_t)(columns >> 8)};
    return flow_send(&relay->flow, LANE_RESIZE, (struct octets){size, sizeof(size)}, false, fault);
}

/* ---- what is to be shown ---- */

/* poll(2) promises room for PIPE_BUF octets in a pipe, and then write(2) does not block. */
static bool can_write(int fd)
{
    struct pollfd watched = {.fd = fd, .events = POLLOUT};

    return poll(&watched, 1, 0) == 1;
}

static size_t chunk_of(const struct outlet *outlet)
{
    return outlet->waiting.size_bytes < PIPE_BUF ? outlet->waiting.size_bytes : PIPE_BUF;
}

/* Write what can be written without waiting. */
static int flush_outlet(struct relay *relay, struct outlet *outlet, struct fault *fault)
{
    size_t written_bytes = 0;

    while (outlet->waiting.size_bytes > 0 && !outlet->is_broken && can_write(outlet->fd)) {
        ssize_t n = write(outlet->fd, outlet->waiting.data, chunk_of(outlet));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n < 0) {
            outlet->is_broken = true;
            if (outlet->fd == STDOUT_FILENO)
                relay->broken_error = errno;
            break;
        }
        buffer_consume(&outlet->waiting, (size_t)n);
        written_bytes += (size_t)n;
    }
    if (outlet->is_broken || outlet->waiting.size_bytes == 0) {
        buffer_consume(&outlet->waiting, outlet->waiting.size_bytes);
        written_bytes = outlet->owed_bytes;
    }
    if (written_bytes > outlet->owed_bytes) /* cleaned text is longer than what it was made of */
        written_bytes = outlet->owed_bytes;
    outlet->owed_bytes -= written_bytes;
    return written_bytes == 0 ? 0 : flow_done(&relay->flow, written_bytes, fault);
}

static int take_frame(struct relay *relay, const struct stream_frame *frame, struct fault *fault)
{
    struct outlet *outlet = &relay->outlets[frame->lane == LANE_STDERR ? 1 : 0];
    int result;

    if (frame->lane != LANE_STDOUT && frame->lane != LANE_STDERR)
        return flow_done(&relay->flow, frame->data.size_bytes, fault);
    if (relay->is_cleaned)
        result = cleaner_take(&relay->cleaner, frame->data, &outlet->waiting);
    else
        result = buffer_append(&outlet->waiting, frame->data.data, frame->data.size_bytes);
    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "no memory for what came");
        return result;
    }
    outlet->owed_bytes += frame->data.size_bytes;
    return flush_outlet(relay, outlet, fault);
}

/* ---- the loop ---- */

static int take_messages(struct relay *relay, struct fault *fault)
{
    struct message message;
    struct stream_frame frame;
    int result;

    while ((result = wire_take(&relay->cli->wire, &message, fault)) > 0) {
        result = flow_take(&relay->flow, &message, &frame, fault);
        if (result > 0)
            result = take_frame(relay, &frame, fault);
        if (result < 0)
            return result;
        if (relay->flow.is_over)
            return 0;
    }
    return result;
}

/* 0: it was nothing that ends us. */
static int take_signal(struct relay *relay, struct fault *fault)
{
    int number = wire_signal_take(&relay->cli->wire);

    if (number == 0)
        return 0;
    if (number == SIGCONT)
        terminal_make_raw_again();
    if (number == SIGCONT || number == SIGWINCH)
        return send_size(relay, fault);
    relay->signal = number;
    return -EINTR;
}

static int wait_for_more(struct relay *relay, struct fault *fault)
{
    struct pollfd watched[3];
    bool is_reading = relay->has_input && !relay->is_input_over && flow_room(&relay->flow) >= 2;

    watched[0] = (struct pollfd){.fd = is_reading ? STDIN_FILENO : -1, .events = POLLIN};
    for (size_t i = 0; i < 2; i++) {
        const struct outlet *outlet = &relay->outlets[i];
        bool is_writing = outlet->waiting.size_bytes > 0;
        /* A reader that left shows as POLLERR though nothing is written: with no input either, the
         * stream would go on for nobody. */
        bool is_watched = is_writing || (i == 0 && !relay->has_input && !outlet->is_broken);
        watched[1 + i] =
            (struct pollfd){.fd = is_watched ? outlet->fd : -1, .events = is_writing ? POLLOUT : 0};
    }
    int result = wire_wait(&relay->cli->wire, watched, 3, relay->deadline_ns, fault);
    if (result == -EINTR)
        return take_signal(relay, fault);
    if (result == 0 && watched[0].revents != 0)
        result = take_input(relay, fault);
    for (size_t i = 0; i < 2 && result == 0; i++)
        if (watched[1 + i].revents != 0 && watched[1 + i].events != 0)
            result = flush_outlet(relay, &relay->outlets[i], fault);
    if (watched[1].events == 0 && (watched[1].revents & POLLERR) != 0)
        relay->broken_error = EPIPE;
    return result;
}

/* The stream is over: what it said is written, however long its reader takes. */
static int drain(struct relay *relay, struct fault *fault)
{
    if (relay->is_cleaned)
        (void)cleaner_finish(&relay->cleaner, &relay->outlets[0].waiting);
    for (;;) {
        struct pollfd fds[3] = {{.fd = -1}, {.fd = -1}, {.fd = -1}};
        size_t waiting_bytes = 0;

        for (size_t i = 0; i < 2; i++) {
            struct outlet *outlet = &relay->outlets[i];
            (void)flush_outlet(relay, outlet, fault); /* an ended stream grants nothing more */
            waiting_bytes += outlet->waiting.size_bytes;
            if (outlet->waiting.size_bytes > 0)
                fds[i] = (struct pollfd){.fd = outlet->fd, .events = POLLOUT};
        }
        if (waiting_bytes == 0)
            return 0;
        fds[2] = (struct pollfd){.fd = relay->cli->wire.signals, .events = POLLIN};
        (void)poll(fds, 3, -1); /* EINTR: all that matters is caught, so look again */
        if (fds[2].revents != 0 && take_signal(relay, fault) == -EINTR)
            return -EINTR;
    }
}

static int pump(struct relay *relay, struct fault *fault)
{
    for (;;) {
        int result = take_messages(relay, fault);

        if (result == 0 && relay->flow.is_over)
            return drain(relay, fault);
        if (result == 0)
            result = wait_for_more(relay, fault);
        if (result < 0 || relay->is_left || relay->broken_error != 0)
            return result;
    }
}

/* ---- its end ---- */

static int tell_broken(struct relay *relay)
{
    struct fault fault = {0};

    if (relay->broken_error == EPIPE)
        return 128 + SIGPIPE; /* its reader has enough: nothing to be told */
    fault_set(&fault, STATUS_FAILED, relay->broken_error, "cannot write to standard output");
    int code = cli_fail(relay->cli, &fault, "", "");
    return relay->is_exec ? EXIT_OURS : code;
}

static int tell_lost(struct relay *relay, struct fault *fault)
{
    if (fault->status == STATUS_TIMEOUT && relay->is_exec)
        fault_set(fault, STATUS_TIMEOUT, 0, "no word of the command's end at its timeout");
    if (fault->status == STATUS_UNREACHABLE && relay->is_exec)
        fault_hint(fault, "a command whose client is gone is killed");
    int code = cli_fail(relay->cli, fault, relay->container, relay->open.node);
    if (!relay->is_exec)
        return code;
    return fault->status == STATUS_TIMEOUT ? EXIT_TIMEOUT : EXIT_OURS;
}

static int tell_end(struct relay *relay)
{
    const struct flow *flow = &relay->flow;
    bool is_well = flow->fault.status == STATUS_UNSET || flow->fault.status == STATUS_DONE;
    int code = 0;

    if (!is_well)
        code = cli_fail(relay->cli, &flow->fault, relay->container,
                        flow->node[0] != '\0' ? flow->node : relay->open.node);
    if (!relay->is_exec)
        return code;
    bool is_code = flow->exit_code >= 0 && flow->exit_code <= 255;
    return !is_code || (!is_well && flow->exit_code == 0) ? EXIT_OURS : flow->exit_code;
}

static int finish(struct relay *relay, int result, struct fault *fault)
{
    bool is_over = relay->flow.is_over;

    flow_abandon(&relay->flow);
    if (relay->signal != 0)
        return 128 + relay->signal;
    if (relay->broken_error != 0)
        return tell_broken(relay);
    if (result < 0)
        return tell_lost(relay, fault);
    if (is_over)
        return tell_end(relay);
    if (relay->left_words != NULL)
        (void)fprintf(stderr, "\n%s\n", relay->left_words);
    return 0;
}

static void catch_signals(struct relay *relay)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCONT, SIGWINCH, 0};

    (void)signal(SIGPIPE, SIG_IGN);               /* cannot fail for this signal */
    (void)wire_catch(&relay->cli->wire, signals); /* without it they just end us */
}

int relay_run(struct relay *relay)
{
    struct fault fault = {0};

    relay->outlets[0].fd = STDOUT_FILENO;
    relay->outlets[1].fd = STDERR_FILENO;
    if (relay->open.is_tty || relay->escape.is_wanted) {
        uint16_t rows = 0;
        uint16_t columns = 0;
        if (terminal_size(STDIN_FILENO, &rows, &columns) ||
            terminal_size(STDOUT_FILENO, &rows, &columns)) {
            relay->open.rows = rows;
            relay->open.columns = columns;
        }
    }
    catch_signals(relay);
    int result = flow_open(&relay->flow, &relay->cli->wire, &relay->open, &fault);
    if (result == 0 && relay->is_raw && terminal_make_raw(STDIN_FILENO) < 0)
        relay->is_raw = false; /* no terminal after all: octets go as they come */
    if (result == 0)
        result = pump(relay, &fault);
    terminal_restore();
    int code = finish(relay, result, &fault);
    for (size_t i = 0; i < 2; i++)
        buffer_close(&relay->outlets[i].waiting);
    return code;
}
