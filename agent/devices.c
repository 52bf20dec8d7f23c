/* SPDX-License-Identifier: Apache-2.0 */
#include "devices.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "ensure.h"
#include "message.h"

#define READ BPF_DEVCG_ACC_READ
#define WRITE BPF_DEVCG_ACC_WRITE
#define MKNOD BPF_DEVCG_ACC_MKNOD
#define USE (READ | WRITE | MKNOD)
#define ANY UINT32_MAX /* as a minor number, and as a major one */

struct device {
    unsigned list; /* DEVICES_* that it belongs to; 0: to all */
    uint32_t type; /* BPF_DEVCG_DEV_* */
    uint32_t major_first, major_last;
    uint32_t minor;
    uint32_t access; /* that is allowed */
};

/* Not 5:1, the host's own console: a guest's /dev/console is a pty. */
static const struct device table[] = {
    {0, BPF_DEVCG_DEV_CHAR, 1, 1, 3, USE},       /* null */
    {0, BPF_DEVCG_DEV_CHAR, 1, 1, 5, USE},       /* zero */
    {0, BPF_DEVCG_DEV_CHAR, 1, 1, 7, USE},       /* full */
    {0, BPF_DEVCG_DEV_CHAR, 1, 1, 8, USE},       /* random */
    {0, BPF_DEVCG_DEV_CHAR, 1, 1, 9, USE},       /* urandom */
    {0, BPF_DEVCG_DEV_CHAR, 5, 5, 0, USE},       /* tty */
    {0, BPF_DEVCG_DEV_CHAR, 5, 5, 2, USE},       /* ptmx, of whatever devpts it lies in */
    {0, BPF_DEVCG_DEV_CHAR, 136, 143, ANY, USE}, /* ptys */
    {DEVICES_FUSE, BPF_DEVCG_DEV_CHAR, 10, 10, 229, USE},
    {DEVICES_TUN, BPF_DEVCG_DEV_CHAR, 10, 10, 200, USE},
    {DEVICES_MKNOD, BPF_DEVCG_DEV_CHAR, 0, ANY, ANY, MKNOD},
    {DEVICES_MKNOD, BPF_DEVCG_DEV_BLOCK, 0, ANY, ANY, MKNOD},
};

/* Registers from the second instruction on. */
enum { RESULT = BPF_REG_0, CONTEXT = BPF_REG_1, TYPE, ACCESS, MAJOR, MINOR, SCRATCH };

struct writer {
    struct bpf_insn *instructions;
    uint32_t count;
};

static void emit(struct writer *writer, int code, unsigned target, unsigned source, uint32_t number)
{
    ENSURE(writer->count < DEVICES_INSTRUCTIONS_MAX);
    writer->instructions[writer->count++] = (struct bpf_insn){.code = (uint8_t)code,
                                                              .dst_reg = target & 15u,
                                                              .src_reg = source & 15u,
                                                              .imm = (int32_t)number};
}

static void emit_load(struct writer *writer, unsigned target, size_t offset)
{
    emit(writer, BPF_LDX | BPF_MEM | BPF_W, target, CONTEXT, 0);
    writer->instructions[writer->count - 1].off = (int16_t)offset;
}

static void emit_answer(struct writer *writer, uint32_t answer)
{
    emit(writer, BPF_ALU64 | BPF_MOV | BPF_K, RESULT, 0, answer);
    emit(writer, BPF_JMP | BPF_EXIT, 0, 0, 0);
}

/* To behind this device's instructions; where that is, is written when they are. */
static void emit_leave_if(struct writer *writer, int comparison, unsigned reg, uint32_t number)
{
    emit(writer, BPF_JMP32 | comparison | BPF_K, reg, 0, number);
}

static void emit_device(struct writer *writer, const struct device *device)
{
    uint32_t first = writer->count;

    emit_leave_if(writer, BPF_JNE, TYPE, device->type);
    if (device->access != USE) {
        emit(writer, BPF_ALU64 | BPF_MOV | BPF_X, SCRATCH, ACCESS, 0);
        emit(writer, BPF_ALU64 | BPF_AND | BPF_K, SCRATCH, 0, ~device->access);
        emit_leave_if(writer, BPF_JNE, SCRATCH, 0);
    }
    if (device->major_first > 0)
        emit_leave_if(writer, BPF_JLT, MAJOR, device->major_first);
    if (device->major_last != ANY)
        emit_leave_if(writer, BPF_JGT, MAJOR, device->major_last);
    if (device->minor != ANY)
        emit_leave_if(writer, BPF_JNE, MINOR, device->minor);
    emit_answer(writer, 1);
    for (uint32_t i = first; i < writer->count; i++)
        if (BPF_CLASS(writer->instructions[i].code) == BPF_JMP32)
            writer->instructions[i].off = (int16_t)(writer->count - i - 1);
}

/* The kernel asks with the kind of access in a word's upper half, of device in its lower. */
uint32_t devices_compile(unsigned list, struct bpf_insn *ret_instructions)
{
    struct writer writer = {.instructions = ret_instructions};

    emit_load(&writer, TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
    emit(&writer, BPF_ALU64 | BPF_MOV | BPF_X, ACCESS, TYPE, 0);
    emit(&writer, BPF_ALU64 | BPF_AND | BPF_K, TYPE, 0, 0xffff);
    emit(&writer, BPF_ALU64 | BPF_RSH | BPF_K, ACCESS, 0, 16);
    emit_load(&writer, MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
    emit_load(&writer, MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].list == 0 || (table[i].list & list) != 0)
            emit_device(&writer, &table[i]);
    emit_answer(&writer, 0);
    return writer.count;
}

static int load(unsigned list)
{
    struct bpf_insn instructions[DEVICES_INSTRUCTIONS_MAX];
    static const char license[] = "Apache-2.0"; /* no function of the kernel's is called */
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr)); /* padding too: the kernel refuses what it does not know */
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insn_cnt = devices_compile(list, instructions);
    attr.insns = (uint64_t)(uintptr_t)instructions;
    attr.license = (uint64_t)(uintptr_t)license;
    memcpy(attr.prog_name, "drover_devices", sizeof("drover_devices"));
    int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)); /* close-on-exec */
    return program < 0 ? -errno : program;
}

int devices_open(struct devices *devices)
{
    for (unsigned list = 0; list < DEVICES_LISTS; list++)
        devices->programs[list] = -1;
    int program = load(0);

    devices->programs[0] = program < 0 ? -1 : program;
    return program < 0 ? program : 0;
}

void devices_close(struct devices *devices)
{
    for (unsigned list = 0; list < DEVICES_LISTS; list++)
        fd_closep(&devices->programs[list]);
}

int devices_program(struct devices *devices, const struct config *config)
{
    unsigned list = (config->is_privileged ? DEVICES_MKNOD : 0) |
                    (config->has_fuse ? DEVICES_FUSE : 0) | (config->has_tun ? DEVICES_TUN : 0);

    if (devices->programs[0] < 0)
        return 0; /* withheld: said at the start */
    if (devices->programs[list] < 0) {
        int program = load(list);

        if (program < 0)
            return program;
        devices->programs[list] = program;
    }
    return devices->programs[list];
}
