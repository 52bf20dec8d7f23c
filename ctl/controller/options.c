/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "link.h"
#include "local.h"

#define STATE_DEFAULT "/var/lib/drover"
#define RUN_DEFAULT "/run/drover"
#define CONFIG_DEFAULT "/etc/drover/controller.ini"
#define LISTEN_DEFAULT "tcp://127.0.0.1:7700"
#define EVENTS_MAX_LIMIT 100000000u

static const struct option long_options[] = {
    {"state-dir", required_argument, NULL, 's'},  {"run-dir", required_argument, NULL, 'r'},
    {"config", required_argument, NULL, 'c'},     {"listen", required_argument, NULL, 'l'},
    {"events-max", required_argument, NULL, 'e'}, {"http", required_argument, NULL, 'H'},
    {"store", required_argument, NULL, 'S'},      {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},          {0},
};

void options_print_help(void)
{
    (void)puts("usage: drover-controller [--state-dir DIR] [--run-dir DIR] [--config FILE]\n"
               "                         [--listen tcp://HOST:PORT] [--store sqlite:FILE]\n"
               "                         [--events-max N]\n"
               "\n"
               "Hears the agents of all nodes and answers operators. Its socket is\n"
               "RUN/controller.sock. Agents connect to PORT (orders) and PORT+1 (streams).\n"
               "\n"
               "  --state-dir DIR   what must survive (default " STATE_DEFAULT "; mode 0700)\n"
               "  --run-dir DIR     socket and lock (default " RUN_DEFAULT ")\n"
               "  --config FILE     ini file (default " CONFIG_DEFAULT ", if it is there)\n"
               "  --listen URL      default " LISTEN_DEFAULT "; loopback addresses only\n"
               "  --store URL       sqlite:FILE: events, commands, what nodes hold (default\n"
               "                    STATE/controller.db)\n"
               "  --events-max N    events kept there, the oldest go first (default 1000000)");
}

static int copy(char *to, size_t room, const char *from, const char *what, struct fault *fault)
{
    if (from[0] == '\0' || strlen(from) >= room) {
        fault_set(fault, STATUS_INVALID, ENAMETOOLONG, "%s is empty or too long: %s", what, from);
        return -EINVAL;
    }
    memcpy(to, from, strlen(from) + 1);
    return 0;
}

static int read_events_max(struct options *options, const char *value, struct fault *fault)
{
    char *end = NULL;

    errno = 0;
    unsigned long number = strtoul(value, &end, 10);
    if (errno != 0 || *end != '\0' || number == 0 || number > EVENTS_MAX_LIMIT) {
        fault_set(fault, STATUS_INVALID, 0, "--events-max %s: a number from 1 to %u", value,
                  (uint64_t)EVENTS_MAX_LIMIT);
        return -EINVAL;
    }
    options->events_max = (uint32_t)number;
    return 0;
}

static int refuse_unsupported(const char *what, const char *value, struct fault *fault)
{
    fault_set(fault, STATUS_INVALID, 0, "unsupported: %s %s: this version does not have it", what,
              value);
    fault_hint(fault, "operators reach it by its socket; --store takes sqlite:FILE");
    return -EOPNOTSUPP;
}

static int read_store(struct options *options, const char *value, struct fault *fault)
{
    static const char scheme[] = "sqlite:";

    if (strncmp(value, "postgresql:", 11) == 0 || strncmp(value, "postgres:", 9) == 0)
        return refuse_unsupported("--store", value, fault);
    if (strncmp(value, scheme, sizeof(scheme) - 1) != 0) {
        fault_set(fault, STATUS_INVALID, 0, "--store %s: not of the form sqlite:FILE", value);
        return -EINVAL;
    }
    return copy(options->store, sizeof(options->store), value + sizeof(scheme) - 1, "--store",
                fault);
}

static int set(struct options *options, int key, const char *value, struct fault *fault)
{
    switch (key) {
    case 's':
        return copy(options->state_dir, sizeof(options->state_dir), value, "--state-dir", fault);
    case 'r':
        return copy(options->run_dir, sizeof(options->run_dir), value, "--run-dir", fault);
    case 'c':
        return copy(options->config, sizeof(options->config), value, "--config", fault);
    case 'l':
        return copy(options->listen, sizeof(options->listen), value, "--listen", fault);
    case 'e':
        return read_events_max(options, value, fault);
    case 'H':
        return refuse_unsupported("--http", value, fault);
    case 'S':
        return read_store(options, value, fault);
    case 'h':
        options->is_help = true;
        return 0;
    case 'v':
        options->is_version = true;
        return 0;
    }
    fault_set(fault, STATUS_INVALID, 0, "see drover-controller --help");
    return -EINVAL;
}

struct reading {
    struct options *options;
    struct options given; /* by the command line, which wins over the file */
};

static bool is_given(const struct options *given, int key)
{
    return key == 'c' || (key == 's' && given->state_dir[0] != '\0') ||
           (key == 'r' && given->run_dir[0] != '\0') || (key == 'l' && given->listen[0] != '\0') ||
           (key == 'S' && given->store[0] != '\0') || (key == 'e' && given->events_max != 0);
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

static void fill_default(char *text, size_t room, const char *value)
{
    if (text[0] == '\0')
        (void)snprintf(text, room, "%s", value);
}

static int check(struct options *options, struct fault *fault)
{
    if (options->store[0] == '\0') {
        int length = snprintf(options->store, sizeof(options->store), "%s/controller.db",
                              options->state_dir);
        if (length < 0 || (size_t)length >= sizeof(options->store)) {
            fault_set(fault, STATUS_INVALID, ENAMETOOLONG, "--state-dir %s is too long",
                      options->state_dir);
            return -ENAMETOOLONG;
        }
    }
    if (strlen(options->run_dir) + sizeof("/controller.sock") - 1 > LOCAL_PATH_MAX) {
        fault_set(fault, STATUS_INVALID, ENAMETOOLONG,
                  "--run-dir %s: its socket's path would exceed %u octets", options->run_dir,
                  (uint64_t)LOCAL_PATH_MAX);
        return -ENAMETOOLONG;
    }
    if (!link_url_check(options->listen)) {
        fault_set(fault, STATUS_INVALID, 0, "--listen %s: not of the form tcp://HOST:PORT",
                  options->listen);
        return -EINVAL;
    }
    return 0;
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
    if (result < 0)
        return result;
    fill_default(options->state_dir, sizeof(options->state_dir), STATE_DEFAULT);
    fill_default(options->run_dir, sizeof(options->run_dir), RUN_DEFAULT);
    fill_default(options->listen, sizeof(options->listen), LISTEN_DEFAULT);
    if (options->events_max == 0)
        options->events_max = EVENTS_MAX_DEFAULT;
    return check(options, fault);
}
