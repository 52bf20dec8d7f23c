/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz.h — what the fuzz targets share: an input read as a script, promises, planted crashes.
 *
 * Shape    each target is one file with LLVMFuzzerTestOneInput(); struct script hands out its
 *          octets, zeros at its end, so that every input is a whole script.
 * Units    octets.
 * Errors   a promise that does not hold is named on stderr and ends the process.
 * Owner    nobody; a script borrows the input.
 * Context  one thread. Source: LLVM's libFuzzer.
 */
#ifndef DROVER_FUZZ_H
#define DROVER_FUZZ_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Not ENSURE: a broken promise of the program's is told apart from its own assertions. */
#define PROMISE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: promise broken: %s\n", __FILE__, __LINE__, #condition);  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/*
 * A crash that is planted in a second build of the target, on what the deepest code answered. That
 * no kept input meets it and the fuzzer does within a minute shows that it still gets there.
 */
#ifdef FUZZ_CANARY
#define CANARY(condition)                                                                          \
    do {                                                                                           \
        if (condition) {                                                                           \
            (void)fprintf(stderr, "canary: %s\n", #condition);                                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#else
#define CANARY(condition) ((void)(false && (condition)))
#endif

#define FUZZ_FDS_MAX 128

/* How many descriptors are open, of the first ones: poll(2) tells of all in one call. */
static inline unsigned fuzz_open_fds(void)
{
    struct pollfd fds[FUZZ_FDS_MAX];
    unsigned count = 0;

    for (int fd = 0; fd < FUZZ_FDS_MAX; fd++)
        fds[fd] = (struct pollfd){.fd = fd};
    (void)poll(fds, FUZZ_FDS_MAX, 0);
    for (int fd = 0; fd < FUZZ_FDS_MAX; fd++)
        count += (fds[fd].revents & POLLNVAL) == 0;
    return count;
}

struct script {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t script_octet(struct script *script)
{
    if (script->left == 0)
        return 0;
    script->left--;
    return *script->at++;
}

static inline uint16_t script_short(struct script *script)
{
    uint16_t low = script_octet(script);
    return (uint16_t)(low | script_octet(script) << 8);
}

/* At most `most` octets; how many stands before them. */
static inline size_t script_part(struct script *script, size_t most, const uint8_t **ret_part)
{
    size_t count = most > UINT8_MAX ? script_short(script) : script_octet(script);

    if (count > most)
        count = most;
    if (count > script->left)
        count = script->left;
    *ret_part = script->at;
    script->at += count;
    script->left -= count;
    return count;
}

/* The same into a zeroed place; returns how many octets it held. */
static inline size_t script_fill(struct script *script, void *place, size_t place_bytes)
{
    const uint8_t *part;
    size_t count = script_part(script, place_bytes, &part);

    memset(place, 0, place_bytes);
    if (count > 0)
        memcpy(place, part, count);
    return count;
}

#endif
