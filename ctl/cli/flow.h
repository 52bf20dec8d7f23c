/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.h — one stream of octets with a server: numbered frames, credit both ways, and its end.
 *
 * Shape    struct flow is the only stream of its connection. Frames leave within the credit that
 *          the other side granted, and come within ours; what breaks that ends the stream.
 * Units    octets, cumulative.
 * Errors   -errno with a fault: `stream_lost` for a hole or too much, else as wire.h says.
 * Owner    the caller's struct; the wire is borrowed.
 * Context  one thread; never blocks.
 */
#ifndef DROVER_FLOW_H
#define DROVER_FLOW_H

#include "wire.h"

struct flow {
    struct wire *wire;
    uint64_t number; /* of the stream */
    char request[REQUEST_ID_BYTES];
    uint64_t out_number;
    uint64_t out_bytes;
    uint64_t credit_bytes; /* that the other side granted */
    uint64_t in_number;
    uint64_t in_bytes;
    uint64_t done_bytes; /* of those, that were written on */
    uint64_t granted_bytes;
    bool is_over;          /* the other side said how it ended: */
    struct fault fault;    /* status UNSET: well */
    char node[NAME_BYTES]; /* that the fault named */
    int32_t exit_code;
};

/* open->stream and open->request_id are filled in; the latter only if it is not given. */
int flow_open(struct flow *flow, struct wire *wire, struct stream_open *open, struct fault *fault);

/* Octets that may be sent now, of one frame. */
size_t flow_room(const struct flow *flow);
/* Post a frame of at most flow_room() octets. */
int flow_send(struct flow *flow, enum lane lane, struct octets data, bool is_end,
              struct fault *fault);

/*
 * Take a message of the connection in.
 *   ret_frame  out  borrowed from the message; only with 1
 * Returns 1: a frame came, 0: nothing to be done with it (it may have been the end), -errno.
 */
int flow_take(struct flow *flow, const struct message *message, struct stream_frame *ret_frame,
              struct fault *fault);
/* So many octets of frames are out of our hands: grant more, if it is time. */
int flow_done(struct flow *flow, size_t size_bytes, struct fault *fault);

/* "Close it": what runs in it is killed. Sent as far as the socket takes it at once; closing the
 * connection says the same. */
void flow_abandon(struct flow *flow);

#endif
