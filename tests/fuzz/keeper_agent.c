/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent of the target `keeper`: its orders, right and wrong ones, and what it makes sure of in
 * each record that it hears.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "keeper_plans.h"
#include "keeper_world.h"
#include "sys.h"

void agent_connect(void)
{
    if (world.agent >= 0)
        return;
    world.agent = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(world.agent, (struct sockaddr *)&world.address, world.address_bytes) < 0)
        fd_closep(&world.agent);
}

static void send_order(struct kw_header *header, enum kw_type type, size_t size_bytes,
                       const int *fds, size_t fd_count)
{
    *header = (struct kw_header){.magic = KW_MAGIC,
                                 .version = KW_VERSION,
                                 .type = (uint16_t)type,
                                 .size_bytes = (uint32_t)size_bytes,
                                 .fd_count = (uint32_t)fd_count};
    if (world.agent >= 0)
        (void)sys_send_fds(world.agent, header, size_bytes, fds, fd_count);
}

void agent_say_hello(void)
{
    struct kw_hello hello = {.build = "fuzz"};
    send_order(&hello.header, KW_HELLO, sizeof(hello), NULL, 0);
}

static void acknowledge(enum kw_type type, uint64_t launch, uint64_t generation, uint64_t change)
{
    struct kw_ack ack = {.launch = launch, .generation = generation, .change = change};
    send_order(&ack.header, type, sizeof(ack), NULL, 0);
}

static void check_status_text(const char *text, size_t size_bytes)
{
    PROMISE(text[size_bytes - 1] == '\0');
    for (size_t i = 0; text[i] != '\0'; i++)
        PROMISE((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

static void check_record(const struct kw_record *record)
{
    PROMISE(record->launch != 0);
    PROMISE(record->labels.name[KW_NAME_BYTES - 1] == '\0');
    PROMISE(record->labels.request[KW_REQUEST_BYTES - 1] == '\0');
    PROMISE(record->phase >= KW_PHASE_STAGING && record->phase <= KW_PHASE_ENDED);
    PROMISE(record->failed_step < KW_STEP_COUNT && record->candidate_count <= KW_CANDIDATES_MAX);
    check_status_text(record->notify_status, sizeof(record->notify_status));
    if (record->launch >= LAUNCHES)
        return;
    struct told *before = &world.told[record->launch];
    /* A number may be adopted once its end is acknowledged, heard or not: then it is another. */
    if (record->is_adopted && record->change < before->change)
        before->change = before->phase = 0;
    PROMISE(record->change >= before->change);
    PROMISE(before->phase != KW_PHASE_ENDED || record->phase == KW_PHASE_ENDED);
    PROMISE(before->phase != KW_PHASE_FAILED || record->phase == KW_PHASE_FAILED);
    PROMISE(before->phase != KW_PHASE_BOOTED || record->phase >= KW_PHASE_BOOTED);
    before->change = record->change;
    before->phase = record->phase;
    if (record->is_status_known)
        PROMISE(before->has_status && before->status == record->wait_status);
    if (record->phase == KW_PHASE_ENDED && !record->is_adopted)
        PROMISE(record->is_status_known);
    CANARY(record->phase == KW_PHASE_ENDED && record->candidate_count == 3);
}

static void check_packet(const struct kw_header *header, size_t size_bytes, size_t fd_count)
{
    PROMISE(size_bytes >= sizeof(*header) && header->size_bytes == size_bytes);
    PROMISE(header->magic == KW_MAGIC && header->fd_count == fd_count);
    if (header->type == KW_RECORD) {
        PROMISE(size_bytes == sizeof(struct kw_record));
        check_record((const void *)header);
    } else if (header->type == KW_SPAWN_RECORD) {
        PROMISE(size_bytes == sizeof(struct kw_spawn_record));
    } else if (header->type == KW_REFUSED) {
        PROMISE(size_bytes == sizeof(struct kw_refused));
    }
}

/* Read all that was told; with is_acknowledged each record is answered. */
void agent_hear(bool is_acknowledged)
{
    _Alignas(8) static uint8_t octets[sizeof(struct kw_record) + 64];
    int fds[KW_FDS_MAX];
    size_t fd_count;

    while (world.agent >= 0) {
        ssize_t size =
            sys_receive_fds(world.agent, octets, sizeof(octets), fds, KW_FDS_MAX, &fd_count);
        if (size <= 0) {
            if (size != -EAGAIN)
                fd_closep(&world.agent);
            return;
        }
        const struct kw_header *header = (const void *)octets;
        check_packet(header, (size_t)size, fd_count);
        for (size_t i = 0; i < fd_count; i++)
            (void)close(fds[i]);
        if (!is_acknowledged)
            continue;
        const struct kw_record *record = (const void *)octets;
        const struct kw_spawn_record *spawn = (const void *)octets;
        if (header->type == KW_RECORD)
            acknowledge(KW_ACK, record->launch, record->labels.generation, record->change);
        else if (header->type == KW_SPAWN_RECORD)
            acknowledge(KW_ACK_SPAWN, spawn->spawn, 0, spawn->change);
    }
}

/* One of ours with some octets changed, or octets with a header that is put right. */
static int take_plan(void)
{
    _Alignas(8) static uint8_t block[KEEPER_PLAN_BYTES_MAX];
    struct kp_header *plan = (struct kp_header *)(void *)block;
    const uint8_t *part;
    uint8_t which = script_octet(&world.script);
    size_t size_bytes = 0;

    memset(block, 0, sizeof(block));
    if (which % 8 < KEEPER_PLANS) {
        size_bytes = keeper_plan_make(which % 8, block, sizeof(block));
        for (unsigned changes = script_octet(&world.script) % 8; changes > 0; changes--) {
            size_t at = script_short(&world.script) % size_bytes;
            block[at] = script_octet(&world.script);
        }
        return sys_memfd_sealed("plan", block, size_bytes);
    }
    size_bytes = script_part(&world.script, sizeof(block), &part);
    if (size_bytes > 0)
        memcpy(block, part, size_bytes);
    plan->magic = KP_MAGIC;
    plan->version = KP_VERSION;
    if (size_bytes < sizeof(*plan))
        size_bytes = sizeof(*plan);
    plan->size_bytes = (uint32_t)size_bytes;
    return sys_memfd_sealed("plan", block, size_bytes);
}

struct load {
    int fds[16];
    uint8_t roles[KW_FDS_MAX];
    size_t count;
};

static void load_add(struct load *load, unsigned role, int fd_consumed)
{
    load->roles[load->count] = (uint8_t)role;
    load->fds[load->count++] = fd_consumed;
}

static int null_fd(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void load_close(struct load *load)
{
    for (size_t i = 0; i < load->count; i++)
        (void)close(load->fds[i]);
}

static int ring_fd(void)
{
    int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ftruncate(fd, KW_RING_DATA_OFFSET + 4096) < 0)
        abort();
    return fd;
}

static void order_launch(void)
{
    struct kw_launch record = {.stage_deadline_ns = world.now_ns + 60 * NS_PER_S};
    struct load load = {0};
    int pair[2] = {-1, -1};

    record.launch = script_octet(&world.script);
    unsigned flags = script_octet(&world.script);
    unsigned map = (flags & KEEPER_IDMAP) != 0 ? KW_FD_IDMAP : 0;
    record.labels.generation = 1;
    memset(record.labels.name, 'n', sizeof(record.labels.name));
    load_add(&load, KW_FD_PLAN, take_plan());
    load_add(&load, KW_FD_CGROUP, null_fd());
    load_add(&load, map | ((flags & KEEPER_LAYERS) != 0 ? KW_FD_LOWER : KW_FD_ROOT), null_fd());
    if ((flags & KEEPER_MOUNT) != 0)
        load_add(&load, map | KW_FD_MOUNT, null_fd());
    if ((flags & KEEPER_LAYERS) != 0)
        load_add(&load, map | KW_FD_UPPER, null_fd());
    if ((flags & KEEPER_TASKS) != 0)
        load_add(&load, KW_FD_TASKS, null_fd());
    if ((flags & KEEPER_RING) != 0)
        load_add(&load, KW_FD_RING, ring_fd());
    if ((flags & KEEPER_NOTIFY) != 0 &&
        socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0)
        load_add(&load, KW_FD_NOTIFY, pair[1]);
    memcpy(record.roles, load.roles, sizeof(record.roles));
    send_order(&record.header, KW_LAUNCH, sizeof(record), load.fds, load.count);
    load_close(&load);
    if (pair[0] >= 0 && world.notify_end[record.launch] >= 0)
        (void)close(world.notify_end[record.launch]);
    if (pair[0] >= 0)
        world.notify_end[record.launch] = pair[0];
}

static void order_spawn(void)
{
    static const uint8_t roles[] = {KW_FD_TARGET, KW_FD_CGROUP, KW_FD_STDIN, KW_FD_STDOUT,
                                    KW_FD_STDERR, KW_FD_KILL,   KW_FD_TASKS, KW_FD_MOUNT};
    struct kw_spawn record = {.deadline_ns = world.now_ns + 100 * NS_PER_S};
    struct load load = {0};

    record.spawn = script_octet(&world.script);
    unsigned flags = script_octet(&world.script) & 0x7f; /* the last one fits no spawn */
    if (record.spawn % 8 == 7)
        flags |= 0x80;
    load_add(&load, KW_FD_PLAN, take_plan());
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if ((flags >> i & 1) != 0)
            load_add(&load, roles[i], null_fd());
    memcpy(record.roles, load.roles, sizeof(record.roles));
    send_order(&record.header, KW_SPAWN, sizeof(record), load.fds, load.count);
    load_close(&load);
}

static void order_adopt(void)
{
    struct kw_adopt record = {.roles = {KW_FD_PID}};
    uint8_t number = script_octet(&world.script);
    bool is_dead = (script_octet(&world.script) & 1) != 0;
    int fd = is_dead ? fcntl(world.dead_pidfd, F_DUPFD_CLOEXEC, 0)
                     : (int)syscall(SYS_pidfd_open, getpid(), 0);

    record.launch = number;
    send_order(&record.header, KW_ADOPT, sizeof(record), &fd, 1);
    (void)close(fd);
}

static void order_reexec(void)
{
    struct kw_reexec record = {.roles = {KW_FD_BINARY}};
    int fd = null_fd();

    send_order(&record.header, KW_REEXEC, sizeof(record), &fd, 1);
    (void)close(fd);
}

static void order_raw(void)
{
    struct load load = {0};
    const uint8_t *part;

    for (unsigned count = script_octet(&world.script) % 8; count > 0; count--)
        load_add(&load, KW_FD_MOUNT, null_fd());
    size_t size_bytes = script_part(&world.script, 1024, &part);
    if (world.agent >= 0)
        (void)sys_send_fds(world.agent, size_bytes > 0 ? part : (const uint8_t *)"", size_bytes,
                           load.fds, load.count);
    load_close(&load);
}

static void send_go(enum kw_type type)
{
    struct kw_go record = {.launch = script_octet(&world.script)};
    send_order(&record.header, type, sizeof(record), NULL, 0);
}

static void order_go(void)
{
    send_go(KW_GO);
}

static void order_abort(void)
{
    send_go(KW_ABORT);
}

static void send_ack(enum kw_type type)
{
    uint64_t launch = script_octet(&world.script);
    uint64_t generation = script_octet(&world.script);
    acknowledge(type, launch, generation, script_octet(&world.script));
}

static void order_ack(void)
{
    send_ack(KW_ACK);
}

static void order_ack_spawn(void)
{
    send_ack(KW_ACK_SPAWN);
}

/* A new console for an adopted guest. */
static void order_console(void)
{
    struct kw_console record = {.spawn = script_octet(&world.script),
                                .launch = script_octet(&world.script)};
    struct load load = {0};
    unsigned flags = script_octet(&world.script);

    world.is_slave_refused = (flags & 32) != 0;
    record.uid_base = (flags & 4) != 0 ? 100000 : 0;
    record.uid_count = (flags & 8) != 0 ? 65536 : 0;
    if ((flags & 1) != 0)
        load_add(&load, KW_FD_RING, ring_fd());
    if ((flags & 2) != 0)
        load_add(&load, KW_FD_PTY,
                 (flags & 16) != 0 ? open("/dev/ptmx", O_RDWR | O_CLOEXEC) : null_fd());
    memcpy(record.roles, load.roles, sizeof(record.roles));
    send_order(&record.header, KW_CONSOLE, sizeof(record), load.fds, load.count);
    load_close(&load);
}

void agent_order(enum keeper_step step)
{
    static void (*const orders[KEEPER_STEPS])(void) = {
        [KEEPER_HELLO] = agent_say_hello,
        [KEEPER_LAUNCH] = order_launch,
        [KEEPER_GO] = order_go,
        [KEEPER_ABORT] = order_abort,
        [KEEPER_SPAWN] = order_spawn,
        [KEEPER_ACK] = order_ack,
        [KEEPER_ACK_SPAWN] = order_ack_spawn,
        [KEEPER_ADOPT] = order_adopt,
        [KEEPER_REEXEC] = order_reexec,
        [KEEPER_RAW] = order_raw,
        [KEEPER_REBIND] = order_console,
    };

    if (orders[step] != NULL)
        orders[step]();
}
