/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Design notes. The helper runs one script after the other and says how each ended; what that
 * means is the walk's. At a script's deadline the leaf is killed, helper included; a walk down goes
 * on with another helper. The walk is over when its last helper has ended by the keeper's word, so
 * that nothing of it is left in the container's group.
 */
#include "hook_run.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "hook_words.h"
#include "hooks_run.h"
#include "plan.h"
#include "slots.h"

/* The node's and the container's own on one way: all may be late before it counts as stuck. */
static_assert(4 * HOOK_DEADLINE_NS < PREPARE_DEADLINE_NS, "the way up ends in its state's time");
static_assert(4 * HOOK_DEADLINE_NS < CLEAN_DEADLINE_NS, "the way down, too");

struct hook_run {
    struct hook_run *next;
    struct agent *agent;
    struct hook_request request;
    struct hook_walk walk;
    struct work work; /* making leaf, plan and socket */
    int result;
    uint64_t leaf;
    struct cgroup_exec exec;
    int plan;
    int theirs; /* the helper's end of its socket, until it is sent */
    int ours;   /* -1: none */
    uint64_t spawn;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned handles;            /* that libuv has not let go of */
    char *own[HOOK_POINT_COUNT]; /* paths of the container's own; heap, NULL: none */
    bool is_running;             /* a script, the walk's present one */
    bool is_over;                /* the helper */
    bool is_unwanted;            /* its boot was killed meanwhile */
    char said[HOOK_SAID_BYTES];
    int root; /* -1: none */
};

uint32_t hook_run_look(const char *directory, uint32_t way)
{
    AUTO_FD fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    uint32_t there = 0;

    for (unsigned point = 0; fd >= 0 && point < HOOK_POINT_COUNT; point++)
        if ((HOOK_BIT(point) & way) != 0 &&
            faccessat(fd, hook_point_name((enum hook_point)point), F_OK, 0) == 0)
            there |= HOOK_BIT(point);
    return there;
}

uint32_t hook_run_own(const struct agent *agent, uint32_t ct, uint32_t way)
{
    const struct config *config = slot_made(&agent->slots[ct]);
    uint32_t own = 0;

    for (size_t i = 0; i < config->hook_count; i++)
        own |= HOOK_BIT(hook_point_find(config->hooks[i].key));
    return own & way;
}

/* ---- made on a worker ---- */

static void root_path(const struct agent *agent, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "%.*s/root", PATH_MAX - 8, agent->options->run_dir);
}

static int make_plan(const struct hook_run *run)
{
    const struct options *options = run->agent->options;
    char root[PATH_MAX];
    char uuid[UUID_TEXT_BYTES];
    char generation[24];
    struct plan plan;

    root_path(run->agent, root);
    (void)snprintf(generation, sizeof(generation), "%llu",
                   (unsigned long long)run->request.generation);
    plan_init(&plan);
    plan.header.flags = KP_JOIN_MNT; /* the host's, where scripts are; the keeper has a small one */
    plan_add_item(&plan, &plan.argv, options->keeper);
    plan_add_item(&plan, &plan.argv, "--run-hooks");
    plan_add_env(&plan, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    plan_add_env(&plan, "DROVER_NAME", run->request.name);
    plan_add_env(&plan, "DROVER_ID", uuid_format(run->request.uuid, uuid));
    plan_add_env(&plan, "DROVER_GENERATION", generation);
    plan_add_env(&plan, "DROVER_NODE", options->node);
    plan_add_env(&plan, "DROVER_ROOT", root);
    plan_add_limits(&plan, true);
    int fd = plan_seal(&plan);
    plan_close(&plan);
    return fd;
}

static bool run_make(struct work *work)
{
    struct hook_run *run = container_of(work, struct hook_run, work);
    char root[PATH_MAX];
    int ends[2];
    struct fault ignored;

    root_path(run->agent, root);
    run->result = mkdir(root, 0700) < 0 && errno != EEXIST ? -errno : 0;
    if (run->result == 0)
        run->result = cgroup_exec_make(run->request.cgroup, run->leaf, &run->exec, &ignored);
    if (run->result == 0)
        run->result = run->plan = make_plan(run);
    if (run->result >= 0 &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        run->result = -errno;
    if (run->result < 0)
        return true;
    run->ours = ends[0];
    run->theirs = ends[1];
    (void)fcntl(run->theirs, F_SETFL, O_RDWR); /* the helper waits on it */
    return true;
}

/* ---- the end ---- */

static void make(struct hook_run *run);

static void release(struct hook_run *run)
{
    if (run->exec.kill >= 0) /* what its scripts left behind */
        (void)!write(run->exec.kill, "1", 1);
    fd_closep(&run->exec.kill);
    fd_closep(&run->exec.dir);
    fd_closep(&run->plan);
    fd_closep(&run->theirs);
    fd_closep(&run->ours);
    (void)cgroup_exec_remove(run->request.cgroup, run->leaf); /* else it goes with its container */
}

static void finish(struct hook_run *run)
{
    struct hook_run **at = &run->agent->hook_runs;

    release(run);
    if (!hook_walk_is_over(&run->walk) && run->agent->keeper.socket >= 0) {
        make(run); /* a walk down whose helper was killed with a script that was late */
        return;
    }
    while (*at != run)
        at = &(*at)->next;
    *at = run->next;
    run->request.on_end(run->request.context, &run->walk, run->root);
    for (size_t i = 0; i < HOOK_POINT_COUNT; i++)
        free(run->own[i]);
    free(run);
}

static void on_handle_closed(struct hook_run *run)
{
    if (--run->handles == 0)
        finish(run);
}

static void on_poll_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_poll_t *)(void *)handle, struct hook_run, poll));
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of((uv_timer_t *)(void *)handle, struct hook_run, timer));
}

static void note(struct hook_run *run, struct hook_end end)
{
    run->is_running = false;
    hook_walk_note(&run->walk, end, run->said);
}

/* The helper is gone. */
static void end(struct hook_run *run, int error)
{
    if (run->is_over)
        return;
    run->is_over = true;
    if (run->is_running || run->is_unwanted || error != 0)
        note(run, (struct hook_end){HOOK_LOST, error});
    if (run->handles == 0) {
        finish(run);
        return;
    }
    uv_close((uv_handle_t *)&run->poll, on_poll_closed);
    uv_close((uv_handle_t *)&run->timer, on_timer_closed);
}

/* ---- scripts ---- */

static void order(struct hook_run *run, enum hooks_word word, const char *text)
{
    struct hooks_packet packet = {.word = word};

    (void)snprintf(packet.text, sizeof(packet.text), "%s", text);
    packet.size_bytes = (uint32_t)strlen(packet.text) + 1;
    /* It waits for nothing else, so there is room; one that is gone is told of by the keeper. */
    (void)!send(run->ours, &packet, HOOKS_HEAD_BYTES + packet.size_bytes, MSG_NOSIGNAL);
}

static void on_late(uv_timer_t *timer)
{
    struct hook_run *run = container_of(timer, struct hook_run, timer);

    (void)!write(run->exec.kill, "1", 1);
    if (run->is_running)
        note(run, (struct hook_end){HOOK_LATE, 0});
}

static void go_on(struct hook_run *run)
{
    char path[PATH_MAX];

    run->said[0] = '\0';
    if (run->is_unwanted) { /* its helper was not there yet to be killed */
        (void)shutdown(run->ours, SHUT_WR);
        return;
    }
    (void)uv_timer_start(&run->timer, on_late, HOOK_DEADLINE_NS / 1000000, 0);
    if (hook_walk_next(&run->walk)) {
        const char *own = run->own[run->walk.point];

        run->is_running = true;
        (void)snprintf(path, sizeof(path), "%.*s/%s", PATH_MAX - 16, run->agent->options->hooks_dir,
                       hook_point_name(run->walk.point));
        order(run, HOOKS_RUN, run->walk.is_own && own != NULL ? own : path);
    } else if (run->walk.is_root_skipped && !run->walk.has_failed && run->root < 0) {
        order(run, HOOKS_TAKE, "");
    } else {
        (void)shutdown(run->ours, SHUT_WR);
    }
}

static void take_packet(struct hook_run *run, const struct hooks_packet *packet, int fd_consumed)
{
    AUTO_FD fd = fd_consumed;

    if (packet->word == HOOKS_SAID && run->is_running) {
        hook_words_take(stderr, run->request.name, run->walk.point, packet->text,
                        packet->size_bytes, run->said);
    } else if (packet->word == HOOKS_ENDED && run->is_running) {
        struct hook_end ended = {HOOK_UNABLE, packet->error};
        if (packet->error == 0 && WIFEXITED(packet->wait_status))
            ended = (struct hook_end){HOOK_EXITED, WEXITSTATUS(packet->wait_status)};
        else if (packet->error == 0)
            ended = (struct hook_end){HOOK_SIGNALLED, WTERMSIG(packet->wait_status)};
        note(run, ended);
        go_on(run);
    } else if (packet->word == HOOKS_TAKEN && run->root < 0) {
        run->root = take_fd(&fd);
        if (run->root < 0)
            note(run, (struct hook_end){HOOK_UNABLE, packet->error});
        go_on(run);
    }
}

/* 1: a packet was dealt with. */
static int read_packet(struct hook_run *run)
{
    struct hooks_packet packet = {0};
    struct iovec part = {.iov_base = &packet, .iov_len = sizeof(packet)};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.room)};
    ssize_t size_bytes = recvmsg(run->ours, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int fd = -1;

    if (size_bytes < HOOKS_HEAD_BYTES || packet.size_bytes > sizeof(packet.text))
        return 0;
    if (message.msg_controllen >= CMSG_LEN(sizeof(int)) && control.header.cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
    take_packet(run, &packet, fd);
    return 1;
}

#define PACKETS_A_TURN 16 /* of a script that says a lot: others have their turn between */

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct hook_run *run = container_of(handle, struct hook_run, poll);

    (void)events;
    for (unsigned i = 0; i < PACKETS_A_TURN && !run->is_over; i++)
        if (status < 0 || read_packet(run) == 0)
            break;
}

/* ---- the helper ---- */

static int send_spawn(struct hook_run *run)
{
    struct keeper_client *keeper = &run->agent->keeper;
    const struct cgroup *cgroup = run->request.cgroup;
    AUTO_FD self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    AUTO_FD null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct kw_spawn record = {.deadline_ns =
                                  clock_monotonic_ns() + (HOOK_POINT_COUNT + 1) * HOOK_DEADLINE_NS};
    const int own[] = {run->plan, self, run->exec.dir, run->theirs, null, null, run->exec.kill};
    static const uint8_t roles[] = {KW_FD_PLAN,   KW_FD_TARGET, KW_FD_CGROUP, KW_FD_STDIN,
                                    KW_FD_STDOUT, KW_FD_STDERR, KW_FD_KILL};
    int fds[KW_FDS_MAX];
    size_t count = 0;

    if (self < 0 || null < 0)
        return -EMFILE;
    for (; count < COUNT_OF(own); count++) {
        fds[count] = own[count];
        record.roles[count] = roles[count];
    }
    for (size_t i = 0; i < cgroup->task_count; i++, count++) {
        fds[count] = cgroup->tasks[i];
        record.roles[count] = KW_FD_TASKS;
    }
    record.spawn = run->spawn = keeper_client_number_spawn(keeper);
    return keeper_client_send(keeper, &record.header, KW_SPAWN, sizeof(record), fds, count);
}

static void on_made(struct work *work)
{
    struct hook_run *run = container_of(work, struct hook_run, work);
    uv_loop_t *loop = &run->agent->loop;

    if (run->result >= 0)
        run->result = run->is_unwanted ? -ECANCELED : send_spawn(run);
    if (run->result >= 0)
        run->result = uv_poll_init(loop, &run->poll, run->ours);
    if (run->result < 0) {
        end(run, -run->result);
        return;
    }
    (void)uv_timer_init(loop, &run->timer);
    run->handles = 2;
    fd_closep(&run->theirs);
    (void)uv_poll_start(&run->poll, UV_READABLE, on_readable);
    go_on(run);
}

static void make(struct hook_run *run)
{
    struct slot *slot = &run->agent->slots[run->request.ct];
    uint64_t now_ns = clock_monotonic_ns();

    slot->exec_number = now_ns > slot->exec_number ? now_ns : slot->exec_number + 1;
    run->leaf = slot->exec_number;
    run->exec = (struct cgroup_exec){-1, -1};
    run->plan = run->theirs = run->ours = -1;
    run->is_over = false;
    run->spawn = 0;
    run->work = (struct work){.run = run_make, .on_done = on_made};
    executor_post(&run->agent->executor, WORKER_CGROUP, &run->work);
}

/* Copies: the configuration may change while they run. */
static void copy_own(struct hook_run *run, const struct config *config)
{
    for (size_t i = 0; i < config->hook_count; i++) {
        enum hook_point point = hook_point_find(config->hooks[i].key);

        if (point == HOOK_POINT_COUNT || run->own[point] != NULL)
            continue; /* create refuses those */
        run->own[point] = strdup(config->hooks[i].value);
        ENSURE(run->own[point] != NULL);
    }
}

void hook_run_begin(struct agent *agent, const struct hook_request *request)
{
    struct hook_run *run = calloc(1, sizeof(*run));
    uint32_t own = hook_run_own(agent, request->ct, request->way);

    ENSURE(run != NULL);
    run->agent = agent;
    run->request = *request;
    run->root = -1;
    hook_walk_begin(&run->walk, request->there, own, request->way);
    copy_own(run, slot_made(&agent->slots[request->ct]));
    run->next = agent->hook_runs;
    agent->hook_runs = run;
    make(run);
}

static bool is_killed(const struct hook_run *run)
{
    enum ct_state state = node_get(run->agent->node, run->request.ct)->state;

    return run->request.way == HOOKS_UP && (state == CT_KILLING || state == CT_STUCK);
}

void hook_run_turn(struct agent *agent)
{
    for (struct hook_run *run = agent->hook_runs; run != NULL; run = run->next) {
        if (run->is_unwanted || !is_killed(run))
            continue;
        run->is_unwanted = true;
        if (run->handles > 0) /* else it is being made, and will not be sent */
            (void)!write(run->exec.kill, "1", 1);
    }
}

/* ---- the keeper's words ---- */

static struct hook_run *find(struct agent *agent, uint64_t spawn)
{
    struct hook_run *run = agent->hook_runs;

    while (run != NULL && (run->spawn != spawn || spawn == 0))
        run = run->next;
    return run;
}

void hook_run_record(struct agent *agent, const struct kw_spawn_record *record)
{
    struct hook_run *run = find(agent, record->spawn);

    if (run == NULL)
        return;
    if (record->phase != KW_PHASE_ENDED && record->phase != KW_PHASE_FAILED) {
        if (run->is_unwanted) /* its leaf may have been empty when it was killed */
            (void)!write(run->exec.kill, "1", 1);
        return;
    }
    while (!run->is_over && read_packet(run) == 1) {
    } /* its last words may still be on their way */
    end(run, record->phase == KW_PHASE_FAILED ? record->exec_errno : 0);
}

void hook_run_refused(struct agent *agent, const struct kw_refused *refused)
{
    struct hook_run *run = find(agent, refused->number);

    if (run != NULL)
        end(run, refused->error != 0 ? refused->error : EAGAIN);
}

void hook_run_keeper_lost(struct agent *agent)
{
    for (struct hook_run *run = agent->hook_runs; run != NULL;) {
        struct hook_run *next = run->next;

        if (run->spawn != 0) {
            end(run, ECONNRESET);
        }
        run = next;
    }
}
