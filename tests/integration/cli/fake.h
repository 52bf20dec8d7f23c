/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake.h — a server that answers as it likes, and one run of `drover` against it.
 *
 * Shape    a server is a function in a process of its own: it hears and says messages on the one
 *          connection that comes. run() starts both and tells how the program ended.
 * Units    octets.
 * Errors   what cannot be set up fails the test; a server that is disappointed ends with a code
 *          other than 0, which run() tells.
 * Owner    one stage a test; fake_close() removes what it made.
 * Context  cmocka; programs are killed after FAKE_SECONDS.
 */
#ifndef DROVER_TEST_FAKE_H
#define DROVER_TEST_FAKE_H

#include <stdbool.h>
#include <sys/types.h>

#include "codec.h"

#define FAKE_SECONDS 30
#define FAKE_WELCOME "welcome"

struct fake {
    char dir[64];
    char path[96];     /* of the socket */
    const char *input; /* standard input of fake_run(); /dev/null at first */
};

/* One connection, in the server's process. */
struct talk {
    int fd;
    struct buffer in;
    struct arena arena;
    struct message message; /* the last that was heard; its texts live until the next */
};
typedef void (*fake_server_fn)(struct talk *talk);

struct outcome {
    int code; /* exit code, or 128 + n */
    char out[65536];
    size_t out_bytes;
    char err[16384];
    int server;       /* exit code of the server */
    bool is_restored; /* of fake_run_tty(): the terminal is as it was before */
};

int fake_open(void **state);
int fake_close(void **state);

/* arguments end with NULL; "--agent SOCKET" is put before them. server NULL: nobody listens. */
void fake_run(const struct fake *fake, fake_server_fn server, const char *const *arguments,
              struct outcome *ret_outcome);
/* The same on a terminal of its own, on which `typed` is typed after the server's FAKE_WELCOME was
 * * shown. out is all that was. */
void fake_run_tty(const struct fake *fake, fake_server_fn server, const char *const *arguments,
                  const char *typed, struct outcome *ret_outcome);

/* ---- for servers ---- */

/* The next message of this kind, others are passed over; the server ends if none comes. */
const struct message *talk_hear(struct talk *talk, enum message_kind kind);
/* True if the other side hung up, whatever it said before. */
bool talk_is_over(struct talk *talk);
/* True if it hung up, and had said nothing more. */
bool talk_is_silent(struct talk *talk);
void talk_say(struct talk *talk, const struct message *message);
void talk_octets(struct talk *talk, const void *data, size_t size_bytes);
/* The process at the other end. */
pid_t talk_peer(const struct talk *talk);
/* Ends the server. */
__attribute__((noreturn)) void talk_fail(const char *why);

#endif
