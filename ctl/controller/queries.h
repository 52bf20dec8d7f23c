/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queries.h — what operators ask: LIST, SHOW, EVENTS, HISTORY, NODES, BOOT, VERSION.
 *
 * Shape    functions. Events, histories and nodes are known here; the rest is asked of the nodes.
 * Units    none.
 * Errors   told to the client as an answer with a fault.
 * Owner    everything is borrowed for the call.
 * Context  the loop's thread.
 */
#ifndef DROVER_QUERIES_H
#define DROVER_QUERIES_H

#include "asks.h"

/* A client's query. is_asked as for controller_take(). */
void queries_take(struct controller *controller, uint64_t client, const struct message *message,
                  bool is_asked);
/* Ask all nodes for a container; then the message is taken again. False: there is nobody to ask. */
bool queries_ask_all(struct controller *controller, uint64_t client, const char *container,
                     const struct message *message);

/* queries_tell.c: tell as much of a list as its reader takes. True: all of it, or it is gone. */
bool queries_tell_list(struct controller *controller, struct ask *ask);
void queries_tell_nodes(struct controller *controller, uint64_t client, const struct query *query);

#endif
