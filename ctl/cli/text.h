/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h — octets that others wrote, made harmless for a terminal and short for a table.
 *
 * Shape    each function makes a text of its own.
 * Units    octets.
 * Errors   NULL: no memory.
 * Owner    the caller frees what it is given.
 * Context  pure but for malloc.
 */
#ifndef DROVER_TEXT_H
#define DROVER_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Controls, and what is not UTF-8, as \xNN; is_multiline keeps tab, newline and return. */
char *text_sanitise(const char *text, size_t size_bytes, bool is_multiline);

/* Nothing in it that text_sanitise() would change: UTF-8 without controls. */
bool text_is_shown(const char *text, size_t size_bytes);

/* A value as a table shows it: times to the millisecond, objects as key=value, null as -. */
char *text_of_value(const json_t *value);

/* 43 ms, 1.2 s, 3 min */
const char *text_of_duration(uint64_t duration_ns, char text[32]);

#endif
