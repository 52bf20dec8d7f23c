/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.h — what runs in a child of the keeper between clone3 and execve.
 *
 * Shape    struct stage is all that the child needs, made by the parent before the clone (the child
 *          is a plain copy: no CLONE_VM). It tells its parent by struct stage_report packets.
 * Units    none.
 * Errors   a failed step is one STAGE_FAILED report, then _exit(1); the step's name goes upstream.
 * Owner    the parent keeps its own copies of the descriptors.
 * Context  a single-threaded child, libc only, no heap; signals are default and unblocked before
 *          exec. Source: clone(2), pivot_root(2), user_namespaces(7), capabilities(7).
 *
 * The report socket is a SOCK_SEQPACKET pair, close-on-exec. Its end without STAGE_TRY: died in the
 * stage. Its end after STAGE_TRY without STAGE_ERRNO for it: the exec succeeded.
 */
#ifndef DROVER_KEEPER_STAGE_H
#define DROVER_KEEPER_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keeper_plan.h"
#include "keeper_wire.h"

enum stage_report_kind {
    STAGE_READY = 1, /* launch, two-phase and not quiet: waits for GO; fds netns, netlink, mntns */
    STAGE_TRY,       /* directly before an execve of candidate `detail` */
    STAGE_ERRNO,     /* that execve failed with `error` */
    STAGE_FAILED,    /* `step`, `error`, `detail` (index of a mount entry); last words */
    STAGE_PTY,  /* spawn with KP_TTY: one descriptor, the master of a pty of the guest's devpts */
    STAGE_DONE, /* rebind: the console is bound; probe: it begins; nothing is executed */
};

struct stage_report {
    uint32_t kind;
    uint32_t step; /* enum kw_step */
    int32_t error;
    int32_t detail;
};

struct stage {
    const struct kp_header *plan; /* checked; mapped or copied in the parent's memory */
    const int *fds;               /* of the record, in its order */
    const uint8_t *roles;         /* enum kw_role | KW_FD_IDMAP */
    size_t fd_count;
    int slave;       /* launch: pty slave for /dev/console; spawn with KP_RELAY, and its relay: the
                      socket between them; -1 none */
    bool is_quiet;   /* launch: GO is awaited without STAGE_READY */
    bool is_sharing; /* its parent's descriptors, until stage_keep_own() */
    int report;      /* write end */
    int go; /* read end of a pipe: 'O' id maps, limits and idmapped mounts are done; 'G' GO.
                   End of file: exit at once */
};

/* Become the guest's init. */
_Noreturn void stage_launch(const struct stage *stage);

/* Become the command of a SPAWN. The parent already cloned it into the target's pid namespace and
 * the leaf cgroup; the rest is joined here. Sends no STAGE_READY; waits for 'G' on `go` only. */
_Noreturn void stage_spawn(const struct stage *stage);

/* Stand between a command and the agent: STDIN, STDOUT, STDERR are the agent's sockets, TARGET is
 * the command's pidfd. What its stage made for it comes through `slave`. */
_Noreturn void stage_relay(const struct stage *stage);

/* Bind `slave` over /dev/console in the target's mount namespace, and end. As stage_spawn(), but in
 * the keeper's pid namespace and groups: a frozen guest has its console too. */
_Noreturn void stage_rebind(const struct stage *stage);

#endif
