/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a call that a guest should not have and gets, or one that it needs and is refused.
 * Programs are interpreted for every number of both ABIs and compared with libseccomp's own names
 * and, for the native ABI, with the program that libseccomp itself compiles of the same rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sysfilter_parts.h"

#define NUMBERS 2048
#define X32_BIT 0x40000000u
#define ALLOW SECCOMP_RET_ALLOW
#define ERRNO(e) (SECCOMP_RET_ERRNO | (uint32_t)(e))

static struct sysfilters filters;

static int set_up(void **state)
{
    (void)state;
    return sysfilters_open(&filters);
}

/* What seccomp(2) lets through of classic BPF. */
static uint32_t run(const struct sock_filter *program, size_t count,
                    const struct seccomp_data *data)
{
    uint32_t a = 0;

    for (size_t at = 0; at < count; at++) {
        const struct sock_filter *i = &program[at];

        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(i->k + sizeof(a) <= sizeof(*data));
            memcpy(&a, (const char *)data + i->k, sizeof(a));
            break;
        case BPF_JMP | BPF_JA:
            at += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += a == i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            at += a >= i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            at += a > i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            fail_msg("instruction %#x", i->code);
        }
    }
    fail_msg("the program does not return");
    return 0;
}

static uint32_t ask(unsigned set, uint32_t arch, uint32_t number, uint64_t argument)
{
    const struct seccomp_data data = {.nr = (int)number, .arch = arch, .args = {argument, 1, 0}};

    return run(filters.sets[set].filter, filters.sets[set].count, &data);
}

static uint32_t ask_name(unsigned set, uint32_t arch, const char *name)
{
    for (uint32_t number = 0; number < NUMBERS; number++) {
        char *found = seccomp_syscall_resolve_num_arch(arch, (int)number);
        bool is_it = found != NULL && strcmp(found, name) == 0;

        free(found);
        if (is_it)
            return ask(set, arch, number, AF_UNIX);
    }
    fail_msg("no call %s", name);
    return 0;
}

static uint32_t expected(unsigned set, uint32_t arch, uint32_t number)
{
    char *name = seccomp_syscall_resolve_num_arch(arch, (int)number);
    uint32_t answer = name == NULL ? ERRNO(ENOSYS) : ALLOW;

    for (size_t i = 0; name != NULL && i < sysfilter_rule_count; i++) {
        const struct sysfilter_rule *rule = &sysfilter_rules[i];

        if (strcmp(rule->call, name) != 0 || (rule->unless & set) != 0)
            continue;
        if (rule->verdict == SYSFILTER_EPERM)
            answer = ERRNO(EPERM);
        if (rule->verdict == SYSFILTER_ENOSYS)
            answer = ERRNO(ENOSYS);
    }
    free(name);
    return answer;
}

static void check_abi(unsigned set, uint32_t arch)
{
    for (uint32_t number = 0; number < NUMBERS; number++)
        assert_int_equal(ask(set, arch, number, AF_UNIX), expected(set, arch, number));
    assert_int_equal(ask(set, arch, UINT32_MAX, 0), ERRNO(ENOSYS)); /* what a tracer skips by */
}

static void test_sysfilter__every_number__is_as_the_table_says(void **state)
{
    (void)state;
    for (unsigned set = 0; set < SYSFILTER_SETS; set++) {
        check_abi(set, seccomp_arch_native());
        if (seccomp_arch_native() == SCMP_ARCH_X86_64)
            check_abi(set, SCMP_ARCH_X86);
    }
}

static void test_sysfilter__rules__name_calls_that_exist(void **state)
{
    (void)state;
    for (size_t i = 0; i < sysfilter_rule_count; i++) {
        int native = seccomp_syscall_resolve_name(sysfilter_rules[i].call);

        assert_int_not_equal(native, __NR_SCMP_ERROR);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(sysfilter_rules[i].call, sysfilter_rules[k].call);
    }
}

static void test_sysfilter__x32_and_foreign__have_no_calls(void **state)
{
    (void)state;
    for (uint32_t number = 0; number < NUMBERS; number++) {
        assert_int_equal(ask(0, seccomp_arch_native(), X32_BIT | number, 0), ERRNO(ENOSYS));
        assert_int_equal(ask(0, 0x1234, number, 0), ERRNO(ENOSYS));
    }
}

/* By name, so that an ABI's own numbers are met: 32-bit ones are others. */
static void test_sysfilter__what_matters__is_refused_in_both_abis(void **state)
{
    (void)state;
    static const char *const refused[] = {"init_module",   "kexec_load", "swapon",
                                          "syslog",        "bpf",        "open_by_handle_at",
                                          "clock_settime", "ptrace"};
    static const char *const needed[] = {"mount",  "clone",   "unshare", "setns",      "reboot",
                                         "execve", "umount2", "seccomp", "close_range"};

    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        assert_int_equal(ask_name(0, seccomp_arch_native(), refused[i]), ERRNO(EPERM));
        assert_int_equal(ask_name(0, SCMP_ARCH_X86, refused[i]), ERRNO(EPERM));
    }
    for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
        assert_int_equal(ask_name(0, seccomp_arch_native(), needed[i]), ALLOW);
        assert_int_equal(ask_name(0, SCMP_ARCH_X86, needed[i]), ALLOW);
    }
}

static void test_sysfilter__options__allow_what_they_are_for(void **state)
{
    (void)state;
    const uint32_t arch = seccomp_arch_native();

    assert_int_equal(ask_name(0, arch, "keyctl"), ERRNO(ENOSYS));
    assert_int_equal(ask_name(SYSFILTER_PTRACE, arch, "keyctl"), ERRNO(ENOSYS));
    assert_int_equal(ask_name(SYSFILTER_NESTED, arch, "keyctl"), ALLOW);
    assert_int_equal(ask_name(SYSFILTER_NESTED, arch, "ptrace"), ERRNO(EPERM));
    assert_int_equal(ask_name(SYSFILTER_PTRACE, arch, "ptrace"), ALLOW);
    assert_int_equal(ask_name(SYSFILTER_NESTED | SYSFILTER_PTRACE, arch, "ptrace"), ALLOW);
    assert_int_equal(ask_name(SYSFILTER_NESTED | SYSFILTER_PTRACE, arch, "kexec_load"),
                     ERRNO(EPERM));
}

static void test_sysfilter__socket__is_of_known_families(void **state)
{
    (void)state;
    const uint32_t arch = seccomp_arch_native();

    for (uint32_t family = 0; family < 64; family++) {
        bool is_known = false;
        for (size_t i = 0; i < sysfilter_family_count; i++)
            is_known = is_known || (uint32_t)sysfilter_families[i] == family;
        uint32_t answer = is_known ? ALLOW : ERRNO(EAFNOSUPPORT);

        assert_int_equal(ask(0, arch, SYS_socket, family), answer);
        /* The kernel looks at 32 bits of it. */
        assert_int_equal(ask(0, arch, SYS_socket, family | UINT64_C(1) << 32), answer);
        assert_int_equal(ask(0, SCMP_ARCH_X86, 359, family), answer);
    }
    assert_int_equal(ask(0, arch, SYS_socket, AF_VSOCK), ERRNO(EAFNOSUPPORT));
    assert_int_equal(ask(0, arch, SYS_socket, AF_INET6), ALLOW);
}

/* libseccomp's own program of the same rules. */
static size_t export(unsigned set, struct sock_filter *program, size_t room)
{
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    assert_non_null(context);
    assert_int_equal(seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)), 0);
    assert_int_equal(seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2), 0);
    for (uint32_t number = 0; number < 1024; number++) {
        uint32_t answer = expected(set, seccomp_arch_native(), number);

        if (number == SYS_socket) {
            for (size_t i = 0; i < sysfilter_family_count; i++)
                assert_int_equal(seccomp_rule_add(context, SCMP_ACT_ALLOW, SYS_socket, 1,
                                                  (struct scmp_arg_cmp){
                                                      .arg = 0,
                                                      .op = SCMP_CMP_EQ,
                                                      .datum_a = (uint64_t)sysfilter_families[i]}),
                                 0);
            continue;
        }
        if (answer == ALLOW)
            assert_int_equal(seccomp_rule_add(context, SCMP_ACT_ALLOW, (int)number, 0), 0);
        if (answer == ERRNO(EPERM))
            assert_int_equal(seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), (int)number, 0), 0);
    }
    int fd = memfd_create("export", MFD_CLOEXEC);
    assert_int_equal(seccomp_export_bpf(context, fd), 0);
    seccomp_release(context);
    ssize_t bytes = pread(fd, program, room, 0);
    close(fd);
    assert_true(bytes > 0 && (size_t)bytes < room);
    return (size_t)bytes / sizeof(*program);
}

static void test_sysfilter__same_rules_by_libseccomp__answer_the_same(void **state)
{
    (void)state;
    static struct sock_filter program[BPF_MAXINSNS];
    const uint32_t arch = seccomp_arch_native();

    for (unsigned set = 0; set < SYSFILTER_SETS; set++) {
        size_t count = export(set, program, sizeof(program));

        print_message("libseccomp's own: %zu instructions for one ABI; ours: %u for all\n", count,
                      filters.sets[set].count);
        for (uint32_t number = 0; number < NUMBERS; number++) {
            const struct seccomp_data data = {.nr = (int)number, .arch = arch, .args = {AF_UNIX}};
            assert_int_equal(ask(set, arch, number, AF_UNIX), run(program, count, &data));
        }
    }
}

static void test_compile__too_many_ranges__do_not_fit(void **state)
{
    (void)state;
    static struct sysfilter_abi abis[4];
    static struct sysfilter filter;

    for (size_t i = 0; i < 4; i++) {
        abis[i].arch = (uint32_t)i;
        abis[i].range_count = SYSFILTER_RANGES_MAX;
        for (uint32_t n = 0; n < SYSFILTER_RANGES_MAX; n++) {
            abis[i].ranges[n].first = n * 3;
            abis[i].ranges[n].verdict = n % 2 == 0 ? SYSFILTER_ALLOW : SYSFILTER_EPERM;
        }
    }
    assert_int_equal(sysfilter_compile(abis, 1, &filter), 0);
    for (uint32_t number = 0; number < SYSFILTER_RANGES_MAX * 3; number++) {
        const struct seccomp_data data = {.nr = (int)number, .arch = 0};
        assert_int_equal(run(filter.filter, filter.count, &data),
                         number / 3 % 2 == 0 ? ALLOW : ERRNO(EPERM));
    }
    assert_int_equal(sysfilter_compile(abis, 4, &filter), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sysfilter__every_number__is_as_the_table_says),
        cmocka_unit_test(test_sysfilter__rules__name_calls_that_exist),
        cmocka_unit_test(test_sysfilter__x32_and_foreign__have_no_calls),
        cmocka_unit_test(test_sysfilter__what_matters__is_refused_in_both_abis),
        cmocka_unit_test(test_sysfilter__options__allow_what_they_are_for),
        cmocka_unit_test(test_sysfilter__socket__is_of_known_families),
        cmocka_unit_test(test_sysfilter__same_rules_by_libseccomp__answer_the_same),
        cmocka_unit_test(test_compile__too_many_ranges__do_not_fit),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
