/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setting_read.h — KEY=VALUE words of `set`: which keys, with which values.
 *
 * Shape    a value is read as the option of the same name is by `create`. Of a list KEY=VALUE puts
 *          an entry in, KEY-=NAME takes one out, KEY= empties it.
 * Units    as struct config says.
 * Errors   -EINVAL with a fault of status `invalid`.
 * Owner    the caller; setting_read_close() releases it. The words must outlive it.
 * Context  pure but for malloc and getcwd(3).
 */
#ifndef DROVER_SETTING_READ_H
#define DROVER_SETTING_READ_H

#include "config_read.h"

struct setting_read {
    struct config_read values;
    struct setting *settings;
    size_t count;
    struct options options; /* the values, as if they had been given to `create` */
    struct arena texts;
};

int setting_read(struct setting_read *read, const char *const *words, size_t count,
                 struct fault *fault);
void setting_read_close(struct setting_read *read);

/* The option of `create` that tells what a key is. */
enum option setting_option(enum setting_key key);

#endif
