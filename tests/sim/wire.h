/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h — datagrams between node and controller: late, lost, twice, out of order, or none at all.
 *
 * Shape    a packet is octets on their way in one direction.
 * Units    octets.
 * Errors   none: what is lost is lost.
 * Owner    struct sim.
 * Context  HAPPENING_PACKET delivers one.
 */
#ifndef DROVER_SIM_WIRE_H
#define DROVER_SIM_WIRE_H

#include "sim.h"

#define PACKETS_MAX 1024

enum wire_way { WIRE_UP, WIRE_DOWN, WIRE_WAYS };

struct packet {
    uint8_t *data; /* NULL: free */
    size_t size_bytes;
    uint32_t life; /* of the agent: its connection ends with it, and what is under way to it */
    enum wire_way way;
};

struct wire {
    struct packet packets[PACKETS_MAX];
    uint32_t next;
    unsigned loss_permille[WIRE_WAYS];
    unsigned twice_permille;
    unsigned overtake_permille; /* that what is sent later arrives before it */
    uint64_t jitter_ns;
    uint64_t last_ns[WIRE_WAYS];      /* when what was sent last in order arrives */
    uint64_t cut_until_ns[WIRE_WAYS]; /* a partition, of one way or both */
    uint32_t peer_life;               /* of the newest agent that the controller heard of */
};

void wire_open(struct sim *sim);
void wire_close(struct sim *sim);
void wire_send(struct sim *sim, enum wire_way way, const uint8_t *data, size_t size_bytes);
void wire_packet(struct sim *sim, uint32_t arg);

#endif
