/* SPDX-License-Identifier: Apache-2.0 */
/*
 * streams.h — exec, console, logs and imports: octets both ways between a client and this node.
 *
 * Shape    struct stream is one, found by (origin, number). Frames go out only within the reader's
 *          credit, and are taken in only within ours; so nothing queues without a bound.
 * Units    octets.
 * Errors   each stream ends with exactly one STREAM_END that carries a fault or an exit code.
 * Owner    struct streams.
 * Context  the loop's thread; leaves and plans are made on workers.
 */
#ifndef DROVER_STREAMS_H
#define DROVER_STREAMS_H

#include "keeper_wire.h"
#include "message.h"

/* Of the keeper's spawns, for commands of ours: stops, hooks, probes and REBINDS_MAX consoles. What
 * finds no place beyond these is refused, and tried again or told as failed. */
#define SPAWNS_KEPT 128
#define STREAMS_MAX (KW_SPAWNS_MAX - SPAWNS_KEPT) /* clients'; further ones are answered busy */
/* Clients' in one container, likewise. One counts until nothing of it is left inside: a guest can
 * keep what stands before its commands for as long as it runs. LIMIT: what the keeper still has of
 * an earlier agent's commands is not counted. */
#define STREAMS_CT_MAX 32
#define IMPORTS_MAX 3

struct agent;
struct stream;

struct streams {
    struct agent *agent;
    struct stream *first;
    uint32_t count; /* of clients */
    uint32_t imports;
};

void streams_open(struct streams *streams, struct agent *agent);
void streams_close(struct streams *streams);

/* STREAM_OPEN, FRAME, CREDIT, END of a client or of upstream. */
void streams_take(struct streams *streams, uint64_t origin, const struct message *message);
void streams_origin_gone(struct streams *streams, uint64_t origin);
/* That origin can take more again. */
void streams_origin_drained(struct streams *streams, uint64_t origin);

void streams_spawn_record(struct streams *streams, const struct kw_spawn_record *record);
void streams_spawn_refused(struct streams *streams, uint64_t spawn, int error);
/* Its ring is no more: consoles and logs of it end as lost. */
void streams_console_lost(struct streams *streams, uint32_t ct);
void streams_console_grew(struct streams *streams, uint32_t ct);
/* The generation is being cleaned up: its consoles and execs end. */
void streams_end_generation(struct streams *streams, uint32_t ct);
/* The keeper is gone, and every spawn with it. */
void streams_keeper_lost(struct streams *streams);

/* A command of ours in the guest, whose output no stream carries; how it ended is told on the loop,
 * possibly before the call returns. */
struct inside_end {
    uint32_t ct;
    uint64_t generation;
    uint32_t step;             /* as it was given */
    int32_t exit_code;         /* as exec's: 124 timeout, 125 ours, 126, 127, 128+n */
    uint64_t lasted_ns;        /* with its preparation */
    int wait_status;           /* where the next one's status is UNSET */
    const struct fault *fault; /* why it has no end of its own */
};
typedef void (*inside_fn)(struct agent *agent, const struct inside_end *end);
/* A program of the host's, which the guest can read and not change. */
struct inside_program {
    int file;   /* a sealed memfd; borrowed for the call, as the next */
    int output; /* what it says goes here: a file, on which nobody can wait */
    pid_t pid;  /* PID 1 while its init is not executed yet; 0: the container's */
    const struct pair *env;
    size_t env_count;
};
struct inside {
    const char *const *argv;
    uint32_t probe;      /* KP_PROBE_*: argv[0] is looked for in the guest, nothing executed; 0 */
    uint64_t timeout_ns; /* 0: none */
    inside_fn on_end;
    uint32_t step;                        /* the caller's own */
    const struct inside_program *program; /* argv[0] is its name then; NULL: a command there */
};
void streams_run_inside(struct streams *streams, uint32_t ct, const struct inside *inside);

#endif
