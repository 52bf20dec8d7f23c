/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_read.h — a container's configuration from the options of `create`, or the keys of `set`.
 *
 * Shape    struct config_read owns the lists and cut texts that its config points into.
 * Units    as struct config says.
 * Errors   -EINVAL with a fault of status `invalid`.
 * Owner    the caller; config_read_close() releases it. The options must outlive it.
 * Context  pure but for malloc and getcwd(3): a relative path means one of the person's.
 */
#ifndef DROVER_CONFIG_READ_H
#define DROVER_CONFIG_READ_H

#include "codec.h"
#include "options.h"

struct config_read {
    struct config config;
    struct arena texts;
    struct bind binds[CONFIG_LIST_MAX];
    struct tmpfs tmpfs[CONFIG_LIST_MAX];
    struct pair env[CONFIG_LIST_MAX];
    struct pair labels[CONFIG_LIST_MAX];
    struct pair hooks[CONFIG_LIST_MAX];
    const char *depends[CONFIG_LIST_MAX];
};

/* All but what it is made from, with defaults for what is not given. */
int config_read_settings(struct config_read *read, const struct options *options,
                         struct fault *fault);
int config_read(struct config_read *read, const struct options *options, struct fault *fault);
void config_read_close(struct config_read *read);

/* All K=V of one option. Returns how many, or -EINVAL. */
int pairs_read(struct arena *texts, const struct options *options, enum option option,
               struct pair ret_pairs[CONFIG_LIST_MAX], struct fault *fault);

/* 1.5 → 1500; at most three digits behind the point; not 0. */
bool cpus_read(const char *text, uint32_t *ret_milli);

#endif
