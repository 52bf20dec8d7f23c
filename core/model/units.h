/* SPDX-License-Identifier: Apache-2.0 */
/*
 * units.h — sizes, durations and names as people type them, one parser for every door.
 *
 * Shape    text in, fixed-width number out; the whole text must match.
 * Units    sizes are octets (K M G T are powers of 1024); durations are nanoseconds (ms s m h).
 * Errors   false, and the out-parameter untouched: empty, sign, rest behind the number, overflow.
 * Owner    nobody; text is borrowed for the call.
 * Context  pure. Source: RFC 1123 2.1 (names); the grammar of the rest is stated at each function.
 */
#ifndef DROVER_UNITS_H
#define DROVER_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#define SIZE_BYTES_MAX UINT64_MAX /* what "max" means: no limit */
#define NAME_LENGTH_MAX 63        /* octets without the NUL; a hostname label (RFC 1123 2.1) */

/* "64M", "0", "max". A fraction is refused: a limit is never rounded behind one's back. */
bool size_parse(const char *text, uint64_t *ret_bytes);

/* "120s", "250ms", "2h". A bare number is refused, except 0: a number needs its unit. */
bool duration_parse(const char *text, uint64_t *ret_ns);

/* OpenVZ's CPUUNITS (8 to 500000, 1000 by default) as a weight of cgroups (1 to 10000, 100 by
 * default): in proportion, and no further than that range reaches. */
bool cpuunits_weight(uint64_t units, uint32_t *ret_weight);

/* [a-z0-9]([a-z0-9-]{0,61}[a-z0-9])? */
bool name_check(const char *text);

#endif
