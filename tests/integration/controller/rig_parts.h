/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig_parts.h — what the rig's own files share.
 *
 * Shape    functions.
 * Units    none.
 * Errors   cmocka's.
 * Owner    rig.c knows who is open, so that a test that failed is cleaned up as well.
 * Context  the test's one loop.
 */
#ifndef DROVER_TEST_CONTROLLER_RIG_PARTS_H
#define DROVER_TEST_CONTROLLER_RIG_PARTS_H

#include "rig.h"

uv_loop_t *rig_loop(void);
void rig_socket_path(char *path, size_t path_bytes);
void rig_keep_node(struct node *node);
void rig_drop_node(const struct node *node);
void rig_keep_client(struct client *client);
void rig_drop_client(const struct client *client);
void node_tick(struct node *node);

void inbox_put(struct inbox *inbox, const struct message *message);
bool inbox_is_empty(const struct inbox *inbox);
void inbox_take(struct inbox *inbox, struct message *ret_message);
void inbox_close(struct inbox *inbox);

#endif
