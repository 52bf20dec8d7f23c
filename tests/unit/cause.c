/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a reboot told as a halt, or an operator's stop told as a crash. Rows of evidence; the
 * reboot and halt statuses are also taken from the kernel itself, in a pid namespace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cause.h"

#define EXITED(code) ((code) << 8)

static void test_cause__each_name__round_trips(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CAUSE_COUNT; i++)
        assert_int_equal(cause_find(cause_name((enum cause)i)), i);
    assert_int_equal(cause_find("no such cause"), CAUSE_UNSET);
}

static void test_cause__evidence__decides(void **state)
{
    (void)state;
    static const struct {
        struct ending ending; /* status, known, killed, oom, reboot allowed, order */
        enum cause cause;
    } rows[] = {
        {{SIGHUP, true, false, false, true, ORDER_NONE}, CAUSE_GUEST_REBOOT},
        {{SIGHUP, true, false, false, false, ORDER_NONE}, CAUSE_REBOOT_DENIED},
        {{SIGINT, true, false, false, true, ORDER_NONE}, CAUSE_GUEST_HALT},
        {{EXITED(0), true, false, false, true, ORDER_NONE}, CAUSE_EXITED},
        {{EXITED(7), true, false, true, true, ORDER_NONE}, CAUSE_EXITED},
        {{SIGSEGV | 0x80, true, false, false, true, ORDER_NONE}, CAUSE_SIGNALLED},
        {{SIGKILL, true, false, false, true, ORDER_NONE}, CAUSE_SIGNALLED},
        {{SIGKILL, true, false, true, true, ORDER_NONE}, CAUSE_OOM},
        {{SIGKILL, true, true, true, true, ORDER_NONE}, CAUSE_SIGNALLED},
        {{0, false, false, true, true, ORDER_NONE}, CAUSE_UNKNOWN},
        {{SIGHUP, true, false, false, true, ORDER_STOP}, CAUSE_OPERATOR_STOP},
        {{SIGKILL, true, true, false, true, ORDER_STOP}, CAUSE_OPERATOR_KILL},
        {{SIGKILL, true, true, true, true, ORDER_KILL}, CAUSE_OPERATOR_KILL},
        {{SIGHUP, true, false, false, false, ORDER_REBOOT}, CAUSE_OPERATOR_REBOOT},
        {{SIGKILL, true, true, false, true, ORDER_BOOT_TIMEOUT}, CAUSE_BOOT_TIMEOUT},
        {{SIGKILL, true, true, false, true, ORDER_LEASE}, CAUSE_LEASE_LOST},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(cause_name(cause_decide(&rows[i].ending)), cause_name(rows[i].cause));
}

/* The child is PID 1 of a namespace of its own: reboot(2) ends it and touches nothing else. */
static enum cause cause_of_real_reboot(int how)
{
    pid_t outer = fork();
    assert_true(outer >= 0);
    if (outer == 0) {
        if (unshare(CLONE_NEWPID) != 0)
            _exit(255);
        pid_t init = fork();
        if (init == 0) {
            if (getpid() == 1) /* anywhere else this would be the host's own reboot */
                (void)reboot(how);
            _exit(1);
        }
        int status = 0;
        if (init < 0 || waitpid(init, &status, 0) != init)
            _exit(255);
        _exit((int)cause_decide(&(struct ending){
            .wait_status = status, .is_status_known = true, .is_reboot_allowed = true}));
    }

    int status = 0;
    assert_int_equal(waitpid(outer, &status, 0), outer);
    assert_true(WIFEXITED(status));
    return (enum cause)WEXITSTATUS(status);
}

static void test_cause__real_reboot_and_halt__are_told_apart(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        puts("skipped: making a pid namespace needs root");
        skip();
    }

    assert_int_equal(cause_of_real_reboot(RB_AUTOBOOT), CAUSE_GUEST_REBOOT);
    assert_int_equal(cause_of_real_reboot((int)RB_HALT_SYSTEM), CAUSE_GUEST_HALT);
    assert_int_equal(cause_of_real_reboot((int)RB_POWER_OFF), CAUSE_GUEST_HALT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cause__each_name__round_trips),
        cmocka_unit_test(test_cause__evidence__decides),
        cmocka_unit_test(test_cause__real_reboot_and_halt__are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
