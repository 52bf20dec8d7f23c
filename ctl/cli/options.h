/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h — the words of a command line, told apart by one table.
 *
 * Shape    struct options holds what was given, in order; each verb says which options it takes.
 * Units    counts.
 * Errors   -EINVAL with a fault of status `invalid`: the exit code of wrong usage is 2.
 * Owner    texts are borrowed from argv; options_close() releases the lists.
 * Context  pure but for malloc.
 */
#ifndef DROVER_OPTIONS_H
#define DROVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"

/* X(name, spelling, letter or 0, what its value is called or NULL for a switch, what it does) */
#define OPTION_LIST(X)                                                                             \
    X(AGENT, "agent", 0, "SOCKET", "ask the agent at this socket")                                 \
    X(CONTROLLER, "controller", 0, "SOCKET", "ask the controller at this socket")                  \
    X(FORMAT, "format", 'f', "table|json|jsonl|yaml|csv", "how rows are printed")                  \
    X(NO_HEADER, "no-header", 0, NULL, "leave out the headings of a table or csv")                 \
    X(COLUMNS, "columns", 'o', "COL,COL", "print these columns alone, in this order")              \
    X(SORT, "sort", 's', "COL", "sort by this column")                                             \
    X(TIMEOUT, "timeout", 0, "D", "give up after D (250ms, 30s, 5m, 1h)")                          \
    X(REQUEST_ID, "request-id", 0, "ID", "repeat a request without repeating its effect")          \
    X(NODE, "node", 0, "NODE", "on this node")                                                     \
    X(HELP, "help", 'h', NULL, "say how this verb is used")                                        \
    X(VERSION, "version", 0, NULL, "as the verb: drover --version")                                \
    X(ALL, "all", 0, NULL, "all containers")                                                       \
    X(WAIT, "wait", 0, "exec|ready", "return when init runs, or when it is ready (default)")       \
    X(DETACH, "detach", 0, NULL, "return as soon as the command is accepted")                      \
    X(FORCE, "force", 0, NULL, "destroy: kill it first if it runs; start: though disabled")        \
    X(TEMPLATE, "template", 0, "T", "make it from this template")                                  \
    X(ROOT, "root", 0, "DIR", "let this directory be its root")                                    \
    X(MEMORY, "memory", 0, "SIZE", "limit of memory (64M, 2G, max)")                               \
    X(SWAP, "swap", 0, "SIZE", "limit of swap beside it (0, 1G, max)")                             \
    X(PIDS, "pids", 0, "N", "limit of processes and threads (default 16384; max)")                 \
    X(CPUS, "cpus", 0, "N", "limit of processor time (1.5 is one and a half processors)")          \
    X(CPU_WEIGHT, "cpu-weight", 0, "N", "share under contention, 1 to 10000 (default 100)")        \
    X(BIND, "bind", 0, "SRC:DST[:ro][:plain]", "show SRC of the host at DST (repeatable)")         \
    X(TMPFS, "tmpfs", 0, "DST[:SIZE]", "a tmpfs at DST (repeatable)")                              \
    X(ENV, "env", 0, "K=V", "a variable of its environment (repeatable)")                          \
    X(INIT, "init", 0, "PATH", "boot this instead of the usual candidates")                        \
    X(FAMILY, "family", 0, "FAMILY", "what its init is, if its file does not tell")                \
    X(READY, "ready", 0, "auto|exec|notify|...", "what counts as ready (default auto)")            \
    X(READY_TIMEOUT, "ready-timeout", 0, "D", "how long that may take (default 10m)")              \
    X(READY_POLICY, "ready-policy", 0, "kill|keep", "what then becomes of it (default kill)")      \
    X(RESTART, "restart", 0, "never|on-failure|always", "after an end by itself (default never)")  \
    X(ALLOW_REBOOT, "allow-reboot", 0, "yes|no", "whether it may reboot itself (default yes)")     \
    X(ON_NODE_LOST, "on-node-lost", 0, "report|restart", "when its node is lost (default report)") \
    X(PRIVILEGED, "privileged", 0, NULL, "without a user namespace: trusts its root")              \
    X(HOOK, "hook", 0, "POINT=PATH",                                                               \
      "its premount, mount, start, stop, umount or postumount script")                             \
    X(NESTED, "nested", 0, NULL, "containers inside: four ranges of ids, proc without masks")      \
    X(FUSE, "fuse", 0, NULL, "with /dev/fuse")                                                     \
    X(TUN, "tun", 0, NULL, "with /dev/net/tun")                                                    \
    X(PTRACE, "ptrace", 0, NULL, "debuggers work inside")                                          \
    X(LABEL, "label", 0, "K=V", "a label that selectors match (repeatable)")                       \
    X(STOP_GRACE, "stop-grace", 0, "D", "how long a stop waits before it kills (default 120s)")    \
    X(AUTOSTART, "autostart", 0, "default|yes|no|disabled",                                        \
      "at the node's boot (default: if it ran before); disabled: nor by a command")                \
    X(ORDER, "order", 0, "N", "at the node's boot, higher ones first (default 0)")                 \
    X(DEPENDS, "depends", 0, "NAME", "at the node's boot, after this one (repeatable)")            \
    X(NEXT_START, "next-start", 0, NULL, "store what cannot change while it runs")                 \
    X(RESTART_NOW, "restart", 0, NULL, "boot it again where that is needed")                       \
    X(REVISION, "revision", 0, "N", "only if its configuration is at this revision")               \
    X(PARALLEL, "parallel", 0, "N", "stop at most so many at once (default 8)")                    \
    X(START, "start", 0, NULL, "start it at once")                                                 \
    X(DRY_RUN, "dry-run", 0, NULL, "say what would be done, and do nothing")                       \
    X(TTY, "tty", 't', NULL, "give it a terminal")                                                 \
    X(USER, "user", 0, "U", "as this user of the container")                                       \
    X(CWD, "cwd", 0, "DIR", "in this directory of the container")                                  \
    X(FOLLOW, "follow", 0, NULL, "go on with what comes")                                          \
    X(SINCE, "since", 0, "SEQ|CURSOR|TIME", "what came after it")                                  \
    X(FOR, "for", 0, "WHAT", "running, stopped, generation=N or event=TYPE|CAUSE")

enum option {
#define OPTION_ENUM(upper, name, letter, value, words) OPTION_##upper,
    OPTION_LIST(OPTION_ENUM)
#undef OPTION_ENUM
        OPTION_COUNT
};

#define OPTION_BIT(upper) (UINT64_C(1) << OPTION_##upper)

/* What every verb takes. */
#define OPTIONS_COMMON                                                                             \
    (OPTION_BIT(AGENT) | OPTION_BIT(CONTROLLER) | OPTION_BIT(FORMAT) | OPTION_BIT(NO_HEADER) |     \
     OPTION_BIT(COLUMNS) | OPTION_BIT(SORT) | OPTION_BIT(TIMEOUT) | OPTION_BIT(REQUEST_ID) |       \
     OPTION_BIT(NODE) | OPTION_BIT(HELP))

struct option_row {
    const char *name;
    char letter;       /* 0: none */
    const char *value; /* NULL: a switch */
    const char *words;
};
extern const struct option_row option_rows[OPTION_COUNT];

struct option_given {
    enum option option;
    const char *value; /* NULL: a switch */
};

struct options {
    struct option_given *given;
    size_t given_count;
    const char **arguments; /* what is no option; those after -- too */
    size_t argument_count;
    size_t command_at; /* index of the first argument after --; argument_count without -- */
};

/* Reads on after a wrong word: what stands behind it may say in which format to tell of it. */
int options_parse(struct options *options, int argc, char **argv, struct fault *fault);
void options_close(struct options *options);

/* -EINVAL if one was given that `taken`, a set of OPTION_BIT, lacks. */
int options_check(const struct options *options, uint64_t taken, const char *verb,
                  struct fault *fault);

bool options_has(const struct options *options, enum option option);
/* The last one given, or NULL. */
const char *options_find(const struct options *options, enum option option);
/* The next one given from *index on, which moves behind it; NULL at the end. */
const char *options_next(const struct options *options, enum option option, size_t *index);

/* A duration or a count of an option; untouched if it was not given. */
int options_get_duration(const struct options *options, enum option option, uint64_t *ret_ns,
                         struct fault *fault);
int options_get_number(const struct options *options, enum option option, uint64_t *ret_number,
                       struct fault *fault);
/* Its place among `words`, a list that ends with NULL; `otherwise` if it was not given. */
int options_get_word(const struct options *options, enum option option, const char *const *words,
                     int otherwise, struct fault *fault);

/* Digits alone, and no more than fit. */
bool number_read(const char *text, uint64_t *ret_number);

#endif
