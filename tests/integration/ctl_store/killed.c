/* SPDX-License-Identifier: Apache-2.0 */
/* What the store said is committed must be there after any crash, whole batches and nothing of
 * others. A child with the threads and the loop of the real thing writes, reads and is killed by -9
 * at random moments; what is left is compared with what it said. */
#include "rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "prng.h"

#define KILLS 25
#define IN_FLIGHT 6

static struct {
    uv_loop_t loop;
    struct ctl_store *store;
    struct ingest ingest;
    uint64_t last;   /* seq that was posted */
    unsigned posted; /* and not committed */
    int report;      /* the child's end of the pipe */
} child;

/* Where a batch begins can be told from where the one before ended. */
static uint64_t batch_events(uint64_t first)
{
    return 1 + first * UINT64_C(2654435761) % 50;
}

static void post_batch(void)
{
    struct event_view views[64];
    struct ctl_batch *batch = ctl_batch_new();
    struct ctl_change change = {.kind = CTL_PUT_CONTAINER};
    uint64_t count = batch_events(child.last + 1);
    uint64_t last = child.last + count;

    memset(views, 0, sizeof(views));
    for (uint64_t i = 0; i < count; i++)
        views[i].event = (struct event){.epoch = 7,
                                        .seq = child.last + 1 + i,
                                        .time_wall_ns = RIG_WALL_NS,
                                        .uuid = {1},
                                        .type = EVENT_CHANGED};
    (void)ingest_take(&child.ingest, views, count, batch);
    change.container = (struct ctl_container){
        .name = "web", .uuid = {1}, .view = {(const uint8_t *)&last, sizeof(last)}};
    (void)ctl_batch_add(batch, &change); /* together with the events, or not at all */
    batch->now_wall_ns = RIG_WALL_NS;
    child.last = last;
    child.posted++;
    child.store->ops->post(child.store, batch);
}

static void on_committed(struct ctl_store *store, struct ctl_batch *batch_consumed)
{
    (void)store;
    child.posted--;
    for (size_t i = 0; i < batch_consumed->count; i++) {
        uint64_t seq = ingest_committed(&child.ingest, &batch_consumed->changes[i]);
        if (seq != 0 && write(child.report, &seq, sizeof(seq)) != (ssize_t)sizeof(seq))
            _exit(2);
    }
    ctl_batch_free(batch_consumed);
}

/* A reader follows meanwhile: it must not be in the way of a checkpoint for ever. */
static void on_answered(struct ctl_store *store, struct ctl_read *read_consumed)
{
    read_consumed->after = read_consumed->position;
    read_consumed->count = 0;
    if (read_consumed->result < 0)
        _exit(5);
    store->ops->read(store, read_consumed);
}

static void on_failed(struct ctl_store *store, const struct fault *fault)
{
    (void)store;
    (void)fault;
    _exit(4);
}

static void put_node(void)
{
    struct ctl_batch *batch = ctl_batch_new();
    struct ctl_change change = {.kind = CTL_PUT_NODE, .node = {.name = "a"}};

    (void)ctl_batch_add(batch, &change);
    child.posted++;
    child.store->ops->post(child.store, batch);
}

static _Noreturn void write_until_killed(uint64_t last)
{
    struct ctl_read *read = ctl_read_new(CTL_READ_EVENTS);
    const struct ctl_store_options options = {.path = rig.path,
                                              .events_max = 1000000,
                                              .now_wall_ns = RIG_WALL_NS,
                                              .loop = &child.loop,
                                              .on_committed = on_committed,
                                              .on_answered = on_answered,
                                              .on_failed = on_failed};
    struct fault fault;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    ingest_init(&child.ingest, 0);
    child.last = last;
    if (read == NULL || uv_loop_init(&child.loop) < 0 ||
        ctl_store_sqlite_open(&options, &child.store, &fault) < 0)
        _exit(3);
    put_node();
    read->until = INT64_MAX;
    child.store->ops->read(child.store, read);
    for (;;) {
        post_batch();
        while (child.posted > IN_FLIGHT)
            (void)uv_run(&child.loop, UV_RUN_ONCE);
    }
}

/* Returns the highest seq that the child said is durable. */
static uint64_t run_and_kill(uint64_t last, uint64_t reports)
{
    int pipe_fds[2];
    uint64_t said = last;
    uint64_t told = last;
    int status;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        child.report = pipe_fds[1];
        write_until_killed(last);
    }
    (void)close(pipe_fds[1]);
    for (uint64_t i = 0; read(pipe_fds[0], &said, sizeof(said)) == (ssize_t)sizeof(said); i++) {
        told = said;
        if (i == reports)
            assert_int_equal(kill(pid, SIGKILL), 0);
    }
    (void)close(pipe_fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    return told;
}

struct left {
    uint64_t head;
    uint64_t of_container;
};

static int on_node(const struct ctl_node *node, void *context)
{
    (void)context;
    assert_string_equal(node->name, "a");
    return 0;
}

static int on_head(const struct ctl_head *head, void *context)
{
    struct left *left = context;

    assert_true(head->is_highest);
    left->head = head->seq;
    return 0;
}

static int on_container(const struct ctl_container *container, void *context)
{
    struct left *left = context;

    assert_int_equal(container->view.size_bytes, sizeof(left->of_container));
    memcpy(&left->of_container, container->view.data, sizeof(left->of_container));
    return 0;
}

static int on_command(const struct ctl_command *command, void *context)
{
    (void)command;
    (void)context;
    return 0;
}

static int on_last(uint64_t cursor, void *context)
{
    (void)cursor;
    (void)context;
    return 0;
}

/* Events, head and container say the same; batches are whole. Returns the last seq. */
static uint64_t check_whole(uint64_t told)
{
    static const struct ctl_found found = {.node = on_node,
                                           .head = on_head,
                                           .container = on_container,
                                           .command = on_command,
                                           .last = on_last};
    struct ctl_read query = {.kind = CTL_READ_EVENTS, .until = INT64_MAX};
    struct left left = {0};
    uint64_t seq = 0;
    uint64_t end = 0;

    assert_int_equal(ctl_reader_load(&rig.reader, &found, &left), 0);
    assert_true(left.head >= told);
    assert_int_equal(left.of_container, left.head);
    while (query.after < query.until) {
        const struct ctl_read *read = rig_read(&query);

        for (size_t i = 0; i < read->count; i++) {
            if (seq == end)
                end += batch_events(seq + 1);
            assert_int_equal(read->events[i].event.seq, ++seq);
        }
        query.after = read->position;
    }
    assert_int_equal(seq, end);
    assert_int_equal(seq, left.head);
    return seq;
}

static void test_killed__while_it_writes__has_all_that_it_said(void **state)
{
    struct prng prng = {.state = (uint64_t)getpid()};
    uint64_t last = 0;

    (void)state;
    print_message("seed %lu\n", (unsigned long)prng.state);
    rig_close();
    for (unsigned i = 0; i < KILLS; i++) {
        uint64_t told = run_and_kill(last, prng_below(&prng, 60));

        rig_open();
        last = check_whole(told);
        rig_kill();
    }
    assert_true(last > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed__while_it_writes__has_all_that_it_said,
                                        rig_start, rig_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
