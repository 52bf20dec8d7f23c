/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.h — the containers that an operator named, one by one or by selectors.
 *
 * Shape    struct targets is a list in the order of the command line, nothing twice.
 * Units    counts.
 * Errors   exit codes; the person has been told: a selector that nothing matches is not found (3).
 * Owner    the caller; targets_close() releases it.
 * Context  one thread. A plain name is not looked up: the server that gets the command knows best.
 */
#ifndef DROVER_SELECT_H
#define DROVER_SELECT_H

#include "cli.h"

struct target {
    char *name;
    char *node; /* "": the one that hears the command */
};

struct targets {
    struct target *list;
    size_t count;
    bool is_many; /* a selector was given, or more than one name */
};

/* From the arguments and --all; cli must be connected. */
int targets_find(struct cli *cli, struct targets *ret_targets);
void targets_close(struct targets *targets);

/* A name, an id or NAME@NODE, and no selector. */
bool target_is_plain(const char *text);

/* One container, for verbs that take no more. */
struct target_name {
    char name[NAME_BYTES];
    char node[NAME_BYTES]; /* of NAME@NODE or --node; "": neither */
};
/* `text` must be plain. Returns an exit code; the person has been told. */
int target_read(const struct cli *cli, const char *text, struct target_name *ret_target);
/* The only argument of a verb that needs exactly one. */
int target_read_only(const struct cli *cli, struct target_name *ret_target);

#endif
