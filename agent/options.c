/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "link.h"
#include "local.h"

#define STATE_DEFAULT "/var/lib/drover"
#define HOOKS_DEFAULT "/etc/drover/hooks"
#define RUN_DEFAULT "/run/drover"
#define CONFIG_DEFAULT "/etc/drover/agent.ini"
#define UID_BASE_DEFAULT 0x70000000u
#define UID_COUNT_DEFAULT (CT_RANGES_DEFAULT * UID_RANGE)
#define CT_RANGES_DEFAULT 4096u

static const struct option long_options[] = {
    {"state-dir", required_argument, NULL, 's'},
    {"run-dir", required_argument, NULL, 'r'},
    {"config", required_argument, NULL, 'c'},
    {"node", required_argument, NULL, 'n'},
    {"cgroup", required_argument, NULL, 'g'},
    {"uid-base", required_argument, NULL, 'u'},
    {"uid-count", required_argument, NULL, 'U'},
    {"controller", required_argument, NULL, 'C'},
    {"hooks-dir", required_argument, NULL, 'k'},
    {"boot-parallel", required_argument, NULL, 'p'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {0},
};

void options_print_help(void)
{
    (void)puts(
        "usage: drover-agent [--state-dir DIR] [--run-dir DIR] [--config FILE] [--node NAME]\n"
        "                    [--cgroup PATH] [--uid-base N] [--uid-count N]\n"
        "                    [--controller tcp://HOST:PORT]... [--hooks-dir DIR]\n"
        "                    [--boot-parallel N]\n"
        "\n"
        "Boots and keeps the system containers of this node. Its socket is RUN/agent.sock.\n"
        "SIGTERM ends the agent and leaves the containers and the keeper running.\n"
        "\n"
        "  --state-dir DIR   what must survive (default " STATE_DEFAULT "; mode 0700)\n"
        "  --run-dir DIR     sockets and locks (default " RUN_DEFAULT ")\n"
        "  --config FILE     ini file (default " CONFIG_DEFAULT ", if it is there)\n"
        "  --node NAME       this node's name (default: the host's)\n"
        "  --cgroup PATH     top-level cgroup of its own (default drover.NODE)\n"
        "  --uid-base N      first id of the range that containers get theirs from\n"
        "  --uid-count N     how many ids; 65536 a container\n"
        "  --controller URL  report to it and obey it (of several, the first)\n"
        "  --hooks-dir DIR   scripts run for each container (default " HOOKS_DEFAULT ")\n"
        "  --boot-parallel N at the node's boot at most so many boot at once (default 8)");
}

static int copy(char *to, size_t room, const char *from, const char *what, struct fault *fault)
{
    if (strlen(from) >= room) {
        fault_set(fault, STATUS_INVALID, ENAMETOOLONG, "%s is too long: %s", what, from);
        return -ENAMETOOLONG;
    }
    memcpy(to, from, strlen(from) + 1);
    return 0;
}

static int read_number(uint32_t *ret_number, const char *text, const char *what,
                       struct fault *fault)
{
    char *end = NULL;

    errno = 0;
    unsigned long long number = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || number == 0 ||
        number > UINT32_MAX) { /* 0 is the host's root, and no count */
        fault_set(fault, STATUS_INVALID, 0, "%s: %s is not a number from 1", what, text);
        return -EINVAL;
    }
    *ret_number = (uint32_t)number;
    return 0;
}

static int add_controller(struct options *options, const char *url, struct fault *fault)
{
    if (!link_url_check(url) || options->controller_count == CONTROLLERS_MAX) {
        fault_set(fault, STATUS_INVALID, 0, "--controller %s: tcp://HOST:PORT, at most %u of them",
                  url, (uint64_t)CONTROLLERS_MAX);
        return -EINVAL;
    }
    return copy(options->controllers[options->controller_count++], sizeof(options->controllers[0]),
                url, "--controller", fault);
}

static int set(struct options *options, int key, const char *value, struct fault *fault)
{
    switch (key) {
    case 's':
        return copy(options->state_dir, sizeof(options->state_dir), value, "--state-dir", fault);
    case 'r':
        return copy(options->run_dir, sizeof(options->run_dir), value, "--run-dir", fault);
    case 'k':
        return copy(options->hooks_dir, sizeof(options->hooks_dir), value, "--hooks-dir", fault);
    case 'c':
        return copy(options->config, sizeof(options->config), value, "--config", fault);
    case 'n':
        return copy(options->node, sizeof(options->node), value, "--node", fault);
    case 'g':
        while (*value == '/')
            value++;
        return copy(options->cgroup, sizeof(options->cgroup), value, "--cgroup", fault);
    case 'u':
        return read_number(&options->uid_base, value, "--uid-base", fault);
    case 'U':
        return read_number(&options->uid_count, value, "--uid-count", fault);
    case 'C':
        return add_controller(options, value, fault);
    case 'p':
        return read_number(&options->boot_parallel, value, "--boot-parallel", fault);
    case 'h':
        options->is_help = true;
        return 0;
    case 'v':
        options->is_version = true;
        return 0;
    }
    fault_set(fault, STATUS_INVALID, 0, "see drover-agent --help");
    return -EINVAL;
}

struct reading {
    struct options *options;
    struct options given; /* by the command line, which wins over the file */
};

static bool is_given(const struct options *given, int key)
{
    return key == 'c' || (key == 's' && given->state_dir[0] != '\0') ||
           (key == 'r' && given->run_dir[0] != '\0') || (key == 'n' && given->node[0] != '\0') ||
           (key == 'g' && given->cgroup[0] != '\0') || (key == 'u' && given->uid_base != 0) ||
           (key == 'U' && given->uid_count != 0) || (key == 'C' && given->controller_count != 0) ||
           (key == 'k' && given->hooks_dir[0] != '\0') || (key == 'p' && given->boot_parallel != 0);
}

static bool on_key(void *context, const char *name, const char *value, struct fault *fault)
{
    struct reading *reading = context;

    for (const struct option *option = long_options; option->name != NULL; option++)
        if (option->has_arg == required_argument && strcmp(option->name, name) == 0)
            return is_given(&reading->given, option->val) ||
                   set(reading->options, option->val, value, fault) == 0;
    fault_set(fault, STATUS_INVALID, 0, "the configuration file has an unknown key %s", name);
    return false;
}

static int fill_defaults(struct options *options, struct fault *fault)
{
    if (options->state_dir[0] == '\0')
        (void)snprintf(options->state_dir, sizeof(options->state_dir), "%s", STATE_DEFAULT);
    if (options->run_dir[0] == '\0')
        (void)snprintf(options->run_dir, sizeof(options->run_dir), "%s", RUN_DEFAULT);
    if (options->hooks_dir[0] == '\0')
        (void)snprintf(options->hooks_dir, sizeof(options->hooks_dir), "%s", HOOKS_DEFAULT);
    if (options->node[0] == '\0') {
        char name[256] = "";

        (void)gethostname(name, sizeof(name) - 1);
        name[strcspn(name, ".")] = '\0';
        (void)snprintf(options->node, sizeof(options->node), "%.63s", name);
    }
    if (options->hooks_dir[0] != '/') {
        fault_set(fault, STATUS_INVALID, 0, "--hooks-dir %s: a path from / is needed",
                  options->hooks_dir);
        return -EINVAL;
    }
    if (!name_check(options->node)) {
        fault_set(fault, STATUS_INVALID, 0, "--node %s: not a name", options->node);
        fault_hint(fault, "lower case letters, digits and -, at most 63");
        return -EINVAL;
    }
    if (options->cgroup[0] == '\0')
        (void)snprintf(options->cgroup, sizeof(options->cgroup), "drover.%s", options->node);
    if (options->uid_base == 0)
        options->uid_base = UID_BASE_DEFAULT;
    if (options->uid_count == 0)
        options->uid_count = UID_COUNT_DEFAULT;
    if (options->uid_base < UID_RANGE || options->uid_count < UID_RANGE ||
        options->uid_count > UINT32_MAX - options->uid_base) {
        fault_set(fault, STATUS_INVALID, 0, "--uid-base %u and --uid-count %u: not a range of ids",
                  (uint64_t)options->uid_base, (uint64_t)options->uid_count);
        return -EINVAL;
    }
    return 0;
}

static void find_keeper(struct options *options)
{
    ssize_t length = readlink("/proc/self/exe", options->keeper, sizeof(options->keeper) - 32);
    char *slash;

    options->keeper[length < 0 ? 0 : length] = '\0';
    slash = strrchr(options->keeper, '/');
    memcpy(slash == NULL ? options->keeper : slash + 1, "drover-keeper", sizeof("drover-keeper"));
}

int options_read(struct options *options, int argc, char **argv, struct fault *fault)
{
    int key;

    *options = (struct options){0};
    while ((key = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        int result = set(options, key, optarg, fault);

        if (result < 0)
            return result;
    }
    if (options->is_help || options->is_version)
        return 0;
    if (optind < argc) {
        fault_set(fault, STATUS_INVALID, 0, "unexpected argument %s", argv[optind]);
        return -EINVAL;
    }
    struct reading reading = {.options = options, .given = *options};
    int result = daemon_read_ini(options->config, CONFIG_DEFAULT, on_key, &reading, fault);
    if (result == 0)
        result = fill_defaults(options, fault);
    if (result == 0 && strlen(options->run_dir) + sizeof("/agent.sock") - 1 > LOCAL_PATH_MAX) {
        fault_set(fault, STATUS_INVALID, ENAMETOOLONG,
                  "--run-dir %s: its sockets' paths would exceed %u octets", options->run_dir,
                  (uint64_t)LOCAL_PATH_MAX);
        result = -ENAMETOOLONG;
    }
    find_keeper(options);
    return result;
}
