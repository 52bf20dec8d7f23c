/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seeds.h — first inputs of the fuzz targets, in the form that each target reads.
 *
 * Shape    seeds_TARGET() calls seed_write() for each; struct seed is one in the making.
 * Units    octets.
 * Errors   a file that cannot be written ends the program.
 * Owner    nobody.
 * Context  fuzz.seeds alone.
 */
#ifndef DROVER_FUZZ_SEEDS_H
#define DROVER_FUZZ_SEEDS_H

#include "fuzz.h"

struct seed {
    uint8_t data[65536];
    size_t size_bytes;
};

/* Beyond its room nothing is added. */
static inline void seed_add(struct seed *seed, const void *data, size_t size_bytes)
{
    if (size_bytes > sizeof(seed->data) - seed->size_bytes)
        return;
    memcpy(seed->data + seed->size_bytes, data, size_bytes);
    seed->size_bytes += size_bytes;
}

static inline void seed_octet(struct seed *seed, unsigned octet)
{
    const uint8_t one = (uint8_t)octet;
    seed_add(seed, &one, 1);
}

/* As script_part() reads it. */
static inline void seed_part(struct seed *seed, size_t most, const void *data, size_t size_bytes)
{
    seed_octet(seed, (unsigned)size_bytes & 0xff);
    if (most > UINT8_MAX)
        seed_octet(seed, (unsigned)(size_bytes >> 8) & 0xff);
    seed_add(seed, data, size_bytes);
}

void seed_write(const void *data, size_t size_bytes);

void seeds_codec(void);
void seeds_console(void);
void seeds_flow(void);
void seeds_guest_files(void);
void seeds_import(void);
void seeds_keeper(void);
void seeds_keeper_plan(void);
void seeds_keeper_records(void);
void seeds_local(void);
void seeds_model(void);
void seeds_notify(void);
void seeds_options_agent(void);
void seeds_options_controller(void);
void seeds_streams(void);
void seeds_template(void);
void seeds_words(void);

#endif
