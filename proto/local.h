/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local.h — the unix stream socket that operators on this machine talk to, for agent and
 *           controller alike: framed messages, who is asking, and a bound on everyone.
 *
 * Shape    struct local_server listens; a struct local_client is one connection.
 * Units    octets, ns.
 * Errors   -errno. A client that breaks the framing, or says nothing for LOCAL_SILENCE_NS after it
 *          connected, is told why (an ANSWER with a fault, last) and closed.
 * Owner    the server owns its clients; one is gone when on_gone returns. Callers keep its `id`.
 * Context  the loop's thread; SIGPIPE is ignored from local_listen() on (libuv writes without
 *          MSG_NOSIGNAL). Callbacks may send to, pause and hang up any client, their own too.
 *          Source: unix(7) SO_PEERCRED; sun_path holds 107 octets.
 */
#ifndef DROVER_LOCAL_H
#define DROVER_LOCAL_H

#include <sys/types.h>
#include <uv.h>

#include "codec.h"

#define LOCAL_CLIENTS_MAX 512
#define LOCAL_PATH_MAX 100 /* octets; longer ones are refused in words */
#define LOCAL_SILENCE_NS UINT64_C(30000000000)
#define LOCAL_OUT_BYTES_MAX (4 * 1024 * 1024) /* unsent to one client */
#define LOCAL_READ_BYTES 65536

struct local_server;

struct local_client {
    uint64_t id; /* never reused */
    struct local_server *server;
    struct local_client *next;
    uv_pipe_t pipe;
    uid_t uid; /* SO_PEERCRED at connect */
    pid_t pid;
    struct buffer in;      /* at most one message that is not whole, unless paused */
    struct buffer queued;  /* to be written when `sending` is */
    struct buffer sending; /* libuv's until the write is done */
    uv_write_t write;
    size_t unsent_bytes;  /* of both */
    uint64_t deadline_ns; /* to have spoken, or to have read what a hang-up left; 0: none */
    bool has_spoken;      /* on_message has seen it */
    bool is_writing;
    bool is_starved; /* was answered -ENOBUFS; on_drained is owed */
    bool is_paused;
    bool is_closing;
    void *context; /* the user's; NULL at first */
};

/* message is borrowed for the call (its arena is the server's). */
typedef void (*local_message_fn)(struct local_client *client, const struct message *message);
/* Of a client that on_message has seen; never from within local_send() or local_hang_up(). */
typedef void (*local_gone_fn)(struct local_client *client);
/* unsent_bytes fell below half of its bound again after local_send() had answered -ENOBUFS. */
typedef void (*local_drained_fn)(struct local_client *client);

struct local_server {
    uv_pipe_t pipe;
    uv_timer_t silence; /* runs while a client has a deadline */
    uv_idle_t more;     /* clients that go on after a pause are read in the next iteration */
    struct local_client *clients;
    size_t client_count;
    uint64_t last_id;
    struct arena arena;
    char path[LOCAL_PATH_MAX + 1]; /* "": not listening */
    uint64_t silence_ns;           /* LOCAL_SILENCE_NS from local_listen() on */
    uint8_t scratch[LOCAL_READ_BYTES];
    local_message_fn on_message; /* these four are the user's, set before local_listen() */
    local_gone_fn on_gone;       /* may be NULL */
    local_drained_fn on_drained; /* may be NULL */
    void *context;
    unsigned closing; /* handles that libuv still closes, those of clients too */
};

/* Replaces a stale socket file (the caller holds the lock that says so), mode 0600. */
int local_listen(struct local_server *server, uv_loop_t *loop, const char *path,
                 struct fault *fault);
/* Stops listening, closes all clients, unlinks the path; nothing if it does not listen. The server
 * is libuv's until the loop has run and `closing` is 0. */
void local_close(struct local_server *server);

struct local_client *local_find(struct local_server *server, uint64_t id);

/* Copies and sends. -ENOBUFS: the client reads too slowly and nothing was queued; -EPIPE: it is
 * closing. */
int local_send(struct local_client *client, const struct message *message);
/* Stop and resume reading what a client says: back-pressure on its streams. */
void local_pause(struct local_client *client, bool is_paused);
/* Close after what was queued is sent. */
void local_hang_up(struct local_client *client);

#endif
