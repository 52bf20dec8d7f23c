/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_world.h — the world of the target `keeper`: an agent, children that are none, and a clock.
 *
 * Shape    struct keeper_world is the one; keeper.c runs it, keeper_kernel.c stands in for the
 *          kernel, keeper_agent.c is the other end of the wire.
 * Units    *_ns of the script's own clock.
 * Errors   a broken promise ends the process.
 * Owner    keeper.c; all is made anew for each input.
 * Context  one thread.
 */
#ifndef DROVER_FUZZ_KEEPER_WORLD_H
#define DROVER_FUZZ_KEEPER_WORLD_H

#include <sys/un.h>

#include "fuzz.h"
#include "keeper.h"
#include "keeper_script.h"

#define CHILDREN_MAX 32
#define LAUNCHES 256 /* numbers are octets */

struct fake_child {
    pid_t pid;
    uint64_t launch; /* 0: it is of a spawn */
    int report;      /* -1: closed */
    int go;
    bool has_ended;
    int status;
};

/* What was told of a launch by its records, and how its child ended. */
struct told {
    uint64_t change;
    uint32_t phase;
    bool has_status;
    int status;
};

struct keeper_world {
    struct script script;
    struct fake_child children[CHILDREN_MAX];
    size_t child_count;
    struct told told[LAUNCHES];
    int notify_end[LAUNCHES]; /* the guest's; -1: none */
    int agent;                /* -1: not connected */
    struct sockaddr_un address;
    socklen_t address_bytes;
    bool is_slave_refused; /* no pty's other end is opened now */
    int dead_pidfd;        /* of a process that has ended */
    uint64_t now_ns;
    uint64_t armed_ns; /* the keeper's timer; 0: off */
};

extern struct keeper k; /* as the keeper's own parts call it */
extern struct keeper_world world;

/* keeper_agent.c */
void agent_connect(void);
void agent_say_hello(void);
/* Read all that was told; with is_acknowledged each record is answered. */
void agent_hear(bool is_acknowledged);
/* One order as the script has it. */
void agent_order(enum keeper_step step);

/* keeper_kernel.c */
struct fake_child *kernel_pick_child(void);
void kernel_child_executed(struct fake_child *child);
void kernel_child_ends(struct fake_child *child, int status);

#endif
