/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_parts.h — what the files of struct node share, for them alone.
 *
 * Shape    node.c keeps slots, queue, timers and dirty list in line with each step of a container;
 *          node_commands.c and node_adopt.c step containers through it.
 * Units    as container.h.
 * Errors   none.
 * Owner    struct node.
 * Context  pure.
 */
#ifndef DROVER_NODE_PARTS_H
#define DROVER_NODE_PARTS_H

#include "node.h"

/* A free slot, empty but for its index; NULL: none. */
struct ct *node_take_slot(struct node *node);
/* Queue, timers and dirty list after a change that no step made. */
void node_keep_in_line(struct node *node, struct ct *ct);
/* What the node's boot makes of its present state. */
void node_note_boot(struct node *node, const struct ct *ct);
/* Take it up among those that come up with the node; one that does already has its place. */
void node_join_boot(struct node *node, const struct ct *ct);
/* Out of the line for admission. */
void node_dequeue(struct node *node, struct ct *ct);

/* One step by an input of the node's own; seen->ct and ->generation are filled in. */
void node_feed(struct node *node, struct ct *ct, const struct observation *seen,
               const struct now *now, struct out *out);
void node_step_kind(struct node *node, struct ct *ct, enum ct_input kind, const struct now *now,
                    struct out *out);

void node_command(struct node *node, const struct ct_command *command, const struct now *now,
                  struct out *out);

#endif
