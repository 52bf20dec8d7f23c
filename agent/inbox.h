/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inbox.h — inputs between the callback that saw them and the turn that acts on them.
 *
 * Shape    two queues: observations are taken before commands, each in the order of their coming,
 *          so that a command meets the newest level that is known.
 * Units    counts.
 * Errors   none: it grows. What fills it is bounded elsewhere (works in flight, the keeper's table,
 *          a client's unread answers).
 * Owner    struct agent.
 * Context  the loop's thread.
 */
#ifndef DROVER_INBOX_H
#define DROVER_INBOX_H

#include <stddef.h>

#include "observation.h"

struct inbox_queue {
    struct input *inputs; /* a ring */
    size_t room;
    size_t first;
    size_t count;
};

struct inbox {
    struct inbox_queue observations;
    struct inbox_queue commands;
};

void inbox_close(struct inbox *inbox);
void inbox_post(struct inbox *inbox, const struct input *input);
bool inbox_take(struct inbox *inbox, struct input *ret_input);
bool inbox_is_empty(const struct inbox *inbox);

#endif
