/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: the keeper is the parent of every guest; nothing that an agent, a stage child or a
 * guest says may end it, make it forget a status, or leave a descriptor open. The real loop runs
 * over real sockets, ptys and memfds; only the clone, the wait and the clock are the script's. Each
 * end must be told with the status that was reaped, and after all ends are acknowledged nothing is
 * left.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "keeper_world.h"
#include "sys.h"

#define LAST_ROUNDS 60 /* more than all records of a script need */

struct keeper k;
struct keeper_world world = {.dead_pidfd = -1, .address = {.sun_family = AF_UNIX}};
static bool is_deaf;
static unsigned last_round; /* 0: the script goes on */

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms);
int __real_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms);

/* ---- world.children and guests ---- */

static void child_reports(void)
{
    struct fake_child *child = kernel_pick_child();
    struct stage_report report = {.kind = script_octet(&world.script)};
    int fds[3];

    report.step = script_octet(&world.script);
    report.error = script_octet(&world.script);
    report.detail = (int8_t)script_octet(&world.script);
    size_t count = report.kind == STAGE_READY ? 3 : report.kind == STAGE_PTY ? 1 : 0;
    if (child == NULL || child->report < 0)
        return;
    for (size_t i = 0; i < count; i++)
        fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)sys_send_fds(child->report, &report, sizeof(report), fds, count);
    for (size_t i = 0; i < count; i++)
        (void)close(fds[i]);
}

static void guest_writes(void)
{
    uint32_t slot = script_octet(&world.script) % 8;
    const uint8_t *part;
    size_t size_bytes = script_part(&world.script, KEEPER_SAID_BYTES_MAX, &part);
    int slave = k.table.numbers[slot] == 0 ? -1 : k.table.entries[slot].slave;

    if (slave < 0)
        return;
    if (size_bytes == 0) { /* it hangs up: no slave of its terminal is left, vhangup(2) */
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        PROMISE(dup3(null, slave, O_CLOEXEC) == slave);
        (void)close(null);
        return;
    }
    int flags = fcntl(slave, F_GETFL);
    (void)fcntl(slave, F_SETFL, flags | O_NONBLOCK);
    (void)!write(slave, part, size_bytes);
}

static void guest_says(void)
{
    uint8_t launch = script_octet(&world.script);
    const uint8_t *part;
    size_t size_bytes = script_part(&world.script, KEEPER_SAID_BYTES_MAX, &part);

    if (world.notify_end[launch] >= 0)
        (void)!write(world.notify_end[launch], part, size_bytes);
}

static void pass_time(uint64_t ns)
{
    const uint64_t one = 1;

    world.now_ns += ns;
    if (world.armed_ns != 0 && world.armed_ns <= world.now_ns) {
        world.armed_ns = 0;
        (void)!write(k.timer, &one, sizeof(one));
    }
}

static void do_step(void)
{
    enum keeper_step step = (enum keeper_step)(script_octet(&world.script) % KEEPER_STEPS);

    switch ((int)step) {
    case KEEPER_HELLO:
        agent_connect();
        break;
    case KEEPER_REPORT:
        child_reports();
        return;
    case KEEPER_EXECUTED:
        kernel_child_executed(kernel_pick_child());
        return;
    case KEEPER_ENDS: {
        struct fake_child *child = kernel_pick_child();
        kernel_child_ends(child, script_short(&world.script));
        return;
    }
    case KEEPER_CONSOLE:
        guest_writes();
        return;
    case KEEPER_SAYS:
        guest_says();
        return;
    case KEEPER_HANG_UP:
        fd_closep(&world.agent);
        return;
    case KEEPER_CONNECT:
        agent_connect();
        return;
    case KEEPER_TIME:
        pass_time(script_octet(&world.script) * NS_PER_S);
        return;
    case KEEPER_DEAF:
        is_deaf = !is_deaf;
        return;
    }
    agent_order(step);
}

/* Everything ends and is acknowledged by a last agent; then so does the keeper. */
static void do_last(void)
{
    last_round++;
    if (last_round == 1)
        fd_closep(&world.agent);
    for (size_t i = 0; i < world.child_count; i++)
        kernel_child_ends(&world.children[i], 9);
    for (uint32_t slot = 0; slot < k.table.high; slot++)
        if (k.table.numbers[slot] != 0 && k.table.entries[slot].record.is_adopted &&
            !entry_is_final(&k.table.entries[slot]))
            reap_adopted(&k, &k.table.entries[slot]);
    if (last_round == 2) {
        agent_connect();
        agent_say_hello();
    }
    if (last_round > 2)
        pass_time(NS_PER_S);
    agent_hear(true);
    bool is_empty = k.table.count == 0 && k.spawn_high == 0 && k.agent_phase == AGENT_GREETED;
    if (last_round > LAST_ROUNDS || (last_round > 3 && is_empty)) {
        PROMISE(k.table.count == 0);
        PROMISE(k.spawn_high == 0);
        PROMISE(k.table.living == 0);
        fd_closep(&world.agent);
        k.is_ending = true;
    }
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms)
{
    (void)timeout_ms;
    for (;;) {
        int count = __real_epoll_wait(epoll, events, most, 0);
        if (count != 0)
            return count;
        if (!is_deaf && last_round == 0)
            agent_hear(false);
        if (world.script.left == 0) {
            is_deaf = false;
            do_last();
            return 0;
        }
        do_step();
    }
}

/* ---- one run ---- */

static void block_some(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_SETMASK, &set, NULL); /* libFuzzer needs its own */
}

static void make_dead(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    world.dead_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    siginfo_t info;
    if (world.dead_pidfd < 0 || syscall(SYS_waitid, P_PID, pid, &info, WEXITED | WNOWAIT, NULL) < 0)
        abort();
}

static void reset(const uint8_t *data, size_t size_bytes)
{
    const size_t before = offsetof(struct keeper, table);

    memset(&k, 0, before);
    memset(k.table.numbers, 0,
           sizeof(k.table.numbers) + sizeof(k.table.pids) + sizeof(k.table.unsent));
    k.table.high = k.table.count = k.table.living = k.table.cursor = 0;
    memset(world.told, 0, sizeof(world.told));
    for (size_t i = 0; i < LAUNCHES; i++)
        world.notify_end[i] = -1;
    world.child_count = 0;
    world.script = (struct script){data, size_bytes};
    world.agent = -1;
    is_deaf = world.is_slave_refused = false;
    last_round = 0;
    world.now_ns = 1000 * NS_PER_S;
    world.armed_ns = 0;
    k.agent = k.binary = -1;
    k.first_agent_ns = world.now_ns + KEEPER_FIRST_AGENT_NS;
}

static void listen_here(void)
{
    k.listen = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* A name of the kernel's choice, unix(7). */
    world.address_bytes = sizeof(world.address.sun_family);
    if (k.listen < 0 ||
        bind(k.listen, (struct sockaddr *)&world.address, world.address_bytes) < 0 ||
        listen(k.listen, 4) < 0)
        abort();
    world.address_bytes = sizeof(world.address);
    if (getsockname(k.listen, (struct sockaddr *)&world.address, &world.address_bytes) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    if (world.dead_pidfd < 0)
        make_dead();
    unsigned open_before = fuzz_open_fds();
    reset(data, size_bytes);
    listen_here();
    PROMISE(loop_init(&k) == 0);
    block_some();
    loop_run(&k);

    for (size_t i = 0; i < world.child_count; i++)
        kernel_child_executed(&world.children[i]);
    for (size_t i = 0; i < LAUNCHES; i++)
        fd_closep(&world.notify_end[i]);
    int own[] = {k.listen, k.epoll, k.signals, k.timer, k.pid_ns, k.agent};
    for (size_t i = 0; i < COUNT_OF(own); i++)
        fd_closep(&own[i]);
    PROMISE(fuzz_open_fds() == open_before);
    return 0;
}
