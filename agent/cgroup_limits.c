/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits as the files of v1 and v2 say them, what of them can be said at all, and their change in a
 * group that is in use.
 */
#include "cgroup_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "ensure.h"
#include "message.h"
#include "sys.h"

#define CPU_PERIOD_US 100000 /* the kernel's own default, in v1 and v2 */
#define CPU_MILLI_MIN 10     /* 1 ms a period: min_cfs_quota_period, kernel/sched/core.c */
#define CPU_WEIGHT_MIN 1
#define CPU_WEIGHT_MAX 10000
#define CPU_WEIGHT_DEFAULT 100
#define PIDS_MAX 4194304 /* PID_MAX_LIMIT, linux/threads.h; pids.max takes no more */

/* ---- files and values ---- */

struct setting_list {
    struct cgroup_setting *settings;
    size_t count;
};

static struct cgroup_setting *add(struct setting_list *list, const char *file, bool is_default)
{
    ENSURE(list->count < CGROUP_SETTINGS_MAX);
    struct cgroup_setting *setting = &list->settings[list->count++];

    setting->file = file;
    setting->is_default = is_default;
    return setting;
}

static void add_number(struct setting_list *list, const char *file, uint64_t number,
                       const char *none)
{
    struct cgroup_setting *setting = add(list, file, number == LIMIT_NONE);

    if (number == LIMIT_NONE)
        (void)snprintf(setting->value, sizeof(setting->value), "%s", none);
    else
        (void)snprintf(setting->value, sizeof(setting->value), "%" PRIu64, number);
}

/* v1 counts memory and swap together. */
static uint64_t memory_and_swap(const struct cgroup_limits *limits)
{
    uint64_t memory = limits->memory_max_bytes;
    uint64_t swap = limits->swap_max_bytes;

    if (memory == LIMIT_NONE || swap == LIMIT_NONE || swap >= LIMIT_NONE - memory)
        return LIMIT_NONE;
    return memory + swap;
}

static void add_memory(struct setting_list *list, const struct cgroup_hierarchy *hierarchy,
                       const struct cgroup_limits *limits)
{
    if (hierarchy->is_v2) {
        add_number(list, "memory.max", limits->memory_max_bytes, "max");
        if (hierarchy->has_swap)
            add_number(list, "memory.swap.max", limits->swap_max_bytes, "max");
        return;
    }
    add_number(list, "memory.limit_in_bytes", limits->memory_max_bytes, "-1");
    if (hierarchy->has_swap)
        add_number(list, "memory.memsw.limit_in_bytes", memory_and_swap(limits), "-1");
}

/* As systemd and libcgroup convert: 100 is 1024. */
static void add_weight(struct setting_list *list, const struct cgroup_hierarchy *hierarchy,
                       const struct cgroup_limits *limits)
{
    const char *file = hierarchy->is_v2 ? "cpu.weight" : "cpu.shares";
    uint32_t shares = limits->cpu_weight * 1024 / CPU_WEIGHT_DEFAULT;
    struct cgroup_setting *setting = add(list, file, limits->cpu_weight == CPU_WEIGHT_DEFAULT);

    (void)snprintf(setting->value, sizeof(setting->value), "%" PRIu32,
                   hierarchy->is_v2 ? limits->cpu_weight : shares);
}

static void add_cpu(struct setting_list *list, const struct cgroup_hierarchy *hierarchy,
                    const struct cgroup_limits *limits)
{
    const char *file = hierarchy->is_v2 ? "cpu.max" : "cpu.cfs_quota_us";
    uint64_t quota_us = (uint64_t)limits->cpu_milli * (CPU_PERIOD_US / 1000);
    struct cgroup_setting *setting = add(list, file, limits->cpu_milli == 0);

    if (limits->cpu_milli == 0)
        (void)snprintf(setting->value, sizeof(setting->value), "%s",
                       hierarchy->is_v2 ? "max" : "-1");
    else
        (void)snprintf(setting->value, sizeof(setting->value), "%" PRIu64, quota_us);
    add_weight(list, hierarchy, limits);
}

size_t cgroup_limits_list(const struct cgroup_hierarchy *hierarchy,
                          const struct cgroup_limits *limits,
                          struct cgroup_setting settings[CGROUP_SETTINGS_MAX])
{
    struct setting_list list = {.settings = settings};

    if (hierarchy->has_memory)
        add_memory(&list, hierarchy, limits);
    /* Where no limit can keep a group out of swap (v1 without a memory limit, or without swap
     * accounting), this keeps its own reclaim out. LIMIT: the host's reclaim may still swap it. */
    if (hierarchy->has_memory && !hierarchy->is_v2 && limits->swap_max_bytes == 0)
        (void)snprintf(add(&list, "memory.swappiness", false)->value, sizeof(settings->value), "0");
    if (hierarchy->has_pids)
        add_number(&list, "pids.max", limits->pids_max, "max");
    if (hierarchy->has_cpu)
        add_cpu(&list, hierarchy, limits);
    return list.count;
}

/* ---- what can be said ---- */

static const struct cgroup_hierarchy *find_memory(const struct cgroups *cgroups)
{
    for (size_t i = 0; i < cgroups->count; i++)
        if (cgroups->hierarchies[i].has_memory)
            return &cgroups->hierarchies[i];
    return NULL;
}

static int refuse(struct fault *fault, enum status status, const char *key, const char *why)
{
    fault_set(fault, status, EINVAL, "%s: %s", key, why);
    return -EINVAL;
}

static int check_memory(const struct cgroups *cgroups, const struct cgroup_limits *limits,
                        struct fault *fault)
{
    const struct cgroup_hierarchy *memory = find_memory(cgroups);
    bool has_limit = limits->memory_max_bytes != LIMIT_NONE;
    bool has_swap_limit = limits->swap_max_bytes != LIMIT_NONE && limits->swap_max_bytes != 0;

    if (limits->memory_max_bytes < (uint64_t)sysconf(_SC_PAGESIZE))
        return refuse(fault, STATUS_INVALID, "memory", "less than one page");
    if (memory == NULL && (has_limit || limits->swap_max_bytes != LIMIT_NONE))
        return refuse(fault, STATUS_UNSUPPORTED, has_limit ? "memory" : "swap",
                      "this host has no memory controller");
    if (!has_swap_limit)
        return 0; /* none and 0 are for every host: see cgroup_limits_list() */
    if (!memory->has_swap)
        return refuse(fault, STATUS_UNSUPPORTED, "swap",
                      "this host does not count swap (swapaccount=1); 0 and max are possible");
    if (!memory->is_v2 && !has_limit)
        return refuse(fault, STATUS_INVALID, "swap",
                      "this host (cgroup v1) limits it only together with memory");
    return 0;
}

static bool has_cpu(const struct cgroups *cgroups)
{
    for (size_t i = 0; i < cgroups->count; i++)
        if (cgroups->hierarchies[i].has_cpu)
            return true;
    return false;
}

static bool has_pids(const struct cgroups *cgroups)
{
    for (size_t i = 0; i < cgroups->count; i++)
        if (cgroups->hierarchies[i].has_pids)
            return true;
    return false;
}

int cgroup_check(const struct cgroups *cgroups, const struct cgroup_limits *limits,
                 struct fault *fault)
{
    int result = check_memory(cgroups, limits, fault);

    if (result < 0)
        return result;
    if (limits->pids_max == 0)
        return refuse(fault, STATUS_INVALID, "pids", "0 leaves no room for init");
    if (limits->pids_max != LIMIT_NONE && limits->pids_max > PIDS_MAX)
        return refuse(fault, STATUS_INVALID, "pids", "more than 4194304, the kernel's own bound");
    if (limits->pids_max != LIMIT_NONE && !has_pids(cgroups))
        return refuse(fault, STATUS_UNSUPPORTED, "pids",
                      "this host has no pids controller (it can have max)");
    if (limits->cpu_milli != 0 && limits->cpu_milli < CPU_MILLI_MIN)
        return refuse(fault, STATUS_INVALID, "cpus", "less than 0.01, which the kernel refuses");
    if (limits->cpu_weight < CPU_WEIGHT_MIN || limits->cpu_weight > CPU_WEIGHT_MAX)
        return refuse(fault, STATUS_INVALID, "cpu-weight", "not in 1..10000");
    if (!has_cpu(cgroups) && limits->cpu_milli != 0)
        return refuse(fault, STATUS_UNSUPPORTED, "cpus", "this host has no cpu controller");
    if (!has_cpu(cgroups) && limits->cpu_weight != CPU_WEIGHT_DEFAULT)
        return refuse(fault, STATUS_UNSUPPORTED, "cpu-weight", "this host has no cpu controller");
    return 0;
}

uint64_t cgroup_read_key(const char *text, const char *key, uint64_t missing)
{
    size_t length = strlen(key);

    for (const char *line = text; line != NULL && *line != '\0';) {
        if (strncmp(line, key, length) == 0 && line[length] == ' ')
            return strtoull(line + length + 1, NULL, 10);
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return missing;
}
