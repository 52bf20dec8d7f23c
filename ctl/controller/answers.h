/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answers.h — words to a local client: answers and receipts, with the fault behind them.
 *
 * Shape    functions; the client is named by its id and may be gone.
 * Units    none.
 * Errors   none: who asks and does not read is hung up.
 * Owner    everything is borrowed for the call.
 * Context  the loop's thread.
 */
#ifndef DROVER_ANSWERS_H
#define DROVER_ANSWERS_H

#include "fault.h"
#include "message.h"

struct controller;

void answers_send(struct controller *controller, uint64_t client, const struct message *message);

/* There is no memory for what it waits for: it hears that, by the end of its connection, instead of
 * nothing. What it has asked may have been done, and is to be asked again. */
void answers_drop(struct controller *controller, uint64_t client);

/* The last answer to a query. */
void answers_fault(struct controller *controller, uint64_t client, const char *request_id,
                   const struct fault_view *fault);
/* The receipt of a command that came to nothing here. */
void answers_refuse(struct controller *controller, uint64_t client, const char *request_id,
                    enum phase phase, const struct fault_view *fault);

/* All of it borrowed; container and node may be "". */
struct fault_view answers_view(const struct fault *fault, const char *container, const char *node);

#endif
