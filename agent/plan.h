/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h — packing the block of keeper_plan.h: tables and strings are appended, then sealed.
 *
 * Shape    struct plan collects; the first failure sticks and plan_seal() answers it, so that the
 *          calls between need no check.
 * Units    as in keeper_plan.h.
 * Errors   -E2BIG: more entries or text than a block can hold; -ENOMEM.
 * Owner    the caller; plan_close() always. Texts are copied.
 * Context  any thread.
 */
#ifndef DROVER_PLAN_H
#define DROVER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keeper_plan.h"
#include "keeper_wire.h"

#define PLAN_GROUPS_MAX 256

struct sysfilter;

/* A list of strings: positions in `text`, plus one. */
struct plan_list {
    uint32_t items[KP_ARGS_MAX];
    uint32_t count;
};

/* 18 KiB, meant for the stack. Until plan_seal() a string is its position in `text`, plus one. */
struct plan {
    struct kp_header header; /* the caller fills what is no table: flags, ids, capabilities… */
    struct kp_mount mounts[KP_MOUNTS_MAX];
    struct kp_rlimit rlimits[KP_RLIMITS_MAX];
    struct plan_list candidates; /* at most KW_CANDIDATES_MAX */
    struct plan_list argv;
    struct plan_list env;
    uint32_t groups[PLAN_GROUPS_MAX];
    const struct sysfilter *sysfilter; /* borrowed until plan_seal(); NULL: none */
    char *text;
    size_t text_bytes;
    size_t text_room_bytes;
    int error; /* sticky; 0: none */
};

void plan_init(struct plan *plan);
void plan_close(struct plan *plan);

/* Copy a text in. Returns what a string field of the header holds until plan_seal(); 0 for NULL. */
uint32_t plan_add_text(struct plan *plan, const char *text);
void plan_add_item(struct plan *plan, struct plan_list *list, const char *text);
/* KEY=VALUE in `env`. */
void plan_add_env(struct plan *plan, const char *key, const char *value);
void plan_add_rlimit(struct plan *plan, uint32_t resource, uint64_t soft, uint64_t hard);
void plan_add_group(struct plan *plan, uint32_t gid);
/* All but the two texts is taken from `mount`. */
void plan_add_mount(struct plan *plan, struct kp_mount mount, const char *target,
                    const char *options);

/* What init and every exec session start with: rlimits no higher than this process has them itself
 * (CAP_SYS_RESOURCE may be withheld), and the capabilities that may remain. */
void plan_add_limits(struct plan *plan, bool is_privileged);

/* Lay the block out and put it into a sealed memfd. Returns it, or -errno. */
int plan_seal(const struct plan *plan);

#endif
