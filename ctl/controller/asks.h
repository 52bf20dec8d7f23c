/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asks.h — questions on their way to nodes.
 *
 * Shape    struct ask is one: a list that all nodes are asked for, a question for one node alone,
 *          or where a container is, for a client's message that waits for that.
 * Units    *_ns CLOCK_MONOTONIC.
 * Errors   told to the client as answers with a fault. For a node that is late or down a list shows
 *          what it last told.
 * Owner    struct asks; at most ASKS_MAX. A list stays until its client has read it.
 * Context  the loop's thread.
 */
#ifndef DROVER_ASKS_H
#define DROVER_ASKS_H

#include "codec.h"
#include "ctl_store.h"
#include "fault.h"

#define ASKS_MAX 4096
#define ASK_LATE_NS UINT64_C(5000000000)      /* then a node is not waited for any longer */
#define ASK_LIST_LATE_NS UINT64_C(2000000000) /* sooner where its copy answers for it */

struct controller;
struct member;

enum ask_kind {
    ASK_LIST, /* told from the registry, which the answers have mended */
    ASK_NODE, /* SHOW, BOOT: one node's answer is passed on */
    ASK_COPY, /* SHOW of a node that does not answer: its configuration is read */
    ASK_PLACE /* which nodes have this container? then the message is taken again */
};

struct ask {
    struct ask *next;
    uint64_t number; /* the request id at the nodes */
    uint64_t client;
    enum ask_kind kind;
    uint64_t mark;              /* of the containers that its answers tell */
    uint64_t deadline_ns;       /* while nodes are waited for */
    struct buffer message;      /* the client's, encoded */
    char container[NAME_BYTES]; /* NODE, PLACE */
    char node[NAME_BYTES];      /* LIST: this one alone; "": all */
    struct member **waiting;    /* those that have not answered */
    uint32_t waiting_count;
    struct ctl_read *read; /* COPY: under way */
    bool is_told;          /* LIST: it is being told, up to here: */
    char told_node[NAME_BYTES];
    uint64_t told_place;
    bool is_starved;    /* its client has to read first */
    struct fault fault; /* COPY: why it is one */
};

struct asks {
    struct ask *first;
    uint32_t count;
    uint64_t last_number;
};

void asks_close(struct asks *asks);

/* Nobody is asked yet. NULL: there are ASKS_MAX, or no memory. */
struct ask *asks_add(struct controller *controller, uint64_t client, enum ask_kind kind,
                     const struct message *message);
void asks_ask(struct controller *controller, struct ask *ask, struct member *member);
/* All that are up, or ask->node if it is. False: there is none; the ask is still the caller's. */
bool asks_ask_all(struct controller *controller, struct ask *ask);
/* Nobody is waited for: what is known is told, or the message taken again. Ends the ask. */
void asks_finish(struct controller *controller, struct ask *ask);
void asks_remove(struct asks *asks, struct ask *ask);
/* Of a SHOW whose node does not answer (it says why): what the node last told comes with the words.
 * False: nothing is known; the ask is still the caller's. */
bool asks_copy(struct controller *controller, struct ask *ask, const struct member *member,
               const char *why);
/* What the store answered to an ask of ours. */
void asks_take_read(struct controller *controller, struct ctl_read *read_consumed);

/* What queries.h names in the same words. */
void asks_take_answer(struct controller *controller, struct member *member, struct answer *answer);
void asks_member_up(struct controller *controller, struct member *member);
void asks_member_down(struct controller *controller, struct member *member);
void asks_client_drained(struct controller *controller, uint64_t client);
void asks_client_gone(struct asks *asks, uint64_t client);
uint64_t asks_sweep(struct controller *controller);

#endif
