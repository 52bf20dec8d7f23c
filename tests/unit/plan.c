/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a plan that the keeper refuses, or reads as another than was meant. Blocks are packed,
 * read back from their memfd, checked by the keeper's own kp_check() and looked into. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plan.h"

static struct kp_header *read_back(int fd, size_t *ret_bytes)
{
    struct stat stat;
    assert_int_equal(fstat(fd, &stat), 0);
    struct kp_header *block = malloc((size_t)stat.st_size);
    assert_non_null(block);
    assert_int_equal(pread(fd, block, (size_t)stat.st_size, 0), stat.st_size);
    *ret_bytes = (size_t)stat.st_size;
    return block;
}

static const char *item(const struct kp_header *block, uint32_t table, uint32_t index)
{
    const uint32_t *items = (const uint32_t *)(const void *)((const char *)block + table);
    return kp_string(block, items[index]);
}

static void test_plan__of_nothing__passes_the_check(void **state)
{
    (void)state;
    struct plan plan;
    size_t bytes;

    plan_init(&plan);
    int fd = plan_seal(&plan);
    plan_close(&plan);

    assert_true(fd >= 0);
    struct kp_header *block = read_back(fd, &bytes);
    assert_int_equal(kp_check(block, bytes), 0);
    free(block);
    close(fd);
}

static void test_plan__of_all_parts__is_read_as_written(void **state)
{
    (void)state;
    struct plan plan;
    size_t bytes;

    plan_init(&plan);
    plan.header.flags = KP_GO_AT_ONCE;
    plan.header.hostname = plan_add_text(&plan, "web");
    plan.header.cwd = plan_add_text(&plan, NULL);
    plan_add_item(&plan, &plan.candidates, "/sbin/init");
    plan_add_item(&plan, &plan.argv, "init");
    plan_add_item(&plan, &plan.argv, "");
    plan_add_env(&plan, "A", "");
    plan_add_env(&plan, "B", "x=y");
    plan_add_group(&plan, 4);
    plan_add_mount(&plan, (struct kp_mount){.kind = KP_PROC, .fd_index = -1}, "proc", NULL);
    plan_add_mount(&plan, (struct kp_mount){.kind = KP_TMPFS, .fd_index = -1, .flags = 6}, "run",
                   "mode=755");
    plan_add_limits(&plan, false);
    int fd = plan_seal(&plan);
    plan_close(&plan);

    struct kp_header *block = read_back(fd, &bytes);
    assert_int_equal(kp_check(block, bytes), 0);
    assert_string_equal(kp_string(block, block->hostname), "web");
    assert_null(kp_string(block, block->cwd));
    assert_string_equal(item(block, block->candidates, 0), "/sbin/init");
    assert_int_equal(block->argv_count, 2);
    assert_string_equal(item(block, block->argv, 1), "");
    assert_string_equal(item(block, block->env, 0), "A=");
    assert_string_equal(item(block, block->env, 1), "B=x=y");
    const struct kp_mount *mounts =
        (const struct kp_mount *)(const void *)((const char *)block + block->mounts);
    assert_int_equal(block->mount_count, 2);
    assert_string_equal(kp_string(block, mounts[0].target), "proc");
    assert_null(kp_string(block, mounts[0].options));
    assert_string_equal(kp_string(block, mounts[1].options), "mode=755");
    assert_true(mounts[1].flags == 6);
    assert_true(block->rlimit_count >= 3);
    assert_true((block->caps_keep & 1) == 1 && (block->caps_keep >> 16 & 1) == 0); /* SYS_MODULE */
    free(block);
    close(fd);
}

static void test_plan__sealed__cannot_be_changed(void **state)
{
    (void)state;
    struct plan plan;

    plan_init(&plan);
    int fd = plan_seal(&plan);
    plan_close(&plan);

    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    close(fd);
}

static void test_plan__full_table__is_refused_at_its_bound(void **state)
{
    (void)state;
    for (int extra = 0; extra <= 1; extra++) {
        struct plan plan;
        size_t bytes;

        plan_init(&plan);
        for (int i = 0; i < KP_ARGS_MAX + extra; i++)
            plan_add_item(&plan, &plan.argv, "a");
        for (int i = 0; i < KP_MOUNTS_MAX; i++)
            plan_add_mount(&plan, (struct kp_mount){.kind = KP_PROC, .fd_index = -1}, "p", NULL);
        int fd = plan_seal(&plan);
        plan_close(&plan);

        if (extra == 1) {
            assert_int_equal(fd, -E2BIG);
            continue;
        }
        struct kp_header *block = read_back(fd, &bytes);
        assert_int_equal(kp_check(block, bytes), 0);
        assert_int_equal(block->argv_count, KP_ARGS_MAX);
        free(block);
        close(fd);
    }
}

static void test_plan__too_much_text__is_refused_at_its_bound(void **state)
{
    (void)state;
    static char text[KP_BYTES_MAX];
    size_t room = KP_BYTES_MAX - sizeof(struct kp_header) - sizeof(uint32_t);

    for (size_t length = room - 1; length <= room; length++) {
        struct plan plan;
        memset(text, 'x', length);
        text[length] = '\0';

        plan_init(&plan);
        plan_add_item(&plan, &plan.argv, text);
        int fd = plan_seal(&plan);
        plan_close(&plan);

        if (length == room) {
            assert_int_equal(fd, -E2BIG);
        } else {
            size_t bytes;
            struct kp_header *block = read_back(fd, &bytes);
            assert_int_equal(kp_check(block, bytes), 0);
            free(block);
            close(fd);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan__of_nothing__passes_the_check),
        cmocka_unit_test(test_plan__of_all_parts__is_read_as_written),
        cmocka_unit_test(test_plan__sealed__cannot_be_changed),
        cmocka_unit_test(test_plan__full_table__is_refused_at_its_bound),
        cmocka_unit_test(test_plan__too_much_text__is_refused_at_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
