/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h — what operator, controller and agent say to each other, as plain structs.
 *
 * Shape    struct message holds one record; the codec makes it from octets and octets from it. The
 *          same shapes travel on local sockets and between agent and controller.
 * Units    *_ns durations, *_wall_ns CLOCK_REALTIME nanoseconds, *_bytes octets.
 * Errors   none here; codec.h says what is refused.
 * Owner    of a decoded message: the arena given to the decoder. Texts are NUL-terminated UTF-8
 *          without NUL inside and never NULL (absent is ""); `struct octets` is anything at all.
 * Context  data only; drover.proto is the same in protobuf's words, COMPATIBILITY.md the rules.
 */
#ifndef DROVER_MESSAGE_H
#define DROVER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cause.h"
#include "command.h"
#include "event.h"
#include "fault.h"
#include "selector.h" /* struct pair */
#include "setting.h"

#define MESSAGE_VERSION 1
#define MESSAGE_BYTES_MAX (1024 * 1024) /* of one record on any channel */
#define STREAM_FRAME_BYTES_MAX 16384
#define STREAM_CREDIT_BYTES 65536 /* that a reader grants ahead */
#define LABELS_BYTES_MAX 65536    /* of a container's, keys and values; the agent refuses more */
#define CONFIG_LIST_MAX 64        /* binds, tmpfs, env, labels: entries each */
#define EVENT_BATCH_MAX 256

struct octets {
    const uint8_t *data;
    size_t size_bytes;
};

struct bind {
    const char *source;
    const char *target;
    bool is_read_only;
    bool is_plain; /* not idmapped */
};

struct tmpfs {
    const char *target;
    uint64_t size_bytes; /* 0: the kernel's default */
};

#define LIMIT_NONE UINT64_MAX /* "max" */

/* What a container is to be: the same words create, store and show it. */
struct config {
    const char *template_name; /* one of template_name and root */
    const char *root;
    uint64_t memory_max_bytes;
    uint64_t swap_max_bytes;
    uint64_t pids_max;
    uint32_t cpu_milli;  /* 1500 = 1.5 processors; 0: no quota */
    uint32_t cpu_weight; /* 1..10000; 100 unless said */
    const struct bind *binds;
    size_t bind_count;
    const struct tmpfs *tmpfs;
    size_t tmpfs_count;
    const struct pair *env;
    size_t env_count;
    const char *init; /* "": the usual candidates */
    enum ready ready;
    enum restart_on restart;
    bool is_reboot_denied;
    enum node_lost on_node_lost;
    bool is_privileged;
    bool is_nested; /* containers inside: four ranges of ids, proc and sysfs without masks */
    bool has_fuse;  /* /dev/fuse */
    bool has_tun;   /* /dev/net/tun */
    bool has_ptrace;
    const struct pair *labels;
    size_t label_count;
    const struct pair *hooks; /* point and path of the host; config_has_hooks() */
    size_t hook_count;
    uint64_t stop_grace_ns; /* 0: 120 s */
    enum family family;     /* UNKNOWN: found out from the init file */
    const char *ready_text; /* of CONSOLE, FILE, TCP: the text, path, port; "" */
    uint64_t ready_ns;      /* as in ct_policy */
    bool is_ready_kept;
    enum autostart autostart;
    uint32_t order;             /* at the node's boot: higher ones first */
    const char *const *depends; /* names of those that go before it then */
    size_t depend_count;
};

#define READY_TEXT_BYTES_MAX 255

/* Does what is to be looked for go with the kind? */
bool config_has_ready(const struct config *config);
/* Each hook has a point that there is, once, and a path from /. */
#define HOOK_PATH_BYTES_MAX 1024
bool config_has_hooks(const struct config *config);

/* What the model must know of it. */
static inline struct ct_policy config_policy(const struct config *config)
{
    return (struct ct_policy){.restart = config->restart,
                              .is_reboot_denied = config->is_reboot_denied,
                              .is_start_disabled = config->autostart == AUTOSTART_DISABLED,
                              .autostart = config->autostart,
                              .order = config->order,
                              .grace_ns = config->stop_grace_ns,
                              .ready_ns = config->ready_ns,
                              .is_ready_kept = config->is_ready_kept};
}

struct command {
    const char *request_id;
    const char *node;      /* "": the one that hears it */
    const char *container; /* name or id */
    uint64_t time_left_ns; /* 0: no limit of the asker's */
    enum verb verb;
    const struct config *config;    /* CREATE; SET: the values of its keys */
    bool is_started;                /* CREATE --start: then as START */
    enum wait_for wait;             /* START, REBOOT, CREATE with is_started, SET with a restart */
    uint64_t grace_ns;              /* STOP, REBOOT; 0: the container's */
    bool is_forced;                 /* DESTROY, START */
    bool is_for_shutdown;           /* STOP, KILL: what runs boots again with the node */
    const struct setting *settings; /* SET: at least one */
    size_t setting_count;
    enum set_when set_when;
    uint64_t base_revision; /* SET: another is `conflict`; 0: whichever it is */
};

struct container_view {
    const char *name;
    uint8_t uuid[UUID_BYTES];
    const char *node;
    enum ct_state state;
    uint64_t generation; /* 0: never started */
    int32_t pid;         /* 0: none */
    bool is_ready;
    enum cause cause; /* UNSET while running */
    bool has_status;
    int wait_status;
    uint64_t started_wall_ns; /* of this or the last generation; 0: never */
    const struct pair *labels;
    size_t label_count;
    uint64_t revision; /* of the configuration */
};

/* A fault with where it happened; status UNSET: none. */
struct fault_view {
    enum status status;
    int error; /* errno; 0: none */
    const char *text;
    const char *hint;
    const char *container;
    const char *node;
};

/* Every command ends in exactly one receipt whose phase is not ACCEPTED. */
struct receipt {
    const char *request_id;
    enum phase phase;
    struct fault_view fault;
    bool has_container;
    struct container_view container;
    /* Sets of keys, of a SET: what is in force, and what will be. Of one that was refused the
     * latter are those that take a stop. */
    uint64_t applied;
    uint64_t at_next_start;
    const struct config *config; /* of a SET that took force; may be NULL */
};

struct hello {
    uint32_t version;
    const char *node;
    const char *build;
    uint64_t epoch;       /* of the agent's ledger */
    uint64_t ledger_last; /* last seq made durable */
    uint64_t started_wall_ns;
    const struct container_view *containers;
    size_t container_count;
    bool is_partial; /* they are too many for one record: all of them follow as CONTAINERS */
};

/* All containers of a node, in one or more records. */
struct container_list {
    const struct container_view *containers;
    size_t container_count;
    bool is_last;
};

struct hello_answer {
    uint32_t version;
    uint64_t session;      /* random; later records of the channel carry it in the envelope */
    uint64_t acknowledged; /* highest seq of this node committed upstream */
    uint64_t acknowledged_epoch;
};

struct event_view {
    struct event event;
    const char *node;
    const char *cursor; /* "" unless a controller set it */
};

struct event_batch {
    const struct event_view *events;
    size_t count;
};

enum query_kind {
    QUERY_UNSET,
    QUERY_LIST,    /* selectors */
    QUERY_SHOW,    /* container */
    QUERY_EVENTS,  /* since, is_follow */
    QUERY_HISTORY, /* container: its events, oldest first */
    QUERY_NODES,
    QUERY_BOOT, /* container: timeline of its last boot */
    QUERY_VERSION,
    QUERY_COUNT
};

enum since { SINCE_ALL, SINCE_NOW, SINCE_SEQ, SINCE_CURSOR, SINCE_TIME, SINCE_COUNT };

struct query {
    const char *request_id;
    const char *node;
    enum query_kind kind;
    const char *const *selectors; /* LIST: name, glob, @node, key=value; none: all */
    size_t selector_count;
    const char *container;
    enum since since;
    uint64_t since_number; /* seq, or wall ns */
    const char *since_cursor;
    bool is_follow;
};

struct node_view {
    const char *name;
    const char *state; /* up, down, pending */
    bool is_cordoned;
    const char *agent_version;
    uint32_t containers;
    uint32_t running;
    const char *session;
    uint64_t seen_wall_ns;
    const struct pair *labels;
    size_t label_count;
};

struct boot_step {
    const char *step;
    uint64_t offset_ns; /* from the command's acceptance */
    uint64_t duration_ns;
};

/* A query has one or more answers; the last carries is_last (never, for a followed one). */
struct answer {
    const char *request_id;
    bool is_last;
    struct fault_view fault;
    const struct container_view *containers;
    size_t container_count;
    const struct config *config; /* SHOW; may be NULL */
    const struct event_view *events;
    size_t event_count;
    const struct node_view *nodes;
    size_t node_count;
    const struct boot_step *steps;
    size_t step_count;
    const char *version;
};

enum stream_kind {
    STREAM_UNSET,
    STREAM_EXEC,
    STREAM_CONSOLE,
    STREAM_LOGS,
    STREAM_IMPORT,
    STREAM_COUNT
};

struct stream_open {
    uint64_t stream; /* chosen by the opener, never reused on its connection */
    const char *request_id;
    const char *node;
    const char *container; /* of IMPORT: the template's name */
    enum stream_kind kind;
    const char *const *argv; /* EXEC */
    size_t argv_count;
    const struct pair *env;
    size_t env_count;
    const char *cwd;
    const char *user;
    bool is_tty;
    uint64_t timeout_ns;
    uint32_t rows;
    uint32_t columns;
    bool is_follow; /* LOGS */
};

enum lane { LANE_UNSET, LANE_STDIN, LANE_STDOUT, LANE_STDERR, LANE_RESIZE, LANE_COUNT };

struct stream_frame {
    uint64_t stream;
    uint64_t number; /* from 1 in each direction; a hole ends the stream with stream_lost */
    enum lane lane;
    struct octets data; /* ≤ STREAM_FRAME_BYTES_MAX; RESIZE: two little-endian uint16 */
    bool is_end;        /* of this lane */
};

struct stream_credit {
    uint64_t stream;
    uint64_t bytes; /* cumulative octets that the reader is ready to have had */
};

/* Opener → other: "close it". Other → opener: how it ended. */
struct stream_end {
    uint64_t stream;
    uint64_t bytes; /* full length sent by this end */
    struct fault_view fault;
    int32_t exit_code; /* of EXEC; 128+n for a signal */
};

enum message_kind {
    MESSAGE_UNSET,
    MESSAGE_HELLO,
    MESSAGE_HELLO_ANSWER,
    MESSAGE_PING,
    MESSAGE_PONG,
    MESSAGE_RESET,
    MESSAGE_COMMAND,
    MESSAGE_RECEIPT,
    MESSAGE_EVENTS,
    MESSAGE_EVENT_ACK,
    MESSAGE_QUERY,
    MESSAGE_ANSWER,
    MESSAGE_STREAM_OPEN,
    MESSAGE_STREAM_FRAME,
    MESSAGE_STREAM_CREDIT,
    MESSAGE_STREAM_END,
    MESSAGE_CONTAINERS,
    MESSAGE_COUNT
};

struct message {
    uint64_t session;   /* of a channel, from HELLO_ANSWER; 0 on local sockets */
    uint64_t number;    /* of this record in its direction, from 1; 0: not to be numbered */
    uint64_t received;  /* highest number read without a gap from the other direction */
    uint64_t committed; /* highest number made durable from the other direction */
    enum message_kind kind;
    union {
        struct hello hello;
        struct hello_answer hello_answer;
        uint64_t ping_ns; /* PING, PONG: the sender's clock, given back */
        uint64_t reset;   /* RESET: down, a session that is not known, a hint; up, one that ends */
        struct command command;
        struct receipt receipt;
        struct event_batch events;
        uint64_t event_ack; /* EVENT_ACK: cumulative seq, after the receiver's commit */
        struct query query;
        struct answer answer;
        struct stream_open stream_open;
        struct stream_frame stream_frame;
        struct stream_credit stream_credit;
        struct stream_end stream_end;
        struct container_list containers;
    };
};

#endif
