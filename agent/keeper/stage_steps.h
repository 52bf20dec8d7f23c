/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage_steps.h — the steps of stage_launch() and stage_spawn(), each in the file of its name.
 *
 * Shape    plain functions in the order of use; struct stage is passed on, the rest is returned.
 * Units    none.
 * Errors   -errno, which the caller reports with its step; _Noreturn ones report for themselves.
 * Owner    a descriptor is never leaked to the guest: all are closed before the first execve.
 * Context  the staged child alone; libc only, no heap, nothing of the guest is ever opened blindly.
 */
#ifndef DROVER_STAGE_STEPS_H
#define DROVER_STAGE_STEPS_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "stage.h"

/* stage_report.c ----------------------------------------------------------------------------- */

#define STAGE_NO_DETAIL (-1)

void stage_say(const struct stage *stage, enum stage_report_kind kind, int error, int detail,
               const int *fds, size_t fd_count);
_Noreturn void stage_fail(const struct stage *stage, enum kw_step step, int error, int detail);
/* Go on unless rc is -errno. */
void stage_check(const struct stage *stage, enum kw_step step, int rc);

/* Wait until the parent wrote this octet; at the end of the pipe, exit. */
void stage_wait(const struct stage *stage, char word);

/* First descriptor with a role at or after *index, which moves behind it, or -1. */
int stage_next_fd(const struct stage *stage, enum kw_role role, size_t *index);
int stage_find_fd(const struct stage *stage, enum kw_role role);

/* Close what is not the stage's; 0 to 2 are left. */
int stage_keep_own(const struct stage *stage);
/* Close everything but 0 to 2, the report socket and `other` (-1: none): no /proc/self/fd/N leads
 * out of the guest. */
void stage_keep_report(const struct stage *stage, int other);

/* Become standard input, output and error; -1: /dev/null as `null`, or nothing where that is -1. */
int stage_take_standard(const int fds[3], int null);

/* stage_spaces.c ----------------------------------------------------------------------------- */

int stage_enter_groups(const struct stage *stage);
/* The target's namespaces that the plan names, but for the pid namespace. */
int stage_join(const struct stage *stage);
int stage_new_network(void);
/* A time namespace that begins at 0, as far as this kernel lets us. */
void stage_new_time(void);

/* stage_path.c ------------------------------------------------------------------------------- */

/* O_PATH descriptor of what is at a path below `root`; symlinks are followed as if it were "/". */
int path_open(int root, const char *path);
enum path_make { PATH_FILE, PATH_DIRECTORY };
/* The same; what is missing is made, directories on the way too. */
int path_make(int root, const char *path, enum path_make kind);
/* The directory that a path's last component is in, made if missing; the component. */
int path_make_parent(int root, const char *path, char name[NAME_MAX + 1]);

/* stage_root.c ------------------------------------------------------------------------------- */

struct stage_root {
    int scratch; /* tmpfs of our own over the old root, gone with it; -1: none was needed */
    int root;    /* the new root, attached */
    int console; /* opened through KP_CONSOLE's mount, or -1 */
    int null;    /* /dev/null of our own namespace, or -1 */
    int empty;   /* a directory that is empty for ever, likewise */
};
int root_make(const struct stage *stage, struct stage_root *ret_root);
int root_enter(const struct stage_root *root);

/* stage_mounts.c ----------------------------------------------------------------------------- */

/* One comma-separated list of options and MS_* flags; returns a detached mount. */
int mount_new(const char *type, const char *options, uint64_t flags);
/* A detached mount of a pty slave, for a /dev/console. */
int mount_slave(int slave);
/* Carry out one entry of the plan. */
int mount_apply(const struct stage *stage, struct stage_root *root, const struct kp_mount *mount);

/* stage_ids.c -------------------------------------------------------------------------------- */

int ids_become_root(void);
int ids_become(const struct kp_header *plan);
/* Securebits, ambient and inheritable sets, then the bounding set. */
int ids_drop_capabilities(uint64_t caps_keep);
int ids_filter(const struct kp_header *plan);

/* stage_exec.c ------------------------------------------------------------------------------- */

struct stage_program {
    const char *argv[KP_ARGS_MAX + 1];
    const char *env[KP_ARGS_MAX + 1];
};
void exec_prepare(const struct kp_header *plan, struct stage_program *ret_program);
/* Signals, umask, slack, keyring: as a fresh system would give them. */
int exec_reset(void);
/* Try one path. Returns the errno of the attempt, which has been reported. */
int exec_try(const struct stage *stage, struct stage_program *program, const char *path,
             int number);

/* Try a file by its descriptor, which has no path here. Returns the errno, which was reported. */
int exec_try_program(const struct stage *stage, struct stage_program *program, int fd);

/* stage_probe.c ------------------------------------------------------------------------------ */

/* Look for a file or a port until it is there, then end with 0. */
_Noreturn void stage_probe(const struct stage *stage, const char *what);

/* stage_relay.c ------------------------------------------------------------------------------ */

/* For the stage of a command: its relay gets these ends, of a terminal or of three pipes. */
int relay_take(const struct stage *stage, const int *ends, size_t count);
/* Three pipes, as the command's user's; their other ends are the relay's alone, and stay open here
 * until stage_keep_report(). */
int relay_open_pipes(const struct stage *stage, int ret_standard[3]);

/* stage_tty.c -------------------------------------------------------------------------------- */

/* A pty of the devpts at /dev/pts, handed out; returns the slave, our controlling terminal. */
int tty_open(const struct stage *stage);

#endif
