/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig.h — a real controller, nodes that do what a test says, and operators' clients.
 *
 * Shape    one controller a test: rig_start() and rig_stop(), which fails if it does not end well.
 *          A struct node speaks the agents' protocol; a struct client the operators'.
 * Units    a wait that takes longer than RIG_GUARD_MS fails the test.
 * Errors   cmocka's: any unexpected answer fails the running test.
 * Owner    the test's structs; both kinds are closed by rig_stop(), if not before.
 * Context  one loop; all of it turns while anything is waited for.
 */
#ifndef DROVER_TEST_CONTROLLER_RIG_H
#define DROVER_TEST_CONTROLLER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <sys/types.h>
#include <uv.h>

#include <cmocka.h>

#include "link.h"
#include "session.h"

#define RIG_GUARD_MS 50000
#define RIG_NODES_MAX 4
#define RIG_CLIENTS_MAX 8

enum { CONTROL, BULK, LINKS };

/* What came in and was not looked at yet: framed messages. */
struct inbox {
    struct buffer messages;
    size_t taken_bytes;
    struct arena arena;
};

struct node;

struct wire {
    struct node *node;
    struct link link;
    struct session session;
    struct inbox inbox; /* numbered messages, in order, each once */
    bool is_open;
    bool is_up;    /* HELLO was answered */
    unsigned lose; /* so many numbered records are lost on their way in */
    unsigned resets;
    uint64_t acked; /* the last EVENT_ACK; one that says nothing new is not put into the inbox */
    struct hello_answer answer;
};

struct node {
    const char *name;
    uint64_t epoch;
    uint64_t ledger_last;
    uint64_t started_wall_ns;
    const struct container_view *containers;
    size_t container_count;
    bool is_partial; /* HELLO names no container: they follow */
    bool is_mute;    /* it hears, and says nothing: no pings, no acknowledgements */
    struct wire wires[LINKS];
};

struct client {
    int fd; /* -1: closed */
    uv_poll_t poll;
    bool is_polled;
    bool is_over; /* the controller hung up */
    struct inbox inbox;
    struct buffer out;
    struct answer events; /* that client_event() gives out one by one */
    size_t event_at;
};

/* options: more of the command line, NULL-terminated; may be NULL. */
void rig_start(const char *const *options);
/* cmocka's teardown: SIGTERM, exit code 0, no socket left. */
int rig_stop(void **state);
/* kill -9; then again with the same options, state and address. */
void rig_kill(void);
void rig_restart(void);
int rig_await_end(void); /* it ends by itself; the code it ends with */
pid_t rig_pid(void);
const char *rig_dir(void); /* with state/ and run/ in it */
const char *rig_url(void);

/* Turn the loop until the condition holds. */
#define RIG_UNTIL(condition)                                                                       \
    do {                                                                                           \
        while (!(condition))                                                                       \
            rig_turn();                                                                            \
    } while (0)
void rig_turn(void);
/* Everything that was sent has been acted on: a client's question has come back since. */
void rig_settle(void);

/* ---- nodes ---- */

/* Connect both links and say HELLO on both; returns when both are answered. */
void node_open(struct node *node, const char *name, uint64_t epoch);
void node_connect(struct node *node, int kind); /* and no HELLO */
void node_hello(struct node *node, int kind);   /* returns when it is answered */
void node_close(struct node *node);             /* without a word, as if killed */
void node_post(struct node *node, int kind, const struct message *message);
/* One record, not numbered by the session: what a broken peer sends. */
void node_send_raw(struct node *node, int kind, const void *data, size_t size_bytes);
/* The next numbered message; it must be of that kind. Valid until the next. */
const struct message *node_expect(struct node *node, int kind, enum message_kind expected);
/* Nothing has come that was not looked at. */
bool node_is_quiet(const struct node *node, int kind);

/* Answer the next command, which must be this verb for this container. Returns its request id. */
const char *node_accept(struct node *node, enum verb verb, const char *container);
void node_receipt(struct node *node, const char *request, enum phase phase,
                  const struct container_view *view);
/* Answer the next query, a list, by these. */
void node_list(struct node *node, const struct container_view *views, size_t count);
void node_events(struct node *node, const struct event *events, size_t count);

/* ---- clients ---- */

void client_open(struct client *client);
void client_close(struct client *client);
void client_pause(struct client *client, bool is_paused); /* reads no more */
void client_send(struct client *client, const struct message *message);
const struct message *client_expect(struct client *client, enum message_kind expected);
bool client_is_quiet(const struct client *client);

void client_command(struct client *client, const char *request, enum verb verb,
                    const char *container, const char *node);
const struct receipt *client_receipt(struct client *client, const char *request,
                                     enum phase expected);
void client_query(struct client *client, const char *request, enum query_kind kind,
                  const char *container);
/* The next answer to a query. */
const struct answer *client_answer(struct client *client, const char *request);
/* The next event of a query; nothing else may have been expected of this client meanwhile. */
const struct event_view *client_event(struct client *client, const char *request);

/* ---- data ---- */

struct container_view rig_view(const char *name, uint8_t id, enum ct_state state);
struct event rig_event(uint64_t epoch, uint64_t seq, const char *name, uint8_t id);

#endif
