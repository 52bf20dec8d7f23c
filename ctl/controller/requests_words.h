/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests_words.h — what is said of a command that came to nothing, or nothing known.
 *
 * Shape    functions: some fill a fault, the others tell a client.
 * Units    none.
 * Errors   none.
 * Owner    everything is borrowed for the call.
 * Context  the loop's thread.
 */
#ifndef DROVER_REQUESTS_WORDS_H
#define DROVER_REQUESTS_WORDS_H

#include "fault.h"
#include "message.h"

struct controller;
struct request;
struct target;

void words_unknown(const struct request *request, const char *why, struct fault *fault);
void words_expired(struct fault *fault);
void words_refuse(struct controller *controller, uint64_t client, const struct command *command,
                  enum status status, const char *text);
void words_refuse_reused(struct controller *controller, uint64_t client,
                         const struct request *request);
void words_refuse_down(struct controller *controller, uint64_t client, const char *id,
                       const struct target *target);

#endif
