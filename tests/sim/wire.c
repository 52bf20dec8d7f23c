/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#include "ensure.h"
#include "faults.h"
#include "node_life.h"
#include "upstream.h"

void wire_open(struct sim *sim)
{
    memset(sim->wire, 0, sizeof(*sim->wire));
    sim->wire->jitter_ns = MS_NS;
}

void wire_close(struct sim *sim)
{
    for (uint32_t i = 0; i < PACKETS_MAX; i++) {
        free(sim->wire->packets[i].data);
        sim->wire->packets[i].data = NULL;
    }
}

static void put(struct sim *sim, enum wire_way way, const uint8_t *data, size_t size_bytes)
{
    struct wire *wire = sim->wire;
    uint32_t at = wire->next;

    for (uint32_t i = 0; wire->packets[at].data != NULL; i++) {
        if (i == PACKETS_MAX)
            return; /* a buffer on the way is full */
        at = (at + 1) % PACKETS_MAX;
    }
    wire->next = (at + 1) % PACKETS_MAX;
    struct packet *packet = &wire->packets[at];
    packet->data = malloc(size_bytes);
    ENSURE(packet->data != NULL);
    memcpy(packet->data, data, size_bytes);
    packet->size_bytes = size_bytes;
    packet->way = way;
    packet->life = way == WIRE_UP ? sim->agent->life : wire->peer_life;
    uint64_t at_ns = sim->now.ns + 100 * US_NS + sim_below(sim, wire->jitter_ns);
    if (sim_chance(sim, wire->overtake_permille)) {
        faults_note(sim, FAULT_REORDER);
    } else {
        if (at_ns <= wire->last_ns[way])
            at_ns = wire->last_ns[way] + 1;
        wire->last_ns[way] = at_ns;
    }
    sim_at(sim, at_ns, HAPPENING_PACKET, 0, at);
}

void wire_send(struct sim *sim, enum wire_way way, const uint8_t *data, size_t size_bytes)
{
    struct wire *wire = sim->wire;

    if (sim->now.ns < wire->cut_until_ns[way]) {
        faults_note(sim, FAULT_PARTITION);
        return;
    }
    if (sim_chance(sim, wire->loss_permille[way])) {
        faults_note(sim, FAULT_LOSS);
        return;
    }
    put(sim, way, data, size_bytes);
    if (!sim_chance(sim, wire->twice_permille))
        return;
    faults_note(sim, FAULT_DUPLICATION);
    put(sim, way, data, size_bytes);
}

void wire_packet(struct sim *sim, uint32_t arg)
{
    struct packet packet = sim->wire->packets[arg];

    sim->wire->packets[arg].data = NULL;
    sim_trace(sim, "  %s, %zu octets", packet.way == WIRE_UP ? "up" : "down", packet.size_bytes);
    if (packet.way == WIRE_UP) {
        if (sim->wire->peer_life < packet.life)
            sim->wire->peer_life = packet.life;
        ctl_packet(sim, packet.data, packet.size_bytes);
    } else if (sim->agent->is_alive && packet.life == sim->agent->life) {
        up_packet(sim, packet.data, packet.size_bytes);
    }
    free(packet.data);
}
