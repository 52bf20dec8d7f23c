/* SPDX-License-Identifier: Apache-2.0 */
/*
 * samples.h — messages of each kind, every field set to a value of its own, and their comparison.
 *
 * Shape    samples[] of SAMPLE_COUNT; same_message() asserts field by field.
 * Units    none.
 * Errors   cmocka's: a difference ends the test.
 * Owner    static.
 * Context  tests of the codec.
 */
#ifndef DROVER_TEST_CODEC_SAMPLES_H
#define DROVER_TEST_CODEC_SAMPLES_H

#include "message.h"

#define SAMPLE_COUNT 26

extern const struct message samples[SAMPLE_COUNT];
extern const struct config sample_config;

void same_message(const struct message *a, const struct message *b);
void same_config(const struct config *a, const struct config *b);

#endif
