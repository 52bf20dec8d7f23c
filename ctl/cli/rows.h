/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.h — what servers tell, as JSON objects with the fields of the contract.
 *
 * Shape    one function a kind of view; all fields are always there, null when not known.
 * Units    times RFC 3339 UTC with nine digits, sizes octets; epochs and ids are texts.
 * Errors   NULL: no memory.
 * Owner    the caller owns the reference it is given.
 * Context  pure but for malloc.
 */
#ifndef DROVER_ROWS_H
#define DROVER_ROWS_H

#include <jansson.h>

#include "message.h"

json_t *row_container(const struct container_view *view);
/* With "revision" and "config". */
json_t *row_shown(const struct container_view *view, const struct config *config);
/* has_cursor: a controller's events carry one. "detail" is for tables alone. */
json_t *row_event(const struct event_view *view, bool has_cursor);
json_t *row_node(const struct node_view *view);
json_t *row_step(const struct boot_step *step);

/* Text from anywhere: what is not UTF-8 is replaced. "" is null. */
json_t *row_text(const char *text);
json_t *row_uuid(const uint8_t uuid[UUID_BYTES]);

#endif
