/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h — what the controller was told at its start: command line first, then its ini file.
 *
 * Shape    struct options; the texts are in it.
 * Units    events_max counts events.
 * Errors   a fault in words, status INVALID (exit 2).
 * Owner    main().
 * Context  once, at start. Source: inih; drover-controller(8) for names and defaults.
 */
#ifndef DROVER_CONTROLLER_OPTIONS_H
#define DROVER_CONTROLLER_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "fault.h"

#define LISTEN_BYTES 128
#define EVENTS_MAX_DEFAULT 1000000u

struct options {
    char state_dir[PATH_MAX];
    char run_dir[PATH_MAX];
    char config[PATH_MAX];
    char listen[LISTEN_BYTES];
    char store[PATH_MAX]; /* the file of --store sqlite:FILE */
    uint32_t events_max;  /* kept in the store; the oldest go first */
    bool is_help;
    bool is_version;
};

int options_read(struct options *options, int argc, char **argv, struct fault *fault);
void options_print_help(void);

#endif
