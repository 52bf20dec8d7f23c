/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <errno.h>

#define ENVELOPE                                                                                   \
    .session = UINT64_C(0x8899aabbccddeeff), .number = 300, .received = UINT64_MAX, .committed = 7

static const struct bind binds[] = {
    {.source = "/srv/a", .target = "/a", .is_read_only = true},
    {.source = "/srv/b", .target = "/b", .is_plain = true},
};
static const struct tmpfs tmpfs[] = {{.target = "/tmp", .size_bytes = 1 << 20}, {.target = "/x"}};
static const struct pair env[] = {{"PATH", "/bin"}, {"EMPTY", ""}, {"LANG", "gr\xc3\xbc\xc3\x9f"}};
static const struct pair labels[] = {{"tier", "web"}, {"\xf0\x9f\x90\x84", "cow"}};

static const struct pair hooks[] = {{"premount", "/srv/attach"}, {"postumount", "/srv/detach"}};
static const char *const depends[] = {"db", "cache"};
static const struct setting settings[] = {{.key = SETTING_MEMORY},
                                          {.key = SETTING_ENV, .is_cleared = true},
                                          {.key = SETTING_DEPENDS, .removed = "db"}};

const struct config sample_config = {
    .template_name = "debian12",
    .root = "/srv/root",
    .memory_max_bytes = LIMIT_NONE,
    .swap_max_bytes = 1,
    .pids_max = 2,
    .cpu_milli = 1500,
    .cpu_weight = 101,
    .binds = binds,
    .bind_count = 2,
    .tmpfs = tmpfs,
    .tmpfs_count = 2,
    .env = env,
    .env_count = 3,
    .init = "/sbin/init",
    .ready = READY_CONSOLE,
    .restart = RESTART_ON_FAILURE,
    .is_reboot_denied = true,
    .on_node_lost = NODE_LOST_RESTART,
    .is_privileged = true,
    .is_nested = true,
    .has_fuse = true,
    .has_tun = true,
    .has_ptrace = true,
    .labels = labels,
    .label_count = 2,
    .hooks = hooks,
    .hook_count = 2,
    .stop_grace_ns = 120,
    .family = FAMILY_RUNIT,
    .ready_text = "login:",
    .ready_ns = 30,
    .is_ready_kept = true,
    .autostart = AUTOSTART_DISABLED,
    .order = UINT32_MAX,
    .depends = depends,
    .depend_count = 2,
};

static const struct container_view containers[] = {
    {
        .name = "web-17",
        .uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
        .node = "n1",
        .state = CT_STUCK,
        .generation = 3,
        .pid = INT32_MAX,
        .is_ready = true,
        .cause = CAUSE_UNKNOWN,
        .has_status = true,
        .wait_status = 0x8b,
        .started_wall_ns = 4,
        .labels = labels,
        .label_count = 2,
        .revision = 5,
    },
    {.name = "db", .node = "n2", .has_status = true},
};

static const struct event_view events[] = {
    {
        .event =
            {
                .epoch = UINT64_MAX,
                .seq = 2,
                .time_wall_ns = 3,
                .uuid = {16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1},
                .name = "012345678901234567890123456789012345678901234567890123456789012",
                .generation = 4,
                .type = EVENT_AUDIT,
                .from = CT_RUNNING,
                .to = CT_KILLING,
                .cause = CAUSE_LEASE_LOST,
                .has_status = true,
                .wait_status = 9,
                .result = STATUS_AGENT_LOST,
                .request =
                    "01234567890123456789012345678901234567890123456789012345678901234567890",
                .detail = "mysqld \xe2\x82\xac",
            },
        .node = "n1",
        .cursor = "c-1",
    },
    {.event = {.type = EVENT_NODE_UP, .epoch = 1, .seq = 1}, .node = "n2"},
};

static const struct node_view nodes[] = {
    {
        .name = "n1",
        .state = "up",
        .is_cordoned = true,
        .agent_version = "0.1.0",
        .containers = 10,
        .running = 9,
        .session = "0123",
        .seen_wall_ns = 8,
        .labels = labels,
        .label_count = 2,
    },
    {.name = "n2", .state = "pending"},
};
static const struct boot_step steps[] = {{"cgroup", 1, 2}, {"stage", 3, UINT64_MAX}};
static const char *const selectors[] = {"web-*", "", "@n1"};
static const char *const argv[] = {"/bin/sh", "-c", "", "echo \xff\xfe"};
static const uint8_t octets[] = {0, 1, 2, 0xff, 0};
static const uint8_t window[] = {24, 0, 80, 0};

#define FAULT                                                                                      \
    {                                                                                              \
        .status = STATUS_BUSY, .error = EBUSY, .text = "uses 3 MiB", .hint = "stop it",            \
        .container = "web-17", .node = "n1"                                                        \
    }

const struct message samples[SAMPLE_COUNT] = {
    {ENVELOPE, .kind = MESSAGE_HELLO,
     .hello = {.version = 1,
               .node = "n1",
               .build = "0.1.0",
               .epoch = 2,
               .ledger_last = 3,
               .started_wall_ns = 4,
               .containers = containers,
               .container_count = 2,
               .is_partial = true}},
    {ENVELOPE, .kind = MESSAGE_CONTAINERS,
     .containers = {.containers = containers, .container_count = 2, .is_last = true}},
    {ENVELOPE, .kind = MESSAGE_HELLO_ANSWER,
     .hello_answer = {.version = 1, .session = 2, .acknowledged = 3, .acknowledged_epoch = 4}},
    {ENVELOPE, .kind = MESSAGE_PING, .ping_ns = 5},
    {ENVELOPE, .kind = MESSAGE_PONG, .ping_ns = 6},
    {ENVELOPE, .kind = MESSAGE_RESET, .reset = 7},
    {ENVELOPE, .kind = MESSAGE_COMMAND,
     .command = {.request_id = "r-1",
                 .node = "n1",
                 .container = "web-17",
                 .time_left_ns = 9,
                 .verb = VERB_CREATE,
                 .config = &sample_config,
                 .is_started = true,
                 .wait = WAIT_FOR_ACCEPTED,
                 .grace_ns = 10,
                 .is_forced = true,
                 .is_for_shutdown = true}},
    {.kind = MESSAGE_COMMAND, .command = {.container = "x", .verb = VERB_DESTROY}},
    {ENVELOPE, .kind = MESSAGE_RECEIPT,
     .receipt = {.request_id = "r-1",
                 .phase = PHASE_QUEUED,
                 .fault = FAULT,
                 .has_container = true,
                 .container = {.name = "a", .state = CT_STOPPED}}},
    {.kind = MESSAGE_RECEIPT, .receipt = {.phase = PHASE_DONE}},
    {ENVELOPE, .kind = MESSAGE_COMMAND,
     .command = {.request_id = "r-2",
                 .container = "web-17",
                 .verb = VERB_SET,
                 .config = &sample_config,
                 .settings = settings,
                 .setting_count = 3,
                 .set_when = SET_RESTART,
                 .base_revision = UINT64_MAX}},
    {ENVELOPE, .kind = MESSAGE_RECEIPT,
     .receipt = {.request_id = "r-2",
                 .phase = PHASE_DONE,
                 .applied = SETTING_BIT(SETTING_MEMORY) | SETTING_BIT(SETTING_DEPENDS),
                 .at_next_start = SETTING_BIT(SETTING_ENV),
                 .config = &sample_config}},
    {ENVELOPE, .kind = MESSAGE_EVENTS, .events = {.events = events, .count = 2}},
    {.kind = MESSAGE_EVENTS},
    {ENVELOPE, .kind = MESSAGE_EVENT_ACK, .event_ack = UINT64_MAX},
    {ENVELOPE, .kind = MESSAGE_QUERY,
     .query = {.request_id = "q",
               .node = "n1",
               .kind = QUERY_VERSION,
               .selectors = selectors,
               .selector_count = 3,
               .container = "web-17",
               .since = SINCE_TIME,
               .since_number = 11,
               .since_cursor = "c-2",
               .is_follow = true}},
    {.kind = MESSAGE_QUERY, .query = {.kind = QUERY_LIST}},
    {ENVELOPE, .kind = MESSAGE_ANSWER,
     .answer = {.request_id = "q",
                .is_last = true,
                .fault = FAULT,
                .containers = containers,
                .container_count = 2,
                .config = &sample_config,
                .events = events,
                .event_count = 2,
                .nodes = nodes,
                .node_count = 2,
                .steps = steps,
                .step_count = 2,
                .version = "0.1.0"}},
    {.kind = MESSAGE_ANSWER},
    {ENVELOPE, .kind = MESSAGE_STREAM_OPEN,
     .stream_open = {.stream = 1,
                     .request_id = "s",
                     .node = "n1",
                     .container = "web-17",
                     .kind = STREAM_EXEC,
                     .argv = argv,
                     .argv_count = 4,
                     .env = env,
                     .env_count = 3,
                     .cwd = "/caf\xe9",
                     .user = "www",
                     .is_tty = true,
                     .timeout_ns = 12,
                     .rows = 24,
                     .columns = 80,
                     .is_follow = true}},
    {.kind = MESSAGE_STREAM_OPEN, .stream_open = {.kind = STREAM_IMPORT}},
    {ENVELOPE, .kind = MESSAGE_STREAM_FRAME,
     .stream_frame = {.stream = 1,
                      .number = 2,
                      .lane = LANE_STDERR,
                      .data = {.data = octets, .size_bytes = sizeof(octets)},
                      .is_end = true}},
    {.kind = MESSAGE_STREAM_FRAME,
     .stream_frame = {.lane = LANE_RESIZE, .data = {.data = window, .size_bytes = sizeof(window)}}},
    {ENVELOPE, .kind = MESSAGE_STREAM_CREDIT, .stream_credit = {.stream = 1, .bytes = 1 << 20}},
    {ENVELOPE, .kind = MESSAGE_STREAM_END,
     .stream_end = {.stream = 1, .bytes = 13, .fault = FAULT, .exit_code = 137}},
    {.kind = MESSAGE_STREAM_END},
};
