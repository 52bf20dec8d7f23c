/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setting.h — the keys of a configuration that `set` knows, and a configuration with some changed.
 *
 * Shape    SETTING_LIST is the list: a row a key. A SET names keys; their values are those of the
 *          configuration that comes with it. Lists are changed by entry: `cleared` empties one,
 *          `removed` takes an entry out, and what the configuration lists is put in.
 * Units    a set of keys is a uint64_t, bit n for the key of number n.
 * Errors   -EINVAL, -ENOMEM and a fault in words.
 * Owner    the result lies in the caller's arena and points to what it was made from.
 * Context  pure but for malloc. Numbers of keys are on the wire and in databases: append only.
 */
#ifndef DROVER_SETTING_H
#define DROVER_SETTING_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"

struct arena;
struct command;
struct config;

/* X(upper, name, kind): live at once; a limit of the living cgroup; or it takes a stop. */
#define SETTING_LIST(X)                                                                            \
    X(MEMORY, "memory", LIMIT)                                                                     \
    X(SWAP, "swap", LIMIT)                                                                         \
    X(PIDS, "pids", LIMIT)                                                                         \
    X(CPUS, "cpus", LIMIT)                                                                         \
    X(CPU_WEIGHT, "cpu-weight", LIMIT)                                                             \
    X(BIND, "bind", STOP)                                                                          \
    X(TMPFS, "tmpfs", STOP)                                                                        \
    X(ENV, "env", STOP)                                                                            \
    X(INIT, "init", STOP)                                                                          \
    X(READY, "ready", STOP)                                                                        \
    X(RESTART, "restart", LIVE)                                                                    \
    X(ALLOW_REBOOT, "allow-reboot", LIVE)                                                          \
    X(ON_NODE_LOST, "on-node-lost", LIVE)                                                          \
    X(LABEL, "label", LIVE)                                                                        \
    X(STOP_GRACE, "stop-grace", LIVE)                                                              \
    X(AUTOSTART, "autostart", LIVE)                                                                \
    X(ORDER, "order", LIVE)                                                                        \
    X(DEPENDS, "depends", LIVE)                                                                    \
    X(FAMILY, "family", STOP)                                                                      \
    X(READY_TIMEOUT, "ready-timeout", LIVE)                                                        \
    X(READY_POLICY, "ready-policy", LIVE)                                                          \
    X(FUSE, "fuse", STOP)                                                                          \
    X(TUN, "tun", STOP)                                                                            \
    X(PTRACE, "ptrace", STOP)                                                                      \
    X(HOOK, "hook", STOP)

enum setting_key {
    SETTING_UNSET,
#define SETTING_ENUM(upper, name, kind) SETTING_##upper,
    SETTING_LIST(SETTING_ENUM)
#undef SETTING_ENUM
        SETTING_COUNT
};
#define SETTING_BIT(key) (UINT64_C(1) << (key))

/* What is said of one key. A list may be named several times. */
struct setting {
    enum setting_key key;
    bool is_cleared;     /* of a list: none of what was there stays */
    const char *removed; /* of a list: this entry goes (a name, target or point) */
};

const char *setting_name(enum setting_key key);
/* SETTING_UNSET: there is none of that name. */
enum setting_key setting_find(const char *name);
bool setting_is_list(enum setting_key key);

/*
 * What a configuration becomes by a SET.
 *   base        in   what it is now
 *   command     in   settings and the configuration with their values
 *   ret_config  out  filled on success alone
 *   ret_set     out  keys, stop_keys, limit_keys, is_same; the rest is left
 */
int setting_apply(const struct config *base, const struct command *command, struct arena *arena,
                  struct config *ret_config, struct ct_set *ret_set, struct fault *fault);

#endif
