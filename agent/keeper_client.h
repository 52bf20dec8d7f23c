/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_client.h — this node's keeper: found or started, and spoken with.
 *
 * Shape    struct keeper_client is one connection. Records come to on_record() one by one; what is
 *          sent waits in a list when the socket is full.
 * Units    as keeper_wire.h.
 * Errors   -errno and a fault: an unknown wire version, a keeper that serves another agent
 *          (STATUS_BUSY).
 * Owner    struct agent. Descriptors of a received record belong to its callback.
 * Context  the loop's thread; keeper_client_open() blocks for at most 5 s, at start only.
 *          Source: keeper_wire.h, unix(7).
 */
#ifndef DROVER_KEEPER_CLIENT_H
#define DROVER_KEEPER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "cgroup.h"
#include "fault.h"
#include "keeper_wire.h"

struct keeper_client;
struct keeper_packet;

enum keeper_reexec {
    KEEPER_REEXEC_NONE,
    KEEPER_REEXEC_ASKED,
    KEEPER_REEXEC_DONE,
    KEEPER_REEXEC_REFUSED
};

/* One record of any kind; its header names the type. Take what is wanted of fds (set it to -1): the
 * rest is closed after the call. */
typedef void (*keeper_record_fn)(struct keeper_client *client, const struct kw_header *header,
                                 int *fds, const uint8_t *roles);
typedef void (*keeper_lost_fn)(struct keeper_client *client);

struct keeper_client {
    int socket; /* -1: none */
    pid_t pid;
    int pidfd; /* its end: a child of it that hangs may hold the connection open. -1: none */
    bool is_started_now; /* by this agent */
    bool is_synced;
    bool is_lost;               /* its end was seen; on_lost() is called or on its way */
    char build[KW_BUILD_BYTES]; /* build_id.h */
    enum keeper_reexec reexec;
    int reexec_error; /* of REFUSED */
    uint64_t launch_last;
    uint64_t spawn_last;
    uv_poll_t poll;
    uv_poll_t life; /* of pidfd */
    bool is_polled;
    bool is_life_polled;
    unsigned closing;            /* handles that libuv has not let go of */
    struct keeper_packet *first; /* unsent */
    struct keeper_packet *last;
    keeper_record_fn on_record;
    keeper_lost_fn on_lost;
};

/*
 * Connect to RUN/keeper.sock; with nobody there, bind it and start the keeper.
 *   binary   in  path of drover-keeper
 *   cgroups  in  its hierarchies' roots are handed to a new keeper
 */
int keeper_client_open(struct keeper_client *client, const char *run_dir, const char *binary,
                       const struct cgroups *cgroups, struct fault *fault);
/* HELLO and its answer, on a connection that is open. */
int keeper_client_greet(struct keeper_client *client, struct fault *fault);
/* Wait for one record and deal with it; 0 also when none came in time. Before the loop runs. */
int keeper_client_read(struct keeper_client *client, int timeout_ms);
/* Read every record up to SYNCED before the loop runs. */
int keeper_client_sync(struct keeper_client *client, struct fault *fault);
int keeper_client_watch(struct keeper_client *client, uv_loop_t *loop);
/* The keeper goes on alone. */
void keeper_client_close(struct keeper_client *client);

/*
 * Fill in the header and send; descriptors stay the caller's (duplicated if it has to wait).
 * Returns 0, also where nobody is there any more, or -EMFILE, -ENFILE: it had to wait, and its
 * descriptors cannot be kept. Without descriptors it does not fail.
 */
int keeper_client_send(struct keeper_client *client, struct kw_header *header, uint16_t type,
                       size_t size_bytes, const int *fds, size_t fd_count);

/* GO is said early from here on, but for this launch, which is to tell STAGED; 0: for all. */
void keeper_client_early_go(struct keeper_client *client, uint64_t but);

/* For a SPAWN or CONSOLE: grows, over restarts of the agent too. */
uint64_t keeper_client_number_spawn(struct keeper_client *client);

void keeper_client_ack(struct keeper_client *client, uint64_t launch, uint64_t generation,
                       uint64_t change);

#endif
