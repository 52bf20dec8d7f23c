/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of each key of an LXC configuration.
 */
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "import_lxc.h"
#include "units.h"

#define SHARES_EACH 1024 /* cpu.shares and cpu.weight that stand for the same by default */
#define WEIGHT_EACH 100
#define WEIGHT_MAX 10000
#define PERIOD_US 100000 /* of the processor's quota, unless said */

/* ---- limits ---- */

/* "512M", "max", "-1": octets, as the kernel's memparse() reads them. */
static bool read_size(const char *text, uint64_t *ret_bytes)
{
    char upper[32];
    size_t length = strlen(text);

    if (strcmp(text, "-1") == 0)
        text = "max";
    if (length >= sizeof(upper))
        return false;
    for (size_t i = 0; i <= length; i++)
        upper[i] = strcmp(text, "max") != 0 && text[i] >= 'a' && text[i] <= 'z'
                       ? (char)(text[i] - 'a' + 'A')
                       : text[i];
    if (!size_parse(upper, ret_bytes))
        return false;
    if (*ret_bytes > INT64_MAX - 65536) /* what v1 shows for none */
        *ret_bytes = LIMIT_NONE;
    return true;
}

static const char *size_text(struct import *import, uint64_t bytes)
{
    if (bytes == LIMIT_NONE)
        return "max";
    return bytes != 0 && bytes % (1 << 20) == 0
               ? import_format(import, "%lluM", (unsigned long long)(bytes >> 20))
               : import_format(import, "%llu", (unsigned long long)bytes);
}

static void map_memory(struct lxc *lxc, const struct import_parameter *entry)
{
    uint64_t bytes = 0;

    if (!read_size(entry->value, &bytes) || bytes == 0)
        import_skip(lxc->import, entry, "not a size, or 0");
    else if (import_is_given(lxc->import, OPTION_MEMORY))
        import_skip(lxc->import, entry, "the same was given for the other version of cgroups");
    else
        import_map(lxc->import, entry, OPTION_MEMORY, size_text(lxc->import, bytes), NULL);
}

static void map_swap(struct lxc *lxc, const struct import_parameter *entry)
{
    uint64_t bytes = 0;

    if (!read_size(entry->value, &bytes))
        import_skip(lxc->import, entry, "not a size");
    else if (import_is_given(lxc->import, OPTION_SWAP))
        import_skip(lxc->import, entry, "the same was given for the other version of cgroups");
    else
        import_map(lxc->import, entry, OPTION_SWAP, size_text(lxc->import, bytes), NULL);
}

/* v1's limit is of memory and swap together. */
static void map_memory_and_swap(struct lxc *lxc, const struct import_parameter *entry)
{
    const char *memory = lxc_find(lxc, "lxc.cgroup.memory.limit_in_bytes");
    uint64_t memory_bytes = 0;
    uint64_t both_bytes = 0;

    if (memory == NULL || !read_size(memory, &memory_bytes) ||
        !read_size(entry->value, &both_bytes))
        import_skip(lxc->import, entry, "not a size, or without memory.limit_in_bytes");
    else if (import_is_given(lxc->import, OPTION_SWAP))
        import_skip(lxc->import, entry, "the same was given for the other version of cgroups");
    else if (both_bytes == LIMIT_NONE || both_bytes < memory_bytes)
        import_map(lxc->import, entry, OPTION_SWAP, both_bytes == LIMIT_NONE ? "max" : "0", NULL);
    else
        import_map(lxc->import, entry, OPTION_SWAP,
                   size_text(lxc->import, both_bytes - memory_bytes),
                   "what is left of it for swap");
}

static void map_pids(struct lxc *lxc, const struct import_parameter *entry)
{
    uint64_t count = 0;
    bool is_none = strcmp(entry->value, "max") == 0;

    if (!is_none && (!number_read(entry->value, &count) || count == 0))
        import_skip(lxc->import, entry, "not a count");
    else if (import_is_given(lxc->import, OPTION_PIDS))
        import_skip(lxc->import, entry, "the same was given for the other version of cgroups");
    else
        import_map(lxc->import, entry, OPTION_PIDS, entry->value, NULL);
}

static void map_weight(struct lxc *lxc, const struct import_parameter *entry, uint64_t weight)
{
    const char *why = weight > WEIGHT_MAX ? "the largest weight that there is" : NULL;

    weight = weight == 0 ? 1 : weight > WEIGHT_MAX ? WEIGHT_MAX : weight;
    if (import_is_given(lxc->import, OPTION_CPU_WEIGHT))
        import_skip(lxc->import, entry, "the same was given for the other version of cgroups");
    else
        import_map(lxc->import, entry, OPTION_CPU_WEIGHT,
                   import_format(lxc->import, "%u", (unsigned)weight), why);
}

static void map_shares(struct lxc *lxc, const struct import_parameter *entry)
{
    uint64_t shares = 0;

    if (!number_read(entry->value, &shares) || shares > UINT32_MAX)
        import_skip(lxc->import, entry, "not a number");
    else
        map_weight(lxc, entry, shares * WEIGHT_EACH / SHARES_EACH);
}

static void map_cpu_weight(struct lxc *lxc, const struct import_parameter *entry)
{
    uint64_t weight = 0;

    if (!number_read(entry->value, &weight))
        import_skip(lxc->import, entry, "not a number");
    else
        map_weight(lxc, entry, weight);
}

static void map_quota(struct lxc *lxc, const struct import_parameter *entry, const char *quota,
                      const char *period)
{
    uint64_t quota_us = 0;
    uint64_t period_us = PERIOD_US;

    if (strcmp(quota, "max") == 0 || strcmp(quota, "-1") == 0) {
        import_skip(lxc->import, entry, "no limit");
        return;
    }
    bool is_quota = number_read(quota, &quota_us) && quota_us < UINT32_MAX &&
                    (period == NULL || number_read(period, &period_us)) && period_us > 0;
    uint64_t milli = is_quota ? quota_us * 1000 / period_us : 0;
    if (milli == 0 || milli / 1000 > 9999)
        import_skip(lxc->import, entry, "not a quota of processor time");
    else if (import_is_given(lxc->import, OPTION_CPUS))
        import_skip(lxc->import, entry, "the same was given for the other version of cgroups");
    else
        import_map(lxc->import, entry, OPTION_CPUS,
                   import_format(lxc->import, "%u.%03u", (unsigned)(milli / 1000),
                                 (unsigned)(milli % 1000)),
                   NULL);
}

static void map_cpu_max(struct lxc *lxc, const struct import_parameter *entry)
{
    char *words = import_copy(lxc->import, entry->value, strlen(entry->value));
    const char *quota = import_word(&words, " \t");
    const char *period = quota == NULL ? NULL : import_word(&words, " \t");

    map_quota(lxc, entry, quota == NULL ? "" : quota, period);
}

static void map_cfs_quota(struct lxc *lxc, const struct import_parameter *entry)
{
    map_quota(lxc, entry, entry->value, lxc_find(lxc, "lxc.cgroup.cpu.cfs_period_us"));
}

/* ---- what it is ---- */

static void map_root(struct lxc *lxc, const struct import_parameter *entry)
{
    const char *idmap = lxc_find(lxc, "lxc.idmap");
    const char *options = lxc_find(lxc, "lxc.rootfs.options");
    bool is_shifted = idmap != NULL && (options == NULL || strstr(options, "idmap=") == NULL);

    if (lxc->root == NULL)
        import_skip(lxc->import, entry, "made from the template that was given instead");
    else
        import_map(lxc->import, entry, OPTION_ROOT, lxc->root,
                   is_shifted ? "its files' owners are shifted by lxc.idmap: shift them back first"
                              : NULL);
}

static void map_uts(struct lxc *lxc, const struct import_parameter *entry)
{
    if (strcmp(entry->value, lxc->import->name) == 0)
        import_note(lxc->import, entry, import_format(lxc->import, "NAME %s", lxc->import->name),
                    NULL);
    else
        import_map(lxc->import, entry, OPTION_LABEL,
                   import_format(lxc->import, "hostname=%s", entry->value),
                   "a label alone: the guest's hostname is the container's name");
}

static void map_init(struct lxc *lxc, const struct import_parameter *entry)
{
    size_t length = strcspn(entry->value, " \t");

    if (entry->value[0] != '/')
        import_skip(lxc->import, entry, "not a path from /");
    else
        import_map(lxc->import, entry, OPTION_INIT, import_copy(lxc->import, entry->value, length),
                   entry->value[length] == '\0' ? NULL : "without its arguments");
}

static void map_environment(struct lxc *lxc, const struct import_parameter *entry)
{
    const char *sign = strchr(entry->value, '=');

    if (sign == NULL || sign == entry->value)
        import_skip(lxc->import, entry, "of LXC's own environment: give it with --env");
    else
        import_map(lxc->import, entry, OPTION_ENV, entry->value, NULL);
}

static void map_group(struct lxc *lxc, const struct import_parameter *entry)
{
    const char *group = entry->value;

    for (size_t i = 0; i < lxc->import->given_count; i++)
        if (lxc->import->given[i].option == OPTION_LABEL &&
            strncmp(lxc->import->given[i].value, "group=", 6) == 0) {
            import_skip(lxc->import, entry, "a label has one value: the first group's");
            return;
        }
    import_map(lxc->import, entry, OPTION_LABEL, import_format(lxc->import, "group=%s", group),
               NULL);
}

/* PROGRAM [ARGUMENTS], run on the host before all mounts, or after all is gone. */
static void map_hook(struct lxc *lxc, const struct import_parameter *entry)
{
    bool is_up = strcmp(entry->name, "lxc.hook.pre-start") == 0;
    const char *point = is_up ? "premount" : "postumount";
    size_t length = strlen(point);

    for (size_t i = 0; i < lxc->import->given_count; i++)
        if (lxc->import->given[i].option == OPTION_HOOK &&
            strncmp(lxc->import->given[i].value, point, length) == 0) {
            import_skip(lxc->import, entry, "a container has one hook at each point");
            return;
        }
    if (entry->value[0] != '/' || strpbrk(entry->value, " \t") != NULL ||
        strlen(entry->value) > HOOK_PATH_BYTES_MAX)
        import_skip(lxc->import, entry, "not a path from /, without arguments");
    else
        import_map(lxc->import, entry, OPTION_HOOK,
                   import_format(lxc->import, "%s=%s", point, entry->value),
                   "DROVER_NAME, DROVER_ROOT are in its environment, not LXC_*");
}

static void map_auto(struct lxc *lxc, const struct import_parameter *entry)
{
    bool is_no = strcmp(entry->value, "0") == 0;

    if (is_no || strcmp(entry->value, "1") == 0)
        import_map(lxc->import, entry, OPTION_AUTOSTART, is_no ? "no" : "yes", NULL);
    else
        import_skip(lxc->import, entry, "neither 0 nor 1");
}

/* ---- the table ---- */

#define NETWORK "this version sets up no network"
#define NAMESPACES "each container has all namespaces of its own"
#define SECURITY "this version has one set of capabilities and calls for all"
#define LABELS "this version sets no label of a security module"
#define CONSOLE "each container has one console, kept by the node"
#define HOOKS "this version has no hook at this point"
#define SIGNALS "each init is asked in the way that it understands"
#define LOGGING "of LXC's own logging"
#define LIMITS "this version sets the same limits of processes for all"
#define CPUSET "this version cannot pin a container to processors"
#define INPUT_OUTPUT "this version has no limits of input and output"
#define DEVICES "this version has one list of devices for all"
#define DISTRIBUTION "about how it was made: the root is there already"

static const struct lxc_rule rules[] = {
    {"lxc.rootfs.path", "lxc.rootfs", map_root, false, NULL},
    {"lxc.rootfs.backend", NULL, NULL, false, "the root is taken as a directory"},
    {"lxc.rootfs.mount", NULL, NULL, false, "nothing is mounted on the host"},
    {"lxc.rootfs.options", NULL, NULL, false, "a root is mounted in one way for all"},
    {"lxc.rootfs.managed", NULL, NULL, false, "a directory that was given is never removed"},
    {"lxc.uts.name", "lxc.utsname", map_uts, false, NULL},
    {"lxc.arch", NULL, NULL, false, "a guest runs as what it is"},
    {"lxc.init.cmd", "lxc.init_cmd", map_init, false, NULL},
    {"lxc.init.uid", "lxc.init_uid", NULL, false, "init runs as root of the container"},
    {"lxc.init.gid", "lxc.init_gid", NULL, false, "init runs as root of the container"},
    {"lxc.init.groups", NULL, NULL, false, "init runs without further groups"},
    {"lxc.init.cwd", NULL, NULL, false, "init begins in /"},
    {"lxc.execute.cmd", NULL, NULL, false, "of lxc-execute"},
    {"lxc.environment", NULL, map_environment, true, NULL},
    {"lxc.environment.*", NULL, NULL, true, "given with --env"},
    {"lxc.ephemeral", NULL, NULL, false, "a container is destroyed by `destroy` alone"},
    {"lxc.idmap", "lxc.id_map", NULL, true, "each container gets a range of 65536 ids of its own"},
    {"lxc.include", NULL, NULL, true, "cannot be read"},

    {"lxc.mount.entry", NULL, lxc_map_mount, true, NULL},
    {"lxc.mount.fstab", "lxc.mount", lxc_map_fstab, false, NULL},
    {"lxc.mount.auto", NULL, NULL, true,
     "proc, sys and a cgroup of its own are mounted in each container"},
    {"lxc.autodev", NULL, NULL, false, "each container has a /dev of its own"},
    {"lxc.autodev.*", NULL, NULL, false, "each container has a /dev of its own"},

    {"lxc.cgroup.memory.limit_in_bytes", NULL, map_memory, false, NULL},
    {"lxc.cgroup2.memory.max", NULL, map_memory, false, NULL},
    {"lxc.cgroup.memory.memsw.limit_in_bytes", NULL, map_memory_and_swap, false, NULL},
    {"lxc.cgroup2.memory.swap.max", NULL, map_swap, false, NULL},
    {"lxc.cgroup.pids.max", NULL, map_pids, false, NULL},
    {"lxc.cgroup2.pids.max", NULL, map_pids, false, NULL},
    {"lxc.cgroup.cpu.shares", NULL, map_shares, false, NULL},
    {"lxc.cgroup2.cpu.weight", NULL, map_cpu_weight, false, NULL},
    {"lxc.cgroup.cpu.cfs_quota_us", NULL, map_cfs_quota, false, NULL},
    {"lxc.cgroup.cpu.cfs_period_us", NULL, NULL, false, "taken with cpu.cfs_quota_us"},
    {"lxc.cgroup2.cpu.max", NULL, map_cpu_max, false, NULL},
    {"lxc.cgroup.cpuset.*", NULL, NULL, false, CPUSET},
    {"lxc.cgroup2.cpuset.*", NULL, NULL, false, CPUSET},
    {"lxc.cgroup.devices.*", NULL, NULL, true, DEVICES},
    {"lxc.cgroup2.devices.*", NULL, NULL, true, DEVICES},
    {"lxc.cgroup.blkio.*", NULL, NULL, true, INPUT_OUTPUT},
    {"lxc.cgroup2.io.*", NULL, NULL, true, INPUT_OUTPUT},
    {"lxc.cgroup.memory.soft_limit_in_bytes", NULL, NULL, false, "this version protects no memory"},
    {"lxc.cgroup2.memory.low", NULL, NULL, false, "this version protects no memory"},
    {"lxc.cgroup2.memory.min", NULL, NULL, false, "this version protects no memory"},
    {"lxc.cgroup2.memory.high", NULL, NULL, false, "this version has a hard limit of memory alone"},
    {"lxc.cgroup.dir*", NULL, NULL, false, "the node names the groups of its containers"},
    {"lxc.cgroup.relative", NULL, NULL, false, "the node names the groups of its containers"},
    {"lxc.cgroup.*", NULL, NULL, true, "this version has no such limit"},
    {"lxc.cgroup2.*", NULL, NULL, true, "this version has no such limit"},

    {"lxc.net.*", NULL, NULL, true, NETWORK},
    {"lxc.net", NULL, NULL, true, NETWORK},
    {"lxc.network.*", NULL, NULL, true, NETWORK},
    {"lxc.network", NULL, NULL, true, NETWORK},

    {"lxc.tty.*", NULL, NULL, false, CONSOLE},
    {"lxc.tty", NULL, NULL, false, CONSOLE},
    {"lxc.devttydir", NULL, NULL, false, CONSOLE},
    {"lxc.pty.max", "lxc.pts", NULL, false, "each container has its own devpts"},
    {"lxc.console.*", NULL, NULL, false, CONSOLE},
    {"lxc.console", NULL, NULL, false, CONSOLE},
    {"lxc.kmsg", NULL, NULL, false, "a guest does not see the kernel's log"},

    {"lxc.cap.*", NULL, NULL, true, SECURITY},
    {"lxc.seccomp.*", NULL, NULL, false, SECURITY},
    {"lxc.seccomp", NULL, NULL, false, SECURITY},
    {"lxc.no_new_privs", NULL, NULL, false, "guests have programs with setuid"},
    {"lxc.keyring.*", NULL, NULL, false, "each container has keyrings of its own"},
    {"lxc.apparmor.*", NULL, NULL, true, LABELS},
    {"lxc.aa_*", NULL, NULL, false, LABELS},
    {"lxc.selinux.*", NULL, NULL, false, LABELS},
    {"lxc.se_context", NULL, NULL, false, LABELS},
    {"lxc.namespace.*", NULL, NULL, true, NAMESPACES},
    {"lxc.time.*", NULL, NULL, false, "a guest's uptime begins at 0"},
    {"lxc.prlimit.*", NULL, NULL, false, LIMITS},
    {"lxc.limit.*", NULL, NULL, false, LIMITS},
    {"lxc.sysctl.*", NULL, NULL, false, "a guest sets its own sysctls"},
    {"lxc.proc.*", NULL, NULL, false, LIMITS},
    {"lxc.sched.*", NULL, NULL, false, CPUSET},

    {"lxc.signal.halt", "lxc.haltsignal", NULL, false, SIGNALS},
    {"lxc.signal.reboot", "lxc.rebootsignal", NULL, false, SIGNALS},
    {"lxc.signal.stop", "lxc.stopsignal", NULL, false, "what is killed is killed whole"},
    {"lxc.start.auto", NULL, map_auto, false, NULL},
    {"lxc.start.order", NULL, NULL, false,
     "LXC starts lower ones first: give --order, higher ones first"},
    {"lxc.start.delay", NULL, NULL, false, "no container is waited for by a clock"},
    {"lxc.start.unshare", NULL, NULL, false, NAMESPACES},
    {"lxc.group", NULL, map_group, true, NULL},
    {"lxc.monitor.*", NULL, NULL, false, "there is no monitor of each container"},
    {"lxc.hook.pre-start", NULL, map_hook, true, NULL},
    {"lxc.hook.post-stop", NULL, map_hook, true, NULL},
    {"lxc.hook.*", NULL, NULL, true, HOOKS},
    {"lxc.log.*", NULL, NULL, false, LOGGING},
    {"lxc.loglevel", NULL, NULL, false, LOGGING},
    {"lxc.logfile", NULL, NULL, false, LOGGING},
    {"lxc.syslog", NULL, NULL, false, LOGGING},
    {"lxc.template.*", NULL, NULL, false, DISTRIBUTION},
};

static bool is_named(const char *pattern, const char *name)
{
    size_t length = pattern == NULL ? 0 : strlen(pattern);

    if (length == 0)
        return false;
    return pattern[length - 1] == '*' ? strncmp(pattern, name, length - 1) == 0
                                      : strcmp(pattern, name) == 0;
}

const struct lxc_rule *lxc_rule_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        if (is_named(rules[i].name, name) || is_named(rules[i].old, name))
            return &rules[i];
    return NULL;
}
