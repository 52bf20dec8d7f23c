/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of each parameter of /etc/vz/conf/CTID.conf.
 */
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "import_openvz.h"
#include "units.h"

#define PAGE_BYTES 4096 /* OpenVZ ran on x86 alone */
#define BLANKS " \t\r\v\f"
#define CPU_UNITS_MIN 8
#define CPU_UNITS_MAX 500000
#define WEIGHT_MAX 10000

/* ---- memory and tasks ---- */

bool openvz_read_amount(const char *text, uint64_t unit_bytes, uint64_t *ret_bytes)
{
    static const struct {
        char letter;
        uint64_t bytes;
    } units[] = {{'B', 1},       {'P', PAGE_BYTES},        {'K', UINT64_C(1) << 10},
                 {'M', 1 << 20}, {'G', UINT64_C(1) << 30}, {'T', UINT64_C(1) << 40}};
    const char *colon = strchr(text, ':');
    char digits[24] = "";

    text = colon == NULL ? text : colon + 1;
    if (strcmp(text, "unlimited") == 0) {
        *ret_bytes = LIMIT_NONE;
        return true;
    }
    size_t length = strspn(text, "0123456789");
    uint64_t number = 0;
    if (length == 0 || length >= sizeof(digits))
        return false;
    memcpy(digits, text, length);
    if (!number_read(digits, &number))
        return false;
    if (text[length] != '\0') {
        char letter = text[length] >= 'a' ? (char)(text[length] - 'a' + 'A') : text[length];
        unit_bytes = 0;
        for (size_t i = 0; i < COUNT_OF(units); i++)
            if (units[i].letter == letter && text[length + 1] == '\0')
                unit_bytes = units[i].bytes;
        if (unit_bytes == 0)
            return false;
    }
    /* LONG_MAX of either word size stands for none. */
    if (number >= INT32_MAX * UINT64_C(4096) / unit_bytes && number >= INT32_MAX)
        number = LIMIT_NONE;
    if (number == LIMIT_NONE || __builtin_mul_overflow(number, unit_bytes, &number))
        number = LIMIT_NONE;
    *ret_bytes = number;
    return true;
}

static const char *size_text(struct import *import, uint64_t bytes)
{
    unsigned shift = 0;

    if (bytes == LIMIT_NONE)
        return "max";
    while (shift < 4 && bytes > 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        shift++;
    }
    const char letter[2] = {"\0KMGT"[shift], '\0'};
    return import_format(import, "%llu%s", (unsigned long long)bytes, letter);
}

static void map_amount(struct openvz *openvz, const struct import_parameter *parameter,
                       enum option option, uint64_t unit_bytes)
{
    uint64_t bytes = 0;

    if (!openvz_read_amount(parameter->value, unit_bytes, &bytes))
        import_skip(openvz->import, parameter, "not an amount");
    else if (bytes == 0 && option != OPTION_SWAP)
        import_skip(openvz->import, parameter, "a limit of 0 lets nothing run");
    else
        import_map(openvz->import, parameter, option,
                   option == OPTION_PIDS && bytes != LIMIT_NONE
                       ? import_format(openvz->import, "%llu", (unsigned long long)bytes)
                       : size_text(openvz->import, bytes),
                   NULL);
}

static void map_physpages(struct openvz *openvz, const struct import_parameter *parameter)
{
    map_amount(openvz, parameter, OPTION_MEMORY, PAGE_BYTES);
}

static void map_swappages(struct openvz *openvz, const struct import_parameter *parameter)
{
    map_amount(openvz, parameter, OPTION_SWAP, PAGE_BYTES);
}

static void map_numproc(struct openvz *openvz, const struct import_parameter *parameter)
{
    map_amount(openvz, parameter, OPTION_PIDS, 1);
}

static void map_slm(struct openvz *openvz, const struct import_parameter *parameter)
{
    if (openvz_find(openvz, "PHYSPAGES") != NULL)
        import_skip(openvz->import, parameter, "PHYSPAGES says it");
    else
        map_amount(openvz, parameter, OPTION_MEMORY, 1);
}

/* ---- processors ---- */

static const char *cpus_text(struct import *import, uint64_t milli)
{
    char *text = import_room(import, 32);

    (void)snprintf(text, 32, "%llu.%03u", (unsigned long long)(milli / 1000),
                   (unsigned)(milli % 1000));
    for (size_t length = strlen(text); text[length - 1] == '0' || text[length - 1] == '.';) {
        bool is_point = text[--length] == '.';
        text[length] = '\0';
        if (is_point)
            break;
    }
    return text;
}

/* Thousandths of a processor; 0: no limit, or none that could be read. */
static uint64_t read_cpulimit(const char *text)
{
    char digits[8] = "";
    uint64_t percent = 0;
    size_t length = text == NULL ? 0 : strspn(text, "0123456789");

    if (length == 0 || length >= sizeof(digits) ||
        (text[length] != '\0' && strcmp(text + length, "%") != 0))
        return 0;
    memcpy(digits, text, length);
    (void)number_read(digits, &percent);
    return percent * 10;
}

static uint64_t read_cpus(const char *text)
{
    uint64_t count = 0;

    return text != NULL && number_read(text, &count) && count <= 4096 ? count * 1000 : 0;
}

static void map_cpulimit(struct openvz *openvz, const struct import_parameter *parameter)
{
    uint64_t limit_milli = read_cpulimit(parameter->value);
    uint64_t cpus_milli = read_cpus(openvz_find(openvz, "CPUS"));

    if (strcmp(parameter->value, "0") == 0)
        import_skip(openvz->import, parameter, "0 is no limit");
    else if (limit_milli == 0)
        import_skip(openvz->import, parameter, "not in percent of one processor");
    else if (cpus_milli != 0 && cpus_milli < limit_milli)
        import_skip(openvz->import, parameter, "CPUS is the lower limit");
    else
        import_map(openvz->import, parameter, OPTION_CPUS, cpus_text(openvz->import, limit_milli),
                   NULL);
}

static void map_cpus(struct openvz *openvz, const struct import_parameter *parameter)
{
    uint64_t limit_milli = read_cpulimit(openvz_find(openvz, "CPULIMIT"));
    uint64_t cpus_milli = read_cpus(parameter->value);

    if (cpus_milli == 0)
        import_skip(openvz->import, parameter, "not a count of processors, or no limit");
    else if (limit_milli != 0 && limit_milli <= cpus_milli)
        import_skip(openvz->import, parameter, "CPULIMIT is the lower limit");
    else
        import_map(openvz->import, parameter, OPTION_CPUS, cpus_text(openvz->import, cpus_milli),
                   "as a quota: the guest still sees all processors");
}

static void map_units(struct openvz *openvz, const struct import_parameter *parameter)
{
    uint64_t units = 0;

    if (!number_read(parameter->value, &units) || units < CPU_UNITS_MIN || units > CPU_UNITS_MAX) {
        import_skip(openvz->import, parameter, "not from 8 to 500000");
        return;
    }
    uint64_t weight = units / 10 == 0 ? 1 : units / 10;
    const char *why = NULL;
    if (weight > WEIGHT_MAX) {
        weight = WEIGHT_MAX;
        why = "the largest weight that the kernel has";
    }
    import_map(openvz->import, parameter, OPTION_CPU_WEIGHT,
               import_format(openvz->import, "%u", (unsigned)weight), why);
}

/* ---- root and mounts ---- */

static void map_private(struct openvz *openvz, const struct import_parameter *parameter)
{
    if (openvz->root == NULL)
        import_skip(openvz->import, parameter, openvz->root_why);
    else
        import_map(openvz->import, parameter, OPTION_ROOT, openvz->root, NULL);
}

/* [SRC:]DST[,nosuid][,noexec][,nodev]: what it allows, less what every bind has taken away. */
static void map_bind(struct openvz *openvz, const struct import_parameter *parameter)
{
    struct import *import = openvz->import;
    char *text = import_copy(import, parameter->value, strlen(parameter->value));
    const char *why = NULL;
    bool is_read_only = false;

    char *options = strchr(text, ',');
    if (options != NULL)
        *options++ = '\0';
    for (char *word; options != NULL && (word = import_word(&options, ",")) != NULL;) {
        is_read_only = is_read_only || strcmp(word, "ro") == 0;
        if (strcmp(word, "noexec") == 0)
            why = "without noexec: binds have nosuid and nodev alone";
    }
    char *target = strchr(text, ':');
    if (target != NULL)
        *target++ = '\0';
    if (target == NULL)
        import_skip(import, parameter, "no source: it is a part of the private area already");
    else if (text[0] != '/' || target[0] != '/' || target[1] == '\0' || strchr(target, ':') != NULL)
        import_skip(import, parameter, "not SRC:DST with paths from /");
    else
        import_map(import, parameter, OPTION_BIND,
                   import_format(import, "%s:%s%s", text, target, is_read_only ? ":ro" : ""), why);
}

static void map_words(struct openvz *openvz, const struct import_parameter *parameter,
                      void (*map)(struct openvz *openvz, const struct import_parameter *parameter))
{
    struct import *import = openvz->import;
    char *words = import_copy(import, parameter->value, strlen(parameter->value));
    size_t count = 0;

    for (char *word; (word = import_word(&words, BLANKS)) != NULL; count++) {
        const struct import_parameter part = {
            .file = parameter->file, .name = parameter->name, .value = word};
        map(openvz, &part);
    }
    if (count == 0)
        import_skip(import, parameter, "empty");
}

static void map_bindmount(struct openvz *openvz, const struct import_parameter *parameter)
{
    map_words(openvz, parameter, map_bind);
}

/* NAME:MODE, of /dev. */
static void map_device(struct openvz *openvz, const struct import_parameter *parameter)
{
    char *name = import_copy(openvz->import, parameter->value, strlen(parameter->value));
    char *mode = strchr(name, ':');

    if (mode != NULL)
        *mode++ = '\0';
    if (mode == NULL || strcmp(mode, "none") == 0)
        import_skip(openvz->import, parameter, "no device is allowed by it");
    else if (!import_device(openvz->import, parameter, name))
        import_skip(openvz->import, parameter, "net/tun and fuse alone can be given");
}

static void map_devices(struct openvz *openvz, const struct import_parameter *parameter)
{
    map_words(openvz, parameter, map_device);
}

/* ---- identity and policy ---- */

static void map_variable(struct openvz *openvz, const struct import_parameter *parameter)
{
    const char *sign = strchr(parameter->value, '=');

    if (sign == NULL || sign == parameter->value)
        import_skip(openvz->import, parameter, "not NAME=VALUE");
    else
        import_map(openvz->import, parameter, OPTION_ENV, parameter->value, NULL);
}

static void map_environment(struct openvz *openvz, const struct import_parameter *parameter)
{
    map_words(openvz, parameter, map_variable);
}

static void map_name(struct openvz *openvz, const struct import_parameter *parameter)
{
    struct import *import = openvz->import;
    bool is_same = strcmp(parameter->value, import->name) == 0;

    import_note(import, parameter, import_format(import, "NAME %s", import->name),
                is_same ? NULL : "made valid: a-z, 0-9 and -");
}

static void map_hostname(struct openvz *openvz, const struct import_parameter *parameter)
{
    struct import *import = openvz->import;

    if (strcmp(parameter->value, import->name) == 0)
        import_note(import, parameter, import_format(import, "NAME %s", import->name), NULL);
    else
        import_map(import, parameter, OPTION_LABEL,
                   import_format(import, "hostname=%s", parameter->value),
                   "a label alone: the guest's hostname is the container's name");
}

static void map_description(struct openvz *openvz, const struct import_parameter *parameter)
{
    import_map(openvz->import, parameter, OPTION_LABEL,
               import_format(openvz->import, "description=%s", parameter->value), NULL);
}

static void map_template(struct openvz *openvz, const struct import_parameter *parameter)
{
    import_map(openvz->import, parameter, OPTION_LABEL,
               import_format(openvz->import, "openvz.ostemplate=%s", parameter->value),
               "a label alone: the root is there already");
}

static void map_id(struct openvz *openvz, const struct import_parameter *parameter)
{
    struct import *import = openvz->import;

    if (strcmp(parameter->value, openvz->ctid) == 0)
        import_note(import, parameter,
                    import_format(import, "--label openvz.ctid=%s", openvz->ctid), NULL);
    else
        import_map(import, parameter, OPTION_LABEL,
                   import_format(import, "openvz.%s=%s",
                                 strcmp(parameter->name, "VEID") == 0 ? "veid" : "uuid",
                                 parameter->value),
                   NULL);
}

static void map_reboot(struct openvz *openvz, const struct import_parameter *parameter)
{
    bool is_no = strcmp(parameter->value, "no") == 0;

    if (is_no || strcmp(parameter->value, "yes") == 0)
        import_map(openvz->import, parameter, OPTION_ALLOW_REBOOT, is_no ? "no" : "yes", NULL);
    else
        import_skip(openvz->import, parameter, "neither yes nor no");
}

static void map_autostop(struct openvz *openvz, const struct import_parameter *parameter)
{
    import_skip(openvz->import, parameter,
                strcmp(parameter->value, "stop") == 0 ? "stopping is what is always done"
                                                      : "this version cannot suspend a container");
}

static bool is_disabled(const struct openvz *openvz)
{
    const char *disabled = openvz_find(openvz, "DISABLED");

    return disabled != NULL && strcmp(disabled, "yes") == 0;
}

static void map_onboot(struct openvz *openvz, const struct import_parameter *parameter)
{
    bool is_auto = strcmp(parameter->value, "auto") == 0;
    bool is_known =
        is_auto || strcmp(parameter->value, "yes") == 0 || strcmp(parameter->value, "no") == 0;

    if (!is_known)
        import_skip(openvz->import, parameter, "none of yes, no and auto");
    else if (is_disabled(openvz))
        import_skip(openvz->import, parameter, "DISABLED forbids every start");
    else
        import_map(openvz->import, parameter, OPTION_AUTOSTART,
                   is_auto ? "default" : parameter->value, NULL);
}

static void map_disabled(struct openvz *openvz, const struct import_parameter *parameter)
{
    if (is_disabled(openvz))
        import_map(openvz->import, parameter, OPTION_AUTOSTART, "disabled", NULL);
    else
        import_skip(openvz->import, parameter, "starts are not forbidden");
}

static void map_number(struct openvz *openvz, const struct import_parameter *parameter,
                       enum option option, const char *unit)
{
    uint64_t number = 0;

    if (!number_read(parameter->value, &number) || number > INT32_MAX)
        import_skip(openvz->import, parameter, "not a number");
    else
        import_map(openvz->import, parameter, option,
                   import_format(openvz->import, "%u%s", (unsigned)number, unit), NULL);
}

static void map_order(struct openvz *openvz, const struct import_parameter *parameter)
{
    map_number(openvz, parameter, OPTION_ORDER, "");
}

static void map_grace(struct openvz *openvz, const struct import_parameter *parameter)
{
    map_number(openvz, parameter, OPTION_STOP_GRACE, "s");
}

/* ---- the table ---- */

#define BEANCOUNTER "a user beancounter, which no mainline kernel has"
#define DEPRECATED "deprecated in OpenVZ, and a user beancounter, which no mainline kernel has"
#define CPUSET "this version cannot pin a container to processors"
#define INPUT_OUTPUT "this version has no limits of input and output"
#define NETWORK "this version sets up no network"
#define IMAGE "the root is a directory: no image is made or mounted"
#define QUOTA "this version has no disk quotas"
#define TEMPLATES "about how it was made: the root is there already"
#define DEVICES "this version has one list of devices for all"
#define NODE "about the node, not the container"
#define KERNEL "of the OpenVZ kernel alone"

static const struct openvz_rule rules[] = {
    {"PHYSPAGES", map_physpages, NULL},
    {"SWAPPAGES", map_swappages, NULL},
    {"VM_OVERCOMMIT", NULL, "a factor of private memory, which mainline kernels do not count"},
    {"MEMGUARANTEE", NULL, "this version protects no memory"},
    {"MEMGUARANTEE_BYTES", NULL, "this version protects no memory"},
    {"PAGECACHE_ISOLATION", NULL, KERNEL},
    {"NUMMEMORYSUBGROUPS", NULL, "a bound of nested groups is always set"},
    {"KMEMSIZE", NULL, "kernel memory counts as memory: PHYSPAGES limits it"},
    {"NUMPROC", map_numproc, NULL},
    {"AVNUMPROC", NULL, "no limit: NUMPROC is"},
    {"PRIVVMPAGES", NULL, "limits what is asked for, not what is used; --memory limits that"},
    {"SHMPAGES", NULL, BEANCOUNTER},
    {"LOCKEDPAGES", NULL, BEANCOUNTER},
    {"VMGUARPAGES", NULL, BEANCOUNTER},
    {"NUMFILE", NULL, BEANCOUNTER},
    {"NUMFLOCK", NULL, BEANCOUNTER},
    {"NUMPTY", NULL, BEANCOUNTER},
    {"NUMSIGINFO", NULL, BEANCOUNTER},
    {"NUMIPTENT", NULL, BEANCOUNTER},
    {"DCACHESIZE", NULL, DEPRECATED},
    {"TCPSNDBUF", NULL, DEPRECATED},
    {"TCPRCVBUF", NULL, DEPRECATED},
    {"OTHERSOCKBUF", NULL, DEPRECATED},
    {"DGRAMRCVBUF", NULL, DEPRECATED},
    {"NUMTCPSOCK", NULL, DEPRECATED},
    {"NUMOTHERSOCK", NULL, DEPRECATED},
    {"OOMGUARPAGES", NULL, DEPRECATED},
    {"TOTVMPAGES", NULL, DEPRECATED},
    {"IPCSHMPAGES", NULL, DEPRECATED},
    {"ANONSHPAGES", NULL, DEPRECATED},
    {"RSSPAGES", NULL, DEPRECATED},
    {"OOMGUAR", NULL, DEPRECATED},
    {"NUMSOCK", NULL, DEPRECATED},
    {"UNIXSOCKBUF", NULL, DEPRECATED},
    {"SOCKRCVBUF", NULL, DEPRECATED},
    {"NUMUNIXSOCK", NULL, DEPRECATED},
    {"SLMMODE", NULL, "an older model of memory; SLMMEMORYLIMIT is taken"},
    {"SLMMEMORYLIMIT", map_slm, NULL},
    {"NUMNETIF", NULL, NETWORK},
    {"MEMINFO", NULL, KERNEL ": the guest sees the host's memory"},

    {"CPUUNITS", map_units, NULL},
    {"CPUWEIGHT", NULL, "OpenVZ read it and used CPUUNITS"},
    {"CPULIMIT", map_cpulimit, NULL},
    {"CPULIMIT_MHZ", NULL, "in MHz, which differ from node to node; --cpus N limits time"},
    {"CPUS", map_cpus, NULL},
    {"CPUMASK", NULL, CPUSET},
    {"NODEMASK", NULL, CPUSET},
    {"BURST_CPU_AVG_USAGE", NULL, "OpenVZ read it and did nothing"},
    {"BURST_CPULIMIT", NULL, "OpenVZ read it and did nothing"},
    {"IOPRIO", NULL, INPUT_OUTPUT},
    {"IOLIMIT", NULL, INPUT_OUTPUT},
    {"IOPSLIMIT", NULL, INPUT_OUTPUT},

    {"IP_ADDRESS", NULL, NETWORK},
    {"NETIF", NULL, NETWORK},
    {"NETDEV", NULL, NETWORK},
    {"HOSTNAME", map_hostname, NULL},
    {"NAMESERVER", NULL, "this version writes nothing into a guest's files"},
    {"SEARCHDOMAIN", NULL, "this version writes nothing into a guest's files"},
    {"RATE", NULL, NETWORK},
    {"RATEBOUND", NULL, NETWORK},
    {"RATEMPU", NULL, NETWORK},
    {"TOTALRATE", NULL, NETWORK},
    {"TRAFFIC_SHAPING", NULL, NETWORK},
    {"BANDWIDTH", NULL, NETWORK},
    {"USE_NET_RPS", NULL, NETWORK},
    {"IPV6", NULL, NETWORK},
    {"VE_ROUTE_SRC_DEV", NULL, NETWORK},
    {"USE_VENET_MASK", NULL, NETWORK},
    {"NEIGHBOUR_DEVS", NULL, NETWORK},
    {"ERROR_ON_ARPFAIL", NULL, NETWORK},
    {"SKIP_ARPDETECT", NULL, NETWORK},
    {"NETFILTER", NULL, NETWORK},
    {"IPTABLES", NULL, NETWORK},
    {"IPTABLES_MODULES", NULL, NETWORK},
    {"APPLY_IPONLY", NULL, NETWORK},

    {"VE_ROOT", NULL, "nothing is mounted on the host"},
    {"VE_PRIVATE", map_private, NULL},
    {"DISK", NULL, IMAGE},
    {"ROOT_DISK", NULL, IMAGE},
    {"DISKSPACE", NULL, QUOTA},
    {"DISKINODES", NULL, QUOTA},
    {"MOUNT_OPTS", NULL, IMAGE},
    {"NOATIME", NULL, IMAGE},
    {"VEFSTYPE", NULL, IMAGE},
    {"VEFORMAT", NULL, IMAGE},
    {"VE_LAYOUT", NULL, "the root is taken as a directory, wherever the layout puts it"},
    {"AUTOCOMPACT", NULL, IMAGE},
    {"DISK_QUOTA", NULL, QUOTA},
    {"QUOTATIME", NULL, QUOTA},
    {"QUOTAUGIDLIMIT", NULL, QUOTA},
    {"JOURNALED_QUOTA", NULL, QUOTA},
    {"BINDMOUNT", map_bindmount, NULL},
    {"OSTEMPLATE", map_template, NULL},
    {"TEMPLATE", NULL, TEMPLATES},
    {"TEMPLATES", NULL, TEMPLATES},
    {"DISTRIBUTION", NULL, TEMPLATES},
    {"TECHNOLOGIES", NULL, TEMPLATES},
    {"DEF_OSTEMPLATE", NULL, TEMPLATES},
    {"DUMPDIR", NULL, "this version cannot suspend a container"},

    {"FEATURES", NULL, KERNEL ": what a guest may do is one set for all"},
    {"DEVNODES", map_devices, NULL},
    {"DEVICES", NULL, DEVICES},
    {"PCI", NULL, DEVICES},
    {"CAPABILITY", NULL, "this version has one set of capabilities for all"},
    {"LOCAL_UID", NULL, "each container gets a range of user ids of its own"},
    {"LOCAL_GID", NULL, "each container gets a range of group ids of its own"},
    {"OSRELEASE", NULL, KERNEL ": a guest sees the release that runs"},
    {"USERPASSWD", NULL, "a password is set inside the guest, not stored"},

    {"NAME", map_name, NULL},
    {"UUID", map_id, NULL},
    {"VEID", map_id, NULL},
    {"DESCRIPTION", map_description, NULL},
    {"VE_TYPE", NULL, TEMPLATES},
    {"ORIGIN_SAMPLE", NULL, TEMPLATES},
    {"CONFIG_CUSTOMIZED", NULL, TEMPLATES},
    {"CONFIGFILE", NULL, TEMPLATES},
    {"ONBOOT", map_onboot, NULL},
    {"BOOTORDER", map_order, NULL},
    {"AUTOSTOP", map_autostop, NULL},
    {"STOP_TIMEOUT", map_grace, NULL},
    {"DISABLED", map_disabled, NULL},
    {"ALLOWREBOOT", map_reboot, NULL},
    {"VE_ENVIRONMENT", map_environment, NULL},
    {"HA_ENABLE", NULL, "a root in a directory is on this node alone"},
    {"HA_PRIO", NULL, "a root in a directory is on this node alone"},
    {"REPAIR_MODE", NULL, "of one start, not of the container"},

    {"SKIP_CGROUP_DESTROY", NULL, NODE},
    {"VE_CGROUP_SLICE", NULL, NODE},
    {"VE_STOP_MODE", NULL, NODE},
    {"VE_PARALLEL", NULL, NODE},
    {"VIRTUOZZO", NULL, NODE},
    {"LOCKDIR", NULL, NODE},
    {"LOGGING", NULL, NODE},
    {"LOGFILE", NULL, NODE},
    {"LOG_LEVEL", NULL, NODE},
    {"VERBOSE", NULL, NODE},
    {"ON_VE_FSERROR", NULL, NODE},
    {"VZ_TOOLS_*", NULL, NODE},
};

const struct openvz_rule *openvz_rule_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        size_t length = strlen(rules[i].name);
        bool is_beginning = rules[i].name[length - 1] == '*';

        if (is_beginning ? strncmp(rules[i].name, name, length - 1) == 0
                         : strcmp(rules[i].name, name) == 0)
            return &rules[i];
    }
    return NULL;
}
