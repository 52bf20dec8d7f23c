/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig.h — a local server on a loop, and its clients, in one process.
 *
 * Shape    one server in a directory of its own that is made and removed around each test; peers
 *          are plain sockets, for which the loop runs while they wait.
 * Units    none.
 * Errors   cmocka's; a loop that waits for what never comes fails after a minute.
 * Owner    static.
 * Context  tests of proto/local.c.
 */
#ifndef DROVER_TEST_LOCAL_RIG_H
#define DROVER_TEST_LOCAL_RIG_H

#include "local.h"

struct peer {
    int fd;
    struct buffer in;
    struct arena arena;
};

struct rig {
    uv_loop_t loop;
    struct local_server server;
    struct peer peers[3]; /* -1: not open; closed after the test */
    char directory[32];
    char path[64];
    unsigned heard; /* messages, clients gone, drained */
    unsigned gone;
    unsigned drained;
    uint64_t last_id;   /* of who was heard last */
    bool is_echo;       /* each message goes back */
    bool is_hanging_up; /* on each message */
};
extern struct rig rig;

int rig_set_up(void **state);
int rig_tear_down(void **state);
/* One iteration of the loop, which waits for something to do. */
void turn(void);
struct local_client *last_client(void);

int connect_to(const char *path);
struct peer *open_peer(size_t index);
void hang_up(struct peer *peer);
void say_octets(struct peer *peer, const void *data, size_t size_bytes);
void say(struct peer *peer, const struct message *message);
void say_number(struct peer *peer, uint64_t number);
/* false: the server has closed. The message lies in the peer's arena until the next one. */
bool hear(struct peer *peer, struct message *ret_message);
void hear_number(struct peer *peer, uint64_t number);
/* An answer with this status, the last; then the end. */
void hear_refusal(struct peer *peer, enum status status);

#endif
