/* SPDX-License-Identifier: Apache-2.0 */
/* At stake: a device of the host that a guest can open. Each list's program is interpreted for many
 * devices and compared with what it is meant to allow, said here a second time; the kernel's
 * verifier has its say when it is loaded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "devices.h"
#include "message.h"

#define C BPF_DEVCG_DEV_CHAR
#define B BPF_DEVCG_DEV_BLOCK
#define M BPF_DEVCG_ACC_MKNOD
#define R BPF_DEVCG_ACC_READ
#define W BPF_DEVCG_ACC_WRITE

static bool is_leaving(const struct bpf_insn *i, uint64_t left)
{
    switch (BPF_OP(i->code)) {
    case BPF_JNE:
        return (uint32_t)left != (uint32_t)i->imm;
    case BPF_JLT:
        return (uint32_t)left < (uint32_t)i->imm;
    case BPF_JGT:
        return (uint32_t)left > (uint32_t)i->imm;
    default:
        fail_msg("comparison %#x", i->code);
        return false;
    }
}

static uint64_t compute(const struct bpf_insn *i, const uint64_t *r)
{
    uint64_t right = BPF_SRC(i->code) == BPF_X ? r[i->src_reg] : (uint64_t)(int64_t)i->imm;

    switch (BPF_OP(i->code)) {
    case BPF_MOV:
        return right;
    case BPF_AND:
        return r[i->dst_reg] & right;
    case BPF_RSH:
        return r[i->dst_reg] >> right;
    default:
        fail_msg("operation %#x", i->code);
        return 0;
    }
}

static bool ask(unsigned list, uint32_t type, uint32_t access, uint32_t major, uint32_t minor)
{
    const struct bpf_cgroup_dev_ctx context = {access << 16 | type, major, minor};
    struct bpf_insn program[DEVICES_INSTRUCTIONS_MAX];
    uint32_t count = devices_compile(list, program);
    uint64_t r[16] = {0};

    for (uint32_t at = 0; at < count; at++) {
        const struct bpf_insn *i = &program[at];

        switch (BPF_CLASS(i->code)) {
        case BPF_LDX: {
            uint32_t word;
            assert_int_equal(i->src_reg, BPF_REG_1);
            assert_true(i->off >= 0 && (size_t)i->off + sizeof(word) <= sizeof(context));
            memcpy(&word, (const char *)&context + i->off, sizeof(word));
            r[i->dst_reg] = word;
            break;
        }
        case BPF_ALU64:
            r[i->dst_reg] = compute(i, r);
            break;
        case BPF_JMP32:
            if (is_leaving(i, r[i->dst_reg]))
                at += (uint16_t)i->off;
            break;
        case BPF_JMP:
            assert_int_equal(BPF_OP(i->code), BPF_EXIT);
            return r[0] != 0;
        default:
            fail_msg("instruction %#x", i->code);
        }
    }
    fail_msg("the program does not return");
    return false;
}

static bool is_usual(uint32_t major, uint32_t minor)
{
    return (major == 1 && (minor == 3 || minor == 5 || minor == 7 || minor == 8 || minor == 9)) ||
           (major == 5 && (minor == 0 || minor == 2)) || (major >= 136 && major <= 143);
}

static void test_devices__every_list__opens_the_usual_alone(void **state)
{
    (void)state;
    for (unsigned list = 0; list < DEVICES_LISTS; list++)
        for (uint32_t major = 0; major < 300; major++)
            for (uint32_t minor = 0; minor < 12; minor++) {
                assert_int_equal(ask(list, C, R | W, major, minor), is_usual(major, minor));
                assert_false(ask(list, B, R, major, minor));
                assert_false(ask(list, B, R | M, major, minor));
            }
}

static void test_devices__fuse_and_tun__are_in_their_lists(void **state)
{
    (void)state;
    for (unsigned list = 0; list < DEVICES_LISTS; list++) {
        assert_int_equal(ask(list, C, R | W, 10, 229), (list & DEVICES_FUSE) != 0);
        assert_int_equal(ask(list, C, R | W, 10, 200), (list & DEVICES_TUN) != 0);
        assert_false(ask(list, C, R, 10, 237)); /* loop-control */
        assert_false(ask(list, C, R, 1, 11));   /* kmsg */
        assert_false(ask(list, C, W, 1, 1));    /* mem */
        assert_false(ask(list, C, R, 5, 1));    /* the host's console */
        assert_false(ask(list, C, R, 4, 1));    /* tty1 */
        assert_false(ask(list, C, R, UINT32_MAX, UINT32_MAX));
        assert_true(ask(list, C, R, 136, 1000000));
    }
}

static void test_devices__mknod__makes_nodes_and_opens_none(void **state)
{
    (void)state;
    for (unsigned list = 0; list < DEVICES_LISTS; list++) {
        bool is_allowed = (list & DEVICES_MKNOD) != 0;

        assert_int_equal(ask(list, B, M, 8, 0), is_allowed);
        assert_int_equal(ask(list, C, M, 1, 1), is_allowed);
        assert_true(ask(list, C, M, 1, 3));
        assert_false(ask(list, B, M | R, 8, 0));
        assert_false(ask(list, C, 0, 8, 0) && !is_allowed);
    }
}

static void test_devices__kernel__takes_each_program_and_each_kind_gets_its_own(void **state)
{
    (void)state;
    struct devices devices;
    int result = devices_open(&devices);

    if (result == -EPERM || result == -ENOSYS || result == -EINVAL) {
        print_message("skipped: this machine loads no BPF programs: %s\n", strerror(-result));
        skip();
    }
    assert_int_equal(result, 0);
    struct config guest = {.template_name = "t"};
    struct config privileged = {.template_name = "t", .is_privileged = true};
    assert_true(devices_program(&devices, &guest) > 2);
    assert_true(devices_program(&devices, &privileged) > 2);
    assert_int_not_equal(devices_program(&devices, &guest), devices_program(&devices, &privileged));
    struct config tunnel = {.template_name = "t", .has_tun = true};
    assert_int_not_equal(devices_program(&devices, &guest), devices_program(&devices, &tunnel));
    assert_int_equal(devices_program(&devices, &privileged),
                     devices_program(&devices, &privileged));
    devices_close(&devices);
    assert_int_equal(devices_program(&devices, &guest), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices__every_list__opens_the_usual_alone),
        cmocka_unit_test(test_devices__fuse_and_tun__are_in_their_lists),
        cmocka_unit_test(test_devices__mknod__makes_nodes_and_opens_none),
        cmocka_unit_test(test_devices__kernel__takes_each_program_and_each_kind_gets_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
