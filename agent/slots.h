/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slots.h — the agent's part of a container: its configuration, ids, and its row's columns.
 *
 * Shape    struct slot of agent.h, one beside each slot of the model, of the same index.
 * Units    counts.
 * Errors   -errno where said.
 * Owner    the agent.
 * Context  the loop's thread.
 */
#ifndef DROVER_SLOTS_H
#define DROVER_SLOTS_H

#include "agent.h"

struct octets octets_copy(const struct octets *octets); /* heap */
/* -errno: the octets are no configuration; they are the slot's all the same. */
int slot_fill(struct slot *slot, struct octets config_consumed);
void slot_empty(struct slot *slot);
/* What its last generation was made from: what takes a stop is to be asked of this. */
const struct config *slot_made(const struct slot *slot);
enum ready slot_ready(const struct slot *slot);
/* A generation begins: it is made from what is set now. */
void slot_make(struct slot *slot);
/* How many ids its range has, as its configuration says; 0: privileged. */
uint32_t slot_uid_count(const struct slot *slot);
/* A range that is free, for what the configuration says now. For a stopped container: ids on disk
 * count from 0, so that a range is as good as another. */
void slot_choose_range(struct agent *agent, struct slot *slot);
void slot_close_console(struct slot *slot);
/* A create or set was accepted or refused: its configuration finds its slot, or is dropped. */
void slot_settle_config(struct agent *agent, const struct ct_receipt *receipt);
/* A SET took force: the next configuration is the present one. */
void slot_configure(struct agent *agent, uint32_t index);
/* The slot's columns of a row. */
void slot_row(const struct agent *agent, uint32_t index, struct store_row *row);

#endif
