/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boundary.h — the instants between two things that the agent does to the world, by name.
 *
 * Shape    BOUNDARY_LIST names them in the order of one life: start, command, boot, end, exec,
 *          import. boundary(NAME) stands where the agent could be killed with another
 *          outcome than at the boundary before it.
 * Units    crossings are counted from 1, by name.
 * Errors   none. DROVER_DIE_AT=NAME[:N] in the environment: at its Nth crossing (1) the process is
 *          killed by SIGKILL; a name that is none ends it with 2.
 * Owner    the process.
 * Context  any thread. Only where DROVER_BOUNDARIES is defined (presets dev, asan, tsan); else
 *          nothing is compiled. tests/integration/faults_boundaries.sh is killed at each.
 */
#ifndef DROVER_BOUNDARY_H
#define DROVER_BOUNDARY_H

#define BOUNDARY_LIST(X)                                                                           \
    X(store_opened)     /* node.db is there, no keeper was asked */                                \
    X(keeper_bound)     /* the socket is there, and no keeper behind it */                         \
    X(keeper_spawned)   /* it runs, and was not spoken to */                                       \
    X(keeper_synced)    /* its table was read, nothing adopted */                                  \
    X(reexec_asked)     /* it may be the old build or the new */                                   \
    X(reexec_done)      /* it is the new build, whose table was not read */                        \
    X(adopted_row)      /* one container is taken up, others are not */                            \
    X(adopted_leaf)     /* of the cgroups that are there one was kept or removed */                \
    X(adopted_all)      /* nobody was answered yet */                                              \
    X(turn_composed)    /* decided, nothing written */                                             \
    X(turn_posted)      /* the writer has it: committed or not */                                  \
    X(committed)        /* durable, nobody was told */                                             \
    X(applied)          /* one effect of it is begun */                                            \
    X(ack_sent)         /* the keeper may forget an end, its event was not published */            \
    X(published)        /* events may be on their way, receipts are not */                         \
    X(answered)         /* one receipt is on its way */                                            \
    X(make_begun)       /* of a create: no directory yet */                                        \
    X(made)             /* its directory is there, and no outcome */                               \
    X(plan_made)        /* of a boot: mounts are open, nothing is outside this process */          \
    X(cgroup_part)      /* its cgroup is in one hierarchy, not in all */                           \
    X(cgroup_made)      /* ... in all */                                                           \
    X(launch_unsent)    /* its launch is about to be sent */                                       \
    X(launch_sent)      /* the keeper may have it */                                               \
    X(launch_held)      /* ... before its intent is known to be durable */                         \
    X(go_unsent)        /* the intent is durable, its stage is not told */                         \
    X(go_sent)          /* its init may run */                                                     \
    X(record_read)      /* a word of the keeper was read, and not acted on */                      \
    X(ask_unsent)       /* of a stop: about to be asked */                                         \
    X(ask_sent)         /* the guest was asked */                                                  \
    X(kill_unsent)      /* of a kill: its cgroup lives */                                          \
    X(kill_sent)        /* its cgroup was killed, and its end was not heard of */                  \
    X(freezer_unset)    /* of a freeze or thaw: as it was */                                       \
    X(freezer_set)      /* as it is to be, or on the way there */                                  \
    X(limit_begun)      /* of a set: limits as they were */                                        \
    X(limited)          /* as they are to be, and nothing stored */                                \
    X(clean_begun)      /* of an ended generation: all is there */                                 \
    X(tail_kept)        /* its console's tail is on the disk */                                    \
    X(cgroup_removed)   /* its cgroups are gone, and no outcome */                                 \
    X(remove_begun)     /* of a destroy: its directory is there */                                 \
    X(removed)          /* its directory is gone, and no outcome */                                \
    X(exec_leaf_made)   /* of a command inside: its cgroup is there */                             \
    X(exec_sent)        /* the keeper may have it */                                               \
    X(exec_ended)       /* it ended, its cgroup is there */                                        \
    X(exec_leaf_gone)   /* its client was not told */                                              \
    X(import_begun)     /* of a template: an unfinished tree, empty */                             \
    X(import_unpacked)  /* all of it is there under another name */                                \
    X(import_published) /* it has its name, its client was not told */

enum boundary {
#define BOUNDARY_ENUM(name) BOUNDARY_##name,
    BOUNDARY_LIST(BOUNDARY_ENUM)
#undef BOUNDARY_ENUM
        BOUNDARY_COUNT
};

#ifdef DROVER_BOUNDARIES
void boundary_cross(enum boundary boundary);
#define boundary(name) boundary_cross(BOUNDARY_##name)
#else
#define boundary(name) ((void)0)
#endif

#endif
