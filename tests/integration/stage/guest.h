/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.h — a keeper of one guest: packs a plan, clones, does the parent's part, hears the reports.
 *
 * Shape    struct guest is filled by guest_init() and the guest_add_*(); guest_run() does the rest.
 * Units    none.
 * Errors   a failure of the test's own calls is a failed assertion.
 * Owner    guest_close() closes what is held and removes the root's directory.
 * Context  root only; every name made lies below one new directory in /var/tmp.
 */
#ifndef DROVER_TEST_GUEST_H
#define DROVER_TEST_GUEST_H

#include <linux/filter.h>
#include <stdbool.h>
#include <sys/types.h>

#include "stage.h"

#define GUEST_UID_BASE 0x6ff00000u /* below the agent's own ranges */
#define GUEST_UID_COUNT 65536u
#define GUEST_REPORTS_MAX 64
#define GUEST_NO_DETAIL (-1)

struct guest {
    char dir[64]; /* holds root/, and upper/ and work/ in over/ */
    int root;     /* descriptor of dir/root */
    bool has_userns;
    bool has_no_console;
    struct kp_header header;
    struct kp_mount mounts[KP_MOUNTS_MAX];
    uint32_t candidates[KW_CANDIDATES_MAX];
    uint32_t argv[16];
    uint32_t env[16];
    uint32_t groups[2];
    struct sock_filter filter[8];
    char text[8192];
    uint32_t text_bytes;
    _Alignas(8) char block[32768];
    int fds[KW_FDS_MAX];
    uint8_t roles[KW_FDS_MAX];
    size_t fd_count;

    pid_t pid;
    int pidfd;
    int master;
    int slave;
    int report;
    int go;
    struct stage_report reports[GUEST_REPORTS_MAX];
    size_t report_count;
    int staged[3];
    size_t staged_count;
    int pty;
    int wait_status;
    char output[65536]; /* of the console, without carriage returns */
    size_t output_bytes;
};

/* A busybox root in dir/root; privileged unless has_userns is set before the run. */
void guest_init(struct guest *guest);
void guest_close(struct guest *guest);

uint32_t guest_text(struct guest *guest, const char *text);
void guest_candidate(struct guest *guest, const char *path);
void guest_arg(struct guest *guest, const char *text);
void guest_mount(struct guest *guest, enum kp_kind kind, const char *target, const char *options,
                 uint64_t flags);
/* Returns the descriptor's index in the record. */
int guest_fd(struct guest *guest, int fd_consumed, unsigned role);
/* A detached copy of a host path, as an ATTACH entry. */
void guest_attach(struct guest *guest, const char *source, const char *target, bool is_file);
void guest_use_directory(struct guest *guest);
void guest_use_overlay(struct guest *guest);
/* /proc, /sys, /dev with the usual nodes, devpts, console. */
void guest_usual_mounts(struct guest *guest);
/* init is a shell that runs this. */
void guest_script(struct guest *guest, const char *script);

const struct kp_header *guest_pack(struct guest *guest);

/* Clone and do the parent's part. */
void guest_begin(struct guest *guest);
/* The same and say 'O', or "OG" when the plan says at once. */
void guest_start(struct guest *guest);
/* Read reports until one of this kind, or the end. Returns it or NULL. */
const struct stage_report *guest_hear(struct guest *guest, enum stage_report_kind kind);
void guest_say(struct guest *guest, const char *words);
/* Until it has said this on its console. */
void guest_await(struct guest *guest, const char *text);
/* Hear all, collect the console's output, reap. */
void guest_finish(struct guest *guest);
void guest_run(struct guest *guest);

const struct stage_report *guest_last(const struct guest *guest);
void assert_failed(const struct guest *guest, enum kw_step step, int error, int detail);
void assert_output(const struct guest *guest, const char *text);
void assert_no_output(const struct guest *guest, const char *text);

/* Run stage_spawn() in a clone that joined the pid namespace of `target`, if any; and say 'G'. */
void guest_spawn(struct guest *command, const struct guest *target);
void guest_spawn_held(struct guest *command, const struct guest *target);

#endif
