/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a guest that is not bounded as it was told, or is killed by a change of its bounds.
 * Limits are read back from the kernel in whichever of v1 and v2 has them, and one guest is made
 * to run out of memory. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup_parts.h"
#include "cleanup.h"
#include "clock.h"
#include "message.h"
#include "scene.h"

#define MIB (UINT64_C(1) << 20)

/* One limit as v1 or as v2 has it. */
struct expected {
    const char *v1_file;
    const char *v1_value;
    const char *v2_file;
    const char *v2_value;
};

static void assert_limits(const struct scene *scene, const char *leaf,
                          const struct expected *expected, size_t count)
{
    char text[256];

    for (size_t i = 0; i < count; i++) {
        if (scene_read(scene, leaf, expected[i].v1_file, text)) {
            assert_string_equal(text, expected[i].v1_value);
            continue;
        }
        if (!scene_read(scene, leaf, expected[i].v2_file, text))
            fail_msg("neither %s nor %s", expected[i].v1_file, expected[i].v2_file);
        assert_string_equal(text, expected[i].v2_value);
    }
}

static const struct cgroup_limits every = {.memory_max_bytes = 64 * MIB,
                                           .swap_max_bytes = 16 * MIB,
                                           .pids_max = 64,
                                           .cpu_milli = 1500,
                                           .cpu_weight = 200};

static void test_cgroup__made_with_limits__kernel_has_them(void **state)
{
    struct scene *scene = *state;
    static const struct expected expected[] = {
        {"memory.limit_in_bytes", "67108864", "memory.max", "67108864"},
        {"memory.memsw.limit_in_bytes", "83886080", "memory.swap.max", "16777216"},
        {"pids.max", "64", "pids.max", "64"},
        {"cpu.cfs_quota_us", "150000", "cpu.max", "150000 100000"},
        {"cpu.shares", "2048", "cpu.weight", "200"},
    };
    struct cgroup cgroup = scene_make(scene, "web.1", &every);

    assert_limits(scene, "web.1", expected, COUNT_OF(expected));
    cgroup_close(&cgroup);
}

static const struct expected unlimited[] = {
    {"memory.limit_in_bytes", "9223372036854771712", "memory.max", "max"},
    {"memory.memsw.limit_in_bytes", "9223372036854771712", "memory.swap.max", "max"},
    {"pids.max", "max", "pids.max", "max"},
    {"cpu.cfs_quota_us", "-1", "cpu.max", "max 100000"},
    {"cpu.shares", "1024", "cpu.weight", "100"},
};

static void test_cgroup__made_without_limits__kernel_has_none(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.1", &scene_unlimited);

    assert_limits(scene, "web.1", unlimited, COUNT_OF(unlimited));
    cgroup_close(&cgroup);
}

static void test_cgroup__made_without_swap__sum_is_the_limit_and_nothing_swaps(void **state)
{
    struct scene *scene = *state;
    struct cgroup_limits limits = every;
    char text[256];

    limits.swap_max_bytes = 0;
    struct cgroup cgroup = scene_make(scene, "web.1", &limits);

    if (scene_read(scene, "web.1", "memory.memsw.limit_in_bytes", text)) {
        assert_string_equal(text, "67108864");
        assert_true(scene_read(scene, "web.1", "memory.swappiness", text));
    } else {
        assert_true(scene_read(scene, "web.1", "memory.swap.max", text));
    }
    if (!scene_read(scene, "web.1", "memory.max", text))
        assert_true(scene_read(scene, "web.1", "memory.swappiness", text));
    else
        assert_true(scene_read(scene, "web.1", "memory.swap.max", text));
    assert_string_equal(text, "0");
    cgroup_close(&cgroup);
}

static int told; /* a pipe's end of the child's */

static void fork_and_tell(void)
{
    pid_t pid = fork();
    char word = pid < 0 && errno == EAGAIN ? 'n' : 'y';

    if (write(told, &word, 1) != 1 || pid == 0)
        _exit(1);
}

static char hear(struct scene *scene, const struct cgroup *cgroup, void (*body)(void),
                 pid_t *ret_pid)
{
    int ends[2];
    char word;

    assert_int_equal(pipe(ends), 0);
    told = ends[1];
    *ret_pid = scene_spawn(scene, cgroup, cgroup->guest, body);
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &word, 1), 1);
    (void)close(ends[0]);
    return word;
}

static void test_cgroup__pids_are_full__fork_fails(void **state)
{
    struct scene *scene = *state;
    struct cgroup_limits limits = scene_unlimited;
    limits.pids_max = 1;
    struct cgroup cgroup = scene_make(scene, "web.1", &limits);
    struct cgroup other = scene_make(scene, "web.2", &scene_unlimited);
    pid_t pid;

    assert_int_equal(hear(scene, &cgroup, fork_and_tell, &pid), 'n');
    assert_int_equal(hear(scene, &other, fork_and_tell, &pid), 'y');
    cgroup_close(&cgroup);
    cgroup_close(&other);
}

/* ---- what is refused ---- */

static void test_cgroup__limits_that_cannot_be__are_refused_by_their_key(void **state)
{
    struct scene *scene = *state;
    static const struct {
        struct cgroup_limits limits;
        const char *key;
    } refused[] = {
        {{0, LIMIT_NONE, LIMIT_NONE, 0, 100}, "memory"},
        {{4095, LIMIT_NONE, LIMIT_NONE, 0, 100}, "memory"},
        {{LIMIT_NONE, LIMIT_NONE, 0, 0, 100}, "pids"},
        {{LIMIT_NONE, LIMIT_NONE, 4194305, 0, 100}, "pids"},
        {{LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, 9, 100}, "cpus"},
        {{LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, 0, 0}, "cpu-weight"},
        {{LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, 0, 10001}, "cpu-weight"},
    };

    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct fault fault = {0};

        assert_int_equal(cgroup_check(&scene->cgroups, &refused[i].limits, &fault), -EINVAL);
        assert_int_equal(fault.status, STATUS_INVALID);
        assert_int_equal(strncmp(fault.text, refused[i].key, strlen(refused[i].key)), 0);
    }
}

/* What the check lets through, the kernel takes: at both ends. */
static void test_cgroup__limits_at_their_ends__can_be_made(void **state)
{
    struct scene *scene = *state;
    static const struct cgroup_limits ends[] = {
        {4096, 0, 1, 10, 1},
        {UINT64_MAX - 1, UINT64_MAX - 1, 4194304, UINT32_MAX, 10000},
        {LIMIT_NONE, 0, LIMIT_NONE, 0, 100},
        {64 * MIB, UINT64_MAX - 1, LIMIT_NONE, 0, 100},
    };

    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        assert_int_equal(cgroup_check(&scene->cgroups, &ends[i], &scene->fault), 0);
        struct cgroup cgroup = scene_make(scene, "web.1", &ends[i]);
        cgroup_close(&cgroup);
        assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), 0);
    }
}

static void test_cgroup__host_without_controllers__refuses_only_what_needs_them(void **state)
{
    struct scene *scene = *state;
    struct cgroups bare = {.count = 1, .hierarchies = {{.is_v2 = true}}};
    struct cgroups no_swap = {.count = 1, .hierarchies = {{.has_memory = true}}};
    struct cgroups v1 = {.count = 1, .hierarchies = {{.has_memory = true, .has_swap = true}}};
    struct fault fault = {0};
    struct cgroup_limits limits = scene_unlimited;

    (void)scene;
    assert_int_equal(cgroup_check(&bare, &limits, &fault), 0);
    limits.pids_max = 10;
    assert_int_equal(cgroup_check(&bare, &limits, &fault), -EINVAL);
    assert_int_equal(fault.status, STATUS_UNSUPPORTED);
    limits = scene_unlimited;
    limits.swap_max_bytes = 0;
    assert_int_equal(cgroup_check(&no_swap, &limits, &fault), 0);
    limits.memory_max_bytes = 64 * MIB;
    limits.swap_max_bytes = MIB;
    assert_int_equal(cgroup_check(&no_swap, &limits, &fault), -EINVAL);
    assert_int_equal(fault.status, STATUS_UNSUPPORTED);
    assert_int_equal(cgroup_check(&v1, &limits, &fault), 0);
    limits.memory_max_bytes = LIMIT_NONE;
    assert_int_equal(cgroup_check(&v1, &limits, &fault), -EINVAL);
    assert_int_equal(fault.status, STATUS_INVALID);
}

/* ---- out of memory ---- */

static void eat(uint64_t size_bytes)
{
    for (uint64_t at = 0; at < size_bytes; at += MIB) {
        char *part = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (part == MAP_FAILED)
            _exit(1);
        memset(part, 1, MIB);
    }
}

static void eat_too_much(void)
{
    eat(1024 * MIB);
}

static uint64_t await_kills(const struct cgroup *cgroup, uint64_t before, unsigned *ret_wakes)
{
    uint64_t end_ns = clock_monotonic_ns() + WAIT_MS * NS_PER_MS;
    uint64_t kills = before;

    for (*ret_wakes = 0; kills == before; (*ret_wakes)++) {
        struct pollfd oom = {.fd = cgroup->oom, .events = cgroup->is_oom_v1 ? POLLIN : POLLPRI};

        assert_true(clock_monotonic_ns() < end_ns);
        assert_true(poll(&oom, 1, WAIT_MS) > 0);
        kills = cgroup_read_oom_kills(cgroup);
    }
    return kills;
}

static void test_cgroup__out_of_memory__kill_is_counted_and_told(void **state)
{
    struct scene *scene = *state;
    struct cgroup_limits limits = {16 * MIB, 0, 64, 0, 100};
    struct cgroup cgroup = scene_make(scene, "web.1", &limits);
    struct cgroup other = scene_make(scene, "web.2", &limits);
    uint64_t kills = 0;
    unsigned wakes;

    assert_true(cgroup.oom >= 0);
    for (int i = 0; i < 5; i++) {
        pid_t pid = scene_spawn(scene, &cgroup, cgroup.guest, eat_too_much);
        uint64_t before = kills;

        kills = await_kills(&cgroup, before, &wakes);
        assert_true(kills > before);
        assert_true(wakes <= 6); /* it does not spin: at most two notifications and their timers */
        scene_reap(scene, pid);
    }
    assert_int_equal(cgroup_read_oom_kills(&other), 0);
    cgroup_close(&cgroup);
    cgroup_close(&other);
}

/* The descriptor goes quiet: what is told again is told a bounded number of times. */
static void test_cgroup__out_of_memory__descriptor_is_quiet_afterwards(void **state)
{
    struct scene *scene = *state;
    struct cgroup_limits limits = {16 * MIB, 0, 64, 0, 100};
    struct cgroup cgroup = scene_make(scene, "web.1", &limits);
    struct pollfd oom = {.fd = cgroup.oom, .events = cgroup.is_oom_v1 ? POLLIN : POLLPRI};
    unsigned wakes;

    pid_t pid = scene_spawn(scene, &cgroup, cgroup.guest, eat_too_much);
    (void)await_kills(&cgroup, 0, &wakes);
    scene_reap(scene, pid);
    for (wakes = 0; poll(&oom, 1, 700) > 0; wakes++) { /* longer than the last of its timers */
        assert_true(wakes < 4);
        (void)cgroup_read_oom_kills(&cgroup);
    }
    cgroup_close(&cgroup);
}

/* ---- changes ---- */

static void test_cgroup__set__changes_each_limit_both_ways(void **state)
{
    struct scene *scene = *state;
    static const struct cgroup_limits more = {128 * MIB, 64 * MIB, 128, 2500, 10000};
    static const struct cgroup_limits less = {32 * MIB, 0, 32, 250, 1};
    static const struct expected expect_more[] = {
        {"memory.limit_in_bytes", "134217728", "memory.max", "134217728"},
        {"memory.memsw.limit_in_bytes", "201326592", "memory.swap.max", "67108864"},
        {"pids.max", "128", "pids.max", "128"},
        {"cpu.cfs_quota_us", "250000", "cpu.max", "250000 100000"},
        {"cpu.shares", "102400", "cpu.weight", "10000"},
    };
    static const struct expected expect_less[] = {
        {"memory.limit_in_bytes", "33554432", "memory.max", "33554432"},
        {"memory.memsw.limit_in_bytes", "33554432", "memory.swap.max", "0"},
        {"memory.swappiness", "0", "memory.high", "max"},
        {"pids.max", "32", "pids.max", "32"},
        {"cpu.cfs_quota_us", "25000", "cpu.max", "25000 100000"},
        {"cpu.shares", "10", "cpu.weight", "1"},
    };
    struct cgroup cgroup = scene_make(scene, "web.1", &every);

    assert_int_equal(cgroup_set(&scene->cgroups, &cgroup, &more, &scene->fault), 0);
    assert_limits(scene, "web.1", expect_more, COUNT_OF(expect_more));
    assert_int_equal(cgroup_set(&scene->cgroups, &cgroup, &less, &scene->fault), 0);
    assert_limits(scene, "web.1", expect_less, COUNT_OF(expect_less));
    assert_int_equal(cgroup_set(&scene->cgroups, &cgroup, &scene_unlimited, &scene->fault), 0);
    assert_limits(scene, "web.1", unlimited, COUNT_OF(unlimited));
    cgroup_close(&cgroup);
}

static void test_cgroup__swap_given_back__group_swaps_as_others_do(void **state)
{
    struct scene *scene = *state;
    struct cgroup_limits limits = every;
    char usual[256];
    char text[256];

    limits.swap_max_bytes = 0;
    struct cgroup cgroup = scene_make(scene, "web.1", &limits);
    struct cgroup other = scene_make(scene, "web.2", &every);
    if (!scene_read(scene, "web.2", "memory.swappiness", usual)) {
        print_message("v2 has no swappiness of a group\n");
        cgroup_close(&cgroup);
        cgroup_close(&other);
        skip();
    }

    assert_int_equal(cgroup_set(&scene->cgroups, &cgroup, &every, &scene->fault), 0);
    assert_true(scene_read(scene, "web.1", "memory.swappiness", text));
    assert_string_equal(text, usual);
    cgroup_close(&cgroup);
    cgroup_close(&other);
}

static void eat_and_tell(void)
{
    eat(24 * MIB);
    if (write(told, "e", 1) != 1)
        _exit(1);
}

static void test_cgroup__set_below_use__is_refused_and_nobody_dies(void **state)
{
    struct scene *scene = *state;
    struct cgroup_limits limits = {64 * MIB, 0, 64, 1500, 200};
    static const struct expected unchanged[] = {
        {"memory.limit_in_bytes", "67108864", "memory.max", "67108864"},
        {"memory.memsw.limit_in_bytes", "67108864", "memory.swap.max", "0"},
        {"memory.swappiness", "0", "memory.high", "max"},
        {"pids.max", "64", "pids.max", "64"},
        {"cpu.cfs_quota_us", "150000", "cpu.max", "150000 100000"},
    };
    struct cgroup cgroup = scene_make(scene, "web.1", &limits);
    pid_t pid;

    assert_int_equal(hear(scene, &cgroup, eat_and_tell, &pid), 'e');
    limits.memory_max_bytes = 8 * MIB;
    limits.pids_max = 7;
    assert_int_equal(cgroup_set(&scene->cgroups, &cgroup, &limits, &scene->fault), -EBUSY);

    assert_int_equal(scene->fault.status, STATUS_BUSY);
    assert_non_null(strstr(scene->fault.text, "memory"));
    assert_non_null(strstr(scene->fault.text, "uses "));
    assert_true(scene_is_alive(pid));
    assert_int_equal(cgroup_read_oom_kills(&cgroup), 0);
    assert_limits(scene, "web.1", unchanged, COUNT_OF(unchanged));

    assert_int_equal(cgroup_kill(&cgroup), 0);
    scene_reap(scene, pid);
    assert_int_equal(cgroup_set(&scene->cgroups, &cgroup, &limits, &scene->fault), 0);
    cgroup_close(&cgroup);
}

static void test_cgroup__set_impossible__is_refused_before_anything_changes(void **state)
{
    struct scene *scene = *state;
    struct cgroup_limits limits = {32 * MIB, 0, 0, 0, 100};
    static const struct expected unchanged[] = {
        {"memory.limit_in_bytes", "67108864", "memory.max", "67108864"},
    };
    struct cgroup cgroup = scene_make(scene, "web.1", &every);

    assert_int_equal(cgroup_set(&scene->cgroups, &cgroup, &limits, &scene->fault), -EINVAL);
    assert_int_equal(scene->fault.status, STATUS_INVALID);
    assert_limits(scene, "web.1", unchanged, COUNT_OF(unchanged));
    cgroup_close(&cgroup);
}

static void test_cgroup__set_of_a_removed_one__fails_in_words(void **state)
{
    struct scene *scene = *state;
    struct cgroup cgroup = scene_make(scene, "web.1", &every);

    assert_int_equal(cgroup_remove(&scene->cgroups, "web.1", &scene->fault), 0);
    assert_int_equal(cgroup_set(&scene->cgroups, &cgroup, &every, &scene->fault), -ENOENT);
    assert_non_null(strstr(scene->fault.text, "web.1/memory"));
    cgroup_close(&cgroup);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_cgroup__made_with_limits__kernel_has_them),
        CASE(test_cgroup__made_without_limits__kernel_has_none),
        CASE(test_cgroup__made_without_swap__sum_is_the_limit_and_nothing_swaps),
        CASE(test_cgroup__pids_are_full__fork_fails),
        CASE(test_cgroup__limits_that_cannot_be__are_refused_by_their_key),
        CASE(test_cgroup__limits_at_their_ends__can_be_made),
        CASE(test_cgroup__host_without_controllers__refuses_only_what_needs_them),
        CASE(test_cgroup__out_of_memory__kill_is_counted_and_told),
        CASE(test_cgroup__out_of_memory__descriptor_is_quiet_afterwards),
        CASE(test_cgroup__set__changes_each_limit_both_ways),
        CASE(test_cgroup__swap_given_back__group_swaps_as_others_do),
        CASE(test_cgroup__set_below_use__is_refused_and_nobody_dies),
        CASE(test_cgroup__set_impossible__is_refused_before_anything_changes),
        CASE(test_cgroup__set_of_a_removed_one__fails_in_words),
    };

    if (geteuid() != 0) {
        print_message("needs root\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
