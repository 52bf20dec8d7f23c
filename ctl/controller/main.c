/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drover-controller: hears the agents of all nodes and answers operators.
 *
 * Reading order: main, controller (the turn), sessions (agents), registry (what they told),
 * requests, queries, events, streams (what operators want), ctl_store (what survives).
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "controller.h"
#include "daemon.h"
#include "lock.h"

static struct controller controller;
static struct options options;

static int check_state(const char *path, struct fault *fault)
{
    struct stat status;

    if (stat(path, &status) < 0) {
        fault_set(fault, STATUS_FAILED, errno, "cannot open %s", path);
        return -fault->error;
    }
    if (status.st_uid == geteuid() && (status.st_mode & 0077) == 0)
        return 0;
    fault_set(fault, STATUS_NOT_PERMITTED, EPERM,
              "the state directory %s must be ours with mode 0700", path);
    fault_hint(fault, "chown and chmod 0700 it, or name another with --state-dir");
    return -EPERM;
}

static int run(struct fault *fault)
{
    AUTO_FD run_lock = -1;
    AUTO_FD state_lock = -1;
    int result = lock_directory(options.run_dir, "controller.lock", 0755, &run_lock, fault);

    if (result == 0)
        result = lock_directory(options.state_dir, "controller.lock", 0700, &state_lock, fault);
    if (result == 0)
        result = check_state(options.state_dir, fault);
    if (result < 0)
        return result;
    AUTO_FD signals = daemon_open_signals(fault);
    if (signals < 0)
        return signals;
    result = controller_open(&controller, &options, signals, fault);
    return result < 0 ? result : controller_run(&controller, fault);
}

int main(int argc, char **argv)
{
    struct fault fault = {0};

    if (options_read(&options, argc, argv, &fault) < 0)
        return daemon_complain("drover-controller", &fault);
    if (options.is_help) {
        options_print_help();
        return 0;
    }
    if (options.is_version) {
        (void)puts("drover-controller " DROVER_VERSION);
        return 0;
    }
    daemon_return_memory();
    daemon_raise_nofile(); /* each agent takes two, each client one */
    if (sodium_init() < 0)
        return 1;
    return run(&fault) < 0 ? daemon_complain("drover-controller", &fault) : 0;
}
