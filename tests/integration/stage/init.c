/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: which init is executed, and what is told of those that are not. Each candidate that can
 * be laid out in a root is tried; the last one tells that it runs. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "guest.h"

static struct guest guest;

static int set_up(void **state)
{
    (void)state;
    guest_init(&guest);
    guest_use_directory(&guest);
    guest_usual_mounts(&guest);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guest_close(&guest);
    return 0;
}

static void put_text(const char *path, const char *text, mode_t mode)
{
    AUTO_FD file = openat(guest.root, path, O_CREAT | O_WRONLY | O_CLOEXEC, mode);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
}

/* TRY, ERRNO and FAILED, and no more. */
static void fails(const char *path, int error)
{
    guest_candidate(&guest, path);
    guest_run(&guest);
    assert_failed(&guest, KW_STEP_EXEC, error, GUEST_NO_DETAIL);
    assert_int_equal(guest.report_count, 3);
    assert_int_equal(guest.reports[0].kind, STAGE_TRY);
    assert_int_equal(guest.reports[1].kind, STAGE_ERRNO);
    assert_int_equal(guest.reports[1].error, error);
    assert_int_equal(guest.reports[1].detail, 0);
}

static void test_init__missing__is_told(void **state)
{
    (void)state;
    fails("/sbin/init", ENOENT);
}

static void test_init__not_executable__is_told(void **state)
{
    (void)state;
    put_text("init", "#!/bin/sh\n", 0644);
    fails("/init", EACCES);
}

static void test_init__fifo__is_told_at_once(void **state)
{
    (void)state;
    assert_int_equal(mknodat(guest.root, "init", S_IFIFO | 0755, 0), 0);
    fails("/init", EACCES);
}

static void test_init__device__is_not_opened(void **state)
{
    (void)state;
    assert_int_equal(mknodat(guest.root, "init", S_IFCHR | 0755, makedev(240, 250)), 0);
    fails("/init", EACCES);
}

static void test_init__directory__is_told(void **state)
{
    (void)state;
    fails("/etc", EACCES);
}

static void test_init__dangling_link__is_told(void **state)
{
    (void)state;
    assert_int_equal(symlinkat("/lib/systemd/systemd", guest.root, "init"), 0);
    fails("/init", ENOENT);
}

static void test_init__link_loop__is_told(void **state)
{
    (void)state;
    assert_int_equal(symlinkat("init", guest.root, "init"), 0);
    fails("/init", ELOOP);
}

static void test_init__without_interpreter__is_told(void **state)
{
    (void)state;
    put_text("init", "#!/no/such/shell\n", 0755);
    fails("/init", ENOENT);
}

static void test_init__of_another_machine__is_told(void **state)
{
    (void)state;
    /* An ELF header of an s390: EI_CLASS 64, big-endian, EM_S390. */
    static const char elf[64] = "\177ELF\2\2\1\0\0\0\0\0\0\0\0\0\0\2\0\26";
    AUTO_FD file = openat(guest.root, "init", O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
    assert_int_equal(write(file, elf, sizeof(elf)), sizeof(elf));
    fd_closep(&file);
    fails("/init", ENOEXEC);
}

static void test_init__none__is_told(void **state)
{
    (void)state;
    guest_run(&guest);
    assert_failed(&guest, KW_STEP_EXEC, ENOENT, GUEST_NO_DETAIL);
}

/* The stage holds descriptors of the host: none is to be had through /proc/self/fd. */
static void test_init__link_to_descriptors__leads_nowhere(void **state)
{
    (void)state;
    static const char *const paths[] = {"/fd3", "/fd4", "/fd5", "/fd6", "/fd7", "/fd8", "/fd9"};
    static const char *const links[] = {"/proc/self/fd/3/../../bin/busybox",
                                        "/proc/self/fd/4/bin/busybox",
                                        "/proc/self/fd/5",
                                        "/proc/self/fd/6/bin/busybox",
                                        "/proc/self/fd/7",
                                        "/proc/self/fd/8/bin/busybox",
                                        "/proc/self/fd/9"};
    guest.header.candidate_count = 0;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        assert_int_equal(symlinkat(links[i], guest.root, paths[i] + 1), 0);
        guest_candidate(&guest, paths[i]);
    }
    guest_run(&guest);
    assert_int_equal(guest_last(&guest)->kind, STAGE_FAILED);
    for (size_t i = 0; i + 1 < guest.report_count; i++)
        if (guest.reports[i].kind == STAGE_ERRNO && guest.reports[i].error != ENOENT &&
            guest.reports[i].error != ENOTDIR)
            assert_int_equal(guest.reports[i].error, EACCES); /* the report socket itself */
}

static void test_init__absolute_link__works_inside(void **state)
{
    (void)state;
    put_text("bin/real", "#!/bin/sh\necho real=$0 arg=$1\n", 0755);
    assert_int_equal(mkdirat(guest.root, "sbin", 0755), 0);
    assert_int_equal(symlinkat("/bin/real", guest.root, "sbin/init"), 0);
    guest_candidate(&guest, "/sbin/init");
    guest_arg(&guest, "replaced");
    guest_arg(&guest, "single");
    guest_run(&guest);
    assert_output(&guest, "real=/sbin/init arg=single\n");
}

static void test_init__third_candidate__is_executed(void **state)
{
    (void)state;
    put_text("second", "", 0755); /* an empty file is no program */
    guest_candidate(&guest, "/first");
    guest_candidate(&guest, "/second");
    guest_script(&guest, "echo booted; env");
    guest.header.env_count = 1;
    guest.env[0] = guest_text(&guest, "container=drover");
    guest_run(&guest);

    static const struct stage_report expected[] = {
        {.kind = STAGE_TRY, .detail = 0}, {.kind = STAGE_ERRNO, .error = ENOENT, .detail = 0},
        {.kind = STAGE_TRY, .detail = 1}, {.kind = STAGE_ERRNO, .error = ENOEXEC, .detail = 1},
        {.kind = STAGE_TRY, .detail = 2},
    };
    assert_int_equal(guest.report_count, COUNT_OF(expected));
    assert_memory_equal(guest.reports, expected, sizeof(expected));
    assert_output(&guest, "booted\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_init__missing__is_told),
        TEST(test_init__not_executable__is_told),
        TEST(test_init__fifo__is_told_at_once),
        TEST(test_init__device__is_not_opened),
        TEST(test_init__directory__is_told),
        TEST(test_init__dangling_link__is_told),
        TEST(test_init__link_loop__is_told),
        TEST(test_init__without_interpreter__is_told),
        TEST(test_init__of_another_machine__is_told),
        TEST(test_init__none__is_told),
        TEST(test_init__link_to_descriptors__leads_nowhere),
        TEST(test_init__absolute_link__works_inside),
        TEST(test_init__third_candidate__is_executed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
