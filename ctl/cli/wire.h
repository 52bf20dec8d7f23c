/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h — one connection to an agent or a controller, for a program that waits.
 *
 * Shape    messages are posted into a buffer and leave while we wait for others to come.
 * Units    deadlines CLOCK_MONOTONIC ns, WIRE_FOREVER: none.
 * Errors   -errno with a fault: -ETIMEDOUT `timeout`; -EINTR, no fault: a signal of wire_catch();
 *          all else `unreachable`: what was asked may have happened.
 * Owner    the caller's struct wire; a message is valid until the next is taken.
 * Context  one thread; blocks in poll(2) alone, and for 10 s at most in connect(2).
 */
#ifndef DROVER_WIRE_H
#define DROVER_WIRE_H

#include <poll.h>

#include "codec.h"

#define WIRE_FOREVER UINT64_MAX
#define WIRE_PATH_MAX 100  /* octets of a socket's path; longer ones are refused in words */
#define WIRE_WATCHED_MAX 4 /* descriptors of the caller that wire_wait() watches beside its own */

struct wire {
    int fd;      /* -1: not connected */
    int signals; /* signalfd, -1: none caught */
    struct buffer in;
    struct buffer out;
    size_t taken_bytes; /* of the message at the front of `in` that was handed out */
    struct arena arena;
    bool is_output_watched; /* a wait ends as SIGPIPE does when nobody reads standard output */
    bool has_sent;          /* an octet went out: what was asked may be known there */
};

#define WIRE_EMPTY ((struct wire){.fd = -1, .signals = -1})

int wire_connect(struct wire *wire, const char *path, struct fault *fault);
void wire_close(struct wire *wire);

/* From now on these signals end a wait instead of the program. The list ends with 0. */
int wire_catch(struct wire *wire, const int *signals);
/* The signal that came, 0: none. */
int wire_signal_take(struct wire *wire);

/* Append to what is to be sent; nothing is sent here. */
int wire_post(struct wire *wire, const struct message *message, struct fault *fault);
/* Send what the socket takes at once; wire_wait() does it by itself. */
void wire_flush(struct wire *wire);

/*
 * Wait until something can be read (taken into `in`), written (done), one of `watched` is ready, a
 * signal came or the deadline passed; of the last two, and of a lost connection, it tells.
 *   watched  in/out  revents set; may be NULL with a count of 0
 */
int wire_wait(struct wire *wire, struct pollfd *watched, size_t count, uint64_t deadline_ns,
              struct fault *fault);

/* The next whole message that was read: 1, 0: none yet, -errno. */
int wire_take(struct wire *wire, struct message *ret_message, struct fault *fault);

/* Wait for the next message. */
int wire_receive(struct wire *wire, struct message *ret_message, uint64_t deadline_ns,
                 struct fault *fault);

#endif
