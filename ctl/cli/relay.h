/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h — standard input, output and error to and from a stream of a container.
 *
 * Shape    struct relay says what the stream is to be; relay_run() is its whole life.
 * Units    octets.
 * Errors   told here; the exit code says how it ended.
 * Owner    the caller's struct; cli must be connected.
 * Context  one thread; the terminal is as it was when relay_run() returns, or does not.
 */
#ifndef DROVER_RELAY_H
#define DROVER_RELAY_H

#include "cleaner.h"
#include "cli.h"
#include "flow.h"

/* Where `~.` stands in what is typed. */
struct escape {
    bool is_wanted;
    bool is_inside_line;
    bool is_tilde; /* one is held back at the start of a line */
};

/*
 * What is to be sent of what was typed.
 *   to           out  room for one octet more than `from` has
 *   ret_is_left  out  the person wants to leave; what follows was not looked at
 * Returns how many octets.
 */
size_t escape_filter(struct escape *escape, struct octets from, uint8_t *to, bool *ret_is_left);

struct outlet {
    int fd;
    struct buffer waiting; /* to be written, and then granted again */
    size_t owed_bytes;     /* to be granted: octets of frames that `waiting` was made of */
    bool is_broken;        /* nobody reads it: what comes is dropped */
};

struct relay {
    struct cli *cli;
    struct stream_open open;
    const char *container;
    const char *left_words; /* told when the person leaves; NULL: nothing */
    uint64_t deadline_ns;   /* WIRE_FOREVER: none */
    bool is_exec;           /* ends with the command's own code, 125 for failures of ours */
    bool has_input;         /* standard input is read */
    bool is_raw;            /* the terminal is the guest's */
    bool is_cleaned;        /* what is shown must not steer the terminal */
    struct escape escape;
    struct cleaner cleaner;

    /* From here on the relay's own. */
    struct flow flow;
    struct outlet outlets[2];
    bool is_input_over;
    bool is_left;
    int signal;       /* that ended us; 0: none */
    int broken_error; /* of standard output; 0: it can be written */
};

int relay_run(struct relay *relay);

#endif
