/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of a group in use. Only memory can be refused: usage may be above what is asked, and then
 * v1 answers EBUSY where v2 obeys and kills (measured). So memory goes first, v2 is brought down by
 * memory.high, which reclaims and slows down but never kills, and what was changed is put back.
 */
#include "cgroup_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "message.h"
#include "sys.h"

struct change {
    struct cgroups *cgroups;
    const struct cgroup_hierarchy *hierarchy;
    const char *leaf;
    struct fault *fault;
};

static void name_file(const struct change *change, const char *file, char text[CGROUP_FILE_BYTES])
{
    (void)snprintf(text, CGROUP_FILE_BYTES, "%s/%s", change->leaf, file);
}

/* "max" and what is not there are LIMIT_NONE; v1 says no limit by a number above every other. */
static uint64_t read_number(const struct change *change, const char *file)
{
    char name[CGROUP_FILE_BYTES];
    char text[64] = "";

    name_file(change, file, name);
    if (sys_read_text_at(change->hierarchy->path, name, text, sizeof(text)) < 0 || text[0] == 'm')
        return LIMIT_NONE;
    uint64_t number = strtoull(text, NULL, 10);
    return number > INT64_MAX / 2 ? LIMIT_NONE : number;
}

static int write_direct(const struct change *change, const struct cgroup_setting *setting)
{
    char name[CGROUP_FILE_BYTES];

    name_file(change, setting->file, name);
    return sys_write_text_at(change->hierarchy->path, name, setting->value);
}

/* libcgroup finds the group by its own table of mounts; what it does not know (a detached mount) is
 * written by the directory that we hold. So is memory: its writers may wait for reclaim, and
 * libcgroup is one for all containers. */
static int write_setting(const struct change *change, const struct cgroup_setting *setting)
{
    char group[sizeof(change->cgroups->path) + CGROUP_LEAF_BYTES];
    char controller[16];

    if (strncmp(setting->file, "memory.", 7) == 0)
        return write_direct(change, setting);
    (void)snprintf(controller, sizeof(controller), "%.*s", (int)strcspn(setting->file, "."),
                   setting->file);
    (void)snprintf(group, sizeof(group), "%s/%s", change->cgroups->path, change->leaf);
    int result = cgroup_lib_write(group, controller, setting, 1);
    return result == -ENODEV ? write_direct(change, setting) : result;
}

static int write_checked(const struct change *change, const struct cgroup_setting *setting)
{
    int result = write_setting(change, setting);

    if (result < 0)
        fault_set(change->fault, STATUS_FAILED, -result, "%s/%s/%s: cannot write %s",
                  change->cgroups->path, change->leaf, setting->file, setting->value);
    return result;
}

static int refuse_busy(const struct change *change, const char *key, uint64_t used_bytes)
{
    fault_set(change->fault, STATUS_BUSY, EBUSY, "%s: uses %u bytes", key, used_bytes);
    fault_hint(change->fault, "nothing is changed; a limit below use would kill");
    return -EBUSY;
}

/* ---- memory, v2 ---- */

/* With high below the new limit by a share of it, usage cannot run past the limit between the
 * reading of it and the writing of the limit: who allocates above high is made to reclaim and to
 * sleep. */
static uint64_t high_for(uint64_t max_bytes)
{
    return max_bytes - max_bytes / 16;
}

static int lower_v2(const struct change *change, const struct cgroup_setting *max)
{
    struct cgroup_setting high = {.file = "memory.high"};
    struct cgroup_setting before = {.file = "memory.high"};
    uint64_t max_bytes = strtoull(max->value, NULL, 10);
    uint64_t high_bytes = read_number(change, "memory.high");

    (void)snprintf(high.value, sizeof(high.value), "%" PRIu64, high_for(max_bytes));
    if (high_bytes == LIMIT_NONE)
        (void)snprintf(before.value, sizeof(before.value), "max");
    else
        (void)snprintf(before.value, sizeof(before.value), "%" PRIu64, high_bytes);

    int result = write_checked(change, &high);
    if (result < 0)
        return result;
    uint64_t used_bytes = read_number(change, "memory.current");
    if (used_bytes <= max_bytes)
        result = write_checked(change, max);
    else
        result = refuse_busy(change, "memory", used_bytes);
    int restored = write_direct(change, &before);
    if (result == 0 && restored < 0) {
        fault_set(change->fault, STATUS_FAILED, -restored, "%s/%s/memory.high: cannot write %s",
                  change->cgroups->path, change->leaf, before.value);
        return restored;
    }
    return result;
}

/* settings: memory.max and, where swap is counted, memory.swap.max, which no use forbids. */
static int set_memory_v2(const struct change *change, const struct cgroup_setting *settings)
{
    uint64_t max_bytes =
        settings[0].is_default ? LIMIT_NONE : strtoull(settings[0].value, NULL, 10);
    bool is_lower = max_bytes < read_number(change, settings[0].file);

    int result = is_lower ? lower_v2(change, &settings[0]) : write_checked(change, &settings[0]);
    if (result == 0 && change->hierarchy->has_swap)
        result = write_checked(change, &settings[1]);
    return result;
}

/* ---- memory, v1 ---- */

static void setting_of(const struct change *change, const char *file, struct cgroup_setting *ret)
{
    uint64_t number = read_number(change, file);

    *ret = (struct cgroup_setting){.file = file};
    if (number == LIMIT_NONE)
        (void)snprintf(ret->value, sizeof(ret->value), "-1");
    else
        (void)snprintf(ret->value, sizeof(ret->value), "%" PRIu64, number);
}

static int write_or_busy(const struct change *change, const struct cgroup_setting *setting)
{
    bool is_sum = strstr(setting->file, "memsw") != NULL;
    int result = write_setting(change, setting);

    if (result == -EBUSY)
        return refuse_busy(
            change, is_sum ? "memory and swap" : "memory",
            read_number(change, is_sum ? "memory.memsw.usage_in_bytes" : "memory.usage_in_bytes"));
    if (result < 0)
        fault_set(change->fault, STATUS_FAILED, -result, "%s/%s/%s: cannot write %s",
                  change->cgroups->path, change->leaf, setting->file, setting->value);
    return result;
}

/* The sum is never below the limit: it grows before, and shrinks after it. */
static int set_memory_v1(const struct change *change, const struct cgroup_setting *settings)
{
    const struct cgroup_setting *limit = &settings[0];
    const struct cgroup_setting *sum = &settings[1];
    struct cgroup_setting before;

    if (!change->hierarchy->has_swap)
        return write_or_busy(change, limit);
    uint64_t sum_bytes = sum->is_default ? LIMIT_NONE : strtoull(sum->value, NULL, 10);
    bool is_grown = sum_bytes >= read_number(change, sum->file);
    const struct cgroup_setting *first = is_grown ? sum : limit;
    const struct cgroup_setting *second = is_grown ? limit : sum;

    setting_of(change, first->file, &before);
    int result = write_or_busy(change, first);
    if (result < 0)
        return result;
    result = write_or_busy(change, second);
    if (result < 0)
        (void)write_direct(change, &before); /* it was in force a moment ago; the fault is told */
    return result;
}

/* ---- all ---- */

/* Back to what PATH, and so each new group, has. */
static int restore_swappiness(const struct change *change)
{
    struct cgroup_setting usual = {.file = "memory.swappiness"};
    int length =
        sys_read_text_at(change->hierarchy->path, usual.file, usual.value, sizeof(usual.value));

    return length < 0 ? length : write_checked(change, &usual);
}

static int set_in(const struct change *change, const struct cgroup_limits *limits)
{
    const struct cgroup_hierarchy *hierarchy = change->hierarchy;
    struct cgroup_setting settings[CGROUP_SETTINGS_MAX];
    size_t count = cgroup_limits_list(hierarchy, limits, settings);
    size_t next = 0;
    int result = 0;

    if (hierarchy->has_memory) {
        result =
            hierarchy->is_v2 ? set_memory_v2(change, settings) : set_memory_v1(change, settings);
        next = hierarchy->has_swap ? 2 : 1;
    }
    if (result == 0 && hierarchy->has_memory && !hierarchy->is_v2 && limits->swap_max_bytes != 0)
        result = restore_swappiness(change);
    for (; result == 0 && next < count; next++)
        result = write_checked(change, &settings[next]);
    return result;
}

int cgroup_set(struct cgroups *cgroups, const struct cgroup *cgroup,
               const struct cgroup_limits *limits, struct fault *fault)
{
    struct change change = {.cgroups = cgroups, .leaf = cgroup->leaf, .fault = fault};
    int result = cgroup_check(cgroups, limits, fault);

    /* The one that can be refused first; a refusal then leaves all as it was. */
    for (int is_memory = 1; is_memory >= 0; is_memory--) {
        for (size_t i = 0; result == 0 && i < cgroups->count; i++) {
            change.hierarchy = &cgroups->hierarchies[i];
            if (change.hierarchy->path >= 0 && change.hierarchy->has_memory == (is_memory == 1))
                result = set_in(&change, limits);
        }
    }
    return result;
}
