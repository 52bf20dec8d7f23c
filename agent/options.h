/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h — what the agent was told at its start: command line first, then its ini file.
 *
 * Shape    struct options; texts live as long as the process.
 * Units    ids are counts of uids.
 * Errors   a fault in words (exit 2).
 * Owner    main().
 * Context  once, at start. Source: inih; drover-agent(8) for names and defaults.
 */
#ifndef DROVER_OPTIONS_H
#define DROVER_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "units.h"

#define CONTROLLERS_MAX 4
#define UID_RANGE 65536u                 /* ids of one container */
#define UID_RANGE_NESTED (4 * UID_RANGE) /* of one with containers inside */

struct options {
    char state_dir[PATH_MAX];
    char run_dir[PATH_MAX];
    char config[PATH_MAX];
    char node[NAME_LENGTH_MAX + 1];
    char cgroup[80]; /* without a leading slash */
    uint32_t uid_base;
    uint32_t boot_parallel; /* 0: BOOT_PARALLEL_DEFAULT */
    uint32_t uid_count;
    char controllers[CONTROLLERS_MAX][128];
    size_t controller_count;
    char hooks_dir[PATH_MAX];
    char keeper[PATH_MAX]; /* binary, beside this one */
    bool is_help;
    bool is_version;
};

int options_read(struct options *options, int argc, char **argv, struct fault *fault);
void options_print_help(void);

#endif
