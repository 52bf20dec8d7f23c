/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig.h — a real keeper with real guests, and a stand-in for the agent.
 *
 * Shape    one struct rig a test: rig_start(), talk, rig_stop(), which leaves nothing behind.
 * Units    timeouts are 20 s inside; a wait that takes longer fails the test.
 * Errors   cmocka's: any unexpected answer fails the running test.
 * Owner    the test; descriptors of a received packet belong to it until rig_drop().
 * Context  root; makes PATH = drover.test-PID in every mounted hierarchy.
 */
#ifndef DROVER_TEST_KEEPER_RIG_H
#define DROVER_TEST_KEEPER_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper_plan.h"
#include "keeper_wire.h"

#define RIG_GUEST_ARGS_MAX 4

struct rig {
    char dir[64];
    char cgroup[64];
    int hierarchies[16];
    int hierarchy_count;
    int unified; /* index of the v2 hierarchy */
    int group;   /* v2 directory in which guests are started */
    int agent;   /* connection, -1: none */
    int pidfd;   /* of the keeper, once greeted */
    pid_t pid;
    struct kw_welcome welcome;
    uint64_t launch; /* last number used */
};

struct packet {
    union {
        struct kw_header header;
        struct kw_welcome welcome;
        struct kw_record record;
        struct kw_spawn_record spawn;
        struct kw_refused refused;
    };
    int fds[KW_FDS_MAX];
    size_t fd_count;
    ssize_t size; /* 0: end of the connection */
};

/* How a guest is started. Zero is a privileged one that is told GO at once, without a console. */
struct guest {
    uint32_t flags; /* KP_* beside KP_GO_AT_ONCE */
    bool waits_for_go;
    bool is_broken; /* its first candidate does not exist, its only one */
    uint64_t deadline_ns;
    int notify;                           /* 0: none */
    int ring;                             /* 0: none */
    const char *args[RIG_GUEST_ARGS_MAX]; /* of the init, without argv[0] */
};

extern const char *const rig_keeper_path;

int rig_start(void **state);
int rig_stop(void **state);

void rig_connect(struct rig *rig); /* and no HELLO */
void rig_greet(struct rig *rig);   /* HELLO, WELCOME, and the records up to SYNCED are dropped */
void rig_disconnect(struct rig *rig);

void rig_send(struct rig *rig, struct kw_header *header, uint16_t type, size_t size_bytes,
              const int *fds, size_t fd_count);
void rig_receive(struct rig *rig, struct packet *packet);
bool rig_is_silent(struct rig *rig, int timeout_ms); /* nothing arrives */
void rig_drop(struct packet *packet);
int rig_take(struct packet *packet, const uint8_t *roles, enum kw_role role);

uint64_t rig_launch(struct rig *rig, const struct guest *guest);
void rig_order(struct rig *rig, uint16_t type, uint64_t launch); /* GO, ABORT */
void rig_ack(struct rig *rig, uint64_t launch, uint64_t generation, uint64_t change);

/* Read packets until the record of this launch has this phase; others are dropped. */
void rig_await(struct rig *rig, uint64_t launch, uint32_t phase, struct packet *packet);
void rig_await_refused(struct rig *rig, uint32_t type, uint32_t reason);
void rig_await_spawn(struct rig *rig, uint64_t spawn, uint32_t phase, struct packet *packet);

/* The generation that rig_launch() gives to every launch. */
#define RIG_GENERATION 3

/* What `ls` would count. */
int rig_count_fds(const struct rig *rig);
int rig_count_children(const struct rig *rig);
long rig_resident_kib(const struct rig *rig); /* PSS */
void rig_await_children(const struct rig *rig, int at_most);
bool rig_await_keeper_end(struct rig *rig, int timeout_ms);
bool rig_has_cgroups(const struct rig *rig); /* PATH stands in any hierarchy */

/* One packed plan; strings are appended. */
struct plan {
    _Alignas(8) char block[16384];
    uint32_t size_bytes;
};
struct kp_header *plan_init(struct plan *plan, uint32_t flags);
uint32_t plan_string(struct plan *plan, const char *text);
uint32_t plan_strings(struct plan *plan, const char *const *texts, uint32_t count);
int plan_memfd(struct plan *plan); /* sealed */

#endif
