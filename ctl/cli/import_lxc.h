/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_lxc.h — LXC's keys, old names and new, each with what becomes of it.
 *
 * Shape    struct lxc is one container's file with all that it includes, as entries in their order;
 *          the rules are one table by name.
 * Units    octets; thousandths of a processor.
 * Errors   none: what a rule cannot map it notes.
 * Owner    import_lxc().
 * Context  pure but for malloc and what the disk's functions do.
 */
#ifndef DROVER_IMPORT_LXC_H
#define DROVER_IMPORT_LXC_H

#include "import.h"

#define LXC_ENTRIES_MAX 1024 /* of all files; more: refused */
#define LXC_DEPTH_MAX 8      /* of includes in includes */

struct lxc {
    struct import *import;
    const struct import_source *source;
    const struct import_disk *disk;
    struct fault *fault;
    const char *root; /* of the container; NULL: a template instead */
    struct import_parameter entries[LXC_ENTRIES_MAX];
    size_t count;
    size_t files;      /* read so far */
    size_t read_bytes; /* of them */
};

struct lxc_rule {
    const char *name; /* one that ends with * is a beginning */
    const char *old;  /* its name before LXC 2.1; NULL: the same */
    void (*map)(struct lxc *lxc, const struct import_parameter *entry);
    bool is_list;    /* each counts, not the last alone */
    const char *why; /* with a map of NULL: why there is none */
};
/* NULL: LXC has no such key. */
const struct lxc_rule *lxc_rule_find(const char *name);

/* The last value of a key, by either name; NULL: it was not given. */
const char *lxc_find(const struct lxc *lxc, const char *name);

/* import_lxc_mounts.c: a line as fstab(5) has them. */
void lxc_map_mount(struct lxc *lxc, const struct import_parameter *entry);
void lxc_map_fstab(struct lxc *lxc, const struct import_parameter *entry);

#endif
