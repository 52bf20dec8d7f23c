/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devices.h — which device files a guest can open: one BPF program for each list, on its cgroup.
 *
 * Shape    struct devices holds the loaded program of each list; devices_program() chooses one, the
 *          cgroup adapter attaches it to PATH/NAME.GEN of v2, whatever controllers v2 has, before
 *          anybody is in it. It stays for the group's life, also when no agent lives.
 * Units    none.
 * Errors   -errno; where the host withholds bpf(2) devices_open() says why, once, and there are no
 *          programs: 0 then.
 * Owner    struct agent. The usual list is loaded at start, the others when first asked for: the
 *          kernel takes 0.4 ms to verify one.
 * Context  devices_open() at start, then the cgroup worker alone. Source: bpf(2), cgroup-v2.rst
 *          "Device controller", BPF_PROG_TYPE_CGROUP_DEVICE in linux/bpf.h.
 *
 * A guest in a user namespace can make no device node, and the kernel opens none that lies on a
 * file system of such a namespace: for it this is a second wall, for a privileged guest the only.
 */
#ifndef DROVER_DEVICES_H
#define DROVER_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

struct bpf_insn;
struct config;

/* What is allowed beside the usual: null, zero, full, random, urandom, tty, ptmx, ptys. */
#define DEVICES_FUSE (1u << 0)
#define DEVICES_TUN (1u << 1)
#define DEVICES_MKNOD (1u << 2) /* nodes of any device may be made, though not opened */
#define DEVICES_LISTS 8
#define DEVICES_INSTRUCTIONS_MAX 128

struct devices {
    int programs[DEVICES_LISTS]; /* by DEVICES_*; -1: none */
};

/* -errno: this host lets us load none. */
int devices_open(struct devices *devices);
void devices_close(struct devices *devices);

/* The program for a container of this configuration; 0: this host has none; -errno. */
int devices_program(struct devices *devices, const struct config *config);

/* The instructions of a list, for devices_open() and tests: at most DEVICES_INSTRUCTIONS_MAX.
 * Returns their count. */
uint32_t devices_compile(unsigned list, struct bpf_insn *ret_instructions);

#endif
