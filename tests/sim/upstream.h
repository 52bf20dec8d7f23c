/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream.h — the made-up cluster's controller: real ingest and real store, one node.
 *
 * Shape    events come in by a session, go into batches, and are acknowledged when the store has
 *          committed them; commands of operators go down, receipts come up.
 * Units    `life` numbers controllers from 1.
 * Errors   a failed commit ends this life.
 * Owner    struct sim.
 * Context  upstream.c session; upstream_store.c its disk.
 */
#ifndef DROVER_SIM_UPSTREAM_H
#define DROVER_SIM_UPSTREAM_H

#include "ctl_store_sqlite.h"
#include "ingest.h"
#include "outbox.h"
#include "sim.h"

#define CTL_EVENTS_KEPT 1000000
#define CTL_BATCHES_MAX 256

struct ctl {
    bool is_alive;
    bool is_disk_made;
    bool is_up;
    bool is_commit_due;
    uint32_t life;
    uint64_t session_epoch; /* of the node's agent, as its HELLO said */
    uint64_t timer_ns;
    uint64_t ack_due;
    struct ctl_writer writer;
    struct ctl_reader reader;
    struct ingest ingest;
    struct session session;
    struct outbox outbox;
    struct arena arena;
    struct buffer out;
    struct buffer held;
    struct ctl_batch *posted[CTL_BATCHES_MAX]; /* a ring */
    uint32_t first, count, committed;
};

void ctl_open(struct sim *sim);
void ctl_close(struct sim *sim);
void ctl_start(struct sim *sim);
void ctl_crash(struct sim *sim, const char *why);
void ctl_packet(struct sim *sim, const uint8_t *data, size_t size_bytes);
void ctl_turn(struct sim *sim); /* HAPPENING_CTL_TURN: timers */
/* False: the node is not connected, and nothing was sent. */
bool ctl_command(struct sim *sim, const struct command *command);

/* ---- upstream_store.c ---- */
int ctl_disk_open(struct sim *sim);
void ctl_disk_close(struct sim *sim);
void ctl_post(struct sim *sim, struct ctl_batch *batch);
void ctl_commit(struct sim *sim); /* HAPPENING_CTL_COMMIT */
void ctl_told(struct sim *sim);   /* HAPPENING_CTL_TOLD */
void ctl_acknowledge(struct sim *sim, uint64_t seq);

#endif
