/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h — one stream, for streams.c, stream_io.c and its kinds (stream_exec.c, stream_console.c,
 * stream_import.c) alone.
 *
 * Shape    struct stream with at most two outlets (descriptors read from) and one inlet (written
 *          to).
 * Units    octets; cumulative where named *_bytes.
 * Errors   stream_end() carries them to the other side.
 * Owner    struct streams; freed when its last handle is closed.
 * Context  the loop's thread.
 */
#ifndef DROVER_STREAM_H
#define DROVER_STREAM_H

#include <stdatomic.h>
#include <uv.h>

#include "agent.h"

struct outlet {
    struct stream *stream;
    uv_poll_t poll;
    int fd;
    enum lane lane;
    bool is_open;
    bool is_armed;
    uint8_t *unsent; /* read, but its origin had no room; sent before more is read. NULL: none */
    size_t unsent_bytes;
};

struct inlet {
    struct stream *stream;
    uv_poll_t poll;
    int fd;
    bool is_open;
    bool is_armed;
    bool is_ended;    /* nothing more will come: close after what waits is written */
    uint8_t *waiting; /* STREAM_CREDIT_BYTES of room */
    size_t waiting_bytes;
};

struct stream {
    struct stream *next;
    struct streams *streams;
    uint64_t origin; /* 0: ours, nobody reads it */
    uint64_t number;
    enum stream_kind kind;
    uint32_t ct;
    bool is_counted; /* among those of its container */
    uint64_t generation;
    char container[NAME_BYTES];
    struct arena arena;
    struct stream_open open; /* a copy, in the arena */

    uint64_t out_number;
    uint64_t out_bytes;
    uint64_t credit_bytes; /* that the reader has granted */
    uint64_t in_number;
    uint64_t in_bytes;
    uint64_t written_bytes;
    uint64_t granted_bytes;
    bool is_blocked; /* its origin can take no more now */
    bool is_closed;  /* it is over and has nothing any more but, perhaps, a last word */
    bool is_end_due; /* which is STREAM_END, and waits for room */
    unsigned handles;
    bool is_working; /* a worker or the pool has it */

    struct outlet outlets[2];
    struct inlet inlet;
    uv_timer_t timer; /* for the cause of a kill, or for a relay's last words */

    uint64_t spawn;  /* EXEC: number at the keeper */
    int kill;        /* cgroup.kill of its leaf; -1: none */
    int control;     /* sizes of its terminal go there; -1: none */
    uint64_t leaf;   /* number of its leaf */
    bool is_killing; /* ended by its container's end: its cause is waited for */
    bool is_spawned;
    bool has_status;
    bool is_timed_out;
    bool is_awaited; /* its relay, after the command's end */
    bool is_cut;     /* its relay ended, or says no more, before all was passed on */
    int wait_status;
    struct fault fault; /* how it ended, if not well */
    int32_t exit_code;

    uint64_t position; /* CONSOLE, LOGS: in the ring */
    uint8_t *kept;     /* LOGS: of a generation that is over */
    size_t kept_bytes;
    size_t kept_at;

    atomic_bool is_input_cut; /* IMPORT: its worker looks */

    uint32_t probe; /* of a command of ours: struct inside */
    uint32_t step;
    int program; /* of struct inside_program, ours; -1: none */
    int output;
    pid_t stage_pid;  /* likewise; 0: none */
    inside_fn on_end; /* NULL: told, or nobody's */
    uint64_t began_ns;
};

/* streams.c */
struct agent *stream_agent(const struct stream *stream);
/* Let go of everything, and say how it ended as soon as there is room. The first end stands. */
void stream_end(struct stream *stream, const struct fault *fault, int32_t exit_code);
void stream_fail(struct stream *stream, enum status status, int error, const char *text);
/* Its other side is gone, or wants no more: a command still running in it is killed. */
void stream_abandon(struct stream *stream);
void stream_free_if_done(struct stream *stream);

/* stream_io.c */
/* To whom it belongs; false: not now. */
bool stream_send_message(const struct stream *stream, const struct message *message);
/* Octets that may be sent now. */
size_t stream_room(const struct stream *stream);
/* False: not now; the stream is blocked until its origin drained. */
bool stream_send(struct stream *stream, enum lane lane, const void *data, size_t size_bytes,
                 bool is_end);
void stream_grant(struct stream *stream);
int stream_add_outlet(struct stream *stream, struct outlet *outlet, int fd_consumed,
                      enum lane lane);
int stream_add_inlet(struct stream *stream, int fd_consumed);
void stream_write(struct stream *stream, const struct octets *data, bool is_end);
/* Read what outlets have, as far as credit goes. */
void stream_pump_outlets(struct stream *stream);
void stream_close_outlet(struct outlet *outlet);
void stream_close_inlet(struct inlet *inlet);

/* The kinds. */
void stream_exec_start(struct stream *stream);
void stream_exec_record(struct stream *stream, const struct kw_spawn_record *record);
void stream_exec_pumped(struct stream *stream);
/* Something came of it, or something less than all has. */
void stream_exec_heard(struct stream *stream);
void stream_exec_cut(struct stream *stream);
void stream_exec_resize(struct stream *stream, uint16_t rows, uint16_t columns);
void stream_exec_kill(struct stream *stream);
/* Its cgroup, if nothing stays behind in it; else it goes with the generation. */
void stream_exec_remove_leaf(struct stream *stream);
void stream_exec_generation_over(struct stream *stream);
void stream_console_start(struct stream *stream);
void stream_console_pump(struct stream *stream);
void stream_console_take(struct stream *stream, const struct stream_frame *frame);
void stream_import_start(struct stream *stream);

#endif
