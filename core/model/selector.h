/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selector.h — does a container answer to what an operator typed?
 *
 * Shape    one selector against one container: `name` or a glob of names (* and ?), `@node`,
 *          `name@node`, `key=value` of a label, or an id. Node and value may be globs as well.
 * Units    none.
 * Errors   none: what matches nothing matches nothing.
 * Owner    nobody; all texts are borrowed for the call.
 * Context  pure. Agent, controller and CLI ask here, so that a selector means one thing.
 */
#ifndef DROVER_SELECTOR_H
#define DROVER_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>

struct pair {
    const char *key;
    const char *value;
};

/* What a selector is held against; node and uuid_text may be NULL: unknown, never matched. */
struct selectable {
    const char *name;
    const char *node;
    const char *uuid_text;
    const struct pair *labels;
    size_t label_count;
};

bool selector_match(const char *selector, const struct selectable *what);

/* Whole text against a pattern: * any run, ? any one octet; no other character is special. */
bool glob_match(const char *pattern, const char *text);

#endif
