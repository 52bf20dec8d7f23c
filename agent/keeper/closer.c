/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that closes descriptors for the keeper: close(2) can wait for ever where the end that
 * it closes is one of a pipe whose lock a guest holds, and the keeper waits for nobody.
 */
#include "cleanup.h"
#include "keeper.h"
#include "stage_steps.h"

#define CLOSER_FDS_MAX (KW_FDS_MAX - 1) /* beside the group that it is made in */

/* Holds what it got until its parent has let go of it; then the last reference is its own. */
static void run_closer(const struct stage *stage)
{
    (void)stage_keep_own(stage);
    stage_wait(stage, '\0');
}

/* Where no process can be had they stay open: better than to wait. */
static void give(struct keeper *k, const int *fds, size_t count)
{
    struct cargo cargo = {.fds = {home_open_helpers(k)}, .roles = {KW_FD_CGROUP}, .count = 1};
    const struct child_order order = {.cargo = &cargo, .slave = -1, .body = run_closer};
    struct birth birth = {.report = -1, .go = -1};
    AUTO_FD pidfd = -1;

    if (cargo.fds[0] < 0)
        cargo.count = 0;
    for (size_t i = 0; i < count; i++) {
        cargo.roles[cargo.count] = KW_FD_MOUNT;
        cargo.fds[cargo.count++] = fds[i];
    }
    if (child_clone(&order, &birth, &pidfd) > 0)
        cargo_close(&cargo);
    else if (cargo.roles[0] == KW_FD_CGROUP)
        fd_closep(&cargo.fds[0]);
    fd_closep(&birth.report);
    fd_closep(&birth.go);
}

void closer_give(struct keeper *k, const int *fds, size_t count)
{
    for (size_t at = 0; at < count; at += CLOSER_FDS_MAX)
        give(k, fds + at, count - at < CLOSER_FDS_MAX ? count - at : CLOSER_FDS_MAX);
}
