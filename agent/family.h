/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family.h — who a guest's PID 1 will be, told from the file that a candidate leads to.
 *
 * Shape    init_find() looks each candidate up in the layers; nothing is mounted or executed.
 * Units    none.
 * Errors   -errno when no candidate is a file; each one's reason stands in `errors`. An errno of
 *          execve is the stage's to tell: a file that is there may still not be executable.
 * Owner    plain data.
 * Context  any thread. Source: systemd's, sysvinit's, OpenRC's, busybox's and runit's main().
 */
#ifndef DROVER_FAMILY_H
#define DROVER_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

#include "layers.h"
#include "rootfs.h"

struct init {
    enum family family;
    uint32_t systemd_version;      /* of systemd: what its file says; 0: it does not */
    bool takes_arguments;          /* `-z "      "`, as OpenVZ gave: room for a title */
    int errors[KW_CANDIDATES_MAX]; /* per candidate: 0, or a positive errno; ENXIO: no file that
                                      could be executed (FIFO, socket, device) */
};

#define SYSTEMD_VERSION_MIN 230 /* the first that lives with cgroup v2 alone */

/* said: what its configuration calls it; UNKNOWN: to be found out. */
int init_find(const struct layers *layers, char candidates[][64], size_t count, enum family said,
              struct init *ret_init);

#endif
