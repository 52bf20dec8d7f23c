/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_openvz.h — OpenVZ's parameters, each with what becomes of it.
 *
 * Shape    struct openvz is one container's file over the node's; the rules are one table by name.
 * Units    octets; thousandths of a processor.
 * Errors   none: what a rule cannot map it notes.
 * Owner    import_openvz().
 * Context  pure but for malloc.
 */
#ifndef DROVER_IMPORT_OPENVZ_H
#define DROVER_IMPORT_OPENVZ_H

#include "import.h"

#define OPENVZ_VALUES_MAX 512 /* different ones of both files; more: the file is refused */

struct openvz_value {
    struct import_parameter parameter;
    bool is_global; /* of vz.conf */
};

struct openvz {
    struct import *import;
    const struct import_source *source;
    const struct import_disk *disk;
    const char *ctid; /* of the file's name */
    const char *root; /* of the container; NULL: none, or a template instead */
    const char *root_why;
    struct openvz_value values[OPENVZ_VALUES_MAX];
    size_t count;
};

/* NULL: it was not given. */
const char *openvz_find(const struct openvz *openvz, const char *name);

struct openvz_rule {
    const char *name; /* one that ends with * is a beginning */
    void (*map)(struct openvz *openvz, const struct import_parameter *parameter);
    const char *why; /* with a map of NULL: why there is none */
};
/* A parameter that OpenVZ does not know has none either: NULL. */
const struct openvz_rule *openvz_rule_find(const char *name);

/* "131072", "0:131072", "512M", "unlimited": the limit, in octets. */
bool openvz_read_amount(const char *text, uint64_t unit_bytes, uint64_t *ret_bytes);

#endif
