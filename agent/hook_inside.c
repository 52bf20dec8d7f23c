/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Design notes. A worker looks which scripts there are, and reads each into a sealed memfd before
 * it runs, so that neither a disk that hangs nor a guest comes between. A script may be read inside
 * by whoever is root there; nobody can change it. Its output goes into a file in memory, which is
 * charged to the guest: nobody can wait on it, and what is left of a script when it has ended is
 * killed with its leaf. The timer covers all of it, the worker too: the walk goes on without one
 * that is late, and what comes back of it finds another number.
 */
#include "hook_inside.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "cleanup.h"
#include "ensure.h"
#include "hook_words.h"
#include "slots.h"

#define SCRIPT_BYTES_MAX (1024 * 1024)              /* a larger one is refused: EFBIG */
#define LATE_MS (HOOK_DEADLINE_NS / 1000000 + 1000) /* the keeper's own comes first */
#define KEPT_BYTES 4096                             /* of the end of its output */

/* The node's and the container's own, both late. */
static_assert(2 * LATE_MS < STAGE_DEADLINE_NS / 1000000, "start hooks end in the stage's time");

/* On a worker; alone, so that a walk need not wait for a disk that hangs. */
struct reading {
    struct work work;
    struct hook_inside *inside; /* NULL: nobody waits for it any more */
    uint32_t way;               /* 0: read `path` */
    uint32_t there;
    char directory[PATH_MAX];
    char path[PATH_MAX];
    int file; /* -errno */
};

struct hook_inside {
    struct agent *agent;
    struct hook_inside_request request;
    struct hook_walk walk;
    bool has_any;            /* to run */
    struct reading *reading; /* NULL: none is out */
    char *own[HOOK_POINT_COUNT];
    char uuid[UUID_TEXT_BYTES];
    char generation[24];
    uint32_t number; /* of the script that runs; 0: none */
    int output;      /* its own; -1: none */
    uv_timer_t timer;
};

/* ---- on the worker ---- */

static int copy_script(int from, int to, uint64_t size_bytes)
{
    while (size_bytes > 0) {
        ssize_t n = sendfile(to, from, NULL, size_bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        size_bytes -= (uint64_t)n;
    }
    return 0;
}

/* What stands at a path of the host, as nobody can change it any more. */
static int read_script(const char *path)
{
    const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    struct stat stat;
    AUTO_FD from = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (from < 0 || fstat(from, &stat) < 0)
        return -errno;
    if (!S_ISREG(stat.st_mode) || (stat.st_mode & 0111) == 0)
        return -EACCES;
    if (stat.st_size > SCRIPT_BYTES_MAX)
        return -EFBIG;
    AUTO_FD to = memfd_create("drover-hook", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (to < 0)
        return -errno;
    int result = copy_script(from, to, (uint64_t)stat.st_size);
    if (result < 0)
        return result;
    if (fcntl(to, F_ADD_SEALS, seals) < 0)
        return -errno;
    return take_fd(&to);
}

static bool run_reading(struct work *work)
{
    struct reading *reading = container_of(work, struct reading, work);

    if (reading->way != 0)
        reading->there = hook_run_look(reading->directory, reading->way);
    else
        reading->file = read_script(reading->path);
    return true;
}

/* ---- on the loop ---- */

static void run_script(struct hook_inside *inside, int file);
static void go_on(struct hook_inside *inside);

static void on_timer_closed(uv_handle_t *handle)
{
    struct hook_inside *inside =
        container_of((uv_timer_t *)(void *)handle, struct hook_inside, timer);

    for (size_t i = 0; i < HOOK_POINT_COUNT; i++)
        free(inside->own[i]);
    fd_closep(&inside->output);
    free(inside);
}

/* What is still out finds nobody. */
static void let_go(struct hook_inside *inside)
{
    struct slot *slot = &inside->agent->slots[inside->request.ct];

    if (slot->hooks.inside == inside)
        slot->hooks.inside = NULL;
    if (inside->reading != NULL)
        inside->reading->inside = NULL;
    uv_close((uv_handle_t *)&inside->timer, on_timer_closed);
}

static void finish(struct hook_inside *inside)
{
    let_go(inside);
    inside->request.on_end(inside->agent, inside->request.ct, inside->has_any, &inside->walk);
}

static void on_read(struct work *work)
{
    struct reading *reading = container_of(work, struct reading, work);
    struct hook_inside *inside = reading->inside;

    if (inside != NULL) {
        uint32_t own = hook_run_own(inside->agent, inside->request.ct, inside->request.way);

        inside->reading = NULL;
        if (reading->way != 0) {
            hook_walk_begin(&inside->walk, reading->there, own, reading->way);
            inside->has_any = !hook_walk_is_over(&inside->walk);
            if (inside->has_any && inside->request.on_begun != NULL)
                inside->request.on_begun(inside->agent, inside->request.ct);
            go_on(inside);
        } else if (reading->file < 0) {
            hook_walk_note(&inside->walk, (struct hook_end){HOOK_UNABLE, -reading->file}, "");
            go_on(inside);
        } else {
            run_script(inside, reading->file);
        }
    }
    if (reading->file >= 0)
        (void)close(reading->file);
    free(reading);
}

static void post_reading(struct hook_inside *inside, uint32_t way, const char *path)
{
    struct reading *reading = calloc(1, sizeof(*reading));

    ENSURE(reading != NULL);
    reading->work = (struct work){.run = run_reading, .on_done = on_read};
    reading->inside = inside;
    reading->way = way;
    reading->file = -1;
    (void)snprintf(reading->directory, PATH_MAX, "%s", inside->agent->options->hooks_dir);
    (void)snprintf(reading->path, PATH_MAX, "%s", path);
    inside->reading = reading;
    executor_post(&inside->agent->executor, way != 0 ? WORKER_HOOKS : WORKER_SCRIPTS,
                  &reading->work);
}

/* All that is kept goes to the log. */
static void keep_words(struct hook_inside *inside, char said[HOOK_SAID_BYTES])
{
    const struct ct *ct = node_get(inside->agent->node, inside->request.ct);
    char text[KEPT_BYTES];
    struct stat stat = {0};

    (void)fstat(inside->output, &stat);
    off_t from = stat.st_size > KEPT_BYTES ? stat.st_size - KEPT_BYTES : 0;
    ssize_t size_bytes = pread(inside->output, text, sizeof(text), from);
    if (size_bytes > 0)
        hook_words_take(stderr, ct->name, inside->walk.point, text, (size_t)size_bytes, said);
}

static struct hook_end end_of(const struct inside_end *end)
{
    const struct fault *fault = end->fault;

    if (fault->status == STATUS_UNSET && WIFSIGNALED(end->wait_status))
        return (struct hook_end){HOOK_SIGNALLED, WTERMSIG(end->wait_status)};
    if (fault->status == STATUS_UNSET)
        return (struct hook_end){HOOK_EXITED, end->exit_code};
    if (fault->status == STATUS_TIMEOUT)
        return (struct hook_end){HOOK_LATE, 0};
    if (fault->status == STATUS_NOT_FOUND || fault->status == STATUS_NOT_PERMITTED)
        return (struct hook_end){HOOK_UNABLE, fault->error};
    return (struct hook_end){HOOK_LOST, fault->error};
}

static void on_script_ended(struct agent *agent, const struct inside_end *end)
{
    struct hook_inside *inside = agent->slots[end->ct].hooks.inside;
    char said[HOOK_SAID_BYTES] = "";

    if (inside == NULL || inside->number != end->step)
        return; /* of one that was given up */
    inside->number = 0;
    keep_words(inside, said);
    fd_closep(&inside->output);
    hook_walk_note(&inside->walk, end_of(end), said);
    go_on(inside);
}

static void run_script(struct hook_inside *inside, int file)
{
    struct agent *agent = inside->agent;
    const char *name = hook_point_name(inside->walk.point);
    const char *const argv[] = {name, NULL};
    const struct ct *ct = node_get(agent->node, inside->request.ct);
    const struct pair env[] = {{"DROVER_NAME", ct->name},
                               {"DROVER_ID", inside->uuid},
                               {"DROVER_GENERATION", inside->generation},
                               {"DROVER_NODE", agent->options->node}};
    static uint32_t last;

    inside->output = memfd_create("drover-hook-output", MFD_CLOEXEC);
    inside->number = ++last != 0 ? last : ++last;
    const struct inside_program program = {.file = file,
                                           .output = inside->output,
                                           .pid = inside->request.pid,
                                           .env = env,
                                           .env_count = COUNT_OF(env)};
    const struct inside command = {.argv = argv,
                                   .timeout_ns = HOOK_DEADLINE_NS,
                                   .on_end = on_script_ended,
                                   .step = inside->number,
                                   .program = &program};
    streams_run_inside(&agent->streams, inside->request.ct, &command);
}

static void on_late(uv_timer_t *timer)
{
    struct hook_inside *inside = container_of(timer, struct hook_inside, timer);

    if (inside->reading != NULL)
        inside->reading->inside = NULL;
    inside->reading = NULL;
    inside->number = 0;
    fd_closep(&inside->output);
    hook_walk_note(&inside->walk, (struct hook_end){HOOK_LATE, 0}, "");
    go_on(inside);
}

static void go_on(struct hook_inside *inside)
{
    char path[PATH_MAX];

    (void)uv_timer_start(&inside->timer, on_late, LATE_MS, 0);
    if (!hook_walk_next(&inside->walk)) {
        finish(inside);
        return;
    }
    (void)snprintf(path, sizeof(path), "%.*s/%s", PATH_MAX - 16, inside->agent->options->hooks_dir,
                   hook_point_name(inside->walk.point));
    const char *own = inside->own[inside->walk.point];
    post_reading(inside, 0, inside->walk.is_own && own != NULL ? own : path);
}

void hook_inside_begin(struct agent *agent, const struct hook_inside_request *request)
{
    struct hook_inside *inside = calloc(1, sizeof(*inside));
    struct slot *slot = &agent->slots[request->ct];
    const struct ct *ct = node_get(agent->node, request->ct);
    const struct config *made = slot_made(slot);

    ENSURE(inside != NULL);
    ENSURE(slot->hooks.inside == NULL);
    inside->agent = agent;
    inside->request = *request;
    inside->output = -1;
    inside->walk.point = request->way == HOOKS_START ? HOOK_START : HOOK_STOP;
    inside->walk.way = request->way;
    (void)uuid_format(ct->uuid, inside->uuid);
    (void)snprintf(inside->generation, sizeof(inside->generation), "%llu",
                   (unsigned long long)ct->generation);
    for (size_t i = 0; i < made->hook_count; i++) {
        enum hook_point point = hook_point_find(made->hooks[i].key);

        if (point < HOOK_POINT_COUNT && inside->own[point] == NULL)
            inside->own[point] = strdup(made->hooks[i].value);
    }
    slot->hooks.inside = inside;
    (void)uv_timer_init(&agent->loop, &inside->timer);
    (void)uv_timer_start(&inside->timer, on_late, LATE_MS, 0);
    post_reading(inside, request->way, "");
}

void hook_inside_drop(struct agent *agent, uint32_t ct)
{
    if (agent->slots[ct].hooks.inside != NULL)
        let_go(agent->slots[ct].hooks.inside);
}
