/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.h — every answer a command can get, with its exit code: the one list.
 *
 * Shape    an X-macro; `drover help statuses` and the wire read the same rows.
 * Units    exit codes of the contract: 0..10.
 * Errors   status_find() answers STATUS_UNSET for a name that is none.
 * Owner    nobody; static strings.
 * Context  pure.
 */
#ifndef DROVER_STATUS_H
#define DROVER_STATUS_H

/* Numbers are on the wire and in databases: append only. */
#define STATUS_LIST(X)                                                                             \
    X(UNSET, unset, 1)                                                                             \
    X(DONE, done, 0)                                                                               \
    X(UNCHANGED, unchanged, 0)                                                                     \
    X(QUEUED, queued, 0)                                                                           \
    X(FAILED, failed, 1)                                                                           \
    X(INVALID, invalid, 2)                                                                         \
    X(NOT_FOUND, not_found, 3)                                                                     \
    X(EXISTS, exists, 4)                                                                           \
    X(WRONG_STATE, wrong_state, 4)                                                                 \
    X(SUPERSEDED, superseded, 4)                                                                   \
    X(TIMEOUT, timeout, 5)                                                                         \
    X(PARTLY_FAILED, partly_failed, 6)                                                             \
    X(NO_CAPACITY, no_capacity, 7)                                                                 \
    X(KEEPER_FULL, keeper_full, 7)                                                                 \
    X(BUSY, busy, 8)                                                                               \
    X(NOT_PERMITTED, not_permitted, 9)                                                             \
    X(UNREACHABLE, unreachable, 10)                                                                \
    X(BAD_TEMPLATE, bad_template, 1)                                                               \
    X(BIND_SOURCE_MISSING, bind_source_missing, 1)                                                 \
    X(IDMAP_UNSUPPORTED, idmap_unsupported, 1)                                                     \
    X(INTERRUPTED, interrupted, 1)                                                                 \
    X(UNSUPPORTED, unsupported, 1)                                                                 \
    X(STORE_FULL, store_full, 7)                                                                   \
    X(REQUEST_ID_REUSED, request_id_reused, 4)                                                     \
    X(STREAM_LOST, stream_lost, 1)                                                                 \
    X(AGENT_LOST, agent_lost, 1)                                                                   \
    X(EXPIRED, expired, 10)                                                                        \
    X(GUEST_UNSUPPORTED, guest_unsupported, 1)                                                     \
    X(HOOK_FAILED, hook_failed, 1)                                                                 \
    X(CONFLICT, conflict, 4)                                                                       \
    X(START_DISABLED, start_disabled, 4)

enum status {
#define STATUS_ENUM(upper, lower, code) STATUS_##upper,
    STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
        STATUS_COUNT
};

const char *status_name(enum status status);
int status_exit_code(enum status status);
enum status status_find(const char *name);

#endif
