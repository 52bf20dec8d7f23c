/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: what the keeper tells is the only word there is on a guest's end. Records come in any
 * order, cut, foreign, of launches that are long gone, with descriptors that fit or not; each boot,
 * readiness and end may be observed once at most, an end only after it is noted as owed to the
 * keeper; no descriptor may be left over. The agent's real client and its
 * reading of records run; what they hand on to is counted here.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"
#include "cleanup.h"
#include "console_rebind.h"
#include "fuzz.h"
#include "hook_inside.h"
#include "keeper_start.h"
#include "launching.h"
#include "sys.h"
#include "watch.h"

#define SLOTS 3

struct seen {
    unsigned booted;
    unsigned ready;
    unsigned ended;
    unsigned owed;
};

static struct agent agent;
static struct seen seen[SLOTS];
static jmp_buf died;
static int keeper = -1; /* its end of the connection */
static bool is_woken;

/* ---- what the agent's other parts would do ---- */

void turn_core_owe_ack(struct turn_core *core, uint32_t index, const struct kw_record *record)
{
    (void)core;
    PROMISE(record_is_final(record));
    if (index != TURN_CORE_NOBODY)
        seen[index].owed++;
}

void agent_wake(struct agent *a)
{
    (void)a;
    is_woken = true;
}

void agent_die(const struct fault *fault)
{
    PROMISE(fault->status != STATUS_UNSET);
    longjmp(died, 1);
}

void watch_read_oom(struct agent *a, uint32_t index)
{
    PROMISE(index < SLOTS && a == &agent);
}

void adopt_hold_record(struct agent *a, const struct kw_record *record, int *fds,
                       const uint8_t *roles)
{
    (void)record;
    (void)fds;
    (void)roles;
    PROMISE(!a->is_adopted);
}

void streams_console_grew(struct streams *streams, uint32_t ct)
{
    (void)streams;
    PROMISE(ct < SLOTS);
}

void streams_spawn_record(struct streams *streams, const struct kw_spawn_record *record)
{
    (void)streams;
    (void)record;
}

void streams_spawn_refused(struct streams *streams, uint64_t spawn, int error)
{
    (void)streams;
    (void)spawn;
    (void)error;
}

void console_rebind_ended(struct agent *a, const struct kw_spawn_record *record)
{
    (void)a;
    (void)record;
}

void console_rebind_refused(struct agent *a, const struct kw_refused *refused)
{
    (void)a;
    PROMISE(refused->type == KW_CONSOLE);
}

bool launching_keeps(struct agent *a, uint32_t index, const struct observation *told)
{
    (void)a;
    PROMISE(index < SLOTS && told->kind == IN_LAUNCH_FAILED);
    return false;
}

void launching_go_refused(struct agent *a, uint32_t index)
{
    (void)a;
    PROMISE(index < SLOTS);
}

void launching_said_staged(struct agent *a, uint32_t index)
{
    (void)a;
    PROMISE(index < SLOTS);
}

void readiness_start(struct agent *a, uint32_t index)
{
    (void)a;
    (void)index;
}

void hook_run_record(struct agent *a, const struct kw_spawn_record *record)
{
    (void)a;
    (void)record;
}

void hook_run_refused(struct agent *a, const struct kw_refused *refused)
{
    (void)a;
    PROMISE(refused->type == KW_SPAWN);
}

void hook_inside_begin(struct agent *a, const struct hook_inside_request *request)
{
    (void)a;
    PROMISE(request->way == HOOKS_START);
}

int keeper_start(const char *path, const char *binary, const struct cgroups *cgroups,
                 struct fault *fault)
{
    (void)path;
    (void)binary;
    (void)cgroups;
    (void)fault;
    abort();
}

bool cgroup_is_keeper_gone(const struct cgroups *cgroups)
{
    (void)cgroups;
    return false;
}

/* ---- the keeper ---- */

struct load {
    int fds[16];
    size_t count;
};

static void load_add(struct load *load, uint8_t role, unsigned how)
{
    int fd = role == KW_FD_OUTPUT ? eventfd(0, EFD_CLOEXEC)
             : role == KW_FD_RING ? memfd_create("ring", MFD_CLOEXEC)
                                  : open("/dev/null", O_RDWR | O_CLOEXEC);

    if (role == KW_FD_RING && how % 2 == 0)
        PROMISE(ftruncate(fd, KW_RING_DATA_OFFSET + KW_RING_DEFAULT_BYTES) == 0);
    load->fds[load->count++] = fd;
}

static void load_send(const struct kw_header *header, size_t size_bytes, struct load *load)
{
    (void)sys_send_fds(keeper, header, size_bytes, load->fds, load->count);
    for (size_t i = 0; i < load->count; i++)
        (void)close(load->fds[i]);
}

static void fill_header(struct kw_header *header, uint16_t type, size_t size_bytes, size_t count)
{
    *header = (struct kw_header){KW_MAGIC, KW_VERSION, type, (uint32_t)size_bytes, (uint32_t)count};
}

static void fill_roles(struct script *script, uint8_t *roles, struct load *load)
{
    unsigned count = script_octet(script) % 8;

    for (unsigned i = 0; i < count; i++) {
        roles[i] = script_octet(script) % (KW_FD_BINARY + 1);
        load_add(load, roles[i], count);
    }
}

static void tell_record(struct script *script)
{
    struct kw_record record = {0};
    struct load load = {0};

    record.launch = script_octet(script) % 8;
    record.labels.generation = 1;
    memset(record.labels.name, 'c', sizeof(record.labels.name));
    record.change = script_octet(script);
    record.phase = script_octet(script) % 8;
    unsigned flags = script_octet(script);
    record.is_ready = flags & 1;
    record.is_stopping = flags >> 1 & 1;
    record.is_status_known = flags >> 2 & 1;
    record.wait_status = script_short(script);
    record.pid = script_octet(script);
    record.failed_step = script_octet(script);
    record.failed_errno = script_octet(script);
    record.candidate_count = script_octet(script);
    for (size_t i = 0; i < KW_CANDIDATES_MAX; i++)
        record.candidate_errno[i] = (int32_t)(flags * (i + 1));
    record.exec_ns = (uint64_t)script_octet(script) << 32;
    fill_roles(script, record.roles, &load);
    fill_header(&record.header, KW_RECORD, sizeof(record), load.count);
    load_send(&record.header, sizeof(record), &load);
}

static void tell_spawn(struct script *script)
{
    struct kw_spawn_record record = {.spawn = script_octet(script)};
    struct load load = {0};

    record.phase = script_octet(script);
    fill_roles(script, record.roles, &load);
    fill_header(&record.header, KW_SPAWN_RECORD, sizeof(record), load.count);
    load_send(&record.header, sizeof(record), &load);
}

static void tell_refusal(struct script *script)
{
    static const uint8_t types[] = {KW_LAUNCH, KW_SPAWN, KW_REEXEC, KW_CONSOLE,
                                    KW_ADOPT,  KW_ACK,   KW_LAUNCH, KW_GO};
    struct kw_refused record = {.number = script_octet(script) % 8};
    struct load load = {0};

    record.type = types[script_octet(script) % COUNT_OF(types)];
    record.reason = script_octet(script) % 12;
    record.error = script_octet(script);
    fill_header(&record.header, KW_REFUSED, sizeof(record), 0);
    load_send(&record.header, sizeof(record), &load);
}

static void tell_bare(struct script *script)
{
    struct kw_header header;
    struct load load = {0};

    fill_header(&header, script_octet(script) % 2 == 0 ? KW_SYNCED : KW_REEXECED, sizeof(header),
                0);
    load_send(&header, sizeof(header), &load);
}

/* Octets as they are; 0 of them would be the end. */
static void tell_raw(struct script *script)
{
    const uint8_t *part;
    struct load load = {0};

    for (unsigned count = script_octet(script) % 4; count > 0; count--)
        load_add(&load, KW_FD_PTY, 0);
    size_t size_bytes = script_part(script, 1024, &part);
    load_send((const void *)(size_bytes > 0 ? part : (const uint8_t *)"x"),
              size_bytes > 0 ? size_bytes : 1, &load);
}

/* ---- what came of it ---- */

static void check_observation(const struct observation *told)
{
    PROMISE(told->ct < SLOTS);
    struct seen *of = &seen[told->ct];

    PROMISE(is_woken);
    of->booted += told->kind == IN_BOOTED;
    of->ready += told->kind == IN_READY;
    of->ended += told->kind == IN_ENDED;
    PROMISE(of->booted <= 1 && of->ready <= 1 && of->ended <= 1);
    if (told->kind == IN_ENDED)
        PROMISE(of->owed >= 1 && of->booted == 1);
    if (told->kind == IN_LAUNCH_FAILED) {
        PROMISE(told->fault.status != STATUS_UNSET);
        PROMISE(memchr(told->fault.text, '\0', sizeof(told->fault.text)) != NULL);
    }
    CANARY(told->kind == IN_ENDED && told->has_status && of->ready == 1 && told->ct == 2);
}

static void check_observations(void)
{
    struct input input;

    while (inbox_take(&agent.inbox, &input)) {
        PROMISE(input.kind == INPUT_OBSERVATION);
        check_observation(&input.observation);
    }
}

static void hear(void)
{
    int result = 0;

    for (unsigned i = 0; i < 4 && result == 0 && agent.keeper.socket >= 0; i++)
        result = keeper_client_read(&agent.keeper, 0);
    check_observations();
    if (result < 0 && agent.keeper.socket >= 0) { /* no keeper that we know: as good as gone */
        (void)close(agent.keeper.socket);
        agent.keeper.socket = -1;
    }
}

static void do_step(struct script *script)
{
    switch (script_octet(script) % 8) {
    case 0:
        tell_spawn(script);
        return;
    case 1:
        tell_refusal(script);
        return;
    case 2:
        tell_bare(script);
        return;
    case 3:
        tell_raw(script);
        return;
    case 4:
        agent.is_adopted = true;
        return;
    default:
        tell_record(script);
        return;
    }
}

static void open_all(void)
{
    static struct node node;
    static struct slot slots[CT_MAX];
    int pair[2];

    PROMISE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    node.slots_end = SLOTS;
    memset(slots, 0, SLOTS * sizeof(slots[0]));
    memset(seen, 0, sizeof(seen));
    agent.node = &node;
    agent.slots = slots;
    agent.is_adopted = true;
    for (uint32_t i = 0; i < SLOTS; i++) {
        slots[i] = (struct slot){.launch = i + 1, .generation = 1, .pty = -1, .output = -1};
        slots[i].candidate_count = i;
        memset(slots[i].candidates, 0, sizeof(slots[i].candidates));
    }
    agent.keeper = (struct keeper_client){
        .socket = pair[0], .pidfd = -1, .on_record = keeper_records_on_record};
    keeper = pair[1];
}

static void close_all(void)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        fd_closep(&agent.slots[i].pty);
        fd_closep(&agent.slots[i].output);
        if (agent.slots[i].ring != NULL)
            (void)munmap((void *)(uintptr_t)agent.slots[i].ring, agent.slots[i].ring_bytes);
    }
    fd_closep(&agent.keeper.socket);
    fd_closep(&keeper);
    inbox_close(&agent.inbox);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct script script;
    static unsigned before;

    script = (struct script){data, size_bytes};
    before = fuzz_open_fds();
    open_all();
    if (setjmp(died) == 0) {
        while (script.left > 0 && agent.keeper.socket >= 0) {
            do_step(&script);
            hear();
        }
        PROMISE(fuzz_open_fds() <= before + 2 + 2 * SLOTS);
    }
    close_all();
    return 0;
}
