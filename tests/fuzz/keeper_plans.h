/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_plans.h — whole plans of a launch and a spawn, for targets that change parts of them.
 *
 * Shape    keeper_plan_make() packs one of KEEPER_PLANS into a buffer.
 * Units    octets.
 * Errors   0: it could not be packed.
 * Owner    the caller's buffer, aligned to 8.
 * Context  one thread.
 */
#ifndef DROVER_FUZZ_KEEPER_PLANS_H
#define DROVER_FUZZ_KEEPER_PLANS_H

#include <stddef.h>
#include <stdint.h>

#define KEEPER_PLANS 3 /* launch, spawn, one with a filter */

size_t keeper_plan_make(unsigned which, uint8_t *block, size_t room);

#endif
