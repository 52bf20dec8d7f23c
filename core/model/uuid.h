/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uuid.h — the identity of a container, as octets and as text.
 *
 * Shape    16 octets; text is 8-4-4-4-12 digits in lower case, 36 octets and a NUL.
 * Units    octets.
 * Errors   uuid_parse(): false, and the out-parameter untouched, for all but that one form.
 * Owner    nobody; the caller's arrays.
 * Context  pure. Source: RFC 4122 3 (the text; other spellings would give one container two names).
 */
#ifndef DROVER_UUID_H
#define DROVER_UUID_H

#include <stdbool.h>
#include <stdint.h>

#define UUID_BYTES 16
#define UUID_TEXT_BYTES 37

/* Returns text. */
const char *uuid_format(const uint8_t uuid[UUID_BYTES], char text[UUID_TEXT_BYTES]);

bool uuid_parse(const char *text, uint8_t ret_uuid[UUID_BYTES]);

#endif
