/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passwd.h — who a user is, by a guest's own /etc/passwd and /etc/group.
 *
 * Shape    passwd_find() fills struct passwd from "", NAME or UID[:GID].
 * Units    ids inside the guest.
 * Errors   -ENOENT: no such user; -EINVAL: not a user's form; -EFBIG, -errno of the files.
 * Owner    plain data.
 * Context  any thread. The files are the guest's: they may be anything, links and FIFOs too, and
 *          are read with a cap. Source: passwd(5), group(5).
 */
#ifndef DROVER_PASSWD_H
#define DROVER_PASSWD_H

#include <stddef.h>
#include <stdint.h>

#include "plan.h"

struct passwd {
    uint32_t uid;
    uint32_t gid;
    char name[64];
    char home[256];
    uint32_t groups[PLAN_GROUPS_MAX]; /* supplementary */
    size_t group_count;
};

/* root: a descriptor of the guest's root directory. */
int passwd_find(int root, const char *user, struct passwd *ret_passwd);

#endif
